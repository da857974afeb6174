"""Where a command will write is tried before it works: hours of work must not end in "permission denied"."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from cs336_lib.atomic import check_own, followed, replacing

PICTURES = (".png", ".svg", ".pdf")


def check_folder(path: Path, option: str) -> None:
    """Raise OSError unless a folder is there, or can be made, and files can be written to it.

    Args:
        path: of the folder; is left as it is.
        option: how the command line names it.
    """
    for folder in (path, *path.parents):
        exists = os.path.exists(folder)  # noqa: PTH110 - a name that is too long is not there, and no error yet
        if exists and not folder.is_dir():
            raise FileExistsError(f"{option} {folder} is a file; name a folder")
        if not exists and os.path.islink(folder):  # noqa: PTH114
            raise FileNotFoundError(f"{option} {folder} is a link to {folder.readlink()}, which is not there")
    meant = Path(os.path.realpath(path))  # without "..", which would lead out of the folder that is made here
    try:
        there = next(folder for folder in (meant, *meant.parents) if os.path.exists(folder))  # noqa: PTH110
        # What is missing is made under a name that nobody else has: another rank may be at the same folder just now.
        with tempfile.TemporaryDirectory(prefix=".cs336-", dir=there) as own:
            inside = Path(own) / meant.relative_to(there)
            inside.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=inside):
                pass
    except StopIteration:
        raise FileNotFoundError(f"{option} {path}: there is no such disk") from None
    except OSError as error:
        raise type(error)(error.errno, f"{option} {path} can't be written to ({error.strerror or error})") from None


def check_file(path: Path, option: str, endings: tuple[str, ...] = ()) -> None:
    """Raise an error unless a file can be written.

    Args:
        path: of the file.
        option: how the command line names it.
        endings: those that its name may have; any when empty.
    """
    if endings and path.suffix not in endings:
        raise ValueError(f"{option} {path}: the file must end with {', '.join(endings)}")
    if path.is_dir():
        raise IsADirectoryError(f"{option} {path} is a folder; name a file")
    if not path.absolute().parent.is_dir():
        raise FileNotFoundError(f"{option} {path}: there is no folder {str(path.parent)!r}; create it first")
    check_folder(followed(path.absolute()).parent, option)


def check_picture(path: Path, option: str) -> None:
    """Raise an error unless a picture can be written: to a new file, or in place of one that matplotlib drew."""
    check_file(path, option, PICTURES)
    _check_own_picture(path)


def _check_own_picture(path: Path) -> None:
    check_own(path, lambda there: b"atplotlib" in there.read_bytes(), "no picture that this library drew")


def save_picture(figure: Any, path: Path) -> None:
    """Write a picture whole, or not at all; what others have put there meanwhile stays."""
    with replacing(path, check=_check_own_picture) as file:
        figure.savefig(file, format=path.suffix.removeprefix("."))
