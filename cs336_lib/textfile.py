"""Files that pass for text and are none: looked at before hours are spent on them."""

from __future__ import annotations

import codecs
import re
import warnings
from pathlib import Path

# Each mark is as long as the format makes it: text may begin with "BZh" or "PAR1", and token ids with any two bytes.
_ZIP = rb"PK\x03\x04[\x00-\x3f][\x00-\x13].[\x00\x08][\x00\x08\x09\x0c\x0e\x5d\x5f\x62\x63]\x00"
_TAR = rb".{257}ustar(?:\x0000|  \x00)"
_GZIP = rb"\x1f\x8b\x08(?:[\x00-\x1f].{4}[\x00\x02\x04][\x00-\x0d\xff]|.{0,6}\Z)"
_PACKED = {
    _GZIP: ("gzip", "gunzip"),
    rb"\xfd7zXZ\x00\x00[\x00\x01\x04\x0a]": ("xz", "unxz"),
    rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)": ("bzip2", "bunzip2"),
    _ZIP: ("zip", "unzip"),
    _TAR: ("a tar archive", "tar -xf"),
}
_NO_TEXT = {
    rb"PAR1\x15[\x00\x02\x04\x06]\x15": "a Parquet table: write its text column to a .txt first",
    rb"ARROW1\x00\x00": "an Arrow table: write its text column to a .txt first",
    rb"\x93NUMPY[\x01-\x03]\x00": "a NumPy array, and no text",
    rb"\x89HDF\r\n\x1a\n": "an HDF5 file: write its text to a .txt first",
    rb"CS336TOK.\x00\x00\x00": "a token file of this library, encoded already: name the text that it was made of",
    rb"%PDF-\d\.\d[\r\n]": "a PDF: extract its text first",
    rb"SQLite format 3\x00": "an SQLite database: write its text to a .txt first",
    rb"version https://git-lfs\.github\.com/": "a pointer of Git LFS, and the file itself is not here: git lfs pull",
}
_ZSTD = b"\x28\xb5\x2f\xfd"
# In this order: the mark of UTF-32 begins with that of UTF-16.
_OTHER_UTF = {
    b"\xff\xfe\x00\x00": "UTF-32",
    b"\x00\x00\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}


_BLOCK = 1 << 16
_TOLD: set[tuple[Path, str]] = set()
"""Warnings that were given: a command looks at one file at several doors."""


def check_is_text(path: Path) -> None:
    r"""Refuse a file that is packed, a table, in UTF-16 or UTF-32, or a pointer to a file that is not here.

    A page of HTML may be what is wanted, so a short one, which a server sends in place of a file, only gets a warning.
    So does a file that does not begin with UTF-8: bytes are learned and encoded as they are, whatever they mean.

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
        block = file.read(_BLOCK)
    head = block[:512]
    if what := foreign_kind(head):
        raise ValueError(f"{path} is {what}")
    for mark, name in _OTHER_UTF.items():
        if head.startswith(mark) and b"\0" in head[len(mark) :]:  # the two bytes alone say little of odd bytes
            raise ValueError(f"{path} is in {name}: convert it to UTF-8 first (iconv -f {name} -t UTF-8)")
    if b"\0" in head and (name := _unmarked_utf(head)):
        raise ValueError(
            f"{path} looks like {name} without a mark: convert it to UTF-8 first (iconv -f {name} -t UTF-8)"
        )
    start = head.lstrip()[:15].lower()
    if start.startswith((b"<!doctype html", b"<html")) and path.stat().st_size < 100_000:
        _tell(path, "is a short page of HTML: did a server send it in place of the file?")
    try:
        # A character that the end of the block cuts is none that is wrong.
        codecs.getincrementaldecoder("utf-8")().decode(block, final=len(block) < _BLOCK)
    except UnicodeDecodeError as error:
        wrong = f"byte 0x{block[error.start]:02x} at {error.start:,}"
        _tell(path, f"is not UTF-8 ({wrong}); its bytes are taken as they are: convert it first if they mean text")


def _tell(path: Path, message: str) -> None:
    if (about := (path.resolve(), message)) not in _TOLD:
        _TOLD.add(about)
        warnings.warn(f"{path} {message}", stacklevel=4)


def foreign_kind(head: bytes) -> str:
    r"""What a file is that begins with the mark of a packed one, a table or a pointer, and what to do; "" if with none.

    >>> foreign_kind(b"%PDF-1.7\n"), foreign_kind(b"Once upon a time")
    ('a PDF: extract its text first', '')
    """
    for mark, (name, tool) in _PACKED.items():
        if re.match(mark, head, re.DOTALL):
            return f"{name}, not text: unpack it first ({tool})"
    if _is_zstd(head):
        return "zstd, not text: unpack it first (unzstd)"
    return next((what for mark, what in _NO_TEXT.items() if re.match(mark, head, re.DOTALL)), "")


def is_zip(head: bytes) -> bool:
    """Whether a file that begins so is a zip archive: its mark, and a header of a member that makes sense."""
    return re.match(_ZIP, head, re.DOTALL) is not None


def _is_zstd(head: bytes) -> bool:
    """Whether the mark of zstd is followed by the header of a frame, without a dictionary, and that of a block."""
    if not head.startswith(_ZSTD) or len(head) < 6 or head[4] & 0b11011:
        return False
    single, size = head[4] >> 5 & 1, head[4] >> 6
    at = 5 + (1 - single) + (single, 2, 4, 8)[size]
    block = int.from_bytes(head[at : at + 3], "little")
    return block >> 1 & 3 != 3 and block >> 3 <= 1 << 17


def _unmarked_utf(head: bytes) -> str:
    """The kind of UTF-16 or UTF-32 in which zeros stand where they would in that of ASCII, and nowhere else; or ""."""
    if len(head) < 8:
        return ""
    for name, width, letter in (("UTF-32BE", 4, 3), ("UTF-32LE", 4, 0), ("UTF-16BE", 2, 1), ("UTF-16LE", 2, 0)):
        zeros = [head[at::width].count(0) / len(head[at::width]) for at in range(width)]
        own = zeros.pop(letter)
        if own < 0.1 and min(zeros) > 0.9:
            return name
    return ""
