r"""The class of every Unicode code point, as the installed `regex` sees it: letter, number, white space or other.

The scanner looks symbols up in one flat table, a byte for each code point (1.1 MB, of which a text touches little):

    code point   0 ... 32  33 ... 48 ... 65 ... 0x10FFFF
    table        0      3   0     2      1      0           OTHER 0, LETTER 1, NUMBER 2, SPACE 3

Asking `regex` takes 0.2 s, so the answer is kept in the cache folder as runs (3 KB), under the version of `regex`:
Unicode grows, and a table of another age would cut some rare letters differently from the oracle.
"""

import functools
from pathlib import Path

import numpy as np
import regex

from cs336_lib.native.cache import read_cached, write_cached

OTHER, LETTER, NUMBER, SPACE = 0, 1, 2, 3
CODE_POINTS = 0x110000
_SURROGATES = range(0xD800, 0xE000)
_PATTERNS = ((LETTER, r"\p{L}+"), (NUMBER, r"\p{N}+"), (SPACE, r"\s+"))
_RUN = np.dtype([("length", "<u4"), ("symbol_class", "u1")])


def ask_regex() -> np.ndarray:
    """Class of every code point, asked of the installed `regex`.

    Returns:
        uint8 array of shape (0x110000,). Surrogates are OTHER, which is also how an undecodable byte is seen.

    >>> classes = ask_regex()
    >>> [int(classes[ord(symbol)]) for symbol in "a7 ?"]
    [1, 2, 3, 0]
    """
    classes = np.full(CODE_POINTS, OTHER, np.uint8)
    for first, stop in ((0, _SURROGATES.start), (_SURROGATES.stop, CODE_POINTS)):
        symbols = "".join(map(chr, range(first, stop)))
        for symbol_class, pattern in _PATTERNS:
            for match in regex.finditer(pattern, symbols):
                classes[first + match.start() : first + match.end()] = symbol_class
    return classes


def _to_runs(classes: np.ndarray) -> bytes:
    starts = np.flatnonzero(np.diff(classes, prepend=255))
    runs = np.empty(len(starts), _RUN)
    runs["length"] = np.diff(starts, append=len(classes))
    runs["symbol_class"] = classes[starts]
    return runs.tobytes()


def _from_runs(stored: bytes) -> np.ndarray:
    runs = np.frombuffer(stored, _RUN)
    return np.repeat(runs["symbol_class"], runs["length"])


def _cache_name() -> str:
    # The size tells apart builds that kept their version string; `regex` has had two numbering schemes.
    return f"symbol-classes-{regex.__version__}-{Path(regex.__file__).stat().st_size}.bin"


@functools.cache
def symbol_classes() -> np.ndarray:
    """Class of every code point, from the cache folder if it is there.

    Returns:
        Read-only uint8 array of shape (0x110000,).
    """
    stored = read_cached(_cache_name())
    classes = None if stored is None else _from_runs(stored)
    if classes is None:
        classes = ask_regex()
        write_cached(_cache_name(), _to_runs(classes))
    classes.flags.writeable = False
    return classes
