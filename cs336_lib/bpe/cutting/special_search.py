r"""Where is the next special token? A compiled search for the longest one at the first place that has any.

Special tokens are rare, and so are their first bytes: 64 bytes are compared with a first byte at once. Only where one
stands, the text is followed through a tree of all tokens, byte by byte, so that thousands cost what ten do:

    tokens          <s> <p> <pad>                row  byte  child  sibling  token
    first_bytes     <                              0    -     1       0       0        the root
    special_sizes   3 1                            1    <     4       0       0
                                                   2    s     3       0       0
                <                                  3    >     0       0       1        index of the token + 1
              /   \                                4    p     6       2       0
             p     s                               5    >     0       0       2
            / \    \                              6    a     7       5       0
           a   >     >                             7    d     8       0       0
           d>                                      8    >     0       0       3

A row is four int32; no row has the root as its child or sibling, so 0 says that there is none.
"""

import numpy as np

from cs336_lib.bpe.cutting.scan_state import BYTE, CHILD, ROW, SIBLING, TOKEN
from cs336_lib.native.intrinsics import match_byte, trailing_zeros
from cs336_lib.native.types import Bytes, Int, Int32s, Int64s, Word, inlined

_BLOCK = 64
_NONE = np.uint64(0)
_BIT = np.uint64(1)
_ALL = np.uint64(0xFFFFFFFFFFFFFFFF)


@inlined
def special_length(text: Bytes, at: Int, end: Int, special_tree: Int32s) -> Int:
    """Bytes of the longest special token that starts at `text[at]`; 0 if none does."""
    longest = 0
    depth = 0
    row = np.int64(special_tree[CHILD])
    while row > 0 and at + depth < end:
        while row > 0 and special_tree[ROW * row + BYTE] != text[at + depth]:
            row = np.int64(special_tree[ROW * row + SIBLING])
        if row > 0:
            depth += 1
            if special_tree[ROW * row + TOKEN] > 0:
                longest = depth
            row = np.int64(special_tree[ROW * row + CHILD])
    return longest


@inlined
def special_index(text: Bytes, at: Int, length: Int, special_tree: Int32s) -> Int:
    """Index of the special token of this length that stands at `text[at]`."""
    row = np.int64(0)
    for depth in range(length):
        row = np.int64(special_tree[ROW * row + CHILD])
        while special_tree[ROW * row + BYTE] != text[at + depth]:
            row = np.int64(special_tree[ROW * row + SIBLING])
    return np.int64(special_tree[ROW * row + TOKEN]) - 1


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
    special_tree: Int32s,
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
            length = special_length(text, place, end, special_tree)
            if length > 0:
                return place, length
            places &= places - _BIT
        at += _BLOCK
    return end, 0
