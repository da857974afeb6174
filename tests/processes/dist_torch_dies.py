"""Commands of `cs336`, one after the other in the same ranks; rank 1 dies in some of them, and falls asleep in others.

FOLDER has commands.json: a list of {"name", "arguments", "code", "die_before", "sleep_before"}: the exit code that it
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

RANK, RESTART = (int(os.environ.get(name, 0)) for name in ("RANK", "TORCHELASTIC_RESTART_COUNT"))
LONG = 14
"""Seconds; longer than the patience of the other rank."""
step = Trainer._train_step


def do(folder, number, command):
    """Run a command, unless it is done, and return its exit code."""
    note, died = folder / f"{command['name']}.{RANK}.json", folder / f"{command['name']}.died"
    if note.exists():
        return command["code"]
    # The ranks of another command meet elsewhere, as those of another start do.
    os.environ["TORCHELASTIC_RESTART_COUNT"] = str(100 * RESTART + number)

    def step_or_die(self):
        if RANK == 1 and self.step == command["die_before"] and not died.exists():
            died.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if RANK == 1 and self.step == command["sleep_before"]:
            time.sleep(LONG)
        return step(self)

    Trainer._train_step = step_or_die
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as error:
        code = main(command["arguments"])
    told = json.dumps({"code": code, "out": out.getvalue(), "error": error.getvalue()})
    if code != command["code"]:
        note.with_suffix(f".failed-{RESTART}").write_text(told)
        sys.exit(code)
    note.write_text(told)
    if dist.is_initialized():
        dist.destroy_process_group()  # which an error leaves as it is
    return code


if __name__ == "__main__":
    home = Path(sys.argv[1])
    for place, each in enumerate(json.loads((home / "commands.json").read_text())):
        last = do(home, place, each)
    sys.exit(last)
