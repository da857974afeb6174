"""One array of ids from pieces of a text that several threads encode, each the next one that nobody has taken."""

from collections.abc import Iterable, Iterator
from threading import Condition
from typing import Generic, TypeVar

import numpy as np

from cs336_lib.bpe.encoding.workspace import with_room

Piece = TypeVar("Piece")

_LOOK = 0.1
"""Seconds between two looks at whether the ids are still wanted."""


class Gathering(Generic[Piece]):
    """Hands out pieces, and puts their ids in order.

    A piece's place is known once those before it are encoded. One that is done too soon is copied and waits; nobody
    else does, but for an array that has to become larger, which none may be writing to. A thread that may be
    interrupted anywhere, as a program's first one, must neither take nor put: it would leave the lock behind.

    Args:
        pieces: taken from one at a time, by whichever thread asks.
        expected: how many ids there may be; more only cost time.

    >>> gathering = Gathering(["a", "b"], expected=1)
    >>> for number, piece in gathering.pieces():
    ...     gathering.put(number, np.array([ord(piece)] * 2, np.int32))
    >>> gathering.ids()
    array([97, 97, 98, 98], dtype=int32)
    """

    def __init__(self, pieces: Iterable[Piece], expected: int) -> None:
        self._pieces = enumerate(pieces)
        self._changed = Condition()
        self._array = np.empty(expected, np.int32)
        self._early: dict[int, np.ndarray] = {}
        self._next = self._placed = self._writing = 0
        self._stopped = False

    def pieces(self) -> Iterator[tuple[int, Piece]]:
        """The pieces that no other thread has taken, with their numbers."""
        while True:
            with self._changed:
                taken = None if self._stopped else next(self._pieces, None)
            if taken is None:
                return
            yield taken

    def stop(self) -> None:
        """Hand out no more pieces, and let nobody wait: the ids are wanted no more.

        Takes no lock, so that whoever calls it may be interrupted.
        """
        self._stopped = True

    def put(self, number: int, ids: np.ndarray) -> None:
        """Take over the ids of a piece; their memory is the caller's again."""
        with self._changed:
            if number != self._next:
                self._early[number] = ids.copy()
                return
            found = [ids]
            self._next += 1
            while self._next in self._early:
                found.append(self._early.pop(self._next))
                self._next += 1
            place, size = self._placed, sum(map(len, found))
            self._placed += size
            while self._placed >= len(self._array) and self._writing and not self._stopped:
                self._changed.wait(_LOOK)
            array = self._array
            if self._placed >= len(array):  # whoever came while this one waited has a place, too
                array = self._array = with_room(array, len(array), self._placed - len(array))
            self._writing += 1
        try:
            np.concatenate(found, out=array[place : place + size])
        finally:
            with self._changed:
                self._writing -= 1
                self._changed.notify_all()

    def ids(self) -> np.ndarray:
        """All ids, once every piece is put."""
        self._array.resize(self._placed, refcheck=False)
        return self._array
