"""How a pre-token becomes the key of a hash table without becoming a Python object.

A word of up to 16 bytes *is* its key: two masked loads, compared in two instructions, nothing stored beside.

    " tokenization"    low  = " tokeniz"            high = "ation" 00 00 00
    word of 14 bytes          8 bytes, the first lowest    6 bytes, zeros above

A longer one is represented by a 64-bit hash, and its bytes lie in an arena, compared when length and hash agree:

                        LOW                HIGH                 LENGTH      PAYLOAD
    1 to 16 bytes       bytes 0 to 7       bytes 8 to 15        1 to 16     the table's own (a count, ids)
    17 bytes or more    hash of all bytes  offset in the arena  17 or more  likewise
    empty row           0                  0                    0           0

A row is these four words, 32 bytes: two rows share a cache line, and a look-up touches one line. LENGTH is part of
the key because words may hold NUL bytes. The tables use open addressing, linear probing and a power-of-two capacity.

A batch of words is keyed in two steps, since bytes must be fetched word by word, and all else can be done for eight
words at a time; a compiler sees that of a loop that does nothing else and has no branch. `keys` has three stretches:

    keys        from 0 on           from HIGHS on        from HASHES on
    fetched     8 bytes             the next 8 bytes     length
    packed      LOW                 HIGH                 hash
"""

import numpy as np

from cs336_lib.bpe.counting.word_rows import HASHES, HIGHS, SHORT_WORD
from cs336_lib.native.intrinsics import load_word
from cs336_lib.native.types import Bytes, Int, Int64s, UInt64s, Word, inlined

_ALL = np.uint64(0xFFFFFFFFFFFFFFFF)
_ZERO = np.uint64(0)
# Odd constants with well-mixed bits: 2**64 divided by the golden ratio, and two of xxHash's and of splitmix's.
_MIX_LOW = np.uint64(0x9E3779B97F4A7C15)
_MIX_HIGH = np.uint64(0xC2B2AE3D27D4EB4F)
_MIX_LENGTH = np.uint64(0xD6E8FEB86659FD93)


@inlined
def first_bytes(count: Int) -> Word:
    """Mask of the first `count` bytes of a loaded word, 1 to 8."""
    return _ALL >> np.uint64(64 - 8 * count)


@inlined
def keep_bytes(word: Word, count: Int) -> Word:
    """The first `count` bytes of a loaded word, 0 to 8 of them, and zeros above."""
    half = np.uint64(4 * count)  # no number can be shifted by 64 bits at once
    return word & ~(_ALL << half << half)


@inlined
def pack_low(text: Bytes, at: Int, length: Int) -> Word:
    """Bytes 0 to 7 of a word of 1 to 16 bytes, zeros above its end."""
    return load_word(text, at) & first_bytes(min(length, 8))


@inlined
def pack_high(text: Bytes, at: Int, length: Int) -> Word:
    """Bytes 8 to 15 of a word of 1 to 16 bytes; 0 for one of up to 8. No branch: half of them go the other way."""
    return keep_bytes(load_word(text, at + 8), max(length - 8, 0))


@inlined
def hash_short(low: Word, high: Word, length: Int) -> Word:
    """Hash of a word of up to 16 bytes."""
    mixed = low * _MIX_LOW ^ high * _MIX_HIGH ^ np.uint64(length) * _MIX_LENGTH
    mixed ^= mixed >> np.uint64(32)
    return mixed * _MIX_LOW


@inlined
def hash_long(text: Bytes, at: Int, length: Int) -> Word:
    """Hash of a word of any length; it stands in the row's LOW."""
    mixed = np.uint64(length) * _MIX_LENGTH
    done = 0
    while done + 8 <= length:
        mixed = (mixed ^ load_word(text, at + done)) * _MIX_LOW
        mixed ^= mixed >> np.uint64(29)
        done += 8
    if done < length:
        mixed = (mixed ^ load_word(text, at + done) & first_bytes(length - done)) * _MIX_LOW
        mixed ^= mixed >> np.uint64(32)
    return mixed * _MIX_HIGH


@inlined
def key_words(text: Bytes, starts: Int64s, listed: Int64s, count: Int, keys: UInt64s) -> Int:
    """Keys and hashes of the listed words, as drawn above; the length of the longest.

    HIGH of a word of 17 bytes or more is its first bytes: where it lies in an arena, only a table knows.
    """
    for place in range(count):
        at = starts[listed[place]]
        keys[place], keys[HIGHS + place] = load_word(text, at), load_word(text, at + 8)
        keys[HASHES + place] = np.uint64(starts[listed[place] + 1] - at)
    longest = np.int64(0)
    for place in range(count):
        length = np.int64(keys[HASHES + place])
        longest = max(longest, length)
        low = keep_bytes(keys[place], min(length, 8))
        high = keep_bytes(keys[HIGHS + place], min(max(length - 8, 0), 8))
        keys[place], keys[HIGHS + place] = low, high
        keys[HASHES + place] = hash_short(low, high, length)
    if longest > SHORT_WORD:
        for place in range(count):
            at = starts[listed[place]]
            length = starts[listed[place] + 1] - at
            if length > SHORT_WORD:
                hashed = hash_long(text, at, length)
                keys[place], keys[HIGHS + place], keys[HASHES + place] = hashed, load_word(text, at), hashed
    return longest


@inlined
def row_hash(low: Word, high: Word, length: Int) -> Word:
    """Hash of the word that a row holds."""
    return hash_short(low, high, length) if length <= SHORT_WORD else low


@inlined
def first_row(hashed: Word, capacity: Int) -> Int:
    """Index of the row where the search for a hash begins; its high bits are the best mixed."""
    return np.int64(hashed >> np.uint64(20)) & (capacity - 1)


@inlined
def same_bytes(text: Bytes, at: Int, other: Bytes, other_at: Int, length: Int) -> bool:
    """Whether `text[at:at + length]` and `other[other_at:other_at + length]` are equal; readable 8 further."""
    done = 0
    while done + 8 <= length:
        if load_word(text, at + done) != load_word(other, other_at + done):
            return False
        done += 8
    if done == length:
        return True
    return (load_word(text, at + done) ^ load_word(other, other_at + done)) & first_bytes(length - done) == _ZERO


@inlined
def copy_bytes(text: Bytes, at: Int, other: Bytes, other_at: Int, length: Int) -> None:
    """Copy `text[at:at + length]` to `other[other_at:]`."""
    for k in range(length):
        other[other_at + k] = text[at + k]
