"""`encode_file`: a text file to a token file, in parallel, in bounded memory, resumable (chapter 3).

The text is cut into parts of about 4 MiB at places that are sure not to change the ids (`pieces`); each part is encoded
by one worker (`parts`), and beside that one after the other goes into the token file in the making (`joining`), which
says how far it has come (`progress_log`). Nobody ever holds more than a few parts, unless a text gives no place to cut.
"""

from __future__ import annotations

import errno
import hashlib
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from cs336_lib.amounts import elapsed, size
from cs336_lib.atomic import followed
from cs336_lib.bars import bar as progress_bar
from cs336_lib.data.joining import Joining
from cs336_lib.data.parts import (
    TOKENIZER,
    Job,
    Part,
    Plan,
    UnknownSpecialError,
    encode_part,
    encode_part_here,
    finished_part,
    kept_part,
    put_down,
)
from cs336_lib.data.progress_log import JOINED, LOG, milestones
from cs336_lib.data.token_format import check_own_tokens
from cs336_lib.data.tokens import Header, TokenFile, TokenFileError
from cs336_lib.naming import LARGEST, check_whole
from cs336_lib.textfile import check_is_text
from cs336_lib.workshop import IN_FLIGHT, carry_out, workshop

PART_BYTES = 4 << 20
_BLOCK = 1 << 20


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
        """Bytes of text per token; the more, the better the tokenizer compresses."""
        return self.source_bytes / max(self.tokens, 1)

    @property
    def megabytes_per_second(self) -> float:
        """Text encoded in this run over its time, in 1e6 bytes per second."""
        return self.encoded_bytes / 1e6 / max(self.seconds, 1e-9)

    def __str__(self) -> str:
        done = f"{self.source_bytes:,} bytes are {self.tokens:,} tokens, {self.bytes_per_token:.2f} bytes per token"
        if self.source_bytes and not self.encoded_bytes:
            return f"{done}; all were there already"
        return f"{done}; {size(self.encoded_bytes)} encoded in {elapsed(self.seconds)}, {self.speed}"

    @property
    def speed(self) -> str:
        """Text encoded in this run over its time, as a line tells it."""
        return f"{size(1e6 * self.megabytes_per_second)}/s"


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
    wait: Callable[[str], object] | None = None,
) -> Encoded:
    r"""Encode a text file to a token file. Special tokens in the text are always recognized.

    Args:
        tokenizer: a `cs336_lib.bpe.Tokenizer`, or anything with its `encode_to_array(bytes)`, `vocab_size`,
            `special_tokens` and `fingerprint`. With another `pattern` than GPT-2's, or none, the text is cut only
            behind special tokens.
        text_path: the text; it must not change meanwhile.
        out_path: the token file, or a link to it; an earlier one is replaced. A folder `OUT.parts` beside it holds the
            work until it is done; a run whose workers are elsewhere needs as much room again.
        workers: threads that encode; None for one per core. The ids do not depend on it. Not used with an executor.
        executor: where to encode: threads of this process if None, or any Executor, `client.get_executor()` of a Dask
            cluster included, whose workers have this package and see the same files. A part that a lost worker had in
            hand is done again by another; the ids do not depend on who did what.
        resume: keep finished parts of an earlier run with the same text and tokenizer; do nothing if the token file is
            there and right.
        progress: show a progress bar.
        part_bytes: bytes of text per part, about.
        wait: if another process is encoding to the same file, wait for it, and call this with a line that says so;
            None to raise an error instead.

    Returns:
        Tokens, bytes per token, throughput.

    Raises:
        FileNotFoundError: there is no text, or no folder to write to.
        FileExistsError: `out_path` is there and is no token file; nothing was written, or, if it appeared meanwhile,
            all ids are kept in the folder of parts.
        ValueError: the text holds `<|endoftext|>`, and the tokenizer does not know it; or a number is out of range; or
            (`TokenFileError`) a part was damaged meanwhile, or the tokenizer gave an id outside its vocabulary.
        OSError: the disk is full; finished parts are kept.
        PermissionError: this process or a worker may not read the text or write the parts.
        RuntimeError: the text changed (`FileChangedError`), or another process is working in the folder of parts.

    >>> import tempfile
    >>> from cs336_lib.bpe import Tokenizer
    >>> tokenizer = Tokenizer({i: bytes([i]) for i in range(256)}, [], ["<|endoftext|>"])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     text = Path(folder) / "corpus.txt"
    ...     _ = text.write_bytes(b"One.\n<|endoftext|>\nTwo.\n")
    ...     done = encode_file(tokenizer, text, Path(folder) / "corpus.tokens")
    ...     tokens = TokenFile.open(done.path, tokenizer=tokenizer)
    >>> done.tokens, tokens.dtype, tokens.ids[4:7].tolist()
    (12, dtype('uint16'), [10, 256, 10])
    """
    text_path, out_path = Path(text_path).absolute(), followed(Path(out_path).absolute())
    _check_paths(tokenizer, text_path, out_path)
    workers, part_bytes = _checked_numbers(workers, part_bytes)
    began = time.perf_counter()
    status = text_path.stat()
    known = Header.checked(tokenizer.vocab_size, tokenizer.fingerprint, "0" * 64, status.st_size)
    plan = Plan(known.source_bytes, status.st_mtime_ns, known.tokenizer_sha256, known.vocab_size, part_bytes)
    folder = out_path.with_name(out_path.name + ".parts")
    if resume and (done := _already_done(text_path, out_path, plan, progress)):
        if folder.is_dir():  # of a run that was killed while it tidied up
            with _parts_folder(folder, plan, resume=False, wait=wait):
                pass
        return Encoded(out_path, done.count, done.source_bytes, time.perf_counter() - began, 0)
    with _disk_full_says_what_to_do(folder), _parts_folder(folder, plan, resume, wait):
        if wait and resume and (done := _already_done(text_path, out_path, plan, progress)):  # by whom was waited for
            return Encoded(out_path, done.count, done.source_bytes, time.perf_counter() - began, 0)
        job = Job(tokenizer if executor is None else put_down(tokenizer, folder), text_path, folder, plan)
        with Joining(job, workers) as joining:
            encoded = _encode_parts(job, tokenizer, workers, executor, joining, progress)
            try:
                header = joining.finish(out_path, progress)
            except FileNotFoundError:
                # Where nothing can be locked, another process that has made the same file has tidied up.
                if (done := _already_done(text_path, out_path, plan, progress)) is None:
                    raise
                header = done
    return Encoded(out_path, header.count, plan.source_bytes, time.perf_counter() - began, encoded)


def _parts_folder(
    folder: Path, plan: Plan, resume: bool, wait: Callable[[str], object] | None = None
) -> AbstractContextManager[None]:
    return workshop(
        folder,
        asdict(plan),
        finished=(".ids", JOINED, LOG),
        other=(TOKENIZER,),
        resume=resume,
        hopeless=(UnknownSpecialError,),
        wait=wait,
    )


def _encode_parts(
    job: Job, tokenizer: Any, workers: int, executor: Executor | None, joining: Joining, progress: bool
) -> int:
    """Encode the parts that are not there yet; returns how many bytes of text that was."""
    joined, already = joining.take_up(progress)
    there = {i: part for i in range(joined, job.parts) if (part := kept_part(job, tokenizer, i)) is not None}
    for part in there.values():
        joining.add(part)
    already += sum(part.stop - part.start for part in there.values())
    todo = ((job, i) for i in range(joined, job.parts) if i not in there)
    encoded = 0
    with (
        nullcontext(executor) if executor is not None else ThreadPoolExecutor(workers) as pool,
        progress_bar(
            total=job.plan.source_bytes,
            initial=already,
            unit="B",
            unit_scale=True,
            desc=f"encode {job.text_path.name}",
            disable=not progress,
        ) as bar,
    ):

        def done(part: Part) -> None:
            nonlocal encoded
            joining.add(part)
            encoded += part.stop - part.start
            bar.update(part.stop - part.start)

        if executor is None:
            here = partial(encode_part_here, near=joining.near)
            carry_out(pool, here, todo, finished_part, done, 2 * workers)
        else:
            carry_out(pool, encode_part, todo, finished_part, done, IN_FLIGHT)
    return encoded


def _already_done(text_path: Path, out_path: Path, plan: Plan, progress: bool) -> Header | None:
    """The header of an existing token file, if it is whole and what this run would make."""
    try:
        tokens = TokenFile.open(out_path, check=False)
        header = tokens.header
        if header is None or (header.tokenizer_sha256, header.source_bytes) != (plan.tokenizer, plan.source_bytes):
            return None
        tokens.verify()
    except (FileNotFoundError, TokenFileError):
        return None
    return header if header.source_sha256 == _sha256(text_path, progress) else None


def _sha256(path: Path, progress: bool) -> str:
    digest = hashlib.sha256()
    with (
        path.open("rb", buffering=0) as file,
        progress_bar(
            total=path.stat().st_size, unit="B", unit_scale=True, desc="compare", disable=not progress, leave=False
        ) as bar,
    ):
        while block := file.read(_BLOCK):
            digest.update(block)
            bar.update(len(block))
    return digest.hexdigest()


@contextmanager
def _disk_full_says_what_to_do(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)):
            raise
        joined = max((len(list(milestones(log))) for log in folder.glob(f"*{LOG}")), default=0)
        kept = joined + sum(int(path.name.partition("-")[0]) >= joined for path in folder.glob("*.ids"))
        why = f"no space left in {folder.parent}; {kept} finished parts are kept: free some and run encode_file again"
        raise OSError(error.errno, why) from error


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _check_paths(tokenizer: Any, text_path: Path, out_path: Path) -> None:
    missing = [
        name
        for name in ("encode_to_array", "vocab_size", "special_tokens", "fingerprint")
        if not hasattr(tokenizer, name)
    ]
    if missing:
        kind = type(tokenizer).__name__
        raise TypeError(f"tokenizer is a {kind} without {missing[0]}; encode_file takes a cs336_lib.bpe.Tokenizer")
    specials = tokenizer.special_tokens
    once = isinstance(specials, Iterator) and tokenizer.special_tokens is specials  # used up by whoever looks first
    if once or isinstance(specials, str) or not _are_strings(specials):
        raise TypeError(f"the tokenizer's special_tokens must be a list or tuple of strings, got {specials!r:.60}")
    if not text_path.is_file():
        raise FileNotFoundError(f"no text file {str(text_path)!r}; `corpora.get` fetches or makes one")
    check_is_text(text_path)
    if not out_path.parent.is_dir():
        raise FileNotFoundError(f"no folder {str(out_path.parent)!r} to write {out_path.name!r} into; create it first")
    if out_path.is_dir() or (out_path.exists() and out_path.samefile(text_path)):
        raise ValueError(f"out_path={str(out_path)!r} is a folder or the text itself; choose another name")
    check_own_tokens(out_path)


def _are_strings(tokens: Any) -> bool:
    try:
        return all(isinstance(token, str) for token in tokens)
    except TypeError:
        return False


def _checked_numbers(workers: int | None, part_bytes: int) -> tuple[int, int]:
    """Return the number of workers, and of bytes in a part."""
    workers = _cores() if workers is None else check_whole("workers", workers, least=-LARGEST)
    if workers < 1:
        raise ValueError(f"workers={workers} must be at least 1, or None for one per core")
    part_bytes = check_whole("part_bytes", part_bytes, least=-LARGEST)
    if part_bytes < 1:
        raise ValueError(f"part_bytes={part_bytes} must be at least 1")
    return workers, part_bytes
