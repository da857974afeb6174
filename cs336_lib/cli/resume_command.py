"""`cs336 resume RUN`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro


@dataclass(frozen=True)
class Resume:
    """Go on with a run from its last good checkpoint. On a CPU the result is that of a run that never stopped.

    Example: cs336 resume runs/tales-1m

    Attributes:
        run: the run's folder.
        quiet: no progress bar.
    """

    run: tyro.conf.Positional[Path]
    quiet: bool = False


def run(arguments: Sequence[str]) -> int:
    """Run the command."""
    asked = tyro.cli(Resume, prog="cs336 resume", args=arguments)
    from cs336_lib.cli.outcome import report
    from cs336_lib.generation import training_sample
    from cs336_lib.training.trainer import Trainer

    return report(Trainer.resume(asked.run, write_sample=training_sample, progress=not asked.quiet).fit())
