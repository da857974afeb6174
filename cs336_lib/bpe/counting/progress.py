"""Names for where counting a text stands: only numbers, no numba; the picture is in `kernels.py`."""

# int64.
NEXT, STRETCH_END, AFTER_SPECIAL, PENDING, USED, ARENA_USED, UNTOLD = range(7)
COUNTING_WORDS = 7
FINISHED, TABLE_FULL = 0, 1
