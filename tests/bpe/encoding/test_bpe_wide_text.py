"""Strings beyond ASCII are read where CPython keeps them, which may show neither in the ids nor in the string."""

import ctypes
import random
import sys

import numpy as np
import pytest
from bpe_texts import SCRIPTS, SPECIALS, small_tokenizer
from hypothesis import given
from hypothesis import strategies as st

from cs336_lib.bpe.encoding import wide_text, workspace
from cs336_lib.bpe.encoding.compiled import CompiledEncoder
from cs336_lib.bpe.encoding.jobs import cut_before, jobs
from cs336_lib.bpe.encoding.string_bytes import readable, text_bytes
from cs336_lib.bpe.encoding.wide_text import SurrogateError, WideText
from cs336_lib.bpe.encoding.workspace import KERNELS
from cs336_lib.bpe.plain.definition_encoder import encode_reference
from cs336_lib.bpe.vocabulary import Vocabulary
from cs336_lib.native.library import PADDING

ALPHABETS = {
    1: "ab \x7f\x80\xe9\xff",
    2: "ab \x7f\xe9\u07ff\u0800\ud7ff\ue000\uffff",
    4: "ab \xe9\uffff\U00010000\U0010ffff",
}


def fresh(text):
    """An equal string whose UTF-8 form nobody has asked for."""
    return "".join([text[:1], text[1:]])


def ask_for_utf8(text):
    """Have CPython make the UTF-8 form of a string, and keep it."""
    ctypes.pythonapi.PyUnicode_AsUTF8AndSize(ctypes.py_object(text), None)


def random_string(chooser, width, size):
    """Mostly ASCII, or mostly not, with a character of full width at its end."""
    alphabet, share = ALPHABETS[width], chooser.random()
    letters = [chooser.choice(alphabet) if chooser.random() < share else "x" for _ in range(size)]
    return "".join([*letters, max(alphabet)])


def utf8_of(wide, first, last):
    """What the kernel writes of some characters, and that it stays within the room that it was promised."""
    most = wide.most_bytes(last - first)
    out = np.full(most + PADDING + 8, 0xEE, np.uint8)
    size = getattr(KERNELS, f"utf8_from_{wide.width}")(wide.address, first, last, out)
    assert (out[most + PADDING :] == 0xEE).all()
    return size if size < 0 else out[:size].tobytes()


def test_this_python_lays_strings_out_in_a_way_that_is_known():
    assert wide_text._layout() is not None


def test_what_was_in_memory_before_does_not_hide_the_layout():
    # CPython leaves some bits of a string's state as they were; of three strings they looked like widths now and then.
    chooser, expected = random.Random(1), wide_text._layout()
    for _ in range(3000):
        junk = [chooser.randbytes(chooser.choice((12, 14, 27, 30, 47, 63))) for _ in range(50)]
        del junk
        assert wide_text._layout.__wrapped__() == expected


@pytest.mark.parametrize("width", [1, 2, 4])
@given(seed=st.integers(0, 10**6), size=st.integers(1, 300))
def test_characters_become_what_python_encodes(width, seed, size):
    chooser = random.Random(seed)
    text = random_string(chooser, width, size)
    wide = WideText.of(text)
    assert (wide.width, len(wide)) == (width, size + 1)
    first = chooser.randint(0, size)
    last = chooser.randint(first, size + 1)
    assert utf8_of(wide, first, last) == text[first:last].encode()


@pytest.mark.parametrize("surrogate", ["\ud800", "\udbff", "\udc00", "\udfff"])
@pytest.mark.parametrize("end", ["", "\U0001f600"])
@pytest.mark.parametrize("place", [0, 1, 63, 64, 100])
def test_a_surrogate_is_found_wherever_it_is(surrogate, end, place):
    wide = WideText.of("x" * place + surrogate + "y" * 80 + end)
    assert utf8_of(wide, 0, len(wide)) == -1
    assert utf8_of(wide, place + 1, len(wide)) == ("y" * 80 + end).encode()


class Subclass(str):
    __slots__ = ()


def test_what_is_not_read_in_place():
    text = fresh("\u4f60 a" * 10)
    assert WideText.of(text) is not None
    assert WideText.of(Subclass(text)) is None
    assert WideText.of("plain ASCII") is None
    long = fresh("\u4f60 a" * 10_000)
    size = sys.getsizeof(long)
    ask_for_utf8(long)
    assert sys.getsizeof(long) > size and WideText.of(long) is None
    assert bytes(readable(long)) == long.encode()


@pytest.mark.parametrize("kind", [str, Subclass])
def test_the_bytes_of_a_whole_string_leave_nothing_with_it(kind):
    text = kind(fresh("\u4f60 a" * 10_000))
    size = sys.getsizeof(text)
    assert bytes(text_bytes(text)) == text.encode() == bytes(text_bytes(text))
    assert small_tokenizer().encode_batch([text] * 9)[8] == small_tokenizer().encode(text)
    assert sys.getsizeof(text) == size


@pytest.mark.parametrize("size", [65, 1_001, 40_001])
def test_a_utf8_form_that_makes_a_string_as_large_as_a_wider_one_does_not_mislead(size):
    """Characters of 2 bytes whose UTF-8 form has 2 bytes for each and one more: as large as characters of 4 bytes."""
    text = fresh("\xe9" * (size - 1) + "\u4f60")
    before = sys.getsizeof(text)
    ask_for_utf8(text)
    assert sys.getsizeof(text) == before + 2 * (size + 1)
    assert WideText.of(text) is None


def test_encoding_leaves_no_utf8_form_with_the_string():
    tokenizer = small_tokenizer()
    text = fresh("".join(SCRIPTS) * 2_000)
    size = sys.getsizeof(text)
    tokenizer.encode_to_array("long enough for the compiled encoder" * 10_000)
    ids = tokenizer.encode_to_array(text)
    assert tokenizer.encode(text) == tokenizer.encode_to_array(text, workers=2).tolist() == ids.tolist()
    assert sys.getsizeof(text) == size
    assert ids.tolist() == tokenizer.encode_to_array(text.encode()).tolist()


def mixed(seed, size):
    """Scripts, special tokens whole and cut off, runs, and words that never end."""
    chooser = random.Random(seed)
    parts, length = [], 0
    while length < size:
        start = chooser.randrange(40)
        script = chooser.choice(SCRIPTS)[start : start + chooser.randrange(1, 40)]
        special = chooser.choice(SPECIALS)
        run = chooser.choice("a \n\xe9\u4f60") * chooser.randrange(1, 300)
        parts.append(chooser.choice([script, script, special, special[: chooser.randrange(len(special))], run]))
        length += len(parts[-1])
    return "".join([*parts, chooser.choice(["\xe9", "\u4f60", "\U0001f600"])])


@given(st.integers(0, 10**6), st.integers(1, 400))
def test_parts_of_a_string_have_the_ids_of_the_whole(seed, size):
    tokenizer = small_tokenizer()
    text = mixed(seed, 1_200)
    pieces = list(jobs(WideText.of(text), 0, len(text), size, [special.encode() for special in SPECIALS]))
    assert "".join(text[start:end] for start, end in pieces) == text

    def ids(part):
        return encode_reference(part.encode(), tokenizer.vocab, tokenizer.merges, tokenizer.special_tokens)

    assert [i for start, end in pieces for i in ids(text[start:end])] == ids(text)


@given(seed=st.integers(0, 10**6), workers=st.integers(1, 3))
def test_small_parts_give_the_ids_of_the_bytes(seed, workers):
    tokenizer = small_tokenizer()
    text = mixed(seed, 3_000)
    encoder = CompiledEncoder(Vocabulary(tokenizer.vocab, tokenizer.merges, tokenizer.special_tokens))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(workspace, "CHARACTERS", 200)
        patch.setattr("cs336_lib.bpe.encoding.compiled.JOB_BYTES", 700)
        found = encoder.encode(WideText.of(text), workers)
        assert encoder.encode_to_list(WideText.of(text)) == found.tolist()
    assert found.tolist() == encoder.encode(text.encode()).tolist()


def test_a_string_without_a_place_to_cut_is_one_job():
    for text in ("a" * 10_000 + "\xe9", "\u4f60" * 10_000, "<|endoftext|>" * 20_000 + "\xe9"):
        wide = WideText.of(text)
        assert cut_before(wide, 0, 5_000, [b"<|endoftext|>"]) == 0
        assert list(jobs(wide, 0, len(wide), 100, [b"<|endoftext|>"])) == [(0, len(text))]


def test_room_for_a_long_part_is_given_back():
    tokenizer = small_tokenizer()
    encoder = CompiledEncoder(Vocabulary(tokenizer.vocab, tokenizer.merges, tokenizer.special_tokens))
    word = "\xe9" * 3_000_000
    assert encoder.encode(WideText.of(word)).tolist() == encoder.encode(word.encode()).tolist()
    assert all(len(one._utf8) <= workspace._UTF8_KEPT for one in encoder._shelf)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("end", ["\udcff", "\udcc3\udca9"])
def test_bytes_smuggled_as_surrogates_come_out_as_bytes(workers, end):
    tokenizer = small_tokenizer()
    tokenizer.encode_to_array("long enough for the compiled encoder" * 10_000)
    text = "the c\xe4t " * 300_000 + end
    with pytest.raises(SurrogateError):
        tokenizer._encoding._compiled.encode(WideText.of(text), workers)
    ids = tokenizer.encode_to_array(text, workers=workers)
    assert tokenizer.decode_bytes(ids) == text.encode("utf-8", "surrogateescape")
    assert tokenizer.encode(text) == ids.tolist()


def test_a_lone_surrogate_far_into_a_text_is_named():
    tokenizer = small_tokenizer()
    tokenizer.encode_to_array("long enough for the compiled encoder" * 10_000)
    text = "the c\xe4t " * 30_000 + "\ud800"
    for call in (tokenizer.encode, tokenizer.encode_to_array):
        with pytest.raises(ValueError, match=r"U\+D800 at character 240000"):
            call(text)


def test_where_the_layout_is_not_known_python_is_asked(monkeypatch):
    tokenizer = small_tokenizer()
    text = fresh("".join(SCRIPTS) * 2_000)
    tokenizer.encode_to_array("long enough for the compiled encoder" * 10_000)
    expected = tokenizer.encode_to_array(text).tolist()
    monkeypatch.setattr(wide_text, "_layout", lambda: None)
    assert isinstance(readable(text), memoryview)
    assert tokenizer.encode_to_array(text).tolist() == expected


@pytest.mark.parametrize("size", [lambda text: 10 + len(text), lambda text: 80 + 4 * len(text)])
def test_strings_of_other_sizes_are_not_read(monkeypatch, size):
    """As a Python would have them that keeps strings in another way."""
    monkeypatch.setattr(wide_text.sys, "getsizeof", size)
    assert wide_text._layout.__wrapped__() is None
