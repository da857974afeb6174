"""The compiled word table counts what a dictionary would."""

import pickle
from collections import Counter

import numpy as np
import pytest
from bpe_corpora import HASHED_ALIKE, broken_texts, hashed_alike, rare_words, special_lists, texts_with_specials
from hypothesis import given, settings
from hypothesis import strategies as st

from cs336_lib.bpe.counting.word_table import SpecialTable, WordCounts, WordTable, padded
from cs336_lib.bpe.plain.definition import count_words


def counted(text: bytes, specials: list[str]) -> WordTable:
    table = WordTable()
    table.count(padded(text), len(text), SpecialTable([token.encode() for token in specials]))
    return table


@given(st.one_of(broken_texts, texts_with_specials), special_lists)
@settings(max_examples=120, deadline=None)
def test_counts_are_those_of_the_reference(text, specials):
    assert dict(counted(text, specials).words().items()) == count_words(text, specials)


@given(st.lists(st.tuples(texts_with_specials, special_lists), max_size=4))
@settings(max_examples=50, deadline=None)
def test_texts_add_up(parts):
    table, expected = WordTable(), Counter()
    for text, specials in parts:
        table.count(padded(text), len(text), SpecialTable([token.encode() for token in specials]))
        expected += count_words(text, specials)
    assert dict(table.words().items()) == expected


def test_table_and_arena_grow_without_losing_a_word():
    text = rare_words(1_000_000)
    assert dict(counted(text, []).words().items()) == count_words(text)


def test_adding_tables_is_adding_their_counts():
    texts = [rare_words(300_000, seed) for seed in (1, 1, 2)]
    total = WordTable()
    for text in texts:
        total.add(counted(text, []).words())
    assert dict(total.words().items()) == sum((count_words(text) for text in texts), Counter())


@pytest.mark.parametrize("length", [1, 7, 8, 9, 15, 16, 17, 24, 31, 32, 33, 1000, 100_000])
def test_words_of_any_length_that_differ_in_one_byte_are_told_apart(length):
    words = {b"a" * length, b"b" + b"a" * (length - 1), b"a" * (length - 1) + b"b"}
    text = b" ".join(sorted(words) * 3)
    assert dict(counted(text, []).words().items()) == count_words(text)


@pytest.mark.parametrize(("length", "at"), HASHED_ALIKE)
def test_words_with_one_hash_are_told_apart(length, at):
    one, other = hashed_alike(length, at)
    assert one != other and len(one) == len(other) == length and one[:at] == other[:at]
    groups = WordCounts.from_mapping({one: 5, other: 7}).by_group(1 << 16)  # by the highest bits of the hash
    assert sorted(map(len, groups))[-2:] == [0, 2], "their hashes differ: `hashed_alike` follows another hash"
    table = WordTable()
    for _ in range(2):
        table.add(WordCounts.from_mapping({one: 5, other: 7}))
    assert dict(table.words().items()) == {one: 10, other: 14}
    text = b".".join([one, other, other, one, other])
    assert dict(counted(text, []).words().items()) == {b".": 4, one: 2, other: 3}


def test_words_that_differ_by_zero_bytes_are_told_apart():
    text = b"\n\0\n\0\0\n\0\0\0\n" + b"\0" * 16 + b"\n" + b"\0" * 17 + b"\n\0"
    assert dict(counted(text, []).words().items()) == count_words(text)


def test_counts_beyond_32_and_53_bits_stay_exact():
    words = {b"the": 2**32 + 1, b" a word that is longer than sixteen bytes": 2**60 + 1}
    table = WordTable()
    for _ in range(3):
        table.add(WordCounts.from_mapping(words))
    assert dict(table.words().items()) == {word: 3 * count for word, count in words.items()}


def test_counts_survive_pickling():
    words = counted(rare_words(10_000), []).words()
    again = pickle.loads(pickle.dumps(words))
    total = WordTable()
    total.add(again)
    assert dict(total.words().items()) == dict(words.items())


def test_no_words_are_no_words():
    table = counted(b"", ["<|x|>"])
    table.add(WordCounts.from_mapping({}))
    assert dict(table.words().items()) == {}


@pytest.mark.parametrize(
    "specials", [["<|x|>"], ["<|x|>", "<|x|><|x|>"], [f"<|{n}|>" for n in range(300)], ["x" * 500]]
)
def test_special_tokens_are_found_at_every_place_of_a_block(specials):
    for size in range(130):
        text = (
            b"<" * (size % 3)
            + b"a" * size
            + "".join(specials[:2] * 2).encode()
            + b"b" * size
            + specials[0].encode()[:-1]
        )
        assert dict(counted(text, specials).words().items()) == count_words(text, specials)


def test_a_text_without_padding_is_refused():
    with pytest.raises(ValueError, match="10 bytes needs 128 more"):
        WordTable().count(np.zeros(20, np.uint8), 10, SpecialTable([]))
