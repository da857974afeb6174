"""A table of the words that were last seen, small enough to stay in the processor's second cache.

Counting and encoding both look here first, and find seven words in eight. It has a row for each slot of a hash, which
holds the last word of up to 8 bytes that fell there, and one row more for words that are too long, at which nobody
looks. KEY doesn't tell "a" from a NUL byte and "a": VALUE has the length, beside what it has for each of the two.

    KEY       the bytes of a word, the last one highest, and zeros below: a shift of 8 bytes, of any length
    VALUE     what encoding keeps there stands in `encoding/words.py`; what counting keeps:

    bit       63 .. 60    59 .......... 24                         23 ........... 0
              length      place of the word's row in the table     times it was seen that this row doesn't know of yet

So a word that comes again costs no way to the large table, but to be added up there when another takes its slot.
"""

import numpy as np

from cs336_lib.bpe.counting.word_rows import HASHES, HIGHS, LONGEST_RECENT, PAYLOAD, RECENT_BITS
from cs336_lib.native.intrinsics import load_word
from cs336_lib.native.types import Bytes, Int, Int64s, UInt64s, Word, called, inlined

MOST_SEEN = (1 << 24) - 1
"""Times that a row may be seen before the table of words must be told."""
_SLOTS = 1 << RECENT_BITS
_NOWHERE = 2 * _SLOTS
_ZERO = np.uint64(0)
_MIX = np.uint64(0x9E3779B97F4A7C15)
_SLOT_SHIFT = np.uint64(64 - RECENT_BITS)
_LENGTH_SHIFT = np.uint64(60)
_PLACE_SHIFT, _PLACE = np.uint64(24), np.uint64((1 << 36) - 1)
_SEEN = np.uint64(MOST_SEEN)


@inlined
def recent_key(word: Word, length: Int) -> Word:
    """Key of a word of up to 8 bytes, of which 8 are given; of a longer one, worthless."""
    return word << np.uint64(-8 * min(length, LONGEST_RECENT) & 63)


@inlined
def recent_row(key: Word) -> Int:
    """Offset of the row for a key."""
    return np.int64(key * _MIX >> _SLOT_SHIFT) * 2


@inlined
def row_to_keep(key: Word, length: Int) -> Int:
    """Offset of the row that a word may take; nobody looks at that of a longer one."""
    return recent_row(key) if length <= LONGEST_RECENT else _NOWHERE


@called
def count_recent(text: Bytes, starts: Int64s, count: Int, recent: UInt64s, keys: UInt64s, unknown: Int64s) -> Int:
    """Count the words that `recent` has; lists the others, and returns their number. No branch depends on the text."""
    for index in range(count):
        keys[index] = load_word(text, starts[index])
    for index in range(count):  # eight at a time
        length = starts[index + 1] - starts[index]
        key = recent_key(keys[index], length)
        keys[index], keys[HIGHS + index] = key, np.uint64(recent_row(key))
        keys[HASHES + index] = np.uint64(min(length, LONGEST_RECENT + 1))
    unknown_count = np.int64(0)
    for index in range(count):
        row = np.int64(keys[HIGHS + index])
        value = recent[row + 1]
        is_other = (recent[row] ^ keys[index]) | ((value >> _LENGTH_SHIFT) ^ keys[HASHES + index]) != _ZERO
        recent[row + 1] = value + np.uint64(not is_other)
        unknown[unknown_count] = index
        unknown_count += np.int64(is_other)
    return unknown_count


@inlined
def keep_count(text: Bytes, at: Int, length: Int, place: Int, recent: UInt64s, rows: UInt64s) -> None:
    """Let a word take its slot, once what is there is added up; `place` is that of its row in the table of words."""
    key = recent_key(load_word(text, at), length)
    row = row_to_keep(key, length)
    add_up(recent[row + 1], rows)
    recent[row] = key
    recent[row + 1] = np.uint64(length) << _LENGTH_SHIFT | np.uint64(place) << _PLACE_SHIFT


@inlined
def add_up(value: Word, rows: UInt64s) -> None:
    """Tell the table of words what a row of recent ones has seen; an empty one has seen nothing."""
    rows[np.int64(value >> _PLACE_SHIFT & _PLACE) + PAYLOAD] += value & _SEEN


@inlined
def add_all_up(recent: UInt64s, rows: UInt64s) -> None:
    """The same for all rows, which go on from nothing."""
    for slot in range(_SLOTS):
        value = recent[2 * slot + 1]
        add_up(value, rows)
        recent[2 * slot + 1] = value & ~_SEEN
