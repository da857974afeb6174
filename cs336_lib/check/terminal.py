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

COLORS = {"red": "31", "green": "32", "yellow": "33", "bold": "1", "dim": "2"}
WIDTH = 112
SLOW = 0.5  # seconds of a question that is worth a word


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
    return f"{problem:<29}" + "".join(numbers) + f"{seconds:>8.1f} s  {_short(text, 46)}".rstrip()


HEAD = f"{'problem':<29}{'right':>6}{'wrong':>7}{'no answer':>11}{'choice':>8}{'time':>8}    what is wrong"


def _short(text: str, length: int = 46) -> str:
    return text if len(text) <= length else text[: length - 3].rstrip(", ") + "..."


def fault_text(fault: Fault, number: int, edition: str, colors: bool = False) -> str:
    """One fault: what was asked, expected and got, the usual cause, the section of the book."""
    check, answer = fault.check, fault.answer
    head = f"{number}. {check.problem}: {check.title}"
    lines = [colored(head, "bold", colors) + colored(f"  ({check.name}; {kind_text(check, edition)})", "dim", colors)]
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
            rows += [line] if line.startswith("http") else textwrap.wrap(line, WIDTH - 16)
        for at, piece in enumerate(rows):
            shown = colored(piece, color, colors) if color else piece
            lines.append(f"   {label if not at else '':<13}{shown}")
    for label, others in (("the same in", fault.others), ("may follow", fault.later)):
        names = ", ".join(o.name.removeprefix(f"{check.problem}.") for o in others)
        lines += [f"   {label:<13}{_short(names, WIDTH - 16)}"] if names else []
    return "\n".join(lines)


def ending(report: Report, colors: bool = False) -> str:
    """Everything after the table: faults, choices, remarks, the summary."""
    parts = []
    if report.answers and "seconds" in report.about:
        slow = [a for a in report.answers if a.status in (RIGHT, WRONG, CHOSEN) and a.seconds >= SLOW]
        slowest = sorted(slow, key=lambda answer: -answer.seconds)[:3]
        names = "; the slowest: " * bool(slowest) + ", ".join(f"{a.name} {a.seconds:.1f} s" for a in slowest)
        parts.append(colored(f"{report.about['seconds']:.0f} s in all{names}", "dim", colors))
    faults = report.faults()
    if faults:
        parts.append(colored("What is wrong, the worst first", "bold", colors))
        parts += [fault_text(fault, number, report.edition, colors) for number, fault in enumerate(faults, start=1)]
    choices = [answer for answer in report.answers if answer.status == CHOSEN]
    if choices:
        rows = [f"   {CHECKS[a.name].title:<58} {_short(a.got, 50)}" for a in choices]
        parts.append("\n".join([colored("Your choices, where the handout leaves one", "bold", colors), *rows]))
    remarks = list(report.remarks())
    if remarks:
        rows = [textwrap.fill(text, WIDTH, initial_indent="   ", subsequent_indent="     ") for text in remarks]
        parts.append("\n".join([colored("Besides", "bold", colors), *rows]))
    title = colored(f"In short: {report.verdict}", "green" if report.passed else "red", colors)
    parts.append(f"{title}\n{report.summary()}")
    return "\n\n".join(parts)
