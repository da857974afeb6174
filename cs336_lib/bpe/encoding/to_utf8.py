"""Characters of 1, 2 or 4 bytes become UTF-8, 64 at a time where they are ASCII."""

import numpy as np

from cs336_lib.native.intrinsics import count_ones, narrow_block, trailing_zeros
from cs336_lib.native.types import Bytes, Int, UInt16s, UInt32s, inlined, kernel

_BLOCK = 64
_FEW = 8
"""Symbols beyond ASCII in a block; where there are more, what lies between them is too short to be worth a block."""


@inlined
def write_symbol(symbol: Int, out: Bytes, written: Int) -> Int:
    """Append the UTF-8 form of a code point; how many bytes there are now, or -1 for a surrogate."""
    if symbol < 0x80:
        out[written] = np.uint8(symbol)
        return written + 1
    if symbol < 0x800:
        out[written] = np.uint8(0xC0 | symbol >> 6)
        out[written + 1] = np.uint8(0x80 | symbol & 0x3F)
        return written + 2
    if symbol < 0x10000:
        out[written] = np.uint8(0xE0 | symbol >> 12)
        out[written + 1] = np.uint8(0x80 | symbol >> 6 & 0x3F)
        out[written + 2] = np.uint8(0x80 | symbol & 0x3F)
        return -1 if 0xD800 <= symbol < 0xE000 else written + 3
    out[written] = np.uint8(0xF0 | symbol >> 18)
    out[written + 1] = np.uint8(0x80 | symbol >> 12 & 0x3F)
    out[written + 2] = np.uint8(0x80 | symbol >> 6 & 0x3F)
    out[written + 3] = np.uint8(0x80 | symbol & 0x3F)
    return written + 4


@inlined
def write_utf8(characters: "Bytes | UInt16s | UInt32s", first: Int, last: Int, out: Bytes) -> Int:
    """Write `characters[first:last]` as UTF-8; how many bytes there are, or -1 if there is a surrogate.

    `out` has room for the most bytes that there can be, and for 64 more.
    """
    written, at = np.int64(0), first
    while at < last:
        stop = min(at + _BLOCK, last)
        if stop - at == _BLOCK:
            beyond_ascii = narrow_block(characters, at, out, written)
            if beyond_ascii == np.uint64(0):  # not by the count below, for which the next block would wait
                at += _BLOCK
                written += _BLOCK
                continue
            ascii_count = trailing_zeros(beyond_ascii)
            at += ascii_count
            written += ascii_count
            if count_ones(beyond_ascii) <= _FEW:
                stop = at + 1
        while at < stop:
            written = write_symbol(np.int64(characters[at]), out, written)
            if written < 0:
                return written
            at += 1
    return written


@kernel
def utf8_from_1(characters: Bytes, first: Int, last: Int, out: Bytes) -> Int:
    """`write_utf8` of characters of one byte."""
    return write_utf8(characters, first, last, out)


@kernel
def utf8_from_2(characters: UInt16s, first: Int, last: Int, out: Bytes) -> Int:
    """`write_utf8` of characters of two bytes."""
    return write_utf8(characters, first, last, out)


@kernel
def utf8_from_4(characters: UInt32s, first: Int, last: Int, out: Bytes) -> Int:
    """`write_utf8` of characters of four bytes."""
    return write_utf8(characters, first, last, out)
