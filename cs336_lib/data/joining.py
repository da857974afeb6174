"""Parts become one token file, in the order of the text, while later ones are still being made.

    workers    part 0   part 2   part 3      ...
               part 1        part 4          ...
    joining             0  1  2  3  4        ...  header, name

A thread of its own reads each finished part in its turn, checks its sum, adds its ids to the file, and lets the disk
begin to keep them. So little is left to do when the last part is there, and what the file needs beyond a worker's time
(a hash of the ids, and the disk) is had while workers work.
"""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, wait
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import numpy as np

from cs336_lib.bars import bar as progress_bar
from cs336_lib.data.parts import WHOLE, Job, read_part
from cs336_lib.data.token_format import Header, TokenFileError, smallest_dtype, write_header, write_ids

FLUSHED = 1 << 26
"""Bytes after which the disk is given what is there, so that it need not be waited for at the end."""
PATIENCE = 60.0
"""Seconds for which a part that a worker has reported may be out of sight: a network file system remembers that long
that a name was not there."""
_LOOK = 0.1
"""Seconds between two looks at what another thread does."""


class Joining:
    """The token file in the making. A context: what is not finished when it ends is removed, the parts are not.

    Args:
        job: what the parts belong to.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        # A name of its own: where nothing can be locked, two processes may work here at once.
        self._path = job.folder / f".{WHOLE}.{secrets.token_hex(6)}.part"
        self._there: set[int] = set()
        self._joined, self._stopped = 0, False
        self._news = threading.Condition()
        self._written: Future[tuple[int, str]] = Future()
        # It must not keep a process from ending that was interrupted before it could be told.
        self._thread = threading.Thread(target=self._join, name="join parts", daemon=True)

    def __enter__(self) -> Joining:
        try:
            self._thread.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self._stopped = True
        try:
            with self._news:
                self._news.notify()
            if self._thread.ident is not None:
                self._thread.join()
        finally:
            with suppress(OSError):  # of a system that removes no open file
                self._path.unlink(missing_ok=True)

    def add(self, index: int) -> None:
        """Say that a part is there; raises what joining the ones before has failed with."""
        if self._written.done():
            self._written.result()
        with self._news:
            self._there.add(index)
            self._news.notify()

    def finish(self, out_path: Path, source_sha256: str, progress: bool) -> Header:
        """Wait until all parts are joined, and let the token file appear.

        Raises:
            FileChangedError: the text changed meanwhile.
            TokenFileError: a part was damaged; it is removed and the others are kept.
        """
        with progress_bar(
            total=self._job.parts, desc="join parts", unit="part", disable=not progress, leave=False
        ) as bar:
            while wait([self._written], timeout=_LOOK).not_done:
                bar.update(self._joined - bar.n)
        written = self._written.result()
        try:
            return self._give_a_name(out_path, source_sha256, *written)
        except FileNotFoundError as error:
            if str(error.filename) != str(self._path):
                raise
            # Where nothing can be locked, another process that has begun the same has tidied up; the parts are there.
            with self._path.open("wb") as file:
                written = write_ids(file, self._in_order(), self._job.plan.vocab_size)
            return self._give_a_name(out_path, source_sha256, *written)

    def _give_a_name(self, out_path: Path, source_sha256: str, count: int, payload_sha256: str) -> Header:
        plan = self._job.plan
        about = plan.tokenizer, source_sha256, plan.source_bytes, payload_sha256
        header = Header(smallest_dtype(plan.vocab_size).name, count, plan.vocab_size, *about)
        with self._path.open("r+b") as file:
            write_header(file, header)
            file.flush()
            os.fsync(file.fileno())
        self._job.check_unchanged(self._job.text_path.stat())
        self._path.replace(out_path)
        return header

    def _join(self) -> None:
        """What the thread does: write the ids of all parts, and say how many there are and what their hash is."""
        try:
            self._wait_for(0)  # workers that are forked shall not inherit the open file
            if self._stopped:
                return
            with self._path.open("wb") as file:
                written = write_ids(file, self._in_order(file), self._job.plan.vocab_size)
            self._written.set_result(written)  # not before the last bytes have left the buffer
        except BaseException as error:
            self._written.set_exception(error)

    def _wait_for(self, index: int) -> None:
        with self._news:
            while index not in self._there and index < self._job.parts and not self._stopped:
                self._news.wait(10 * _LOOK)  # not for ever: whoever was interrupted may not have told

    def _in_order(self, file: BinaryIO | None = None) -> Iterator[np.ndarray]:
        """The ids of each part as soon as it is there; the disk is given what a file has now and then."""
        at = flushed = 0
        for index in range(self._job.parts):
            self._wait_for(index)
            if self._stopped:
                return
            start, stop, ids = self._read(index)
            if stop > start != at:
                raise self._gap(at)
            at = max(at, stop)
            yield ids
            self._joined = index + 1
            if file is not None and file.tell() - flushed >= FLUSHED:
                flushed = file.tell()
                file.flush()
                _let_the_disk_begin(file.fileno())
        if at != self._job.plan.source_bytes:
            raise self._gap(at)

    def _read(self, index: int) -> tuple[int, int, np.ndarray]:
        elsewhere = isinstance(self._job.tokenizer, str)
        until = time.monotonic() + (PATIENCE if elsewhere else 0)
        while True:
            try:
                return read_part(self._job, index)
            except FileNotFoundError as error:
                if self._stopped or time.monotonic() > until:
                    why = "a worker has written it" if elsewhere else "somebody else has removed it"
                    hint = "; put it on storage that workers and this process share" if elsewhere else ""
                    path = str(self._job.path(index))
                    raise FileNotFoundError(error.errno, f"{why}, and it can't be seen here{hint}", path) from error
                time.sleep(_LOOK)

    def _gap(self, at: int) -> TokenFileError:
        return TokenFileError(
            f"the parts in {self._job.folder} end at byte {at:,} of {self._job.plan.source_bytes:,}; delete them"
        )


def _let_the_disk_begin(descriptor: int) -> None:
    (os.fdatasync if hasattr(os, "fdatasync") else os.fsync)(descriptor)
