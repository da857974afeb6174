"""The text that benchmarks of the tokenizer run on when they are given none: tales, from a fixed seed."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def text_or_tales(path: str | None, size: int) -> Iterator[str]:
    """Path of the given text, or of `size` bytes of tales that are deleted afterward."""
    if path is not None:
        yield path
        return
    from cs336_lib.data import tales

    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / f"tales-{size // 1_000_000}mb.txt"
        tales.write(written, size, 0, progress=True)
        yield str(written)


def read_bandwidth() -> float:
    """Bytes per second at which one core reads memory: the best of several sums over 512 MB."""
    import time

    import numpy as np

    array = np.ones(64 << 20, np.int64)
    best = float("inf")
    for _ in range(5):
        started = time.perf_counter()
        array.sum()
        best = min(best, time.perf_counter() - started)
    return array.nbytes / best
