r"""Where a text may be cut so that its pieces, encoded one by one, give the ids of the whole.

Two kinds of places are sure:

- The end of a special token. Specials are cut out before anything else, the longest first; an occurrence counts here
only if no
  other special token reaches across either of its ends, so that it is certainly the one that is taken.
- Behind a printable ASCII character, before a space or a new line - if the tokenizer's pattern is GPT-2's. None of its
  alternatives has white space behind anything else, and the text to the left does not end in white space, so
  `\s+(?!\S)`, the one part that looks ahead, sees the same in the piece as in the whole. Other patterns may join a
  full stop to the new line behind it.

Neither place may lie inside something that could be a special token. Both are recognised from a few bytes around them,
so every worker finds the same cuts without reading the rest of the file.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import BinaryIO

GPT2_PATTERN = r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""

_WORD_END = re.compile(rb"(?<=[!-~])(?=[ \n])")
_WINDOW = 1 << 12
_LARGEST_WINDOW = 1 << 22


class Cutter:
    """Finds the places where a text may be cut for one tokenizer.

    Args:
        special_tokens: the tokenizer's special tokens.
        pattern: its pre-token pattern; places between words are used only if it is GPT-2's.

    >>> [bytes(b) for b in Cutter(["<|x|>"], GPT2_PATTERN).split(b"A dog <|x|>sat. Bye")]
    [b'A', b' dog', b' <|x|>', b'sat.', b' Bye']
    >>> [bytes(b) for b in Cutter(["<|x|>"], None).split(b"A dog <|x|>sat. Bye")]
    [b'A dog <|x|>', b'sat. Bye']
    """

    def __init__(self, special_tokens: Sequence[str], pattern: str | None) -> None:
        self.specials = sorted({token.encode() for token in special_tokens if token})
        self.between_words = pattern == GPT2_PATTERN
        self.reach = max([len(token) for token in self.specials], default=0)

    def places(self, window: bytes) -> list[int]:
        """Sure places in a window, in ascending order.

        Those within `2 * reach` of its ends are sure only if the window ends there because the text does.
        """
        found = [(at, at + len(token)) for token in self.specials for at in _occurrences(window, token)]
        ends = {b for a, b in found if not _crossed(a, found) and not _crossed(b, found)}
        if self.between_words:
            ends.update(p for m in _WORD_END.finditer(window) if not _crossed(p := m.start(), found))
        return sorted(ends)

    def first_cut(self, file: BinaryIO, size: int, at: int) -> int:
        """The first sure place at or behind `at`; the ends of the file are sure.

        Args:
            file: the text, open for reading in binary.
            size: its size in bytes.
            at: where to look from.
        """
        margin, width = 2 * self.reach + 1, _WINDOW
        while 0 < at < size:
            first = max(0, at - margin)
            file.seek(first)
            window = file.read(at + width + margin - first)
            for place in self.places(window):
                if at <= first + place < at + width:
                    return first + place
            at += width
            width = min(2 * width, _LARGEST_WINDOW)
        return min(max(at, 0), size)

    def split(self, text: bytes) -> list[bytes]:
        """All pieces of a short text: what the tests compare the cuts with."""
        bounds = [0, *(p for p in self.places(text) if 0 < p < len(text)), len(text)]
        return [text[a:b] for a, b in zip(bounds, bounds[1:], strict=False)]


def _occurrences(window: bytes, token: bytes) -> list[int]:
    found, at = [], window.find(token)
    while at >= 0:
        found.append(at)
        at = window.find(token, at + 1)
    return found


def _crossed(place: int, spans: list[tuple[int, int]]) -> bool:
    """Whether a span reaches across a place."""
    return any(a < place < b for a, b in spans)
