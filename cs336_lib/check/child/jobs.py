"""The jobs of the process that runs the reader's code: checks, a training run, timings."""

from __future__ import annotations

import faulthandler
import importlib
import json
import os
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from . import limits

Tell = Callable[..., None]


def work(job: dict[str, Any], answers: TextIO) -> None:
    """Do a job and tell about it, a line of JSON at a time."""
    os.set_inheritable(answers.fileno(), False)
    home = os.getpid()

    def tell(event: str, **more: Any) -> None:
        if os.getpid() == home:  # a forked worker of the reader's code has a copy of this
            answers.write(json.dumps({"event": event, **more}) + "\n")
            answers.flush()

    if hasattr(faulthandler, "register"):  # not on Windows
        trace = open(job["trace"], "w")  # noqa: SIM115, PTH123 - stays open as long as the process
        faulthandler.register(signal.SIGUSR1, file=trace, all_threads=False)
    parent = os.dup(0)
    limits.silenced()
    limits.without_network()
    limits.ended_with_its_parent(parent, job["home"])  # a thread, and the line before needs a process without any
    os.environ["CUDA_VISIBLE_DEVICES"] = ""  # answers are judged on the processor, by the same numbers everywhere
    import torch

    limits.limited_memory(job["memory_gib"])
    sys.argv = ["adapters"]  # an argparse at import must not see ours
    from . import adapters, runner
    from .case import CHECKS

    importlib.import_module(f"{__package__}.questions")
    path, root = Path(job["adapters"]), Path(job["root"])
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH", "")]))
    with runner.clean_state():
        skip = {int(line): reason for line, reason in job["skip"].items()}
        loaded = adapters.load(path, root, skip, lambda line, text: tell("loading", line=line, text=text))
        note = runner.changed_state()
    sys.setrecursionlimit(min(sys.getrecursionlimit(), 100_000))  # a million frames take minutes to unwind
    tell(
        "loaded",
        broken=loaded.broken,
        adapters=sorted(loaded.adapters),
        note=note,
        versions={"python": sys.version.split()[0], "torch": torch.__version__},
    )
    if job["task"] == "train":
        importlib.import_module(f"{__package__}.train_job").train(job, loaded.adapters, tell)
        return
    if job["task"] == "speed":
        importlib.import_module(f"{__package__}.speed_job").measure(job, loaded.adapters, tell)
        return
    reasons = {name: why for name, why in loaded.names.items() if name not in loaded.adapters}
    for name in job["checks"]:
        check = CHECKS[name]
        tell("asking", name=name)
        answer = runner.put(check, loaded.adapters, missing=reasons, broken=loaded.names, root=str(root))
        tell("answer", **answer.as_dict())
        if answer.crash and re.search("MemoryError|can't allocate memory|not enough memory", answer.got):
            return  # the rest is asked in a fresh process


def last_lines(trace: str) -> str:
    """Return the innermost line of the reader's code in a dump of faulthandler.

    >>> last_lines('Stack (most recent call first): File "/x/bpe.py", line 7 in merge')
    'bpe.py, line 7, in merge'
    """
    here = str(Path(__file__).resolve().parent)
    for found in re.finditer(r'File "(.+)", line (\d+) in (\S+)', trace):
        if here not in found[1] and "site-packages" not in found[1] and "/lib/python" not in found[1]:
            return f"{Path(found[1]).name}, line {found[2]}, in {found[3]}"
    return ""
