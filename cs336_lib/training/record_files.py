"""The files of a run record, read and written so that a torn or damaged one is found out (chapter 6)."""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from cs336_lib.jsonfile import parsed
from cs336_lib.naming import check_whole
from cs336_lib.plain import json_ready

SETTLED_NS = 10_000_000_000
"""Nanoseconds since the last change after which a file's size and time tell whether it changed again."""


def append_line(path: Path, line: Mapping[str, Any]) -> None:
    """Add a line of metrics to a file, whole or not at all. JSON has no nan and inf: they become strings.

    Raises:
        TypeError, ValueError: it is none: its step is missing or no whole number, or JSON can't hold a value. Readers
            stop at what is no line of metrics, so nothing was written.
        OSError: it could not be written, the disk may be full.
    """
    if "step" not in line:
        raise ValueError(f"a line of metrics needs a step, and this one has {', '.join(map(str, line)) or 'nothing'}")
    ready = {name: json_ready(value, name, strict=True) for name, value in line.items()}
    append_whole(path, (json.dumps({**ready, "step": check_whole("step", line["step"])}) + "\n").encode())


def append_whole(path: Path, raw: bytes) -> None:
    """Add bytes to a file, all of them or none.

    Raises:
        OSError: they could not be written, the disk may be full.
    """
    with path.open("ab", buffering=0) as file:
        before = file.seek(0, os.SEEK_END)
        try:
            if (written := file.write(raw)) != len(raw):
                raise OSError(errno.ENOSPC, f"only {written} of {len(raw)} bytes could be written to {path}")
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
            content = _from_json(parsed(line))
        except (ValueError, RecursionError):
            return
        if not line.endswith(b"\n") or not isinstance(content, dict) or type(content.get("step")) is not int:
            return
        yield content, end


def check_undamaged(path: Path, raw: bytes) -> None:
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
        content = parsed(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path} must hold a JSON object, and holds {type(content).__name__}")
    return content


def foreign_in(folder: Path, empty: Iterable[str], keyed: Iterable[tuple[str, str]], checkpoints: str) -> Path | None:
    """Return a file in the place of one of a new run's that does not come from a run that was killed when it began.

    Args:
        folder: of the new run.
        empty: files that such a run leaves empty.
        keyed: files of JSON that it may have written, and a key of each.
        checkpoints: a folder that it leaves empty.
    """
    for name in empty:
        if (folder / name).exists() and (folder / name).stat().st_size:
            return folder / name
    for name, key in keyed:
        try:
            own = not (folder / name).exists() or key in read_object(folder / name)
        except ValueError:
            own = False
        if not own:
            return folder / name
    found = folder / checkpoints
    return found if found.is_dir() and any(found.iterdir()) else None


def _from_json(value: Any) -> Any:
    if isinstance(value, list):
        return [_from_json(inner) for inner in value]
    if isinstance(value, dict):
        return {name: _from_json(inner) for name, inner in value.items()}
    return float(value) if value in ("nan", "inf", "-inf") else value
