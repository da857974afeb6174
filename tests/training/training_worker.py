"""A process of its own that trains, for tests that kill it: FOLDER, then "resume" or a step to kill itself after."""

import os
import signal
import sys

import torch
from training_setup import CONFIG, corpus, write_sample

from cs336_lib.training import Trainer

torch.set_num_threads(1)
folder, what = sys.argv[1], sys.argv[2]
if what == "resume":
    trainer = Trainer.resume(folder, corpus(), write_sample=write_sample, progress=False)
else:
    trainer = Trainer(CONFIG, folder, corpus(), write_sample=write_sample, progress=False)

    def step_and_die(step=trainer._train_step):
        if trainer.step == int(what):
            os.kill(os.getpid(), signal.SIGKILL)
        return step()

    trainer._train_step = step_and_die
print(trainer.fit().status["status"])
