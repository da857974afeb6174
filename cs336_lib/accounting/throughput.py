"""From FLOPs to seconds and back: training time and MFU (chapter 5)."""

from __future__ import annotations

import math

from cs336_lib.accounting.breakdown import check_amount, check_count, check_sizes
from cs336_lib.accounting.devices import Device, peak_flops
from cs336_lib.accounting.flops import Attention, training_flops
from cs336_lib.accounting.optimizer import adamw_flops
from cs336_lib.model.config import ModelConfig
from cs336_lib.naming import real_number

HOUR = 3_600
DAY = 24 * HOUR


def training_time(
    cfg: ModelConfig,
    steps: int,
    batch_size: int,
    device: str | Device | float,
    *,
    mfu: float = 0.5,
    dtype: str = "bfloat16",
    context_length: int | None = None,
    attention: Attention = "full",
    optimizer: bool = False,
) -> float:
    """Return how long a training takes: its FLOPs (forward and backward pass) over peak times MFU.

    Args:
        cfg: the model.
        steps: optimizer steps.
        batch_size: B, sequences per step.
        device: a name of `DEVICES`, a `Device`, or the peak itself in FLOP/s.
        mfu: the part of the peak that is reached, above 0 and at most 1.
        dtype: which of the device's peaks; not used when `device` is a number.
        context_length: S; the model's context length when None.
        attention: how scores are counted, "full" or "causal".
        optimizer: add AdamW's FLOPs. In the assignment's run they are two millionths of the rest, with small batches up
            to some thousandths (and bound by memory, not by FLOPs).

    Returns:
        Seconds.

    Raises:
        ValueError: a size is not a positive whole number, or device, dtype, MFU or `attention` is unknown or out of
            range; or the time is more than a float holds.

    Source: handout, problem (adamw_accounting) (d), in 2025 (adamwAccounting).

    >>> seconds = training_time(ModelConfig.preset("gpt2-xl"), 400_000, 1024, "a100-80gb", dtype="float32")
    >>> round(seconds / DAY, 2)
    6583.56
    >>> round(training_time(ModelConfig.preset("gpt2-xl-2026"), 400_000, 1024, 495e12) / HOUR, 2)
    4850.06
    """
    steps, mfu = check_count("steps", steps), real_number("mfu", mfu)
    if not 0 < mfu <= 1:
        raise ValueError(f"mfu is {mfu}; it must be above 0 and at most 1 (0.5 is 50 %)")
    flops = training_flops(cfg, context_length, batch_size, attention=attention).total
    work, peak = steps * (flops + (adamw_flops(cfg) if optimizer else 0)), peak_flops(device, dtype)
    try:
        seconds = work / (peak * mfu)
    except (OverflowError, ZeroDivisionError):  # too much work for a float, or a rate that is rounded to none
        seconds = math.inf
    if seconds == math.inf:
        raise ValueError(
            f"the time of that many steps at {peak:g} FLOP/s and an mfu of {mfu:g} is beyond what a float holds; give "
            "fewer or smaller steps, or a higher peak"
        )
    return seconds


def mfu(
    tokens_per_second: float,
    cfg: ModelConfig,
    device: str | Device | float,
    *,
    dtype: str = "bfloat16",
    context_length: int | None = None,
    attention: Attention = "full",
) -> float:
    """Return the model FLOPs utilization: the FLOPs a training asks for in a second over the device's peak.

    Only the model's own FLOPs count: what is computed twice to save memory lowers MFU. As in the literature, the peak
    is that of dense products in `dtype`, and attention counts in full unless told otherwise.

    Args:
        tokens_per_second: tokens trained on in a second, on one device.
        cfg: the model.
        device: a name of `DEVICES`, a `Device`, or the peak itself in FLOP/s.
        dtype: the type the products are computed in; not used when `device` is a number.
        context_length: S; the model's context length when None.
        attention: how scores are counted, "full" or "causal".

    Returns:
        A part of one; above 1 if something was measured or looked up wrongly, or if attention that is causal is counted
            in full at a long context.

    Raises:
        ValueError: the rate is negative or not finite, or device, dtype or `attention` is unknown.

    Source: Chowdhery et al., 2022 (PaLM), appendix B.

    >>> round(mfu(180_000, ModelConfig.preset("tinystories-17m"), "h100-sxm"), 4)
    0.0203
    """
    tokens_per_second = check_amount("tokens_per_second", tokens_per_second)
    seq_len, _ = check_sizes(cfg, context_length, 1)
    per_sequence = training_flops(cfg, seq_len, attention=attention).total
    return tokens_per_second * per_sequence / seq_len / peak_flops(device, dtype)
