"""Names for the places in a row of a word table, which Python and compiled kernels share; the picture is in `words.py`.

Only numbers, so that Python's half can use them without importing numba. Each room keeps its own names this way:
`cutting.scan_state`, `counting.progress`, `merging.rows`, `encoding.layout`.
"""

# A row of a word table, four uint64.
LOW, HIGH, LENGTH, PAYLOAD = 0, 1, 2, 3
ROW_WORDS = 4
SHORT_WORD = 16
"""Words of up to this many bytes are their own key."""
