"""Corpora of any size, streamed: blocks of stories made by threads, written in order.

Story i depends on (seed, split, i) alone, so any number of workers writes the same bytes, and a longer corpus begins
with a shorter one. Memory is a few blocks, whatever the size.
"""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from cs336_lib.atomic import replacing
from cs336_lib.bars import bar as progress_bar
from cs336_lib.data.tales import kernel, world
from cs336_lib.data.tales.information import maximum_length

SEPARATOR = "\n<|endoftext|>\n"  # after every story, as TinyStories has it
BLOCK = 2048  # stories a thread makes at a time: about 2 MB of text


@dataclass(frozen=True)
class Corpus:
    """What was written: where, how many stories, how many bytes."""

    path: Path
    stories: int
    size_bytes: int


@cache
def packed() -> kernel.Tables:
    """The built-in world as the kernel's arrays."""
    return kernel.pack(world.program())


@cache
def _room() -> int:
    return maximum_length(world.program()) + len(SEPARATOR)


def block(seed: int, split: int, first: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Stories first to first + count - 1, each with its separator, by the compiled kernel.

    Args:
        seed: from 0 to 2**64 - 1.
        split: 0 for train, 1 for valid.
        first: index of the first story.
        count: how many.

    Returns:
        Their text as uint8, and where each story ends in it (its separator included) as int64.
    """
    out = np.empty(count * _room(), dtype=np.uint8)
    ends = np.empty(count, dtype=np.int64)
    tail = np.frombuffer(SEPARATOR.encode(), dtype=np.uint8)
    size = kernel.generate(packed(), seed, split, first, count, tail, out, ends)
    return out[:size], ends


def write(
    path: str | Path, size_bytes: int, seed: int, split: int, workers: int | None = None, progress: bool = False
) -> Corpus:
    """Write the first stories of a seed, as many whole ones as fit into `size_bytes`."""
    workers = (
        workers or len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else workers or os.cpu_count() or 1
    )
    written = stories = 0
    packed(), _room()
    with (
        replacing(path) as file,
        ThreadPoolExecutor(workers) as pool,
        progress_bar(total=size_bytes, unit="B", unit_scale=True, desc="tales", disable=not progress) as bar,
    ):
        pending = deque(pool.submit(block, seed, split, i * BLOCK, BLOCK) for i in range(workers + 1))
        following = len(pending)
        while pending:
            text, ends = pending.popleft().result()
            fits = int(np.searchsorted(ends, size_bytes - written, side="right"))
            size = int(ends[fits - 1]) if fits else 0
            file.write(text[:size].data)
            written, stories = written + size, stories + fits
            bar.update(size)
            if fits < BLOCK:
                for future in pending:
                    future.cancel()
                break
            pending.append(pool.submit(block, seed, split, following * BLOCK, BLOCK))
            following += 1
        if not stories:
            raise ValueError(f"size_bytes={size_bytes} is too small for one story; {_room()} always suffices")
    return Corpus(Path(path), stories, written)
