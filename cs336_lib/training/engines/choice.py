"""Which engine a run gets."""

from __future__ import annotations

import torch

from cs336_lib.training.attending import choose_attention
from cs336_lib.training.config import TrainConfig
from cs336_lib.training.engines.single import SingleDevice
from cs336_lib.training.precision import choose_device, choose_precision
from cs336_lib.training.ranks import Parallel, Ranks


def make_engine(parallel: Parallel | None, ranks: Ranks, config: TrainConfig) -> SingleDevice:
    """Return the engine for a run.

    Args:
        parallel: how processes share the work; None for one process.
        ranks: the processes.
        config: its `device`, `precision` and `tf32` decide.

    Raises:
        ValueError: there are several processes and no way to share, or the device is not there or can't share.
    """
    device = choose_device(config.device)
    if parallel is None:
        if ranks.world_size > 1:
            raise ValueError(f"there are {ranks.world_size} processes: say how they share the work, 'ddp' or 'fsdp'")
        kernels, _ = choose_attention(device, config.attention)
        return SingleDevice(device, choose_precision(device, config.precision, config.tf32), attention=kernels)
    if parallel not in ("ddp", "fsdp"):
        raise ValueError(f"parallel is {parallel!r}; allowed: 'ddp', 'fsdp'")
    if device.type == "mps":
        if config.device != "auto":
            raise ValueError("device is 'mps', on which processes can't share the work; use --device cpu")
        device = torch.device("cpu")
    if device.type == "cuda":
        device = torch.device("cuda", ranks.local_rank)
    from cs336_lib.training.engines.distributed import DataParallel, FullySharded  # much to import, for this alone

    engine = DataParallel if parallel == "ddp" else FullySharded
    kernels, _ = choose_attention(device, config.attention)
    return engine(device, choose_precision(device, config.precision, config.tf32), ranks, kernels)
