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
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from cs336_lib.atomic import begins_with, check_own, replacing
from cs336_lib.naming import LARGEST, check_whole
from cs336_lib.plain import whole_ids

MAGIC = b"CS336TOK"
VERSION = 2
_VERSIONS = (1, 2)  # the first had no hash of the header
HEADER_BYTES = 4096
LARGEST_VOCABULARY = 1 << 32
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
        """The first 4,096 bytes of the file.

        Raises:
            ValueError: the texts in it are too long for them.
        """
        start = MAGIC + VERSION.to_bytes(4, "little")
        said = {**asdict(self), _OWN_HASH: self.digest()}
        found = (start + json.dumps(said, indent=1).encode()).ljust(HEADER_BYTES - 1) + b"\n"
        if len(found) > HEADER_BYTES:
            longest = max(("tokenizer_sha256", "source_sha256"), key=lambda name: len(getattr(self, name)))
            raise ValueError(
                f"{longest} is text of {len(getattr(self, longest)):,} characters, too long for a header of "
                f"{HEADER_BYTES:,} bytes; give a hash"
            )
        return found

    def digest(self) -> str:
        """Hash of all that the header says."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()

    @classmethod
    def checked(cls, vocab_size: int, tokenizer_sha256: str, source_sha256: str = "", source_bytes: int = 0) -> Header:
        """Make a header from what is known before there are ids; it can be written and read again.

        Raises:
            TypeError: a value is of another kind.
            ValueError: one is out of its range, or too long.
        """
        vocab_size = check_whole("vocab_size", vocab_size, most=LARGEST_VOCABULARY)
        source_bytes = check_whole("source_bytes", source_bytes)
        for name, text in (("tokenizer_sha256", tokenizer_sha256), ("source_sha256", source_sha256)):
            if not isinstance(text, str):
                raise TypeError(f"{name} must be text, got {text!r:.60} of type {type(text).__name__}")
        about = str(tokenizer_sha256), str(source_sha256), source_bytes
        header = cls(smallest_dtype(vocab_size).name, LARGEST, vocab_size, *about, payload_sha256="0" * 64)
        header.to_bytes()  # with the longest numbers that are to come
        return replace(header, count=0)


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
        chunks: arrays of ids, in order, each of shape (any,); rows of whole numbers are taken as such.
        vocab_size: every id must be below it; decides the dtype. At most 2**32.
        tokenizer_sha256: the tokenizer's fingerprint.
        source_sha256: hash of the text, if there is one.
        source_bytes: its size.

    Returns:
        The header that was written.

    Raises:
        TokenFileError: an id is outside the vocabulary.
        TypeError: a chunk is no flat row of whole numbers, or another argument is of another kind than it should be.
        ValueError: an argument is out of its range.
        FileExistsError: the file is there and is no token file.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     header = write_token_file(
    ...         Path(folder) / "three.tokens", [np.array([5, 6]), np.array([7])], vocab_size=10, tokenizer_sha256="ab12"
    ...     )
    >>> header.count, header.dtype
    (3, 'uint16')
    """
    about: dict[str, Any] = {"tokenizer_sha256": tokenizer_sha256, "source_sha256": source_sha256}
    about["source_bytes"] = source_bytes
    Header.checked(vocab_size, **about)
    with replacing(path, check=check_own_tokens) as file:
        return stream_token_file(file, chunks, vocab_size=vocab_size, **about)


def stream_token_file(file: BinaryIO, chunks: Iterable[np.ndarray], *, vocab_size: int, **about: Any) -> Header:
    """Write a token file to an open, empty, seekable file.

    Args:
        file: where to write.
        chunks: arrays of ids, in order.
        vocab_size: every id must be below it.
        about: the other fields of `Header` that the ids don't tell.
    """
    header = Header.checked(vocab_size, **about)
    count, digest = write_ids(file, chunks, header.vocab_size)
    header = replace(header, count=count, payload_sha256=digest)
    write_header(file, header)
    return header


def write_ids(file: BinaryIO, chunks: Iterable[np.ndarray], vocab_size: int) -> tuple[int, str]:
    """Write the ids of a token file, and leave room before them for the header that `write_header` puts there.

    Returns:
        How many ids there are, and the SHA-256 of their bytes.

    Raises:
        TokenFileError: an id is outside the vocabulary.
        TypeError: a chunk is no flat row of whole numbers.
    """
    dtype, digest, count = smallest_dtype(vocab_size), hashlib.sha256(), 0
    file.write(bytes(HEADER_BYTES))
    for number, chunk in enumerate(chunks):
        ids = flat_ids(chunk, f"chunks[{number}]")
        check_ids(ids, vocab_size)
        stored = np.ascontiguousarray(ids, dtype=dtype)
        file.write(stored.data)
        digest.update(stored.data)
        count += len(stored)
    return count, digest.hexdigest()


def write_header(file: BinaryIO, header: Header) -> None:
    """Write the header at the start of a file."""
    file.seek(0)
    file.write(header.to_bytes())


def flat_ids(ids: Any, what: str) -> np.ndarray:
    """Return a row of ids as an array of whole numbers.

    Raises:
        TypeError: it is none; nothing is rounded, and no rows are joined.
    """
    found = whole_ids(ids, what)
    if found.ndim != 1:
        raise TypeError(f"{what} must be a flat row of ids, got an array of shape {found.shape}")
    return found


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
