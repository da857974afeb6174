"""Names for the state of the scanner and the sizes of what it fills: only numbers, no numba; see `scanner.py`."""

# State of the scanner between two blocks, uint64.
POSITION, LAST_LETTER, LAST_NUMBER, LAST_OTHER, LAST_SPACE, LAST_BLANK, ERASE, ADD = range(8)
CARRIED_CLASS, CARRIED_BYTES = 8, 9
SCAN_WORDS = 10
BLOCK = 64
STARTS_ROOM = 2 * BLOCK
"""Entries that `starts` must hold beyond those asked for: the scanner never splits a block, and writes 8 at a time."""

# A row of the tree of special tokens, int32; see `special_search.py`.
BYTE, CHILD, SIBLING, TOKEN = range(4)
ROW = 4

BATCH = 1024
"""Starts that are asked for at a time."""
BATCH_ROOM = BATCH + STARTS_ROOM

SCANNING_KERNELS = (
    "cs336_lib.bpe.cutting.special_search",
    "cs336_lib.bpe.cutting.scanner",
    "cs336_lib.bpe.cutting.scan_state",
    "cs336_lib.bpe.cutting.symbol_classes",
    "cs336_lib.bpe.counting.word_keys",
    "cs336_lib.bpe.counting.word_rows",
    "cs336_lib.native.intrinsics",
    "cs336_lib.native.types",
)
"""The modules that a kernel which scans a text is compiled with, whatever it does with the words."""
