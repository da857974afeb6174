r"""Which pairs of tokens merge, and when: a hash table whose row is one 64-bit word.

    bit  63 ......... 43   42 ......... 22   21 ......... 0
         left token id     right token id    rank             all ones: an empty row

So GPT-2's 50,000 merges take 1 MB and stay in the processor's second cache. Half of the pairs that are asked for merge
and half don't, which no processor foresees. So a row is looked for in a bucket of four, which are compared without a
branch; a bucket that is full, as few are, sends a pair on to the next. At most half of the rows are used.
"""

import numpy as np

from cs336_lib.bpe.encoding.layout import BUCKET, ID_BITS, NO_RANK, RANK_BITS
from cs336_lib.native.types import Int, Int64s, UInt64s, Word, inlined, kernel

NO_PAIR = np.uint64((1 << 2 * ID_BITS) - 1)
"""What is no pair's key, as no id is so large; an empty row has it, and the rank NO_RANK."""

_EMPTY = np.uint64(0xFFFFFFFFFFFFFFFF)
_RANK = np.uint64(NO_RANK)
_RANK_SHIFT = np.uint64(RANK_BITS)
_ID_SHIFT = np.uint64(ID_BITS)
_MIX = np.uint64(0x9E3779B97F4A7C15)
_BEST_MIXED = np.uint64(24)


@inlined
def pair_key(left: Int, right: Int) -> Word:
    """Both ids in one word."""
    return np.uint64(left) << _ID_SHIFT | np.uint64(right)


@inlined
def first_bucket(key: Word, capacity: Int) -> Int:
    """Place of the bucket in which a pair's row is looked for first."""
    return np.int64(key * _MIX >> _BEST_MIXED) & (capacity - BUCKET)


@inlined
def find_rank(pairs: UInt64s, capacity: Int, key: Word) -> Int:
    """Rank of the merge of a pair of tokens; NO_RANK if they don't merge."""
    bucket = first_bucket(key, capacity)
    while True:
        rank = _RANK
        for k in range(BUCKET):
            row = pairs[bucket + k]
            rank = min(rank, row & _RANK if row >> _RANK_SHIFT == key else _RANK)
        if (rank != _RANK) | (pairs[bucket + BUCKET - 1] == _EMPTY):
            return np.int64(rank)
        bucket = (bucket + BUCKET) & (capacity - 1)


@kernel
def fill_pairs(lefts: Int64s, rights: Int64s, count: Int, pairs: UInt64s, capacity: Int) -> Int:
    """Enter merges 0 to `count - 1` into a table of empty rows."""
    for rank in range(count):
        key = pair_key(lefts[rank], rights[rank])
        index = first_bucket(key, capacity)
        while pairs[index] != _EMPTY:
            index = (index + 1) & (capacity - 1)
        pairs[index] = key << _RANK_SHIFT | np.uint64(rank)
    return count
