"""Distinct words and how often each occurs: a growing hash table of compiled rows, and its compact form.

WordTable     counts texts; rows and arena as drawn in `word_keys.py`; memory follows the number of distinct words
WordCounts    the finished counts as three flat arrays; small to pickle, added to another table in milliseconds
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from cs336_lib.bpe.counting.progress import ARENA_USED, COUNTING_WORDS, FINISHED, NEXT, STRETCH_END, USED
from cs336_lib.bpe.counting.word_rows import KEYS_ROOM, LENGTH, RECENT_ROOM, ROW_WORDS
from cs336_lib.bpe.cutting.scan_state import BATCH_ROOM, CHILD, SCAN_WORDS, SCANNING_KERNELS, TOKEN
from cs336_lib.bpe.cutting.symbol_classes import symbol_classes
from cs336_lib.native.library import PADDING, KernelLibrary
from cs336_lib.native.memory import zeros

COUNTING = KernelLibrary(
    "counting",
    (
        "cs336_lib.bpe.counting.kernels",
        "cs336_lib.bpe.counting.progress",
        "cs336_lib.bpe.counting.recent_words",
        *SCANNING_KERNELS,
    ),
)

_FIRST_CAPACITY = 1 << 14


@dataclass(frozen=True)
class WordCounts:
    """Distinct words with their counts.

    Attributes:
        text: uint8, all words one after the other, then `PADDING` zeros.
        bounds: int64, one more than there are words; word k is `text[bounds[k]:bounds[k + 1]]`.
        counts: int64, how often each occurs.
    """

    text: np.ndarray
    bounds: np.ndarray
    counts: np.ndarray

    @classmethod
    def from_mapping(cls, word_counts: Mapping[bytes, int]) -> "WordCounts":
        """The same counts from a dictionary.

        >>> dict(WordCounts.from_mapping({b"low": 5, b"lower": 2}).items())
        {b'low': 5, b'lower': 2}
        """
        lengths = np.fromiter(map(len, word_counts), np.int64, len(word_counts))
        return cls(
            text=padded(b"".join(word_counts)),
            bounds=np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)]),
            counts=np.fromiter(word_counts.values(), np.int64, len(word_counts)),
        )

    def __len__(self) -> int:
        return len(self.counts)

    def by_group(self, groups: int) -> "list[WordCounts]":
        """The words sorted into groups by their hash: a word is in the same group wherever it was counted.

        >>> parts = WordCounts.from_mapping({b"low": 5, b"lower": 2, b"widest": 3}).by_group(4)
        >>> len(parts), sum(len(part) for part in parts)
        (4, 3)
        """
        word_starts, byte_starts = np.zeros(groups + 2, np.int64), np.zeros(groups + 2, np.int64)
        text, bounds, counts = np.zeros_like(self.text), np.empty_like(self.bounds), np.empty_like(self.counts)
        COUNTING.group_words(
            self.text,
            self.bounds,
            self.counts,
            len(self),
            groups,
            word_starts,
            byte_starts,
            text,
            bounds,
            counts,
        )
        places = zip(word_starts.tolist(), word_starts[1:-1].tolist(), byte_starts.tolist(), strict=False)
        # Each view ends PADDING bytes behind its words: those of the next group, or the zeros at the end.
        return [
            WordCounts(
                text[start : start + int(bounds[last] - start) + PADDING],
                bounds[first : last + 1] - start,
                counts[first:last],
            )
            for first, last, start in places
        ]

    def at_least(self, min_count: int) -> "WordCounts":
        """The words that occur so often, in the same order.

        >>> dict(WordCounts.from_mapping({b"low": 5, b"lower": 2, b"widest": 3}).at_least(3).items())
        {b'low': 5, b'widest': 3}
        """
        if min_count <= 1:
            return self
        kept, lengths = self.counts >= min_count, np.diff(self.bounds)
        text = self.text[: self.bounds[-1]][np.repeat(kept, lengths)]
        return WordCounts(
            text=padded(text.tobytes()),
            bounds=np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths[kept])]),
            counts=self.counts[kept],
        )

    def items(self) -> Iterator[tuple[bytes, int]]:
        """Each word and its count."""
        text = self.text.tobytes()
        bounds = self.bounds.tolist()
        for start, end, count in zip(bounds, bounds[1:], self.counts.tolist(), strict=False):
            yield text[start:end], count


def padded(text: bytes) -> np.ndarray:
    """A text as an array with `PADDING` zeros behind it, as kernels want it."""
    array = np.zeros(len(text) + PADDING, np.uint8)
    array[: len(text)] = np.frombuffer(text, np.uint8)
    return array


class SpecialTable:
    """Special tokens in the layout of `special_search.py`.

    Args:
        tokens: encoded, none empty.
    """

    def __init__(self, tokens: Sequence[bytes]) -> None:
        first_bytes = bytes(sorted({token[0] for token in tokens}))
        self.arguments = (
            _tree(tuple(tokens)),
            padded(first_bytes),
            np.array([len(tokens), len(first_bytes)], np.int64),
        )


@lru_cache(maxsize=16)
def _tree(tokens: tuple[bytes, ...]) -> np.ndarray:
    """The tree of special tokens as int32 rows."""
    rows, below = [[0, 0, 0, 0]], [dict[int, int]()]
    for index, token in enumerate(tokens):
        row = 0
        for byte in token:
            if byte not in below[row]:
                below[row][byte] = len(rows)
                rows.append([byte, 0, rows[row][CHILD], 0])  # before its siblings
                rows[row][CHILD] = len(rows) - 1
                below.append({})
            row = below[row][byte]
        rows[row][TOKEN] = index + 1
    return np.array(rows, np.int32).reshape(-1)


class WordTable:
    """A table of distinct words that grows as texts are counted into it.

    Not to be used by two threads at once: give each its own, and add them up.

    >>> table = WordTable()
    >>> table.count(padded(b"a cat, a cat"), 12, SpecialTable([]))
    >>> sorted(table.words().items())
    [(b' a', 1), (b' cat', 2), (b',', 1), (b'a', 1)]
    """

    def __init__(self) -> None:
        self._rows = zeros(_FIRST_CAPACITY * ROW_WORDS, np.uint64)
        self._arena = np.zeros(PADDING, np.uint8)
        self._progress = np.zeros(COUNTING_WORDS, np.int64)
        self._scan_state = np.zeros(SCAN_WORDS, np.uint64)
        self._starts = np.empty(BATCH_ROOM, np.int64)
        self._keys = np.empty(KEYS_ROOM, np.uint64)
        self._recent = zeros(RECENT_ROOM, np.uint64)
        self._listed = np.empty(BATCH_ROOM, np.int64)

    def __len__(self) -> int:
        return int(self._progress[USED])

    @property
    def _capacity(self) -> int:
        return len(self._rows) // ROW_WORDS

    def count(self, text: np.ndarray, size: int, specials: SpecialTable) -> None:
        """Count the pre-tokens of a text.

        Args:
            text: uint8, readable `PADDING` bytes behind `size`.
            size: bytes of it.
            specials: cut out before anything is counted.
        """
        if len(text) < size + PADDING:
            raise ValueError(f"a text of {size} bytes needs {PADDING} more behind it, got an array of {len(text)}")
        self._reserve_arena(size)
        self._progress[NEXT], self._progress[STRETCH_END] = 0, -1
        while (
            COUNTING.count_text(
                text,
                size,
                symbol_classes(),
                *specials.arguments,
                self._rows,
                self._capacity,
                self._arena,
                self._progress,
                self._scan_state,
                self._starts,
                self._keys,
                self._recent,
                self._listed,
            )
            != FINISHED
        ):
            self._grow()

    def add(self, words: WordCounts) -> None:
        """Add words that were counted elsewhere."""
        self._reserve_arena(len(words.text))
        done = 0
        while True:
            done = COUNTING.add_words(
                words.text,
                words.bounds,
                words.counts,
                done,
                len(words),
                self._rows,
                self._capacity,
                self._arena,
                self._progress,
                self._keys,
                self._listed,
            )
            if done == len(words):
                return
            self._grow()

    def words(self) -> WordCounts:
        """All words and their counts, in no particular order."""
        COUNTING.tell_counts(self._recent, self._rows)
        lengths = self._rows.reshape(-1, ROW_WORDS)[:, LENGTH]
        text = np.zeros(int(lengths.sum()) + PADDING, np.uint8)
        bounds = np.empty(len(self) + 1, np.int64)
        counts = np.empty(len(self), np.int64)
        COUNTING.list_words(self._rows, self._capacity, self._arena, text, bounds, counts)
        return WordCounts(text, bounds, counts)

    def _grow(self) -> None:
        COUNTING.tell_counts(self._recent, self._rows)
        self._recent.fill(0)  # it has places of rows
        larger = zeros(2 * len(self._rows), np.uint64)
        COUNTING.move_rows(self._rows, self._capacity, larger, 2 * self._capacity)
        self._rows = larger

    def _reserve_arena(self, size: int) -> None:
        """Room for `size` more bytes; pages that are never written cost no memory."""
        wanted = int(self._progress[ARENA_USED]) + size + PADDING
        if wanted > len(self._arena):
            larger = np.zeros(max(wanted, 2 * len(self._arena)), np.uint8)
            larger[: len(self._arena)] = self._arena
            self._arena = larger
