"""Processes forked from one that has torch already: ranks that `elastic_launch` starts, as `torchrun` does, and others.

Importing torch takes a process longer than most of what the tests let it do; so one process imports it, for all those
that the tests of a worker start, and for ranks that are started again.
"""

import logging
import multiprocessing
import os
import threading
from contextlib import suppress

from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, Std
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

multiprocessing.set_forkserver_preload(
    ["torch", "torch._dynamo", "torch.distributed.checkpoint", "torch.distributed.fsdp"]
)


def start(work, *arguments):
    """Call `work` in a process of its own, and return the process; see `launch` for what it may be."""
    process = multiprocessing.get_context("forkserver").Process(target=work, args=arguments)
    process.start()
    return process


def launch(work, *arguments, logs, restarts=0):
    """Call `work` in two ranks; return what each returned, or None where they failed, and all that they complained of.

    Args:
        work: a function that can be imported; it may look at nothing of the environment before it is called.
        arguments: its own.
        logs: a folder for what the ranks print.
        restarts: how often all are started again after one has failed.
    """
    logs = logs / "logs"
    meet = {"rdzv_backend": "c10d", "rdzv_endpoint": "localhost:0", "run_id": str(os.getpid())}
    config = LaunchConfig(1, 1, nproc_per_node=2, max_restarts=restarts, start_method="forkserver", **meet)
    config.logs_specs = DefaultLogsSpecs(str(logs), redirects=Std.ALL)
    chatty = logging.getLogger("torch.distributed.elastic")
    before = chatty.level
    chatty.setLevel(logging.CRITICAL)
    returned = []

    def run():
        with suppress(ChildFailedError):
            returned.append(elastic_launch(config, work)(*arguments))

    # Not in the main thread, whose signals it would handle from then on.
    aside = threading.Thread(target=run, daemon=True)
    try:
        aside.start()
        aside.join()
    finally:  # a test that ran out of time leaves nothing behind that waits
        while aside.is_alive():
            for process in multiprocessing.active_children():
                process.kill()
            aside.join(0.1)
        chatty.setLevel(before)
    return returned[0] if returned else None, "\n".join(path.read_text() for path in sorted(logs.rglob("stderr.log")))
