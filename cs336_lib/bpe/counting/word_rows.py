"""Names for the places in a row of a word table, which Python and kernels share; the picture is in `word_keys.py`.

Only numbers, so that Python's half can use them without importing numba. Each room keeps its own names this way:
`cutting.scan_state`, `counting.progress`, `merging.rows`, `encoding.layout`.
"""

from cs336_lib.bpe.cutting.scan_state import BATCH_ROOM

# A row of a word table, four uint64.
LOW, HIGH, LENGTH, PAYLOAD = 0, 1, 2, 3
ROW_WORDS = 4
SHORT_WORD = 16
"""Words of up to this many bytes are their own key."""

LONGEST_RECENT = 8
"""Bytes of the longest word in the table of recent words: it fits 64 bits."""
RECENT_BITS = 14
RECENT_ROOM = (2 << RECENT_BITS) + 2
"""Entries of that table: 2**14 rows of 16 bytes, 256 KB, and one for words that are too long."""

# The stretches of an array with the keys of a batch of words; the first begins at 0.
HIGHS, HASHES = BATCH_ROOM, 2 * BATCH_ROOM
KEYS_ROOM = 3 * BATCH_ROOM
"""Entries that such an array must hold."""
