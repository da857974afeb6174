"""What a process that runs the reader's code may not do: reach the network, fill the memory, print into the report."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import threading
from typing import Any

GIB = 1 << 30


class NoNetworkError(OSError):
    """The code under test tried to open a connection."""


def without_network() -> None:
    """Cut this process and its children off: by a network namespace of their own where the system allows it.

    Elsewhere Python's sockets refuse to connect, which holds for Python code only.
    """
    os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", WANDB_MODE="disabled")
    with contextlib.suppress(Exception):
        _unshare()
    import socket

    def refuse(self: Any, address: Any, *_: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6):
            raise NoNetworkError(f"no network while checking: a connection to {address} was refused")
        _connect(self, address)

    _connect = socket.socket.connect
    socket.socket.connect = refuse  # type: ignore[method-assign]
    socket.socket.connect_ex = refuse  # type: ignore[method-assign, assignment]


def _unshare() -> None:
    """Move into new user and network namespaces, as the same user; Linux, and only before any thread is started."""
    import ctypes

    if sys.platform != "linux":
        return
    uid, gid = os.getuid(), os.getgid()
    new_user, new_net = 0x10000000, 0x40000000
    if ctypes.CDLL(None, use_errno=True).unshare(new_user | new_net):
        return
    for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
        with open(f"/proc/self/{name}", "w") as file:  # noqa: PTH123
            file.write(text)


def limited_memory(gib: float) -> None:
    """Let this process, and each child of it, allocate so much more than it has now; not everywhere enforced."""
    try:
        import resource
    except ImportError:  # Windows
        return
    now = 0
    with contextlib.suppress(OSError), open("/proc/self/status") as status:  # noqa: PTH123
        now = next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmData"))
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_DATA, (now + int(gib * GIB),) * 2)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_FSIZE, (4 * GIB, 4 * GIB))


def ended_with_its_parent(parent: int, home: str) -> None:
    """End this process, and all that it started, when the process that started it is no more.

    Args:
        parent: a pipe of which only that process has the other end, and into which it writes nothing more.
        home: the folder for everything temporary, which nobody else would remove then.
    """

    def wait() -> None:
        while os.read(parent, 1 << 10):
            pass
        shutil.rmtree(home, ignore_errors=True)
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=wait, daemon=True).start()


def peak_of_memory(*, anew: bool = False) -> int:
    """The most bytes of real memory that this process has held at any time, mapped files among them; 0 if unknown.

    Args:
        anew: begin again from what it holds now, where the system can (Linux).
    """
    if sys.platform == "linux":  # ru_maxrss is that of the process which started this one, if it was larger
        if anew:
            with contextlib.suppress(OSError), open("/proc/self/clear_refs", "w") as file:  # noqa: PTH123
                file.write("5")
        with contextlib.suppress(OSError, StopIteration), open("/proc/self/status") as status:  # noqa: PTH123
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))
        return 0
    try:
        import resource
    except ImportError:  # Windows
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS


def silenced() -> None:
    """Send what is printed, by Python or below it, to nowhere; what is read from the keyboard ends at once."""
    sys.stdout.flush()
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
