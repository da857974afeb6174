"""Runs so small that two processes do many of them in seconds, the same here and there."""

from contextlib import suppress

import numpy as np
import torch

from cs336_lib.model import ModelConfig
from cs336_lib.training import PreparedCorpus, TrainConfig, Trainer

MODEL = ModelConfig(vocab_size=31, context_length=8, d_model=16, num_layers=2, num_heads=2, d_ff=24)
CONFIG = TrainConfig(
    MODEL, batch_size=8, steps=5, warmup_steps=2, lr=1e-2, log_every=1, checkpoint_every=3, grad_clip=0.3, device="cpu"
)
TIED = ModelConfig(**{**MODEL.__dict__, "tie_embeddings": True})
CASES = {
    "adamw": CONFIG,
    "decay-last": CONFIG.replace(decay_order="last"),
    "float32": CONFIG,
    "accumulated": CONFIG.replace(accumulation=2),
    "muon": CONFIG.replace(optimizer="muon"),
    "sgd": CONFIG.replace(optimizer="sgd", lr=0.3),
    "tied": CONFIG.replace(model=TIED, loss_chunk=5, pad_head=True),
}


def corpus():
    ids = np.random.default_rng(0).integers(31, size=8 * 51 + 1).astype(np.uint16)
    return PreparedCorpus(None, ids, ids[: 8 * 21 + 4])


def set_type(case):
    """All but one case compute in float64, where other orders of sums do not hide errors."""
    torch.set_default_dtype(torch.float32 if case == "float32" else torch.float64)


def train(folder, config, stop_before=None, resume=False, **options):
    """Train, or resume, and return the first ids of the windows that this process read at each step."""
    read = []
    if resume:
        trainer = Trainer.resume(folder, corpus(), progress=False, **options)
    else:
        trainer = Trainer(config, folder, corpus(), progress=False, **options)
    step, draw = trainer._train_step, trainer._sampler.next

    def next_batch(device):
        x, y = draw(device)
        read.append([trainer.step, [row.tolist() for row in x]])
        return x, y

    def step_or_stop():
        if trainer.step == stop_before:
            raise ZeroDivisionError
        return step()

    trainer._sampler.next, trainer._train_step = next_batch, step_or_stop
    with suppress(ZeroDivisionError):
        trainer.fit()
    return read
