"""`python -m cs336_lib`, whose rank 1 kills itself before step DIE_BEFORE, or falls asleep before step SLEEP_BEFORE."""

import os
import signal
import sys
import time

from cs336_lib.cli import main
from cs336_lib.training.trainer import Trainer

step = Trainer._train_step


def step_or_die(self):
    """Kill the process, or let it hang, where it is asked for."""
    first = os.environ["RANK"] == "1" and os.environ["TORCHELASTIC_RESTART_COUNT"] == "0"
    if first and str(self.step) == os.environ.get("DIE_BEFORE"):
        os.kill(os.getpid(), signal.SIGKILL)
    if first and str(self.step) == os.environ.get("SLEEP_BEFORE"):
        time.sleep(12)
    return step(self)


if __name__ == "__main__":
    Trainer._train_step = step_or_die
    sys.exit(main())
