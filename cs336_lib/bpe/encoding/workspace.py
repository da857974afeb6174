"""Tables and memory for the compiled encoder's kernels, and the loop that calls them until a text is done.

    MergeTables    what a tokenizer knows, in the layout of `pairs.py`; shared by all threads
    Workspace      what one thread needs at a time: a table of the words seen so far, and scratch

The table of words starts small (1.8 MB with what belongs to it), doubles as new words come, and forgets everything when
it is full: at 1,048,576 words, or at fewer if they are long. A table that stops learning instead would be poisoned by a
stretch of rare words: everything after it would be slow.
"""

import numpy as np

from cs336_lib.bpe.counting.word_rows import KEYS_ROOM, RECENT_ROOM, ROW_WORDS
from cs336_lib.bpe.counting.word_table import SpecialTable
from cs336_lib.bpe.cutting.scan_state import BATCH_ROOM, SCAN_WORDS, SCANNING_KERNELS
from cs336_lib.bpe.cutting.symbol_classes import symbol_classes
from cs336_lib.bpe.encoding.jobs import jobs
from cs336_lib.bpe.encoding.layout import (
    ARENA_SIZE,
    ARENA_USED,
    CAPACITY,
    DONE,
    LANES,
    LONGEST,
    NEXT,
    NO_RANK,
    PAIR_CAPACITY,
    PART,
    POOL_ROOM,
    POOL_SIZE,
    POOL_USED,
    PROGRESS_WORDS,
    SLOT,
    SLOTS,
    TABLE_FULL,
    USED,
    WRITTEN,
)
from cs336_lib.bpe.encoding.wide_text import SurrogateError, WideText
from cs336_lib.bpe.vocabulary import Vocabulary
from cs336_lib.native.library import PADDING, KernelLibrary
from cs336_lib.native.memory import zeros

KERNELS = KernelLibrary(
    "encoding",
    (
        "cs336_lib.bpe.encoding.kernels",
        "cs336_lib.bpe.encoding.words",
        "cs336_lib.bpe.encoding.pairs",
        "cs336_lib.bpe.encoding.merging",
        "cs336_lib.bpe.encoding.heap_merging",
        "cs336_lib.bpe.encoding.layout",
        "cs336_lib.bpe.encoding.to_utf8",
        "cs336_lib.bpe.counting.recent_words",
        "cs336_lib.native.eights",
        *SCANNING_KERNELS,
    ),
)

JOB_BYTES = 1 << 20
SMALL = 1 << 16
"""Bytes of a text that is copied to memory which is there already."""
CHARACTERS = 1 << 20
"""Of a string whose UTF-8 form is made in parts: so many that it is still in the last cache when it is read."""

FIRST_CAPACITY, LAST_CAPACITY = 1 << 15, 1 << 21
_ARENA_BYTES, _POOL_IDS = 8, 4  # for each row of the table; where words are longer, the table doubles sooner
_FIRST_LONGEST = SLOTS * SLOT
_LONGEST_KEPT = 1 << 16
_UTF8_KEPT = 8 * CHARACTERS
_IDS_KEPT = 2 * JOB_BYTES
_LISTED = 1 << 14  # ids at a time, so that the array in between stays in the cache


class MergeTables:
    """What a tokenizer knows, as arrays for the kernels.

    Attributes:
        specials: the special tokens, encoded, longest first.
        addresses: of the arrays, in the order of `encode_parts`' arguments from `classes` to `merged_ids`.
        pair_capacity: rows of the table of merges.
        integers: Python's integer for each id; a list of them holds these instead of new ones.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        ids = vocabulary.ids
        self.specials = vocabulary.specials.encoded
        special_ids = np.array([ids[token] for token in self.specials], np.int32)
        byte_ids = np.array([ids[bytes([byte])] for byte in range(256)], np.int32)
        lefts = np.array([ids[left] for left, _ in vocabulary.merges], np.int64)
        rights = np.array([ids[right] for _, right in vocabulary.merges], np.int64)
        merged_ids = np.array([ids[left + right] for left, right in vocabulary.merges], np.int32)
        byte_pairs = np.full(1 << 16, NO_RANK, np.int32)
        for rank, (left, right) in enumerate(vocabulary.merges):
            if len(left) == len(right) == 1:
                byte_pairs[left[0] << 8 | right[0]] = rank
        self.pair_capacity = 1 << max(4, (2 * len(lefts)).bit_length())
        pairs = zeros(self.pair_capacity, np.uint64)  # a bucket lies in one line of the cache
        pairs.fill(~np.uint64(0))
        KERNELS.fill_pairs(lefts, rights, len(lefts), pairs, self.pair_capacity)
        self.integers = np.array(range(len(vocabulary.tokens)), object)
        self._arrays = (
            symbol_classes(),
            *SpecialTable(self.specials).arguments,
            special_ids,
            byte_ids,
            byte_pairs,
            pairs,
            merged_ids,
        )
        self.addresses = tuple(array.ctypes.data for array in self._arrays)


class Workspace:
    """Memory for one thread at a time, and the words that were encoded in it.

    >>> from cs336_lib.bpe.vocabulary import Vocabulary
    >>> vocabulary = Vocabulary({i: bytes([i]) for i in range(256)} | {256: b"hi"}, [(b"h", b"i")])
    >>> Workspace(MergeTables(vocabulary)).encode(b"hi there", 0, 8)[:3]
    array([256,  32, 116], dtype=int32)
    """

    def __init__(self, tables: MergeTables) -> None:
        self._tables = tables
        self._encode_parts = KERNELS.by_address("encode_parts")
        self._progress = np.zeros(PROGRESS_WORDS, np.int64)
        self._progress[PAIR_CAPACITY] = tables.pair_capacity
        self._batch = (
            np.empty(SCAN_WORDS, np.uint64),
            np.empty(BATCH_ROOM, np.int64),
            np.empty(KEYS_ROOM, np.uint64),
            np.empty(BATCH_ROOM, np.uint64),
            np.empty(BATCH_ROOM, np.int64),
            np.empty(BATCH_ROOM, np.int64),
        )
        self._slots = np.empty(5 * SLOTS, np.int64), np.empty(2 * SLOTS, np.uint64)
        self._small_text = np.zeros(SMALL + PADDING, np.uint8)
        self._small_view = self._small_text.data
        self._small_ids = np.empty(SMALL + 1, np.int32)
        self._end, self._id_end = np.empty(1, np.int64), np.empty(1, np.int64)
        self._small_addresses = tuple(
            array.ctypes.data for array in (self._small_text, self._small_ids, self._end, self._id_end)
        )
        self._recent = zeros(RECENT_ROOM, np.uint64)
        self._utf8, self._ids = np.empty(0, np.uint8), np.empty(0, np.int32)
        self._words: tuple[np.ndarray, ...] = ()
        self._scratch: tuple[np.ndarray, ...] = ()
        self._make_words(FIRST_CAPACITY)
        self._make_scratch(_FIRST_LONGEST)

    def encode(self, data: "bytes | memoryview | WideText", start: int, end: int) -> np.ndarray:
        """The ids of `data[start:end]`, between two cuts, as int32; the buffer is read in place.

        Raises:
            SurrogateError: there is one among the characters of a string.
        """
        if end - start <= SMALL and not isinstance(data, WideText):
            return self._encode_small(data, start, end).copy()
        # Most texts have over two bytes per token; memory that isn't written to costs nothing.
        ids, written = self._encode_large(data, start, end, np.empty((end - start) // 2 + JOB_BYTES, np.int32))
        ids.resize(written, refcheck=False)  # gives what was not used back
        return ids

    def encode_here(self, data: "bytes | memoryview | WideText", start: int, end: int) -> np.ndarray:
        """`encode`, in memory that the next call uses again: it is in the cache, and was the system's to zero once."""
        if end - start <= SMALL and not isinstance(data, WideText):
            return self._encode_small(data, start, end)
        ids, written = self._encode_large(data, start, end, self._ids)
        self._ids = ids if len(ids) <= _IDS_KEPT else np.empty(0, np.int32)
        return ids[:written]

    def _encode_large(
        self, data: "bytes | memoryview | WideText", start: int, end: int, ids: np.ndarray
    ) -> tuple[np.ndarray, int]:
        """Write the ids to the front of an array, or of a larger one; it, and how many there are."""
        if isinstance(data, WideText):
            return self._encode_wide(data, start, end, ids)
        text, written = np.frombuffer(data, np.uint8), 0
        for first, last in jobs(data, start, end, JOB_BYTES, self._tables.specials):
            ids = with_room(ids, written, last - first)
            # Kernels read beyond the end. Behind the last job that is nobody's memory, so it is copied.
            if last + PADDING <= len(data):
                written = self._run_one(text.ctypes.data, first, last, ids.ctypes.data, written)
            else:
                copy = np.empty(last - first + PADDING, np.uint8)
                copy[: last - first] = text[first:last]
                written = self._run_one(copy.ctypes.data, 0, last - first, ids.ctypes.data, written)
        return ids, written

    def _encode_wide(self, text: WideText, start: int, end: int, ids: np.ndarray) -> tuple[np.ndarray, int]:
        """`_encode_large` for characters of a string, between two cuts."""
        to_utf8, written = getattr(KERNELS, f"utf8_from_{text.width}"), 0
        for first, last in jobs(text, start, end, CHARACTERS, self._tables.specials):
            if len(self._utf8) < text.most_bytes(last - first) + PADDING:
                self._utf8 = np.empty(text.most_bytes(last - first) + PADDING, np.uint8)
            size = to_utf8(text.address, first, last, self._utf8)
            if size < 0:
                raise SurrogateError
            ids = with_room(ids, written, size)
            written = self._run_one(self._utf8.ctypes.data, 0, size, ids.ctypes.data, written)
        if len(self._utf8) > _UTF8_KEPT:
            self._utf8 = np.empty(0, np.uint8)
        return ids, written

    def encode_to_list(self, data: "bytes | memoryview | WideText") -> list[int]:
        """The ids of a text as a list of Python's integers."""
        if len(data) <= SMALL and not isinstance(data, WideText):
            return self._encode_small(data, 0, len(data)).tolist()
        return listed(self.encode(data, 0, len(data)), self._tables.integers)

    def encode_texts(self, joined: bytes, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The ids of several texts, each for itself, and where those of each end.

        Args:
            joined: the texts one behind the other, and PADDING bytes behind the last.
            ends: where each of them ends, int64.
        """
        raw = np.frombuffer(joined, np.uint8)
        ids = np.empty(len(raw), np.int32)
        id_ends = np.empty(len(ends), np.int64)
        text, ids_at, id_ends_at = raw.ctypes.data, ids.ctypes.data, id_ends.ctypes.data
        ids.resize(self._run(text, ends.ctypes.data, ids_at, id_ends_at, len(ends), 0, 0), refcheck=False)
        return ids, id_ends

    def _encode_small(self, data: "bytes | memoryview", start: int, end: int) -> np.ndarray:
        """The ids of up to SMALL bytes, in memory that the next call uses again."""
        self._small_view[: end - start] = data[start:end]
        text, ids, _, _ = self._small_addresses
        return self._small_ids[: self._run_one(text, 0, end - start, ids, 0)]

    def _run_one(self, text: int, start: int, end: int, ids: int, written: int) -> int:
        self._end[0] = end
        return self._run(text, self._small_addresses[2], ids, self._small_addresses[3], 1, start, written)

    def _run(self, text: int, ends: int, ids: int, id_ends: int, count: int, start: int, written: int) -> int:
        """Encode `count` texts that lie one behind the other from `start` on; how many ids there are then.

        Args:
            text: address of the bytes, as are `ends`, `ids` and `id_ends` of their arrays.
            ends: where the texts end.
            ids: `written` ids; gets the others.
            id_ends: gets where the ids of each text end.
            count: number of texts.
            start: of the first.
            written: how many ids there are already.
        """
        progress = self._progress
        progress[PART], progress[NEXT], progress[WRITTEN] = 0, start, written
        while True:
            stopped = self._encode_parts(text, ends, count, *self._addresses, ids, id_ends)
            if stopped == DONE:
                break
            if stopped == TABLE_FULL:
                self._make_room()
            else:
                self._make_scratch(2 * int(progress[LONGEST]))
        if progress[LONGEST] > _LONGEST_KEPT:
            self._make_scratch(_FIRST_LONGEST)
        return int(progress[WRITTEN])

    def _make_room(self) -> None:
        """Double the table of words, or empty it if it is as large as it may be."""
        capacity, progress = int(self._progress[CAPACITY]), self._progress
        if capacity >= LAST_CAPACITY:
            self._words[0].fill(0)
            self._recent.fill(0)  # it has places in the pool
            progress[USED], progress[ARENA_USED], progress[POOL_USED] = 0, 0, 0
            return
        rows, arena, pool = self._words
        self._make_words(2 * capacity)
        KERNELS.move_rows(rows, capacity, self._words[0], 2 * capacity)
        self._words[1][: progress[ARENA_USED]] = arena[: progress[ARENA_USED]]
        self._words[2][: progress[POOL_USED]] = pool[: progress[POOL_USED]]

    def _make_words(self, capacity: int) -> None:
        self._words = (
            zeros(capacity * ROW_WORDS, np.uint64),
            zeros(capacity * _ARENA_BYTES + PADDING, np.uint8),
            zeros(capacity * _POOL_IDS + POOL_ROOM, np.int32),
        )
        self._progress[CAPACITY] = capacity
        self._progress[ARENA_SIZE], self._progress[POOL_SIZE] = capacity * _ARENA_BYTES, capacity * _POOL_IDS
        self._note_addresses()

    def _make_scratch(self, longest: int) -> None:
        """Arrays in which a word of `longest` bytes can be merged: tokens, candidates, left, right, heap."""
        self._scratch = (*(np.empty(longest + LANES, np.int32) for _ in range(4)), np.empty(2 * longest + 2, np.uint64))
        self._progress[LONGEST] = longest
        self._note_addresses()

    def _note_addresses(self) -> None:
        """Keep the addresses of all arrays but a call's own: asking numpy for 30 costs more than encoding a line."""
        arrays = (*self._words, self._recent, *self._batch, *self._scratch, *self._slots, self._progress)
        self._addresses = (*self._tables.addresses, *(array.ctypes.data for array in arrays))


def with_room(ids: np.ndarray, written: int, size: int) -> np.ndarray:
    """An array with the same first ids and room for `size` more, and one."""
    if written + size + 1 <= len(ids):
        return ids
    larger = np.empty(2 * len(ids) + size + 1, np.int32)
    larger[:written] = ids[:written]
    return larger


def listed(ids: np.ndarray, integers: np.ndarray) -> list[int]:
    """`ids.tolist()` in a fifth of the memory, and somewhat sooner: its items are the given integers.

    >>> listed(np.array([2, 0], np.int32), np.array(range(3), object))
    [2, 0]
    """
    found: list[int] = []
    for start in range(0, len(ids), _LISTED):
        found += integers[ids[start : start + _LISTED]].tolist()
    return found
