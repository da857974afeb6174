r"""Where a text file may be cut so that its pieces, encoded one by one, give the ids of the whole.

For GPT-2's pattern `cs336_lib.bpe.cutting.cuts` knows: at most ends of words. Any other pattern may join what it
likes, so there only the end of a special token is sure - specials are cut out of a text before anything else happens
to it - and only if no other special token could reach across either end of it, for the longest one wins.

Both kinds of places are recognized from a few bytes around them, so every worker finds the same ones without reading
the rest of the file, and needs to be told no more than a range of bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import BinaryIO, Protocol

from cs336_lib.bpe.cutting.cuts import CutFile
from cs336_lib.bpe.specials import Spans

_WINDOW = 1 << 16


class Cuts(Protocol):
    """Finds places where a file may be cut."""

    def first_cut(self, start: int, stop: int) -> int | None:
        """The first one in `start <= place < stop`, or None; the ends of the file are cuts."""


def cuts(file: BinaryIO, size: int, special_tokens: Sequence[str], at_words: bool) -> Cuts:
    """The cuts of a file for one tokenizer.

    Args:
        file: the text, opened with `buffering=0`.
        size: its size in bytes.
        special_tokens: the tokenizer's, and any other strings that must stay whole.
        at_words: whether it cuts words by GPT-2's pattern and looks no further.
    """
    encoded = sorted({token.encode() for token in special_tokens if token})
    return CutFile(file, size, encoded) if at_words else SpecialEnds(file, size, encoded)


def bounds(found: Cuts, size: int, start: int, stop: int) -> tuple[int, int]:
    """Where the piece of a range begins and ends: at the first cut in it, and at the first one behind it.

    Pieces of ranges that cover the file cover it too. One whose range has no cut is empty: (0, 0).
    """
    first = found.first_cut(start, stop)
    if first is None or first >= size:
        return 0, 0
    last = size if stop >= size else found.first_cut(stop, size + 1)
    assert last is not None
    return first, last


class SpecialEnds:
    """The ends of special tokens in a file, where they are sure.

    Args:
        file: open for reading in binary.
        size: its size in bytes.
        special_tokens: encoded.

    >>> import io
    >>> ends = SpecialEnds(io.BytesIO(b"a<s>b<s>c"), 9, [b"<s>"])
    >>> ends.first_cut(0, 4), ends.first_cut(1, 9), ends.first_cut(5, 9), ends.first_cut(5, 8)
    (0, 4, 8, None)
    """

    def __init__(self, file: BinaryIO, size: int, special_tokens: Sequence[bytes]) -> None:
        self._file, self._size, self._specials = file, size, special_tokens
        self._margin = 2 * max(map(len, special_tokens), default=0)

    def first_cut(self, start: int, stop: int) -> int | None:
        """The first end in `start <= place < stop`, or None; the ends of the file are cuts."""
        if start <= 0:
            return 0
        while self._specials and start < min(stop, self._size):
            first = max(0, start - self._margin)
            self._file.seek(first)
            window = read_fully(self._file, start + _WINDOW + self._margin - first)
            for place in self._ends(window):
                if start <= first + place < min(stop, start + _WINDOW):
                    return first + place
            start += _WINDOW
        return self._size if self._size < stop else None

    def _ends(self, window: bytes) -> list[int]:
        """Sure ends in a window, ascending; those within the margin of its ends are sure only at the text's ends."""
        spans = Spans(window, self._specials)
        sure = (b for a, b in zip(spans.starts, spans.ends, strict=True) if not spans.cross(a) and not spans.cross(b))
        return sorted(set(sure))


def read_fully(file: BinaryIO, count: int) -> bytes:
    """Read until so many bytes are there or the file ends; one unbuffered read may give fewer."""
    text = file.read(count)
    if len(text) == count or not text:
        return text
    parts = [text]
    while (missing := count - sum(map(len, parts))) and (part := file.read(missing)):
        parts.append(part)
    return b"".join(parts)
