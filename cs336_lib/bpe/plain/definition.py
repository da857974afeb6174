"""The definition of byte-pair encoding, in plain Python: slow, and obviously right.

These are the oracles of everything compiled in this package, and what chapter 2 shows first. Nothing here is clever:
each step counts every pair of every word again. `trainer` adds the bookkeeping that avoids it, the compiled
trainer the flat arrays.

The rules that decide the result:
    - Special tokens are cut out first, then the text is cut into pre-tokens; pairs are counted inside pre-tokens only.
    - The most frequent pair is merged. Ties go to the lexicographically greater pair of byte strings.
    - A merge replaces left to right without overlap: a·a in "aaa" gives aa·a.
    - A byte that is not valid UTF-8 is kept, and for the pattern is a symbol that is no letter, number or white space.

A token *is* its byte string. Two merges never make the same one: words start as single bytes and each merge treats
equal stretches alike, so a stretch whose ends no merge has crossed always went through the same merges.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import pairwise

import regex

from cs336_lib.bpe.cutting.pattern import PAT

Pair = tuple[bytes, bytes]


def pretokenize(text: bytes) -> list[bytes]:
    """Cut a text without special tokens into pre-tokens.

    Args:
        text: UTF-8; other bytes are kept (see the module's rules).

    Returns:
        The pre-tokens, in order; joined they are the text.

    >>> pretokenize(b"It's 4 hats,  ok")
    [b'It', b"'s", b' 4', b' hats', b',', b' ', b' ok']
    """
    # Each undecodable byte becomes one lone surrogate (PEP 383), which the pattern sees as "anything else".
    symbols = text.decode("utf-8", errors="surrogateescape")
    return [match.encode("utf-8", errors="surrogateescape") for match in regex.findall(PAT, symbols)]


def split_at_specials(text: bytes, special_tokens: Iterable[str]) -> list[bytes]:
    """The stretches between special tokens; at each place the longest special token wins.

    >>> split_at_specials(b"a<|x|>b<|x|><|y|>", ["<|x|>", "<|y|>"])
    [b'a', b'b', b'', b'']
    """
    longest_first = sorted((token.encode() for token in special_tokens), key=len, reverse=True)
    stretches, start, at = [], 0, 0
    while at < len(text):
        special = next((token for token in longest_first if text.startswith(token, at)), None)
        if special is None:
            at += 1
        else:
            stretches.append(text[start:at])
            start = at = at + len(special)
    return [*stretches, text[start:]]


def count_words(text: bytes, special_tokens: Iterable[str] = ()) -> Counter[bytes]:
    """How often each pre-token occurs in a text.

    >>> sorted(count_words(b"a cat, a cat<|end|> a", ["<|end|>"]).items())
    [(b' a', 2), (b' cat', 2), (b',', 1), (b'a', 1)]
    """
    return Counter(word for stretch in split_at_specials(text, special_tokens) for word in pretokenize(stretch))


def merge_word(tokens: list[bytes], pair: Pair) -> list[bytes]:
    """Replace a pair by its concatenation, left to right.

    >>> merge_word([b"a", b"a", b"a", b"b"], (b"a", b"a"))
    [b'aa', b'a', b'b']
    """
    merged, at = [], 0
    while at < len(tokens):
        if tuple(tokens[at : at + 2]) == pair:
            merged.append(pair[0] + pair[1])
            at += 2
        else:
            merged.append(tokens[at])
            at += 1
    return merged


def train_on_words(word_counts: Mapping[bytes, int], max_merges: int) -> list[Pair]:
    """Learn merges from words and how often each occurs.

    Args:
        word_counts: pre-token -> count.
        max_merges: stop after this many, or when no word has two tokens left.

    Returns:
        The merges in the order they were made.

    The handout's example (CS336 assignment 1, section 2.4), where words are split at spaces:

    >>> merges = train_on_words({b"low": 5, b"lower": 2, b"widest": 3, b"newest": 6}, 6)
    >>> [b" ".join(pair).decode() for pair in merges]
    ['s t', 'e st', 'o w', 'l ow', 'w est', 'n e']
    """
    words = [([bytes([byte]) for byte in word], count) for word, count in word_counts.items()]
    merges: list[Pair] = []
    while len(merges) < max_merges:
        pair_counts: Counter[Pair] = Counter()
        for tokens, count in words:
            for pair in pairwise(tokens):
                pair_counts[pair] += count
        if not pair_counts:
            break
        best = max(pair_counts, key=lambda pair: (pair_counts[pair], pair))
        merges.append(best)
        words = [(merge_word(tokens, best), count) for tokens, count in words]
    return merges


def train(text: bytes, vocab_size: int, special_tokens: Iterable[str] = ()) -> tuple[dict[int, bytes], list[Pair]]:
    """Train on a text: what `train_bpe` must give, in a few lines.

    Args:
        text: the whole corpus.
        vocab_size: of the finished vocabulary, the 256 bytes and the special tokens included.
        special_tokens: never merged, never counted.

    Returns:
        Vocabulary (id -> bytes: the 256 bytes, the merges, the special tokens) and merges.

    >>> vocab, merges = train(b"abababab abababab xyz ab", 259)
    >>> merges
    [(b'a', b'b'), (b'ab', b'ab'), (b'abab', b'abab')]
    """
    specials = list(special_tokens)
    merges = train_on_words(count_words(text, specials), vocab_size - 256 - len(specials))
    return build_vocabulary(merges, specials), merges


def build_vocabulary(merges: Iterable[Pair], special_tokens: Iterable[str]) -> dict[int, bytes]:
    """Ids in the order: the 256 bytes, the merges, the special tokens.

    >>> build_vocabulary([(b"a", b"b")], ["<|end|>"])[256], build_vocabulary([(b"a", b"b")], ["<|end|>"])[257]
    (b'ab', b'<|end|>')
    """
    tokens = [bytes([byte]) for byte in range(256)]
    tokens += [left + right for left, right in merges]
    tokens += [token.encode() for token in special_tokens]
    return dict(enumerate(tokens))
