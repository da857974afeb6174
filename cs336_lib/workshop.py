"""One job in many parts, by threads, processes or a cluster: a folder for what is finished, and who does what next.

::

    corpus.tokens.parts/plan.json     what the parts belong to
    corpus.tokens.parts/00000.ids     a finished part: that it has its name is the mark that it is done
    corpus.tokens.parts/lock          held by the process that hands out the work

Encoding a text (`data.encode`) and counting its pre-tokens on a cluster (`bpe.counting.shards`) both work like this
(chapters 3 and 11). A part takes its name only when it is complete (`atomic.replacing`), and doing one twice gives the
same file. So whoever is killed at any moment, worker or not, loses the parts in hand, and the next run does the rest.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Executor, Future, wait
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from cs336_lib.atomic import replacing
from cs336_lib.jsonfile import parsed
from cs336_lib.locks import held, is_held, make_folder

PLAN, LOCK = "plan.json", "lock"
IN_FLIGHT = 1_024
"""Tasks that a pool of unknown size gets at a time: enough for hundreds of workers, and a short list to keep."""
_LOOKS, _BETWEEN = 10, 0.02
"""How often, and how many seconds apart, a folder that seems to be somebody else's is looked at: one that another
process tidies up at this moment seems so, too."""
PATIENCE = 5.0
"""Seconds without a word from any worker after which the folder is looked at instead."""
T = TypeVar("T")


@contextmanager
def workshop(
    folder: Path,
    plan: Mapping[str, Any],
    *,
    finished: str | tuple[str, ...],
    other: tuple[str, ...] = (),
    resume: bool = True,
    hopeless: tuple[type[Exception], ...] = (),
    wait: Callable[[str], object] | None = None,
) -> Iterator[None]:
    """The folder of parts: made or taken up again, held against other processes, removed when all went well.

    Args:
        folder: where the parts lie; made when missing.
        plan: what the parts belong to, as JSON knows it; parts of another plan are removed.
        finished: endings of the names of finished parts.
        other: names of other files that may lie here; they don't outlive a run.
        resume: whether to keep finished parts of the same plan.
        hopeless: errors after which the parts can't be of use, and go.
        wait: where given, wait for another process that works in the folder; called with a line that says so.

    Raises:
        RuntimeError: another process works in the folder.
        ValueError: the folder holds something else.
        FileExistsError: a file has the folder's name.
        OSError: the folder can't be made or written to.
    """
    finished = (finished,) if isinstance(finished, str) else finished
    names, endings = (PLAN, LOCK, *other), (*finished, ".part")
    make_folder(folder)
    _check_before_locking(folder, names, endings)
    busy = f"another process is working in {folder}; wait for it, or choose another name"
    done = False
    with held(folder / LOCK, busy, wait=wait):
        _check_ours(folder, names, endings)
        same = resume and _read_plan(folder) == json.loads(json.dumps(plan))
        _clear(folder, lambda path: same and (path.name == PLAN or path.suffix in finished))
        if not same:
            with replacing(folder / PLAN) as file:
                file.write(json.dumps(plan).encode())
        try:
            yield
            done = True
        except hopeless:
            done = True
            raise
        finally:
            if done:
                _clear(folder, lambda path: False)
                with suppress(OSError):  # Windows lets nobody remove an open file
                    (folder / LOCK).unlink()
                with suppress(OSError):  # somebody else begins to work there
                    folder.rmdir()


def carry_out(
    pool: Executor,
    function: Callable[..., T],
    tasks: Iterable[tuple[Any, ...]],
    there: Callable[..., T | None],
    done: Callable[[T], object],
    ahead: int = IN_FLIGHT,
) -> None:
    """Let a pool call a function with the arguments of each task.

    A task is done when the pool says so, or when its file is there: a cluster can lose the message with the worker that
    sent it (Dask's executor then leaves its future pending for ever), but not the file. If tasks fail, the error is
    that of the first of them in order, whichever worker was quicker. However this ends, tasks that have not begun are
    canceled, and those that have are waited for where the pool can tell.

    Args:
        pool: any executor.
        function: for processes and clusters, one that can be pickled.
        tasks: arguments of each call.
        there: with the arguments of a task, what the function would return if its file is there, else None.
        done: called with the result of each task when it ends, in the caller's thread.
        ahead: most tasks that are handed out at a time.

    Raises:
        RuntimeError: the pool gave a task up, since it was shut down.
        Exception: what a task raised.

    >>> from concurrent.futures import ThreadPoolExecutor
    >>> results = []
    >>> with ThreadPoolExecutor(2) as pool:
    ...     carry_out(pool, pow, [(2, 3), (2, 4), (2, 5)], lambda base, power: None, results.append)
    >>> sorted(results)
    [8, 16, 32]
    """
    left = enumerate(tasks)
    running: dict[Future[T], tuple[int, tuple[Any, ...]]] = {}
    # Not `wait` in each round: that looks at every task in flight each time one of them ends.
    ended: SimpleQueue[Future[T]] = SimpleQueue()
    failed: tuple[int, BaseException] | None = None
    try:
        while True:
            while failed is None and len(running) < ahead and (task := next(left, None)) is not None:
                future = pool.submit(function, *task[1])
                running[future] = task
                future.add_done_callback(ended.put)
            if failed is not None and not any(number < failed[0] for number, _ in running.values()):
                raise failed[1]
            if not running:
                return
            try:
                future = ended.get(timeout=PATIENCE)
            except Empty:
                for future, (_, arguments) in list(running.items()):
                    if (found := there(*arguments)) is not None:
                        del running[future]
                        done(found)
                continue
            if future not in running:  # its file was found before
                continue
            number, arguments = running.pop(future)
            error = _error(future)
            if error is None:
                done(future.result())
            elif (found := there(*arguments)) is not None:
                done(found)
            elif failed is None or number < failed[0]:
                failed = number, error
    finally:
        wait([future for future in running if not future.cancel()])


def _error(future: Future[Any]) -> BaseException | None:
    """Why a task failed, None if it did not."""
    if future.cancelled():
        return RuntimeError("the executor gave the work up: was it shut down? What is finished is kept; call again")
    return future.exception()


@contextmanager
def on_shared_storage(path: Path, verb: str = "read") -> Iterator[None]:
    """Say what to do if this worker can't reach a file that the process which hands out the work can.

    Args:
        path: the file.
        verb: what the worker does with it: "read" or "write".

    Raises:
        FileNotFoundError, PermissionError: with the worker's host, the path and the way out.
    """
    try:
        yield
    except (FileNotFoundError, PermissionError, NotADirectoryError) as error:
        kind = PermissionError if isinstance(error, PermissionError) else FileNotFoundError
        raise kind(
            f"a worker on {socket.gethostname()} can't {verb} {path} ({error.strerror or error}): all workers must see "
            "the file under the same path; put it on storage that they share"
        ) from error


def _clear(folder: Path, keep: Callable[[Path], bool]) -> None:
    """Remove what is in the folder, but not the lock; the plan last, for it says whose the rest is."""
    for path in sorted(folder.iterdir(), key=lambda path: path.name == PLAN):
        if path.name != LOCK and not keep(path):
            path.unlink(missing_ok=True)  # a worker that was given up may be tidying up itself


def _read_plan(folder: Path) -> Any:
    try:
        return parsed((folder / PLAN).read_bytes())
    except (FileNotFoundError, ValueError):
        return None


def _check_before_locking(folder: Path, names: tuple[str, ...], endings: tuple[str, ...]) -> None:
    """Raise ValueError if the folder is somebody else's, before anything is made in it.

    What another process makes or removes meanwhile is no sign of that; who has the lock looks again.
    """
    for look in range(_LOOKS):
        try:
            return _check_ours(folder, names, endings)
        except FileNotFoundError:  # another process has removed it
            return None
        except ValueError:
            if is_held(folder / LOCK):
                return None
            if look == _LOOKS - 1:
                raise
            time.sleep(_BETWEEN)


def _check_ours(folder: Path, names: tuple[str, ...], endings: tuple[str, ...]) -> None:
    """Raise ValueError if the folder holds files of somebody else, which must not be removed with it."""
    everything = list(folder.iterdir())
    for path in everything:
        if path.is_dir() and not path.is_symlink():
            raise ValueError(f"{folder} holds a folder {path.name!r}, which is no part of this work; move it away")
    there = [path for path in everything if not path.name.startswith(".") and path.name != "Thumbs.db"]
    for path in there:
        if path.name not in names and path.suffix not in endings:
            raise ValueError(f"{folder} holds {path.name!r}, which is no part of this work; move it away")
    if any(path.name != LOCK for path in there) and not (folder / PLAN).exists():
        raise ValueError(f"{folder} holds files and no {PLAN}, so they are not of this work; move them away")
