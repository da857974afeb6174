"""Counted words on disk: what workers of a cluster hand to each other (chapter 11).

    CS336CNT, number of groups                     16 bytes
    for each group: offset, words, bytes, CRC-32   4 numbers of 8 bytes
    for each group: counts, lengths, text          8 bytes per word, 8 bytes per word, the words one after the other

Who adds up one group of many files reads that group's bytes and nothing else.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from cs336_lib.atomic import replacing
from cs336_lib.bpe.counting.word_table import WordCounts, padded

_MAGIC = b"CS336CNT"
_FIRST = 16
_ENTRY = 32
_NUMBER = np.dtype("<i8")


class DamagedCountsError(RuntimeError):
    """A file of counts is not what was written; it is removed, so that the next run makes it anew."""


def write_counts(path: Path, groups: Sequence[WordCounts]) -> None:
    """Write groups of words to a file that appears when it is complete.

    >>> from cs336_lib.bpe.counting.word_table import WordCounts
    >>> import tempfile
    >>> words = WordCounts.from_mapping({b"low": 5, b"lower": 2, b"widest": 3})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_counts(Path(folder) / "a.counts", words.by_group(2))
    ...     parts = [dict(read_group(Path(folder) / "a.counts", group).items()) for group in (0, 1)]
    >>> parts[0] | parts[1] == dict(words.items())
    True
    """
    entries, bodies, offset = [], [], _FIRST + _ENTRY * len(groups)
    for words in groups:
        lengths = np.diff(words.bounds).astype(_NUMBER, copy=False)
        text = np.ascontiguousarray(words.text[: words.bounds[-1]])
        body = (np.ascontiguousarray(words.counts, dtype=_NUMBER).data, lengths.data, text.data)
        entries.append([offset, len(words), len(text), _checksum(body)])
        bodies.append(body)
        offset += sum(part.nbytes for part in body)
    with replacing(path) as file:
        file.write(_MAGIC + np.array([len(groups)], _NUMBER).tobytes())
        file.write(np.array(entries, _NUMBER).tobytes())
        for body in bodies:
            for part in body:
                file.write(part)


def is_whole(path: Path, groups: int) -> bool:
    """Whether a file of so many groups is there in its full length; its contents are checked when they are read."""
    try:
        with path.open("rb") as file:
            entries = _entries(file.read(_FIRST + _ENTRY * groups), groups)
            size = os.fstat(file.fileno()).st_size
    except FileNotFoundError:
        return False
    return entries is not None and (entries[-1, 0] + 16 * entries[-1, 1] + entries[-1, 2]) == size


def read_group(path: Path, group: int) -> WordCounts:
    """Read one group of a file.

    Raises:
        DamagedCountsError: the file is not as it was written.
    """
    with path.open("rb") as file:
        start = file.read(_FIRST)
        written = len(start) == _FIRST and start.startswith(_MAGIC)
        groups = int(np.frombuffer(start, _NUMBER, 1, len(_MAGIC))[0]) if written else 0
        entries = _entries(start + file.read(_ENTRY * groups), groups) if 0 <= group < groups else None
        if entries is not None:
            offset, words, size, checksum = entries[group].tolist()
            file.seek(offset)
            body = file.read(16 * words + size)
    if entries is None or len(body) < 16 * words + size or _checksum([body]) != checksum:
        path.unlink(missing_ok=True)
        raise DamagedCountsError(f"{path} was damaged and is removed; call train_bpe again, the other files are kept")
    lengths = np.frombuffer(body, _NUMBER, words, 8 * words)
    return WordCounts(
        text=padded(body[16 * words :]),
        bounds=np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)]),
        counts=np.frombuffer(body, _NUMBER, words).astype(np.int64),
    )


def _entries(head: bytes, groups: int) -> np.ndarray | None:
    """The table of groups at the beginning of a file, None if it is no such file."""
    if len(head) < _FIRST + _ENTRY * groups or not head.startswith(_MAGIC + np.array([groups], _NUMBER).tobytes()):
        return None
    return np.frombuffer(head, _NUMBER, 4 * groups, _FIRST).reshape(groups, 4)


def _checksum(body: Iterable[bytes | memoryview]) -> int:
    found = 0
    for part in body:
        found = zlib.crc32(part, found)
    return found
