"""`cs336 experiment SUITE`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from cs336_lib.cli.parsing import parse
from cs336_lib.lines import wrapped
from cs336_lib.naming import did_you_mean
from cs336_lib.scale import scale

if TYPE_CHECKING:
    from cs336_lib.experiments import PlannedRun, Suite
    from cs336_lib.training import RunRecord

    Found = list[tuple[PlannedRun, RunRecord]]


@dataclass(frozen=True)
class Experiment:
    """Run a comparison: several runs that differ in one thing. It ends with a table and a figure.

    What is finished is skipped, what was cut off goes on: after Ctrl-C or a crash give the same command again.

    Examples:
      cs336 experiment list
      cs336 experiment lr-sweep
      cs336 experiment lr-sweep --scale cpu --data my_text.txt
      cs336 experiment swiglu --scale cpu --plot swiglu.pdf
      cs336 experiment all --scale full --folder results/experiments

    Attributes:
        suite: name of the comparison, "all" for one after the other, or "list" for what each asks.
        scale: "quick" (a run takes seconds), "cpu" (minutes on two cores) or "full" (the assignment's, on a GPU); by
            default what CS336_SCALE says, else "quick".
        data: train on this text instead of the scale's own: "tales", "tinystories", "owt", or the path of a text file
            or of a folder with a *train*.txt and a *valid*.txt. All else stays as it is.
        folder: the runs go to FOLDER/SUITE-SCALE/RUN, with --data to FOLDER/SUITE-SCALE-TEXT/RUN.
        plot: draw the runs to this file (.png, .svg or .pdf); by default to curves.png beside them.
    """

    suite: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="[SUITE]")] = "list"
    scale: str = field(default_factory=scale)
    data: str | None = None
    folder: Path = Path("runs")
    plot: Path | None = None


def run(arguments: Sequence[str]) -> int:
    """Run the command."""
    asked = parse(Experiment, "experiment", arguments)
    from cs336_lib.cli.outputs import check_folder, check_picture
    from cs336_lib.experiments import SUITES

    if asked.suite == "list":
        width = max(map(len, SUITES))
        for name, suite in SUITES.items():
            counts = ", ".join(f"{len(suite.plan(scale))} at {scale}" for scale in suite.scales)
            print(wrapped(suite.question, f"{name:{width}}  "))
            print(wrapped(f"runs: {counts}", " " * (width + 2)))
        return 0
    if asked.suite not in (*SUITES, "all"):
        allowed = [*SUITES, "all", "list"]
        raise ValueError(
            f"unknown suite {asked.suite!r}{did_you_mean(asked.suite, allowed)}; allowed: {', '.join(allowed)}"
        )
    if asked.suite == "all" and (asked.plot or asked.data):
        raise ValueError("--plot and --data are for one suite; leave them out, or name the suite")
    suites = [suite for suite in SUITES.values() if asked.scale in suite.scales or suite.name == asked.suite]
    if not suites:
        raise ValueError(f"no suite has a scale {asked.scale!r}; there are quick, cpu, full")
    for suite in suites if asked.suite == "all" else [SUITES[asked.suite]]:
        home = asked.folder / suite.folder(asked.scale, asked.data)
        picture = asked.plot or home / "curves.png"
        check_folder(home, "--folder")
        if asked.plot or picture.exists():  # rather now than after the last run
            check_picture(picture, "--plot")
        _report(suite, _made(suite, asked), home, picture)
    return 0


def _made(suite: Suite, asked: Experiment) -> Found:
    """Make what is not made yet."""
    from cs336_lib.experiments import load_suite, run_suite
    from cs336_lib.experiments.runner import DONE
    from cs336_lib.generation import training_sample

    writer = training_sample if asked.scale == "full" else None  # the smaller scales ask about losses alone
    try:
        return run_suite(suite, asked.scale, asked.folder, data=asked.data, write_sample=writer)
    except KeyboardInterrupt:
        there = load_suite(suite, asked.scale, asked.folder, data=asked.data)
        done = sum(record.status["status"] in DONE for _, record in there)
        total = len(suite.plan(asked.scale, asked.data))
        raise KeyboardInterrupt(f"stopped, {done} of {total} runs are made; the same command goes on") from None


def _report(suite: Suite, found: Found, home: Path, picture: Path) -> None:
    """Print the table and draw the figure."""
    from cs336_lib.cli.outputs import save_picture
    from cs336_lib.experiments import devices, report
    from cs336_lib.figures.experiments import of_suite

    print(f"\n{suite.question}\n{home.name}, on {devices(found)}\n\n{report(suite, found)}")
    starts = [losses[0] for _, record in found if (losses := record.series("train_loss")[1])]
    save_picture(of_suite(found, top=1.2 * min(starts), title=home.name), picture)
    print(f"\nthe records are in {home}, the figure is {picture}")
