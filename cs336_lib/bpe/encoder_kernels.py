r"""The compiled encoder: bytes in, ids out, no Python object in between.

    text --scan--> starts of 1,024 words --recall_short--> answers --write_answers--> ids
                                            \ not there: hash, prefetch, recall --/
                                                            \ not there: merge, remember --/

What a word becomes stands in one 64-bit word, its answer; 0 if it isn't known:

    bit  63 .. 48   47 ..... 24   23 ..... 0
         1          0             id              97 % of words in English are one or two ids
         2          second id     first id
         n > 2      place of the n ids in the pool

Words that were seen before are looked up twice. `recent` is small enough to stay in the processor's second cache. It has a row
for each slot of a hash, holds the last short word that fell there, and answers nine words in ten:

                      KEY                                ANSWER
    1 to 7 bytes      bytes 0 to 6 | length << 56        1 or 2 ids

The table of words holds all, 32 bytes a row (`words.py` explains LOW and HIGH):

                      LOW                 HIGH            SHAPE                    ANSWER
    1 to 16 bytes     bytes 0 to 7        bytes 8 to 15   length
    17 to 255 bytes   hash of all bytes   bytes 0 to 7    length | place << 32     `place` is that of its bytes in the arena
    empty row         0                   0               0                        0

A word of more than 255 bytes isn't remembered. A kernel can't make a table larger. Before each batch it checks that even a
batch of new words fits, and otherwise returns what it lacks; `encoder_workspace.Workspace` provides it and calls again.
Where it stopped stands in `progress`, with sizes beside it.
"""

import numpy as np

from cs336_lib.bpe.encoder_layout import (
    ANSWER,
    ARENA_SIZE,
    ARENA_USED,
    CAPACITY,
    DONE,
    LONGEST,
    LONGEST_RECENT,
    LONGEST_SCANNED,
    NEXT,
    PAIR_CAPACITY,
    PART,
    POOL_SIZE,
    POOL_USED,
    RECENT_BITS,
    SHAPE,
    TABLE_FULL,
    USED,
    WORD_TOO_LONG,
    WRITTEN,
)
from cs336_lib.bpe.encoder_merging import merge_by_heap, merge_by_scanning
from cs336_lib.bpe.intrinsics import load_word, prefetch
from cs336_lib.bpe.kernel_types import Bytes, Int, Int32s, Int64s, UInt64s, Word, inlined, kernel
from cs336_lib.bpe.layout import BATCH, BATCH_ROOM, HIGH, LOW, POSITION, ROW_WORDS, SHORT_WORD
from cs336_lib.bpe.scanner import reset_state, scan
from cs336_lib.bpe.special_search import find_special
from cs336_lib.bpe.words import (
    copy_bytes,
    first_bytes,
    first_row,
    hash_long,
    hash_short,
    pack_high,
    pack_low,
    row_hash,
    same_bytes,
)

_ZERO = np.uint64(0)
_LENGTH = np.uint64(0xFFFF)
_PLACE_SHIFT = np.uint64(32)
_ID = np.uint64(0xFFFFFF)
_SECOND_SHIFT = np.uint64(24)
_COUNT_SHIFT = np.uint64(48)
_POOL_PLACE = np.uint64(0xFFFFFFFFFFFF)
_TOP_BYTE = np.uint64(56)
_MIX = np.uint64(0x9E3779B97F4A7C15)
_SLOT_SHIFT = np.uint64(64 - RECENT_BITS)


@inlined
def recent_key(text: Bytes, at: Int, length: Int) -> Word:
    """Key of a word of up to 7 bytes; of a longer one, what is no word's key."""
    return (
        load_word(text, at) & first_bytes(min(length, LONGEST_RECENT))
        | np.uint64(min(length, LONGEST_RECENT + 1)) << _TOP_BYTE
    )


@inlined
def recent_row(key: Word) -> Int:
    """Offset in `recent` of a key's slot."""
    return np.int64(key * _MIX >> _SLOT_SHIFT) * 2


@inlined
def recall_short(text: Bytes, starts: Int64s, count: Int, recent: UInt64s, answers: UInt64s, unknown: Int64s) -> Int:
    """Answers from `recent`; lists the words that it hasn't, and returns their number. No branch depends on the text."""
    unknown_count = 0
    for index in range(count):
        at = starts[index]
        key = recent_key(text, at, starts[index + 1] - at)
        row = recent_row(key)
        answers[index] = recent[row + 1]
        unknown[unknown_count] = index
        unknown_count += np.int64(recent[row] != key)
    return unknown_count


@inlined
def hash_words(
    text: Bytes, starts: Int64s, listed: Int64s, count: Int, keys: UInt64s, rows: UInt64s, capacity: Int
) -> Int:
    """Keys and hashes of the listed words; fetches their rows. Returns the length of the longest."""
    longest = 0
    for place in range(count):
        at = starts[listed[place]]
        length = starts[listed[place] + 1] - at
        if length <= SHORT_WORD:
            low, high = pack_low(text, at, length), pack_high(text, at, length)
            hashed = hash_short(low, high, length)
        else:
            low, high = hash_long(text, at, length), load_word(text, at)
            hashed = low
            longest = max(longest, length)
        keys[3 * place] = low
        keys[3 * place + 1] = high
        keys[3 * place + 2] = hashed
        prefetch(rows, first_row(hashed, capacity) * ROW_WORDS)
    return longest


@inlined
def find_word(
    text: Bytes, at: Int, length: Int, keys: UInt64s, place: Int, rows: UInt64s, capacity: Int, arena: Bytes
) -> Int:
    """Offset in `rows` of the row of a word whose keys stand at `place`, or of the empty row where it belongs."""
    low, high = keys[3 * place], keys[3 * place + 1]
    index = first_row(keys[3 * place + 2], capacity)
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
    """Let a short word of one or two ids replace whatever is in its slot."""
    if length <= LONGEST_RECENT and answer >> _COUNT_SHIFT <= np.uint64(2):
        key = recent_key(text, at, length)
        row = recent_row(key)
        recent[row], recent[row + 1] = key, answer


@inlined
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
    count: Int,
    progress: Int64s,
) -> None:
    """Enter a word, whose ids are the first `count` of `tokens`, into its row."""
    answer = np.uint64(count) << _COUNT_SHIFT
    if count == 1:
        answer |= np.uint64(tokens[0])
    elif count == 2:
        answer |= np.uint64(tokens[0]) | np.uint64(tokens[1]) << _SECOND_SHIFT
    else:
        first = progress[POOL_USED]
        for k in range(count):
            pool[first + k] = tokens[k]
        progress[POOL_USED] = first + count
        answer |= np.uint64(first)
    shape = np.uint64(length)
    if length > SHORT_WORD:
        copy_bytes(text, at, arena, progress[ARENA_USED], length)
        shape |= np.uint64(progress[ARENA_USED]) << _PLACE_SHIFT
        progress[ARENA_USED] += length
    rows[row + LOW] = keys[3 * place]
    rows[row + HIGH] = keys[3 * place + 1]
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


@inlined
def write_answer(answer: Word, pool: Int32s, out: Int32s, written: Int) -> Int:
    """Append the ids of an answer; how many there are now."""
    count = np.int64(answer >> _COUNT_SHIFT)
    # Both are written; the second is written over if there is none.
    out[written] = np.int32(answer & _ID)
    out[written + 1] = np.int32(answer >> _SECOND_SHIFT & _ID)
    if count > 2:
        first = np.int64(answer & _POOL_PLACE)
        for k in range(count):
            out[written + k] = pool[first + k]
    return written + count


@kernel
def encode_parts(
    text: Bytes,
    ends: Int64s,
    part_count: Int,
    classes: Bytes,
    special_bytes: Bytes,
    special_ends: Int64s,
    first_bytes: Bytes,
    special_sizes: Int64s,
    special_ids: Int32s,
    byte_ids: Int32s,
    byte_pairs: Int32s,
    pairs: UInt64s,
    merged_ids: Int32s,
    rows: UInt64s,
    arena: Bytes,
    pool: Int32s,
    recent: UInt64s,
    scan_state: UInt64s,
    starts: Int64s,
    keys: UInt64s,
    answers: UInt64s,
    unknown: Int64s,
    new: Int64s,
    tokens: Int32s,
    candidates: Int32s,
    left: Int32s,
    right: Int32s,
    heap: UInt64s,
    progress: Int64s,
    out: Int32s,
    written_ends: Int64s,
) -> Int:
    """Encode texts that lie one behind the other; each is for itself, as if it were alone.

    The texts end at `ends[0]`, `ends[1]`, ...; the first starts at `progress[NEXT]`. `out` has room for an id for each
    byte, and one more; `written_ends` gets how many ids there are after each text. The other arguments are tables and
    scratch of `encoder_workspace`.

    Returns DONE, or what to provide before the next call: TABLE_FULL, WORD_TOO_LONG (of `progress[LONGEST]` bytes).
    """
    capacity, pair_capacity = progress[CAPACITY], progress[PAIR_CAPACITY]
    written = progress[WRITTEN]
    at = progress[NEXT]
    for part in range(progress[PART], part_count):
        end = ends[part]
        while at < end:
            stretch_end, special_length = find_special(
                text, at, end, special_bytes, special_ends, first_bytes, special_sizes
            )
            while at < stretch_end:
                reset_state(scan_state, at)
                count = scan(text, stretch_end, classes, scan_state, starts, 0, BATCH)
                if np.int64(scan_state[POSITION]) >= stretch_end:
                    starts[count] = stretch_end
                else:
                    count -= 1  # the last word's end isn't known yet: it begins the next batch
                unknown_count = recall_short(text, starts, count, recent, answers, unknown)
                longest = hash_words(text, starts, unknown, unknown_count, keys, rows, capacity)
                stopped = DONE
                if longest > progress[LONGEST]:
                    stopped = WORD_TOO_LONG
                    progress[LONGEST] = longest
                elif not batch_fits(progress, starts[count] - at):
                    stopped = TABLE_FULL
                if stopped != DONE:
                    progress[PART], progress[NEXT], progress[WRITTEN] = part, at, written
                    return stopped
                new_count = recall_words(
                    text, starts, unknown, unknown_count, keys, rows, capacity, arena, recent, answers, new
                )
                for k in range(new_count):
                    place = new[k]
                    index = unknown[place]
                    word = starts[index]
                    length = starts[index + 1] - word
                    if length > LONGEST_SCANNED:
                        continue
                    row = find_word(text, word, length, keys, place, rows, capacity, arena)
                    if rows[row + SHAPE] == _ZERO:  # else it came earlier in the batch
                        id_count = merge_by_scanning(
                            text,
                            word,
                            length,
                            byte_ids,
                            byte_pairs,
                            pairs,
                            pair_capacity,
                            merged_ids,
                            tokens,
                            candidates,
                            left,
                            right,
                        )
                        remember(text, word, length, keys, place, row, rows, arena, pool, tokens, id_count, progress)
                    answers[index] = rows[row + ANSWER]
                for index in range(count):
                    if answers[index] != _ZERO:
                        written = write_answer(answers[index], pool, out, written)
                    else:
                        id_count = merge_by_heap(
                            text,
                            starts[index],
                            starts[index + 1] - starts[index],
                            byte_ids,
                            pairs,
                            pair_capacity,
                            merged_ids,
                            tokens,
                            candidates,
                            left,
                            right,
                            heap,
                        )
                        for k in range(id_count):
                            out[written + k] = tokens[k]
                        written += id_count
                at = starts[count]
            if special_length > 0:
                out[written] = special_id(
                    text, at, special_length, special_bytes, special_ends, special_sizes[0], special_ids
                )
                written += 1
                at += special_length
        written_ends[part] = written
    progress[PART], progress[NEXT], progress[WRITTEN] = part_count, at, written
    return DONE


@inlined
def special_id(
    text: Bytes, at: Int, length: Int, special_bytes: Bytes, special_ends: Int64s, count: Int, special_ids: Int32s
) -> Int:
    """Id of the special token of this length that stands at `text[at]`."""
    first = 0
    for index in range(count):
        if special_ends[index] - first == length:
            matched = 0
            while matched < length and text[at + matched] == special_bytes[first + matched]:
                matched += 1
            if matched == length:
                return np.int64(special_ids[index])
        first = special_ends[index]
    return -1


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
