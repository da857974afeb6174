"""Which pair is merged next? A priority queue for counts that only fall.

A pair waits in the list of its count's bucket; only the bucket in hand, the highest, is a heap. A pair whose count has
fallen since is found out when it comes up: it goes back into the heap with its new count, or down to a lower bucket.

    heads       bucket -> first waiting pair    0 ... 2047 hold one count each, above that 1,024 buckets a doubling
    following   pair -> the next one waiting in its bucket, -1 behind the last
    heap        (count when it was put in, pair), the next to merge at index 0; children of i at 2i + 1 and 2i + 2

Most pairs never reach a heap, which is what makes this faster than one large heap (0.82 -> 0.51 s for 32,000 merges on
100 MB of books).

The order: the higher count first, then the greater pair of byte strings. Tokens compare by their first 8 bytes read
as a big-endian number, and byte by byte only where those are equal.
"""

from typing import NamedTuple

import numpy as np

from cs336_lib.bpe.merging.rows import BUCKET, LEFT, QUEUED, RIGHT, ROW
from cs336_lib.native.types import Bytes, Int, Int32s, Int64s, UInt64s, Word, inlined

_PREFIX = 8


class Tokens(NamedTuple):
    """The bytes of all tokens; token k is `text[offsets[k]:offsets[k] + lengths[k]]`."""

    lengths: Int32s
    prefixes: UInt64s
    offsets: Int64s
    text: Bytes


class Queue(NamedTuple):
    """The arrays drawn above."""

    heap_counts: Int64s
    heap_pairs: Int32s
    heads: Int32s
    following: Int32s


@inlined
def token_prefix(text: Bytes, at: Int, length: Int) -> Word:
    """The first 8 bytes of a token as a big-endian number, zeros behind its end."""
    prefix = np.uint64(0)
    for index in range(min(length, _PREFIX)):
        prefix |= np.uint64(text[at + index]) << np.uint64(56 - 8 * index)
    return prefix


@inlined
def token_order(token: Int, other: Int, tokens: Tokens) -> Int:
    """Byte order of two tokens: negative, 0 or positive."""
    if token == other:
        return 0
    if tokens.prefixes[token] != tokens.prefixes[other]:
        return 1 if tokens.prefixes[token] > tokens.prefixes[other] else -1
    at, other_at = tokens.offsets[token], tokens.offsets[other]
    for index in range(_PREFIX, min(tokens.lengths[token], tokens.lengths[other])):
        if tokens.text[at + index] != tokens.text[other_at + index]:
            return 1 if tokens.text[at + index] > tokens.text[other_at + index] else -1
    return tokens.lengths[token] - tokens.lengths[other]


@inlined
def comes_first(count: Int, pair: Int, other_count: Int, other: Int, pairs: Int32s, tokens: Tokens) -> bool:
    """Whether a pair is merged before another."""
    if count != other_count:
        return count > other_count
    order = token_order(pairs[ROW * pair + LEFT], pairs[ROW * other + LEFT], tokens)
    if order == 0:
        order = token_order(pairs[ROW * pair + RIGHT], pairs[ROW * other + RIGHT], tokens)
    return order > 0


@inlined
def bucket_of(count: Int) -> Int:
    """Bucket of a count above 0."""
    shift = 0
    while count >> shift >= 2048:
        shift += 1
    return shift * 1024 + (count >> shift)


@inlined
def push(queue: Queue, count: Int, pair: Int, pairs: Int32s, tokens: Tokens, progress: Int64s) -> None:
    """Put a pair into the heap."""
    hole = progress[QUEUED]
    progress[QUEUED] = hole + 1
    while hole > 0:
        parent = (hole - 1) >> 1
        if not comes_first(count, pair, queue.heap_counts[parent], queue.heap_pairs[parent], pairs, tokens):
            break
        queue.heap_counts[hole] = queue.heap_counts[parent]
        queue.heap_pairs[hole] = queue.heap_pairs[parent]
        hole = parent
    queue.heap_counts[hole] = count
    queue.heap_pairs[hole] = pair


@inlined
def replace_top(queue: Queue, count: Int, pair: Int, pairs: Int32s, tokens: Tokens, progress: Int64s) -> None:
    """Put a pair in the place of the heap's top, and let it sink to where it belongs."""
    size = progress[QUEUED]
    hole = 0
    while 2 * hole + 1 < size:
        child = 2 * hole + 1
        child_count, child_pair = queue.heap_counts[child], queue.heap_pairs[child]
        if child + 1 < size:
            sibling_count, sibling = queue.heap_counts[child + 1], queue.heap_pairs[child + 1]
            if comes_first(sibling_count, sibling, child_count, child_pair, pairs, tokens):
                child, child_count, child_pair = child + 1, sibling_count, sibling
        if not comes_first(child_count, child_pair, count, pair, pairs, tokens):
            break
        queue.heap_counts[hole] = child_count
        queue.heap_pairs[hole] = child_pair
        hole = child
    queue.heap_counts[hole] = count
    queue.heap_pairs[hole] = pair


@inlined
def drop_top(queue: Queue, pairs: Int32s, tokens: Tokens, progress: Int64s) -> None:
    """Take the top off the heap."""
    last = progress[QUEUED] - 1
    progress[QUEUED] = last
    replace_top(queue, queue.heap_counts[last], queue.heap_pairs[last], pairs, tokens, progress)


@inlined
def wait_in_bucket(queue: Queue, bucket: Int, pair: Int) -> None:
    """Put a pair into the list of a bucket."""
    queue.following[pair] = queue.heads[bucket]
    queue.heads[bucket] = pair


@inlined
def enqueue(queue: Queue, pair: Int, pairs: Int32s, pair_counts: Int64s, tokens: Tokens, progress: Int64s) -> None:
    """Queue a pair by its count; one that occurs nowhere is left out for good, as counts only fall."""
    count = pair_counts[pair]
    if count > 0:
        bucket = bucket_of(count)
        if bucket == progress[BUCKET]:
            push(queue, count, pair, pairs, tokens, progress)
        else:
            wait_in_bucket(queue, bucket, pair)


@inlined
def open_next_bucket(queue: Queue, pairs: Int32s, pair_counts: Int64s, tokens: Tokens, progress: Int64s) -> bool:
    """Make the highest bucket that has pairs waiting the one in hand; False if there is none."""
    bucket = progress[BUCKET] - 1
    while bucket > 0 and queue.heads[bucket] < 0:
        bucket -= 1
    progress[BUCKET] = max(bucket, 0)
    if bucket <= 0:
        return False
    pair = queue.heads[bucket]
    queue.heads[bucket] = -1
    while pair >= 0:
        after = queue.following[pair]
        enqueue(queue, pair, pairs, pair_counts, tokens, progress)
        pair = after
    return True


@inlined
def peek_pair(queue: Queue, pairs: Int32s, pair_counts: Int64s, tokens: Tokens, progress: Int64s) -> Int:
    """The pair to merge next, left at the heap's top; -1 if no pair is left."""
    while True:
        if progress[QUEUED] == 0:
            if not open_next_bucket(queue, pairs, pair_counts, tokens, progress):
                return -1
            continue
        pair = queue.heap_pairs[0]
        count = pair_counts[pair]
        if count == queue.heap_counts[0]:
            return pair
        if count > 0 and bucket_of(count) == progress[BUCKET]:
            replace_top(queue, count, pair, pairs, tokens, progress)
        else:
            drop_top(queue, pairs, tokens, progress)
            enqueue(queue, pair, pairs, pair_counts, tokens, progress)
