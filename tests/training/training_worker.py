"""A process of its own that trains, for tests that kill it: FOLDER, then "resume" or a step to kill itself before."""

import os
import signal
import sys

import torch
from training_setup import CONFIG, corpus, write_sample

from cs336_lib.training import Trainer


def work(folder, what):
    """Train to the end, or to the step."""
    torch.set_num_threads(1)
    if what == "resume":
        trainer = Trainer.resume(folder, corpus(), write_sample=write_sample, progress=False)
    else:
        trainer = Trainer(CONFIG, folder, corpus(), write_sample=write_sample, progress=False)
        step = trainer._train_step

        def step_or_die():
            if trainer.step == int(what):
                os.kill(os.getpid(), signal.SIGKILL)
            return step()

        trainer._train_step = step_or_die
    print(trainer.fit().status["status"])


if __name__ == "__main__":
    work(*sys.argv[1:])
