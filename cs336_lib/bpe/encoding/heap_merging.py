"""Merging a word of any length with a heap of (rank, place): n log n steps for n bytes.

An entry whose pair has changed since is recognized by its rank when it comes up, and dropped.
"""

import numpy as np

from cs336_lib.bpe.encoding.layout import NO_RANK
from cs336_lib.bpe.encoding.merging import gather_tokens
from cs336_lib.bpe.encoding.pairs import find_rank, pair_key
from cs336_lib.native.types import Bytes, Int, Int32s, UInt64s, Word, called, inlined

_HALF = np.uint64(32)
_LOW_HALF = np.uint64(0xFFFFFFFF)


@inlined
def push(heap: UInt64s, size: Int, entry: Word) -> Int:
    """Add an entry to a binary heap, the least on top; the new size."""
    at = size
    while at > 0 and heap[(at - 1) >> 1] > entry:
        heap[at] = heap[(at - 1) >> 1]
        at = (at - 1) >> 1
    heap[at] = entry
    return size + 1


@inlined
def drop_least(heap: UInt64s, size: Int) -> Int:
    """Remove the top of a binary heap; the new size."""
    size -= 1
    entry = heap[size]
    at = 0
    while 2 * at + 1 < size:
        child = 2 * at + 1
        if child + 1 < size and heap[child + 1] < heap[child]:
            child += 1
        if heap[child] >= entry:
            break
        heap[at] = heap[child]
        at = child
    heap[at] = entry
    return size


@inlined
def offer(
    place: Int,
    length: Int,
    pairs: UInt64s,
    pair_capacity: Int,
    tokens: Int32s,
    ranks: Int32s,
    right: Int32s,
    heap: UInt64s,
    size: Int,
) -> Int:
    """Put the pair that begins at `place` into the heap if it merges; the heap's new size."""
    other = np.int64(right[place])
    rank = NO_RANK
    if other < length:
        rank = find_rank(pairs, pair_capacity, pair_key(np.int64(tokens[place]), np.int64(tokens[other])))
    ranks[place] = rank
    if rank == NO_RANK:
        return size
    return push(heap, size, np.uint64(rank) << _HALF | np.uint64(place))


@called
def merge_by_heap(
    text: Bytes,
    at: Int,
    length: Int,
    byte_ids: Int32s,
    pairs: UInt64s,
    pair_capacity: Int,
    merged_ids: Int32s,
    tokens: Int32s,
    ranks: Int32s,
    left: Int32s,
    right: Int32s,
    heap: UInt64s,
) -> Int:
    """Merge a word of any length; `heap` has room for twice its bytes. Its ids are the first of `tokens`."""
    size = 0
    for k in range(length):
        tokens[k] = byte_ids[text[at + k]]
        left[k], right[k] = k - 1, k + 1
    for k in range(length):
        size = offer(k, length, pairs, pair_capacity, tokens, ranks, right, heap, size)
    while size > 0:
        least = heap[0]
        size = drop_least(heap, size)
        place, rank = np.int64(least & _LOW_HALF), np.int64(least >> _HALF)
        if np.int64(ranks[place]) != rank:
            continue
        swallowed = np.int64(right[place])
        after = np.int64(right[swallowed])
        tokens[place] = merged_ids[rank]
        ranks[swallowed] = NO_RANK
        right[place] = after
        if after < length:
            left[after] = place
        size = offer(place, length, pairs, pair_capacity, tokens, ranks, right, heap, size)
        if left[place] >= 0:
            size = offer(np.int64(left[place]), length, pairs, pair_capacity, tokens, ranks, right, heap, size)
    return gather_tokens(tokens, 0, right, length)
