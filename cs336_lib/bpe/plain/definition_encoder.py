"""The encoder as its definition reads: the oracle for every faster path, and what chapter 3 shows.

To encode a text: cut the special tokens out, cut what is left into pre-tokens, spell each pre-token as single bytes,
then apply to it, again and again, the earliest learned merge that fits anywhere, until none fits. Nothing is remembered
from one pre-token to the next and each step looks at the whole word, so a word of n bytes costs n * n: use it on small
texts.

`encoder` adds a memory of words; `encoding` compiles the same steps. Both merge one place at a time, which gives the
same ids if each token is made by a merge before the merges that it is part of, as training has it.
"""

from collections.abc import Sequence
from itertools import pairwise

import regex

from cs336_lib.bpe.cutting.pattern import PAT
from cs336_lib.bpe.plain.definition import merge_word


def encode_word(word: bytes, ranks: dict[tuple[bytes, bytes], int]) -> list[bytes]:
    """Apply merges to one pre-token, the earliest learned first.

    Args:
        word: the bytes of one pre-token.
        ranks: for each pair of tokens that may merge, its place in the list of merges (0 was learned first).

    Returns:
        The tokens that spell `word`.

    Source: Sennrich et al. 2016 (https://aclanthology.org/P16-1162), algorithm 1 at encoding time; handout section
    2.6.1.

    >>> ranks = {(b"t", b"h"): 0, (b" ", b"c"): 1, (b" ", b"a"): 2, (b"th", b"e"): 3, (b" a", b"t"): 4}
    >>> encode_word(b"the", ranks), encode_word(b" cat", ranks), encode_word(b" ate", ranks)
    ([b'the'], [b' c', b'a', b't'], [b' at', b'e'])
    """
    tokens = [word[i : i + 1] for i in range(len(word))]
    while True:
        pairs = [pair for pair in pairwise(tokens) if pair in ranks]
        if not pairs:
            return tokens
        tokens = merge_word(tokens, min(pairs, key=ranks.__getitem__))


def split_on_special_tokens(text: str, special_tokens: Sequence[str]) -> list[tuple[str, bool]]:
    """Cut a text at its special tokens: at each place, left to right, the longest one that fits.

    Returns:
        (part, is it a special token) for each part, empty parts left out.

    >>> split_on_special_tokens("a<|x|><|x|>b", ["<|x|>", "<|x|><|x|>"])
    [('a', False), ('<|x|><|x|>', True), ('b', False)]
    """
    parts, start, i = [], 0, 0
    while i < len(text):
        here = [special for special in special_tokens if special and text.startswith(special, i)]
        if not here:
            i += 1
            continue
        longest = max(here, key=len)
        parts += [(text[start:i], False), (longest, True)]
        i += len(longest)
        start = i
    parts.append((text[start:], False))
    return [(part, special) for part, special in parts if part]


def encode_reference(
    text: str | bytes,
    vocab: dict[int, bytes],
    merges: Sequence[tuple[bytes, bytes]],
    special_tokens: Sequence[str] = (),
    pattern: str = PAT,
) -> list[int]:
    """Encode a text the slow, obviously right way.

    Args:
        text: a string, or bytes. Bytes that are not UTF-8 are kept: to the pattern each of them is a symbol.
        vocab: token id -> bytes; every special token must be in it.
        merges: pairs of tokens, the first learned first.
        special_tokens: strings that become one id each wherever they stand.
        pattern: the pre-token pattern, for the `regex` package.

    Returns:
        The token ids.

    >>> vocab = {i: bytes([i]) for i in range(256)} | {256: b"hi", 257: b"<|end|>"}
    >>> encode_reference("hi!<|end|>", vocab, [(b"h", b"i")], ["<|end|>"])
    [256, 33, 257]
    """
    if isinstance(text, str):
        text = text.encode("utf-8", "surrogateescape")
    text = text.decode("utf-8", "surrogateescape")
    token_ids = {token: i for i, token in vocab.items()}
    ranks: dict[tuple[bytes, bytes], int] = {}
    for rank, pair in enumerate(merges):
        ranks.setdefault(pair, rank)
    ids = []
    for part, is_special in split_on_special_tokens(text, special_tokens):
        if is_special:
            ids.append(token_ids[part.encode()])
            continue
        for piece in cut(part, pattern):
            ids += [token_ids[token] for token in encode_word(piece.encode("utf-8", "surrogateescape"), ranks)]
    return ids


def cut(text: str, pattern: str) -> list[str]:
    r"""Cut a string into the matches of a pattern and what lies between them.

    >>> cut("ab12, 3", r"\p{N}+")
    ['ab', '12', ', ', '3']
    """
    places = [0, *(place for match in regex.finditer(pattern, text) for place in match.span()), len(text)]
    return [text[start:end] for start, end in pairwise(places) if end > start]
