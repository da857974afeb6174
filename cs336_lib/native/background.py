"""Compiling kernels in a process of its own, so that whoever needs them soon can go on in plain Python meanwhile.

    this process     plain ... plain ... plain ... is there a copy in the cache folder? yes: compiled from here on
    the other one    numba, LLVM ............... writes the copy, ends

Another thread would do for LLVM, but numba itself is Python and would take the interpreter from the one that works. The
other process is left alone when this one ends: in some seconds the copy is there for the next start.
"""

import json
import subprocess
import sys
import time
from contextlib import suppress

PATIENCE = 2.0
"""Seconds to wait for a compiler before saying so."""

# -P: a file in the working folder that is called like a module of the library must not be taken for it.
_FLAGS = ("-P", "-W", "ignore")
_CHILD = """
import json, sys
sys.path[:] = json.loads(sys.argv[1])
from cs336_lib.native.library import KernelLibrary
sys.exit(not KernelLibrary(sys.argv[2], tuple(sys.argv[3:])).compile_to_cache())
"""


class Compilation:
    """A process that compiles the kernels of one library into the cache folder.

    Args:
        name: of the library.
        modules: that hold its kernels.
    """

    def __init__(self, name: str, modules: tuple[str, ...]) -> None:
        self._name = name
        self._process: subprocess.Popen[bytes] | None = None
        with suppress(OSError):  # no interpreter to be had (an embedded one), or no more processes: it has failed, then
            self._process = subprocess.Popen(
                [sys.executable, *_FLAGS, "-c", _CHILD, json.dumps(sys.path), name, *modules],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )

    def has_ended(self) -> bool:
        """Whether it is over, well or not."""
        return self._process is None or self._process.poll() is not None

    def wait(self) -> None:
        """Return when it is over; say what is being waited for if that takes longer than `PATIENCE`."""
        if self._process is None:
            return
        started = time.monotonic()
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            print(
                f"cs336_lib: waiting for the {self._name} kernels, which are compiled once for this version ...",
                file=sys.stderr,
                end=" ",
                flush=True,
            )
            self._process.wait()
            print(f"{time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
