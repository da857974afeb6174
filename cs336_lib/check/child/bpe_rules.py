"""Byte-pair encoding by its definition, for the right values: each pair counted again after each merge.

Nothing is kept from one merge to the next, so there is no bookkeeping that could be wrong. Slow, and fine for the few
hundred bytes of a question.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import regex

PAT = r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""
Pair = tuple[bytes, bytes]
EMPTY_PATTERN = '"|".join([]) is an empty pattern, which splits the text at every character'
"""What a pattern of no special tokens is, for trainer and tokenizer alike."""


def stretches(text: str, specials: Sequence[str]) -> list[tuple[str, bool]]:
    """Cut a text at its special tokens, the longest first; say which pieces are special.

    >>> stretches("a<s>b", ["<s>"])
    [('a', False), ('<s>', True), ('b', False)]
    """
    pieces, rest, plain = [], text, ""
    longest = sorted((token for token in specials if token), key=len, reverse=True)
    while rest:
        found = next((token for token in longest if rest.startswith(token)), None)
        if found is None:
            plain, rest = plain + rest[0], rest[1:]
            continue
        pieces += [(plain, False)] if plain else []
        pieces.append((found, True))
        plain, rest = "", rest[len(found) :]
    return pieces + ([(plain, False)] if plain else [])


def merged(word: tuple[bytes, ...], pair: Pair) -> tuple[bytes, ...]:
    """Replace a pair in a word, left to right, without overlap."""
    out: list[bytes] = []
    at = 0
    while at < len(word):
        if word[at : at + 2] == pair:
            out.append(pair[0] + pair[1])
            at += 2
        else:
            out.append(word[at])
            at += 1
    return tuple(out)


def words_in(text: str, pattern: str = PAT) -> list[str]:
    """The pre-tokens of a text without special tokens.

    >>> words_in("it's 10")
    ['it', "'s", ' 10']
    """
    return list(regex.findall(pattern, text))


def words_of(text: str, specials: Sequence[str] = (), pattern: str = PAT) -> Counter[tuple[bytes, ...]]:
    """Count the pre-tokens between special tokens, each as a tuple of single bytes."""
    words: Counter[tuple[bytes, ...]] = Counter()
    for piece, special in stretches(text, specials):
        if not special:
            words.update(tuple(bytes([b]) for b in word.encode()) for word in words_in(piece, pattern))
    return words


def train(text: str, vocab_size: int, specials: Sequence[str] = ()) -> list[Pair]:
    """Return the merges of a text.

    >>> train("low low", 257)
    [(b'o', b'w')]
    """
    return train_words(words_of(text, specials), vocab_size - 256 - len(specials))


def pairs_of(words: Counter[tuple[bytes, ...]]) -> Counter[Pair]:
    """Count the pairs of neighbors in words that were counted.

    >>> pairs_of(Counter({(b"a", b"b"): 2}))
    Counter({(b'a', b'b'): 2})
    """
    counts: Counter[Pair] = Counter()
    for word, times in words.items():
        for pair in pairwise(word):
            counts[pair] += times
    return counts


def after_merge(words: Counter[tuple[bytes, ...]], pair: Pair) -> Counter[tuple[bytes, ...]]:
    """The words with a pair replaced. Splits of one string cannot meet: equal bytes went through equal merges."""
    return Counter({merged(word, pair): times for word, times in words.items()})


def train_words(
    words: Counter[tuple[bytes, ...]], most: int, order: Callable[[Pair], Any] = lambda pair: pair
) -> list[Pair]:
    """Return the merges, so many at most, of words that were counted; `order` decides ties."""
    merges: list[Pair] = []
    while len(merges) < most:
        counts = pairs_of(words)
        if not counts:
            break
        merges.append(max(counts, key=lambda pair: (counts[pair], order(pair))))
        words = after_merge(words, merges[-1])
    return merges


def train_by_occurrence(words: Counter[tuple[bytes, ...]], most: int) -> list[Pair]:
    """The merges of a usual mistake: counts kept as if no two occurrences of a pair touched each other."""
    merges: list[Pair] = []
    counts = pairs_of(words)
    while len(merges) < most and (counts := +counts):
        best = max(counts, key=lambda pair: (counts[pair], pair))
        merges.append(best)
        new = best[0] + best[1]
        for word, times in words.items():
            for at in (at for at, pair in enumerate(pairwise(word)) if pair == best):
                counts[best] -= times
                if at:
                    counts[word[at - 1], word[at]] -= times
                    counts[word[at - 1], new] += times
                if at + 2 < len(word):
                    counts[word[at + 1], word[at + 2]] -= times
                    counts[new, word[at + 2]] += times
        words = after_merge(words, best)
    return merges


def first_absent(text: str, merges: Sequence[Pair], specials: Sequence[str] = ()) -> Pair | None:
    """The first merge of a pair that the text no longer has when its turn comes.

    >>> first_absent("aab", [(b"a", b"a"), (b"a", b"b")])
    (b'a', b'b')
    """
    words = list(words_of(text, specials))
    for pair in merges:
        if not any(pair in pairwise(word) for word in words):
            return pair
        words = [merged(word, pair) for word in words]
    return None


def most_frequent(text: str, merges: Sequence[Pair], specials: Sequence[str] = ()) -> bool:
    """Whether each merge, when its turn comes, is of a pair as frequent as any: then only ties can be decided wrongly.

    >>> most_frequent("abc", [(b"a", b"b")]), most_frequent("abc bc", [(b"a", b"b")])
    (True, False)
    """
    words = words_of(text, specials)
    for pair in merges:
        counts = pairs_of(words)
        if counts[pair] < max(counts.values(), default=1):
            return False
        words = after_merge(words, pair)
    return True


def vocabulary(merges: Sequence[Pair], specials: Sequence[str] = ()) -> dict[int, bytes]:
    """The 256 bytes, the merges, the special tokens.

    >>> vocabulary([(b"a", b"b")], ["<s>"])[256], vocabulary([(b"a", b"b")], ["<s>"])[257]
    (b'ab', b'<s>')
    """
    tokens = [bytes([i]) for i in range(256)]
    tokens += [left + right for left, right in merges] + [token.encode() for token in specials]
    return dict(enumerate(tokens))


def tokens_of(word: str, merges: Sequence[Pair]) -> tuple[bytes, ...]:
    """The tokens of a pre-token: the earliest merge that applies, until none does.

    >>> tokens_of("aba", [(b"a", b"b")])
    (b'ab', b'a')
    """
    parts = tuple(bytes([b]) for b in word.encode())
    while True:
        present = set(pairwise(parts))
        first = next((pair for pair in merges if pair in present), None)
        if first is None:
            return parts
        parts = merged(parts, first)


def encode(text: str, vocab: dict[int, bytes], merges: Sequence[Pair], specials: Sequence[str] = ()) -> list[int]:
    """Return the ids of a text: in each pre-token, the earliest merge that applies, until none does.

    >>> encode("abab<s>", vocabulary([(b"a", b"b")], ["<s>"]), [(b"a", b"b")], ["<s>"])
    [256, 256, 257]
    """
    ids = {token: number for number, token in vocab.items()}
    out: list[int] = []
    for piece, special in stretches(text, specials):
        if special:
            out.append(ids[piece.encode()])
            continue
        for match in words_in(piece):
            out += [ids[token] for token in tokens_of(match, merges)]
    return out


def babble(seed: int, words: int, letters: str = "abcde", line: int = 12) -> str:
    """A text of invented words, some frequent and some rare, the same for the same seed on any machine.

    >>> babble(0, 4) == babble(0, 4)
    True
    """
    rng = random.Random(seed)
    lexicon = ["".join(rng.choice(letters) for _ in range(rng.randint(1, 7))) for _ in range(max(4, words // 8))]
    chosen = [lexicon[int(len(lexicon) * rng.random() ** 2)] for _ in range(words)]
    rows = [" ".join(chosen[at : at + line]) for at in range(0, words, line)]
    return "\n".join(rows)
