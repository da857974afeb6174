"""Ctrl-C on the command line: the first ends a command when what is in hand is done, the second at once."""

from __future__ import annotations

import _thread
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType, TracebackType

PATIENCE = 1.0
"""Seconds after which it is said why a command has not ended yet."""


class Interrupts:
    """While a command runs: the first Ctrl-C raises KeyboardInterrupt, the second ends the process.

    A thread in the middle of its work can't be stopped, and may have minutes to go. No file is lost by an end at once:
    each is whole or not there, however a process ends. Outside of the main thread, and where somebody else handles or
    ignores Ctrl-C, this does nothing.

    Args:
        code: exit code of a process that is ended at once.
    """

    def __init__(self, code: int) -> None:
        self._code = code
        self._asked = self._over = self._later = self._handles = False

    def __enter__(self) -> Interrupts:
        main = threading.current_thread() is threading.main_thread()
        if main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._handle)
            self._handles = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over = True
        if self._handles:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        # Python remembers a KeyboardInterrupt that leaves the exec of a string (which makes each dataclass), and kills
        # the process with SIGINT at its end, whoever caught it, in place of the exit code. The next exec forgets it.
        exec("")

    @contextmanager
    def held_back(self) -> Iterator[None]:
        """Raise the KeyboardInterrupt of a Ctrl-C at the end of the block: Python drops or wraps some in an import."""
        self._later = True
        try:
            yield
        finally:
            self._later = False
        if self._asked:
            raise KeyboardInterrupt

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._asked:
            with suppress(OSError):
                os.write(2, b"\nerror: stopped at once\n")
            os._exit(self._code)
        self._asked = True
        _thread.start_new_thread(self._tell, ())  # not a Thread, whose lock this very signal may have found taken
        if not self._later:
            raise KeyboardInterrupt

    def _tell(self) -> None:
        time.sleep(PATIENCE)
        if not self._over:
            with suppress(OSError, ValueError):
                print(
                    "\nstopping: what is in hand is finished first; Ctrl-C again ends at once",
                    file=sys.stderr,
                    flush=True,
                )


def is_interrupt(error: BaseException) -> bool:
    """Return whether an error is a KeyboardInterrupt, or one that Python has made of it, as in a class that is made.

    What failed while a command tidied up after a Ctrl-C is an error of its own.

    >>> error = RuntimeError("Error calling __set_name__ on 'x'")
    >>> error.__cause__ = KeyboardInterrupt()
    >>> is_interrupt(error), is_interrupt(error.__cause__), is_interrupt(RuntimeError())
    (True, True, False)
    """
    found: BaseException | None = error
    while found is not None and not isinstance(found, KeyboardInterrupt):
        found = found.__cause__
    return found is not None
