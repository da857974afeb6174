"""Processes forked from one that has torch already: ranks that `elastic_launch` starts, as `torchrun` does, and others.

Importing torch takes a process longer than most of what the tests let it do; so one process imports it, for all those
that the tests of a worker start, and for ranks that are started again.
"""

import logging
import multiprocessing
import os
from concurrent.futures import ThreadPoolExecutor
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
    returned, logs = None, logs / "logs"
    meet = {"rdzv_backend": "c10d", "rdzv_endpoint": "localhost:0", "run_id": str(os.getpid())}
    config = LaunchConfig(1, 1, nproc_per_node=2, max_restarts=restarts, start_method="forkserver", **meet)
    config.logs_specs = DefaultLogsSpecs(str(logs), redirects=Std.ALL)
    chatty = logging.getLogger("torch.distributed.elastic")
    before = chatty.level
    chatty.setLevel(logging.CRITICAL)
    try:
        # Not in the main thread, whose signals it would handle from then on.
        with suppress(ChildFailedError), ThreadPoolExecutor(1) as aside:
            returned = aside.submit(elastic_launch(config, work), *arguments).result()
    finally:
        chatty.setLevel(before)
    return returned, "\n".join(path.read_text() for path in sorted(logs.rglob("stderr.log")))
