"""The files of a run record, read and written so that a torn or damaged one is found out (chapter 6)."""

from __future__ import annotations

import errno
import json
import math
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

SETTLED_NS = 10_000_000_000
"""Nanoseconds since the last change after which a file's size and time tell whether it changed again."""


def append_line(path: Path, line: Mapping[str, Any]) -> None:
    """Add a line of JSON to a file, whole or not at all. JSON has no nan and inf: they become strings.

    Raises:
        OSError: it could not be written, the disk may be full.
    """
    raw = (json.dumps({name: _to_json(value) for name, value in line.items()}) + "\n").encode()
    with path.open("ab", buffering=0) as file:
        before = file.seek(0, os.SEEK_END)
        try:
            if (written := file.write(raw)) != len(raw):
                raise OSError(errno.ENOSPC, f"only {written} of {len(raw)} bytes of a line could be written to {path}")
        except OSError:
            with suppress(OSError):  # half a line would hide those behind it
                file.truncate(before)
            raise


def whole_lines(raw: bytes) -> Iterator[tuple[dict[str, Any], int]]:
    """Yield each whole line and where it ends; stop at the first that is torn."""
    end = 0
    for line in raw.splitlines(keepends=True):
        end += len(line)
        try:
            content = json.loads(line)
        except ValueError:
            return
        if not line.endswith(b"\n") or not isinstance(content, dict) or type(content.get("step")) is not int:
            return
        yield {name: _from_json(value) for name, value in content.items()}, end


def check_whole(path: Path, raw: bytes) -> None:
    """Raise ValueError if a line is damaged that others follow: a kill tears the last one only.

    Args:
        path: of the file, for the error.
        raw: its bytes.
    """
    ends = [end for _, end in whole_lines(raw)]
    if len(raw[ends[-1] if ends else 0 :].splitlines()) > 1:
        raise ValueError(
            f"{path} is damaged: its line {len(ends) + 1} is no line of metrics, and going on would cut off all from "
            "there on. Mend or delete that line"
        )


def first_torn(path: Path) -> int | None:
    """Return the number of the first line that is no line of metrics, None if all are or the file is not there."""
    try:
        raw = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    ends = [end for _, end in whole_lines(raw)]
    return len(ends) + 1 if (ends[-1] if ends else 0) < len(raw) else None


def metrics_of(path: Path) -> list[dict[str, Any]]:
    """Return all whole lines of a file, none if it is not there.

    A page asks hundreds of records the same several times: what was read is kept for as long as the file has not
    changed. Clocks of file systems tick coarsely, so that a file is trusted only when its last change is a while ago.
    """
    try:
        seen = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return []
    changed = seen.st_mtime_ns, seen.st_ctime_ns  # the first can be set back, as copying does
    if os.name == "nt" or time.time_ns() - max(changed) < SETTLED_NS:  # Windows keeps no time of change but the first
        return [line for line, _ in whole_lines(path.read_bytes())]
    return [dict(line) for line in _settled(path.absolute(), seen.st_ino, seen.st_size, *changed)]


@lru_cache(maxsize=2_000)
def _settled(path: Path, *_: int) -> tuple[dict[str, Any], ...]:
    return tuple(line for line, _ in whole_lines(path.read_bytes()))


def read_object(path: Path) -> dict[str, Any]:
    """Read a JSON object; an empty one if there is no such file.

    Raises:
        ValueError: it holds something else; the error names the file.
    """
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path} must hold a JSON object, and holds {type(content).__name__}")
    return content


def _to_json(value: Any) -> Any:
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _from_json(value: Any) -> Any:
    return float(value) if value in ("nan", "inf", "-inf") else value
