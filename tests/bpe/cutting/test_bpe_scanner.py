"""The compiled scanner cuts exactly where `regex` does."""

import numpy as np
import pytest
import regex
from bpe_corpora import ATOMS, BROKEN, broken_texts, multilingual_text
from hypothesis import given, settings
from hypothesis import strategies as st

from cs336_lib.bpe.counting.word_table import COUNTING, padded
from cs336_lib.bpe.cutting.pattern import PAT
from cs336_lib.bpe.cutting.scan_state import SCAN_WORDS, STARTS_ROOM
from cs336_lib.bpe.cutting.symbol_classes import CODE_POINTS, LETTER, NUMBER, SPACE, ask_regex, symbol_classes
from cs336_lib.bpe.plain.definition import pretokenize
from cs336_lib.native.cache import cache_folder

CODE_POINTS_OF_TEXT = [*range(0xD800), *range(0xE000, CODE_POINTS)]


def scan(text: bytes, behind: bytes = b"") -> list[int]:
    """Starts of the pre-tokens of a text, by the compiled scanner; `behind` lies in memory after the text."""
    memory = padded(text + behind)
    starts = np.empty(len(text) + STARTS_ROOM, np.int64)
    state = np.empty(SCAN_WORDS, np.uint64)
    count = COUNTING.find_starts(memory, 0, len(text), symbol_classes(), state, starts, len(text) + 1)
    return starts[:count].tolist()


def starts_of(pieces: list[bytes]) -> list[int]:
    return np.cumsum([0, *map(len, pieces)])[:-1].tolist()


def assert_cuts_like_regex(symbols: str) -> None:
    text = symbols.encode()
    expected = np.cumsum([0, *(len(piece.encode()) for piece in regex.findall(PAT, symbols))])[:-1]
    found = np.array(scan(text))
    if not np.array_equal(found, expected):
        size = min(len(found), len(expected))
        first = int(np.flatnonzero(found[:size] != expected[:size])[0]) if size else 0
        at = int(min(found[first], expected[first]))
        raise AssertionError(f"differs at byte {at}: {text[max(0, at - 20) : at + 20]!r}")


def test_table_holds_the_class_of_every_code_point_that_regex_gives():
    assert np.array_equal(symbol_classes(), ask_regex())


def test_table_survives_being_stored_and_read_again(tmp_path, monkeypatch):
    monkeypatch.setenv("CS336_CACHE_DIR", str(tmp_path))
    symbol_classes.cache_clear()
    try:
        first = symbol_classes()
        assert list(cache_folder().glob("symbol-classes-*.bin"))
        symbol_classes.cache_clear()
        assert np.array_equal(symbol_classes(), first)
    finally:
        symbol_classes.cache_clear()


# In one line each code point stands alone, doubled, after a letter, before a word and at the end of a line, and the
# length of the line moves it over all places of a block.
def test_every_code_point_is_cut_like_regex_does():
    for first in range(0, len(CODE_POINTS_OF_TEXT), 1 << 17):
        part = CODE_POINTS_OF_TEXT[first : first + (1 << 17)]
        assert_cuts_like_regex("".join([f"a{chr(code)}{chr(code)} x\n" for code in part]))


@pytest.mark.slow
@pytest.mark.parametrize(
    "context",
    [
        *("{}", "{} ", " {}", "{}x", "x{}", "x{}x", "7{}7", "!{}!", " {} ", "  {}  ", "\n{}\n", "'{}s", "'s{}", "{}'s"),
        *(
            "'{}",
            "x {}x",
            "x  {}x",
            "\u3000{}\u3000",
            "\u4f60{}\u4f60",
            "\u0663{}7",
            "{}\u00a0x",
            "x\u00a0{}",
            "{0}{0}{0}",
        ),
    ],
)
def test_every_code_point_in_every_context_is_cut_like_regex_does(context):
    for first in range(0, len(CODE_POINTS_OF_TEXT), 1 << 17):
        part = CODE_POINTS_OF_TEXT[first : first + (1 << 17)]
        assert_cuts_like_regex("".join([context.format(chr(code)) + "q\n" for code in part]))
        assert_cuts_like_regex("".join([context.format(chr(code)) for code in part]))


@pytest.mark.parametrize("atom", ATOMS + BROKEN)
@pytest.mark.parametrize("behind", [b"", b"x", b" ", b"'s", "\u4f60".encode()])
def test_block_borders_change_nothing(atom, behind):
    for filler in (b"x", b" ", b"!", b"\n"):
        for size in range(58, 67):
            text = filler * size + atom + behind
            assert scan(text) == starts_of(pretokenize(text))


@given(broken_texts)
@settings(max_examples=120, deadline=None)
def test_any_bytes_are_cut_like_the_reference_cuts_them(text):
    assert scan(text) == starts_of(pretokenize(text))


@given(st.text(max_size=200))
@settings(max_examples=100, deadline=None)
def test_any_string_is_cut_like_regex_cuts_it(symbols):
    symbols = symbols.encode("utf-8", "replace").decode()
    assert_cuts_like_regex(symbols)


@given(broken_texts, st.sampled_from([b"\x80\x80\x80", b"s", b"ll", b" x", b"'", b"\xbd\xa0", b"\xff" * 64]))
@settings(max_examples=80, deadline=None)
def test_what_lies_behind_a_text_is_not_looked_at(text, behind):
    assert scan(text, behind) == scan(text)


@pytest.mark.parametrize("symbol", ["\u00e9", "\u0663", "\u3000", "\u4f60", "\U00010400", "\U0001d7ce"])
def test_a_symbol_that_is_cut_off_is_not_completed_by_what_lies_behind(symbol):
    whole = symbol.encode()
    for size in range(1, len(whole)):
        for filler in range(60, 66):
            for before in (b"x", b" ", b"7"):
                text = before * filler + whole[:size]
                assert scan(text, whole[size:]) == starts_of(pretokenize(text))


@pytest.mark.parametrize("beyond", [LETTER, NUMBER, SPACE])
def test_what_is_no_symbol_has_no_class_whatever_lies_behind_the_table(beyond):
    """Nor in the table where surrogates would stand: a careless decoder would look there."""
    larger = np.full(1 << 21, beyond, np.uint8)
    for code_points in (slice(0, 0xD800), slice(0xE000, CODE_POINTS)):
        larger[code_points] = symbol_classes()[code_points]
    for text in BROKEN:
        memory, state = padded(b"a" + text + b" a"), np.empty(SCAN_WORDS, np.uint64)
        starts = np.empty(len(text) + 3 + STARTS_ROOM, np.int64)
        count = COUNTING.find_starts(memory, 0, len(text) + 3, larger, state, starts, len(text) + 3)
        assert starts[:count].tolist() == starts_of(pretokenize(b"a" + text + b" a"))


def test_texts_of_many_scripts_are_cut_like_regex_does():
    for seed in range(3):
        assert_cuts_like_regex(multilingual_text(200_000, seed).decode())


def test_a_scan_can_be_asked_for_a_few_starts_at_a_time():
    text = multilingual_text(2_000)
    memory, state = padded(text), np.empty(SCAN_WORDS, np.uint64)
    starts = np.empty(len(text) + STARTS_ROOM, np.int64)
    few = COUNTING.find_starts(memory, 0, len(text), symbol_classes(), state, starts, 10)
    assert 10 <= few < 10 + 64
    assert starts[:few].tolist() == scan(text)[:few]
