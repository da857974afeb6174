"""Texts for the tests of training: made here, so that a fresh clone needs no download."""

import random
import string

import numpy as np
from hypothesis import strategies as st

# One of each thing that the pattern, UTF-8 or the tables treat in its own way.
ATOMS = [
    *(b" ", b"  ", b"\n", b"\r\n", b"\t", b"\x0b", b"\x1c", b"\0", b"'", b"''", b"!", b"<|", b"^^^^"),
    *(b"s", b"t", b"ll", b"ve", b"re", b"d", b"m", b"S", b"LL", b"a", b"the", b"Zz", b"7", b"42"),
    *(b"'s", b"'ll", b"'ve", b" 're", b"abcdefghijklmnop", b"abcdefghijklmnopq", b"a" * 70, b" " * 70, b"'s" * 40),
    *(
        symbol.encode()
        for symbol in "\u00a0\u0085\u2028\u3000\u200b\u00e9\u0301\u4f60\ud55c\u0663\u216b\u00bd\u0e01\u05d0"
    ),
    *(symbol.encode() for symbol in "\U0001f600\U0001f468\u200d\U0001f469\U00010400\U0001d7ce\U0010ffff\ue000\ufeff"),
]
# Bytes that are no UTF-8: stray continuations, overlong, surrogates, beyond the last code point, cut short.
BROKEN = [
    *(b"\x80", b"\xbf", b"\xc0\x80", b"\xc1\xbf", b"\xe0\x80\x80", b"\xe0\x9f\xbf", b"\xed\xa0\x80", b"\xed\xbf\xbf"),
    *(b"\xf0\x80\x80\x80", b"\xf0\x8f\xbf\xbf", b"\xf4\x90\x80\x80", b"\xf5\x80\x80\x80", b"\xff", b"\xfe\xff"),
    # Overlong letters, digits and spaces: a careless decoder takes them for those.
    *(
        b"\xc1\x81",
        b"\xc0\xb1",
        b"\xc0\xa0",
        b"\xe0\x81\x81",
        b"\xe0\x80\xa0",
        b"\xf0\x80\x81\x81",
        b"\xf0\x80\x80\xb1",
    ),
    *(b"\xc3", b"\xe4\xbd", b"\xe4", b"\xf0\x9f\x98", b"\xf0\x9f", b"\xf0", b"\xe3\x80", b"\xc2"),
]

nasty_texts = st.lists(st.sampled_from(ATOMS), max_size=60).map(b"".join)
broken_texts = st.one_of(
    st.lists(st.sampled_from(ATOMS + BROKEN), max_size=60).map(b"".join),
    st.binary(max_size=300),
)
special_lists = st.sampled_from(
    [
        [],
        ["<|x|>"],
        ["<|x|>", "<|x|><|x|>"],
        ["<|", "<|x"],
        ["the", " the"],
        ["aa"],
        ["'s"],
        ["<|x|>", "x"],
        ["\u4f60"],
        ["\n"],
    ]
)
texts_with_specials = st.lists(
    st.sampled_from([*ATOMS, b"<|x|>", b"<|x|><|x|>", b"<|x", b"<|endoftext|>"]), max_size=60
).map(b"".join)
# Few letters make many ties and overlapping repeats.
word_counts = st.dictionaries(
    st.one_of(
        st.text("ab", min_size=1, max_size=12).map(str.encode),
        st.text("abc", min_size=1, max_size=6).map(str.encode),
        st.binary(min_size=1, max_size=40),
    ),
    st.sampled_from([1, 1, 2, 3, 7, 2047, 2048, 4096, 2**32 - 1, 2**32, 2**40]),
    max_size=30,
)

_SCRIPTS = [
    "the a of and to in that it was his with as for had you not be her is but",
    "le la les des un une \u00e9t\u00e9 \u00e0 c'est l'\u00e2ge na\u00efve \u0153uvre gar\u00e7on d\u00e9j\u00e0",
    "\u0438 \u0432 \u043d\u0435 \u043d\u0430 \u044f \u0431\u044b\u0442\u044c \u043e\u043d \u0441 \u0447\u0442\u043e",
    "\u03ba\u03b1\u03b9 \u03c4\u03bf \u03b7 \u03bd\u03b1 \u03b5\u03af\u03bd\u03b1\u03b9 \u03bf\u03c5",
    "\u05e9\u05dc \u05d0\u05ea \u05e2\u05dc \u05d4\u05d5\u05d0 \u05dc\u05d0",
    "\u0645\u0646 \u0641\u064a \u0639\u0644\u0649 \u0623\u0646 \u0663\u0664 \u0625\u0644\u0649",
    "\u0914\u0930 \u0939\u0948 \u0915\u0947 \u092e\u0947\u0902 \u0915\u0940",
    "\u0e41\u0e25\u0e30 \u0e17\u0e35\u0e48 \u0e02\u0e2d\u0e07 \u0e43\u0e19",
    "\u4f60\u597d \u4e16\u754c \u6211\u4eec \u662f\u7684 \u3002 \uff0c \u3000",
    "\ud55c\uad6d\uc5b4 \uc548\ub155 \uadf8\ub9ac\uace0 \uc774 \uac83",
    "\u3053\u3093\u306b\u3061\u306f \u30ab\u30bf\u30ab\u30ca \u306e \u3067\u3059",
    "\U0001f600 \U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f1eb\U0001f1f7 \u2764\ufe0f 1234 3.14 it's we'll !!!",
]


def multilingual_text(size: int, seed: int = 0, special: str = "") -> bytes:
    """About `size` bytes of words of many scripts, in lines; `special` between some of them."""
    draw = random.Random(seed)
    lines: list[str] = []
    written = 0
    while written < size:
        words = draw.choice(_SCRIPTS).split(" ")
        endings = ["", "s", "ing", "'s", str(draw.randrange(1000)), draw.choice(words)]
        glue = draw.choice([" ", " ", " ", "  ", ""])
        line = glue.join(draw.choice(words) + draw.choice(endings) for _ in range(draw.randrange(1, 30)))
        lines.append(line + draw.choice(["\n", ".\n", "\r\n\r\n", " \n", special]))
        written += len(lines[-1].encode())
    return "".join(lines).encode()


def rare_words(size: int, seed: int = 0) -> bytes:
    """About `size` bytes of words that hardly repeat: tables and arenas must grow."""
    draw = random.Random(seed)
    words = []
    while size > 0:
        words.append("".join(draw.choices("abcdefghij", k=draw.choice([3, 6, 12, 17, 30]))))
        size -= len(words[-1]) + 1
    return " ".join(words).encode()


def hashed_alike(length: int, at: int) -> tuple[bytes, bytes]:
    """Two words of letters with one hash: they differ only in the 16 bytes from `at` on, a multiple of 8.

    A step of `word_keys.hash_long` takes in 8 bytes by xor, so what the first 8 change, the next 8 can undo.
    """
    from cs336_lib.bpe.counting import word_keys

    draw = np.random.default_rng(length + at)
    letters = np.frombuffer(string.ascii_letters.encode(), np.uint8)
    differences = np.zeros(256, bool)
    differences[np.bitwise_xor.outer(letters, letters)] = True
    start, end = draw.choice(letters, at).tobytes(), draw.choice(letters, length - at - 16).tobytes()
    with np.errstate(over="ignore"):

        def step(mixed, words):
            mixed = (mixed ^ words) * word_keys._MIX_LOW
            return mixed ^ mixed >> np.uint64(29)

        mixed = np.array([length], np.uint64) * word_keys._MIX_LENGTH
        for word in np.frombuffer(start, "<u8"):
            mixed = step(mixed, word)
        words = draw.choice(letters, (1 << 19, 8))
        after = step(mixed, words.view("<u8")[:, 0])
    change = (after ^ after[0]).astype("<u8").view(np.uint8).reshape(-1, 8)
    other = np.flatnonzero(differences[change].all(axis=1) & (after != after[0]))[0]
    pairs = {one ^ two: (one, two) for one in letters.tolist() for two in letters.tolist()}
    undone = [pairs[byte] for byte in change[other].tolist()]
    one, two = (bytes(pair[k] for pair in undone) for k in (0, 1))
    return start + words[0].tobytes() + one + end, start + words[other].tobytes() + two + end


# Length and place: just beyond the words that are their own key, whole steps of the hash, a last step of a few bytes.
HASHED_ALIKE = [(17, 0), (24, 0), (24, 8), (29, 8), (32, 8), (32, 16), (100, 40), (254, 232)]
