"""`cs336 resume RUN`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import tyro


@dataclass(frozen=True)
class Resume:
    """Go on with a run from its last good checkpoint. On a CPU the result is that of a run that never stopped.

    Example: cs336 resume runs/tales-1m

    Attributes:
        run: the run's folder.
        quiet: no progress bar.
        parallel: how the processes that torchrun started share the work, as for `train`; neither it nor their number
            need be as before.
        anew: begin at step 0 and cut off all that the run has recorded, whatever checkpoints there are.
        timeout: seconds that the processes wait for each other before one counts as lost.
    """

    run: tyro.conf.Positional[Path]
    quiet: bool = False
    parallel: Literal["ddp", "fsdp"] | None = None
    anew: bool = False
    timeout: float = 600.0


def run(arguments: Sequence[str]) -> int:
    """Run the command."""
    asked = tyro.cli(Resume, prog="cs336 resume", args=arguments)
    from cs336_lib.cli.outcome import report
    from cs336_lib.generation import training_sample
    from cs336_lib.training.ranks import started
    from cs336_lib.training.records import RunRecord
    from cs336_lib.training.trainer import Trainer

    device = RunRecord(asked.run).config.device
    with started(asked.parallel, device, asked.timeout) as ranks:
        options: Any = {"write_sample": training_sample, "progress": not asked.quiet}
        trainer = Trainer.resume(asked.run, **options, anew=asked.anew, parallel=asked.parallel, ranks=ranks)
        return report(trainer.fit(), ranks.rank)
