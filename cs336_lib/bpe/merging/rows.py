"""Names for the places in the arrays of merging: only numbers, no numba; the picture is in `kernels.py`."""

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
