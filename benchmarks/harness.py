"""Measure several ways of doing one thing side by side.

Machines drift (other load, clock speed, heat), so the contenders take turns: in each round every one runs once, and
medians over the rounds are compared. A ratio measured so is stable where the times themselves are not.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

from cs336_lib.atomic import write_whole
from cs336_lib.environment import commit, environment
from cs336_lib.locks import make_folder


def alternate(
    contenders: Mapping[str, Callable[[], Any]],
    rounds: int,
    before: Callable[[], Any] | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Run each contender once a round and return the seconds each took.

    Args:
        contenders: name to function; each has been warmed up by the caller.
        rounds: number of rounds.
        before: called before each start and each stop of the clock, such as `torch.cuda.synchronize`.
        clock: tells the seconds; `time.process_time` leaves out what other programs take from a single thread.

    Returns:
        Name to list of seconds, one for each round.
    """
    wait = before or (lambda: None)
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    order = list(contenders)
    for round_index in range(rounds):
        shift = round_index % len(order)  # nobody always runs on the cache its neighbor left
        for name in order[shift:] + order[:shift]:
            wait()
            start = clock()
            contenders[name]()
            wait()
            seconds[name].append(clock() - start)
    return seconds


def ratio(seconds: Mapping[str, list[float]], name: str, peer: str) -> float:
    """Return the median over rounds of one contender's time divided by its peer's in the same round."""
    return statistics.median(a / b for a, b in zip(seconds[name], seconds[peer], strict=True))


def device_name(device: str = "cpu") -> str:
    """Name the device without naming the host: "2-core x86_64 CPU", or the GPU's product name."""
    if device == "cpu":
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        return f"{cores}-core {platform.machine()} CPU"
    import torch

    return torch.cuda.get_device_name()


def stamped(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a measurement with what says where it comes from: versions, date and commit, unless it has them."""
    facts = {
        "environment": environment(*(name for name in ("numpy", "numba", "regex", "torch") if name in sys.modules)),
        "date": date.today().isoformat(),
        "commit": commit() or "no checkout",
    }
    return {**record, **{name: fact for name, fact in facts.items() if name not in record}}


def write(path: Path, record: Mapping[str, Any]) -> None:
    """Write a record as JSON, whole or not at all; stamp it, unless it is a collection of several."""
    if "device" in record or "environment" in record:
        record = stamped(record)
    make_folder(path.parent, parents=True)
    write_whole(path, json.dumps(record, indent=2) + "\n")
