"""Parts: what `encode` cuts its work into, and the files of those that can't go into the token file at once.

    corpus.tokens.parts/plan.json     which text and which tokenizer the parts belong to
    corpus.tokens.parts/3f2a.joined   the token file in the making, to which `joining` adds each part in its turn
    corpus.tokens.parts/3f2a.log      how far it has come (`progress_log`)
    corpus.tokens.parts/00007-9c1e.ids  a part of its own: start, stop, count, check sums of text and ids, ids
    corpus.tokens.parts/tokenizer     for workers outside of this process

A thread hands its part over in memory, unless a slower one before it keeps it waiting; workers elsewhere put all of
theirs down. Each part's file says of which text it is by a check sum of it, since dates lie: a copy may keep that of an
older file. Where parts lie follows from the text alone. A file takes its name only when it is complete, so whoever is
killed at any moment loses at most the parts that were in hand, and nothing that is half done passes for whole. A hash
of the plan is in each part's name: workers of a run that was killed may go on for a while, and write parts of an
earlier tokenizer beside those of the next run.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import pickle
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from cs336_lib.atomic import replacing
from cs336_lib.bpe.cutting.cuts import FileChangedError, fingerprint
from cs336_lib.bpe.cutting.pattern import PAT
from cs336_lib.data.pieces import bounds, cuts, read_fully
from cs336_lib.data.token_format import TokenFileError, check_ids, flat_ids, smallest_dtype
from cs336_lib.workshop import on_shared_storage

END_OF_TEXT = "<|endoftext|>"
TOKENIZER = "tokenizer"
_MAGIC = b"CS336PT3"
_HEADER_BYTES = 64
_SUM_BYTES = 4
_BLOCK = 1 << 20
_NO_TEXT = "the text was removed while it was encoded"
_NO_FOLDER = "somebody else has removed the folder of parts; run encode_file again"


class UnknownSpecialError(ValueError):
    """A text holds a special token that its tokenizer does not know."""


@dataclass(frozen=True)
class Plan:
    """What parts belong to; those of another plan are of no use."""

    source_bytes: int
    source_mtime_ns: int
    tokenizer: str
    vocab_size: int
    part_bytes: int
    version: int = 4

    @cached_property
    def key(self) -> str:
        """A hash of all that it says."""
        return hashlib.sha256(json.dumps(asdict(self)).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Part:
    """A finished part.

    Attributes:
        index: which it is.
        start: where it begins in the text.
        stop: where it ends there.
        count: its number of ids.
        text_sum: check sum of its text, if it has a file.
        text: its text, if it has none.
        ids: its ids as they are stored, if it has none.
    """

    index: int
    start: int
    stop: int
    count: int
    text_sum: bytes = b""
    text: bytes | None = field(default=None, repr=False)
    ids: np.ndarray | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True)
class Job:
    """All that a worker needs to know, on whatever machine it is.

    Attributes:
        tokenizer: itself for threads; for workers elsewhere the hash of the file that holds it.
        text_path: absolute.
        folder: of the parts, absolute.
        plan: what they belong to.
    """

    tokenizer: Any
    text_path: Path
    folder: Path
    plan: Plan

    @property
    def parts(self) -> int:
        """How many parts there are."""
        return -(-self.plan.source_bytes // self.plan.part_bytes)

    def path(self, index: int) -> Path:
        """Where a part lies when it is finished."""
        return self.folder / f"{index:05}-{self.plan.key}.ids"

    @property
    def elsewhere(self) -> bool:
        """Whether workers are in other processes, or on other machines."""
        return isinstance(self.tokenizer, str)

    def check_unchanged(self, status: os.stat_result) -> None:
        """Refuse a text that is no longer the one that was planned for."""
        if fingerprint(status) != (self.plan.source_bytes, self.plan.source_mtime_ns):
            raise FileChangedError(
                f"{self.text_path} changed while it was encoded; run encode_file again when nothing writes to it"
            )


def put_down(tokenizer: Any, folder: Path) -> str:
    """Write a tokenizer where workers elsewhere find it, once and not with every part; returns its hash.

    A pickle can do anything, so a worker loads only the one whose hash came with its work.
    """
    pickled = pickle.dumps(tokenizer)
    with replacing(folder / TOKENIZER) as file:
        file.write(pickled)
    return hashlib.sha256(pickled).hexdigest()


@lru_cache(maxsize=2)
def _taken_up(path: Path, sha256: str) -> Any:
    """The tokenizer that `put_down` wrote for this worker."""
    with on_shared_storage(path):
        pickled = path.read_bytes()
    if hashlib.sha256(pickled).hexdigest() != sha256:
        raise RuntimeError(f"{path} is not the tokenizer that this work began with; run encode_file again")
    return pickle.loads(pickled)


def encode_part(job: Job, index: int) -> Part:
    """Encode one part and put it down, unless somebody has: what a worker elsewhere does.

    Args:
        job: what to encode.
        index: which part.

    Raises:
        FileNotFoundError, PermissionError: this worker can't reach the text or the folder.
        UnknownSpecialError: the part holds `<|endoftext|>`, and the tokenizer does not know it.
        FileChangedError: the text is not the one that was planned for.
        TokenFileError: the tokenizer gave an id outside its vocabulary.
        TypeError: it gave something else than a row of whole numbers.
    """
    tokenizer = _taken_up(job.folder / TOKENIZER, job.tokenizer) if job.elsewhere else job.tokenizer
    start, stop, text = _piece(job, tokenizer, index)
    part = finished_part(job, index)
    if part is not None and (part.start, part.stop, part.text_sum) == (start, stop, _text_sum(text)):
        return part
    return _put_down(job, index, start, stop, text, _ids(job, tokenizer, start, text))


def encode_part_here(job: Job, index: int, near: Callable[[int], bool]) -> Part:
    """Encode one part and hand it over, or put it down if its turn is not near: what a thread does.

    Args:
        job: what to encode.
        index: which part.
        near: says of a part whether it may wait for its turn in memory.

    Raises:
        what `encode_part` raises.
    """
    start, stop, text = _piece(job, job.tokenizer, index)
    ids = _ids(job, job.tokenizer, start, text)
    if near(index):
        return Part(index, start, stop, len(ids), text=text, ids=ids)
    return _put_down(job, index, start, stop, text, ids)


def _ids(job: Job, tokenizer: Any, start: int, text: bytes) -> np.ndarray:
    """The ids of a part's text, as they are stored."""
    if END_OF_TEXT not in tokenizer.special_tokens and END_OF_TEXT.encode() in text:
        raise UnknownSpecialError(
            f"{job.text_path} holds {END_OF_TEXT!r} (at byte {start + text.index(END_OF_TEXT.encode()):,}), but the "
            f"tokenizer does not have it as a special token; build it with special_tokens=[{END_OF_TEXT!r}], "
            f"at the command line: cs336 train-tokenizer --special-tokens {END_OF_TEXT!r}"
        )
    what = f"the encoding of {job.text_path}" + (f" from byte {start:,} on" if start else "")
    ids = flat_ids(tokenizer.encode_to_array(text), what) if text else np.empty(0, np.int32)
    check_ids(ids, job.plan.vocab_size, what)
    return np.array(ids, dtype=smallest_dtype(job.plan.vocab_size))  # a copy: the tokenizer may use its own again


def _put_down(job: Job, index: int, start: int, stop: int, text: bytes, ids: np.ndarray) -> Part:
    text_sum = _text_sum(text)
    numbers = np.array([start, stop, len(ids), zlib.crc32(ids.data)], dtype="<u8")
    head = _MAGIC + numbers.tobytes() + text_sum
    reached = on_shared_storage(job.path(index), "write") if job.elsewhere else _folder_is_there(job.folder)
    # Waiting for the disk with each part took a quarter of the time; its sums tell a part that a cut of power damaged.
    with reached, replacing(job.path(index), survives_power=False) as out:
        out.write((head + zlib.crc32(head).to_bytes(4, "little")).ljust(_HEADER_BYTES, b"\0"))
        out.write(ids.data)
    return Part(index, start, stop, len(ids), text_sum)


def _text_sum(text: bytes) -> bytes:
    # Against a text that has changed, not against one that somebody has made to look unchanged: so a quick sum will do.
    return zlib.crc32(text).to_bytes(_SUM_BYTES, "little")


def _piece(job: Job, tokenizer: Any, index: int) -> tuple[int, int, bytes]:
    """Where a part of the text begins and ends, and what it holds."""
    size, step = job.plan.source_bytes, job.plan.part_bytes
    text_is_there = on_shared_storage(job.text_path) if job.elsewhere else there(job.text_path, _NO_TEXT)
    with text_is_there, job.text_path.open("rb", buffering=0) as file:
        job.check_unchanged(os.fstat(file.fileno()))
        # END_OF_TEXT in any case, so that no cut hides one that the tokenizer does not know.
        at_words = getattr(tokenizer, "cuts_at_words", getattr(tokenizer, "pattern", None) == PAT)
        found = cuts(file, size, [*tokenizer.special_tokens, END_OF_TEXT], at_words)
        start, stop = bounds(found, size, index * step, min((index + 1) * step, size))
        file.seek(start)
        text = read_fully(file, stop - start)
        job.check_unchanged(os.fstat(file.fileno()))
    return start, stop, text


@contextmanager
def there(path: Path, gone: str) -> Iterator[None]:
    """Say what it means that a file which was there is not."""
    try:
        yield
    except FileNotFoundError as error:
        if str(error.filename) != str(path):
            raise
        raise FileNotFoundError(error.errno, gone, str(path)) from error


@contextmanager
def _folder_is_there(folder: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        if folder.is_dir():
            raise
        raise FileNotFoundError(errno.ENOENT, _NO_FOLDER, str(folder)) from error


def text_between(job: Job, start: int, stop: int) -> Iterator[bytes]:
    """The bytes of the text from `start` to `stop` in blocks; fewer where it ends before."""
    with there(job.text_path, _NO_TEXT), job.text_path.open("rb", buffering=0) as file:
        file.seek(start)
        yield from blocks(file, stop - start)


def blocks(file: BinaryIO, count: int) -> Iterator[bytes]:
    """The next bytes of a file in blocks of bounded size; fewer where it ends before."""
    while count > 0 and (block := file.read(min(count, _BLOCK))):
        yield block
        count -= len(block)


def kept_part(job: Job, tokenizer: Any, index: int) -> Part | None:
    """The part on disk if it is whole and of the text as it is now; otherwise it is removed."""
    part = finished_part(job, index)
    if part is None:
        return None
    start, stop, text = _piece(job, tokenizer, index)
    with suppress(TokenFileError):
        if (part.start, part.stop, part.text_sum) == (start, stop, _text_sum(text)):
            read_part(job, index)
            return part
    job.path(index).unlink(missing_ok=True)
    return None


def finished_part(job: Job, index: int) -> Part | None:
    """The part on disk, if it has its full length; `read_part` checks its ids."""
    try:
        with job.path(index).open("rb") as file:
            head = file.read(_HEADER_BYTES)
            size = os.fstat(file.fileno()).st_size
    except FileNotFoundError:
        return None
    if not _is_sound(head):
        return None
    start, stop, count, _ = _numbers(head)
    whole = _HEADER_BYTES + count * smallest_dtype(job.plan.vocab_size).itemsize
    at = len(_MAGIC) + 32
    return Part(index, start, stop, count, head[at : at + _SUM_BYTES]) if size == whole else None


def _is_sound(head: bytes) -> bool:
    """Whether the first bytes of a part are a header as it was written."""
    said = len(_MAGIC) + 32 + _SUM_BYTES
    written = zlib.crc32(head[:said]).to_bytes(4, "little")
    return (
        len(head) >= _HEADER_BYTES
        and head.startswith(_MAGIC)
        and head[said:_HEADER_BYTES] == written.ljust(_HEADER_BYTES - said, b"\0")
    )


def read_part(job: Job, index: int) -> np.ndarray:
    """The ids of a finished part.

    Raises:
        TokenFileError: the part was damaged; it is removed.
    """
    dtype = smallest_dtype(job.plan.vocab_size)
    raw = job.path(index).read_bytes()
    if _is_sound(raw[:_HEADER_BYTES]):
        _, _, count, crc = _numbers(raw)
        ids = np.frombuffer(raw, dtype, (len(raw) - _HEADER_BYTES) // dtype.itemsize, _HEADER_BYTES)
        if len(ids) == count and zlib.crc32(ids.data) == crc:
            return ids
    job.path(index).unlink(missing_ok=True)
    raise TokenFileError(
        f"{job.path(index)} was damaged and is removed; run encode_file again, the other parts are kept"
    )


def _numbers(head: bytes) -> tuple[int, int, int, int]:
    """Start, stop, count and check sum in a part's header."""
    start, stop, count, crc = (int(n) for n in np.frombuffer(head, dtype="<u8", count=4, offset=len(_MAGIC)))
    return start, stop, count, crc
