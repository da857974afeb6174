"""What the compiled encoder knows of words: two tables from the bytes of a word to its ids.

What a word becomes stands in one 64-bit word, its answer; 0 if it isn't known:

    bit  63 .. 56   55 ..... 32   31 .. 24            23 ..... 0
         1          0             length of a word    id              nearly all words in English are one or two ids
         2          second id     of up to 8 bytes,   first id
         n > 2      0             else 0              place of the n ids in the pool

So two ids stand as they are written. All bits are set for a word of more than 255 bytes, which isn't remembered.

Words that were seen before are looked up twice: in `recent`, as `counting/recent_words.py` draws it, whose VALUE is an
answer with the word's length, and if it isn't there in a table of all words.

The table of words holds all, 32 bytes per row (`counting/word_keys.py` explains LOW and HIGH):

                      LOW                 HIGH            SHAPE                    ANSWER
    1 to 16 bytes     bytes 0 to 7        bytes 8 to 15   length
    17 to 255 bytes   hash of all bytes   bytes 0 to 7    length | place << 32     `place`: of its bytes in the arena
    empty row         0                   0               0                        0
"""

import numpy as np

from cs336_lib.bpe.counting.recent_words import recent_key, recent_row, row_to_keep
from cs336_lib.bpe.counting.word_keys import (
    copy_bytes,
    first_row,
    key_words,
    row_hash,
    same_bytes,
)
from cs336_lib.bpe.counting.word_rows import HASHES, HIGH, HIGHS, LONGEST_RECENT, LOW, ROW_WORDS, SHORT_WORD
from cs336_lib.bpe.cutting.scan_state import BATCH_ROOM, BLOCK
from cs336_lib.bpe.cutting.scanner import write_positions
from cs336_lib.bpe.encoding.layout import (
    ANSWER,
    ARENA_SIZE,
    ARENA_USED,
    CAPACITY,
    LONGEST_SCANNED,
    POOL_SIZE,
    POOL_USED,
    SHAPE,
    USED,
)
from cs336_lib.native.eights import row_settler
from cs336_lib.native.intrinsics import copy_16_bytes, load_word, prefetch
from cs336_lib.native.types import Bytes, Int, Int32s, Int64s, UInt64s, Word, called, inlined, kernel

_ZERO, _ONE = np.uint64(0), np.uint64(1)
_LENGTH = np.uint64(0xFFFF)
_PLACE_SHIFT = np.uint64(32)
_SIZE_SHIFT = np.uint64(24)
_SECOND_SHIFT = np.uint64(32)
COUNT_SHIFT = np.uint64(56)
TOO_LONG = np.uint64(0xFFFFFFFFFFFFFFFF)
settle_rows = row_settler(tag=0xFF << 24)


@called
def recall_short(
    text: Bytes, starts: Int64s, count: Int, recent: UInt64s, keys: UInt64s, answers: UInt64s, unknown: Int64s
) -> Int:
    """Answers from `recent`; lists the words that it hasn't, and returns their number.

    No branch depends on the text, and what can be done for eight words at a time has a loop of its own. In between,
    `answers` has the keys, `unknown` the rows that they lead to, and `keys` what is found there, with lengths behind.
    """
    sizes = HASHES
    for index in range(count):
        answers[index] = load_word(text, starts[index])
    for index in range(count):
        length = starts[index + 1] - starts[index]
        key = recent_key(answers[index], length)
        answers[index], unknown[index] = key, recent_row(key)
        keys[sizes + index] = np.uint64(min(length, LONGEST_RECENT + 1)) << _SIZE_SHIFT
    for index in range(count):
        copy_16_bytes(recent, unknown[index], keys, 2 * index)
    unknown_count = np.int64(0)
    for first in range(0, count, BLOCK):
        others = settle_rows(keys, sizes, first, answers)
        if count - first < BLOCK:
            others &= (_ONE << np.uint64(count - first)) - _ONE
        unknown_count = write_positions(others, first, unknown, unknown_count)
    return unknown_count


@called
def hash_words(
    text: Bytes, starts: Int64s, listed: Int64s, count: Int, keys: UInt64s, rows: UInt64s, capacity: Int
) -> Int:
    """Keys and hashes of the listed words; fetches their rows. Returns the length of the longest."""
    longest = key_words(text, starts, listed, count, keys)
    for place in range(count):
        prefetch(rows, first_row(keys[HASHES + place], capacity) * ROW_WORDS)
    return longest


@inlined
def find_word(
    text: Bytes, at: Int, length: Int, keys: UInt64s, place: Int, rows: UInt64s, capacity: Int, arena: Bytes
) -> Int:
    """Offset in `rows` of the row of a word whose keys stand at `place`, or of the empty row where it belongs."""
    low, high = keys[place], keys[HIGHS + place]
    index = first_row(keys[HASHES + place], capacity)
    while True:
        row = index * ROW_WORDS
        shape = rows[row + SHAPE]
        if (rows[row + LOW] ^ low) | (rows[row + HIGH] ^ high) | ((shape & _LENGTH) ^ np.uint64(length)) == _ZERO:
            if length <= SHORT_WORD or same_bytes(text, at, arena, np.int64(shape >> _PLACE_SHIFT), length):
                return row
        elif shape == _ZERO:
            return row
        index = (index + 1) & (capacity - 1)


@inlined
def keep_recent(text: Bytes, at: Int, length: Int, answer: Word, recent: UInt64s) -> None:
    """Let a short word replace whatever is in its slot; a longer one goes to a row that nobody looks at."""
    key = recent_key(load_word(text, at), length)
    row = row_to_keep(key, length)
    recent[row], recent[row + 1] = key, answer


@called
def recall_words(
    text: Bytes,
    starts: Int64s,
    unknown: Int64s,
    count: Int,
    keys: UInt64s,
    rows: UInt64s,
    capacity: Int,
    arena: Bytes,
    recent: UInt64s,
    answers: UInt64s,
    new: Int64s,
) -> Int:
    """Answers from the table; lists the places in `unknown` of the words that it hasn't, and returns their number.

    Merging has a step of its own so that this loop stays small.
    """
    new_count = 0
    for place in range(count):
        index = unknown[place]
        at = starts[index]
        length = starts[index + 1] - at
        answer = rows[find_word(text, at, length, keys, place, rows, capacity, arena) + ANSWER]
        answers[index] = answer
        if answer == _ZERO:
            new[new_count] = place
            new_count += 1
        else:
            keep_recent(text, at, length, answer, recent)
    return new_count


@inlined
def remember(
    text: Bytes,
    at: Int,
    length: Int,
    keys: UInt64s,
    place: Int,
    row: Int,
    rows: UInt64s,
    arena: Bytes,
    pool: Int32s,
    tokens: Int32s,
    first: Int,
    count: Int,
    progress: Int64s,
) -> None:
    """Enter a word, whose ids are `count` of `tokens` from `first` on, into its row."""
    answer = np.uint64(count) << COUNT_SHIFT
    if length <= LONGEST_RECENT:
        answer |= np.uint64(length) << _SIZE_SHIFT
    if count == 1:
        answer |= np.uint64(tokens[first])
    elif count == 2:
        answer |= np.uint64(tokens[first]) | np.uint64(tokens[first + 1]) << _SECOND_SHIFT
    else:
        used = progress[POOL_USED]
        for k in range(count):
            pool[used + k] = tokens[first + k]
        progress[POOL_USED] = used + count
        answer |= np.uint64(used)
    shape = np.uint64(length)
    if length > SHORT_WORD:
        copy_bytes(text, at, arena, progress[ARENA_USED], length)
        shape |= np.uint64(progress[ARENA_USED]) << _PLACE_SHIFT
        progress[ARENA_USED] += length
    rows[row + LOW] = keys[place]
    rows[row + HIGH] = keys[HIGHS + place]
    rows[row + SHAPE] = shape
    rows[row + ANSWER] = answer
    progress[USED] += 1


@inlined
def batch_fits(progress: Int64s, size: Int) -> bool:
    """Whether a batch of new words of `size` bytes in all leaves the table half empty and fits arena and pool."""
    most = min(size, BATCH_ROOM * LONGEST_SCANNED)
    return (
        2 * (progress[USED] + BATCH_ROOM) <= progress[CAPACITY]
        and progress[ARENA_USED] + most <= progress[ARENA_SIZE]
        and progress[POOL_USED] + most <= progress[POOL_SIZE]
    )


@kernel
def move_rows(rows: UInt64s, capacity: Int, larger: UInt64s, larger_capacity: Int) -> Int:
    """Enter all rows of a table into a larger, empty one; their number."""
    moved = 0
    for index in range(capacity):
        row = index * ROW_WORDS
        shape = rows[row + SHAPE]
        if shape != _ZERO:
            length = np.int64(shape & _LENGTH)
            place = first_row(row_hash(rows[row + LOW], rows[row + HIGH], length), larger_capacity)
            while larger[place * ROW_WORDS + SHAPE] != _ZERO:
                place = (place + 1) & (larger_capacity - 1)
            for k in range(ROW_WORDS):
                larger[place * ROW_WORDS + k] = rows[row + k]
            moved += 1
    return moved
