"""`TokenFile`: ids on disk that say what they are.

    bytes 0-7       b"CS336TOK"
    bytes 8-11      version of this format, little-endian
    bytes 12-4095   a JSON object, padded with spaces: what `Header` holds
    then            the ids, little-endian, nothing behind them

The header is readable with `head -c 4096`, the ids are mapped into memory and read only where they are used. A file
that is cut short, has bytes too many, was made by another tokenizer or is something else altogether is refused with
its name and the way out. A plain `.npy` or a raw file of ids says less about itself, so the caller must: it opens only
with its dtype stated. (Reading a `.npy` as raw ids trains on its header; reading uint16 as int32 trains on noise.
Neither fails by itself.)
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from cs336_lib.data.atomic import replacing

MAGIC = b"CS336TOK"
VERSION = 1
HEADER_BYTES = 4096
DTYPES = ("uint16", "uint32")
_SCAN = 1 << 24  # ids looked at in one go when a maximum is needed


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
        return (start + json.dumps(asdict(self), indent=1).encode()).ljust(HEADER_BYTES - 1) + b"\n"


def smallest_dtype(vocab_size: int) -> np.dtype:
    """uint16 when all ids fit, else uint32.

    >>> smallest_dtype(65_536), smallest_dtype(65_537)
    (dtype('uint16'), dtype('uint32'))
    """
    return np.dtype("<u2") if vocab_size <= 1 << 16 else np.dtype("<u4")


class TokenFile:
    """Ids on disk, mapped into memory, with what is known about them.

    Attributes:
        path: the file.
        ids: read-only array of shape (count,).
        vocab_size: every id is below it; None if nobody said (a raw file opened without one).
        header: what the file says about itself; None for a plain `.npy` or raw file.
    """

    def __init__(self, path: Path, ids: np.ndarray, vocab_size: int | None, header: Header | None) -> None:
        self.path, self.ids, self.vocab_size, self.header = path, ids, vocab_size, header

    @classmethod
    def open(
        cls, path: str | Path, *, tokenizer: Any = None, vocab_size: int | None = None, dtype: Any = None
    ) -> TokenFile:
        """Open a file of ids.

        Args:
            path: a token file; or a `.npy` or raw file of ids, for which `dtype` is required. tokenizer: if given, the
            file must have been made by it (compared by `fingerprint`). vocab_size: if given (the model's, say), no id
            may reach it. Costs a pass over a file that doesn't state its own. dtype: for a file that doesn't say; if
            the file does say, it must agree.

        Raises:
            FileNotFoundError: there is no such file.
            TokenFileError: a ValueError that names the file, what is wrong with it and what to do.

        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "three.tokens"
        ...     _ = write_token_file(path, [np.array([5, 6, 7])], vocab_size=10, tokenizer_sha256="ab12")
        ...     tokens = TokenFile.open(path, vocab_size=10)
        >>> len(tokens), tokens.dtype, tokens.ids[1:]
        (3, dtype('uint16'), memmap([6, 7], dtype=uint16))
        """
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f"no file {str(path)!r}; `encode_file` makes token files")
        with path.open("rb") as file:
            start = file.read(12)
        if start[:8] == MAGIC:
            opened = cls._open_own(path, start, dtype)
        else:
            opened = cls._open_plain(path, start, vocab_size, dtype)
        opened._check(tokenizer, vocab_size)
        return opened

    @classmethod
    def _open_own(cls, path: Path, start: bytes, dtype: Any) -> TokenFile:
        header = read_header(path, start)
        size, expected = path.stat().st_size, HEADER_BYTES + header.count * np.dtype(header.dtype).itemsize
        if size != expected:
            what = "cut short" if size < expected else "longer than it says"
            raise TokenFileError(
                f"{path} is {what}: {size:,} bytes, and its header promises {expected:,}; delete it and encode again"
            )
        if dtype is not None and np.dtype(dtype) != np.dtype(header.dtype):
            raise TokenFileError(f"{path} holds {header.dtype}, not {np.dtype(dtype)}; leave dtype out, the file knows")
        return cls(path, _map(path, header.dtype, HEADER_BYTES), header.vocab_size, header)

    @classmethod
    def _open_plain(cls, path: Path, start: bytes, vocab_size: int | None, dtype: Any) -> TokenFile:
        is_npy = start[:6] == b"\x93NUMPY"
        kind = "a .npy array" if is_npy else "no token file (it does not begin with CS336TOK)"
        if dtype is None:
            raise TokenFileError(
                f"{path} is {kind}: encode the text with `encode_file`, or, if it does hold plain ids, state their "
                'type: TokenFile.open(path, dtype="uint16")'
            )
        wanted = np.dtype(dtype)
        if wanted.kind not in "ui":
            raise TokenFileError(f"dtype={wanted} for {path}: ids are integers, as uint16, uint32, int32 or int64")
        if is_npy:
            ids = np.load(path, mmap_mode="r", allow_pickle=False)
            if ids.dtype != wanted or ids.ndim != 1:
                raise TokenFileError(f"{path} holds {ids.dtype} of shape {ids.shape}, not a flat array of {wanted}")
        else:
            size = path.stat().st_size
            if size % wanted.itemsize:
                raise TokenFileError(f"{path} has {size:,} bytes, which is no whole number of {wanted} ids")
            ids = _map(path, wanted, 0)
        return cls(path, ids, vocab_size, None)

    def _check(self, tokenizer: Any, vocab_size: int | None) -> None:
        if tokenizer is not None:
            if self.header is None:
                raise TokenFileError(f"{self.path} does not say which tokenizer made it; open it without `tokenizer`")
            if tokenizer.fingerprint != self.header.tokenizer_sha256:
                raise TokenFileError(
                    f"{self.path} was made by tokenizer {self.header.tokenizer_sha256[:12]}..., not by "
                    f"{tokenizer.fingerprint[:12]}...; open it with that one or encode the text again"
                )
        if vocab_size is None:
            return
        if self.header is not None:
            if self.header.vocab_size > vocab_size:
                raise TokenFileError(
                    f"{self.path} has ids for a vocabulary of {self.header.vocab_size:,}, but vocab_size={vocab_size:,}; "
                    "give the model the tokenizer's vocabulary size"
                )
        elif len(self) and not 0 <= (worst := _extreme(self.ids)) < vocab_size:
            raise TokenFileError(
                f"{self.path} has id {worst}, outside a vocabulary of {vocab_size:,}; is the dtype right?"
            )

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def dtype(self) -> np.dtype:
        """The ids' type on disk."""
        return self.ids.dtype

    def verify(self) -> None:
        """Read the whole file and compare its hash with the header's.

        Raises:
            TokenFileError: the ids were altered, or the file carries no hash.
        """
        if self.header is None:
            raise TokenFileError(f"{self.path} carries no hash to verify; only token files do")
        digest = hashlib.sha256()
        for at in range(0, len(self), _SCAN):
            digest.update(self.ids[at : at + _SCAN].data)
        if digest.hexdigest() != self.header.payload_sha256:
            raise TokenFileError(f"{self.path}: the ids do not match their hash; delete it and encode again")

    def __repr__(self) -> str:
        vocabulary = "unknown" if self.vocab_size is None else f"{self.vocab_size:,}"
        return f"TokenFile({str(self.path)!r}: {len(self):,} ids, {self.dtype}, vocabulary {vocabulary})"


def read_header(path: Path, start: bytes) -> Header:
    """Read and check the header of a file that begins with `MAGIC`."""
    version = int.from_bytes(start[8:12], "little")
    with path.open("rb") as file:
        raw = file.read(HEADER_BYTES)
    if len(raw) < HEADER_BYTES:
        raise TokenFileError(f"{path} is cut short inside its header; delete it and encode again")
    if version != VERSION:
        raise TokenFileError(
            f"{path} has format version {version}, this library reads {VERSION}; encode the text again"
        )
    try:
        found = json.loads(raw[12:])
        header = Header(**found)
        valid = header.dtype in DTYPES and all(type(found[f.name]).__name__ == f.type for f in fields(Header))
    except (ValueError, TypeError):
        valid = False
    if not valid or header.count < 0 or header.vocab_size < 0:
        raise TokenFileError(f"{path} has a damaged header; delete it and encode again")
    return header


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
        path: the file; replaced if it exists.
        chunks: arrays of ids, in order.
        vocab_size: every id must be below it; decides the dtype.
        tokenizer_sha256: the tokenizer's fingerprint.
        source_sha256: hash of the text, if there is one.
        source_bytes: its size.

    Raises:
        TokenFileError: an id is outside the vocabulary.
    """
    with replacing(path) as file:
        return stream_token_file(
            file,
            chunks,
            vocab_size=vocab_size,
            tokenizer_sha256=tokenizer_sha256,
            source_sha256=source_sha256,
            source_bytes=source_bytes,
        )


def stream_token_file(file: BinaryIO, chunks: Iterable[np.ndarray], *, vocab_size: int, **about: Any) -> Header:
    """Write a token file to an open, empty, seekable file; the header last, when everything in it is known."""
    dtype, digest, count = smallest_dtype(vocab_size), hashlib.sha256(), 0
    file.write(bytes(HEADER_BYTES))
    for chunk in chunks:
        check_ids(chunk, vocab_size)
        stored = np.ascontiguousarray(chunk, dtype=dtype)
        file.write(stored.data)
        digest.update(stored.data)
        count += len(stored)
    header = Header(dtype.name, count, vocab_size, payload_sha256=digest.hexdigest(), **about)
    file.seek(0)
    file.write(header.to_bytes())
    return header


def check_ids(ids: np.ndarray, vocab_size: int) -> None:
    """Refuse ids outside the vocabulary.

    Raises:
        TokenFileError: naming the worst id.
    """
    if len(ids) and not 0 <= (worst := _extreme(ids)) < vocab_size:
        raise TokenFileError(f"id {worst} is outside the vocabulary of {vocab_size:,}")


def _extreme(ids: np.ndarray) -> int:
    """The least id if it is negative, else the greatest, in bounded memory."""
    low, high = 0, 0
    for at in range(0, len(ids), _SCAN):
        part = ids[at : at + _SCAN]
        low, high = min(low, int(part.min())), max(high, int(part.max()))
    return low if low < 0 else high


def _map(path: Path, dtype: Any, offset: int) -> np.ndarray:
    """Map ids into memory; an empty range can't be mapped, so it becomes an empty array."""
    if path.stat().st_size <= offset:
        return np.empty(0, dtype=dtype)
    return np.memmap(path, dtype=dtype, mode="r", offset=offset)
