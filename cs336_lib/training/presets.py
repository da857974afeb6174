"""Named runs: the assignment's, and one that a laptop finishes while you read on (chapter 6).

tales-1m                 1.0 M parameters    1.64 M tokens    two CPU cores, about three minutes
tinystories-17m         22.7 M             327.68 M           one GPU; the assignment's (17 M without the look-up)
owt-17m                 45.2 M             327.68 M           one GPU; the same model and budget on OpenWebText
owt-124m               123.7 M               1.97 G           one H100 or B200; the size of a leaderboard's entry
tinystories-40m-tokens  22.7 M              40.96 M           the assignment's low-resource run, CPU or MPS

Fields of a `TrainConfig`, which makes them: `TrainConfig.preset("tales-1m")`.
"""

from __future__ import annotations

from typing import Any

from cs336_lib.model.config import ModelConfig

_TINYSTORIES: dict[str, Any] = dict(
    model=ModelConfig.preset("tinystories-17m").replace(backend="fast"),
    name="tinystories-17m",
    data="tinystories",
    batch_size=256,
    steps=5_000,
    lr=1e-2,  # with beta2 0.95 and 500 steps of warm-up, the best of the public sweeps
    min_lr=1e-4,
    warmup_steps=500,
    log_every=10,
    eval_every=500,
    eval_windows=2_048,
    sample_every=1_000,
    checkpoint_every=500,
)

PRESETS: dict[str, dict[str, Any]] = {
    "tales-1m": dict(
        model=ModelConfig.preset("tales-1m").replace(backend="fast"),
        name="tales-1m",
        data="tales",
        data_bytes=8_000_000,
        batch_size=4,  # few tokens are better spent on many steps: 8 and 800 ended higher
        steps=1_600,
        lr=5e-3,
        min_lr=5e-5,
        warmup_steps=100,
        loss_chunk=1_024,  # a whole step: 8 % faster than autograd on a CPU
        eval_every=200,
        eval_windows=64,
        sample_every=400,
        sample_tokens=300,  # about a story
        checkpoint_every=200,
    ),
    "tinystories-17m": _TINYSTORIES,
    "owt-17m": dict(
        _TINYSTORIES,
        model=ModelConfig.preset("owt-17m").replace(backend="fast"),
        name="owt-17m",
        data="owt",
        lr=5e-3,
        min_lr=5e-5,
        sample_prompt="The",
    ),
    "owt-124m": dict(
        _TINYSTORIES,
        model=ModelConfig.preset("owt-124m").replace(backend="fast"),
        name="owt-124m",
        data="owt",
        batch_size=256,
        accumulation=4,
        steps=15_000,
        lr=2e-3,  # of the best entry of 2026 with plain AdamW
        min_lr=2e-5,
        warmup_steps=750,
        loss_chunk=8_192,
        eval_every=1_500,
        checkpoint_every=1_500,
        sample_every=5_000,
        sample_prompt="The",
    ),
    "tinystories-40m-tokens": dict(
        _TINYSTORIES,
        name="tinystories-40m-tokens",
        batch_size=32,
        lr=3e-3,  # about sqrt(32 / 256) of the large batch's
        min_lr=3e-5,
        warmup_steps=200,
    ),
}
