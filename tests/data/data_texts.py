"""Tokenizers and texts for the tests of this room."""

import random

from cs336_lib.bpe import PAT, Tokenizer

END = "<|endoftext|>"
MERGES = [(b"t", b"h"), (b"th", b"e"), (b" ", b"the"), (b"a", b"a"), (b"i", b"n"), (b"o", b"n"), (b"\n", b"\n")]
NASTY = [
    "the", " ", "  ", "\n", "\r\n", "\t", "aaaa", "it's", "'", "'ll", "42", "!?", "\0", "é", "e\u0301", "한국", "👩‍👧",
    "\u00a0", "<|", "|>", "<|end", "oftext|>", END, "<|x|>", "<|x|><|x|>", "x|><|", " the on in",
]  # fmt: skip


def tokenizer(specials=(END,), pattern=PAT):
    vocab = {i: bytes([i]) for i in range(256)}
    vocab |= {256 + i: left + right for i, (left, right) in enumerate(MERGES)}
    return Tokenizer(vocab, MERGES, specials, pattern=pattern)


def prose(size, seed=0):
    """UTF-8 text of about that many bytes, with documents and a little of everything."""
    rng = random.Random(seed)
    words = ["the", "on", "in", "a", "cat", "sat", "naïve", "42", "it's", "한국", "\n", "  ", "."]
    out, have = [], 0
    while have < size:
        out.append(" ".join(rng.choices(words, k=60)) + f"\n{END}\n")
        have += len(out[-1].encode())
    return "".join(out).encode()
