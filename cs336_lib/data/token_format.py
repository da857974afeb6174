"""How ids lie on disk, and how they get there.

::

    bytes 0-7       b"CS336TOK"
    bytes 8-11      version of this format, little-endian
    bytes 12-4095   a JSON object, padded with spaces: what `Header` holds
    then            the ids, little-endian, nothing behind them

The header is readable with `head -c 4096` and holds a hash of what it says. It is written last, when everything in it
is known, so a file that was never finished has none. `tokens` opens such files; `encode` makes them from text
(chapter 3).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from cs336_lib.atomic import begins_with, check_own, replacing

MAGIC = b"CS336TOK"
VERSION = 2
_VERSIONS = (1, 2)  # the first had no hash of the header
HEADER_BYTES = 4096
DTYPES = ("uint16", "uint32")
_OWN_HASH = "header_sha256"
SCAN = 1 << 23  # ids looked at in one go


class TokenFileError(ValueError):
    """A file of ids that is not what it should be; the message says what to do."""


@dataclass(frozen=True)
class Header:
    """What a token file says about itself.

    Attributes:
        dtype: "uint16" or "uint32".
        count: number of ids.
        vocab_size: every id is below it.
        tokenizer_sha256: the tokenizer's fingerprint.
        source_sha256: hash of the text file that was encoded.
        source_bytes: size of that text.
        payload_sha256: hash of the ids as stored.
    """

    dtype: str
    count: int
    vocab_size: int
    tokenizer_sha256: str
    source_sha256: str
    source_bytes: int
    payload_sha256: str

    def to_bytes(self) -> bytes:
        """The first 4,096 bytes of the file."""
        start = MAGIC + VERSION.to_bytes(4, "little")
        said = {**asdict(self), _OWN_HASH: self.digest()}
        return (start + json.dumps(said, indent=1).encode()).ljust(HEADER_BYTES - 1) + b"\n"

    def digest(self) -> str:
        """Hash of all that the header says."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()


def smallest_dtype(vocab_size: int) -> np.dtype:
    """The type that ids are stored in: uint16 when all fit, else uint32.

    >>> smallest_dtype(65_536), smallest_dtype(65_537)
    (dtype('uint16'), dtype('uint32'))
    """
    return np.dtype("<u2") if vocab_size <= 1 << 16 else np.dtype("<u4")


def read_header(path: Path) -> Header:
    """Read and check the header of a file that begins with `MAGIC`.

    Raises:
        TokenFileError: it is damaged, cut short, or of another version.
    """
    with path.open("rb") as file:
        raw = file.read(HEADER_BYTES)
    version = int.from_bytes(raw[8:12], "little")
    if len(raw) < HEADER_BYTES:
        raise TokenFileError(f"{path} is cut short inside its header; delete it and encode the text again")
    if version not in _VERSIONS:
        raise TokenFileError(
            f"{path} has format version {version}, and this library reads up to {VERSION}; encode the text again"
        )
    try:
        found = json.loads(raw[12:])
        own = found.pop(_OWN_HASH, None)
        header = Header(**found)
        sound = header.dtype in DTYPES and all(type(found[f.name]).__name__ == f.type for f in fields(Header))
        sound = sound and own == (header.digest() if version > 1 else None)
    except (ValueError, TypeError, AttributeError, RecursionError):
        sound = False
    if not sound or header.count < 0 or header.vocab_size < 0:
        raise TokenFileError(f"{path} has a damaged header; delete it and encode the text again")
    return header


def check_own_tokens(path: Path) -> None:
    """Raise FileExistsError if a file is there that is no token file: one in its place would destroy it."""
    check_own(path, begins_with(MAGIC), f"no token file (it does not begin with {MAGIC.decode()})")


def write_token_file(
    path: str | Path,
    chunks: Iterable[np.ndarray],
    *,
    vocab_size: int,
    tokenizer_sha256: str,
    source_sha256: str = "",
    source_bytes: int = 0,
) -> Header:
    """Write ids to a token file; it appears under its name only when it is complete.

    Args:
        path: the file; a token file that is there is replaced.
        chunks: arrays of ids, in order, each of shape (any,).
        vocab_size: every id must be below it; decides the dtype.
        tokenizer_sha256: the tokenizer's fingerprint.
        source_sha256: hash of the text, if there is one.
        source_bytes: its size.

    Returns:
        The header that was written.

    Raises:
        TokenFileError: an id is outside the vocabulary.
        FileExistsError: the file is there and is no token file.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     header = write_token_file(
    ...         Path(folder) / "three.tokens", [np.array([5, 6]), np.array([7])], vocab_size=10, tokenizer_sha256="ab12"
    ...     )
    >>> header.count, header.dtype
    (3, 'uint16')
    """
    about = {"tokenizer_sha256": tokenizer_sha256, "source_sha256": source_sha256, "source_bytes": source_bytes}
    check_own_tokens(Path(path))
    with replacing(path) as file:
        return stream_token_file(file, chunks, vocab_size=vocab_size, **about)


def stream_token_file(file: BinaryIO, chunks: Iterable[np.ndarray], *, vocab_size: int, **about: Any) -> Header:
    """Write a token file to an open, empty, seekable file.

    Args:
        file: where to write.
        chunks: arrays of ids, in order.
        vocab_size: every id must be below it.
        about: the other fields of `Header` that the ids don't tell.
    """
    count, digest = write_ids(file, chunks, vocab_size)
    header = Header(smallest_dtype(vocab_size).name, count, vocab_size, payload_sha256=digest, **about)
    write_header(file, header)
    return header


def write_ids(file: BinaryIO, chunks: Iterable[np.ndarray], vocab_size: int) -> tuple[int, str]:
    """Write the ids of a token file, and leave room before them for the header that `write_header` puts there.

    Returns:
        How many ids there are, and the SHA-256 of their bytes.

    Raises:
        TokenFileError: an id is outside the vocabulary.
    """
    dtype, digest, count = smallest_dtype(vocab_size), hashlib.sha256(), 0
    file.write(bytes(HEADER_BYTES))
    for chunk in chunks:
        check_ids(chunk, vocab_size)
        stored = np.ascontiguousarray(chunk, dtype=dtype)
        file.write(stored.data)
        digest.update(stored.data)
        count += len(stored)
    return count, digest.hexdigest()


def write_header(file: BinaryIO, header: Header) -> None:
    """Write the header at the start of a file."""
    file.seek(0)
    file.write(header.to_bytes())


def check_ids(ids: np.ndarray, vocab_size: int, what: str = "the array") -> None:
    """Refuse ids outside the vocabulary.

    Args:
        ids: integers of shape (any,); memory stays bounded if they are mapped from a file.
        vocab_size: ids are from 0 to vocab_size - 1.
        what: names the ids in the message.

    Raises:
        TokenFileError: naming the first bad id and its place.

    >>> check_ids(np.array([3, 9, 4]), 9)
    Traceback (most recent call last):
    cs336_lib.data.token_format.TokenFileError: the array has id 9 at place 1, outside a vocabulary of 9
    """
    if ids.dtype.kind == "u" and vocab_size > np.iinfo(ids.dtype).max:
        return
    # Read as unsigned, an id below 0 is a large one, so that a single look finds both kinds; where a vocabulary reaches
    # that far, it takes two.
    signed = ids.dtype.kind == "i"
    one_look = signed and vocab_size <= 1 << (8 * ids.dtype.itemsize - 1)
    unsigned = ids.dtype.str.replace("i", "u")
    for at in range(0, len(ids), SCAN):
        part = ids[at : at + SCAN]
        if (part.view(unsigned) if one_look else part).max() >= vocab_size or (
            signed and not one_look and part.min() < 0
        ):
            place = int(np.argmax((part >= vocab_size) | (part < 0)))
            raise TokenFileError(
                f"{what} has id {part[place]} at place {at + place:,}, outside a vocabulary of {vocab_size:,}"
            )
