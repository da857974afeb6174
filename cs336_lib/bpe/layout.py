"""Names for the places in arrays that Python and compiled kernels share.

Only numbers, so that Python's half can use them without importing numba. The pictures are where the ideas are:
`words.py` (rows of the word table), `counting_kernels.py` and `merging_kernels.py`.
"""

# A row of a word table, four uint64.
LOW, HIGH, LENGTH, PAYLOAD = 0, 1, 2, 3
ROW_WORDS = 4
SHORT_WORD = 16
"""Words of up to this many bytes are their own key."""

# State of the scanner between two blocks, uint64.
POSITION, LAST_LETTER, LAST_NUMBER, LAST_OTHER, LAST_SPACE, LAST_BLANK, ERASE, ADD = range(8)
CARRIED_CLASS, CARRIED_BYTES = 8, 9
SCAN_WORDS = 10
BLOCK = 64
STARTS_ROOM = 2 * BLOCK
"""Entries that `starts` must hold beyond those asked for: the scanner never splits a block, and writes 8 at a time."""

# Where counting a text stands, int64.
NEXT, STRETCH_END, AFTER_SPECIAL, PENDING, USED, ARENA_USED = range(6)
COUNTING_WORDS = 6
BATCH = 1024
BATCH_ROOM = BATCH + STARTS_ROOM
FINISHED, TABLE_FULL = 0, 1

# Rows of nodes, pairs and partners, four int32 each.
TOKEN, PAIR, PREVIOUS, WORD = 0, 1, 2, 3
LEFT, RIGHT, FIRST, LISTED = 0, 1, 2, 3
LEFT_STEP, LEFT_PAIR, RIGHT_STEP, RIGHT_PAIR = 0, 1, 2, 3
ROW = 4

# Where merging stands, int64.
MERGES, PAIRS, OCCURRENCES, QUEUED, BUCKET, TEXT_USED, FOUND_WANTED = range(7)
MERGING_WORDS = 7
BYTE_PAIRS = 256 * 256
BUCKET_COUNT = 56 * 1024
REACHED, EXHAUSTED, NEEDS_ROOM = 0, 1, 2
