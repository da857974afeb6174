"""Exact entropy and mean lengths of a program's stories, by one pass backward through its graph.

A choice at a step depends on nothing but, for some fills, one register. So what is still to come after a step - the
expected entropy of the remaining choices, the expected length of the remaining text - is a constant plus, for each
register that is still read, a function of its entry:

    rest(step | registers) = constant + sum over registers r of part[r][entry in r]

Branches average these sums, writing a form adds its lengths to one part, filling a register averages its part away.
The result at the root is exact; nothing is sampled. The closing choice has 2m edges, of which the split allows m: it
adds ln m. Its text is averaged over all 2m, which is exact too, because the choice before it is a fair coin of parity
(`Program`).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from cs336_lib.data.tales.lexicon import GrammarError
from cs336_lib.data.tales.program import Branch, Edge, End, Fill, Program, Write


@dataclass(frozen=True)
class Means:
    """Exact means over the stories of a split, separators not counted.

    Attributes:
        nats: entropy, the mean of -ln p.
        bytes: length in UTF-8 bytes.
        words: length in words, set apart by spaces and new lines.
    """

    nats: float
    bytes: float
    words: float


@dataclass
class _Rest:
    """A constant plus a function of each register, for three quantities at once: nats, bytes, gaps between words."""

    constant: np.ndarray = field(default_factory=lambda: np.zeros(3))
    parts: dict[str, np.ndarray] = field(default_factory=dict)  # register -> (3, entries)

    def add(self, other: _Rest, share: float) -> None:
        self.constant = self.constant + share * other.constant
        for register, part in other.parts.items():
            self.add_part(register, share * part)

    def add_part(self, register: str, part: np.ndarray) -> None:
        self.parts[register] = self.parts[register] + part if register in self.parts else part


def means(program: Program) -> Means:
    """Entropy and mean lengths of a program's stories.

    >>> from cs336_lib.data.tales.program import compile_program
    >>> program = compile_program("", '''
    ... story:
    ...   [A|Two]. [Yes|No]. <end!>
    ... end:
    ...   Bye.
    ...   End.
    ... ''')
    >>> means(program)  # ln 2 + ln 2 + ln 1 nats
    Means(nats=1.3862943611198906, bytes=12.5, words=3.0)
    """
    rests: list[_Rest] = []

    def after(edge: Edge) -> _Rest:
        rest = rests[edge.to]
        return _Rest(rest.constant + _lengths([edge.text])[:, 0], dict(rest.parts))

    for number, step in enumerate(program.steps):
        rest = _Rest()
        if isinstance(step, Branch):
            weights = np.array(step.weights)
            rest.constant[0] = _entropy(weights[::2] if number == program.closing else weights)
            for edge, weight in zip(step.edges, step.weights, strict=True):
                rest.add(after(edge), weight / sum(step.weights))
        elif isinstance(step, Write):
            rest = after(step.edge)
            rest.add_part(step.register, _lengths(program.forms[step.register, step.form]))
        elif isinstance(step, Fill):
            rest = after(step.edge)
            _average_away(program, step, rest)
        rests.append(rest)
    rest = after(program.root)
    if rest.parts:
        raise GrammarError(f"registers that may be read before they are filled: {', '.join(sorted(rest.parts))}")
    nats, length, gaps = (float(x) for x in rest.constant)
    return Means(nats, length, gaps + 1)


def maximum_length(program: Program) -> int:
    """An upper bound for the bytes of a story: the longest path, each slot at its longest form."""
    longest: list[int] = []

    def via(edge: Edge) -> int:
        return len(edge.text) + longest[edge.to]

    for step in program.steps:
        if isinstance(step, End):
            longest.append(0)
        elif isinstance(step, Branch):
            longest.append(max(via(edge) for edge in step.edges))
        else:
            longest.append(via(step.edge) + max(len(word) for word in program.forms[step.register, step.form]))
    return via(program.root)


def _entropy(weights: np.ndarray) -> float:
    """Entropy in nats of a choice with these integer weights."""
    p = weights / weights.sum()
    return float(-(p * np.log(p)).sum())


def _average_away(program: Program, step: Fill, rest: _Rest) -> None:
    """Average the register's part and its text over the choice of its entry; add that choice's entropy."""
    value = _lengths(program.forms[step.register, step.form]) + rest.parts.pop(step.register, 0.0)
    all_weights = np.array(program.tables[program.table_of[step.register]].weights)
    columns = []
    for owner, entries in enumerate(step.lists):
        chosen = np.array([entry for entry in entries if not (step.other and entry == owner)])
        weights = all_weights[chosen]
        column = value[:, chosen] @ weights / weights.sum()
        column[0] += _entropy(weights)
        columns.append(column)
    if step.source is None:
        rest.constant = rest.constant + columns[0]
    else:
        rest.add_part(step.source, np.stack(columns, axis=1))


def _lengths(texts: list[bytes]) -> np.ndarray:
    """(3, texts): no nats, bytes, gaps."""
    return np.array([[0, len(text), text.count(b" ") + text.count(b"\n")] for text in texts], dtype=np.float64).T
