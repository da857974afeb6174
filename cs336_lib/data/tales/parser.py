"""Parsing: the walk with a driver that looks at the text.

At a choice the driver keeps the alternatives that can produce the next k bytes, for k = 4, 16, 64, ... until one is
left. `ambiguity.check` has proved for the built-in grammar that no two alternatives can agree for `ambiguity.LIMIT`
bytes, so the one that is left is the only one, and a text has one derivation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from cs336_lib.data.tales.program import Branch, End, Fill, Program, Write
from cs336_lib.data.tales.walk import Derivation, derive


class NotATaleError(ValueError):
    """A text that the grammar cannot make; `position` is the byte where it leaves the grammar."""

    def __init__(self, text: bytes, position: int, why: str) -> None:
        self.position = position
        before = text[max(0, position - 30) : position].decode(errors="replace")
        found = text[position : position + 20].decode(errors="replace") or "the end of the text"
        super().__init__(f"the text leaves the grammar at byte {position}, after {before!r}: found {found!r}, {why}")


def parse(program: Program, text: str) -> Derivation:
    """Recover the derivation of a text.

    Raises:
        NotATaleError: a ValueError that says at which byte the text leaves the grammar.
    """
    driver = _Parser(program, text.encode())
    derivation = derive(program, driver)
    if driver.at < len(driver.text):
        raise NotATaleError(driver.text, driver.at, "where the story should end")
    return derivation


class _Parser:
    """Chooses what the text says."""

    def __init__(self, program: Program, text: bytes) -> None:
        self.program, self.text, self.at = program, text, 0

    def write(self, text: bytes) -> None:
        if not self.text.startswith(text, self.at):
            self.fail([text])
        self.at += len(text)

    def choose(self, number: int, weights: Sequence[int], registers: dict[str, int]) -> int:
        step = self.program.steps[number]
        assert isinstance(step, Branch | Fill)
        options, _ = self.program.options(step, registers)
        left = [index for index, weight in enumerate(weights) if weight]
        depth = 4
        while True:
            ahead = self.at + depth
            kept = [i for i in left if self.leads(step, i, options[i], registers, self.at, ahead)]
            if len(kept) == 1:
                return kept[0]
            if not kept:
                # Nothing produces the next `depth` bytes: go on with what came furthest, and fail where it fails.
                if depth == 4:
                    self.fail([self.opening(step, options[i], registers) for i in left])
                return left[0]
            if ahead > len(self.text) + 1:
                raise NotATaleError(self.text, self.at, f"which {len(kept)} alternatives can produce")
            left, depth = kept, depth * 4

    def leads(
        self, step: Branch | Fill, index: int, option: int, registers: dict[str, int], at: int, ahead: int
    ) -> bool:
        if isinstance(step, Branch):
            edge = step.edges[index]
        else:
            word = self.program.forms[step.register, step.form][option]
            if not self.agrees(word, at, ahead):
                return False
            at, edge, registers = at + len(word), step.edge, {**registers, step.register: option}
        if at < ahead and not self.agrees(edge.text, at, ahead):
            return False
        return self.can_follow(edge.to, registers, at + len(edge.text), ahead)

    def agrees(self, word: bytes, at: int, ahead: int) -> bool:
        width = min(len(word), ahead - at)
        return self.text[at : at + width] == word[:width]

    def can_follow(self, number: int, registers: dict[str, int], at: int, ahead: int) -> bool:
        """Whether the walk can go on from step `number` so that text[at:ahead] is what it writes."""
        if at >= ahead:
            return True
        step = self.program.steps[number]
        if isinstance(step, End):
            return at == len(self.text)
        if isinstance(step, Write):
            word = self.program.forms[step.register, step.form][registers[step.register]] + step.edge.text
            return self.agrees(word, at, ahead) and self.can_follow(step.edge.to, registers, at + len(word), ahead)
        options, weights = self.program.options(step, registers)
        return any(
            weight and self.leads(step, index, option, registers, at, ahead)
            for index, (option, weight) in enumerate(zip(options, weights, strict=True))
        )

    def opening(self, step: Branch | Fill, option: int, registers: dict[str, int]) -> bytes:
        if isinstance(step, Branch):
            return step.edges[option].text or b"..."
        return self.program.forms[step.register, step.form][option]

    def fail(self, expected: Sequence[bytes]) -> NoReturn:
        lengths = [_common(text, self.text[self.at : self.at + len(text)]) for text in expected]
        best = max(lengths)
        words = sorted({text.decode() for text, length in zip(expected, lengths, strict=True) if length == best})
        shown = ", ".join(repr(word) for word in words[:6]) + (", ..." if len(words) > 6 else "")
        raise NotATaleError(self.text, self.at + best, f"where the grammar has {shown}")


def _common(a: bytes, b: bytes) -> int:
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
