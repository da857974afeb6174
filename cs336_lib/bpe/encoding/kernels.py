r"""The compiled encoder: bytes in, ids out, no Python object in between.

    text --scan--> starts of 1,024 words --recall_short--> answers --write_answers--> ids
                                            \ not there: hash, prefetch, recall --/
                                                            \ not there: merge in slots, remember --/

`words.py` shows the tables, `merging.py` how a new word is merged. A kernel can't make a table larger.
Before each batch it checks that even a batch of new words fits, and otherwise returns what it lacks;
`workspace.Workspace` provides it and calls again. Where it stopped stands in `progress`, with sizes beside it.
"""

import numpy as np

from cs336_lib.bpe.cutting.scan_state import BATCH, POSITION
from cs336_lib.bpe.cutting.scanner import reset_state, scan
from cs336_lib.bpe.cutting.special_search import find_special, special_index
from cs336_lib.bpe.encoding.heap_merging import merge_by_heap
from cs336_lib.bpe.encoding.layout import (
    ANSWER,
    CAPACITY,
    DONE,
    LONGEST,
    LONGEST_SCANNED,
    NEXT,
    PAIR_CAPACITY,
    PART,
    SHAPE,
    SLOT,
    SLOTS,
    TABLE_FULL,
    WORD_TOO_LONG,
    WRITTEN,
)
from cs336_lib.bpe.encoding.merging import NOTE, gather_tokens, merge_slots, take_slot
from cs336_lib.bpe.encoding.words import (
    COUNT_SHIFT,
    TOO_LONG,
    batch_fits,
    find_word,
    hash_words,
    recall_short,
    recall_words,
    remember,
)
from cs336_lib.native.eights import EIGHT, half_packer
from cs336_lib.native.intrinsics import copy_16_bytes, store_pair
from cs336_lib.native.types import Bytes, Int, Int32s, Int64s, UInt64s, called, kernel

_ZERO = np.uint64(0)
pack_answers = half_packer(two=2 << 24, more=3 << 24, number=0xFFFFFF)
_TWO_IDS, _POOL_PLACE = np.uint64(0x00FFFFFF_00FFFFFF), np.uint64(0xFFFFFF)


@called
def merge_new(
    text: Bytes,
    starts: Int64s,
    unknown: Int64s,
    new: Int64s,
    new_count: Int,
    byte_ids: Int32s,
    byte_pairs: Int32s,
    pairs: UInt64s,
    pair_capacity: Int,
    merged_ids: Int32s,
    rows: UInt64s,
    capacity: Int,
    arena: Bytes,
    pool: Int32s,
    keys: UInt64s,
    answers: UInt64s,
    tokens: Int32s,
    candidates: Int32s,
    left: Int32s,
    right: Int32s,
    slots: Int64s,
    asked: UInt64s,
    progress: Int64s,
) -> None:
    """Merge and remember the words of a batch that were never seen, but for the longest."""
    taken = 0
    for k in range(new_count):
        place = new[k]
        index = unknown[place]
        word = starts[index]
        length = starts[index + 1] - word
        if length <= LONGEST_SCANNED:
            row = find_word(text, word, length, keys, place, rows, capacity, arena)
            answers[index] = rows[row + ANSWER]
            if rows[row + SHAPE] == _ZERO:  # else it came earlier in the batch
                take_slot(
                    taken,
                    text,
                    word,
                    length,
                    byte_ids,
                    byte_pairs,
                    tokens,
                    candidates,
                    left,
                    right,
                    slots,
                )
                slots[NOTE + taken] = place
                taken += 1
        else:
            answers[index] = TOO_LONG
        if taken < SLOTS and k + 1 < new_count:
            continue
        merge_slots(taken, pairs, pair_capacity, merged_ids, tokens, candidates, left, right, slots, asked)
        for slot in range(taken):
            place = slots[NOTE + slot]
            index = unknown[place]
            word = starts[index]
            length = starts[index + 1] - word
            row = find_word(text, word, length, keys, place, rows, capacity, arena)
            if rows[row + SHAPE] == _ZERO:  # else it was in another slot, too
                first = slot * SLOT
                id_count = gather_tokens(tokens, first, right, length)
                remember(
                    text,
                    word,
                    length,
                    keys,
                    place,
                    row,
                    rows,
                    arena,
                    pool,
                    tokens,
                    first,
                    id_count,
                    progress,
                )
            answers[index] = rows[row + ANSWER]
        taken = 0


@called
def write_answers(
    text: Bytes,
    starts: Int64s,
    count: Int,
    answers: UInt64s,
    byte_ids: Int32s,
    pairs: UInt64s,
    pair_capacity: Int,
    merged_ids: Int32s,
    pool: Int32s,
    tokens: Int32s,
    candidates: Int32s,
    left: Int32s,
    right: Int32s,
    heap: UInt64s,
    out: Int32s,
    written: Int,
) -> Int:
    """Append the ids of a batch of words; how many there are now."""
    index = np.int64(0)
    while index < count:
        if index + 2 * EIGHT <= count:  # the places behind the ids of these eight are those of the next eight
            packed = pack_answers(answers, index, out, written)
            written += packed >> 4
            if packed & 15 == EIGHT:
                index += EIGHT
                continue
            index += packed & 15
        answer = answers[index]
        id_count = np.int64(answer >> COUNT_SHIFT)
        if id_count <= 2:
            store_pair(out, written, answer & _TWO_IDS)  # the second is written over if there is none
            written += id_count
        elif answer != TOO_LONG:
            first = np.int64(answer & _POOL_PLACE)
            copy_16_bytes(pool, first, out, written)
            for k in range(4, id_count):
                out[written + k] = pool[first + k]
            written += id_count
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
        index += 1
    return written


@kernel
def encode_parts(
    text: Bytes,
    ends: Int64s,
    part_count: Int,
    classes: Bytes,
    special_tree: Int32s,
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
    slots: Int64s,
    asked: UInt64s,
    progress: Int64s,
    out: Int32s,
    written_ends: Int64s,
) -> Int:
    """Encode texts that lie one behind the other; each is for itself, as if it were alone.

    The texts end at `ends[0]`, `ends[1]`, ...; the first starts at `progress[NEXT]`. `out` has room for an id for each
    byte, and one more; `written_ends` gets how many ids there are after each text. The other arguments are tables and
    scratch of `workspace`.

    Returns DONE, or what to provide before the next call: TABLE_FULL, WORD_TOO_LONG (of `progress[LONGEST]` bytes).
    """
    capacity, pair_capacity = progress[CAPACITY], progress[PAIR_CAPACITY]
    written = progress[WRITTEN]
    at = progress[NEXT]
    for part in range(progress[PART], part_count):
        end = ends[part]
        while at < end:
            stretch_end, special_length = find_special(text, at, end, special_tree, first_bytes, special_sizes)
            while at < stretch_end:
                reset_state(scan_state, at)
                count = scan(text, stretch_end, classes, scan_state, starts, 0, BATCH)
                if np.int64(scan_state[POSITION]) >= stretch_end:
                    starts[count] = stretch_end
                else:
                    count -= 1  # the last word's end isn't known yet: it begins the next batch
                unknown_count = recall_short(text, starts, count, recent, keys, answers, unknown)
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
                if new_count > 0:
                    merge_new(
                        text,
                        starts,
                        unknown,
                        new,
                        new_count,
                        byte_ids,
                        byte_pairs,
                        pairs,
                        pair_capacity,
                        merged_ids,
                        rows,
                        capacity,
                        arena,
                        pool,
                        keys,
                        answers,
                        tokens,
                        candidates,
                        left,
                        right,
                        slots,
                        asked,
                        progress,
                    )
                written = write_answers(
                    text,
                    starts,
                    count,
                    answers,
                    byte_ids,
                    pairs,
                    pair_capacity,
                    merged_ids,
                    pool,
                    tokens,
                    candidates,
                    left,
                    right,
                    heap,
                    out,
                    written,
                )
                at = starts[count]
            if special_length > 0:
                out[written] = special_ids[special_index(text, at, special_length, special_tree)]
                written += 1
                at += special_length
        written_ends[part] = written
    progress[PART], progress[NEXT], progress[WRITTEN] = part_count, at, written
    return DONE
