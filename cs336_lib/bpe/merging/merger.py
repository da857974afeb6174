"""Merging: from distinct words and their counts to the list of merges, by the compiled kernels.

Python's half allocates the flat arrays that `kernels.py` draws and grows those that a step has no room in.
Arrays are allocated at the size they can reach; pages that are never written cost no memory.
"""

from collections.abc import Callable

import numpy as np

from cs336_lib.bpe.counting.word_table import WordCounts
from cs336_lib.bpe.merging.rows import (
    BUCKET,
    BUCKET_COUNT,
    BYTE_PAIRS,
    EXHAUSTED,
    FOUND_WANTED,
    MERGES,
    MERGING_WORDS,
    NEEDS_ROOM,
    PAIRS,
    ROW,
    TEXT_USED,
)
from cs336_lib.bpe.plain.definition import Pair
from cs336_lib.native.library import KernelLibrary
from cs336_lib.native.memory import zeros

MERGING = KernelLibrary(
    "merging",
    (
        "cs336_lib.bpe.merging.kernels",
        "cs336_lib.bpe.merging.queue",
        "cs336_lib.bpe.merging.rows",
        "cs336_lib.native.intrinsics",
        "cs336_lib.native.types",
    ),
)

# Nodes are numbered by int32, and up to three occurrences are listed for each.
_MOST_NODES = (1 << 31) // 3
_SLICE = 512
"""Merges between two reports of progress; also how soon an interrupt is seen."""


class Merger:
    """The state of merging one corpus.

    Args:
        words: distinct words and their counts.
        max_merges: most merges that will be asked for.

    Raises:
        ValueError: the distinct words have too many bytes for 32-bit node numbers.

    >>> from cs336_lib.bpe.counting.word_table import WordCounts
    >>> words = WordCounts.from_mapping({b"low": 5, b"lower": 2, b"widest": 3, b"newest": 6})
    >>> Merger(words, 3).run()
    [(b's', b't'), (b'e', b'st'), (b'o', b'w')]
    """

    def __init__(self, words: WordCounts, max_merges: int) -> None:
        lengths = np.diff(words.bounds)
        lengths = lengths[lengths > 1]
        nodes = int(lengths.sum())
        max_merges = min(max_merges, nodes - len(lengths))  # each makes a word shorter; memory follows what can be made
        del lengths
        if nodes > _MOST_NODES:
            raise ValueError(
                f"the distinct pre-tokens have {nodes:,} bytes together; the trainer can number {_MOST_NODES:,}. "
                "Leave out the rarest ones with min_count=2 or more: they hardly change the merges"
            )
        self.max_merges = max_merges
        self.token_room = 256 + max_merges
        self.progress = np.zeros(MERGING_WORDS, np.int64)
        self.progress[BUCKET] = BUCKET_COUNT
        self.nodes = zeros(ROW * nodes, np.int32)
        self.word_counts = words.counts
        self.occurrences = zeros(3 * nodes, np.int32)
        self.partners = np.full(ROW * self.token_room, -1, np.int32)
        self.merges = zeros(2 * max_merges, np.int32)
        self.token_lengths = zeros(self.token_room, np.int32)
        self.token_prefixes = zeros(self.token_room, np.uint64)
        self.token_offsets = zeros(self.token_room, np.int64)
        self.token_text = np.empty(1 << 16, np.uint8)
        self.heads = np.full(BUCKET_COUNT, -1, np.int32)
        pair_room = BYTE_PAIRS + 4 * self.token_room
        self.pairs = zeros(ROW * pair_room, np.int32)
        self.pair_counts = zeros(pair_room, np.int64)
        self.following = zeros(pair_room, np.int32)
        self.heap_counts = zeros(pair_room, np.int64)
        self.heap_pairs = zeros(pair_room, np.int32)
        self._list_byte_pairs(words)

    def _list_byte_pairs(self, words: WordCounts) -> None:
        listed = np.zeros(BYTE_PAIRS, np.int64)
        byte_pair_counts = np.zeros(BYTE_PAIRS, np.int64)
        node_count = MERGING.lay_out_words(
            words.text, words.bounds, words.counts, len(words), self.nodes, listed, byte_pair_counts
        )
        longest = MERGING.list_byte_pairs(
            self.nodes,
            node_count,
            listed,
            byte_pair_counts,
            np.empty(BYTE_PAIRS, np.int64),
            self.pairs,
            self.pair_counts,
            self.occurrences,
            self.heap_counts,
            self.heap_pairs,
            self.heads,
            self.following,
            self.token_lengths,
            self.token_prefixes,
            self.token_offsets,
            self.token_text,
            self.progress,
        )
        # A step makes at most two occurrences of new pairs from each one that it replaces.
        self.found_pairs = zeros(2 * longest, np.int32)
        self.found_nodes = zeros(2 * longest, np.int32)

    def run(self, report: Callable[[int], object] | None = None) -> list[Pair]:
        """Make merges until there are `max_merges` or no pair is left.

        Args:
            report: called with a number of merges whenever that many more are made.

        Returns:
            The merges, in the order they were made.
        """
        reported = 0
        while self.progress[MERGES] < self.max_merges:
            until = min(int(self.progress[MERGES]) + _SLICE, self.max_merges)
            outcome = MERGING.make_merges(
                until,
                self.nodes,
                self.word_counts,
                self.pairs,
                self.pair_counts,
                len(self.pair_counts),
                self.occurrences,
                self.partners,
                self.found_pairs,
                self.found_nodes,
                len(self.found_nodes),
                self.heap_counts,
                self.heap_pairs,
                self.heads,
                self.following,
                self.token_lengths,
                self.token_prefixes,
                self.token_offsets,
                self.token_text,
                len(self.token_text),
                self.merges,
                self.progress,
            )
            if outcome == NEEDS_ROOM:
                self._make_room()
            if report is not None:
                report(int(self.progress[MERGES]) - reported)
                reported = int(self.progress[MERGES])
            if outcome == EXHAUSTED:
                break
        return self._named_merges()

    def _make_room(self) -> None:
        """Double whichever arrays the next step may not fit in."""
        token = 256 + int(self.progress[MERGES])
        if self.progress[PAIRS] + 2 * token > len(self.pair_counts):
            self.pairs = _doubled(self.pairs)
            self.pair_counts = _doubled(self.pair_counts)
            self.following = _doubled(self.following)
            self.heap_counts = _doubled(self.heap_counts)
            self.heap_pairs = _doubled(self.heap_pairs)
        if self.progress[FOUND_WANTED] > len(self.found_nodes):
            self.found_pairs = np.empty(2 * int(self.progress[FOUND_WANTED]), np.int32)
            self.found_nodes = np.empty_like(self.found_pairs)
        # No token is longer than all others together, so twice the room always fits one more.
        if 2 * self.progress[TEXT_USED] > len(self.token_text):
            self.token_text = _doubled(self.token_text)

    def _named_merges(self) -> list[Pair]:
        merges = int(self.progress[MERGES])
        text = self.token_text[: int(self.progress[TEXT_USED])].tobytes()
        starts = self.token_offsets[: 256 + merges].tolist()
        lengths = self.token_lengths[: 256 + merges].tolist()
        tokens = [text[start : start + length] for start, length in zip(starts, lengths, strict=True)]
        pairs = self.merges[: 2 * merges].tolist()
        return [(tokens[left], tokens[right]) for left, right in zip(pairs[::2], pairs[1::2], strict=True)]


def _doubled(array: np.ndarray) -> np.ndarray:
    larger = zeros(2 * len(array), array.dtype)
    larger[: len(array)] = array
    return larger
