"""Proof that a text determines its derivation: no two alternatives of a choice can write the same next bytes.

`check` walks every pair of alternatives side by side, over all ways the story may go on, until the bytes differ.
Registers filled before the choice have unknown entries: a form of one is compared with itself symbolically, and with
anything else for every entry in turn, bound on both sides from there on. If every pair differs within `LIMIT` bytes,
then whoever reads a text from the left always knows which alternative was taken: the derivation is unique and the
parser needs no luck.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from cs336_lib.data.tales.lexicon import GrammarError
from cs336_lib.data.tales.program import Branch, Edge, End, Fill, Program, Write

LIMIT = 240  # bytes two alternatives may share at most; the built-in grammar needs far fewer


@dataclass(frozen=True)
class _Side:
    """One alternative being read: bytes not yet compared, the step after them, registers filled since the choice."""

    text: bytes
    to: int
    own: dict[str, int]

    def then(self, text: bytes, edge: Edge, own: dict[str, int] | None = None) -> _Side:
        return _Side(text + edge.text, edge.to, self.own if own is None else own)


def check(program: Program) -> int:
    r"""Prove that texts determine derivations.

    Returns:
        The longest stretch of bytes that two alternatives of a choice have in common.

    Raises:
        GrammarError: with a text that two alternatives of one choice can both write.

    >>> from cs336_lib.data.tales.program import compile_program
    >>> rules = "story:\n  A [red|reddish] cat[ sat|ty sat]. [Bye|So long]. <end!>\nend:\n  End.\n  Over."
    >>> check(compile_program("", rules))
    3
    """
    checker = _Checker(program)
    longest = 0
    for number, step in enumerate(program.steps):
        if isinstance(step, Branch):
            sides = [_Side(edge.text, edge.to, {}) for edge in step.edges]
            longest = max(longest, checker.pairs(number, sides, {}))
        elif isinstance(step, Fill):
            longest = max(longest, checker.fill(number, step))
    return longest


class _Checker:
    def __init__(self, program: Program) -> None:
        self.program = program
        fills = [step for step in program.steps if isinstance(step, Fill)]
        # Register pairs that never hold the same entry: one is always filled as a sibling of the other.
        self.apart = {
            (step.register, step.source)
            for step in fills
            if step.other and all(o.other and o.source == step.source for o in fills if o.register == step.register)
        }
        self.prefix_free: dict[tuple[str, str], bool] = {}

    def fill(self, number: int, step: Fill) -> int:
        words = self.program.forms[step.register, step.form]
        longest = 0
        for entries in dict.fromkeys(step.lists):
            ordered = sorted(entries, key=words.__getitem__)
            for at, first in enumerate(ordered):
                for second in ordered[at + 1 :]:
                    if not words[second].startswith(words[first]):
                        longest = max(longest, _common(words[first], words[second]))
                        break  # sorted: later words differ from `first` no later
                    sides = [
                        _Side(b"", step.edge.to, {}).then(words[e], step.edge, {step.register: e})
                        for e in (first, second)
                    ]
                    longest = max(longest, self.pairs(number, sides, {}))
        return longest

    def pairs(self, number: int, sides: list[_Side], shared: dict[str, int]) -> int:
        longest = 0
        for at, left in enumerate(sides):
            for right in sides[at + 1 :]:
                common = _common(left.text, right.text)
                if common == min(len(left.text), len(right.text)):
                    for witness in self.clash(left, right, shared, b""):
                        if len(witness) >= LIMIT or witness.endswith(b"\0"):
                            shown = witness[:LIMIT].decode(errors="replace")
                            raise GrammarError(f"step {number}: two alternatives can both write {shown!r}")
                        common = max(common, len(witness))
                longest = max(longest, common)
        return longest

    def clash(self, left: _Side, right: _Side, shared: dict[str, int], seen: bytes) -> Iterator[bytes]:
        """The texts that both sides can write, up to where they differ; one that ends in NUL ends both stories."""
        common = _common(left.text, right.text)
        seen += left.text[:common]
        if common < min(len(left.text), len(right.text)) or len(seen) >= LIMIT:
            yield seen
            return
        left, right = (_Side(s.text[common:], s.to, s.own) for s in (left, right))
        if left.text:
            left, right = right, left
        yield from self.advance(left, right, shared, seen)

    def advance(self, left: _Side, right: _Side, shared: dict[str, int], seen: bytes) -> Iterator[bytes]:
        """Go on where `left` has no text to compare."""
        step, other = self.program.steps[left.to], self.program.steps[right.to]
        if isinstance(step, End):
            if not right.text and isinstance(other, End):
                yield seen + b"\0"
            elif right.text:
                yield seen
            else:
                yield from self.advance(right, left, shared, seen)
        elif isinstance(step, Branch):
            for edge in step.edges:
                yield from self.clash(left.then(b"", edge), right, shared, seen)
        elif (
            isinstance(step, Fill)
            and not right.text
            and isinstance(other, Fill)
            and self.same_choice(step, other, left, right)
        ):
            left = _Side(step.edge.text, step.edge.to, _without(left.own, step.register))
            right = _Side(other.edge.text, other.edge.to, _without(right.own, step.register))
            yield from self.clash(left, right, _without(shared, step.register), seen + b"?")
        elif isinstance(step, Fill):
            words = self.program.forms[step.register, step.form]
            source = left.own.get(step.source, shared.get(step.source)) if step.source else None
            lists = step.lists if source is None else (step.lists[source],)
            for entry in sorted({e for entries in lists for e in entries}):
                if not (step.other and entry == source):
                    own = {**left.own, step.register: entry}
                    yield from self.clash(left.then(words[entry], step.edge, own), right, shared, seen)
        else:
            yield from self.write(step, left, right, shared, seen)

    def same_choice(self, step: Fill, other: Fill, left: _Side, right: _Side) -> bool:
        """Whether both sides fill a register alike: then it holds one unknown entry, or their texts differ at once."""
        alike = (step.register, step.form, step.lists, step.source, step.other)
        if alike != (other.register, other.form, other.lists, other.source, other.other):
            return False
        if step.source is not None and (step.source in left.own or step.source in right.own):
            return False
        if (key := (step.register, step.form)) not in self.prefix_free:
            ordered = sorted(self.program.forms[key])
            self.prefix_free[key] = not any(b.startswith(a) for a, b in pairwise(ordered))
        return self.prefix_free[key]

    def write(self, step: Write, left: _Side, right: _Side, shared: dict[str, int], seen: bytes) -> Iterator[bytes]:
        register, words = step.register, self.program.forms[step.register, step.form]
        known = left.own.get(register, shared.get(register))
        if known is not None:
            yield from self.clash(left.then(words[known], step.edge), right, shared, seen)
            return
        other = self.program.steps[right.to]
        if (
            isinstance(other, Write)
            and (other.register, other.form) == (register, step.form)
            and not right.text
            and register not in right.own
        ):
            yield from self.clash(left.then(b"", step.edge), right.then(b"", other.edge), shared, seen)
            return
        if not right.text and isinstance(other, Branch | Fill):
            yield from self.advance(right, left, shared, seen)
            return
        taken = {shared.get(b if a == register else a) for a, b in self.apart if register in (a, b)}
        yield seen
        for entry, word in enumerate(words):
            if entry not in taken and right.text[:1].startswith(word[:1] if right.text else b""):
                yield from self.clash(left.then(word, step.edge), right, {**shared, register: entry}, seen)


def _without(entries: dict[str, int], register: str) -> dict[str, int]:
    return {name: entry for name, entry in entries.items() if name != register}


def _common(a: bytes, b: bytes) -> int:
    width = min(len(a), len(b))
    if a[:width] == b[:width]:
        return width
    return next(i for i in range(width) if a[i] != b[i])
