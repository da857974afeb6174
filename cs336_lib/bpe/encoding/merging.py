r"""The compiled half of merging: the bytes of pre-tokens become ids, as in `plain.definition_encoder.encode_word`.

The same ids, that is, if each token is made by a merge before the merges that it is part of, as training has it.
`pairs.py` has the table of which pairs merge, and when. `merged_ids[rank]` is the token that a merge makes. For two
single bytes, where every word starts, `byte_pairs[256 * first + second]` gives the rank without a search.

A word of up to 255 bytes is merged by scanning: each place k holds the candidate `rank << 8 | k` of the pair that
begins there, so that the least candidate names both the merge and the leftmost place for it, and 16 of them are
compared at once. Places whose token was swallowed keep the candidate NEVER:

    word         t    h    e    s    e                 ranks: th 0, he 1, es 5, se 3, the 4, ...
    tokens       t    h    e    s    e
    candidates   0|0  1|1  5|2  3|3  -        least: rank 0 at place 0
    tokens       th   .    e    s    e
    candidates   4|0  -    5|2  3|3  -        least: rank 3 at place 3, and so on

Each merge waits for the one before it, and for the ranks of the two pairs that it makes: the time of a word is that of
waiting. So 16 words, each in a slot of its own, take turns: all make their next merge and say what they ask for, then
all get their answers, which have come into the cache in the meantime.

    slots     0 .. 15           16 .. 31              32 .. 47           48 .. 79
              length of each    slots that go on      what the kernel    places that wait for a rank, times 256, and
                                                      notes of each      place in the word; its pair stands in `asked`
"""

import numpy as np

from cs336_lib.bpe.encoding.layout import LANES, NO_RANK, SLOT, SLOTS
from cs336_lib.bpe.encoding.pairs import NO_PAIR, find_rank, first_bucket, pair_key
from cs336_lib.native.intrinsics import prefetch
from cs336_lib.native.types import Bytes, Int, Int32s, Int64s, UInt64s, inlined

NOTE = 2 * SLOTS
_GOING, _WAITING = SLOTS, 3 * SLOTS
_NEVER = np.int32(NO_RANK << 8)
_NOWHERE = SLOT - 1  # a place in a slot that no scan reaches


@inlined
def least_candidate(candidates: Int32s, first: Int, count: Int) -> Int:
    """Least of so many, a multiple of LANES, from `first` on; a reduction that LLVM turns into vector code."""
    least = _NEVER
    for k in range(first, first + count):
        least = min(least, candidates[k])
    return np.int64(least)


@inlined
def take_slot(
    slot: Int,
    text: Bytes,
    at: Int,
    length: Int,
    byte_ids: Int32s,
    byte_pairs: Int32s,
    tokens: Int32s,
    candidates: Int32s,
    left: Int32s,
    right: Int32s,
    slots: Int64s,
) -> None:
    """Put a word of up to LONGEST_SCANNED bytes into a slot: each byte a token, each pair of them a candidate."""
    slots[slot] = length
    first, last = slot * SLOT, length - 1
    for k in range(length):
        tokens[first + k] = byte_ids[text[at + k]]
        left[first + k], right[first + k] = k - 1, k + 1
    for k in range(last):
        candidates[first + k] = byte_pairs[np.int64(text[at + k]) << 8 | np.int64(text[at + k + 1])] << 8 | k
    for k in range(last, _scanned(length)):
        candidates[first + k] = _NEVER


@inlined
def merge_slots(
    count: Int,
    pairs: UInt64s,
    pair_capacity: Int,
    merged_ids: Int32s,
    tokens: Int32s,
    candidates: Int32s,
    left: Int32s,
    right: Int32s,
    slots: Int64s,
    asked: UInt64s,
) -> None:
    """Merge the words in the first slots until no pair in them merges any more."""
    for slot in range(count):
        slots[_GOING + slot] = slot
    going = count
    while going > 0:
        still_going, waiting = 0, 0
        for k in range(going):
            slot = slots[_GOING + k]
            if merge_least(
                slot, waiting, pairs, pair_capacity, merged_ids, tokens, candidates, left, right, slots, asked
            ):
                slots[_GOING + still_going] = slot
                still_going += 1
                waiting += 2
        for k in range(waiting):
            candidate = find_rank(pairs, pair_capacity, asked[k]) << 8 | slots[_WAITING + k] & 255
            candidates[slots[_WAITING + k] >> 8] = candidate
        going = still_going


@inlined
def merge_least(
    slot: Int,
    waiting: Int,
    pairs: UInt64s,
    pair_capacity: Int,
    merged_ids: Int32s,
    tokens: Int32s,
    candidates: Int32s,
    left: Int32s,
    right: Int32s,
    slots: Int64s,
    asked: UInt64s,
) -> bool:
    """Merge the least candidate in a slot, and ask for the ranks of the two new pairs; False if there is none."""
    first, length = slot * SLOT, slots[slot]
    least = least_candidate(candidates, first, _scanned(length))
    if least >= _NEVER:
        return False
    place = least & 255
    swallowed = np.int64(right[first + place])
    before, after = np.int64(left[first + place]), np.int64(right[first + swallowed])
    merged = np.int64(merged_ids[least >> 8])
    tokens[first + place] = merged
    candidates[first + swallowed] = _NEVER
    right[first + place] = after
    left[first + after] = place  # behind the word, where nobody looks, if there is no token after
    with_next = pair_key(merged, np.int64(tokens[first + after])) if after < length else NO_PAIR
    with_last = pair_key(np.int64(tokens[first + before]), merged) if before >= 0 else NO_PAIR
    nobody = before if before >= 0 else _NOWHERE
    slots[_WAITING + waiting], asked[waiting] = (first + place) << 8 | place, with_next
    slots[_WAITING + waiting + 1], asked[waiting + 1] = (first + nobody) << 8 | nobody & 255, with_last
    prefetch(pairs, first_bucket(with_next, pair_capacity))
    prefetch(pairs, first_bucket(with_last, pair_capacity))
    return True


@inlined
def gather_tokens(tokens: Int32s, first: Int, right: Int32s, length: Int) -> Int:
    """Move the tokens that are left of a word to its front, which is at `first`; their number."""
    count, place = 0, np.int64(0)
    while place < length:
        tokens[first + count] = tokens[first + place]
        count += 1
        place = np.int64(right[first + place])
    return count


@inlined
def _scanned(length: Int) -> Int:
    return (length + LANES - 1) // LANES * LANES
