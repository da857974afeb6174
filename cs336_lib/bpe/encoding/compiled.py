"""The compiled encoder: many calls and threads at a time, each with a workspace of its own.

A call takes a workspace from the shelf, or a new one if all are in use, and puts it back. So threads never share one,
and the words that were seen stay known. Kernels run without the GIL; a big text goes to the threads in jobs of about 1
MB, taken in turn (two halves would wait for the slower one), and comes out in order.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from cs336_lib.bpe.encoding.gathering import Gathering
from cs336_lib.bpe.encoding.jobs import jobs
from cs336_lib.bpe.encoding.string_bytes import joined_bytes, readable, text_bytes
from cs336_lib.bpe.encoding.wide_text import SurrogateError, WideText
from cs336_lib.bpe.encoding.workspace import JOB_BYTES, PADDING, MergeTables, Workspace, listed
from cs336_lib.bpe.vocabulary import Vocabulary

GROUP = 1 << 18
"""Characters of short texts that are encoded together: while their lists are made, a thread is at the next."""

Item = TypeVar("Item")
Result = TypeVar("Result")


class CompiledEncoder:
    """Encode UTF-8 bytes, or the characters of a string, with compiled kernels. The first one compiles them.

    >>> from cs336_lib.bpe.vocabulary import Vocabulary
    >>> vocabulary = Vocabulary({i: bytes([i]) for i in range(256)} | {256: b"hi"}, [(b"h", b"i")])
    >>> CompiledEncoder(vocabulary).encode(b"hi hi")
    array([256,  32, 256], dtype=int32)
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._tables = MergeTables(vocabulary)
        self._shelf: list[Workspace] = []  # a list's append and pop are atomic

    def encode(self, data: "bytes | memoryview | WideText", workers: int = 1) -> np.ndarray:
        """The ids of a text as int32; of characters, SurrogateError where one has no UTF-8 form."""
        if workers > 1 and len(data) > JOB_BYTES:
            return self._encode_shared(data, workers)
        return self._with_workspace(lambda workspace: workspace.encode(data, 0, len(data)))

    def _encode_shared(self, data: "bytes | memoryview | WideText", workers: int) -> np.ndarray:
        """The ids of a text that several threads encode, while the caller's waits.

        It doesn't take part, since it may be interrupted anywhere: also with a lock that the others wait for.
        """
        gathering = Gathering(jobs(data, 0, len(data), JOB_BYTES, self._tables.specials), len(data) // 2)

        def fill(workspace: Workspace) -> None:
            try:
                for number, piece in gathering.pieces():
                    gathering.put(number, workspace.encode_here(data, *piece))
            except BaseException:
                gathering.stop()
                raise

        threads = min(workers, 1 + len(data) // JOB_BYTES)
        with ThreadPoolExecutor(threads) as pool:
            try:
                for filling in [pool.submit(self._with_workspace, fill) for _ in range(threads)]:
                    filling.result()
            except BaseException:
                gathering.stop()
                raise
        return gathering.ids()

    def encode_to_list(self, data: "bytes | memoryview | WideText") -> list[int]:
        """The ids of a text as a list."""
        return self._with_workspace(lambda workspace: workspace.encode_to_list(data))

    def blocks(self, data: "bytes | memoryview | WideText", size: int, workers: int = 1) -> Iterator[np.ndarray]:
        """The ids of a text in order, one array for each `size` bytes or characters or so."""
        pieces = jobs(data, 0, len(data), size, self._tables.specials)
        return in_order(
            lambda piece: self._with_workspace(lambda workspace: workspace.encode(data, *piece)),
            pieces,
            workers if workers > 1 else 0,
        )

    def encode_texts(self, texts: Sequence[str], workers: int = 1) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The ids of several texts, each for itself, a group of texts at a time.

        Whoever asks for them has work of their own with each group and is counted among the workers.

        Returns:
            The ids of a group, int32, and where those of each of its texts end, int64.
        """
        return in_order(self._encode_group, _groups(texts), workers - 1)

    def _encode_group(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        if len(texts) > 1:
            joined, ends = joined_bytes(texts, PADDING)
            return self._with_workspace(lambda workspace: workspace.encode_texts(joined, ends))
        try:
            ids = self.encode(readable(texts[0]))
        except SurrogateError:
            ids = self.encode(text_bytes(texts[0]))
        return ids, np.array([len(ids)], np.int64)

    def listed(self, ids: np.ndarray) -> list[int]:
        """Ids as a list."""
        return listed(ids, self._tables.integers)

    def _with_workspace(self, work: Callable[[Workspace], Result]) -> Result:
        try:
            workspace = self._shelf.pop()
        except IndexError:
            workspace = Workspace(self._tables)
        result = work(workspace)
        self._shelf.append(workspace)  # not after an error: what it holds then is anybody's guess
        return result


def in_order(work: Callable[[Item], Result], items: Iterable[Item], threads: int) -> Iterator[Result]:
    """Results of `work` in the order of `items`, made by threads that run a little ahead of the reader; 0 for none.

    >>> list(in_order(abs, [-1, -2, 3], threads=2))
    [1, 2, 3]
    """
    if not threads:
        yield from map(work, items)
        return
    pending: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for item in items:
            pending.append(pool.submit(work, item))
            if len(pending) > 2 * threads:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


def _groups(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    """Texts in groups of about GROUP characters; one that is longer is a group of its own.

    >>> [len(group) for group in _groups(["a", "b", "c" * GROUP, "d"])]
    [2, 1, 1]
    """
    ends = np.cumsum(np.fromiter(map(len, texts), np.int64, len(texts)))
    first, done = 0, 0
    while first < len(texts):
        last = max(int(ends.searchsorted(done + GROUP, "right")), first + 1)
        yield texts[first:last]
        first, done = last, int(ends[last - 1])
