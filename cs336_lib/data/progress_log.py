"""How far a token file in the making has come: a line for each part that was added.

    corpus.tokens.parts/3f2a.joined     the token file in the making: room for its header, then ids
    corpus.tokens.parts/3f2a.log        {"parts": 1, "text_bytes": 8388610, "ids": 1902344, ...}
                                        {"parts": 2, ...

A line is written after the ids that it speaks of. It holds hashes of all the text and of all the ids up to there, so
whoever reads the text and the ids again knows whether it is true, whatever a kill, a cut of power or a change of the
text has left.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from cs336_lib.naming import LARGEST

JOINED, LOG = ".joined", ".log"


@dataclass(frozen=True)
class Milestone:
    """What a token file in the making holds.

    Attributes:
        parts: how many parts of the text.
        text_bytes: how many bytes of text these are.
        ids: how many ids.
        text_sha256: hash of that text.
        ids_sha256: hash of those ids as stored.
    """

    parts: int
    text_bytes: int
    ids: int
    text_sha256: str
    ids_sha256: str

    def line(self) -> bytes:
        r"""The line that says so.

        >>> Milestone(1, 3, 2, "ab", "cd").line()
        b'{"parts": 1, "text_bytes": 3, "ids": 2, "text_sha256": "ab", "ids_sha256": "cd"}\n'
        """
        return json.dumps(asdict(self)).encode() + b"\n"


def milestones(log: Path) -> Iterator[Milestone]:
    """The milestones in a log, up to the first line that can't be one; whether they are true is not looked at."""
    last = Milestone(0, 0, 0, "", "")
    try:
        lines = log.read_bytes().splitlines(keepends=True)
    except FileNotFoundError:
        return
    for line in lines:
        try:
            found = Milestone(**json.loads(line))
            whole = all(type(one) is int and one < LARGEST for one in (found.parts, found.text_bytes, found.ids))
            follows = found.parts == last.parts + 1 and found.text_bytes >= last.text_bytes and found.ids >= last.ids
        except (ValueError, TypeError, RecursionError):
            return
        if not whole or not follows or found.line() != line:
            return
        yield found
        last = found
