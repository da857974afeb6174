r"""The compiled half of counting: from bytes to rows of a hash table, without a Python object for each pre-token.

    text  --scan-->  starts of 1,024 words  --count_recent-->  counted
                                               \ not there: pack, hash, prefetch -->  keys  --probe-->  rows

Words go in batches, so that the rows of a batch are on their way from memory before the first is looked at. The
layout of a row and of the arena is drawn in `counting/word_keys.py`; the PAYLOAD is the count, 64 bits.

A kernel can't make a table larger. Before each batch it checks that even a batch of new words fits, and otherwise
returns; `word_table.WordTable` grows the table and calls again. Where it stopped stands in `progress`:

    0 NEXT           where the next stretch between special tokens starts
    1 STRETCH_END    where the stretch in hand ends; -1 when none is in hand
    2 AFTER_SPECIAL  where the special token behind it ends
    3 PENDING        start of the last word whose end isn't known yet; -1 when there is none
    4 USED           rows in use
    5 ARENA_USED     bytes of the arena in use
    6 UNTOLD         words that were counted since the table was told of all recent ones, at most
"""

import numpy as np

from cs336_lib.bpe.counting.progress import (
    AFTER_SPECIAL,
    ARENA_USED,
    FINISHED,
    NEXT,
    PENDING,
    STRETCH_END,
    TABLE_FULL,
    UNTOLD,
    USED,
)
from cs336_lib.bpe.counting.recent_words import MOST_SEEN, add_all_up, count_recent, keep_count
from cs336_lib.bpe.counting.word_keys import (
    copy_bytes,
    first_row,
    hash_long,
    hash_short,
    key_words,
    pack_high,
    pack_low,
    row_hash,
    same_bytes,
)
from cs336_lib.bpe.counting.word_rows import HASHES, HIGH, HIGHS, LENGTH, LOW, PAYLOAD, ROW_WORDS, SHORT_WORD
from cs336_lib.bpe.cutting.scan_state import BATCH, BATCH_ROOM, POSITION
from cs336_lib.bpe.cutting.scanner import reset_state, scan
from cs336_lib.bpe.cutting.special_search import find_special
from cs336_lib.native.intrinsics import prefetch
from cs336_lib.native.types import Bytes, Int, Int32s, Int64s, UInt64s, Word, called, inlined, kernel

_ZERO = np.uint64(0)
_ONE = np.uint64(1)


@inlined
def batch_fits(used: Int, capacity: Int) -> bool:
    """Whether a batch of new words leaves the table at most half full."""
    return 2 * (used + BATCH_ROOM) <= capacity


@inlined
def find_row(
    text: Bytes, at: Int, length: Int, low: Word, high: Word, hashed: Word, rows: UInt64s, capacity: Int, arena: Bytes
) -> Int:
    """Offset in `rows` of the row of a word, or of the empty row where it belongs."""
    index = first_row(hashed, capacity)
    while True:
        row = index * ROW_WORDS
        row_length = np.int64(rows[row + LENGTH])
        if row_length == 0:
            return row
        if row_length == length and rows[row + LOW] == low:
            if length <= SHORT_WORD:
                if rows[row + HIGH] == high:
                    return row
            elif same_bytes(text, at, arena, np.int64(rows[row + HIGH]), length):
                return row
        index = (index + 1) & (capacity - 1)


@inlined
def enter_word(
    text: Bytes,
    at: Int,
    length: Int,
    keys: UInt64s,
    place: Int,
    rows: UInt64s,
    capacity: Int,
    arena: Bytes,
    progress: Int64s,
) -> Int:
    """Offset in `rows` of the row of a word whose keys stand at `place`; if it has none, it gets one."""
    low, high = keys[place], keys[HIGHS + place]
    row = find_row(text, at, length, low, high, keys[HASHES + place], rows, capacity, arena)
    if rows[row + LENGTH] == _ZERO:
        if length > SHORT_WORD:
            copy_bytes(text, at, arena, progress[ARENA_USED], length)
            high = np.uint64(progress[ARENA_USED])
            progress[ARENA_USED] += length
        rows[row + LOW] = low
        rows[row + HIGH] = high
        rows[row + LENGTH] = np.uint64(length)
        progress[USED] += 1
    return row


@inlined
def fetch_rows(
    text: Bytes, starts: Int64s, listed: Int64s, count: Int, keys: UInt64s, rows: UInt64s, capacity: Int
) -> None:
    """Keys of the listed words; their rows are on their way from memory then."""
    key_words(text, starts, listed, count, keys)
    for place in range(count):
        prefetch(rows, first_row(keys[HASHES + place], capacity) * ROW_WORDS)


@called
def count_batch(
    text: Bytes,
    starts: Int64s,
    count: Int,
    recent: UInt64s,
    unknown: Int64s,
    keys: UInt64s,
    rows: UInt64s,
    capacity: Int,
    arena: Bytes,
    progress: Int64s,
) -> None:
    """Count a batch of words: most of them among the recent ones, the others in the table."""
    progress[UNTOLD] += count
    if progress[UNTOLD] > MOST_SEEN:
        add_all_up(recent, rows)
        progress[UNTOLD] = count
    unknown_count = count_recent(text, starts, count, recent, keys, unknown)
    fetch_rows(text, starts, unknown, unknown_count, keys, rows, capacity)
    for place in range(unknown_count):
        at = starts[unknown[place]]
        length = starts[unknown[place] + 1] - at
        row = enter_word(text, at, length, keys, place, rows, capacity, arena, progress)
        rows[row + PAYLOAD] += _ONE
        keep_count(text, at, length, row, recent, rows)


@kernel
def count_text(
    text: Bytes,
    end: Int,
    classes: Bytes,
    special_tree: Int32s,
    first_bytes: Bytes,
    special_sizes: Int64s,
    rows: UInt64s,
    capacity: Int,
    arena: Bytes,
    progress: Int64s,
    scan_state: UInt64s,
    starts: Int64s,
    keys: UInt64s,
    recent: UInt64s,
    unknown: Int64s,
) -> Int:
    """Count the pre-tokens of `text[:end]` between its special tokens; FINISHED, or TABLE_FULL to be called again.

    The arena must have room for all of the text beyond what is used.
    """
    while True:
        if progress[STRETCH_END] < 0:
            at = progress[NEXT]
            if at >= end:
                return FINISHED
            place, length = find_special(text, at, end, special_tree, first_bytes, special_sizes)
            progress[STRETCH_END] = place
            progress[AFTER_SPECIAL] = place + length
            progress[PENDING] = -1
            reset_state(scan_state, at)
        stretch_end = progress[STRETCH_END]
        while np.int64(scan_state[POSITION]) < stretch_end:
            if not batch_fits(progress[USED], capacity):
                return TABLE_FULL
            count = 0
            if progress[PENDING] >= 0:
                starts[0] = progress[PENDING]
                count = 1
            count = scan(text, stretch_end, classes, scan_state, starts, count, BATCH)
            if np.int64(scan_state[POSITION]) >= stretch_end:
                starts[count] = stretch_end
            else:
                count -= 1
                progress[PENDING] = starts[count]
            count_batch(text, starts, count, recent, unknown, keys, rows, capacity, arena, progress)
        progress[NEXT] = progress[AFTER_SPECIAL]
        progress[STRETCH_END] = -1


@kernel
def add_words(
    text: Bytes,
    bounds: Int64s,
    counts: Int64s,
    first: Int,
    count: Int,
    rows: UInt64s,
    capacity: Int,
    arena: Bytes,
    progress: Int64s,
    keys: UInt64s,
    listed: Int64s,
) -> Int:
    """Add words and their counts from `first` on; how many are done, which is `count` unless the table is full.

    Word k is `text[bounds[k]:bounds[k + 1]]`. The arena must have room for all of the text beyond what is used.
    """
    while first < count and batch_fits(progress[USED], capacity):
        size = min(BATCH, count - first)
        for place in range(size):
            listed[place] = first + place
        fetch_rows(text, bounds, listed, size, keys, rows, capacity)
        for place in range(size):
            at = bounds[first + place]
            row = enter_word(text, at, bounds[first + place + 1] - at, keys, place, rows, capacity, arena, progress)
            rows[row + PAYLOAD] += np.uint64(counts[first + place])
        first += size
    return first


@inlined
def group_of(text: Bytes, at: Int, length: Int, groups: Int) -> Int:
    """The group of a word, one of up to 65,536, by the highest bits of its hash, which place no rows in a table."""
    if length <= SHORT_WORD:
        hashed = hash_short(pack_low(text, at, length), pack_high(text, at, length), length)
    else:
        hashed = hash_long(text, at, length)
    return np.int64(hashed >> np.uint64(48)) * groups >> 16


@kernel
def group_words(
    text: Bytes,
    bounds: Int64s,
    counts: Int64s,
    count: Int,
    groups: Int,
    word_starts: Int64s,
    byte_starts: Int64s,
    grouped_text: Bytes,
    grouped_bounds: Int64s,
    grouped_counts: Int64s,
) -> Int:
    """Sort words by their group; group g becomes words `word_starts[g]` to `word_starts[g + 1]`, bytes likewise.

    `word_starts` and `byte_starts` have `groups + 2` places, all 0. Returns `count`.
    """
    # Sizes are noted two places late: adding up moves starts one place ahead, and placing words moves them home.
    for index in range(count):
        length = bounds[index + 1] - bounds[index]
        group = group_of(text, bounds[index], length, groups)
        word_starts[group + 2] += 1
        byte_starts[group + 2] += length
    for group in range(groups):
        word_starts[group + 2] += word_starts[group + 1]
        byte_starts[group + 2] += byte_starts[group + 1]
    for index in range(count):
        at = bounds[index]
        length = bounds[index + 1] - at
        group = group_of(text, at, length, groups)
        slot, place = word_starts[group + 1], byte_starts[group + 1]
        copy_bytes(text, at, grouped_text, place, length)
        grouped_bounds[slot] = place
        grouped_counts[slot] = counts[index]
        word_starts[group + 1] += 1
        byte_starts[group + 1] += length
    grouped_bounds[count] = bounds[count]
    return count


@kernel
def tell_counts(recent: UInt64s, rows: UInt64s) -> Int:
    """Add up in the table of words what recent ones were seen; 0. Before that its counts are not complete."""
    add_all_up(recent, rows)
    return 0


@kernel
def move_rows(rows: UInt64s, capacity: Int, larger: UInt64s, larger_capacity: Int) -> Int:
    """Move all rows to an empty, larger table; how many there were."""
    moved = 0
    for source in range(0, capacity * ROW_WORDS, ROW_WORDS):
        length = np.int64(rows[source + LENGTH])
        if length > 0:
            index = first_row(row_hash(rows[source + LOW], rows[source + HIGH], length), larger_capacity)
            while larger[index * ROW_WORDS + LENGTH] != _ZERO:
                index = (index + 1) & (larger_capacity - 1)
            for word in range(ROW_WORDS):
                larger[index * ROW_WORDS + word] = rows[source + word]
            moved += 1
    return moved


@kernel
def list_words(rows: UInt64s, capacity: Int, arena: Bytes, text: Bytes, bounds: Int64s, counts: Int64s) -> Int:
    """Write all words one after the other into `text`, where each ends into `bounds`, and the counts; their number."""
    listed: Int = 0
    at: Int = 0
    bounds[0] = 0
    for row in range(0, capacity * ROW_WORDS, ROW_WORDS):
        length = np.int64(rows[row + LENGTH])
        if length > 0:
            if length <= SHORT_WORD:
                for index in range(length):
                    half = rows[row + LOW] if index < 8 else rows[row + HIGH]
                    text[at + index] = np.uint8(half >> np.uint64(8 * (index & 7)) & np.uint64(0xFF))
            else:
                copy_bytes(arena, np.int64(rows[row + HIGH]), text, at, length)
            at += length
            counts[listed] = np.int64(rows[row + PAYLOAD])
            listed += 1
            bounds[listed] = at
    return listed
