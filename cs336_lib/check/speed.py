"""`cs336 check --speed`: yours beside ours, the first call and the later ones apart."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any, TextIO

from cs336_lib.check.material import ours, prepare
from cs336_lib.check.processes import Runs
from cs336_lib.check.project import Project

SHAPE = {"context_length": 128, "d_model": 128, "num_layers": 3, "num_heads": 4, "d_ff": 384}
# The corpus of the official speed test has 133,027 bytes.
SMALL, LARGE = 133_027, 1_000_000
WHAT = {
    "train_bpe": f"train_bpe, {SMALL:,} bytes, vocab_size 500",
    "encode": f"encode, {LARGE / 1e6:.0f} MB of stories",
    "step": "a training step, d_model 128, 3 layers, 16 x 128 tokens",
}
LIMITS = {"train_bpe": "1.5 s", "encode": "-", "step": "-"}


def timed(project: Project, memory_gib: float, stream: TextIO | None) -> list[dict[str, str]]:
    """Time both, one after the other, with all processors.

    Args:
        project: the reader's.
        memory_gib: what the process may allocate.
        stream: where the table goes.

    Returns:
        Rows with "what", "yours", "ours" and "limit".
    """
    with tempfile.TemporaryDirectory(prefix="cs336-check-") as name:
        folder = Path(name)
        material = prepare(folder, SHAPE, 1, 16, LARGE)
        (folder / "small.txt").write_bytes((folder / "large.txt").read_bytes()[:SMALL])
        vocab = [token.hex() for token in material.tokenizer.vocab.values()]
        merges = [(left.hex(), right.hex()) for left, right in material.tokenizer.merges]
        job = {"task": "speed", "vocab": vocab, "merges": merges, "threads": os.cpu_count() or 1, **material.job}
        yours = _measure(project, job, memory_gib)
        right = _measure(ours(), job, memory_gib)
    rows = [
        {"what": WHAT[k], "yours": said(yours.get(k)), "ours": said(right.get(k)), "limit": LIMITS[k]} for k in WHAT
    ]
    if stream:
        print(f"\n{'speed':<58}{'yours':<34}{'this library':<34}official limit", file=stream)
        for row in rows:
            print(f"{row['what']:<58}{row['yours']:<34}{row['ours']:<34}{row['limit']}", file=stream)
        print("the first call may import and compile; the later one is the best of those that follow", file=stream)
    return rows


def _measure(project: Project, job: dict[str, Any], memory_gib: float) -> dict[str, Any]:
    found: dict[str, Any] = {}
    with Runs(project, memory_gib=memory_gib, threads=0) as runs:
        for _ in range(3):  # a line of the adapters that hangs is left out of the next try
            stumbled, now = len(runs.skip), ""
            for event in runs.events(job):
                if event["event"] == "measuring":
                    now = event["name"]
                elif event["event"] == "measured":
                    found[event["name"]], now = event, ""
                elif event["event"] == "ended" and now:
                    found[now] = {"seconds": [], "why": event["why"]}
            if len(runs.skip) == stumbled:
                break
    return found


def said(measured: dict[str, Any] | None) -> str:
    """A measurement in words.

    >>> said({"seconds": [2.0, 0.5, 0.41], "why": ""})
    'first 2.0 s, then 0.41 s'
    """
    if measured is None:
        return "not measured"
    if not measured["seconds"]:
        return str(measured["why"])[:32]
    first, *later = measured["seconds"]
    return f"first {_seconds(first)}, then {_seconds(min(later))}"


def _seconds(value: float) -> str:
    return f"{value * 1000:.0f} ms" if value < 0.2 else f"{value:.2g} s" if value < 1 else f"{value:.1f} s"
