"""The incremental trainer in plain Python: the reference's result without counting everything again at each step.

It adds three pieces of bookkeeping to `reference.train_on_words`::

    pair_counts     pair -> how often it occurs now; changed only where a merge changes a word
    words_with      pair -> the words it occurs in (or once did), so that a merge visits no others
    heap            candidates by (count, pair); an entry whose count has changed since is dropped when it comes up

It needs no compiler, so texts too small to be worth compiling for are trained by it, and the chapter shows it as the
step between the definition and the flat arrays of the compiled trainer.
"""

import heapq
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from cs336_lib.bpe.plain.definition import Pair, merge_word, pretokenize


def count_words_plainly(text: bytes, special_tokens: Sequence[str]) -> Counter[bytes]:
    """How often each pre-token occurs in a text: `reference.count_words`, but special tokens are found by `re`.

    >>> count_words_plainly(b"a<|x|>a", ["<|x|>"])
    Counter({b'a': 2})
    """
    longest_first = sorted((token.encode() for token in special_tokens), key=len, reverse=True)
    stretches = re.split(b"|".join(map(re.escape, longest_first)), text) if longest_first else [text]
    return Counter(word for stretch in stretches for word in pretokenize(stretch))


class _Candidate:
    """A pair with its count, ordered so that the heap's smallest is the next to merge."""

    __slots__ = ("count", "pair")

    def __init__(self, count: int, pair: Pair) -> None:
        self.count = count
        self.pair = pair

    def __lt__(self, other: "_Candidate") -> bool:
        return (self.count, self.pair) > (other.count, other.pair)


def train_incrementally(word_counts: Mapping[bytes, int], max_merges: int) -> Iterator[Pair]:
    """Learn merges from words and how often each occurs.

    Args:
        word_counts: pre-token -> count.
        max_merges: stop after this many, or when no word has two tokens left.

    Yields:
        The merges in the order they are made, the same as `reference.train_on_words`.

    >>> list(train_incrementally({b"abababab": 1, b" abababab": 1, b" xyz": 1, b" ab": 1}, 3))
    [(b'a', b'b'), (b'ab', b'ab'), (b'abab', b'abab')]
    """
    words = [[bytes([byte]) for byte in word] for word in word_counts]
    counts = list(word_counts.values())
    pair_counts: Counter[Pair] = Counter()
    words_with: defaultdict[Pair, set[int]] = defaultdict(set)
    for index, tokens in enumerate(words):
        for pair in pairwise(tokens):
            pair_counts[pair] += counts[index]
            words_with[pair].add(index)
    heap = [_Candidate(count, pair) for pair, count in pair_counts.items()]
    heapq.heapify(heap)

    made = 0
    while heap and made < max_merges:
        candidate = heapq.heappop(heap)
        best = candidate.pair
        if candidate.count != pair_counts[best] or candidate.count == 0:
            continue
        yield best
        made += 1
        changes: Counter[Pair] = Counter()
        for index in words_with.pop(best):
            before, after = words[index], merge_word(words[index], best)
            for pair in pairwise(before):
                changes[pair] -= counts[index]
            for pair in pairwise(after):
                changes[pair] += counts[index]
                words_with[pair].add(index)
            words[index] = after
        for pair, change in changes.items():
            if change:
                pair_counts[pair] += change
                heapq.heappush(heap, _Candidate(pair_counts[pair], pair))
