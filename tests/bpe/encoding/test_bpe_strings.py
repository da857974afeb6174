"""Strings become bytes without a copy, and lists without new integers; neither may show in the ids."""

import gc
import sys
from itertools import pairwise

import numpy as np
import pytest
from bpe_texts import SCRIPTS, small_tokenizer
from hypothesis import given
from hypothesis import strategies as st

from cs336_lib.bpe import Tokenizer
from cs336_lib.bpe.encoding import choice
from cs336_lib.bpe.encoding.string_bytes import joined_bytes, text_bytes
from cs336_lib.bpe.encoding.workspace import KERNELS, SMALL, listed
from cs336_lib.native.library import KernelLibrary

KINDS = {"ascii": "The cat.\0 ", "latin": "caf\xe9 ", "wide": "\u4f60\u597d ", "astral": "\U0001f600 a"}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("repeats", [0, 1, 10_000])
def test_a_string_gives_its_utf8_bytes_whatever_its_length_and_width(kind, repeats):
    text = KINDS[kind] * repeats
    assert bytes(text_bytes(text)) == text.encode()


def test_a_long_ascii_string_is_not_copied():
    view = text_bytes("a" * 100_000)
    assert isinstance(view, memoryview)
    assert view.readonly


@pytest.mark.parametrize("padding", ["", "x" * 100_000])
def test_bytes_smuggled_as_surrogates_come_out_as_bytes_at_any_length(padding):
    assert bytes(text_bytes(padding + "\udcff")) == padding.encode() + b"\xff"


@pytest.mark.parametrize("padding", ["", "x" * 100_000])
def test_a_lone_surrogate_is_named_at_any_length(padding):
    with pytest.raises(ValueError, match=rf"U\+D800 at character {len(padding)}"):
        text_bytes(padding + "\ud800")


@given(st.lists(st.text(st.sampled_from("a\xe9\u4f60\U0001f600\udc80\udcff")), max_size=9), st.integers(0, 70))
def test_strings_side_by_side_give_the_bytes_of_each(texts, padding):
    whole, ends = joined_bytes(texts, padding)
    each = [whole[start:end] for start, end in pairwise([0, *ends])]
    assert each == [bytes(text_bytes(text)) for text in texts]
    assert whole[sum(map(len, each)) :] == bytes(padding)


@pytest.mark.parametrize("texts", [["a\ud83d", "\ude00b"], ["\udcff", "a", "\ud800"]])
def test_halves_of_a_pair_in_two_strings_are_no_character(texts):
    for ask in (
        joined_bytes,
        small_tokenizer().encode_batch,
        lambda many: small_tokenizer().encode_batch(many * 9_999),
    ):
        with pytest.raises(ValueError, match=r"U\+D8.. at character"):
            ask(texts)


class Odd(str):
    """A string that says other things than it holds."""

    __slots__ = ()

    def __len__(self):
        return 3

    def encode(self, *how):
        return b"x" * 3

    def isascii(self):
        return True


@pytest.mark.parametrize("repeats", [1, 40_000])
def test_of_a_kind_of_string_counts_what_it_holds(repeats):
    tokenizer = small_tokenizer()
    for text in ("the cat", "caf\xe9 \u4f60"):
        assert tokenizer.encode_batch([Odd(text), "a"] * repeats)[-2:] == [
            tokenizer.encode(text),
            tokenizer.encode("a"),
        ]


@given(st.lists(st.integers(0, 99_999), max_size=50), st.integers(0, 2_000))
def test_listed_ids_are_the_ids_as_python_integers(ids, repeats):
    array = np.array(ids * repeats, np.int32)
    found = listed(array, np.array(range(100_000), object))
    assert found == array.tolist()
    assert all(type(one) is int for one in found[:50])


def test_a_list_of_known_ids_takes_eight_bytes_per_id():
    integers = np.array(range(70_000), object)
    found = listed(np.full(100_000, 69_999, np.int32), integers)
    assert all(one is integers[69_999] for one in found)
    assert sys.getsizeof(found) < 10 * len(found)


@pytest.mark.parametrize("size", [30, 50, 1_000, SMALL - 1, SMALL, SMALL + 1, 3 * SMALL])
def test_texts_of_every_length_get_the_same_ids_from_every_door(size):
    text = ("".join(SCRIPTS) * (size // 100 + 1))[:size]
    tokenizer = small_tokenizer()
    tokenizer.encode_to_array("long enough for the compiled encoder" * 10_000)
    ids = tokenizer.encode(text)
    assert ids == tokenizer.encode_to_array(text.encode()).tolist()
    assert ids == tokenizer.encode_batch([text])[0]
    assert tokenizer.decode(ids) == text


@pytest.fixture
def collections():
    """How often Python's collector has run, in a process that has it as it was before when the test ends."""
    seen, was_on = [], gc.isenabled()
    gc.callbacks.append(note := lambda phase, about: seen.append(about["generation"]) if phase == "start" else None)
    yield seen
    gc.callbacks.remove(note)
    (gc.enable if was_on else gc.disable)()


@pytest.mark.parametrize("is_on", [True, False])
def test_lists_for_many_texts_are_not_walked_over_while_they_are_made(collections, is_on):
    tokenizer, texts = small_tokenizer(), ["the cat sat on a mat, and stayed"] * 20_000
    tokenizer.encode_batch(texts)
    (gc.enable if is_on else gc.disable)()
    collections.clear()
    kept = tokenizer.encode_batch(texts)
    assert len(collections) <= 3 and gc.isenabled() == is_on
    assert len(kept) == 20_000 and kept[0] == tokenizer.encode(texts[0])


def test_an_error_leaves_the_collector_as_it_was():
    assert gc.isenabled()
    with pytest.raises(ZeroDivisionError), choice._no_collection():
        assert not gc.isenabled()
        1 / 0  # noqa: B018
    assert gc.isenabled()


def test_an_interrupt_right_after_the_collector_is_off_leaves_it_on(monkeypatch):
    off = gc.disable
    monkeypatch.setattr(gc, "disable", lambda: off() or (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt), choice._no_collection():
        pass
    assert gc.isenabled()


def test_many_short_texts_are_worth_loading_the_compiled_encoder(monkeypatch):
    KERNELS.load()
    monkeypatch.setattr(choice, "WORTH_LOADING", 500)
    shared = small_tokenizer()
    tokenizer = Tokenizer(shared.vocab, shared.merges, shared.special_tokens)
    text = "a text of a little over forty characters, said again"
    answers = {tuple(tokenizer.encode(text)) for _ in range(20)}
    assert len(answers) == 1
    assert tokenizer._encoding._compiled is not None


def test_without_kernels_in_the_cache_short_texts_stay_plain_and_the_disk_is_not_asked_each_time(monkeypatch):
    asked = []
    monkeypatch.setattr(choice, "WORTH_LOADING", 500)
    monkeypatch.setattr(KernelLibrary, "is_ready", lambda self: bool(asked.append(1)))
    shared = small_tokenizer()
    tokenizer = Tokenizer(shared.vocab, shared.merges, shared.special_tokens)
    for _ in range(100):
        tokenizer.encode("x" * 50)
    assert tokenizer._encoding._compiled is None
    assert len(asked) == 10
