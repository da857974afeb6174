"""`TokenFile`: ids on disk that say what they are, mapped into memory and read only where they are used.

A file that is cut short, has bytes too many, was made by another tokenizer or is something else altogether is refused
by its name, with the way out. A plain `.npy` or a raw file of ids says less about itself, so the caller must: it opens
only with its dtype stated. (Reading a `.npy` as raw ids trains on its header; reading uint16 as int32 trains on noise.
Neither fails by itself.) `token_format` has the layout; chapter 3 tells the story.
"""

from __future__ import annotations

import hashlib
import os
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from cs336_lib.data.token_format import (
    HEADER_BYTES,
    MAGIC,
    SCAN,
    Header,
    TokenFileError,
    check_ids,
    read_header,
    write_token_file,
)
from cs336_lib.naming import check_whole
from cs336_lib.native.cache import read_cached, write_cached
from cs336_lib.textfile import foreign_kind, is_zip

__all__ = ["TokenFile", "TokenFileError", "Header", "write_token_file"]

_NUMPY = b"\x93NUMPY"
_NPY_VERSIONS = ((1, 0), (2, 0), (3, 0))
_LARGE = 1 << 26
"""Bytes of ids from which on it is noted on disk that a file was found good; smaller ones are read in no time."""
_VERIFIED: set[str] = set()
_OLD_PICKLE = rb"\x80[\x02\x03](?:\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19\.|c[a-z_.]+\n\w+\n|[\])}]q\x00)"
"""torch's own number, the name of what is made, or an empty container that is noted down."""
_TEXT = re.compile(rb"[\t\n\r -~]{64,}")
"""Letters of ASCII throughout; ids of two bytes or more have others after a few, the high bytes of common ones."""
_LLM_C = (20240520, 20240801)
"""What the headers of llm.c's and modded-nanogpt's files of ids begin with: 256 numbers of 4 bytes."""


class TokenFile:
    """Ids on disk, mapped into memory, with what is known about them.

    Attributes:
        path: the file.
        ids: read-only array of shape (number of tokens,).
        vocab_size: every id is below it; None if nobody said (a plain file opened without one).
        header: what the file says about itself; None for a plain `.npy` or raw file.
    """

    def __init__(self, path: Path, ids: np.ndarray, vocab_size: int | None, header: Header | None) -> None:
        self.path, self.ids, self.vocab_size, self.header = path, ids, vocab_size, header

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        tokenizer: Any = None,
        vocab_size: int | None = None,
        dtype: Any = None,
        check: bool = True,
    ) -> TokenFile:
        """Open a file of ids.

        Args:
            path: a token file; or a `.npy` or raw file of ids, for which `dtype` is required.
            tokenizer: if given, the file must have been made by it (compared by `fingerprint`).
            vocab_size: if given (the model's, say), no id may reach it.
            dtype: of the ids in a file that doesn't say; if the file does say, it must agree.
            check: read the whole file once, at about a GB/s, and refuse ids that were altered or lie outside the
                vocabulary: none shall turn up in the middle of a training run. A large file that was found good is not
                read again until it changes. False trusts the file.

        Returns:
            The open file; its ids are read when they are used.

        Raises:
            FileNotFoundError: there is no such file.
            TokenFileError: a ValueError that names the file, what is wrong with it and what to do.

        >>> import tempfile
        >>> from cs336_lib.data.token_format import write_token_file
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "three.tokens"
        ...     _ = write_token_file(path, [np.array([5, 6, 7])], vocab_size=10, tokenizer_sha256="ab12")
        ...     tokens = TokenFile.open(path, vocab_size=10)
        >>> len(tokens), tokens.dtype, tokens.vocab_size, tokens.ids[1:].tolist()
        (3, dtype('uint16'), 10, [6, 7])
        """
        path = Path(path)
        if tokenizer is not None and not hasattr(tokenizer, "fingerprint"):
            raise TypeError(f"tokenizer must be a cs336_lib.bpe.Tokenizer, got {tokenizer!r}")
        if vocab_size is not None:
            vocab_size = check_whole("vocab_size", vocab_size)
        if not path.is_file():
            raise FileNotFoundError(f"no file {str(path)!r}; `encode_file` makes token files")
        with path.open("rb") as file:
            start = file.read(512)
        opened = (
            cls._open_own(path, dtype) if start.startswith(MAGIC) else cls._open_plain(path, start, vocab_size, dtype)
        )
        opened._check_tokenizer(tokenizer)
        opened._check_vocabulary(vocab_size, check)
        return opened

    @classmethod
    def _open_own(cls, path: Path, dtype: Any) -> TokenFile:
        header = read_header(path)
        size, expected = path.stat().st_size, HEADER_BYTES + header.count * np.dtype(header.dtype).itemsize
        if size != expected:
            what = "cut short" if size < expected else "longer than it says"
            raise TokenFileError(
                f"{path} is {what}: {size:,} bytes, and its header promises {expected:,}; delete it and encode the "
                "text again"
            )
        if dtype is not None and np.dtype(dtype) != np.dtype(header.dtype):
            raise TokenFileError(f"{path} holds {header.dtype}, not {np.dtype(dtype)}; leave dtype out, the file knows")
        stored = np.dtype(f"<u{np.dtype(header.dtype).itemsize}")
        return cls(path, _map(path, stored, HEADER_BYTES), header.vocab_size, header)

    @classmethod
    def _open_plain(cls, path: Path, start: bytes, vocab_size: int | None, dtype: Any) -> TokenFile:
        is_npy = start.startswith(_NUMPY)
        if not is_npy and (what := _foreign(start, path.stat().st_size)):
            raise TokenFileError(f"{path} is {what}")
        if dtype is None:
            kind = "a .npy array" if is_npy else f"no token file (it does not begin with {MAGIC.decode()})"
            raise TokenFileError(
                f"{path} is {kind}: encode the text with `encode_file`, or, if it does hold plain ids, state their "
                'type: TokenFile.open(path, dtype="uint16")'
            )
        try:
            wanted = np.dtype(dtype)
        except TypeError:
            raise TokenFileError(f'dtype={dtype!r} is no type of numpy; write "uint16", "uint32" or another') from None
        if wanted.kind not in "ui":
            raise TokenFileError(f"dtype={wanted} for {path}: ids are integers, as uint16, uint32, int32 or int64")
        if wanted.itemsize > 1 and _TEXT.fullmatch(start):
            warnings.warn(f"{path} looks like text, not ids: encode text with `encode_file`", stacklevel=3)
        return cls(path, _map_npy(path, wanted) if is_npy else _map_raw(path, wanted), vocab_size, None)

    def _check_tokenizer(self, tokenizer: Any) -> None:
        if tokenizer is None:
            return
        if self.header is None:
            raise TokenFileError(f"{self.path} does not say which tokenizer made it; open it without `tokenizer`")
        if tokenizer.fingerprint != self.header.tokenizer_sha256:
            raise TokenFileError(
                f"{self.path} was made by tokenizer {self.header.tokenizer_sha256[:12]}..., not by "
                f"{tokenizer.fingerprint[:12]}...; open it with that one or encode the text again"
            )

    def _check_vocabulary(self, vocab_size: int | None, check: bool) -> None:
        if self.header is not None and vocab_size is not None and self.header.vocab_size > vocab_size:
            raise TokenFileError(
                f"{self.path} has ids for a vocabulary of {self.header.vocab_size:,}, but vocab_size={vocab_size:,}; "
                "give the model the tokenizer's vocabulary size"
            )
        if not check or self.vocab_size is None:
            return
        note = _note(self.path, self.header)
        if note in _VERIFIED or (note and read_cached(note) is not None):
            return
        try:
            check_ids(self.ids, self.vocab_size, str(self.path))
            if self.header is not None:
                self.verify()
        except TokenFileError as error:
            if "do not match" in str(error):
                raise
            why = (
                "is the dtype right?" if self.header is None else "it was altered: delete it and encode the text again"
            )
            raise TokenFileError(f"{error}; {why}") from None
        if note:
            _VERIFIED.add(note)
            if len(self) * self.dtype.itemsize >= _LARGE:
                write_cached(note, b"")

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
        for at in range(0, len(self), SCAN):
            digest.update(self.ids[at : at + SCAN].data)
        if digest.hexdigest() != self.header.payload_sha256:
            raise TokenFileError(f"{self.path}: the ids do not match their hash; delete it and encode the text again")

    def __repr__(self) -> str:
        vocabulary = "unknown" if self.vocab_size is None else f"{self.vocab_size:,}"
        return f"TokenFile({str(self.path)!r}: {len(self):,} ids, {self.dtype}, vocabulary {vocabulary})"


def _foreign(start: bytes, size: int) -> str:
    """What a file of that size is that begins so and can't be plain ids, and what to do; "" if it may be.

    Ids may begin with any few bytes, so a mark counts only with a header behind it that makes sense.
    """
    if is_zip(start):
        return "a zip archive, as torch.save and numpy.savez write; save the array itself with numpy.save"
    if _is_pickle(start, size):
        return "a pickle, as older versions of torch.save write; load it where you trust it, and numpy.save the array"
    if start.startswith(b"MMIDIDX\0\0"):
        return "the index of a Megatron dataset; the ids are in the .bin beside it"
    header = int.from_bytes(start[:8], "little")
    if start[8:10] in (b'{"', b"{}") and header + 8 <= size and b"\0" not in start[8 : 8 + header]:
        return "a safetensors file; take the array out of it and save it with numpy.save"
    if int.from_bytes(start[:4], "little") in _LLM_C and not any(start[12:]):
        return (
            "a file of llm.c or modded-nanogpt, whose first 1,024 bytes are no ids; take them off: "
            "numpy.save(OUT, numpy.fromfile(PATH, DTYPE, offset=1024)), with uint16, or uint32 for Llama 3"
        )
    return foreign_kind(start)


def _is_pickle(start: bytes, size: int) -> bool:
    """Whether a file begins with the mark of a pickle, and with what a pickle of an array or a container goes on."""
    framed = re.match(rb"\x80[\x04\x05]\x95(.{8})", start, re.DOTALL)
    return (framed is not None and 0 < int.from_bytes(framed[1], "little") <= size - 11) or re.match(
        _OLD_PICKLE, start, re.DOTALL
    ) is not None


def _note(path: Path, header: Header | None) -> str:
    """The name under which it is noted that a file was found good: another one when the file changes."""
    if header is None:
        return ""
    status = path.stat()
    about = [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, header.digest()]
    identity = os.fsencode(path.resolve()) + repr(about).encode()
    return f"verified-{hashlib.sha256(identity).hexdigest()[:24]}.bin"


def _map(path: Path, dtype: np.dtype, offset: int) -> np.ndarray:
    """Map ids into memory; an empty range can't be mapped, so it becomes an empty array."""
    if path.stat().st_size <= offset:
        return np.empty(0, dtype=dtype)
    return np.asarray(np.memmap(path, dtype=dtype, mode="r", offset=offset))


def _map_raw(path: Path, dtype: np.dtype) -> np.ndarray:
    size = path.stat().st_size
    if size % dtype.itemsize:
        raise TokenFileError(f"{path} has {size:,} bytes, which is no whole number of {dtype} ids; is the dtype right?")
    return _map(path, dtype, 0)


def _map_npy(path: Path, dtype: np.dtype) -> np.ndarray:
    try:
        with path.open("rb") as file:
            version = np.lib.format.read_magic(file)
            if version not in _NPY_VERSIONS:
                raise ValueError(f"format version {version[0]}.{version[1]}, not 1.0, 2.0 or 3.0")
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, _, stored = read(file)
            offset = file.tell()
    except Exception as error:  # numpy reads the header as Python, and what damage makes of it raises many things
        raise TokenFileError(f"{path} has a damaged .npy header ({error}); save the array again") from None
    if stored != dtype or len(shape) != 1:
        raise TokenFileError(f"{path} holds {stored} of shape {shape}, not a flat array of {dtype}")
    size, expected = path.stat().st_size, offset + shape[0] * dtype.itemsize
    if size != expected:
        raise TokenFileError(
            f"{path} has {size:,} bytes, and its header promises {expected:,}; it is damaged: save the array again"
        )
    return _map(path, dtype, offset)
