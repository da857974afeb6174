"""Where is the next special token? A compiled search for the longest one at the first place that has any.

Special tokens are rare, and so are their first bytes: 64 bytes are compared with a first byte at once, and only where
one stands the tokens are tried, longest first.

    special_bytes    <|endoftext|><|pad|>        the tokens, longest first, joined
    special_ends     13 20                       where each ends
    first_bytes      <                           the bytes that a token can start with
    special_sizes    2 1                         how many tokens, how many first bytes
"""

import numpy as np

from cs336_lib.bpe.native.intrinsics import match_byte, trailing_zeros
from cs336_lib.bpe.native.types import Bytes, Int, Int64s, Word, inlined

_BLOCK = 64
_NONE = np.uint64(0)
_BIT = np.uint64(1)
_ALL = np.uint64(0xFFFFFFFFFFFFFFFF)


@inlined
def special_length(
    text: Bytes, at: Int, end: Int, special_bytes: Bytes, special_ends: Int64s, special_count: Int
) -> Int:
    """Bytes of the longest special token that starts at `text[at]`; 0 if none does."""
    start = 0
    for index in range(special_count):
        length = special_ends[index] - start
        if at + length <= end:
            matched = 0
            while matched < length and text[at + matched] == special_bytes[start + matched]:
                matched += 1
            if matched == length:
                return length
        start += length
    return 0


@inlined
def candidate_places(text: Bytes, block: Int, end: Int, first_bytes: Bytes, first_byte_count: Int) -> Word:
    """Mask of the places among the 64 bytes at `text[block]` where a special token could start."""
    places = _NONE
    for index in range(first_byte_count):
        places |= match_byte(text, block, first_bytes[index])
    if end - block < _BLOCK:
        places &= _ALL >> np.uint64(_BLOCK - (end - block))
    return places


@inlined
def find_special(
    text: Bytes,
    at: Int,
    end: Int,
    special_bytes: Bytes,
    special_ends: Int64s,
    first_bytes: Bytes,
    special_sizes: Int64s,
) -> tuple[Int, Int]:
    """Place and length of the first special token in `text[at:end]`; (end, 0) if there is none."""
    special_count, first_byte_count = special_sizes[0], special_sizes[1]
    if special_count == 0:
        return end, 0
    while at < end:
        places = candidate_places(text, at, end, first_bytes, first_byte_count)
        while places != _NONE:
            place = at + trailing_zeros(places)
            length = special_length(text, place, end, special_bytes, special_ends, special_count)
            if length > 0:
                return place, length
            places &= places - _BIT
        at += _BLOCK
    return end, 0
