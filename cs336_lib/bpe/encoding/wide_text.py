r"""A string beyond ASCII, read where CPython keeps it: as characters of 1, 2 or 4 bytes.

    "caf\xe9"      63 61 66 e9                  no character over U+00FF: 1 byte each
    "\u4f60 a"     60 4f 20 00 61 00            none over U+FFFF: 2 bytes each, as this processor orders them
    "\U0001f600"   00 f6 01 00                  4 bytes each

Asked for the UTF-8 form, CPython makes it of the whole string, on one thread, and keeps it as long as the string. That
takes about as long as encoding where the words are known, and a quarter of the string's memory to twice as much. A
kernel makes it of the part in hand, in memory that the next part uses again.

Where the characters lie is no part of Python's interface. So this module finds out, from strings that it knows; where
the answer isn't clear, `WideText.of` gives None, and CPython is asked as before.
"""

import ctypes
import functools
import sys

_SAMPLES = {1: "\xe9", 2: "\u4f60", 4: "\U0001f600"}
_CODECS = {1: "latin-1", 2: f"utf-16-{sys.byteorder[0]}e", 4: f"utf-32-{sys.byteorder[0]}e"}
_OF_EACH = 12
_MOST_UTF8 = {1: 2, 2: 3, 4: 4}


class SurrogateError(ValueError):
    """A character of a string is a surrogate, which has no UTF-8 form."""


class WideText:
    r"""The characters of a string, by address.

    Attributes:
        text: the string; it is kept alive.
        address: of its first character.
        width: bytes of a character: 1, 2 or 4.

    >>> wide = WideText.of("caf\xe9 \u4f60" * 2)
    >>> None if wide is None else (wide.width, len(wide))
    (2, 12)
    """

    __slots__ = ("address", "text", "width")

    def __init__(self, text: str, address: int, width: int) -> None:
        self.text = text
        self.address = address
        self.width = width

    @classmethod
    def of(cls, text: str) -> "WideText | None":
        """The characters of a string; None if it is ASCII, if CPython has its UTF-8 form, or if it can't be read."""
        layout = _layout()
        if layout is None or type(text) is not str or text.isascii():
            return None
        header, state, shift = layout
        width = ctypes.c_uint32.from_address(id(text) + state).value >> shift & 7
        # With a UTF-8 form, which lies elsewhere but counts, the string is larger than this.
        if width not in _SAMPLES or sys.getsizeof(text) != header + width * (len(text) + 1):
            return None
        return cls(text, id(text) + header, width)

    def __len__(self) -> int:
        return len(self.text)

    def most_bytes(self, characters: int) -> int:
        """How many bytes of UTF-8 so many characters can't exceed."""
        return _MOST_UTF8[self.width] * characters


@functools.cache
def _layout() -> tuple[int, int, int] | None:
    """How CPython lays a string out: where its characters begin, and where its state, and in it the width, is noted.

    In CPython's own words: the size of PyCompactUnicodeObject, and the offset of `state` in it with that of `kind`.
    """
    if sys.implementation.name != "cpython":
        return None
    # Made now, so that nobody asked for UTF-8; several, as some bits of a state are what was in memory before.
    strings = [(width, count * sample) for width, sample in _SAMPLES.items() for count in range(5, 5 + _OF_EACH)]
    header = sys.getsizeof(strings[0][1]) - 6
    state = object.__basicsize__ + 2 * ctypes.sizeof(ctypes.c_void_p)  # behind the length and the hash
    for width, text in strings:
        if sys.getsizeof(text) != header + width * (len(text) + 1):
            return None
        if ctypes.string_at(id(text) + header, width * len(text)) != text.encode(_CODECS[width]):
            return None
    states = [(width, ctypes.c_uint32.from_address(id(text) + state).value) for width, text in strings]
    shifts = [shift for shift in range(30) if all(one >> shift & 7 == width for width, one in states)]
    return (header, state, shifts[0]) if len(shifts) == 1 else None
