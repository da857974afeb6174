"""`encoding.kernels.encode_parts` with a look at the processor's clock between its steps; `bpe_stages.py` calls it.

The steps are the library's own functions, called in the library's order. Special tokens are left out.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from cs336_lib.bpe.cutting.scan_state import BATCH, POSITION
from cs336_lib.bpe.cutting.scanner import reset_state, scan
from cs336_lib.bpe.encoding.kernels import merge_new, write_answers
from cs336_lib.bpe.encoding.layout import (
    CAPACITY,
    DONE,
    LONGEST,
    NEXT,
    PAIR_CAPACITY,
    TABLE_FULL,
    WORD_TOO_LONG,
    WRITTEN,
)
from cs336_lib.bpe.encoding.words import batch_fits, hash_words, recall_short, recall_words
from cs336_lib.native.types import Bytes, Int, Int32s, Int64s, UInt64s, kernel


@intrinsic
def cycles(typing_context: Any) -> Any:
    """The processor's count of clock cycles, as an int64."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        function_type = ir.FunctionType(ir.IntType(64), [])
        return builder.call(cgutils.get_or_insert_function(builder.module, function_type, "llvm.readcyclecounter"), [])

    return types.int64(), emit


@kernel
def count_cycles(spent: Int64s) -> Int:
    """The clock, for comparing it with seconds; `spent` is untouched."""
    return cycles()


@kernel
def encode_in_stages(
    text: Bytes,
    end: Int,
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
    spent: Int64s,
) -> Int:
    """Encode `text[progress[NEXT]:end]`; DONE, or TABLE_FULL to be called again with a larger table, or WORD_TOO_LONG.

    `spent` gets the cycles of the six steps added, and, from place 6 on, how many words there were, how many of them
    the small table of recent words did not have, and how many no table had.
    """
    capacity, pair_capacity = progress[CAPACITY], progress[PAIR_CAPACITY]
    at, written = progress[NEXT], progress[WRITTEN]
    while at < end:
        began = cycles()
        reset_state(scan_state, at)
        count = scan(text, end, classes, scan_state, starts, 0, BATCH)
        if np.int64(scan_state[POSITION]) >= end:
            starts[count] = end
        else:
            count -= 1
        scanned = cycles()
        unknown_count = recall_short(text, starts, count, recent, keys, answers, unknown)
        recalled = cycles()
        longest = hash_words(text, starts, unknown, unknown_count, keys, rows, capacity)
        hashed = cycles()
        spent[0] += scanned - began
        spent[1] += recalled - scanned
        spent[2] += hashed - recalled
        if longest > progress[LONGEST]:
            return WORD_TOO_LONG
        if not batch_fits(progress, starts[count] - at):
            progress[NEXT], progress[WRITTEN] = at, written
            return TABLE_FULL
        new_count = recall_words(
            text, starts, unknown, unknown_count, keys, rows, capacity, arena, recent, answers, new
        )
        looked_up = cycles()
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
        merged = cycles()
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
        spent[3] += looked_up - hashed
        spent[4] += merged - looked_up
        spent[5] += cycles() - merged
        spent[6] += count
        spent[7] += unknown_count
        spent[8] += new_count
        at = starts[count]
    progress[NEXT], progress[WRITTEN] = at, written
    return DONE
