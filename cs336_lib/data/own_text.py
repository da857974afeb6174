"""A text of the reader's own, for the pages that also run on real text: the environment variable CS336_TEXT names it.

What `corpora.get` does for a name in a program, this does for a reader who presses "Run all" (chapters 2, 3, 6, 8).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

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
        most_bytes: how much to take; a longer text is cut as `whole_documents` says.

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
        if len(text) > most_bytes:
            text = text[: whole_documents(file, most_bytes)]
    if not text:
        raise ValueError(f"{VARIABLE} is {value!r}, and that file is empty: name a text, or unset it")
    with replacing(path) as out:
        out.write(text)
    return path


def whole_documents(source: BinaryIO, size: int) -> int:
    r"""How many of a text's first `size` bytes to take: up to the end of a document, else of a line, else of a letter.

    An end counts if it costs a tenth of the bytes at most, or 64 KiB; so a text of one long document is cut at a line.

    Args:
        source: the text, of `size` bytes at least; it is left anywhere.
        size: the most to take.

    >>> import io
    >>> texts = b"One.<|endoftext|>Tw", b"<|endoftext|>A line.\nAnd", b"\nOne line"
    >>> [text[: whole_documents(io.BytesIO(text), len(text))] for text in texts]
    [b'One.<|endoftext|>', b'<|endoftext|>A line.\n', b'\nOne line']
    """
    separator, start = END_OF_TEXT.encode(), max(0, size - max(size // 10, 1 << 16))
    source.seek(start)
    block = source.read(size - start)
    for mark in (separator, b"\n"):
        end = block.rfind(mark) + len(mark)
        if end >= len(mark) and (start or block[:end].replace(separator, b"").strip()):  # a separator alone ends none
            return start + end
    while len(block) > 1 and block[-1] & 0xC0 == 0x80:  # inside of a letter
        block = block[:-1]
    return start + len(block) - (block[-1:] >= b"\xc0")
