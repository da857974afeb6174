"""The files of a run record, read and written so that a torn or damaged one is found out (chapter 6)."""

from __future__ import annotations

import errno
import json
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any


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
        if not line.endswith(b"\n") or not isinstance(content, dict) or "step" not in content:
            return
        yield {name: _from_json(value) for name, value in content.items()}, end


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
