"""A corpus and a model so small that a run takes a second."""

import numpy as np
import torch

from cs336_lib.bpe import Tokenizer
from cs336_lib.model import ModelConfig
from cs336_lib.training import PreparedCorpus, TrainConfig

BYTES = Tokenizer({i: bytes([i]) for i in range(256)}, [], ["<|endoftext|>"])
TEXT = "The cat sat on the mat. The dog ran to the cat.<|endoftext|>" * 60
MODEL = ModelConfig(vocab_size=257, context_length=16, d_model=16, num_layers=1, num_heads=2, d_ff=32)
CONFIG = TrainConfig(
    MODEL,
    name="small",
    batch_size=4,
    steps=30,
    warmup_steps=4,
    lr=1e-2,
    min_lr=1e-3,
    log_every=4,
    eval_every=10,
    checkpoint_every=7,
    sample_every=15,
    device="cpu",
)


def corpus():
    ids = np.array(BYTES.encode(TEXT), dtype=np.uint16)
    return PreparedCorpus(BYTES, ids[:-500], ids[-500:], {"name": "cats"})


def write_sample(model, tokenizer, config):
    """Tell of the weights and of torch's own generator, which goes on where it was, too."""
    return f"mean weight {model.lm_head.weight.mean().item():.9f}, drawn {torch.rand(()).item():.9f}"
