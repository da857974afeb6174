"""Parts become one token file, in the order of the text, while later ones are still being made.

    workers    part 0   part 2   part 3      ...
               part 1        part 4          ...
    joining             0  1  2  3  4        ...  header, name

A thread of its own takes each finished part in its turn, from memory or from the part's file, hashes its text and its
ids, adds the ids to the token file, and notes how far that has come (`progress_log`). So little is left to do when the
last part is there, what the file needs beyond a worker's time is had while workers work, and a run that is killed finds
its work again.
"""

from __future__ import annotations

import errno
import hashlib
import math
import os
import secrets
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import BinaryIO

import numpy as np

from cs336_lib.atomic import check_still
from cs336_lib.bars import bar as progress_bar
from cs336_lib.data.parts import Job, Part, blocks, read_part, text_between, there
from cs336_lib.data.progress_log import JOINED, LOG, Milestone, milestones
from cs336_lib.data.token_format import (
    HEADER_BYTES,
    Header,
    TokenFileError,
    check_own_tokens,
    smallest_dtype,
    write_header,
)
from cs336_lib.locks import is_held
from cs336_lib.workshop import LOCK

FLUSHED = 1 << 26
"""Bytes after which the disk is given what is there, beside the joining, so that less is left for the end."""
PATIENCE = 60.0
"""Seconds for which a part that a worker has reported may be out of sight: a network file system remembers that long
that a name was not there."""
_GONE = "somebody else has removed the token file in the making, or written to it; run encode_file again"
_SLOW = 0.05
"""Seconds for which the next part is waited for until its worker is slow, and those ahead put their parts down."""
_LOOK = 0.1
"""Seconds between two looks at what another thread does."""


class Joining:
    """The token file in the making. A context: when it ends, nobody writes to the file any more.

    Args:
        job: what the parts belong to.
        ahead: parts in memory that may wait for their turn.
    """

    def __init__(self, job: Job, ahead: int) -> None:
        self._job, self._ahead = job, ahead
        # A name of its own: where nothing can be locked, two processes may work here at once.
        self._path = job.folder / f"{secrets.token_hex(6)}{JOINED}"
        self._text, self._ids = hashlib.sha256(), hashlib.sha256()
        self._at = Milestone(0, 0, 0, self._text.hexdigest(), self._ids.hexdigest())
        self._there: dict[int, Part] = {}
        self._stopped = False
        self._idle_since = math.inf  # when it began to wait for a part; not while it joins one
        self._news = threading.Condition()
        self._done: Future[None] = Future()
        # It must not keep a process from ending that was interrupted before it could be told.
        self._thread = threading.Thread(target=self._join, name="join parts", daemon=True)

    def __enter__(self) -> Joining:
        return self

    def __exit__(self, *error: object) -> None:
        self._stopped = True
        with self._news:
            self._news.notify_all()
        if self._thread.ident is not None:
            self._thread.join()

    def take_up(self, progress: bool) -> tuple[int, int]:
        """Take over what an earlier run has joined, as far as it is of this text and whole; then begin.

        Returns:
            How many parts that were, and how many bytes of the text.
        """
        there = filter(Path.is_file, self._job.folder.glob(f"*{JOINED}"))  # a link may lead nowhere
        left = sorted(there, key=lambda path: path.stat().st_size, reverse=True)
        with progress_bar(
            total=self._job.plan.source_bytes,
            unit="B",
            unit_scale=True,
            desc="compare",
            disable=not (progress and left),
            leave=False,
        ) as bar:
            for path in left:
                if not self._at.parts:
                    self._take_over(path, bar.update)
        for path in left:
            path.unlink(missing_ok=True)
            path.with_suffix(LOG).unlink(missing_ok=True)
        parts, text_bytes = self._at.parts, self._at.text_bytes
        self._thread.start()
        return parts, text_bytes

    def near(self, index: int) -> bool:
        """Whether a part's turn comes soon, so that it may wait for it in memory; waits while others are being joined.

        What is joined must be hashed and written, which can take longer than encoding it: a worker that ran on
        meanwhile would only have its parts written twice. Where a slower worker is waited for, it may run on.
        """
        with self._news:
            while index > self._at.parts + self._ahead and not self._stopped and not self._done.done():
                if time.monotonic() - self._idle_since > _SLOW:
                    return False
                self._news.wait(_SLOW)
            return index <= self._at.parts + self._ahead

    def add(self, part: Part) -> None:
        """Say that a part is there; raises what joining the ones before has failed with."""
        if self._done.done():
            self._done.result()
        with self._news:
            self._there[part.index] = part
            self._news.notify_all()

    def finish(self, out_path: Path, progress: bool) -> Header:
        """Wait until all parts are joined, and let the token file appear.

        Raises:
            FileChangedError: the text changed meanwhile.
            FileExistsError: something else has got the final name; the file in the making stays as it is.
            FileNotFoundError: somebody has removed the file in the making.
            TokenFileError: a part was damaged; it is removed and the others are kept.
        """
        with progress_bar(
            total=self._job.parts, desc="join parts", unit="part", disable=not progress, leave=False
        ) as bar:
            while wait([self._done], timeout=_LOOK).not_done:
                bar.update(self._at.parts - bar.n)
        self._done.result()
        plan, at = self._job.plan, self._at
        about = plan.tokenizer, at.text_sha256, plan.source_bytes, at.ids_sha256
        header = Header(smallest_dtype(plan.vocab_size).name, at.ids, plan.vocab_size, *about)
        with there(self._path, _GONE):
            with self._path.open("r+b") as file:
                self._check_size(file.seek(0, os.SEEK_END))
                write_header(file, header)
                file.flush()
                os.fsync(file.fileno())
            self._job.check_unchanged(self._job.text_path.stat())
            try:
                check_still(out_path, check_own_tokens)
            except FileExistsError as error:
                raise FileExistsError(
                    f"{error}; all ids are kept in {self._job.folder}: then run encode_file again"
                ) from None
            self._path.replace(out_path)
        return header

    def _join(self) -> None:
        """What the thread does: add all parts that are not there yet."""
        try:
            self._wait_for(self._at.parts)  # workers that are forked shall not inherit the open file
            if not self._stopped:
                with (
                    there(self._path, _GONE),
                    self._path.open("ab") as file,
                    self._log.open("ab") as log,
                    ThreadPoolExecutor(1) as beside,
                    ThreadPoolExecutor(1) as disk,
                ):
                    self._join_to(file, log, beside, disk)
            self._done.set_result(None)  # not before the last bytes have left the buffer
        except BaseException as error:
            self._done.set_exception(error)
            with self._news:
                self._news.notify_all()

    def _size(self) -> int:
        """Bytes of the file so far: room for the header, and the ids."""
        return HEADER_BYTES + self._at.ids * smallest_dtype(self._job.plan.vocab_size).itemsize

    def _check_size(self, there: int) -> None:
        """Refuse a file that somebody else has removed, and this process made anew, or has written to."""
        if there != self._size():
            raise FileNotFoundError(errno.ENOENT, _GONE, str(self._path))

    @property
    def _log(self) -> Path:
        return self._path.with_suffix(LOG)

    def _join_to(self, file: BinaryIO, log: BinaryIO, beside: ThreadPoolExecutor, disk: ThreadPoolExecutor) -> None:
        if not self._at.parts:
            file.write(bytes(HEADER_BYTES))
        self._check_size(file.tell())
        flushed, flushing = file.tell(), _nothing()
        while self._at.parts < self._job.parts:
            self._wait_for(self._at.parts)
            if self._stopped:
                return
            part = self._there.pop(self._at.parts)
            hashed = beside.submit(self._hash_text, part)
            self._write(file, log, self._ids_of(part), hashed, max(self._at.text_bytes, part.stop))
            if flushing.done():
                flushing.result()
                if file.tell() - flushed >= FLUSHED:
                    flushed, flushing = file.tell(), disk.submit(_let_the_disk_begin, file.fileno())
        flushing.result()
        if self._at.text_bytes != self._job.plan.source_bytes:
            raise self._gap()

    def _write(self, file: BinaryIO, log: BinaryIO, ids: np.ndarray, hashed: Future[None], text_bytes: int) -> None:
        """Add the ids of the next part, and say so."""
        file.write(ids.data)
        self._ids.update(ids.data)
        file.flush()
        hashed.result()
        reached = self._at.parts + 1, text_bytes, self._at.ids + len(ids)
        at = Milestone(*reached, self._text.hexdigest(), self._ids.hexdigest())
        log.write(at.line())
        log.flush()
        with self._news:
            self._at = at
            self._news.notify_all()

    def _hash_text(self, part: Part) -> None:
        if part.stop > part.start != self._at.text_bytes:
            raise self._gap()
        for block in text_between(self._job, part.start, part.stop) if part.text is None else (part.text,):
            self._text.update(block)

    def _take_over(self, path: Path, tell: Callable[[int], object]) -> None:
        """Take over what stands in another file, as far as its milestones are true."""
        width = smallest_dtype(self._job.plan.vocab_size).itemsize
        log = b""
        with path.open("rb") as source:
            source.seek(HEADER_BYTES)
            for reached in milestones(path.with_suffix(LOG)):
                text, ids = self._text.copy(), self._ids.copy()
                for block in text_between(self._job, self._at.text_bytes, reached.text_bytes):
                    text.update(block)
                for block in blocks(source, width * (reached.ids - self._at.ids)):
                    ids.update(block)
                if (text.hexdigest(), ids.hexdigest()) != (reached.text_sha256, reached.ids_sha256):
                    break
                tell(reached.text_bytes - self._at.text_bytes)
                self._text, self._ids, self._at = text, ids, reached
                log += reached.line()
        if not log:
            return
        self._log.write_bytes(log)  # first: ids without a log are lost, a log without ids is nothing
        true = self._size()
        if is_held(self._job.folder / LOCK):  # by this process, so nobody else writes to the file
            os.truncate(path, true)
            path.replace(self._path)
        else:
            with path.open("rb") as source, self._path.open("wb") as file:
                file.writelines(blocks(source, true))

    def _wait_for(self, index: int) -> None:
        with self._news:
            self._idle_since = time.monotonic()
            while index not in self._there and index < self._job.parts and not self._stopped:
                self._news.wait(10 * _LOOK)  # not for ever: whoever was interrupted may not have told
            self._idle_since = math.inf

    def _ids_of(self, part: Part) -> np.ndarray:
        """From memory, or from the part's file."""
        if part.ids is not None:
            return part.ids
        elsewhere = self._job.elsewhere
        until = time.monotonic() + (PATIENCE if elsewhere else 0)
        while True:
            try:
                return read_part(self._job, part.index)
            except FileNotFoundError as error:
                if self._stopped or time.monotonic() > until:
                    why = "a worker has written it" if elsewhere else "somebody else has removed it"
                    hint = "; put it on storage that workers and this process share" if elsewhere else ""
                    path = str(self._job.path(part.index))
                    raise FileNotFoundError(error.errno, f"{why}, and it can't be seen here{hint}", path) from error
                time.sleep(_LOOK)

    def _gap(self) -> TokenFileError:
        return TokenFileError(
            f"the parts in {self._job.folder} end at byte {self._at.text_bytes:,} of "
            f"{self._job.plan.source_bytes:,}; delete them"
        )


def _nothing() -> Future[None]:
    done: Future[None] = Future()
    done.set_result(None)
    return done


def _let_the_disk_begin(descriptor: int) -> None:
    (os.fdatasync if hasattr(os, "fdatasync") else os.fsync)(descriptor)
