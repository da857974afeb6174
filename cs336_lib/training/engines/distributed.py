"""Engines of several processes: DDP, where each holds the whole model, and FSDP2, where each holds a part (chapter 11).

::

    ddp     each rank holds all weights, gradients and moments; gradients are averaged between backward and update
    fsdp    each rank holds 1 / world_size of all three; a block's weights are gathered before it runs and dropped after

Both compute what one process computes with the same global batch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from inspect import signature
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from cs336_lib.model import TransformerLM
from cs336_lib.optim import clip_grad_norm
from cs336_lib.optim.sharding import part_of, whole
from cs336_lib.training.checkpoints.run import RunCheckpoints
from cs336_lib.training.checkpoints.sharded import ShardedCheckpoints
from cs336_lib.training.engines.single import SingleDevice, Weights
from cs336_lib.training.precision import Precision
from cs336_lib.training.ranks import Ranks


class DataParallel(SingleDevice):
    """DDP: the whole model in each process.

    Args:
        device: where this rank's model runs.
        precision: what it computes with.
        ranks: the processes.
        attention: as for `SingleDevice`.
    """

    def __init__(
        self, device: torch.device, precision: Precision, ranks: Ranks, attention: tuple[str, ...] = ()
    ) -> None:
        super().__init__(device, precision, ranks, attention)
        self._wrapped: Any = None

    def setup(self, module: nn.Module) -> nn.Module:
        """Put a module to its device and give all ranks the weights of rank 0."""
        devices = [self.device] if self.device.type == "cuda" else None
        # The buffers are tables of positions, the same everywhere; torch 2.13 renamed the option.
        known = signature(DistributedDataParallel).parameters
        option = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"
        options: dict[str, Any] = {option: False}
        self._wrapped = DistributedDataParallel(module.to(self.device), device_ids=devices, **options)
        return self._wrapped

    @contextmanager
    def part(self, last: bool) -> Iterator[None]:
        """Average gradients over ranks in the last part only."""
        if last:
            yield
        else:
            with self._wrapped.no_sync():
                yield

    def mean(self, value: Tensor) -> Tensor:
        """Return the mean of a value over all ranks."""
        return self.ranks.total(value) / self.ranks.world_size

    def checkpoints(self, folder: Path, keep: int, model: nn.Module, optimizer: Optimizer) -> RunCheckpoints:
        """Return checkpoints that all ranks write together."""
        return ShardedCheckpoints(folder, keep, self.ranks, model, optimizer)


class FullySharded(DataParallel):
    """FSDP2: a part of each parameter, of its gradient and of its moments in each process."""

    def setup(self, module: nn.Module) -> nn.Module:
        """Shard each block, then the rest, so that one block at a time is whole."""
        try:
            from torch.distributed.device_mesh import init_device_mesh
            from torch.distributed.fsdp import fully_shard
        except ImportError:
            raise ImportError("--parallel fsdp needs torch 2.6 or newer; update it, or use --parallel ddp") from None
        mesh = init_device_mesh(self.device.type, (self.world_size,))
        module = module.to(self.device)
        for block in (layer for model in module.children() for layer in getattr(model, "layers", [])):
            fully_shard(block, mesh=mesh)
        self._wrapped = fully_shard(module, mesh=mesh)
        return self._wrapped

    @contextmanager
    def part(self, last: bool) -> Iterator[None]:
        """Sum and scatter gradients over ranks in the last part only."""
        self._wrapped.set_requires_gradient_sync(last)
        yield

    def clip(self, parameters: list[nn.Parameter], optimizer: Optimizer, max_norm: float) -> Tensor:
        """Clip by the norm over the parts of all ranks."""
        if self.precision.scaled:
            self._scaler.unscale_(optimizer)
        return clip_grad_norm(parameters, max_norm or math.inf, add_up=self.ranks.total)

    def load(
        self, model: nn.Module, optimizer: Optimizer, weights: Weights, state: dict[str, Any], own: dict[str, Any]
    ) -> None:
        """Load what any engine saved, whole or sharded."""
        params = dict(model.named_parameters())
        for name in sorted(weights.keys() & params.keys()):  # all ranks name the same one
            if weights[name].shape != params[name].shape:
                shapes = f"{tuple(weights[name].shape)} there, {tuple(params[name].shape)} here"
                raise ValueError(f"the checkpoint is of another model: {name} is {shapes}")
        weights = {name: _spread(value, params[name]) if name in params else value for name, value in weights.items()}
        listed = [p for group in optimizer.param_groups for p in group["params"]]
        moments = {
            index: {key: _spread(value, listed[index]) for key, value in values.items()}
            for index, values in state["state"].items()
        }
        super().load(model, optimizer, weights, {**state, "state": moments}, own)

    def whole_model(self, model: TransformerLM) -> TransformerLM | None:
        """Gather the model: on rank 0 a copy that can be called there alone, None on the others."""
        gathered = {}
        for name, value in model.state_dict().items():
            full = whole(value)
            if self.rank == 0:
                gathered[name] = full
        if self.rank:
            return None
        with torch.random.fork_rng(devices=[]):
            copy = TransformerLM(model.config, device=self.device, dtype=next(iter(gathered.values())).dtype)
        copy.load_state_dict(gathered)
        return copy


def _spread(value: Any, like: Tensor) -> Any:
    """Spread a moment or a weight as its parameter is, unless it is spread already or no tensor of that shape."""
    if not isinstance(value, Tensor) or hasattr(value, "device_mesh") or value.shape != like.shape:
        return value
    return part_of(value.to(like.device), like)
