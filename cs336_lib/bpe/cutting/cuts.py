r"""Where may a file be cut so that its pieces, pre-tokenized one by one, give the pre-tokens of the whole?

Only where the pattern provably cuts, whatever stands further left or right. There is a boundary between two symbols

    any non-space | white space                     no pre-token has white space behind anything else
    letter        | anything but letter or space    a run of letters ends here, and so does a contraction
    number        | anything but number or space    likewise
    other, not '  | letter or number                likewise; after an apostrophe a contraction could go on

and in each case the symbol on the left isn't white space, so that `\s+(?!\S)`, the one part of the pattern that looks
ahead, sees the same in the piece as in the whole. A place inside what could be a special token is no cut.

Such a place is recognized by the few bytes around it: proper UTF-8 is decoded the same wherever decoding began. So
every worker finds the same cuts by itself, and needs to be told no more than a range of bytes. Words, spaces and
punctuation make for a cut every few bytes; a file without any (one letter, two billion times) is one pre-token and
stays in one piece.
"""

import os
from collections.abc import Iterator, Sequence
from typing import BinaryIO

import numpy as np
import regex

from cs336_lib.bpe.specials import Spans
from cs336_lib.native.library import PADDING

_CUT = regex.compile(
    r"(?<=\S)(?=\s)"
    r"|(?<=\p{L})(?=[^\s\p{L}])"
    r"|(?<=\p{N})(?=[^\s\p{N}])"
    r"|(?<=[^\s\p{L}\p{N}'])(?=[\p{L}\p{N}])"
)
# Places between two characters where PAT always starts a pre-token and where the pre-token before looks no further:
# before the first of some whitespace, after a run of letters, after a run of digits. Not after a symbol (the ' of 's),
# nor after a space. Searched from the right, for the last such place.
_PAT_CUT = regex.compile(r"(?r)(?<=\S)(?=\s)|(?<=\p{L})(?=\P{L})|(?<=\p{N})(?=\P{N})")
_FIRST_WINDOW = 256
_LARGEST_WINDOW = 1 << 20
_LONGEST_SYMBOL = 4


class FileChangedError(RuntimeError):
    """A file has another size or date than when reading it began."""


def cut_places(window: bytes, special_tokens: Sequence[bytes]) -> Iterator[int]:
    """Places in a window of a text at which the text may be cut, in ascending order.

    Args:
        window: bytes of the text. Places near its ends, where a symbol or special token may be cut off, aren't sure.
        special_tokens: encoded.

    >>> text = b"It's <|x|> ok"
    >>> [text[:place] for place in cut_places(text, [b"<|x|>"])]
    [b'It', b"It's", b"It's <|x|>"]
    """
    symbols = window.decode("utf-8", errors="surrogateescape")
    spans = Spans(window, special_tokens)
    place, before = 0, 0
    for match in _CUT.finditer(symbols):
        place += len(symbols[before : match.start()].encode("utf-8", errors="surrogateescape"))
        before = match.start()
        if not spans.cross(place):
            yield place


def last_cut(text: str, start: int, end: int) -> int:
    """The last place after `start` and before `end` where a text may be cut for `PAT`; `start` if there is none.

    >>> last_cut("The cat sat", 0, 9)
    7
    """
    found = _PAT_CUT.search(text, start, end) if start + 1 < end else None
    return found.start() if found and found.start() > start else start


class CutFile:
    """A file that is read in pieces that end at cuts.

    Args:
        file: open for reading, unbuffered.
        size: bytes of it.
        special_tokens: encoded.
    """

    def __init__(self, file: BinaryIO, size: int, special_tokens: Sequence[bytes]) -> None:
        self._file = file
        self._size = size
        self._special_tokens = special_tokens
        self._margin = max([_LONGEST_SYMBOL, *map(len, special_tokens)])
        self._buffer = np.zeros(PADDING, np.uint8)

    def first_cut(self, start: int, stop: int) -> int | None:
        """The first cut in `start <= place < stop`; the ends of the file are cuts. None if there is none."""
        if start <= 0:
            return 0
        size = _FIRST_WINDOW
        while start < min(stop, self._size):
            first = max(0, start - self._margin)
            window = self._read(first, min(self._size, start + size + self._margin))
            for place in cut_places(window, self._special_tokens):
                if start <= first + place < min(stop, start + size):
                    return first + place
            start += size
            size = min(2 * size, _LARGEST_WINDOW)
        return self._size if self._size < stop else None

    def read_piece(self, start: int, stop: int) -> tuple[np.ndarray, int]:
        """What lies between the first cut in a range and the first one behind it.

        Pieces of ranges that cover the file cover it too; one whose range has no cut is empty.

        Args:
            start: first byte of the range.
            stop: byte behind it.

        Returns:
            Buffer, which the next call reuses, and how many bytes of it are the piece; `PADDING` zeros follow.
        """
        first = self.first_cut(start, stop)
        if first is None or first >= self._size:
            return self._buffer, 0
        last = self._size if stop >= self._size else self.first_cut(stop, self._size + 1)
        assert last is not None
        size = last - first
        if len(self._buffer) < size + PADDING:
            self._buffer = np.empty(size + PADDING + (size >> 4), np.uint8)
        self._file.seek(first)
        self._fill(self._buffer[:size].data)
        self._buffer[size : size + PADDING] = 0
        return self._buffer, size

    def _read(self, first: int, last: int) -> bytes:
        window = bytearray(last - first)
        self._file.seek(first)
        self._fill(memoryview(window))
        return bytes(window)

    def _fill(self, view: memoryview) -> None:
        while len(view) > 0:
            got = self._file.readinto(view)  # type: ignore[attr-defined]
            if not got:
                raise FileChangedError(f"{self._file.name} became shorter than {self._size:,} bytes while it was read")
            view = view[got:]


def fingerprint(status: os.stat_result) -> tuple[int, int]:
    """Size in bytes and time of the last change in nanoseconds, by which a changed file is noticed."""
    return status.st_size, status.st_mtime_ns
