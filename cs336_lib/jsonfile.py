"""JSON files of others, read so that an error names the file and says what it holds instead."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

_BOM = b"\xef\xbb\xbf"
_FOREIGN = (
    (b"version https://git-lfs.github.com/", "is a pointer of Git LFS, and the file itself is not here: git lfs pull"),
    (b"<!doctype html", "is a page of HTML, not JSON: did a server send it in place of the file?"),
    (b"<html", "is a page of HTML, not JSON: did a server send it in place of the file?"),
    (b"\x1f\x8b", "is gzip, not JSON: unpack it first (gunzip)"),
)


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    r"""Read a file; a byte-order mark, which editors on Windows put first, is read over.

    Raises:
        FileNotFoundError: it is not there, or a folder; the error says where it was looked for.
    """
    if Path(path).is_dir() or not Path(path).exists():  # a pipe is neither, and is read
        what = "is a folder; name a file in it" if Path(path).is_dir() else "is not there"
        raise FileNotFoundError(f"{path} {what} (looked from {Path.cwd()})")
    return Path(path).read_bytes().removeprefix(_BOM)


def read_text(path: str | os.PathLike[str]) -> str:
    r"""Read a text file in UTF-8; a byte-order mark, which editors on Windows put first, is read over.

    Raises:
        FileNotFoundError: it is not there.
        ValueError: it is not UTF-8; the error names it.
    """
    try:
        return read_bytes(path).decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8: {error}") from None


def parsed(text: str | bytes) -> Any:
    """What a text of JSON says; one that is nested too deeply for Python to read is a ValueError as any other damage.

    >>> parsed("[" * 100_000)
    Traceback (most recent call last):
    ValueError: it is nested too deeply to be read
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply to be read") from None


class _RepeatedKeyError(Exception):
    """A key that stands twice in one object, of which `json` would keep the last."""


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        raise _RepeatedKeyError(next(key for key, _ in pairs if key in seen or seen.add(key)))  # type: ignore[func-returns-value]
    return found


def read_json(path: str | os.PathLike[str]) -> dict[str, Any]:
    r"""Read a file that holds one JSON object; a byte-order mark is read over.

    Raises:
        FileNotFoundError: it is not there.
        ValueError: it holds something else; the error names it, and what that is where it can be told.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "config.json"
    ...     _ = path.write_bytes(b'\xef\xbb\xbf{"a": 1}')
    ...     print(read_json(path))
    ...     _ = path.write_bytes(b"version https://git-lfs.github.com/spec/v1")
    ...     read_json(path)
    Traceback (most recent call last):
    ValueError: .../config.json is a pointer of Git LFS, and the file itself is not here: git lfs pull
    """
    raw = read_bytes(path)
    start = raw[:64].lstrip().lower()
    for mark, what in _FOREIGN:
        if start.startswith(mark):
            raise ValueError(f"{path} {what}")
    if not raw.strip():
        raise ValueError(f"{path} is empty, and should hold JSON: it was cut off, or never written; get it again")
    try:
        content = json.loads(raw.decode(), object_pairs_hook=_distinct)
    except RecursionError:
        raise ValueError(f"{path} is nested too deeply to be read") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not JSON in UTF-8: {error}") from None
    except ValueError as error:  # Python reads whole numbers of up to 4,300 digits
        raise ValueError(f"{path} holds a number that is too long to be read: {error}") from None
    except _RepeatedKeyError as error:
        raise ValueError(
            f"{path}: the key {error.args[0]!r} stands twice in one object; remove one of the two"
        ) from None
    if not isinstance(content, dict):
        raise ValueError(f"{path} must hold one JSON object, and holds {type(content).__name__}")
    return content
