"""The report as text: one row per problem while it runs, then each fault with its cause and its section."""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Sequence
from typing import TextIO

from cs336_lib.check import sections
from cs336_lib.check.child.case import CHECKS
from cs336_lib.check.child.runner import BROKEN, CHOSEN, RIGHT, UNANSWERED, WRONG, Answer
from cs336_lib.check.report import Fault, Report, cause_of, kind_text
from cs336_lib.lines import width, wrapped

COLORS = {"red": "31", "green": "32", "yellow": "33", "bold": "1", "dim": "2"}
BEFORE = 74
"""Columns of a row before its text."""
SLOW = 0.5
"""Seconds of a question that is worth a word."""


def colored(text: str, color: str, on: bool) -> str:
    """Wrap a text in a color of the terminal.

    >>> colored("wrong", "red", on=False)
    'wrong'
    """
    return f"\033[{COLORS[color]}m{text}\033[0m" if on else text


def has_colors(stream: TextIO = sys.stdout) -> bool:
    """Whether a stream shows colors; NO_COLOR switches them off."""
    return stream.isatty() and not os.environ.get("NO_COLOR")


def row(problem: str, answers: Sequence[Answer], colors: bool = False) -> str:
    """One problem's line of the table."""
    count = {status: sum(a.status == status for a in answers) for status in (RIGHT, WRONG, BROKEN, UNANSWERED, CHOSEN)}
    numbers = [
        colored(f"{count[RIGHT]:>6}", "green" if count[RIGHT] else "dim", colors),
        colored(f"{count[WRONG] or '-':>7}", "red" if count[WRONG] else "dim", colors),
        colored(
            f"{count[UNANSWERED] + count[BROKEN] or '-':>11}",
            "yellow" if count[UNANSWERED] + count[BROKEN] else "dim",
            colors,
        ),
        colored(f"{count[CHOSEN] or '-':>8}", "dim", colors),
    ]
    seconds = sum(a.seconds for a in answers)
    wrong = ", ".join(a.name.split(".")[1] for a in answers if a.status == WRONG)
    unasked = {a.got for a in answers if a.status in (UNANSWERED, BROKEN)}
    text = wrong or (_short(next(iter(unasked))) if len(unasked) == 1 and not count[RIGHT] else "")
    line = f"{problem:<29}" + "".join(numbers) + f"{seconds:>8.1f} s"
    room = width() - BEFORE
    if len(text) <= room or room >= SHORTEST:
        return f"{line}  {_short(text, room)}".rstrip()
    return f"{line}\n    {_short(text, width() - 4)}"


SHORTEST = 30
"""With less room for it beside a row, the text stands below."""
HEAD = f"{'problem':<29}{'right':>6}{'wrong':>7}{'no answer':>11}{'choice':>8}{'time':>8}"


def _short(text: str, length: int = 46) -> str:
    return text if len(text) <= length else text[: length - 3].rstrip(", ") + "..."


def fault_text(fault: Fault, number: int, edition: str, colors: bool = False) -> str:
    """One fault: what was asked, expected and got, the usual cause, the section of the book."""
    check, answer = fault.check, fault.answer
    head = f"{number}. {check.problem}: {check.title}"
    about = f"({check.name}; {kind_text(check, edition)})"
    gap = "  " if len(head) + 2 + len(about) <= width() else "\n   "
    lines = [colored(wrapped(head, later="   "), "bold", colors) + gap + colored(about, "dim", colors)]
    for label, text, color in (
        ("input", answer.given, ""),
        ("expected", answer.expected, "green"),
        ("got", answer.got, "red"),
        ("usual cause", cause_of(check, answer), ""),
        ("read", f"{sections.named(check.section)}\n{sections.address(check.section)}", "dim"),
    ):
        if not text:
            continue
        rows: list[str] = []
        for line in text.splitlines():  # an address stays whole, so that a click opens it
            rows += [line] if line.startswith("http") else textwrap.wrap(line, width() - 16)
        for at, piece in enumerate(rows):
            shown = colored(piece, color, colors) if color else piece
            lines.append(f"   {label if not at else '':<13}{shown}")
    for label, others in (("the same in", fault.others), ("may follow", fault.later)):
        names = ", ".join(o.name.removeprefix(f"{check.problem}.") for o in others)
        lines += [f"   {label:<13}{_short(names, width() - 16)}"] if names else []
    return "\n".join(lines)


def ending(report: Report, colors: bool = False) -> str:
    """Everything after the table: faults, choices, remarks, the summary."""
    parts = []
    if report.answers and "seconds" in report.about:
        slow = [a for a in report.answers if a.status in (RIGHT, WRONG, CHOSEN) and a.seconds >= SLOW]
        slowest = sorted(slow, key=lambda answer: -answer.seconds)[:3]
        names = "; the slowest: " * bool(slowest) + ", ".join(f"{a.name} {a.seconds:.1f} s" for a in slowest)
        said = wrapped(f"{report.about['seconds']:.0f} s in all{names}")
        parts.append(colored(said, "dim", colors))
    faults = report.faults()
    if faults:
        parts.append(colored("What is wrong, the worst first", "bold", colors))
        parts += [fault_text(fault, number, report.edition, colors) for number, fault in enumerate(faults, start=1)]
    choices = [answer for answer in report.answers if answer.status == CHOSEN]
    if choices:
        rows = [wrapped(f"{CHECKS[a.name].title}: {_short(a.got, 50)}", "   ", "     ") for a in choices]
        parts.append("\n".join([colored("Your choices, where the handout leaves one", "bold", colors), *rows]))
    remarks = list(report.remarks())
    if remarks:
        rows = [wrapped(text, "   ", "     ") for text in remarks]
        parts.append("\n".join([colored("Besides", "bold", colors), *rows]))
    title = colored(wrapped(f"In short: {report.verdict}"), "green" if report.passed else "red", colors)
    parts.append("\n".join([title, *map(wrapped, report.summary().splitlines())]))
    return "\n\n".join(parts)
