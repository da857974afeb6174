"""Counting the pre-tokens of a file by anybody's executor: processes, or the machines of a cluster (chapter 11).

::

    text          |----shard 0----|----shard 1----|----shard 2----|--       cut where the pattern provably cuts
    count         00000.counts    00001.counts    00002.counts              in each, words in groups by their hash
                   0 1 2 3         0 1 2 3         0 1 2 3
    add up        0000.sums: group 0 of all;   0001.sums: group 1 of all;   ...
    merge         the sums one after the other: no word is in two of them

A task is a few numbers and a path: workers read the text and write their counts themselves, and none of them ever holds
more than the words of a shard or of a group. Both kinds of files appear when they are complete and are the same whoever
makes them. So a lost worker costs the task it had in hand, a lost run goes on where it was, and the counts are those of
one thread.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cs336_lib.bpe.counting.counts_file import is_whole, read_group, write_counts
from cs336_lib.bpe.counting.threads import Shard, check_unchanged, count_shard
from cs336_lib.bpe.counting.word_table import WordCounts, WordTable
from cs336_lib.bpe.cutting.cuts import fingerprint
from cs336_lib.native.library import PADDING
from cs336_lib.workshop import carry_out, on_shared_storage, workshop

MB = 10**6
_MOST_SHARDS, _SMALLEST_SHARD, _LARGEST_SHARD = 64, 4 * MB, 1_000 * MB
_GROUP_BYTES = 4_000 * MB
"""Text per group: about a hundred MB of distinct words at most."""
_FEWEST_GROUPS, _MOST_GROUPS = 4, 4_096
_FORMAT = 1

Bar = Callable[[int, str, str], AbstractContextManager[Callable[[int], object]]]
"""What a stage shows its progress by: from its size, its name and the unit to a function to call with what is done."""


@dataclass(frozen=True)
class Sharding:
    """How the work on a text is cut up.

    Attributes:
        whole: all of the text.
        folder: where counts and sums lie.
        shard_bytes: size of a shard.
        groups: how many groups words are sorted into.
        min_count: words that occur less often are left out of the sums.
    """

    whole: Shard
    folder: Path
    shard_bytes: int
    groups: int
    min_count: int = 1

    @classmethod
    def of(cls, whole: Shard, folder: Path, min_count: int) -> Sharding:
        """A shard is 4 MB to 1 GB, and there are up to 64 of them as long as that is possible."""
        size = whole.stop
        shard_bytes = min(max(-(-size // _MOST_SHARDS), _SMALLEST_SHARD), _LARGEST_SHARD)
        groups = min(max(-(-size // _GROUP_BYTES), _FEWEST_GROUPS), _MOST_GROUPS)
        return cls(whole, folder, shard_bytes, groups, min_count)

    @property
    def shards(self) -> int:
        """How many shards there are."""
        return -(-self.whole.stop // self.shard_bytes)

    def shard(self, number: int) -> Shard:
        """A shard, as a worker needs to know it."""
        start = number * self.shard_bytes
        stop = min(start + self.shard_bytes, self.whole.stop)
        return Shard(self.whole.path, start, stop, self.whole.special_tokens, self.whole.fingerprint)

    def counts(self, shard: int) -> Path:
        """Where the counts of a shard lie when they are complete."""
        return self.folder / f"{shard:05}.counts"

    def sums(self, group: int) -> Path:
        """Where the sums of a group lie when they are complete."""
        return self.folder / f"{group:04}.sums"


@contextmanager
def counted(
    path: Path,
    special_tokens: Sequence[str],
    executor: Executor,
    folder: Path | None,
    min_count: int,
    bar: Bar,
) -> Iterator[WordCounts]:
    """Count the pre-tokens of a file by an executor; what is finished stays on disk until the block ends.

    Args:
        path: of the file.
        special_tokens: cut out before anything is counted.
        executor: its workers must be able to import this package, to read the path and to write to the folder.
        folder: where the work lies, on storage that all workers see; `PATH.counts` when None. It is made and removed.
        min_count: leave out words that occur less often.
        bar: shows the progress.

    Yields:
        The distinct pre-tokens and their counts, in no particular order.

    Raises:
        FileNotFoundError, PermissionError: a worker, or this process, can't reach the text or the folder.
        FileChangedError: the text changed meanwhile.
        DamagedCountsError: a file of counts is not as it was written.
        RuntimeError: another process works in the folder, or the executor gave up.
    """
    path = path.absolute()
    before = fingerprint(path.stat())
    folder = path.with_name(path.name + ".counts") if folder is None else folder.absolute()
    work = Sharding.of(Shard(str(path), 0, before[0], tuple(special_tokens), before), folder, min_count)
    plan = {
        "format": _FORMAT,
        "fingerprint": before,
        "special_tokens": list(special_tokens),
        "shard_bytes": work.shard_bytes,
        "groups": work.groups,
        "min_count": min_count,
    }
    _check_folder(folder)
    with workshop(folder, plan, finished=(".counts", ".sums")):
        todo = [number for number in range(work.shards) if not counts_there(work, number)]
        with bar(before[0], "counting", "B") as report:
            report(before[0] - sum(_size(work.shard(number)) for number in todo))
            carry_out(executor, count_one, [(work, number) for number in todo], counts_there, report)
        check_unchanged(work.whole, fingerprint(path.stat()))
        groups = [group for group in range(work.groups) if not sums_there(work, group)]
        with bar(work.groups, "adding up", "groups") as report:
            report(work.groups - len(groups))
            carry_out(executor, add_up, [(work, group) for group in groups], sums_there, report)
        yield collect(work)


def counts_there(work: Sharding, number: int) -> int | None:
    """How many bytes of text a shard has, if its counts are there."""
    return _size(work.shard(number)) if is_whole(work.counts(number), work.groups) else None


def sums_there(work: Sharding, group: int) -> int | None:
    """1 group, if its sums are there."""
    return 1 if is_whole(work.sums(group), 1) else None


def count_one(work: Sharding, number: int) -> int:
    """Count a shard and put it down, unless somebody has: what a worker does first. Returns bytes of text."""
    shard, target = work.shard(number), work.counts(number)
    if not counts_there(work, number):
        with on_shared_storage(Path(shard.path)):
            words = count_shard(shard)
        with on_shared_storage(target, "write"):
            write_counts(target, words.by_group(work.groups))
    return _size(shard)


def add_up(work: Sharding, group: int) -> int:
    """Add up one group of all shards and put it down, unless somebody has: what a worker does then. Returns 1."""
    if not sums_there(work, group):
        table = WordTable()
        with on_shared_storage(work.folder):
            for number in range(work.shards):
                table.add(read_group(work.counts(number), group))
        with on_shared_storage(work.sums(group), "write"):
            write_counts(work.sums(group), [table.words().at_least(work.min_count)])
    return 1


def collect(work: Sharding) -> WordCounts:
    """All sums one after the other."""
    groups = [read_group(work.sums(group), 0) for group in range(work.groups)]
    sizes = [int(words.bounds[-1]) for words in groups]
    text = np.zeros(sum(sizes) + PADDING, np.uint8)
    bounds, counts = [np.zeros(1, np.int64)], []
    at = 0
    for size in sizes:
        words = groups.pop(0)
        text[at : at + size] = words.text[:size]
        bounds.append(words.bounds[1:] + at)
        counts.append(words.counts)
        at += size
    return WordCounts(text, np.concatenate(bounds), np.concatenate(counts))


def _check_folder(folder: Path) -> None:
    """Say before hours of work that the folder for it can't be made."""
    if not folder.parent.is_dir():
        raise FileNotFoundError(f"no folder {str(folder.parent)!r} to make {folder.name!r} in; create it first")
    if not os.access(folder if folder.is_dir() else folder.parent, os.W_OK):
        raise PermissionError(
            f"can't write to {folder}; name a folder on storage that all workers share: shards=FOLDER"
        )


def _size(shard: Shard) -> int:
    return shard.stop - shard.start
