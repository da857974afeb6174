"""Commands of `cs336`, one after the other in the same ranks; rank 1 dies in some of them, and falls asleep in others.

The folder has commands.json: a list of {"name", "arguments", "code", "die_before", "sleep_before"}: the exit code it
should have, and numbers of steps, or null. What a rank is told goes to NAME.RANK.json. With another code it goes to
NAME.RANK.failed-RESTART, and the rank ends; those that torchrun starts again go on with the first that is not done.
"""

import io
import json
import os
import signal
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import torch.distributed as dist

from cs336_lib.cli import main
from cs336_lib.training.trainer import Trainer

LONG = 14
"""Seconds; longer than the patience of the other rank."""
step = Trainer._train_step
left = []
"""Groups of commands that failed: DDP must not be the last to let go of one."""


def do(folder, number, command, rank, restart):
    """Run a command, unless it is done, and return its exit code."""
    note, died = folder / f"{command['name']}.{rank}.json", folder / f"{command['name']}.died"
    if note.exists():
        return command["code"]
    # The ranks of another command meet elsewhere, as those of another start do.
    os.environ["TORCHELASTIC_RESTART_COUNT"] = str(100 * restart + number)

    def step_or_die(self):
        if rank == 1 and self.step == command["die_before"] and not died.exists():
            died.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if rank == 1 and self.step == command["sleep_before"]:
            time.sleep(LONG)
        return step(self)

    Trainer._train_step = step_or_die
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as error:
        code = main(command["arguments"])
    told = json.dumps({"code": code, "out": out.getvalue(), "error": error.getvalue()})
    if code != command["code"]:
        note.with_suffix(f".failed-{restart}").write_text(told)
        sys.exit(code)
    note.write_text(told)
    if dist.is_initialized():
        left.append(dist.group.WORLD)
        dist.destroy_process_group()  # which an error leaves as it is
    return code


def do_all(folder, cache):
    """Run the commands of a folder in this rank, with the kernels of a cache, and end with the last one's code."""
    os.environ["CS336_CACHE_DIR"] = str(cache)
    rank, restart = (int(os.environ.get(name, 0)) for name in ("RANK", "TORCHELASTIC_RESTART_COUNT"))
    for number, command in enumerate(json.loads((Path(folder) / "commands.json").read_text())):
        last = do(Path(folder), number, command, rank, restart)
    sys.exit(last)


if __name__ == "__main__":
    do_all(*sys.argv[1:])
