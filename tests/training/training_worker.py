"""A process of its own that trains and is killed: FOLDER, and the step before which it kills itself."""

import os
import signal
import sys

import torch
from training_setup import CONFIG, corpus, write_sample

from cs336_lib.training import Trainer


def work(folder, last):
    """Train until the step."""
    torch.set_num_threads(1)
    trainer = Trainer(CONFIG, folder, corpus(), write_sample=write_sample, progress=False)
    step = trainer._train_step

    def step_or_die():
        if trainer.step == last:
            os.kill(os.getpid(), signal.SIGKILL)
        return step()

    trainer._train_step = step_or_die
    trainer.fit()


if __name__ == "__main__":
    work(sys.argv[1], int(sys.argv[2]))
