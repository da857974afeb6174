"""What came of all checks: counts by problem, what is wrong with the worst first, and plain data for other programs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from cs336_lib.check import sections
from cs336_lib.check.child.adapters import failing
from cs336_lib.check.child.case import CHECKS, CHOICE, EXPECT, HANDOUT, KINDS, NOTEBOOK_PROBLEMS, PROBLEMS, Check
from cs336_lib.check.child.errors import REFUSED
from cs336_lib.check.child.runner import BROKEN, CHOSEN, RIGHT, UNANSWERED, WRONG, Answer

STATUSES = (RIGHT, WRONG, BROKEN, UNANSWERED, CHOSEN)


@dataclass
class Fault:
    """Checks that failed in the same way.

    Attributes:
        check: the first of them.
        answer: what came of it.
        others: the other checks that ended with the same error.
        later: checks that ask for more than one of these, so that they may fail for the same reason.
    """

    check: Check
    answer: Answer
    others: list[Check] = field(default_factory=list)
    later: list[Check] = field(default_factory=list)

    def names(self) -> set[str]:
        """The names of all of its checks."""
        return {check.name for check in (self.check, *self.others, *self.later)}


@dataclass
class Report:
    """The answers to all checks of a run.

    Attributes:
        answers: in the order in which they were asked.
        edition: of the assignment: who says so differs.
        about: facts of the run: folder, Python, versions, seconds.
        broken: line of the adapters -> why it does not import, or run.
        notes: remarks for the reader.
        extras: results of --train and --speed, as plain data.
        stopped: Ctrl-C, or a signal, came before the end.
        waiting: what had not returned then, and after how many seconds.
    """

    answers: list[Answer] = field(default_factory=list)
    edition: str = "2026"
    about: dict[str, Any] = field(default_factory=dict)
    broken: dict[int, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    extras: dict[str, Any] = field(default_factory=dict)
    stopped: bool = False
    waiting: dict[str, float] = field(default_factory=dict)

    def of(self, problem: str) -> list[Answer]:
        """The answers of a problem."""
        return [answer for answer in self.answers if CHECKS[answer.name].problem == problem]

    def problems(self) -> list[str]:
        """The problems that were asked about, in the order of the handout."""
        return [problem for problem in PROBLEMS | NOTEBOOK_PROBLEMS if self.of(problem)]

    def count(self, status: str, answers: Iterable[Answer] | None = None) -> int:
        """How many answers have a status."""
        return sum(answer.status == status for answer in (self.answers if answers is None else answers))

    @property
    def verdict(self) -> str:
        """In a few words what came of it."""
        faults, wrong = len(self.faults()), self.count(WRONG)
        if self.stopped:
            late = ", ".join(f"{name} (after {seconds:g} s)" for name, seconds in self.waiting.items())
            late = f"; what had not returned: {late}" if late else ""
            return f"stopped before the end, {faults or 'no'} fault{'s' * (faults != 1)} until then{late}"
        if faults:
            seen = f", seen in {wrong} wrong answers" if wrong != faults else ""
            return f"{faults} fault{'s' * (faults != 1)}{seen}"
        if self.count(BROKEN):
            return "some adapters don't import"
        if not self.answered:
            reasons = {answer.got for answer in self.answers}
            only = next(iter(reasons)) if len(reasons) == 1 else "no adapter that these questions need is written"
            return f"nothing was asked: {only.removeprefix('it could not be asked: ')}"
        return "nothing is wrong" if self.passed else "the model does not train as ours does"

    @property
    def answered(self) -> int:
        """How many questions were answered: right, wrong or by a choice."""
        return self.count(RIGHT) + self.count(WRONG) + self.count(CHOSEN)

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong, something was answered, and no question was left out because an import failed."""
        trains = self.extras.get("training", {}).get("ok", True) and not self.stopped
        return bool(self.answered) and not self.count(WRONG) and not self.count(BROKEN) and trains

    def faults(self) -> list[Fault]:
        """What is wrong, the worst first.

        A wrong value is worse than an error, because nobody notices it; what the handout asks for counts more than what
        a user may expect. Checks of one adapter with the same error, or the same cause, are one fault; those that have
        seen that the cause is none of theirs belong to the first, and those that ask for more than a wrong one to that.
        """
        faults: list[Fault] = []
        wrong = [answer for answer in self.answers if answer.status == WRONG]
        heads = [answer for answer in wrong if not self.earlier(answer)]
        for answer in sorted(heads, key=lambda answer: answer.cause == "" and not answer.crash):
            check = CHECKS[answer.name]
            earlier = next((f for f in faults if _alike(f, check, answer)), None)
            if earlier is None:
                faults.append(Fault(check, answer))
            else:
                earlier.others.append(check)
        waiting = [answer for answer in wrong if self.earlier(answer)]
        while waiting:
            answer = next(a for a in waiting if not any(other.name in self.earlier(a) for other in waiting))
            waiting.remove(answer)
            check = CHECKS[answer.name]
            of = next((f for f in faults if answer.cause != "" and _alike(f, check, answer)), None)
            if of:
                of.others.append(check)
            else:
                next(f for f in faults if f.names() & set(self.earlier(answer))).later.append(check)
        order = list(PROBLEMS | NOTEBOOK_PROBLEMS)
        return sorted(faults, key=lambda f: (-self._weight(f), order.index(f.check.problem)))

    def earlier(self, answer: Answer) -> list[str]:
        """The wrong answers to questions that ask for a part of what this one asks for."""
        wrong = {other.name for other in self.answers if other.status == WRONG}
        return [name for name in CHECKS[answer.name].after if name in wrong]

    def causes(self) -> dict[str, str]:
        """Check -> what makes its answer wrong: the cause of its fault, or the answers that it may follow from."""
        causes: dict[str, str] = {}
        wrong = {answer.name: answer for answer in self.answers if answer.status == WRONG}
        for fault in self.faults():
            names = [one.name for one in (fault.check, *fault.others)]
            causes |= dict.fromkeys(names, cause_of(fault.check, fault.answer))

        def cause(name: str) -> str:
            if name not in causes:
                own, after = cause_of(CHECKS[name], wrong[name]), CHECKS[name].after
                earlier = [other for other in wrong if other in after]
                follows = f"it may follow from {', '.join(earlier)}: mend that first, and ask again"
                causes[name] = own if own in {cause(other) for other in earlier} else follows
            return causes[name]

        for name in wrong:
            cause(name)
        return causes

    def _weight(self, fault: Fault) -> float:
        weight = {HANDOUT: 2.0, EXPECT: 1.0, CHOICE: 0.0}[fault.check.kind_in(self.edition)]
        return weight + (0.0 if fault.answer.crash else 0.5)

    def remarks(self) -> Iterator[str]:
        """What the reader should know besides: broken imports, changed global state, decisions on the way."""
        for line, text in sorted(self.broken.items()):
            yield f"line {line} of the adapters {failing(text)}: {text}"
        missing = {name for text in self.broken.values() for name in re.findall(r"No module named '([\w.]+)'", text)}
        if missing:
            where = f"not found by {self.about.get('python', 'this Python')}"
            yield f"{', '.join(sorted(missing))}: {where}; install it there, or name another with --python"
        seen = set()
        for answer in self.answers:
            if answer.note and answer.note not in seen:
                seen.add(answer.note)
                yield f"calling it changes global state: {answer.note} (first seen in {answer.name})"
        yield from self.notes

    def summary(self) -> str:
        """A few lines to paste."""
        asked = sum(answer.status in (RIGHT, WRONG) for answer in self.answers)
        lines = [f"cs336 check, edition {self.edition}: {self.count(RIGHT)} of {asked} answers right"]
        wrong: dict[str, list[str]] = {}
        for answer in self.answers:
            if answer.status == WRONG:
                problem, _, what = answer.name.partition(".")
                wrong.setdefault(problem, []).append(what)
        lines += [f"- {problem}: {', '.join(names)}" for problem, names in wrong.items()]
        if self.count(BROKEN):
            lines.append(f"- {self.count(BROKEN)} not asked, because what they need does not import or run")
        if self.count(UNANSWERED):
            lines.append(f"- {self.count(UNANSWERED)} not answered")
        return "\n".join(lines)

    def as_dict(self) -> dict[str, Any]:
        """All of it as plain data, ready for JSON."""
        checks, causes = [], self.causes()
        for answer in self.answers:
            check = CHECKS[answer.name]
            checks.append(
                answer.as_dict()
                | {
                    "problem": check.problem,
                    "title": check.title,
                    "kind": check.kind_in(self.edition),
                    "cause": causes.get(answer.name, ""),
                    "section": check.section,
                    "address": sections.address(check.section),
                }
            )
        counts = {status: self.count(status) for status in STATUSES}
        problems = {p: {s: self.count(s, self.of(p)) for s in STATUSES} for p in self.problems()}
        return {
            "format": "cs336-check-1",
            "edition": self.edition,
            "passed": self.passed,
            "stopped": self.stopped,
            "counts": counts,
            "problems": problems,
            "broken": {str(line): text for line, text in self.broken.items()},
            "remarks": list(self.remarks()),
            "checks": checks,
            **self.about,
            **self.extras,
        }


def _alike(fault: Fault, check: Check, answer: Answer) -> bool:
    """Whether an answer is wrong in the same way as an earlier one: the very same error, or the same cause."""
    if fault.check.needs != check.needs:
        return False
    if answer.crash and fault.answer.crash:
        causes, place = {one.cause for one in (answer, fault.answer) if one.cause}, _place(answer)
        if answer.got == fault.answer.got or (place and place == _place(fault.answer) and len(causes) < 2):
            return True
    cause, crashes = cause_of(check, answer), answer.crash or fault.answer.crash
    if answer.cause == "":
        return not crashes and not any(check.name in other.after for other in CHECKS.values())
    seen = answer.cause is not None and fault.answer.cause is not None
    same = cause not in ("", REFUSED) and cause == cause_of(fault.check, fault.answer)
    return same and (seen or not crashes)


def _place(answer: Answer) -> tuple[str, str] | None:
    """The type of an error and the line of the code under test that it came from."""
    found = re.match(r"(\w+)\b.*\(([^()]*\bline \d+[^()]*)\)$", answer.got, re.DOTALL)
    return (found[1], found[2]) if found else None


def cause_of(check: Check, answer: Answer) -> str:
    """What usually makes an answer wrong; errors that the question does not ask for have a cause of their own."""
    if answer.crash and answer.got.startswith("the process"):
        return ""
    if answer.crash and re.search(r"\bCUDA\b|\bmps\b", answer.got):
        return "a device that the code fixes; everything is asked on the processor"
    if answer.crash and answer.got.startswith("NameError"):
        return "a name that your code uses and does not define or import"
    if answer.crash and answer.got.startswith("no end"):
        return check.cause if check.hangs and answer.cause is None else ""
    if answer.crash and answer.cause is None and not (check.errors and re.match(check.errors, answer.got)):
        return ""
    return check.cause if answer.cause is None else answer.cause


def kind_text(check: Check, edition: str) -> str:
    """Who says so, in words."""
    return KINDS[check.kind_in(edition)]
