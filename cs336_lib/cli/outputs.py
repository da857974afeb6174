"""Where a command will write is tried before it works: hours of work must not end in "permission denied"."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from pathlib import Path

PICTURES = (".png", ".svg", ".pdf")


def check_folder(path: Path, option: str) -> None:
    """Raise OSError unless a folder is there, or can be made, and files can be written to it.

    Args:
        path: of the folder; is left as it is.
        option: how the command line names it.
    """
    for folder in (path, *path.parents):
        if folder.exists() and not folder.is_dir():
            raise FileExistsError(f"{option} {folder} is a file; name a folder")
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise type(error)(error.errno, f"{option} {path} can't be written to ({error.strerror or error})") from None
    finally:
        for folder in missing:
            with suppress(OSError):
                folder.rmdir()


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
    check_folder(path.absolute().parent, option)
