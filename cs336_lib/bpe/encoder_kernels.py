r"""The compiled encoder: bytes in, ids out, no Python object in between.

    text --scan--> starts of 1,024 words --pack, hash, prefetch--> keys --look up--> ids
                                                                          \ not there: merge, remember

Words that were seen before are answered by a hash table, a row of 32 bytes for each (`words.py` explains LOW and HIGH):

                      LOW                 HIGH            SHAPE                                  IDS
    1 to 16 bytes     bytes 0 to 7        bytes 8 to 15   length | count << 16                   id | second id << 32
    17 to 255 bytes   hash of all bytes   bytes 0 to 7    length | count << 16 | place << 32     likewise
    empty row         0                   0               0                                      0

`count` is the number of ids. One or two of them, which is 96 % of words in English, stand in the row itself; of more,
IDS is their place in the pool. `place` is that of the word's bytes in the arena. A word of more than 255 bytes isn't
remembered.

A kernel can't make a table larger. Before each batch it checks that even a batch of new words fits, and otherwise
returns what it lacks; `encoder_workspace.Workspace` provides it and calls again. Where it stopped stands in
`progress`, with sizes beside it.
"""

import numpy as np

from cs336_lib.bpe.encoder_layout import (
    ARENA_SIZE,
    ARENA_USED,
    CAPACITY,
    DONE,
    IDS,
    LONGEST,
    LONGEST_SCANNED,
    NEXT,
    PAIR_CAPACITY,
    PART,
    POOL_SIZE,
    POOL_USED,
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
_COUNT_SHIFT = np.uint64(16)
_PLACE_SHIFT = np.uint64(32)
_ID = np.uint64(0xFFFFFFFF)


@inlined
def hash_words(text: Bytes, starts: Int64s, count: Int, keys: UInt64s, rows: UInt64s, capacity: Int) -> Int:
    """Keys and hashes of a batch; fetches the rows. Returns the length of the longest word."""
    longest = 0
    for index in range(count):
        at = starts[index]
        length = starts[index + 1] - at
        if length <= SHORT_WORD:
            low, high = pack_low(text, at, length), pack_high(text, at, length)
            hashed = hash_short(low, high, length)
        else:
            low, high = hash_long(text, at, length), load_word(text, at)
            hashed = low
            longest = max(longest, length)
        keys[3 * index] = low
        keys[3 * index + 1] = high
        keys[3 * index + 2] = hashed
        prefetch(rows, first_row(hashed, capacity) * ROW_WORDS)
    return longest


@inlined
def find_word(
    text: Bytes, at: Int, length: Int, low: Word, high: Word, hashed: Word, rows: UInt64s, capacity: Int, arena: Bytes
) -> Int:
    """Offset in `rows` of the row of a word, or of the empty row where it belongs."""
    index = first_row(hashed, capacity)
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
def remember(
    text: Bytes,
    at: Int,
    length: Int,
    low: Word,
    high: Word,
    row: Int,
    rows: UInt64s,
    arena: Bytes,
    pool: Int32s,
    tokens: Int32s,
    count: Int,
    progress: Int64s,
) -> None:
    """Write the ids of a word, the first `count` of `tokens`, into its row."""
    shape = np.uint64(length) | np.uint64(count) << _COUNT_SHIFT
    if length > SHORT_WORD:
        place = progress[ARENA_USED]
        copy_bytes(text, at, arena, place, length)
        progress[ARENA_USED] = place + length
        shape |= np.uint64(place) << _PLACE_SHIFT
    if count == 1:
        ids = np.uint64(tokens[0])
    elif count == 2:
        ids = np.uint64(tokens[0]) | np.uint64(tokens[1]) << _PLACE_SHIFT
    else:
        place = progress[POOL_USED]
        for k in range(count):
            pool[place + k] = tokens[k]
        progress[POOL_USED] = place + count
        ids = np.uint64(place)
    rows[row + LOW] = low
    rows[row + HIGH] = high
    rows[row + SHAPE] = shape
    rows[row + IDS] = ids
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
    scan_state: UInt64s,
    starts: Int64s,
    keys: UInt64s,
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
                longest = hash_words(text, starts, count, keys, rows, capacity)
                stopped = DONE
                if longest > progress[LONGEST]:
                    stopped = WORD_TOO_LONG
                    progress[LONGEST] = longest
                elif not batch_fits(progress, starts[count] - at):
                    stopped = TABLE_FULL
                if stopped != DONE:
                    progress[PART], progress[NEXT], progress[WRITTEN] = part, at, written
                    return stopped
                for index in range(count):
                    word = starts[index]
                    length = starts[index + 1] - word
                    if length <= LONGEST_SCANNED:
                        low, high, hashed = keys[3 * index], keys[3 * index + 1], keys[3 * index + 2]
                        row = find_word(text, word, length, low, high, hashed, rows, capacity, arena)
                        shape = rows[row + SHAPE]
                        if shape == _ZERO:
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
                            remember(text, word, length, low, high, row, rows, arena, pool, tokens, id_count, progress)
                            shape = rows[row + SHAPE]
                        id_count = np.int64(shape >> _COUNT_SHIFT & _LENGTH)
                        ids = rows[row + IDS]
                        if id_count <= 2:
                            # Both are written; the second is written over if there is none.
                            out[written] = np.int32(ids & _ID)
                            out[written + 1] = np.int32(ids >> _PLACE_SHIFT)
                        else:
                            for k in range(id_count):
                                out[written + k] = pool[np.int64(ids) + k]
                    else:
                        id_count = merge_by_heap(
                            text,
                            word,
                            length,
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
