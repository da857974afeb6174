r"""The compiled half of merging: the bytes of one pre-token become ids, as in `reference_encoder.encode_word`.

Which pairs merge, and when, is asked of a hash table whose row is one 64-bit word, so that GPT-2's 50,000 merges take 1
MB and stay in the processor's second cache:

    bit  63 ......... 43   42 ......... 22   21 ......... 0
         left token id     right token id    rank             all ones: an empty row

Linear probing, a power-of-two capacity of which at most half is used. `merged_ids[rank]` is the token that a merge
makes. For two single bytes, where every word starts, `byte_pairs[256 * first + second]` gives the rank without a
search.

A word of up to 255 bytes is merged by scanning: each place k holds the candidate `rank << 8 | k` of the pair that
begins there, so that the least candidate names both the merge and the leftmost place for it, and 16 of them are
compared at once. Places whose token was swallowed keep the candidate NEVER:

    word         t    h    e    s    e                 ranks: th 0, he 1, es 5, se 3, the 4, ...
    tokens       t    h    e    s    e
    candidates   0|0  1|1  5|2  3|3  -        least: rank 0 at place 0
    tokens       th   .    e    s    e
    candidates   4|0  -    5|2  3|3  -        least: rank 3 at place 3, and so on

A longer word is merged with a heap of (rank, place), n log n steps for n bytes. An entry whose pair has changed since
is recognized by its rank when it comes up, and dropped.
"""

import numpy as np

from cs336_lib.bpe.encoding.layout import ID_BITS, LANES, NO_RANK, RANK_BITS
from cs336_lib.bpe.native.types import Bytes, Int, Int32s, Int64s, UInt64s, Word, inlined, kernel

_NEVER = np.int32(NO_RANK << 8)
_RANK = np.uint64(NO_RANK)
_RANK_SHIFT = np.uint64(RANK_BITS)
_ID_SHIFT = np.uint64(ID_BITS)
_EMPTY = np.uint64(0xFFFFFFFFFFFFFFFF)
_MIX = np.uint64(0x9E3779B97F4A7C15)
_BEST_MIXED = np.uint64(24)
_HALF = np.uint64(32)
_LOW_HALF = np.uint64(0xFFFFFFFF)


@inlined
def pair_key(left: Int, right: Int) -> Word:
    """Both ids in one word."""
    return np.uint64(left) << _ID_SHIFT | np.uint64(right)


@inlined
def find_rank(pairs: UInt64s, capacity: Int, left: Int, right: Int) -> Int:
    """Rank of the merge of two tokens; NO_RANK if they don't merge."""
    key = pair_key(left, right)
    index = np.int64(key * _MIX >> _BEST_MIXED) & (capacity - 1)
    while True:
        row = pairs[index]
        if row >> _RANK_SHIFT == key:
            return np.int64(row & _RANK)
        if row == _EMPTY:
            return NO_RANK
        index = (index + 1) & (capacity - 1)


@kernel
def fill_pairs(lefts: Int64s, rights: Int64s, count: Int, pairs: UInt64s, capacity: Int) -> Int:
    """Enter merges 0 to `count - 1` into a table of empty rows."""
    for rank in range(count):
        key = pair_key(lefts[rank], rights[rank])
        index = np.int64(key * _MIX >> _BEST_MIXED) & (capacity - 1)
        while pairs[index] != _EMPTY:
            index = (index + 1) & (capacity - 1)
        pairs[index] = key << _RANK_SHIFT | np.uint64(rank)
    return count


@inlined
def least_candidate(candidates: Int32s, count: Int) -> Int:
    """The least of the first `count` candidates, a multiple of LANES."""
    least = _NEVER
    for k in range(count):
        least = min(least, candidates[k])
    return np.int64(least)


@inlined
def merge_by_scanning(
    text: Bytes,
    at: Int,
    length: Int,
    byte_ids: Int32s,
    byte_pairs: Int32s,
    pairs: UInt64s,
    pair_capacity: Int,
    merged_ids: Int32s,
    tokens: Int32s,
    candidates: Int32s,
    left: Int32s,
    right: Int32s,
) -> Int:
    """Merge a word of up to LONGEST_SCANNED bytes; its ids are the first of `tokens`, their number is returned."""
    last = length - 1
    for k in range(last):
        tokens[k] = byte_ids[text[at + k]]
        left[k], right[k] = k - 1, k + 1
        candidates[k] = byte_pairs[np.int64(text[at + k]) << 8 | np.int64(text[at + k + 1])] << 8 | k
    tokens[last] = byte_ids[text[at + last]]
    left[last], right[last] = last - 1, length
    filled = (length + LANES - 1) // LANES * LANES
    for k in range(last, filled):
        candidates[k] = _NEVER
    while True:
        least = least_candidate(candidates, filled)
        if least >= _NEVER:
            break
        place = least & 255
        swallowed = np.int64(right[place])
        after = np.int64(right[swallowed])
        merged = np.int64(merged_ids[least >> 8])
        tokens[place] = merged
        candidates[swallowed] = _NEVER
        right[place] = after
        if after < length:
            left[after] = place
            candidates[place] = find_rank(pairs, pair_capacity, merged, np.int64(tokens[after])) << 8 | place
        else:
            candidates[place] = _NEVER
        before = np.int64(left[place])
        if before >= 0:
            candidates[before] = find_rank(pairs, pair_capacity, np.int64(tokens[before]), merged) << 8 | before
    return gather_tokens(tokens, right, length)


@inlined
def gather_tokens(tokens: Int32s, right: Int32s, length: Int) -> Int:
    """Move the tokens that are left to the front; their number."""
    count, place = 0, np.int64(0)
    while place < length:
        tokens[count] = tokens[place]
        count += 1
        place = np.int64(right[place])
    return count


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
        rank = find_rank(pairs, pair_capacity, np.int64(tokens[place]), np.int64(tokens[other]))
    ranks[place] = rank
    if rank == NO_RANK:
        return size
    return push(heap, size, np.uint64(rank) << _HALF | np.uint64(place))


@inlined
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
    return gather_tokens(tokens, right, length)
