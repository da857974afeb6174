"""A stream gives the ids of the whole, wherever its chunks end, and takes little memory."""

import tracemalloc
from itertools import pairwise

import pytest
from bpe_texts import SCRIPTS, SPECIALS, small_tokenizer, tokenizer_of
from hypothesis import given
from hypothesis import strategies as st

from cs336_lib.bpe.encoding import choice
from cs336_lib.bpe.encoding.streaming import settled_blocks
from cs336_lib.bpe.plain.definition import pretokenize
from cs336_lib.bpe.specials import SpecialTokens
from cs336_lib.bpe.tokenizer import Tokenizer

TEXT = "".join(f"{script}<|end|>{script}\n" for script in SCRIPTS)


def pieces(whole, cuts):
    places = sorted({min(cut, len(whole)) for cut in cuts} | {0, len(whole)})
    return [whole[a:b] for a, b in pairwise(places)]


@given(st.lists(st.integers(0, len(TEXT)), max_size=30))
def test_strings_cut_anywhere(cuts):
    tokenizer = small_tokenizer()
    assert list(tokenizer.encode_iterable(pieces(TEXT, cuts))) == tokenizer.encode(TEXT)


@pytest.mark.parametrize("symbol", ["\u00e9", "\u4f60", "\u3000", "\u0663", "\U0001d7ce", "\U0001f98a"])
@pytest.mark.parametrize("before", ["", "a", " a", "7", "!", "a ", " "])
def test_strings_of_single_bytes_are_cut_where_the_characters_that_they_make_are(symbol, before):
    """A byte beyond ASCII comes as a surrogate of its own, and is no letter before the last one is there."""
    text = f"{before}{symbol}{before}{symbol}{symbol}b 1"
    bytewise = list(text.encode().decode("ascii", "surrogateescape"))
    blocks = list(settled_blocks(bytewise, SpecialTokens(), block=1))
    words = [word for block in blocks for word in pretokenize(block.encode("utf-8", "surrogateescape"))]
    assert words == pretokenize(text.encode())


@given(st.lists(st.integers(0, len(TEXT.encode())), max_size=30))
def test_bytes_cut_anywhere_also_inside_a_character(cuts):
    tokenizer = small_tokenizer()
    assert list(tokenizer.encode_iterable(pieces(TEXT.encode(), cuts))) == tokenizer.encode(TEXT)


@given(
    st.lists(
        st.sampled_from([*SPECIALS, "<|", "end", "|>", "'", "'s", "a", "1", " ", "\n", "\u3000", "!", "é"]), max_size=30
    ),
    st.integers(1, 9),
)
def test_small_blocks_of_awkward_neighbors(parts, block):
    tokenizer = small_tokenizer()
    blocks = list(settled_blocks(parts, SpecialTokens(SPECIALS), block=block))
    assert "".join(blocks) == "".join(parts)
    assert [i for part in blocks for i in tokenizer.encode(part)] == tokenizer.encode("".join(parts))


@given(st.lists(st.binary(max_size=8), max_size=20), st.integers(1, 9))
def test_small_blocks_of_any_bytes(parts, block):
    tokenizer = small_tokenizer()
    blocks = settled_blocks(parts, SpecialTokens(SPECIALS), block=block)
    ids = [i for part in blocks for i in tokenizer.encode(part)]
    assert ids == tokenizer.encode_to_array(b"".join(parts)).tolist()


@given(st.lists(st.sampled_from(["\udcc3", "\udca9", "\udce3\udc80", "\udc80", "a", " ", "é"]), max_size=20))
def test_small_blocks_of_strings_that_hold_bytes(parts):
    tokenizer = small_tokenizer()
    blocks = settled_blocks(parts, SpecialTokens(SPECIALS), block=1)
    assert [i for part in blocks for i in tokenizer.encode(part)] == tokenizer.encode("".join(parts))


def test_one_character_at_a_time():
    assert list(small_tokenizer().encode_iterable(TEXT)) == small_tokenizer().encode(TEXT)


def test_of_nothing_is_nothing():
    assert list(small_tokenizer().encode_iterable([])) == []
    assert list(small_tokenizer().encode_iterable(["", ""])) == []
    assert list(small_tokenizer().encode_iterable([b""])) == []


def test_ids_come_before_the_stream_ends():
    def endless():
        while True:
            yield "the cat sat on the mat "

    ids = small_tokenizer().encode_iterable(endless())
    assert small_tokenizer().decode([next(ids) for _ in range(20)]).startswith("the cat sat")


@pytest.mark.parametrize("mode", ["r", pytest.param("rb", marks=pytest.mark.slow)])
def test_a_file_read_by_lines_takes_less_than_a_megabyte(mode, tmp_path):
    starts, ends = "bcdfgklmnprst", ("at", "ell", "ing", "orn", "ound", "ust", "y")
    words = [start + end for start in starts for end in ends]
    # 8,000 different words: more than a stream remembers.
    lines = [" ".join(words[i * k % 91] + words[(i + k) % 89] for k in range(1, 12)) + "\n" for i in range(5000)]
    path = tmp_path / "words.txt"
    path.write_text("".join(lines))
    tokenizer = small_tokenizer()
    expected = len(tokenizer.encode("".join(lines)))
    del lines
    with path.open(mode) as file:
        tracemalloc.start()
        count = sum(1 for _ in tokenizer.encode_iterable(file))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert count == expected
    assert peak < 1e6


def test_a_long_stream_goes_on_with_the_compiled_encoder(monkeypatch):
    monkeypatch.setattr(choice, "STREAM_PLAIN", 20_000)
    tokenizer = Tokenizer(small_tokenizer().vocab, small_tokenizer().merges, SPECIALS)
    text = TEXT * 50
    assert list(tokenizer.encode_iterable(text[i : i + 999] for i in range(0, len(text), 999))) == tokenizer.encode(
        text
    )


@pytest.mark.timeout(60)
@pytest.mark.parametrize("run", ["a", " ", "<|end|>", "\udcff"])
def test_a_megabyte_without_an_end_in_small_chunks_is_not_quadratic(run):
    tokenizer = tokenizer_of("aaaaaaaa", 3) if run != "<|end|>" else small_tokenizer()
    chunks = [run] * (200_000 // len(run))
    assert tokenizer.decode_bytes(tokenizer.encode_iterable(chunks)) == "".join(chunks).encode(
        "utf-8", "surrogateescape"
    )


@pytest.mark.parametrize(
    ("chunks", "message"),
    [(b"ab", r"write \[data\]"), (["a", b"b"], "must be str like those before it, got bytes"), ([5], "got int")],
)
def test_chunks_of_the_wrong_kind_are_named(chunks, message):
    with pytest.raises(TypeError, match=message):
        list(small_tokenizer().encode_iterable(chunks))


def test_a_lone_surrogate_is_refused():
    with pytest.raises(ValueError, match=r"U\+D800"):
        list(small_tokenizer().encode_iterable(["a", "b\ud800"]))
