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
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import BinaryIO

import numpy as np
from tqdm import tqdm

from cs336_lib.data.parts import WHOLE, Job, read_part
from cs336_lib.data.token_format import Header, TokenFileError, smallest_dtype, write_header, write_ids

FLUSHED = 1 << 26
"""Bytes after which the disk is given what is there, so that it need not be waited for at the end."""
_LOOK = 0.1
"""Seconds between two steps of the progress bar."""


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
        self._joined = 0
        self._stopped = False
        self._news = threading.Condition()
        self._thread = ThreadPoolExecutor(1)
        self._file: BinaryIO | None = None
        self._written: Future[tuple[int, str]] | None = None

    def __enter__(self) -> Joining:
        self._file = self._path.open("wb")
        self._written = self._thread.submit(
            write_ids, self._file, self._in_order(self._file), self._job.plan.vocab_size
        )
        return self

    def __exit__(self, *error: object) -> None:
        with self._news:
            self._stopped = True
            self._news.notify()
        self._thread.shutdown()
        if self._file is not None:
            self._file.close()
        self._path.unlink(missing_ok=True)

    def add(self, index: int) -> None:
        """Say that a part is there; raises what joining the ones before has failed with."""
        assert self._written is not None
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
        assert self._written is not None and self._file is not None
        plan = self._job.plan
        with tqdm(total=self._job.parts, desc="join parts", unit="part", disable=not progress, leave=False) as bar:
            while wait([self._written], timeout=_LOOK).not_done:
                bar.update(self._joined - bar.n)
        count, digest = self._written.result()
        header = Header(
            smallest_dtype(plan.vocab_size).name,
            count,
            plan.vocab_size,
            plan.tokenizer,
            source_sha256,
            plan.source_bytes,
            digest,
        )
        write_header(self._file, header)
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._job.check_unchanged(self._job.text_path.stat())
        self._path.replace(out_path)
        return header

    def _in_order(self, file: BinaryIO) -> Iterator[np.ndarray]:
        """The ids of each part, as soon as it is there."""
        at = flushed = 0
        for index in range(self._job.parts):
            with self._news:
                while index not in self._there and not self._stopped:
                    self._news.wait()
                if self._stopped:
                    return
            at, ids = read_part(self._job, index, at)
            yield ids
            self._joined = index + 1
            if file.tell() - flushed >= FLUSHED:
                flushed = file.tell()
                file.flush()
                _let_the_disk_begin(file.fileno())
        if at != self._job.plan.source_bytes:
            raise TokenFileError(
                f"the parts in {self._job.folder} end at byte {at:,} of {self._job.plan.source_bytes:,}; delete them"
            )


def _let_the_disk_begin(descriptor: int) -> None:
    (os.fdatasync if hasattr(os, "fdatasync") else os.fsync)(descriptor)
