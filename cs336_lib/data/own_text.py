"""A text of the reader's own, for the pages that also run on real text: the environment variable CS336_TEXT names it.

What `corpora.get` does for a name in a program, this does for a reader who presses "Run all" (chapters 2, 3, 6, 8).
"""

from __future__ import annotations

import os
from pathlib import Path

from cs336_lib.atomic import replacing
from cs336_lib.data.corpora import END_OF_TEXT
from cs336_lib.naming import LARGEST, check_whole
from cs336_lib.textfile import check_is_text

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
        FileExistsError: it names the very file that the copy would replace.
        ValueError: `most_bytes` is below 1, or the file is empty, packed, or in UTF-16 or UTF-32.

    >>> import tempfile
    >>> before = os.environ.pop("CS336_TEXT", None)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     print(own_text(folder))
    None
    >>> if before is not None:
    ...     os.environ["CS336_TEXT"] = before
    """
    most_bytes = check_whole("most_bytes", most_bytes, least=-LARGEST)
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
    path = Path(folder) / "own.txt"
    if path.exists() and path.samefile(source):
        raise FileExistsError(
            f"{VARIABLE} is {value!r}, and that is the file {path}, which a copy would replace: give the text another "
            "name, or the copy another folder"
        )
    check_is_text(source)  # now, so that an error names the reader's file and not the copy
    with source.open("rb") as file:
        text = file.read(most_bytes + 1)
    if not text:
        raise ValueError(f"{VARIABLE} is {value!r}, and that file is empty: name a text, or unset it")
    if len(text) > most_bytes:
        text = _beginning(text[:most_bytes])
    with replacing(path) as out:
        out.write(text)
    return path


def _beginning(text: bytes) -> bytes:
    r"""Cut a text after its last whole document, else its last whole line, else its last whole character.

    >>> _beginning(b"One.<|endoftext|>Tw"), _beginning(b"<|endoftext|>A line.\nAnd"), _beginning(b"\nOne line")
    (b'One.<|endoftext|>', b'<|endoftext|>A line.\n', b'\nOne line')
    """
    separator = END_OF_TEXT.encode()
    for mark in (separator, b"\n"):
        whole = text[: text.rfind(mark) + len(mark)] if mark in text else b""
        if whole.replace(separator, b"").strip():  # what stands before the first document ends none
            return whole
    return text.decode("utf-8", "ignore").encode()
