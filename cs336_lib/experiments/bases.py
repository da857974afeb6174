"""The runs that the suites vary, one for each scale.

"quick" trains a run in seconds; "cpu" takes minutes for one on two cores; "full" is the assignment's model and budget,
for a GPU.
"""

from __future__ import annotations

from cs336_lib.model.config import ModelConfig
from cs336_lib.training.config import TrainConfig

LIFTED = 1_000.0
"""A limit far above 100 ln V: a run that it stops has grown past any bound, so it hides nothing (see `outcome`)."""

QUICK = TrainConfig(
    model=ModelConfig(
        vocab_size=512, context_length=64, d_model=64, num_layers=4, num_heads=4, d_ff=192, backend="fast"
    ),
    data="tales",
    data_bytes=2_000_000,
    batch_size=8,
    steps=120,
    lr=3e-2,
    min_lr=3e-4,
    warmup_steps=12,
    log_every=4,
    eval_every=0,
    eval_windows=128,
    sample_tokens=1,
    device="cpu",
)
CPU = TrainConfig.preset("tales-1m").replace(
    steps=800,  # half of the preset's: a run takes two minutes on two cores
    warmup_steps=50,
    sample_every=0,
    sample_tokens=1,
    checkpoint_every=0,
    device="cpu",
    decay_order="last",  # as the runs on record have it
)
FULL = TrainConfig.preset("tinystories-17m")

QUICK_RATES = QUICK.replace(
    model=QUICK.model.replace(num_layers=2, d_ff=128),
    data_bytes=1_000_000,
    steps=80,
    warmup_steps=8,
    eval_windows=64,
    diverged_above=LIFTED,
)
"""Base of the quick sweeps: they need many runs, so each is small."""

ABLATED = {
    scale: base.replace(diverged_above=LIFTED) for scale, base in (("quick", QUICK), ("cpu", CPU), ("full", FULL))
}
"""Bases of the ablations: a model without norms starts at a loss of 20 or more: a bad start, and no divergence."""

SHALLOW = QUICK.replace(model=QUICK.model.replace(num_layers=2))
"""Base of the quick comparisons of chapter 10."""
