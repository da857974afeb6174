"""The incremental trainer in plain Python: the definition's result without counting everything again at each step.

It adds three pieces of bookkeeping to `definition.train_on_words`::

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

import regex

from cs336_lib.bpe.cutting.pattern import ASCII_PAT, PAT
from cs336_lib.bpe.plain.definition import Pair
from cs336_lib.bpe.specials import any_of

_FIND = regex.compile(PAT).findall
_FIND_ASCII = re.compile(ASCII_PAT).findall


def count_words_plainly(text: bytes, special_tokens: Sequence[str]) -> Counter[bytes]:
    """How often each pre-token occurs in a text: `definition.count_words`, and why it is some five times as fast.

    Special tokens are found by `re`; ASCII stretches are cut by it, too; and words are counted as the strings that both
    give, so that only the distinct ones are turned into bytes.

    >>> count_words_plainly(b"a<|x|>a", ["<|x|>"])
    Counter({b'a': 2})
    """
    symbols = text.decode("utf-8", errors="surrogateescape")
    stretches = re.split(any_of(special_tokens), symbols) if special_tokens else [symbols]
    words: Counter[str] = Counter()
    for stretch in stretches:
        words.update(_FIND_ASCII(stretch) if stretch.isascii() else _FIND(stretch))
    return Counter({word.encode("utf-8", errors="surrogateescape"): count for word, count in words.items()})


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
        The merges in the order they are made, the same as `definition.train_on_words`.

    >>> list(train_incrementally({b"abababab": 1, b" abababab": 1, b" xyz": 1, b" ab": 1}, 3))
    [(b'a', b'b'), (b'ab', b'ab'), (b'abab', b'abab')]
    """
    words = [[bytes([byte]) for byte in word] for word in word_counts]
    counts = list(word_counts.values())
    pair_counts: defaultdict[Pair, int] = defaultdict(int)
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
        changed: set[Pair] = set()
        for index in words_with.pop(best):
            for pair, change in _merge_within(words[index], best):
                pair_counts[pair] += change * counts[index]
                changed.add(pair)
                if change > 0:
                    words_with[pair].add(index)
        del pair_counts[best]
        changed.discard(best)
        for pair in changed:
            heapq.heappush(heap, _Candidate(pair_counts[pair], pair))


def _merge_within(tokens: list[bytes], pair: Pair) -> Iterator[tuple[Pair, int]]:
    """Replace a pair by its concatenation wherever it stands, left to right, in place.

    Yields:
        A pair with a neighbor, and +1 where it came to be or -1 where it ceased; the merged pair's own are left out.

    >>> tokens = [b"x", b"a", b"b", b"y"]
    >>> list(_merge_within(tokens, (b"a", b"b")))
    [((b'x', b'a'), -1), ((b'x', b'ab'), 1), ((b'b', b'y'), -1), ((b'ab', b'y'), 1)]
    >>> tokens
    [b'x', b'ab', b'y']
    """
    left, right = pair
    joined = left + right
    at = -1
    while True:
        try:
            at = tokens.index(left, at + 1)  # list.index is a loop in C
        except ValueError:
            return
        if tokens[at + 1 : at + 2] != [right]:
            continue
        if at > 0:
            yield (tokens[at - 1], left), -1
            yield (tokens[at - 1], joined), 1
        if at + 2 < len(tokens):
            yield (right, tokens[at + 2]), -1
            yield (joined, tokens[at + 2]), 1
        tokens[at : at + 2] = [joined]
