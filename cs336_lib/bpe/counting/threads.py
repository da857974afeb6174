"""Counting the pre-tokens of a file by threads of this process; `shards` does it on many machines.

    file      |----piece----|----piece----|----piece----|----piece----|--        about 1 MB each, ends at cuts
    workers    A             B             B             A             ...       whoever is free takes the next
    tables     A's words + B's words = all words                                 added up at the end

Workers share nothing, kernels hold no GIL, and a piece never leaves the processor's cache between being read and being
counted. Memory follows the number of distinct pre-tokens, not the file. Sums don't depend on who counted what, so any
number of workers gives the same counts.
"""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from cs336_lib.bpe.counting.word_table import SpecialTable, WordCounts, WordTable
from cs336_lib.bpe.cutting.cuts import CutFile, FileChangedError, fingerprint

PIECE_BYTES = 1 << 20
"""Small enough to stay in a core's cache, large enough that the Python around it costs under 5 %."""

Report = Callable[[int], object]


@dataclass(frozen=True)
class Shard:
    """A range of a file for a worker elsewhere to count: small to pickle, and all that it needs to know.

    Attributes:
        path: absolute; the worker must see the same file there.
        start: first byte of the range; the worker moves it to a cut.
        stop: byte behind the range, likewise.
        special_tokens: cut out before anything is counted.
        fingerprint: size and date of the file, by which the worker knows that it sees the same.
    """

    path: str
    start: int
    stop: int
    special_tokens: tuple[str, ...]
    fingerprint: tuple[int, int]


def count_file(
    path: str | os.PathLike[str],
    special_tokens: Sequence[str],
    workers: int,
    report: Report | None = None,
) -> WordCounts:
    """Count the pre-tokens of a file.

    Args:
        path: of the file.
        special_tokens: cut out before anything is counted.
        workers: threads to count with.
        report: called with a number of bytes whenever that many more are counted, from whichever thread did.

    Returns:
        The distinct pre-tokens and their counts, in no particular order.

    Raises:
        FileChangedError: the file changed meanwhile.
    """
    path = Path(path).absolute()
    before = fingerprint(path.stat())
    whole = Shard(str(path), 0, before[0], tuple(special_tokens), before)
    table = _count_in_threads(whole, workers, report or _no_report)
    check_unchanged(whole, fingerprint(path.stat()))
    return table.words()


def count_shard(shard: Shard) -> WordCounts:
    """Count the pre-tokens of a shard."""
    table = WordTable()
    _count_pieces(shard, range(shard.start, shard.stop, PIECE_BYTES), table, _no_report)
    return table.words()


def _no_report(size: int) -> None:
    """Report to nobody."""


def _count_pieces(shard: Shard, starts: "range | _Turns", table: WordTable, report: Report) -> None:
    encoded = [token.encode() for token in shard.special_tokens]
    specials = SpecialTable(encoded)
    with Path(shard.path).open("rb", buffering=0) as file:
        check_unchanged(shard, fingerprint(os.fstat(file.fileno())))
        pieces = CutFile(file, shard.fingerprint[0], encoded)
        for start in starts:
            stop = min(start + PIECE_BYTES, shard.stop)
            text, size = pieces.read_piece(start, stop)
            table.count(text, size, specials)
            report(stop - start)


class _Turns:
    """An iterator that several threads draw from, until it ends or one of them fails."""

    def __init__(self, values: range) -> None:
        self._values = iter(values)
        self._lock = threading.Lock()

    def __iter__(self) -> Iterator[int]:
        return self

    def __next__(self) -> int:
        with self._lock:
            return next(self._values)

    def end(self) -> None:
        """Give out no more."""
        with self._lock:
            self._values = iter(range(0))


def _count_in_threads(whole: Shard, workers: int, report: Report) -> WordTable:
    starts = range(whole.start, whole.stop, PIECE_BYTES)
    tables = [WordTable() for _ in range(max(1, min(workers, len(starts))))]
    if len(tables) == 1:
        _count_pieces(whole, starts, tables[0], report)
        return tables[0]
    turns = _Turns(starts)
    with ThreadPoolExecutor(len(tables)) as pool:
        try:
            futures = [pool.submit(_count_pieces, whole, turns, table, report) for table in tables]
            for future in as_completed(futures):
                future.result()
        finally:
            turns.end()
    total = tables.pop()
    while tables:
        total.add(tables.pop().words())
    return total


def check_unchanged(shard: Shard, found: tuple[int, int]) -> None:
    """Raise FileChangedError if a file's fingerprint is not the one that a shard was cut by."""
    if found != shard.fingerprint:
        raise FileChangedError(
            f"{shard.path} changed while it was read: it had {shard.fingerprint[0]:,} bytes, dated "
            f"{shard.fingerprint[1]} ns, and now has {found[0]:,} bytes, dated {found[1]} ns. "
            "Train again when nothing writes to it"
        )
