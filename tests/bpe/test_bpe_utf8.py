"""The plain-Python UTF-8 of chapter 1 against Python's own codec."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cs336_lib.bpe.utf8 import (
    MAX_CODE_POINT,
    SURROGATES,
    Verdict,
    character_start,
    classify,
    encode_code_point,
    sequence_length,
)

# Beyond the second byte every continuation byte will do; of the second byte these are the edges of all ranges.
ENDINGS = [bytes(tail) for n in (1, 2, 3) for tail in product((0x80, 0x90, 0xA0, 0xBF), repeat=n)]


def decodes(sequence: bytes) -> bool:
    try:
        sequence.decode()
    except UnicodeDecodeError:
        return False
    return True


def codec_verdict(sequence: bytes) -> str:
    """Ask Python's codec: text, the start of text (some ending makes it decode), or never."""
    if decodes(sequence):
        return "text"
    return "truncated" if any(decodes(sequence + ending) for ending in ENDINGS) else "never"


def quick_verdict(sequence: bytes) -> str:
    """The same, without looking for an ending where the codec's error is not that the text ends too early."""
    try:
        sequence.decode()
    except UnicodeDecodeError as error:
        return codec_verdict(sequence) if error.reason == "unexpected end of data" else "never"
    return "text"


def our_verdict(sequence: bytes) -> str:
    verdict = classify(sequence)
    return {Verdict.TEXT: "text", Verdict.TRUNCATED: "truncated"}.get(verdict, "never")


def test_every_code_point_encodes_as_pythons_codec_does():
    for code_point in range(MAX_CODE_POINT + 1):
        if code_point not in SURROGATES:
            assert encode_code_point(code_point) == chr(code_point).encode()


@pytest.mark.parametrize("bad", [-1, 0xD800, 0xDFFF, 0x110000])
def test_what_is_no_scalar_value_is_refused_by_name(bad):
    with pytest.raises(ValueError, match=f"{bad:#x}"):
        encode_code_point(bad)


def test_every_two_byte_sequence_is_classified_as_the_codec_does():
    for first in range(256):
        for second in range(256):
            pair = bytes([first, second])
            assert our_verdict(pair) == quick_verdict(pair), pair


REASONS = {
    Verdict.TRUNCATED: [
        b"\xc2",
        b"\xe0\xa0",
        b"\xe4\xbd",
        b"\xed\x9f",
        b"\xef",
        b"\xf0\x90",
        b"\xf0\x9f\x98",
        b"\xf4\x8f",
    ],
    Verdict.STRAY_CONTINUATION: [b"\x80", b"\xbf", b"\x80\x80", b"\x90a"],
    Verdict.MISSING_CONTINUATION: [
        b"\xc2a",
        b"\xdf\xc2",
        b"\xe4\xbda",
        b"\xe0a",
        b"\xed\xff",
        b"\xf0\x9f\x98 ",
        b"\xf4\xc0",
    ],
    Verdict.OVERLONG: [b"\xc0\x80", b"\xc1\xbf", b"\xe0\x80", b"\xe0\x9f\xbf", b"\xf0\x80", b"\xf0\x8f\xbf\xbf"],
    Verdict.SURROGATE: [b"\xed\xa0", b"\xed\xa0\x80", b"\xed\xbf\xbf"],
    Verdict.BEYOND_UNICODE: [b"\xf4\x90", b"\xf4\x90\x80\x80", b"\xf4\xbf"],
    Verdict.UNUSED_BYTE: [b"\xc0", b"\xc1", b"\xc0a", b"\xc1\xc2", b"\xf5", b"\xf5\x80\x80\x80", b"\xfe\xff", b"\xff"],
}


@pytest.mark.parametrize("verdict", REASONS)
@pytest.mark.parametrize("before", [b"", b"a", "\u4f60\U0001f600".encode()])
def test_the_first_rule_that_is_broken_is_named(verdict, before):
    for sequence in REASONS[verdict]:
        assert classify(before + sequence) is verdict, sequence
    assert REASONS.keys() | {Verdict.TEXT} == set(Verdict)


def test_what_the_codec_calls_wrong_has_no_ending():
    for first in range(256):
        for second in (0x00, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xFF):
            pair = bytes([first, second])
            assert quick_verdict(pair) == codec_verdict(pair), pair


def test_three_bytes_at_the_edges_of_every_range_are_classified_as_the_codec_does():
    for first in (0xC1, 0xC2, 0xDF, 0xE0, 0xE1, 0xEC, 0xED, 0xEE, 0xEF, 0xF0, 0xF1, 0xF3, 0xF4, 0xF5, 0xFF):
        for second in range(256):
            for third in (0x7F, 0x80, 0xBF, 0xC0):
                triple = bytes([first, second, third])
                assert our_verdict(triple) == quick_verdict(triple), triple


@given(st.binary(max_size=12))
def test_random_bytes_are_classified_as_the_codec_does(sequence):
    assert our_verdict(sequence) == codec_verdict(sequence)


@given(st.text(), st.binary(max_size=3))
def test_text_with_a_damaged_tail_is_classified_as_the_codec_does(text, tail):
    assert our_verdict(text.encode() + tail) == codec_verdict(text.encode() + tail)


@given(st.text(min_size=1), st.data())
def test_character_start_finds_the_character_that_covers_any_position(text, data):
    encoded = text.encode()
    position = data.draw(st.integers(0, len(encoded) - 1))
    starts = [len(text[:index].encode()) for index in range(len(text))]
    assert character_start(encoded, position) == max(start for start in starts if start <= position)


@pytest.mark.parametrize(("data", "position"), [(b"abc", 3), (b"abc", -1), (b"", 0), (b"abc", 100)])
def test_character_start_refuses_a_position_outside(data, position):
    with pytest.raises(IndexError, match=f"position {position} is outside of {len(data)} bytes"):
        character_start(data, position)


def test_the_lead_byte_tells_the_length():
    for character in "aé你😀":
        encoded = character.encode()
        assert sequence_length(encoded[0]) == len(encoded)
        assert all(sequence_length(byte) == 0 for byte in encoded[1:])
