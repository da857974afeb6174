"""The texts that a model wrote on the way, in one file that a person can read (chapter 6).

::

    === step 400 temperature 0.8 ===
    Once upon a time ...

Each text is followed by an empty line. A line of a text that looks like such a head gets a backslash before it, and so
does one that begins with backslashes before what looks like a head; all else stands as the model wrote it.
"""

from __future__ import annotations

import re
from pathlib import Path

from cs336_lib.atomic import replacing
from cs336_lib.training.record_files import append_whole

_HEAD = re.compile(rb"^=== step (\d+) .*===$", re.MULTILINE)
_LIKE_A_HEAD = re.compile(rb"^(\\*=== step \d+ .*===)$", re.MULTILINE)
_ESCAPED = re.compile(rb"^\\(\\*=== step \d+ .*===)$", re.MULTILINE)
_END = b"\n\n"


def append_sample(path: Path, step: int, text: str, about: str) -> None:
    """Add a text to a file, whole or not at all.

    Args:
        path: of the file; made when missing.
        step: after which it was written, 0 or more.
        text: any, half of a pair of surrogates included.
        about: goes into its head.

    Raises:
        OSError: it could not be written, the disk may be full.
    """
    about = "".join(f"{word} " for word in about.split())
    body = _LIKE_A_HEAD.sub(rb"\\\1", text.encode("utf-8", "surrogatepass"))
    head = f"=== step {step} {about}===\n".encode("utf-8", "surrogatepass")
    before = _read(path)
    lacking = b"" if before[-2:] in (b"", _END) else _END  # a kill has torn the last one
    append_whole(path, lacking + head + body + _END)


def samples_of(path: Path) -> list[tuple[int, str]]:
    """Return step and text of every sample in a file, none if it is not there."""
    raw = _read(path)
    heads = list(_HEAD.finditer(raw))
    ends = [head.start() for head in heads[1:]] + [len(raw)] * bool(heads)
    bodies = [raw[head.end() + 1 : end].removesuffix(_END) for head, end in zip(heads, ends, strict=True)]
    return [(int(head[1]), _decoded(_ESCAPED.sub(rb"\1", body))) for head, body in zip(heads, bodies, strict=True)]


def cut_samples(path: Path, step: int) -> None:
    """Cut off what was written after a step."""
    raw = _read(path)
    late = next((head.start() for head in _HEAD.finditer(raw) if int(head[1]) > step), None)
    if late is not None:
        with replacing(path) as file:
            file.write(raw[:late])


def _read(path: Path) -> bytes:
    raw = path.read_bytes() if path.exists() else b""
    windows = b"\r\n" in raw and not _HEAD.search(raw)  # as a checkout or an editor there leaves it
    return raw.replace(b"\r\n", b"\n") if windows else raw


def _decoded(raw: bytes) -> str:
    try:
        return raw.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError as error:  # torn there
        return raw[: error.start].decode("utf-8", "surrogatepass") + raw[error.start :].decode("utf-8", "replace")
