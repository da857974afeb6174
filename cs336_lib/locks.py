"""One writer at a time: a lock on a file, which the system lets go however its holder ends.

Where a file system has no locks (some network mounts, Windows without `fcntl`) the work goes on without one, and says
so once. A process that is forked while a lock is held does not hold it too. The file says who holds it, for messages.
"""

from __future__ import annotations

import errno
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)
"""What file systems without locks answer."""
_POLL = 0.2
_TRIES = 20
"""Tries, some milliseconds apart, before a lock counts as held: who only looks (`is_held`) has it for a moment."""
_MISSES = 1_000
"""Times that the folder may be gone when the file is to be made: other processes remove it a few times in a row."""
_held: set[IO[str]] = set()
_said: set[str] = set()


class BusyError(RuntimeError):
    """Another process holds the lock."""


@contextmanager
def held(path: Path, busy: str, *, wait: Callable[[str], object] | None = None) -> Iterator[None]:
    """Hold a lock while the block runs.

    Args:
        path: of the lock's file; made when missing, and its folder. The block may remove both.
        busy: what to say when another process holds it; who that is, and since when, is added.
        wait: where given, wait for the other process; called once with a line that says so.

    Raises:
        BusyError: another process holds it, and `wait` is not given.
        OSError: the file can't be made.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with held(Path(folder) / "lock", "busy"):
    ...         who_holds(Path(folder) / "lock").startswith("process")
    True
    """
    file = _take(path, busy, wait)
    try:
        file.seek(0)
        file.truncate()
        file.write(f"process {os.getpid()} on {socket.gethostname()}, since {time.strftime('%Y-%m-%d %H:%M')}\n")
        file.flush()
    except OSError:  # a full disk: the lock holds all the same
        pass
    _held.add(file)
    try:
        yield
    finally:
        _held.discard(file)
        with suppress(OSError):
            file.seek(0)
            file.truncate()
        with suppress(OSError):
            file.close()


def make_folder(folder: Path, *, parents: bool = False) -> None:
    """Make a folder, if it is not there, although another process may make or remove it at this moment.

    Raises:
        FileExistsError: a file has the name, or a link that leads nowhere.
        FileNotFoundError: there is no folder to make it in, and `parents` is not given; or there is, and none can be
            made there, as in /proc.
    """
    misses = 0
    while not folder.is_dir():
        misses += 1
        if parents:
            make_folder(folder.parent, parents=True)
        try:
            folder.mkdir()
        except FileNotFoundError:  # the one above was removed by another process
            if not parents or misses > _MISSES:
                raise
        except FileExistsError:
            if folder.is_symlink() and not folder.exists():
                why = f"a link to {folder.readlink()}, which is not there"
            elif folder.exists() and not folder.is_dir():
                why = "a file"
            elif misses <= _MISSES:
                continue  # made by another process, and maybe removed again
            else:
                why = "there, and can't be seen"
            raise FileExistsError(f"{folder} is {why}, and a folder belongs there; move it away") from None


def is_held(path: Path) -> bool:
    """Return whether a process holds the lock; False where there are no locks."""
    if fcntl is None or not path.is_file():
        return False
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False


def work_in(folder: Path) -> bool:
    """Return whether files in a folder can be locked at all: only then is a lock that nobody holds a sign."""
    if fcntl is None:
        return False
    if not (folder / ".lock").is_file():
        return True
    with (folder / ".lock").open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError as error:
            return error.errno not in _NO_LOCKS
        return True


def who_holds(path: Path) -> str:
    """Return who holds the lock, as far as its file says, in one line."""
    try:
        return " ".join(path.read_text(encoding="utf-8", errors="replace").split())
    except OSError:
        return ""


def _take(path: Path, busy: str, wait: Callable[[str], object] | None) -> IO[str]:
    waiting, tries, missed = False, 0, 0
    while True:
        make_folder(path.parent, parents=True)
        try:
            file = path.open("a+", encoding="utf-8", errors="backslashreplace")  # a host may have any bytes for a name
        except FileNotFoundError:
            if path.is_symlink() and not path.exists():
                raise FileNotFoundError(
                    f"{path} is a link to {path.readlink()}, which is not there; remove the link"
                ) from None
            missed += 1
            if missed > _MISSES:
                raise
            continue  # its last holder has just removed the folder
        except IsADirectoryError:
            raise FileExistsError(f"{path} is a folder, and a file belongs there; move it away") from None
        try:
            if fcntl is None:
                return file
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno in _NO_LOCKS:
                    _say_once(f"{path.parent} is on a file system without locks: nothing keeps a second process away")
                    return file
                if not isinstance(error, BlockingIOError):
                    raise
            else:
                if _is_still(path, file):
                    return file
                file.close()  # its last holder removed it
                continue
        except BaseException:
            file.close()
            raise
        file.close()
        tries += 1
        if tries < _TRIES:
            time.sleep(0.005)
            continue
        who = who_holds(path)
        line = busy + (f" ({who})" if who else "")
        if wait is None:
            raise BusyError(line)
        if not waiting:
            wait(f"{line}; waiting for it")
            waiting = True
        time.sleep(_POLL)


def _is_still(path: Path, file: IO[str]) -> bool:
    """Whether the name still is that of the open file."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


def _say_once(line: str) -> None:
    if line not in _said:
        _said.add(line)
        print(f"cs336_lib: {line}", file=sys.stderr, flush=True)


def _let_go_in_a_child() -> None:
    """A forked process shares its parent's open files, and would hold the lock for as long as it lives."""
    for file in list(_held):
        with suppress(OSError):
            os.close(file.fileno())
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go_in_a_child)
