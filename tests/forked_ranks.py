"""Processes forked from one that has torch already: ranks that `elastic_launch` starts, as `torchrun` does, and others.

Importing torch takes a process longer than most of what the tests let it do; so one process imports it, for all those
that the tests of a worker start, and for ranks that are started again.
"""

import logging
import multiprocessing
import os
import threading

from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, Std
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

multiprocessing.set_forkserver_preload(
    ["torch", "torch._dynamo", "torch.distributed.checkpoint", "torch.distributed.fsdp"]
)

PATIENCE = 30
"""Seconds in which ranks that were killed must have ended."""


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
    outcome, ended, others = {}, threading.Event(), set(multiprocessing.active_children())

    def run():
        try:
            outcome["returned"] = elastic_launch(config, work)(*arguments)
        except ChildFailedError as failed:  # one that a signal ended has complained of nothing
            ends = {rank: failure.exitcode for rank, failure in failed.failures.items()}
            outcome["ends"] = "".join(f"rank {rank} ended with {code}\n" for rank, code in sorted(ends.items()))
        except BaseException as error:
            outcome["error"] = error
        finally:
            ended.set()

    # Not in the main thread, whose signals it would handle from then on.
    threading.Thread(target=run, daemon=True).start()
    try:
        ended.wait()  # not `join`: up to Python 3.12 a thread whose join was interrupted is said to be over
    finally:  # a test that ran out of time leaves no rank behind, which would wait
        for _ in range(PATIENCE * 10):
            if ended.is_set():
                break
            for process in set(multiprocessing.active_children()) - others:
                process.kill()
            ended.wait(0.1)
        chatty.setLevel(before)
    if "error" in outcome:
        raise outcome["error"]
    said = (path.read_text() for path in sorted(logs.rglob("stderr.log")))
    return outcome.get("returned"), "\n".join([*said, outcome.get("ends", "")])
