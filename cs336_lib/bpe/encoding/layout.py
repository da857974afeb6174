"""Names for the places in arrays that the encoder's Python half and its kernels share: only numbers, no numba.

The pictures are in `words.py` (rows), `pairs.py` and `merging.py` (candidates, slots).
"""

# A row of the table of words: LOW and HIGH as in `counting.word_rows`, then these.
SHAPE, ANSWER = 2, 3

POOL_ROOM = 4
"""Ids that may be read behind those of the pool."""

ID_BITS, RANK_BITS = 21, 22
NO_RANK = (1 << RANK_BITS) - 1
BUCKET = 4
"""Rows of the table of merges that are looked at together: 32 bytes, half a line of the cache."""
LONGEST_SCANNED = 255
"""Bytes of the longest word that is merged by scanning, and remembered: its places fit 8 bits."""
LANES = 16
"""Candidates are compared this many at a time; the array is filled up to a multiple of it."""
SLOTS = 16
"""Words that are merged side by side."""
SLOT = LONGEST_SCANNED + 1 + LANES
"""Room for one of them in each of the arrays for tokens, candidates and neighbors."""

DONE, TABLE_FULL, WORD_TOO_LONG = 0, 1, 2
"""What `encode_parts` returns."""

(
    PART,  # which text of several is in hand
    NEXT,  # where it goes on
    WRITTEN,  # ids written so far
    CAPACITY,  # rows of the table
    USED,  # of which are in use
    ARENA_SIZE,  # bytes
    ARENA_USED,
    POOL_SIZE,  # ids
    POOL_USED,
    PAIR_CAPACITY,  # rows of the table of merges
    LONGEST,  # bytes of the longest word that the scratch arrays hold, or should hold
) = range(11)
PROGRESS_WORDS = 11
