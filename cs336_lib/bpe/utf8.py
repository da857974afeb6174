"""UTF-8 in plain Python: how a code point becomes one to four bytes, and which byte sequences can never be text.

What this module adds to Python's own codec is the *reason*. `bytes.decode` says that something is wrong; `classify`
says whether more bytes could still mend it and, if not, which rule of the encoding is broken. Chapter 1 explains the
rules and draws them. The standard is RFC 3629; the table of well-formed sequences is table 3-7 of the Unicode Standard.

::

    code point          bits  bytes
    U+0000   - U+007F      7  0xxxxxxx
    U+0080   - U+07FF     11  110xxxxx 10xxxxxx
    U+0800   - U+FFFF     16  1110xxxx 10xxxxxx 10xxxxxx      without the surrogates U+D800 - U+DFFF
    U+10000  - U+10FFFF   21  11110xxx 10xxxxxx 10xxxxxx 10xxxxxx
"""

from enum import StrEnum

MAX_CODE_POINT = 0x10FFFF
SURROGATES = range(0xD800, 0xE000)
CONTINUATION = range(0x80, 0xC0)


class Verdict(StrEnum):
    """What a byte sequence is to a UTF-8 decoder. Every member but the first two can never become text."""

    TEXT = "text"
    TRUNCATED = "truncated: more bytes can complete it"
    STRAY_CONTINUATION = "continuation byte without a lead byte"
    MISSING_CONTINUATION = "lead byte not followed by a continuation byte"
    OVERLONG = "overlong: a shorter form exists"
    SURROGATE = "surrogate: reserved for UTF-16"
    BEYOND_UNICODE = "beyond U+10FFFF"
    UNUSED_BYTE = "byte that UTF-8 never uses"


def sequence_length(lead: int) -> int:
    """Return how many bytes the character has whose first byte is `lead`, or 0 for a byte that starts none.

    >>> [sequence_length(byte) for byte in (0x41, 0xC3, 0xE4, 0xF0, 0x80, 0xC0, 0xFF)]
    [1, 2, 3, 4, 0, 0, 0]
    """
    if lead < 0x80:
        return 1
    for length, leads in ((2, range(0xC2, 0xE0)), (3, range(0xE0, 0xF0)), (4, range(0xF0, 0xF5))):
        if lead in leads:
            return length
    return 0


def encode_code_point(code_point: int) -> bytes:
    r"""Encode one code point, bit by bit.

    Args:
        code_point: 0 to 0x10FFFF, but no surrogate.

    Raises:
        ValueError: for a surrogate or a number outside Unicode.

    >>> encode_code_point(ord("é"))
    b'\xc3\xa9'
    >>> encode_code_point(0x4F60).decode()
    '你'
    """
    if not 0 <= code_point <= MAX_CODE_POINT or code_point in SURROGATES:
        raise ValueError(f"{code_point:#x} is no Unicode scalar value: allowed are 0 to 0xd7ff and 0xe000 to 0x10ffff")
    if code_point < 0x80:
        return bytes([code_point])
    length = 2 if code_point < 0x800 else 3 if code_point < 0x10000 else 4
    marker = (0xF00 >> length) & 0xFF  # as many leading ones as there are bytes
    tail = [0x80 | (code_point >> shift) & 0x3F for shift in range(6 * (length - 2), -1, -6)]
    return bytes([marker | code_point >> 6 * (length - 1), *tail])


def _second_byte_rule(lead: int, second: int) -> Verdict:
    """Judge the first two bytes of a sequence of three or four; here the three special ranges are cut out."""
    if (lead == 0xE0 and second < 0xA0) or (lead == 0xF0 and second < 0x90):
        return Verdict.OVERLONG
    if lead == 0xED and second >= 0xA0:
        return Verdict.SURROGATE
    if lead == 0xF4 and second >= 0x90:
        return Verdict.BEYOND_UNICODE
    return Verdict.TEXT


def _classify_first(sequence: bytes) -> tuple[Verdict, int]:
    """Judge the first character of a sequence that is not empty; return the verdict and the length of good text."""
    lead = sequence[0]
    length = sequence_length(lead)
    if length == 0:
        if lead in CONTINUATION:
            return Verdict.STRAY_CONTINUATION, 0
        followed = len(sequence) > 1 and sequence[1] in CONTINUATION
        return Verdict.OVERLONG if lead in (0xC0, 0xC1) and followed else Verdict.UNUSED_BYTE, 0
    for position in range(1, min(length, len(sequence))):
        if sequence[position] not in CONTINUATION:
            return Verdict.MISSING_CONTINUATION, 0
        if position == 1 and (rule := _second_byte_rule(lead, sequence[1])) is not Verdict.TEXT:
            return rule, 0
    return (Verdict.TEXT, length) if len(sequence) >= length else (Verdict.TRUNCATED, 0)


def classify(sequence: bytes) -> Verdict:
    r"""Say what a UTF-8 decoder makes of `sequence`: text, the start of text, or the first rule that it breaks.

    Args:
        sequence: any bytes. The empty sequence is text.

    Returns:
        `Verdict.TEXT` exactly when `sequence.decode("utf-8")` succeeds; `Verdict.TRUNCATED` exactly when it does not
        but some longer sequence with this start does; otherwise the reason why no continuation can ever help.

    >>> classify("héllo".encode()).name, classify(b"\xe4\xbd").name
    ('TEXT', 'TRUNCATED')
    >>> classify(b"\xc0\x80").name, classify(b"\xff\xff").name, classify(b"a\x80").name
    ('OVERLONG', 'UNUSED_BYTE', 'STRAY_CONTINUATION')
    """
    position = 0
    while position < len(sequence):
        verdict, length = _classify_first(sequence[position : position + 4])
        if verdict is not Verdict.TEXT:
            return verdict
        position += length
    return Verdict.TEXT


def character_start(data: bytes, position: int) -> int:
    """Return where the character starts that covers `position`: UTF-8 finds its way from anywhere, in at most 3 steps.

    Args:
        data: valid UTF-8.
        position: an index into it.

    Raises:
        IndexError: if `position` is outside `data`.

    >>> [character_start("a你b".encode(), position) for position in range(5)]
    [0, 1, 1, 1, 4]
    """
    if not 0 <= position < len(data):
        raise IndexError(f"position {position} is outside of {len(data)} bytes")
    while position > 0 and data[position] in CONTINUATION:
        position -= 1
    return position
