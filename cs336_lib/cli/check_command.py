"""`cs336 check FOLDER`."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from cs336_lib.atomic import write_whole
from cs336_lib.cli import FAILED, OK, STOPPED
from cs336_lib.cli.parsing import parse


@dataclass(frozen=True)
class Check:
    """Hold your own solution of the assignment against the definitions: about 220 questions to your tests/adapters.py.

    Your code runs on your machine, in processes with limits of time and memory and without a network; nothing is sent
    anywhere, and nothing in your folder is changed. Faults are explained, never corrected.

    Exit codes: 0 nothing is wrong in what was answered; 1 something is, or questions were not asked because an
    import failed, or none was answered; 2 there was nothing to ask; 130 stopped, by Ctrl-C or SIGTERM.

    Example:
      cs336 check ~/assignment1-basics

    Attributes:
        folder: the folder of your solution, the one that holds tests/adapters.py.
        adapters: the file of adapters, if it is elsewhere.
        only: problems, adapters, or beginnings of checks' names, with commas: tokenizer,run_silu,linear.init.
        edition: of the assignment; who says so differs here and there.
        python: the Python that runs your code; your project's .venv if it has torch, else this one, when left out.
        html: write a report to this file as well.
        as_json: print all of it as JSON, and the progress to stderr.
        slow: also ask the questions that take a minute.
        train: also train a tiny model of yours beside ours, on built-in stories.
        speed: also time yours beside ours.
        memory: GiB that your code may allocate.
        list_checks: only list the questions.
    """

    folder: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="[FOLDER]")] = Path()
    adapters: Path | None = None
    only: str = ""
    edition: Literal["2025", "2026"] = "2026"
    python: str = ""
    html: Path | None = None
    as_json: Annotated[bool, tyro.conf.arg(name="json"), tyro.conf.FlagCreatePairsOff] = False
    slow: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    train: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    speed: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    memory: float = 4.0
    list_checks: Annotated[bool, tyro.conf.arg(name="list"), tyro.conf.FlagCreatePairsOff] = False


def run(arguments: Sequence[str]) -> int:
    """Run the command."""
    asked = parse(Check, "check", arguments)
    if asked.html is not None:
        from cs336_lib.check.page import check_own_report
        from cs336_lib.cli.outputs import check_file

        check_file(asked.html, "--html")
        check_own_report(asked.html)
    if not 0 < asked.memory < math.inf:
        raise ValueError(f"memory is {asked.memory:g} GiB; it must be a number above 0")
    from cs336_lib.check import project, terminal

    found = None if asked.list_checks else project.find(asked.folder, asked.adapters, asked.python)
    from cs336_lib.check.folder import check_folder, chosen

    names = chosen(asked.only, slow=asked.slow)
    if found is None:
        from cs336_lib.check.child.case import CHECKS

        for name in names:
            print(f"{name:<48}{CHECKS[name].title}")
        return 0
    stream = sys.stderr if asked.as_json else sys.stdout
    colors = terminal.has_colors(stream)
    report = check_folder(
        found,
        names,
        edition=asked.edition,
        memory_gib=asked.memory,
        train=asked.train,
        speed=asked.speed,
        stream=stream,
    )
    print(json.dumps(report.as_dict(), indent=1) if asked.as_json else "\n" + terminal.ending(report, colors))
    if asked.html is not None:
        from cs336_lib.check.page import check_own_report, page

        write_whole(asked.html, page(report), check=check_own_report)
        print(f"\nreport written to {asked.html}", file=stream)
    if report.stopped:
        return STOPPED
    return OK if report.passed else FAILED
