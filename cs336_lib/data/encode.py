"""`encode_file`: a text file to a token file, in parallel, in bounded memory, resumable.

The text is cut into parts of about 8 MiB at places that are sure not to change the ids (`pieces`). Where they lie
follows from the text alone, so any number of workers gives the same file. Each part is encoded by one worker and put
down as a file of its own, under its name only when it is complete:

    corpus.tokens.parts/plan.json     which text and which tokenizer the parts belong to
    corpus.tokens.parts/00000.ids     start, stop, count, check sum, ids
    ...
    corpus.tokens                     all ids behind one header, when every part is there

So whoever is killed at any moment loses at most the parts that were being worked on, and nothing that is half done
passes for whole.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from cs336_lib.data.atomic import replacing
from cs336_lib.data.pieces import Cutter
from cs336_lib.data.tokens import Header, TokenFile, TokenFileError, check_ids, smallest_dtype, stream_token_file

PART_BYTES = 8 << 20
END_OF_TEXT = b"<|endoftext|>"
_PART_MAGIC = b"CS336PRT"
_PART_HEADER = 64


@dataclass(frozen=True)
class Encoded:
    """What `encode_file` did.

    Attributes:
        path: the token file.
        tokens: how many ids it holds.
        source_bytes: size of the text.
        seconds: wall-clock time of this run.
        encoded_bytes: bytes of text encoded in this run; the rest was there already.
    """

    path: Path
    tokens: int
    source_bytes: int
    seconds: float
    encoded_bytes: int

    @property
    def bytes_per_token(self) -> float:
        """Bytes of text a token: how well the tokenizer compresses."""
        return self.source_bytes / max(self.tokens, 1)

    @property
    def megabytes_per_second(self) -> float:
        """Text encoded in this run over its time, in 1e6 bytes a second."""
        return self.encoded_bytes / 1e6 / max(self.seconds, 1e-9)


@dataclass(frozen=True)
class _Plan:
    """What parts belong to; those of another plan are of no use."""

    version: int
    source_bytes: int
    source_mtime_ns: int
    tokenizer: str
    vocab_size: int
    part_bytes: int


@dataclass(frozen=True)
class _Part:
    """A finished part: its range of the text and its number of ids."""

    start: int
    stop: int
    count: int


def encode_file(
    tokenizer: Any,
    text_path: str | Path,
    out_path: str | Path,
    *,
    workers: int | None = None,
    executor: Executor | None = None,
    resume: bool = True,
    progress: bool = False,
    part_bytes: int = PART_BYTES,
) -> Encoded:
    """Encode a text file to a token file. Special tokens in the text are always recognised.

    Args:
        tokenizer: a `cs336_lib.bpe.Tokenizer`, or anything with its `encode_to_array(bytes)`, `vocab_size`,
        `special_tokens`,
            `fingerprint` and, if places between words may be cut, `pattern`.
        text_path: the text; it must not change meanwhile. out_path: the token file; replaced if it exists. A folder
        `OUT.parts` beside it holds the work until it is done. workers: parts encoded at a time; None for one a core.
        The ids do not depend on it. executor: where to encode: threads of this process if None, or any Executor (a
        Dask client's, too) whose workers see
            the same files; the tokenizer is pickled to other processes.
        resume: keep finished parts of an earlier run with the same text and tokenizer.
        progress: show a progress bar.
        part_bytes: bytes of text a part, about.

    Returns:
        Tokens, bytes a token, throughput.

    Raises:
        FileNotFoundError: there is no text, or no folder to write to. ValueError: the text holds `<|endoftext|>` and
        the tokenizer does not know it, or has ids outside its vocabulary. OSError: the disk is full; finished parts
        are kept. RuntimeError: the text changed, or another process is encoding it.
    """
    text_path, out_path = Path(text_path), Path(out_path)
    _check_arguments(text_path, out_path, workers, part_bytes)
    began = time.perf_counter()
    workers = workers or (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    status = text_path.stat()
    plan = _Plan(1, status.st_size, status.st_mtime_ns, tokenizer.fingerprint, tokenizer.vocab_size, part_bytes)
    folder = out_path.with_name(out_path.name + ".parts")
    with ThreadPoolExecutor(1) as background:
        source_hash = background.submit(_sha256, text_path)
        if resume and (done := _already_done(out_path, plan, source_hash)):
            return Encoded(out_path, done.count, done.source_bytes, time.perf_counter() - began, 0)
        with _workshop(folder, plan, resume), _disk_full_says_what_to_do(folder):
            job = _Job(tokenizer, text_path, folder, plan)
            encoded = _encode_parts(job, workers, executor, progress)
            header = _assemble(job, out_path, source_hash.result())
    return Encoded(out_path, header.count, plan.source_bytes, time.perf_counter() - began, encoded)


@dataclass(frozen=True)
class _Job:
    """All that a worker needs, on whatever machine it is."""

    tokenizer: Any
    text_path: Path
    folder: Path
    plan: _Plan

    @property
    def parts(self) -> int:
        return -(-self.plan.source_bytes // self.plan.part_bytes)

    def part_path(self, index: int) -> Path:
        return self.folder / f"{index:05}.ids"


def encode_part(job: _Job, index: int) -> _Part:
    """Encode one part and put it down: what a worker does.

    Args:
        job: what to encode.
        index: which part. It reaches from the first sure place in its range to the first one behind it.
    """
    cutter = Cutter(job.tokenizer.special_tokens, getattr(job.tokenizer, "pattern", None))
    size, nominal = job.plan.source_bytes, job.plan.part_bytes
    with job.text_path.open("rb") as file:
        _check_unchanged(os.fstat(file.fileno()), job)
        start = cutter.first_cut(file, size, index * nominal)
        stop = cutter.first_cut(file, size, min((index + 1) * nominal, size))
        file.seek(start)
        text = file.read(stop - start)
        _check_unchanged(os.fstat(file.fileno()), job)
    if END_OF_TEXT in text and END_OF_TEXT.decode() not in job.tokenizer.special_tokens:
        raise ValueError(
            f"{job.text_path} holds {END_OF_TEXT.decode()!r} (at byte {start + text.index(END_OF_TEXT):,}), but the tokenizer "
            f"does not have it as a special token; build it with special_tokens=[{END_OF_TEXT.decode()!r}]"
        )
    ids = np.asarray(job.tokenizer.encode_to_array(text)) if text else np.empty(0, dtype=np.uint16)
    check_ids(ids, job.plan.vocab_size)
    stored = np.ascontiguousarray(ids, dtype=smallest_dtype(job.plan.vocab_size))
    numbers = np.array([start, stop, len(stored), zlib.crc32(stored.data)], dtype="<u8")
    with replacing(job.part_path(index)) as out:
        out.write((_PART_MAGIC + numbers.tobytes()).ljust(_PART_HEADER, b"\0"))
        out.write(stored.data)
    return _Part(start, stop, len(stored))


def _encode_parts(job: _Job, workers: int, executor: Executor | None, progress: bool) -> int:
    """Encode the parts that are not there yet; returns how many bytes of text that was."""
    there = {i: part for i in range(job.parts) if (part := _finished(job, i)) is not None}
    todo = iter([i for i in range(job.parts) if i not in there])
    encoded = 0
    own = ThreadPoolExecutor(workers) if executor is None else None
    pool = own or executor
    assert pool is not None
    pending: set[Future[_Part]] = set()
    with tqdm(
        total=job.plan.source_bytes,
        initial=sum(part.stop - part.start for part in there.values()),
        unit="B",
        unit_scale=True,
        desc=f"encode {job.text_path.name}",
        disable=not progress,
    ) as bar:
        try:
            while True:
                while len(pending) < 2 * workers and (index := next(todo, None)) is not None:
                    pending.add(pool.submit(encode_part, job, index))
                if not pending:
                    return encoded
                done, pending = wait(pending, return_when=FIRST_COMPLETED)
                for future in done:
                    part = future.result()
                    encoded += part.stop - part.start
                    bar.update(part.stop - part.start)
        finally:
            for future in pending:
                future.cancel()
            if own is not None:
                own.shutdown(wait=True, cancel_futures=True)


def _finished(job: _Job, index: int) -> _Part | None:
    """The part on disk, if it is whole; its ids are checked when they are put together."""
    path = job.part_path(index)
    try:
        with path.open("rb") as file:
            head = file.read(_PART_HEADER)
    except FileNotFoundError:
        return None
    if len(head) < _PART_HEADER or not head.startswith(_PART_MAGIC):
        return None
    start, stop, count, _ = (int(n) for n in np.frombuffer(head, dtype="<u8", count=4, offset=len(_PART_MAGIC)))
    whole = _PART_HEADER + count * smallest_dtype(job.plan.vocab_size).itemsize
    return _Part(start, stop, count) if path.stat().st_size == whole else None


def _assemble(job: _Job, out_path: Path, source_sha256: str) -> Header:
    """Put the parts together, then let the token file appear and the parts disappear."""
    _check_unchanged(job.text_path.stat(), job)
    whole = job.folder / "whole"
    with whole.open("wb") as file:
        header = stream_token_file(
            file,
            _parts_in_order(job),
            vocab_size=job.plan.vocab_size,
            tokenizer_sha256=job.plan.tokenizer,
            source_sha256=source_sha256,
            source_bytes=job.plan.source_bytes,
        )
        file.flush()
        os.fsync(file.fileno())
    whole.replace(out_path)
    return header


def _parts_in_order(job: _Job) -> Iterator[np.ndarray]:
    at = 0
    for index in range(job.parts):
        path = job.part_path(index)
        raw = path.read_bytes()
        start, stop, count, crc = (int(n) for n in np.frombuffer(raw, dtype="<u8", count=4, offset=len(_PART_MAGIC)))
        ids = np.frombuffer(raw, dtype=smallest_dtype(job.plan.vocab_size), offset=_PART_HEADER)
        if start != at or len(ids) != count or zlib.crc32(ids.data) != crc:
            path.unlink()
            raise TokenFileError(f"{path} was damaged and is removed; run encode_file again, the other parts are kept")
        at = stop
        yield ids
    assert at == job.plan.source_bytes


def _already_done(out_path: Path, plan: _Plan, source_hash: Future[str]) -> Header | None:
    """The header of an existing token file, if it is what this run would make."""
    if not out_path.exists():
        return None
    try:
        header = TokenFile.open(out_path).header
    except TokenFileError:
        return None
    if header is None or (header.tokenizer_sha256, header.source_bytes) != (plan.tokenizer, plan.source_bytes):
        return None
    return header if header.source_sha256 == source_hash.result() else None


@contextmanager
def _workshop(folder: Path, plan: _Plan, resume: bool) -> Iterator[None]:
    """The folder of parts: made or taken up again, held against other processes, removed when all went well."""
    folder.mkdir(exist_ok=True)
    plan_path = folder / "plan.json"
    names = [path.name for path in folder.iterdir()]
    strange = [n for n in names if n not in ("plan.json", "lock", "whole") and not n.endswith((".ids", ".part"))]
    if strange:
        raise ValueError(f"{folder} holds {strange[0]!r}, which is not part of this work; move it away or choose another name")
    with (folder / "lock").open("w") as lock:
        _hold(lock.fileno(), folder)
        try:
            same = resume and json.loads(plan_path.read_text()) == asdict(plan)
        except (FileNotFoundError, ValueError):
            same = False
        for path in folder.iterdir():
            if path.name != "lock" and not (same and (path.name == "plan.json" or path.suffix == ".ids")):
                path.unlink()
        if not same:
            with replacing(plan_path) as file:
                file.write(json.dumps(asdict(plan)).encode())
        yield
        for path in folder.iterdir():
            path.unlink()
    folder.rmdir()


def _hold(descriptor: int, folder: Path) -> None:
    """Lock the folder; the system lets go when the process ends, however it ends."""
    try:
        import fcntl
    except ImportError:  # Windows: no lock
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise RuntimeError(f"another process is encoding into {folder}; wait for it or choose another name") from None


@contextmanager
def _disk_full_says_what_to_do(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        kept = len(list(folder.glob("*.ids"))) why = f"no space left in {folder.parent}; {kept} finished parts are
        kept: free some space and run encode_file again" raise OSError(error.errno, why) from error


def _check_arguments(text_path: Path, out_path: Path, workers: int | None, part_bytes: int) -> None:
    if not text_path.is_file():
        raise FileNotFoundError(f"no text file {str(text_path)!r}; `corpora.get` fetches or makes one")
    if not out_path.parent.is_dir():
        raise FileNotFoundError(f"no folder {str(out_path.parent)!r} to write {out_path.name!r} into; create it first")
    if out_path.is_dir() or (out_path.exists() and out_path.samefile(text_path)):
        raise ValueError(f"out_path={str(out_path)!r} is a folder or the text itself; choose another name")
    if workers is not None and workers < 1:
        raise ValueError(f"workers={workers} must be at least 1, or None for one a core")
    if part_bytes < 1:
        raise ValueError(f"part_bytes={part_bytes} must be at least 1")


def _check_unchanged(status: os.stat_result, job: _Job) -> None:
    if (status.st_size, status.st_mtime_ns) != (job.plan.source_bytes, job.plan.source_mtime_ns):
        raise RuntimeError(f"{job.text_path} changed while it was encoded; run encode_file again when it is at rest")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
