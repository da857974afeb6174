"""`cs336 experiment SUITE`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro


@dataclass(frozen=True)
class Experiment:
    """Run a comparison: several runs that differ in one thing. What is finished is skipped, what was cut off goes on.

    Examples:
      cs336 experiment list
      cs336 experiment lr-sweep
      cs336 experiment swiglu --scale cpu --plot swiglu.png

    Attributes:
        suite: name of the comparison, or "list" for all of them with what they ask.
        scale: "quick" (seconds a run), "cpu" (minutes a run on two cores) or "full" (the assignment's, on a GPU).
        folder: the runs go to FOLDER/SUITE-SCALE/RUN.
        plot: draw the runs to this file (.png, .svg or .pdf).
    """

    suite: tyro.conf.Positional[str] = "list"
    scale: str = "quick"
    folder: Path = Path("runs")
    plot: Path | None = None


def run(arguments: Sequence[str]) -> int:
    """Run the command."""
    asked = tyro.cli(Experiment, prog="cs336 experiment", args=arguments)
    from cs336_lib.experiments import SUITES, run_suite, table

    if asked.suite == "list":
        width = max(map(len, SUITES))
        for name, suite in SUITES.items():
            counts = ", ".join(f"{len(suite.plan(scale))} at {scale}" for scale in suite.scales)
            print(f"{name:{width}}  {suite.question}\n{'':{width}}  runs: {counts}")
        return 0
    if asked.suite not in SUITES:
        raise ValueError(f"unknown suite {asked.suite!r}; allowed: {', '.join(SUITES)}")
    suite = SUITES[asked.suite]
    runs = run_suite(suite, asked.scale, asked.folder)
    print(f"\n{suite.question}\n\n{table(runs)}")
    if asked.plot:
        from cs336_lib.figures.experiments import curves_of
        from cs336_lib.figures.experiments import runs as draw

        draw(curves_of(runs), "training loss (nats a token)", top=runs[0][1].series("train_loss")[1][0]).savefig(
            asked.plot
        )
        print(f"\ndrawn to {asked.plot}")
    return 0
