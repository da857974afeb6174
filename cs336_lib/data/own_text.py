"""A text of the reader's own, for the pages that also run on real text: the environment variable CS336_TEXT names it.

What `corpora.get` does for a name in a program, this does for a reader who presses "Run all" (chapters 2, 3, 6, 8).
"""

from __future__ import annotations

import os
from pathlib import Path

from cs336_lib.atomic import replacing
from cs336_lib.data.corpora import END_OF_TEXT

VARIABLE = "CS336_TEXT"
HOW_TO = (
    f"{VARIABLE} is not set. To run this on a text of your own, set it to the full path of a\n"
    f".txt in UTF-8, documents separated by {END_OF_TEXT}, before the notebook starts."
)


def own_text(folder: str | Path, most_bytes: int = 10_000_000) -> Path | None:
    """The beginning of the text that CS336_TEXT names, as a file; None when the variable is not set.

    Args:
        folder: an existing folder for the file.
        most_bytes: how much to take; a longer text is cut after its last whole document, else its last whole line.

    Returns:
        Path of a copy, `folder/own.txt`: the reader's file is only read.

    Raises:
        FileNotFoundError: the variable names no file.
        ValueError: `most_bytes` is below 1, or the file is empty.

    >>> import tempfile
    >>> before = os.environ.pop("CS336_TEXT", None)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     print(own_text(folder))
    None
    >>> if before is not None:
    ...     os.environ["CS336_TEXT"] = before
    """
    if most_bytes < 1:
        raise ValueError(f"most_bytes={most_bytes} must be at least 1")
    value = os.environ.get(VARIABLE, "")
    if not value:
        return None
    source = Path(value).expanduser()
    if not source.is_file():
        raise FileNotFoundError(
            f"{VARIABLE} is {value!r}, and there is no such file (looked in {Path.cwd()}): set it to the full path "
            "of a text file, or unset it"
        )
    with source.open("rb") as file:
        text = file.read(most_bytes + 1)
    if not text:
        raise ValueError(f"{VARIABLE} is {value!r}, and that file is empty: name a text, or unset it")
    if len(text) > most_bytes:
        text = text[:most_bytes]
        ends = [text.rfind(mark) + len(mark) for mark in (END_OF_TEXT.encode(), b"\n") if mark in text]
        text = text[: ends[0]] if ends else text.decode("utf-8", "ignore").encode()
    path = Path(folder) / "own.txt"
    with replacing(path) as out:
        out.write(text)
    return path
