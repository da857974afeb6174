"""`train_bpe`: a text file in, a vocabulary and merges out.

::

    bad input?  ->  count pre-tokens (counting/)  ->  merge (merging/)  ->  vocabulary

Both stages have a road in plain Python, too (`plain.trainer`), with the same result. Which is taken::

    <= 4 kB        plain: loading the kernels would take longer
    kernels ready  compiled
    < 20 MB        plain at once, while other processes compile; should they finish first, compiled from the start:
                   all that plain Python did by then takes the kernels a moment
    more           compiled, as soon as that is done
"""

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from cs336_lib.bpe.arguments import (
    checked_min_count,
    checked_path,
    checked_specials,
    checked_vocab_size,
    checked_workers,
)
from cs336_lib.bpe.plain.definition import Pair, build_vocabulary
from cs336_lib.peak_memory import peak_memory

if TYPE_CHECKING:
    from cs336_lib.bpe.counting.word_table import WordCounts

_ALWAYS_PLAIN_BYTES = 4_000
_WORTH_COMPILING_BYTES = 300_000
"""What plain Python has trained on before a compiler has fairly begun."""
_NEVER_PLAIN_BYTES = 20_000_000
_LOOK_SECONDS = 0.2
_PIECE_BYTES = 1 << 20
_BYTES = 256


@dataclass(frozen=True)
class TrainingStats:
    """What a training took.

    Attributes:
        bytes: size of the corpus.
        words: pre-tokens in it.
        distinct_words: different ones among them.
        workers: threads that counted; 0 where an executor did.
        compiled: whether the compiled kernels were used.
        seconds: stage -> seconds: count, merge, total.
        peak_memory: most bytes of memory that this process has ever held, or None where the system doesn't tell.
    """

    bytes: int
    words: int
    distinct_words: int
    workers: int
    compiled: bool
    seconds: dict[str, float] = field(default_factory=dict)
    peak_memory: int | None = None


@dataclass(frozen=True)
class BPEResult:
    """A trained vocabulary and its merges; unpacks as those two.

    Attributes:
        vocab: id -> bytes: the 256 bytes, the merges, the special tokens.
        merges: pairs of tokens, in the order they were merged.
        stats: what it took.
    """

    vocab: dict[int, bytes]
    merges: list[Pair]
    stats: TrainingStats

    def __iter__(self) -> Iterator[Any]:
        yield self.vocab
        yield self.merges


def train_bpe(
    input_path: str | os.PathLike[str],
    vocab_size: int,
    special_tokens: Sequence[str] | None = (),
    *,
    workers: int | None = None,
    executor: Executor | None = None,
    progress: bool = False,
    shards: str | os.PathLike[str] | None = None,
    min_count: int = 1,
) -> BPEResult:
    r"""Train a byte-level BPE tokenizer on a text file (CS336 assignment 1, problem train_bpe).

    Args:
        input_path: a text file, UTF-8. Bytes that aren't are kept; for the pre-token pattern each of them is a symbol
            that is no letter, number or white space.
        vocab_size: most entries of the vocabulary: the 256 bytes, the merges and the special tokens together. It stays
            smaller if no pair is left to merge.
        special_tokens: strings that are one token each and take no part in counting or merging. They come last in the
            vocabulary; one of a single byte is the entry of that byte. None for none.
        workers: threads that count; as many as there are processors by default. The result doesn't depend on it.
        executor: any `concurrent.futures.Executor`, `client.get_executor()` of a Dask cluster included, to count
            instead of threads. Its workers must be able to import this package, to read `input_path` and to write to
            `shards`. The result doesn't depend on it either.
        progress: show progress bars.
        shards: with an executor, the folder for what its workers have finished; `INPUT_PATH.counts` by default. It is
            made, and removed at the end; after a kill, the same call goes on from what lies there.
        min_count: leave out pre-tokens that occur less often. With 1 the result is exact; more is for texts whose
            distinct pre-tokens don't fit into memory.

    Returns:
        Vocabulary and merges; `vocab, merges = train_bpe(...)` works. The most frequent pair is merged, ties go to the
        lexicographically greater pair of byte strings.

    Raises:
        FileNotFoundError: there is no such file.
        IsADirectoryError: the path is a folder.
        ValueError: the file is empty, the vocabulary has no room for the bytes and the special tokens, a special token
            is empty or given twice, there is no worker, or `min_count` is below 1.
        PermissionError: this process or a worker may not read the text or write to `shards`.
        TypeError: a special token isn't a string, or the vocabulary size isn't an integer.
        FileChangedError: the file was written to meanwhile.

    >>> import tempfile, pathlib
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "corpus.txt"
    ...     _ = path.write_text("low low low low low lower lower<|endoftext|>low")
    ...     vocab, merges = train_bpe(path, 260, ["<|endoftext|>"])
    >>> merges
    [(b'o', b'w'), (b'l', b'ow'), (b' ', b'low')]
    >>> vocab[258], vocab[259]
    (b' low', b'<|endoftext|>')
    """
    started = time.perf_counter()
    specials = checked_specials(special_tokens)
    appended = [token for token in specials if len(token.encode()) > 1]
    max_merges = checked_vocab_size(vocab_size, len(appended)) - _BYTES - len(appended)
    workers = checked_workers(workers)
    min_count = checked_min_count(min_count)
    if shards is not None and executor is None:
        raise ValueError(f"shards={str(shards)!r} is for what an executor's workers count; give an executor, too")
    path, size = checked_path(input_path)
    folder = None if shards is None else Path(shards)
    order = _Order(path, size, max_merges, specials, workers, executor, folder, min_count, progress)

    merges, stats = _train(order)
    stats.seconds["total"] = time.perf_counter() - started
    return BPEResult(build_vocabulary(merges, appended), merges, stats)


@dataclass(frozen=True)
class _Order:
    """What was asked for, checked."""

    path: Path
    size: int
    max_merges: int
    specials: list[str]
    workers: int
    executor: Executor | None
    shards: Path | None
    min_count: int
    progress: bool


def _train(order: _Order) -> tuple[list[Pair], TrainingStats]:
    road = _road(order.size)
    if road == "compiled" or (road == "both" and order.executor is not None):
        return _train_compiled(order)
    with suppress(_OvertakenError):
        return _train_plainly(order, _ready if road == "both" else lambda: False)
    return _train_compiled(order)


def _road(size: int) -> Literal["plain", "compiled", "both"]:
    """The road of a text of `size` bytes; see the module's table."""
    if size <= _ALWAYS_PLAIN_BYTES:
        return "plain"
    if _ready():
        return "compiled"
    if size < _WORTH_COMPILING_BYTES:
        return "plain"
    will_be_ready = [library.prepare() for library in _libraries()]
    if size >= _NEVER_PLAIN_BYTES:
        return "compiled"
    return "both" if all(will_be_ready) else "plain"


def _ready() -> bool:
    return all(library.is_ready() for library in _libraries())


def _libraries() -> tuple[Any, ...]:
    """The compiled kernels of the two stages."""
    from cs336_lib.bpe.counting.word_table import COUNTING
    from cs336_lib.bpe.merging.merger import MERGING

    return COUNTING, MERGING


class _OvertakenError(Exception):
    """The kernels are ready, and will finish sooner from the start than plain Python from here."""


class _Lookout:
    """Look every now and then whether the kernels are ready, and raise `_OvertakenError` if so."""

    def __init__(self, ready: Callable[[], bool]) -> None:
        self._ready = ready
        self._next = time.monotonic() + _LOOK_SECONDS

    def __call__(self) -> None:
        if time.monotonic() >= self._next:
            if self._ready():
                raise _OvertakenError
            self._next = time.monotonic() + _LOOK_SECONDS


def _train_plainly(order: _Order, ready: Callable[[], bool]) -> tuple[list[Pair], TrainingStats]:
    from cs336_lib.bpe.plain.trainer import train_incrementally

    started = time.perf_counter()
    look = _Lookout(ready)
    words = _counted_plainly(order, look)
    kept = {word: count for word, count in words.items() if count >= order.min_count}
    counted = time.perf_counter()
    with _bar(order.progress, order.max_merges, "merging", "merges") as report:
        merges = []
        for merge in train_incrementally(kept, order.max_merges):
            merges.append(merge)
            report(1)
            look()
    seconds = {"count": counted - started, "merge": time.perf_counter() - counted}
    return merges, TrainingStats(order.size, sum(kept.values()), len(kept), 1, False, seconds, peak_memory())


def _counted_plainly(order: _Order, look: Callable[[], object]) -> Counter[bytes]:
    from cs336_lib.bpe.cutting.cuts import CutFile
    from cs336_lib.bpe.plain.trainer import count_words_plainly

    words: Counter[bytes] = Counter()
    with order.path.open("rb", buffering=0) as file, _bar(order.progress, order.size, "counting", "B") as report:
        pieces = CutFile(file, order.size, [token.encode() for token in order.specials])
        for start in range(0, order.size, _PIECE_BYTES):
            stop = min(start + _PIECE_BYTES, order.size)
            text, size = pieces.read_piece(start, stop)
            words.update(count_words_plainly(text[:size].tobytes(), order.specials))
            report(stop - start)
            look()
    return words


def _train_compiled(order: _Order) -> tuple[list[Pair], TrainingStats]:
    from cs336_lib.bpe.merging.merger import Merger

    started = time.perf_counter()
    with _counted(order) as words:
        counted = time.perf_counter()
        with _bar(order.progress, order.max_merges, "merging", "merges") as report:
            merges = Merger(words, order.max_merges).run(report)
    seconds = {"count": counted - started, "merge": time.perf_counter() - counted}
    stats = TrainingStats(
        bytes=order.size,
        words=int(words.counts.sum()),
        distinct_words=len(words),
        workers=0 if order.executor is not None else order.workers,
        compiled=True,
        seconds=seconds,
        peak_memory=peak_memory(),
    )
    return merges, stats


@contextmanager
def _counted(order: _Order) -> "Iterator[WordCounts]":
    """The words of a text; what an executor counted stays on disk until the block ends."""
    if order.executor is None:
        from cs336_lib.bpe.counting.threads import count_file

        with _bar(order.progress, order.size, "counting", "B") as report:
            words = count_file(order.path, order.specials, order.workers, report)
        yield words.at_least(order.min_count)
        return
    from cs336_lib.bpe.counting.shards import counted

    bar = partial(_bar, order.progress)
    with counted(order.path, order.specials, order.executor, order.shards, order.min_count, bar) as words:
        yield words


@contextmanager
def _bar(wanted: bool, total: int, task: str, unit: str) -> Iterator[Callable[[int], object]]:
    """A progress bar as a function to call with how much more is done."""
    if not wanted:
        yield lambda more: None
        return
    from cs336_lib.bars import bar

    with bar(total=total, desc=task, unit=unit, unit_scale=True) as shown:
        yield shown.update
