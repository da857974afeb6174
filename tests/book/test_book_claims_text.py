"""Figures that chapters 1 to 3 print, held without running the chapters."""

import re
from itertools import pairwise, product
from pathlib import Path

import regex

from cs336_lib.bpe import Tokenizer
from cs336_lib.bpe.cutting.pattern import PAT
from cs336_lib.bpe.plain.definition import count_words, merge_word, train_on_words
from cs336_lib.bpe.utf8 import Verdict, classify
from cs336_lib.data import tales

ROOT = Path(__file__).resolve().parents[2]
SCALARS = [number for number in range(0x110000) if not 0xD800 <= number <= 0xDFFF]


def sentence(language):
    """The sentence that chapter 1 measures."""
    text = (ROOT / "notebooks/01_unicode.md").read_text(encoding="utf-8")
    return re.search(rf'"{language}": "(.+?)"', text)[1]


def test_there_are_1_112_064_scalar_values():
    assert len(SCALARS) == 1_112_064 == 17 * 2**16 - 2**11


def test_utf8_uses_243_byte_values():
    used = set("".join(map(chr, SCALARS)).encode())
    assert len(used) == 243
    assert set(range(256)) - used == {0xC0, 0xC1, *range(0xF5, 0x100)}


def test_more_than_a_quarter_of_all_two_byte_sequences_are_text():
    text = sum(classify(bytes([a, b])) is Verdict.TEXT for a in range(256) for b in range(256))
    assert text == 128**2 + 30 * 64
    assert round(text / 2**16, 3) == 0.279


def test_bytes_per_code_point_of_the_sentences():
    english, chinese = sentence("English"), sentence("Chinese")
    assert len(english.encode()) == len(english)
    assert len(chinese.encode()) == 3 * len(chinese)
    assert len(chinese.encode("utf-16-le")) == 2 * len(chinese)


def test_words_with_the_pair_hold_a_small_fraction_of_all_pairs():
    text = "".join(tales.story(0, index).text for index in range(60)).encode()
    state = [[bytes([byte]) for byte in word] for word in count_words(text)]
    everything = touched = 0
    for pair in train_on_words(count_words(text), 150):
        everything += sum(len(tokens) - 1 for tokens in state)
        for index, tokens in enumerate(state):
            if pair in pairwise(tokens):
                touched += len(tokens) - 1
                state[index] = merge_word(tokens, pair)
    assert everything > 10 * touched


def test_greedy_longest_match_cuts_words_differently():
    merges = [(b"b", b"c"), (b"a", b"b"), (b"bc", b"d")]
    pieces = [bytes([byte]) for byte in range(256)] + [left + right for left, right in merges]
    tokenizer = Tokenizer(dict(enumerate(pieces)), merges)
    longest = max((piece for piece in pieces if b"abcd".startswith(piece)), key=len)
    first = tokenizer.vocab[tokenizer.encode("abcd")[0]]
    assert (longest, first) == (b"ab", b"a")


def test_where_a_text_may_be_cut_in_front_of_a_space():
    """Exercise 2 of chapter 3, for every text of up to five of these characters."""
    cut = regex.compile(PAT)

    def whole(text):
        return [match.group() for match in cut.finditer(text)]

    for length in range(2, 6):
        for text in map("".join, product("ab1.' \n", repeat=length)):
            for place in range(1, length):
                if text[place] == " ":
                    behind = text[place + 1 : place + 2]
                    safe = not text[place - 1].isspace() or bool(behind and not behind.isspace())
                    assert safe == (whole(text[:place]) + whole(text[place:]) == whole(text)), (text, place)
