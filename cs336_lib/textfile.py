"""Files that pass for text and are none: looked at before hours are spent on them."""

from __future__ import annotations

import warnings
from pathlib import Path

_PACKED = {
    b"\x1f\x8b": ("gzip", "gunzip"),
    b"\xfd7zXZ\x00": ("xz", "unxz"),
    b"BZh": ("bzip2", "bunzip2"),
    b"\x28\xb5\x2f\xfd": ("zstd", "unzstd"),
    b"PK\x03\x04": ("zip", "unzip"),
}
_NO_TEXT = {
    b"PAR1": "a Parquet table: write its text column to a .txt first",
    b"ARROW1": "an Arrow table: write its text column to a .txt first",
    b"\x93NUMPY": "a NumPy array, and no text",
    b"\x89HDF": "an HDF5 file: write its text to a .txt first",
    b"CS336TOK": "a token file of this library: it is encoded already",
    b"%PDF-": "a PDF: extract its text first",
    b"SQLite format 3\x00": "an SQLite database: write its text to a .txt first",
}
# In this order: the mark of UTF-32 begins with that of UTF-16.
_OTHER_UTF = {
    b"\xff\xfe\x00\x00": "UTF-32",
    b"\x00\x00\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}


def check_is_text(path: Path) -> None:
    r"""Refuse a file that is packed, a table, in UTF-16 or UTF-32, or a pointer to a file that is not here.

    A page of HTML may be what is wanted, so a short one, which a server sends in place of a file, only gets a warning.

    Raises:
        ValueError: it is none; the error says what it is and what to do.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "corpus.txt"
    ...     _ = path.write_bytes(b"\x1f\x8b\x08")
    ...     check_is_text(path)
    Traceback (most recent call last):
    ValueError: .../corpus.txt is gzip, not text: unpack it first (gunzip)
    """
    with path.open("rb") as file:
        head = file.read(512)
    if what := foreign_kind(head):
        raise ValueError(f"{path} is {what}")
    for mark, name in _OTHER_UTF.items():
        if head.startswith(mark) and b"\0" in head[len(mark) :]:  # the two bytes alone say little of odd bytes
            raise ValueError(f"{path} is in {name}: convert it to UTF-8 first (iconv -f {name} -t UTF-8)")
    if b"\0" in head and _looks_like_utf16(head):
        raise ValueError(f"{path} looks like UTF-16 without a mark: convert it to UTF-8 first (iconv -f UTF-16LE)")
    start = head.lstrip()[:15].lower()
    if start.startswith((b"<!doctype html", b"<html")) and path.stat().st_size < 100_000:
        warnings.warn(f"{path} is a short page of HTML: did a server send it in place of the file?", stacklevel=3)


def foreign_kind(head: bytes) -> str:
    r"""What a file is that begins with the mark of a packed one, a table or a pointer, and what to do; "" if with none.

    >>> foreign_kind(b"PAR1"), foreign_kind(b"Once upon a time")
    ('a Parquet table: write its text column to a .txt first', '')
    """
    for mark, (name, tool) in _PACKED.items():
        if head.startswith(mark):
            return f"{name}, not text: unpack it first ({tool})"
    for mark, what in _NO_TEXT.items():
        if head.startswith(mark):
            return what
    if head.startswith(b"version https://git-lfs.github.com/"):
        return "a pointer of Git LFS, and the file itself is not here: git lfs pull"
    return ""


def _looks_like_utf16(head: bytes) -> bool:
    """Every other byte is zero and those between are not, as in UTF-16 of ASCII."""
    even, odd = head[0::2], head[1::2]
    return len(head) >= 8 and abs(even.count(0) / len(even) - odd.count(0) / len(odd)) > 0.9
