"""Files that appear whole or not at all: written under a temporary name beside, flushed to disk, then renamed.

Where the name is a link, the file that it leads to is replaced, there or not, and the link stays: as for whoever opens
a file to write to it.
"""

from __future__ import annotations

import os
import re
import secrets
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

_STANDARD = {"stdin", "stdout", "stderr", "0", "1", "2"}
_OPEN = re.compile(r"/dev/(?:std(?:in|out|err)|fd/[0-2])|/proc/\d+(?:/task/\d+)?/fd/[0-2]")
"""Names of what a process reads and writes as a rule, wherever the shell sends it."""
_LINKS = 40
"""As many links as a system follows, one to the next."""


def followed(path: Path) -> Path:
    """The file that a name stands for: where it is a link, what that leads to, which need not be there.

    Raises:
        FileExistsError: the link leads in a circle, or to a process's standard output or the like, such as /dev/stdout.
        FileNotFoundError: it leads into a folder that is not there.
    """
    _check_not_open(path)
    if not path.is_symlink() or (path.exists() and not path.is_file()):  # a pipe, a folder: not to be replaced
        return path
    target = Path(os.path.realpath(path))
    if target.is_symlink():
        raise FileExistsError(f"{path} is a link that leads in a circle; remove it, or name another file")
    if not target.parent.is_dir():
        raise FileNotFoundError(
            f"{path} is a link to {target}, and that folder is not there; create it, or remove the link"
        )
    return target


def check_replaceable(path: Path) -> None:
    """Raise FileExistsError if something other than a file has the name: a new one in its place would destroy it."""
    _check_not_open(path)
    if path.exists() and not path.is_file():
        kind = "a folder" if path.is_dir() else "a pipe or a device, which a file in its place would destroy"
        raise FileExistsError(f"can't write {path}: it is {kind}; name a file")


def _check_not_open(path: Path) -> None:
    """Raise FileExistsError if a name leads through /dev/stdout or the like: what is printed later would be lost."""
    at = path
    for _ in range(_LINKS):
        if at.name in _STANDARD and _OPEN.fullmatch(str(Path(os.path.realpath(at.parent), at.name))):
            raise FileExistsError(f"can't write {path}: it stands for what a process reads or prints; name a file")
        if not at.is_symlink():
            return
        at = at.parent / at.readlink()


def check_still(path: Path, check: Callable[[Path], object] = check_replaceable) -> None:
    """Ask once more, right before a file takes its name, what was asked before it was written.

    Args:
        path: the final name, as `followed` returned it.
        check: raises an error if what is there would be lost.

    Raises:
        FileExistsError: something has got the name meanwhile that would be lost: a link, a folder, a file of others.
    """
    if path.is_symlink():
        raise FileExistsError(
            f"{path} has become a link to {path.readlink()} meanwhile, which would be lost; name another file, or "
            "move it away"
        )
    check(path)


def targets(folder: Path, names: Iterable[str]) -> dict[str, Path]:
    """Return the file that each name in a folder stands for: what it leads to, where it is a link.

    Raises:
        FileExistsError: one is there and no file, or two lead to one file, and the second would replace the first.
    """
    found: dict[str, Path] = {}
    for name in names:
        check_replaceable(folder / name)
        path = followed(folder / name)
        for other, there in found.items():
            if os.path.realpath(there) == os.path.realpath(path):
                raise FileExistsError(
                    f"{folder / other} and {folder / name} are one file, {path}, and need two; remove the links"
                )
        found[name] = path
    return found


def check_own(path: Path, is_own: Callable[[Path], bool], what: str, place: str = "file") -> None:
    """Raise FileExistsError if a file is there that this library did not write, and that a new one would destroy.

    A file that stands alone and is empty has nothing to lose.

    Args:
        path: where a file will be written.
        is_own: whether one that is there is of our making, of this version or an earlier one.
        what: says what it is if not, such as "no token file".
        place: what to name instead: "file" or "folder".
    """
    check_replaceable(path)
    nothing = place == "file" and path.exists() and path.stat().st_size == 0
    if path.exists() and not nothing and not is_own(path):
        raise FileExistsError(f"{path} is {what}, and would be overwritten; name another {place}, or move it away")


def begins_with(mark: bytes) -> Callable[[Path], bool]:
    """Return a question to a file for `check_own`: does it begin with these bytes?"""

    def asked(path: Path) -> bool:
        with path.open("rb") as file:
            return file.read(len(mark)) == mark

    return asked


@contextmanager
def with_usual_permissions(path: Path) -> Iterator[None]:
    """Let a file that another library writes be readable by whom a new file is: safetensors' are the owner's alone."""
    path.touch()
    mode = stat.S_IMODE(path.stat().st_mode)
    yield
    path.chmod(mode)


@contextmanager
def replacing(
    path: str | os.PathLike[str],
    *,
    survives_power: bool = True,
    check: Callable[[Path], object] = check_replaceable,
) -> Iterator[BinaryIO]:
    """Open a file for writing that takes the place of `path` only when the block ends without an error.

    Args:
        path: the final name, or a link to it; its folder must exist.
        survives_power: wait until the disk has it, so that a cut of power leaves the old file or the new. Without, a
            kill of the process still does; for files that whoever reads them can tell to be damaged and make again.
        check: raises an error if what has the name would be lost; is asked before the block and after it.

    Yields:
        A binary file under a temporary name, `.NAME.RANDOM.part`, which no other process on any machine has. On an
        error it is removed and `path` is left as it was.

    Raises:
        FileNotFoundError: there is no such folder.
        FileExistsError: `path` is there and no file: a folder, a pipe, a device; before the block, or after it.

    >>> import tempfile, pathlib
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "notes"
    ...     with replacing(path) as file:
    ...         _ = file.write(b"whole")
    ...     path.read_bytes(), [p.name for p in path.parent.iterdir()]
    (b'whole', ['notes'])
    """
    named = Path(path)
    path = followed(named)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"no folder {str(path.parent)!r} to write {path.name!r} into; create it first")
    check(named)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.part")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            if survives_power:
                os.fsync(file.fileno())
        check_still(path, check)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_whole(
    path: str | os.PathLike[str], text: str, *, check: Callable[[Path], object] = check_replaceable
) -> None:
    """Write a text file that is never there in part: UTF-8, line ends as they are; `check` is that of `replacing`.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_whole(Path(folder) / "notes", "whole")
    ...     (Path(folder) / "notes").read_text()
    'whole'
    """
    with replacing(path, check=check) as file:
        file.write(text.encode())
