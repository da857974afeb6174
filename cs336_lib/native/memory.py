"""Large arrays of zeros for kernels, in huge pages where the system has them.

The system gives memory when it is first written to, a page at a time: it stops the thread, zeroes the page and enters
it. With pages of 4 KiB a table of 8 MiB stops its thread 2,048 times, with pages of 2 MiB four times, and a table that
is read at random misses the processor's list of pages less often. numpy asks for huge pages too, but of memory that
malloc may have given out and taken back in small ones, as it does for threads.

    size     below 2 MiB     numpy's zeros, from a line of the processor's cache on
             from 2 MiB on   a mapping of this process alone, which begins where a huge page can
"""

import mmap
from contextlib import suppress
from typing import Any

import numpy as np

HUGE_PAGE = 1 << 21
"""Bytes; what Linux has on x86-64, and on ARM with pages of 4 KiB. Elsewhere a multiple of a page like any other."""

LINE = 64
"""Bytes in a line of the cache."""

# Python's default is a mapping that a forked process shares, and writes to. Windows has neither flags nor forks.
_OWN = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if hasattr(mmap, "MAP_PRIVATE") else {}


def zeros(count: int, dtype: Any) -> np.ndarray:
    """`np.zeros(count, dtype)`, sooner written to where it is large.

    Args:
        count: of items.
        dtype: their type, as numpy takes it.

    Returns:
        A new array of shape (count,). Memory that is never written to costs none, but for what is left of a huge page.

    Raises:
        MemoryError: there isn't so much.

    >>> zeros(3, np.int32)
    array([0, 0, 0], dtype=int32)
    """
    size = count * np.dtype(dtype).itemsize
    if size < HUGE_PAGE:
        lines = np.zeros(size + LINE, np.uint8)
        start = -lines.ctypes.data % LINE
        return lines[start : start + size].view(dtype)
    try:
        mapping = mmap.mmap(-1, size + HUGE_PAGE, **_OWN)
    except OSError:
        return np.zeros(count, dtype)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with suppress(OSError):  # a system without them
            mapping.madvise(mmap.MADV_HUGEPAGE)
    raw = np.frombuffer(mapping, np.uint8)  # keeps the mapping as long as it lives
    start = -raw.ctypes.data % HUGE_PAGE
    return raw[start : start + size].view(dtype)
