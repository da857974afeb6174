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

from cs336_lib.bpe.encoding.jobs import jobs
from cs336_lib.bpe.encoding.wide_text import WideText
from cs336_lib.bpe.encoding.workspace import JOB_BYTES, MergeTables, Workspace, listed, with_room
from cs336_lib.bpe.vocabulary import Vocabulary

Item = TypeVar("Item")
Result = TypeVar("Result")


class CompiledEncoder:
    """Encode UTF-8 bytes, or the characters of a string, with compiled kernels. The first one compiles them.

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
            return _joined(self.blocks(data, JOB_BYTES, workers), len(data) // 2)
        return self._with_workspace(lambda workspace: workspace.encode(data, 0, len(data)))

    def encode_to_list(self, data: "bytes | memoryview | WideText") -> list[int]:
        """The ids of a text as a list."""
        return self._with_workspace(lambda workspace: workspace.encode_to_list(data))

    def blocks(self, data: "bytes | memoryview | WideText", size: int, workers: int = 1) -> Iterator[np.ndarray]:
        """The ids of a text in order, one array for each `size` bytes or characters or so."""
        pieces = jobs(data, 0, len(data), size, self._tables.specials)
        return in_order(
            lambda piece: self._with_workspace(lambda workspace: workspace.encode(data, *piece)), pieces, workers
        )

    def encode_texts(self, texts: "Sequence[bytes | memoryview]", workers: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """The ids of several texts, each for itself.

        Returns:
            All ids, int32, and where those of each text end, int64.
        """
        groups = in_order(
            lambda group: self._with_workspace(lambda workspace: workspace.encode_texts(group)), _groups(texts), workers
        )
        ids, ends, offset = [np.empty(0, np.int32)], [np.empty(0, np.int64)], 0
        for group_ids, group_ends in groups:
            ids.append(group_ids)
            ends.append(group_ends + offset)
            offset += len(group_ids)
        return np.concatenate(ids), np.concatenate(ends)

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


def in_order(work: Callable[[Item], Result], items: Iterable[Item], workers: int) -> Iterator[Result]:
    """Results of `work` in the order of `items`, made by threads that run a little ahead of the reader.

    >>> list(in_order(abs, [-1, -2, 3], workers=2))
    [1, 2, 3]
    """
    if workers == 1:
        yield from map(work, items)
        return
    pending: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        for item in items:
            pending.append(pool.submit(work, item))
            if len(pending) > 2 * workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


def _joined(blocks: Iterable[np.ndarray], expected: int) -> np.ndarray:
    """All ids in one array, each block copied while those behind it are in work."""
    ids, written = np.empty(expected, np.int32), 0
    for block in blocks:
        ids = with_room(ids, written, len(block))
        ids[written : written + len(block)] = block
        written += len(block)
    ids.resize(written, refcheck=False)
    return ids


def _groups(texts: "Sequence[bytes | memoryview]") -> "Iterator[Sequence[bytes | memoryview]]":
    """Texts in groups of about JOB_BYTES."""
    first, size = 0, 0
    for index, text in enumerate(texts):
        size += len(text)
        if size >= JOB_BYTES:
            yield texts[first : index + 1]
            first, size = index + 1, 0
    if first < len(texts):
        yield texts[first:]
