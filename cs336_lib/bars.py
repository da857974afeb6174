"""Progress: a bar where somebody watches, a line now and then where a file or another program reads."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm

from cs336_lib.lines import in_notebook

EVERY = 10.0
"""Seconds between two lines, at least."""
SHARE = 0.1
"""Of the time that has passed: what takes a day does not fill a file either."""


def bar(over: Iterable[Any] | None = None, **about: Any) -> Any:
    """Return a progress bar, with the arguments and methods of tqdm's; it shows nothing where nothing can be shown.

    Args:
        over: what it goes through; None if `update` is called.
        about: `total`, `desc`, `unit`, `disable`, ... Where nothing can be written to, no bar is shown.

    >>> with bar(total=2, disable=True) as shown:
    ...     shown.update()
    """
    gone = sys.stderr is None or getattr(sys.stderr, "closed", False) is True  # a program without a console has none
    if gone and about.get("file") is None:
        about["disable"] = True
    watched_at = getattr(sys.stderr, "isatty", None)  # some have put something else there, or nothing
    if about.get("disable"):
        return tqdm(over, **about)
    if in_notebook() or (watched_at is not None and watched_at()):
        from tqdm.auto import tqdm as watched

        return watched(over, **about)
    return Lines(over, **about)


class Lines(tqdm):
    """A bar as lines: one when it is time for it, and one at the end if the bar is to stay."""

    def __init__(self, *given: Any, **about: Any) -> None:
        self._told = self._began = time.monotonic()
        super().__init__(*given, **about)

    def display(self, msg: str | None = None, pos: int | None = None) -> bool:
        """Write a line if it is time for one."""
        now = time.monotonic()
        if now - self._told >= max(EVERY, SHARE * (now - self._began)):
            self._told = now
            self.fp.write(f"{self}\n")
            self.fp.flush()
        return True

    def clear(self, *given: Any, **about: Any) -> None:
        """Leave lines that were written."""

    def close(self) -> None:
        """Write the last line."""
        if not self.disable and self.leave is not False:
            self.fp.write(f"{self}\n")
            self.fp.flush()
        self.sp = None  # tqdm then writes nothing when it closes
        super().close()
