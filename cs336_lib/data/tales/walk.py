"""One walk through the program, three drivers: generate, parse, enumerate.

`derive` walks the graph from the root to the end. At each choice it asks its driver for an index and adds the
logarithm of that choice's probability. A driver with a random stream generates; one that looks at a text and picks the
only alternative that can produce the next bytes parses; one that tries every index in turn enumerates. The compiled
`kernel` is the fourth: it only generates, and must produce the very bytes that this walk does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import log
from typing import Protocol

from cs336_lib.data.tales.program import End, Fill, Program, Write
from cs336_lib.data.tales.rng import Stream


class Driver(Protocol):
    """What a walk asks at each choice, and tells about each text it writes."""

    def choose(self, number: int, weights: Sequence[int], registers: dict[str, int]) -> int:
        """The index to take at step `number`; its weight is positive."""

    def write(self, text: bytes) -> None:
        """The walk has written `text`."""


@dataclass(frozen=True)
class Derivation:
    """A walk from the root to the end.

    Attributes:
        log_prob: natural logarithm of its probability among the stories of its split.
        parity: sum of all choice indices modulo 2: 0 in the train split, 1 in the valid split.
        choices: the indices taken.
    """

    log_prob: float
    parity: int
    choices: tuple[int, ...]


def derive(program: Program, driver: Driver, split: int | None = None) -> Derivation:
    """Walk from the root to the end, taking the choices of `driver`.

    Args:
        program: the grammar.
        driver: chooses and receives the text.
        split: 0 for train, 1 for valid; None lets the closing choice be any, and so finds the split.
    """
    number, total = program.root.to, 0.0
    registers: dict[str, int] = {}
    choices: list[int] = []
    driver.write(program.root.text)
    while not isinstance(step := program.steps[number], End):
        if isinstance(step, Write):
            driver.write(program.forms[step.register, step.form][registers[step.register]])
            edge = step.edge
        else:
            options, weights = program.options(step, registers)
            if number == program.closing:
                total -= log(len(options) // 2)
                if split is not None:
                    needed = (split + sum(choices)) % 2
                    weights = [int(i % 2 == needed) for i in options]
                index = driver.choose(number, weights, registers)
            else:
                index = driver.choose(number, weights, registers)
                total += log(weights[index] / sum(weights))
            choices.append(index)
            if isinstance(step, Fill):
                registers[step.register] = options[index]
                driver.write(program.forms[step.register, step.form][options[index]])
                edge = step.edge
            else:
                edge = step.edges[index]
        driver.write(edge.text)
        number = edge.to
    return Derivation(total, sum(choices) % 2, tuple(choices))


class Generator:
    """Chooses at random and keeps the text."""

    def __init__(self, stream: Stream) -> None:
        self.stream, self.text = stream, bytearray()

    def choose(self, number: int, weights: Sequence[int], registers: dict[str, int]) -> int:
        """Draw an index; an excluded one is drawn again, which leaves the others' ratios as they are."""
        slots = [index for index, weight in enumerate(weights) for _ in range(weight)]
        return slots[self.stream.below(len(slots))]

    def write(self, text: bytes) -> None:
        """Keep the text."""
        self.text += text


class Replay:
    """Takes given indices, then the first allowed one; remembers what was allowed."""

    def __init__(self, indices: Sequence[int]) -> None:
        self.indices, self.text = indices, bytearray()
        self.allowed: list[list[int]] = []

    def choose(self, number: int, weights: Sequence[int], registers: dict[str, int]) -> int:
        """The given index, or the first allowed one."""
        allowed = [index for index, weight in enumerate(weights) if weight]
        at = len(self.allowed)
        self.allowed.append(allowed)
        return self.indices[at] if at < len(self.indices) else allowed[0]

    def write(self, text: bytes) -> None:
        """Keep the text."""
        self.text += text


def enumerate_stories(program: Program, split: int) -> Iterator[tuple[str, Derivation]]:
    """Every derivation of a split with its text, in lexicographic order of choices; for small grammars."""
    indices: list[int] = []
    while True:
        driver = Replay(indices)
        derivation = derive(program, driver, split)
        yield driver.text.decode(), derivation
        indices = list(derivation.choices)
        while indices and indices[-1] == driver.allowed[len(indices) - 1][-1]:
            indices.pop()
        if not indices:
            return
        allowed = driver.allowed[len(indices) - 1]
        indices[-1] = allowed[allowed.index(indices[-1]) + 1]


def generate(program: Program, seed: int, split: int, index: int) -> tuple[str, Derivation]:
    """The text and derivation of one story: the slow twin of `kernel.generate`."""
    driver = Generator(Stream(seed, split, index))
    derivation = derive(program, driver, split)
    return driver.text.decode(), derivation
