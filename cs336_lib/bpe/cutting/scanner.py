r"""The compiled scanner: where do the GPT-2 pre-tokens of a stretch of UTF-8 bytes start?

It is what `plain.definition.pretokenize` does with `regex`, at memory speed: 64 bytes at a time, a bit for each byte.

    text      T h e   c a t ' s   4   h a t s , \n \n o k
    letters   1 1 1 . 1 1 1 . 1 . . . 1 1 1 1 . .  .  1 1
    numbers   . . . . . . . . . . 1 . . . . . . .  .  . .
    spaces    . . . 1 . . . . . 1 . 1 . . . . . 1  1  . .
    others    . . . . . . . 1 . . . . . . . . 1 .  .  . .       the complement of the three
    starts    1 . . 1 . . . 1 . 1 . 1 . . . . 1 1  1  1 .

A word starts where its class starts, unless U+0020 stands before it, which then is its first byte. White space starts a
pre-token unless it has white space on both sides: so a run of it gives its first symbol a start, and its last one if a
word follows (`\s+(?!\S)`). The end of the text counts as white space. Contractions are mended one by one: where an
apostrophe starts a pre-token and `s`, `ll`, ... follows, the start behind the apostrophe moves behind the contraction.

Symbols beyond ASCII are looked up one by one and painted over all their bytes. A byte that isn't part of valid UTF-8,
by Python's rules, is a symbol of its own of class OTHER: the same as decoding with errors="surrogateescape".

Blocks hand a few bits to their successors, in eight words of state:

    0        1       2       3       4       5       6       7
    position letters numbers others  spaces  blank   erase   add
             \______ class of the last byte ______/  \_ starts to change in the next block
    and two more for a symbol that straddles the border:  8 its class   9 how many of its bytes lie in the next block
"""

import numpy as np

from cs336_lib.bpe.cutting.scan_state import (
    ADD,
    BATCH,
    BLOCK,
    CARRIED_BYTES,
    CARRIED_CLASS,
    ERASE,
    LAST_BLANK,
    LAST_LETTER,
    LAST_NUMBER,
    LAST_OTHER,
    LAST_SPACE,
    POSITION,
    SCAN_WORDS,
)
from cs336_lib.bpe.cutting.symbol_classes import LETTER, NUMBER, OTHER, SPACE
from cs336_lib.native.intrinsics import (
    PACKS_BYTES,
    classify_block,
    count_ones,
    pack_positions,
    prefetch,
    trailing_zeros,
)
from cs336_lib.native.types import Bytes, Int, Int64s, UInt64s, Word, inlined, kernel

NONE, BIT, ALL = np.uint64(0), np.uint64(1), np.uint64(0xFFFFFFFFFFFFFFFF)
TOP = np.uint64(63)
_AHEAD = 5 * BATCH
"""Bytes by which the text is asked for ahead: between two batches the processor itself would stop asking."""


@inlined
def decode_symbol(text: Bytes, at: Int, end: Int, classes: Bytes) -> tuple[Int, Int]:
    """Class and byte length of the symbol beyond ASCII at `text[at]`; (OTHER, 1) for a byte that isn't valid UTF-8."""
    first = np.int64(text[at])
    second = np.int64(text[at + 1]) ^ 0x80  # a continuation byte now lies in 0..0x3F
    third = np.int64(text[at + 2]) ^ 0x80
    fourth = np.int64(text[at + 3]) ^ 0x80
    if first < 0xE0:
        if first >= 0xC2 and second < 0x40 and at + 2 <= end:
            return np.int64(classes[(first & 0x1F) << 6 | second]), 2
    elif first < 0xF0:
        code_point = (first & 0x0F) << 12 | second << 6 | third
        well_formed = (second | third) < 0x40 and code_point >= 0x800 and not 0xD800 <= code_point < 0xE000
        if well_formed and at + 3 <= end:
            return np.int64(classes[code_point]), 3
    elif first < 0xF5:
        code_point = (first & 0x07) << 18 | second << 12 | third << 6 | fourth
        if (second | third | fourth) < 0x40 and 0x10000 <= code_point < 0x110000 and at + 4 <= end:
            return np.int64(classes[code_point]), 4
    return OTHER, 1


@inlined
def is_space(text: Bytes, at: Int, end: Int, classes: Bytes) -> Word:
    """Whether the symbol at `text[at]` is white space, as 0 or 1; the end of the text is."""
    if at >= end:
        return BIT
    if text[at] < 0x80:
        return np.uint64(classes[np.int64(text[at])] == SPACE)
    return np.uint64(decode_symbol(text, at, end, classes)[0] == SPACE)


@inlined
def paint_symbols(
    text: Bytes,
    block: Int,
    end: Int,
    classes: Bytes,
    letters: Word,
    numbers: Word,
    spaces: Word,
    beyond_ascii: Word,
    state: UInt64s,
) -> tuple[Word, Word, Word, Word, Word]:
    """Give the symbols beyond ASCII of a block their classes.

    Returns:
        The masks of letters, numbers and white space, now complete; `wide`: bytes of white space beyond ASCII;
        `wide_starts`: those where a pre-token starts.
    """
    wide, wide_starts = NONE, NONE
    remaining = beyond_ascii
    if state[CARRIED_BYTES] > NONE:
        painted = (BIT << state[CARRIED_BYTES]) - BIT
        remaining &= ~painted
        if state[CARRIED_CLASS] == np.uint64(LETTER):
            letters |= painted
        elif state[CARRIED_CLASS] == np.uint64(NUMBER):
            numbers |= painted
        elif state[CARRIED_CLASS] == np.uint64(SPACE):
            spaces |= painted
            wide |= painted
        state[CARRIED_BYTES] = NONE
    while remaining != NONE:
        offset = trailing_zeros(remaining)
        symbol_class, size = decode_symbol(text, block + offset, end, classes)
        painted = ((BIT << np.uint64(size)) - BIT) << np.uint64(offset)
        remaining &= ~painted
        if offset + size > BLOCK:
            state[CARRIED_CLASS] = np.uint64(symbol_class)
            state[CARRIED_BYTES] = np.uint64(offset + size - BLOCK)
        if symbol_class == LETTER:
            letters |= painted
        elif symbol_class == NUMBER:
            numbers |= painted
        elif symbol_class == SPACE:
            before = ((spaces << BIT) | state[LAST_SPACE]) >> np.uint64(offset) & BIT
            after = is_space(text, block + offset + size, end, classes)
            spaces |= painted
            wide |= painted
            wide_starts |= (BIT - (before & after)) << np.uint64(offset)
    return letters, numbers, spaces, wide, wide_starts


@inlined
def contraction_size(text: Bytes, at: Int, end: Int) -> Int:
    """Bytes of the contraction whose apostrophe stands at `text[at]`; 0 if there is none."""
    if at + 1 >= end:
        return 0
    second = text[at + 1]
    if second == ord("s") or second == ord("d") or second == ord("m") or second == ord("t"):
        return 2
    if at + 2 < end:
        third = text[at + 2]
        if third == ord("l") and second == ord("l"):
            return 3
        if third == ord("e") and (second == ord("v") or second == ord("r")):
            return 3
    return 0


@inlined
def mend_contractions(text: Bytes, block: Int, end: Int, apostrophes: Word, starts: Word, state: UInt64s) -> Word:
    """Move the start behind each apostrophe in the mask behind its contraction; the block after may be concerned."""
    while apostrophes != NONE:
        offset = trailing_zeros(apostrophes)
        apostrophes &= apostrophes - BIT
        size = contraction_size(text, block + offset, end)
        if size > 0:
            if offset + 1 < BLOCK:
                starts &= ~(BIT << np.uint64(offset + 1))
            else:
                state[ERASE] = BIT
            if block + offset + size < end:
                if offset + size < BLOCK:
                    starts |= BIT << np.uint64(offset + size)
                else:
                    state[ADD] |= BIT << np.uint64(offset + size - BLOCK)
    return starts


@inlined
def scan_block(text: Bytes, block: Int, end: Int, classes: Bytes, state: UInt64s) -> Word:
    """Mask of the pre-token starts among the 64 bytes at `text[block]`."""
    letters, numbers, spaces, blanks, beyond_ascii, apostrophes = classify_block(text, block)
    inside = ALL
    if end - block < BLOCK:
        inside = (BIT << np.uint64(end - block)) - BIT
        letters &= inside
        numbers &= inside
        spaces = spaces & inside | ~inside  # the end of the text counts as white space
        blanks &= inside
        beyond_ascii &= inside
        apostrophes &= inside
    wide, wide_starts = NONE, NONE
    if beyond_ascii != NONE:
        letters, numbers, spaces, wide, wide_starts = paint_symbols(
            text, block, end, classes, letters, numbers, spaces, beyond_ascii, state
        )
    others = ~(letters | numbers | spaces)
    space_before = (spaces << BIT) | state[LAST_SPACE]
    space_after = (spaces >> BIT) | (is_space(text, block + BLOCK, end, classes) << TOP)
    blank_before = (blanks << BIT) | state[LAST_BLANK]

    words = letters & ~((letters << BIT) | state[LAST_LETTER])
    words |= numbers & ~((numbers << BIT) | state[LAST_NUMBER])
    words |= others & ~((others << BIT) | state[LAST_OTHER])
    starts = words & ~blank_before
    starts |= spaces & ~wide & ~(space_before & space_after) | wide_starts
    starts = (starts & ~state[ERASE] | state[ADD]) & inside

    state[ERASE], state[ADD] = NONE, NONE
    state[LAST_LETTER] = letters >> TOP
    state[LAST_NUMBER] = numbers >> TOP
    state[LAST_OTHER] = others >> TOP
    state[LAST_SPACE] = spaces >> TOP
    state[LAST_BLANK] = blanks >> TOP
    return mend_contractions(text, block, end, apostrophes & starts, starts, state)


@inlined
def write_positions_in_turn(bits: Word, base: Int, starts: Int64s, count: Int) -> Int:
    """Append `base + k` for each set bit k; eight at a time, as a loop of one mispredicts its end at each block."""
    after = count + count_ones(bits)
    while count < after:
        for k in range(8):
            starts[count + k] = base + trailing_zeros(bits)
            bits &= bits - BIT
        count += 8
    return after


write_positions = pack_positions if PACKS_BYTES else write_positions_in_turn


@inlined
def reset_state(state: UInt64s, position: Int) -> None:
    """Begin a new stretch of text at `position`."""
    for k in range(SCAN_WORDS):
        state[k] = NONE
    state[POSITION] = np.uint64(position)


@inlined
def scan(text: Bytes, end: Int, classes: Bytes, state: UInt64s, starts: Int64s, count: Int, wanted: Int) -> Int:
    """Append pre-token starts from the state's position on, until there are `wanted` or the stretch ends.

    Args:
        text: bytes, readable for `PADDING` bytes behind `end`.
        end: where the stretch ends.
        classes: `symbol_classes()`.
        state: `SCAN_WORDS` words; position `end` or more means that all is scanned.
        starts: int64 positions in `text`, room for `wanted + STARTS_ROOM`.
        count: how many are there already.
        wanted: stop at this many or up to 63 more.

    Returns:
        How many are there now.
    """
    block = np.int64(state[POSITION])
    while block < end and count < wanted:
        prefetch(text, block + _AHEAD)
        count = write_positions(scan_block(text, block, end, classes, state), block, starts, count)
        block += BLOCK
    state[POSITION] = np.uint64(block)
    return count


@kernel
def find_starts(text: Bytes, first: Int, end: Int, classes: Bytes, state: UInt64s, starts: Int64s, wanted: Int) -> Int:
    """Starts of the pre-tokens of `text[first:end]`, all of them if `wanted` is `end - first` or more; the count."""
    reset_state(state, first)
    return scan(text, end, classes, state, starts, 0, wanted)
