"""GPT-2's files: `vocab.json` and `merges.txt`, in which every byte is spelled as one printable character.

    vocab.json    {"!": 0, ..., "\u0120t": 256, ...}        token -> id
    merges.txt    #version: 0.2                           a header, may be missing
                  \u0120 t                                     left part, space, right part; the first learned first

The 188 printable bytes of Latin-1 stand for themselves; the other 68, in order, are U+0100, U+0101, ... Thus a space
(0x20) is written U+0120, and no token contains white space of its own.
"""

import json
import os
from collections.abc import Collection, Iterable, Mapping, Sequence

from cs336_lib.jsonfile import read_json, read_text

HEADER = "#version: 0.2"
UNMADE = 100
"""Tokens that look like results of merges and may be made by none, or a tenth of the merges if that is more."""

ADDED = 8
"""Such tokens behind all others, which somebody may have added, or a hundredth of the merges if that is more."""

_PRINTABLE = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
_OTHERS = [byte for byte in range(256) if byte not in set(_PRINTABLE)]
BYTE_TO_CHAR: dict[int, str] = {byte: chr(byte) for byte in _PRINTABLE} | {
    byte: chr(0x100 + n) for n, byte in enumerate(_OTHERS)
}
_TO_CHARS = {byte: char for byte, char in BYTE_TO_CHAR.items()}
_TO_BYTES = {ord(char): chr(byte) for byte, char in BYTE_TO_CHAR.items()}


def spell(token: bytes) -> str:
    r"""Write bytes as printable characters, one each.

    >>> spell(b" the") == "\u0120the"
    True
    """
    return token.decode("latin-1").translate(_TO_CHARS)


def unspell(text: str) -> bytes:
    r"""Read what `spell` wrote; a text with other characters (a special token put in by hand) is its UTF-8 bytes.

    >>> unspell("\u0120the"), unspell("<| end |>")
    (b' the', b'<| end |>')
    """
    try:
        return text.translate(_TO_BYTES).encode("latin-1") if is_spelled(text) else text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"the token {text!r} holds a lone surrogate at character {error.start}") from None


def is_spelled(text: str) -> bool:
    """Whether a text is of GPT-2's letters alone, so that each stands for a byte."""
    return all(ord(char) in _TO_BYTES for char in text)


def read_vocab(
    path: str | os.PathLike[str],
    merges: Iterable[tuple[bytes, bytes]] | None = None,
    special_tokens: Iterable[str] = (),
) -> dict[int, bytes]:
    """Read a `vocab.json`.

    Args:
        path: of the file.
        merges: of the same tokenizer; with them it is seen whether they were cut off. None leaves that alone.
        special_tokens: of the same tokenizer. The file may hold them as they are: one with letters beyond ASCII would
            otherwise be taken for spelled bytes.

    Raises:
        ValueError: the file is not a JSON object from tokens to ids, gives one id twice, or holds many tokens that only
            merges make and none of these does.
    """
    spelled = read_json(path)
    vocab = vocab_from_spelling(spelled, str(path))
    made = {left + right for left, right in merges or ()}
    specials = [special for special in special_tokens if isinstance(special, str)]
    if merges is not None:
        named = {spelled.get(text) for special in specials for text in (special, spell(special.encode()))}
        ids = {unspell(text): i for text, i in spelled.items() if is_spelled(text) and i not in named}
        _check_made(ids, made, path)
    for special in specials:
        as_bytes = vocab.get(spelled.get(special, -1))
        if (
            as_bytes is not None
            and len(as_bytes) > 1
            and as_bytes not in made
            and spell(special.encode()) not in spelled
        ):
            vocab[spelled[special]] = special.encode()
    return vocab


def _check_made(ids: Mapping[bytes, int], made: Collection[bytes], source: str | os.PathLike[str]) -> None:
    """Raise ValueError if many tokens can only be results of merges that are not there: the merges were cut off then.

    Such a token is two others put together, each of which is a byte, made by a merge, or such a token itself. Special
    tokens and whatever was added by hand are hardly ever so: where would "<|end|" be a token? Some may be. Many
    that have just the ids behind all that is made are what a file of merges leaves that lost its end.
    """
    known = {bytes([byte]) for byte in range(256)}.union(made)
    last = max((ids[token] for token in known if token in ids), default=-1)
    unmade: list[bytes] = []
    for token in sorted((token for token in ids if token not in known), key=len):
        if any(token[:at] in known and token[at:] in known for at in range(1, len(token))):
            known.add(token)
            unmade.append(token)
    behind = set(range(last + 1, last + 1 + len(unmade)))
    cut_off = len(unmade) > max(ADDED, len(made) // 100) and {ids[token] for token in unmade} == behind
    if cut_off or len(unmade) > max(UNMADE, len(made) // 10):
        raise ValueError(
            f"{source}: {len(unmade):,} of its tokens, such as {unmade[0]!r}, are made by none of the {len(made):,} "
            "merges: was the file of merges cut off, or is it another tokenizer's? If they are special tokens, name "
            "them as special_tokens"
        )


def vocab_from_spelling(spelled: Mapping[str, int], source: str) -> dict[int, bytes]:
    """Turn token -> id into id -> bytes; `source` names the file in errors."""
    vocab: dict[int, bytes] = {}
    for text, i in spelled.items():
        if isinstance(i, bool) or not isinstance(i, int):
            raise ValueError(f"{source}: the id of token {text!r} must be an integer, got {i!r}")
        if i in vocab:
            raise ValueError(f"{source}: id {i} is given to both {spell(vocab[i])!r} and {text!r}")
        vocab[i] = unspell(text)
    return vocab


def read_merges(path: str | os.PathLike[str]) -> list[tuple[bytes, bytes]]:
    """Read a `merges.txt`; a `#version` header and empty lines are passed over.

    Raises:
        ValueError: a line is not two parts with one space between them; the message names the line.
    """
    lines = read_text(path).replace("\r\n", "\n").replace("\r", "\n").split("\n")
    first = 1 if lines[0].startswith("#version:") else 0
    return merges_from_lines(lines[first:], str(path), first + 1)


def merges_from_lines(lines: Iterable[str], source: str, first_number: int = 1) -> list[tuple[bytes, bytes]]:
    """Turn "left right" lines into pairs of bytes; `source` and the line's number stand in errors."""
    merges = []
    for number, line in enumerate(lines, first_number):
        parts = line.rstrip("\r").split(" ")
        if parts == [""]:
            continue
        if len(parts) != 2 or not all(parts):
            raise ValueError(
                f"{source}, line {number}: expected two parts with one space between them, got {line!r:.100}"
            )
        merges.append((unspell(parts[0]), unspell(parts[1])))
    return merges


def vocab_text(tokens: Sequence[bytes | None]) -> str:
    """The content of a `vocab.json`: tokens in the order of their ids; None where there is none."""
    spelled = {spell(token): i for i, token in enumerate(tokens) if token is not None}
    return json.dumps(spelled, ensure_ascii=False) + "\n"


def merges_text(merges: Iterable[tuple[bytes, bytes]]) -> str:
    """The content of a `merges.txt`."""
    return "\n".join([HEADER, *(f"{spell(left)} {spell(right)}" for left, right in merges)]) + "\n"
