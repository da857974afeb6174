"""How much memory a process has held at most."""

import sys
from pathlib import Path


def peak_memory() -> int | None:
    """Most bytes of physical memory that this process has ever held, or None where the system doesn't tell.

    >>> (peak_memory() or 1e9) > 1e6
    True
    """
    try:
        # The C library's ru_maxrss won't do on Linux: a child starts with its parent's.
        status = Path("/proc/self/status").read_text()
        return 1024 * int(status.partition("VmHWM:")[2].split()[0])
    except (OSError, IndexError):
        pass
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
