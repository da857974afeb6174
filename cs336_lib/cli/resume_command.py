"""`cs336 resume RUN`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from cs336_lib.cli.parsing import parse


@dataclass(frozen=True)
class Resume:
    """Resume a run from its last good checkpoint. On a CPU the result is that of a run that never stopped.

    Examples:
      cs336 resume runs/tales-1m
      cs336 resume runs/tales-1m --steps 5000 --device cuda

    Attributes:
        run: the run's folder.
        device: go on with another device: "auto" or a device of torch.
        data: where the training text lies now; it must be the same text.
        valid_data: where the validation text lies now, likewise.
        steps: train for so many steps in all, which may be more than before; from here on the learning rate follows the
            schedule of the new length.
        quiet: no progress bar.
        parallel: how the processes that torchrun started share the work, as for cs336 train; neither it nor their
            number need be as before.
        anew: begin at step 0 and cut off all that the run has recorded, whatever checkpoints there are.
        timeout: seconds that the processes wait for each other before one counts as lost.
    """

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    device: str | None = None
    data: str | None = None
    valid_data: str | None = None
    steps: int | None = None
    quiet: bool = False
    parallel: Literal["ddp", "fsdp"] | None = None
    anew: bool = False
    timeout: float = 600.0


def run(arguments: Sequence[str]) -> int:
    """Run the command."""
    asked = parse(Resume, "resume", arguments)
    from cs336_lib.cli.outcome import report
    from cs336_lib.generation import training_sample
    from cs336_lib.training.corpus import NAMED
    from cs336_lib.training.ranks import started
    from cs336_lib.training.records import RunRecord
    from cs336_lib.training.resuming import changed
    from cs336_lib.training.trainer import Trainer

    wanted = {"device": asked.device, "data": asked.data, "valid_data": asked.valid_data, "steps": asked.steps}
    changes = {name: value for name, value in wanted.items() if value is not None}
    for name in ("data", "valid_data"):
        given = str(changes.get(name, ""))
        if given and given not in NAMED and not Path(given).exists():
            raise FileNotFoundError(f"--{name.replace('_', '-')} {given} is not there (looked from {Path.cwd()})")
    device = changed(RunRecord(asked.run).config, changes).device
    with started(asked.parallel, device, asked.timeout) as ranks:
        options: Any = {"write_sample": training_sample, "progress": not asked.quiet, "changes": changes}
        trainer = Trainer.resume(asked.run, **options, anew=asked.anew, parallel=asked.parallel, ranks=ranks)
        began = trainer.step
        return report(trainer.fit(), ranks.rank, began)
