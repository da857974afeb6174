"""The engine of one device, whose methods are the interface of all engines (chapter 6).

The trainer is written against `SingleDevice` and asks it for everything in which other processes could have a part:
placing the model, gradients, the norm over all of them, means over ranks, and the state to save. An engine for several
processes has the same methods.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from cs336_lib.model import TransformerLM
from cs336_lib.optim import clip_grad_norm
from cs336_lib.training.attending import attending
from cs336_lib.training.checkpoints.run import RunCheckpoints
from cs336_lib.training.checkpoints.state_dicts import load_together, plain_state_dict
from cs336_lib.training.precision import Precision
from cs336_lib.training.ranks import Ranks

Weights = dict[str, Tensor]


class SingleDevice:
    """Everything on one device, in one process.

    Attributes:
        rank: this process among `world_size`; only rank 0 writes.
        world_size: number of processes.
        device: where the model runs.
        precision: what it computes with.
        ranks: the processes.
        attention: torch's attention kernels in the order in which they are tried, see `choose_attention`.
    """

    def __init__(
        self,
        device: torch.device,
        precision: Precision,
        ranks: Ranks | None = None,
        attention: tuple[str, ...] = (),
    ) -> None:
        self.device, self.precision, self.attention = device, precision, attention
        self.ranks = ranks or Ranks()
        self.rank, self.world_size = self.ranks.rank, self.ranks.world_size
        self._scaler = torch.amp.GradScaler(device.type, enabled=precision.scaled)

    def setup(self, module: nn.Module) -> nn.Module:
        """Put a module to where it is trained and return what to call in its place."""
        return module.to(self.device)

    @contextmanager
    def forward(self) -> Iterator[None]:
        """Run a forward pass with this run's types of numbers and kernels."""
        with ExitStack() as held:
            held.enter_context(self.precision.autocast(self.device))
            held.enter_context(attending(self.attention))
            yield

    def part(self, last: bool) -> AbstractContextManager[None]:
        """Return the context for one part of a step's batch, forward and backward.

        Args:
            last: whether it is the last part. Only then do engines of several processes average gradients over ranks
                (`no_sync` before).
        """
        return nullcontext()

    def backward(self, loss: Tensor) -> None:
        """Add the gradients of a loss of one part of the step's batch."""
        self._scaler.scale(loss).backward()

    def clip(self, parameters: list[nn.Parameter], optimizer: Optimizer, max_norm: float) -> Tensor:
        """Clip by the norm over all parameters of the model, whoever holds them.

        Args:
            parameters: those that have gradients.
            optimizer: the one that will use them.
            max_norm: largest norm; 0 for no clipping.

        Returns:
            The norm before clipping, on the device.
        """
        if self.precision.scaled:
            self._scaler.unscale_(optimizer)
        return clip_grad_norm(parameters, max_norm or math.inf)

    def step(self, optimizer: Optimizer) -> None:
        """Update the parameters; with float16 a step whose gradients overflowed is left out."""
        if self.precision.scaled:
            self._scaler.step(optimizer)
            self._scaler.update()
        else:
            optimizer.step()

    def mean(self, value: Tensor) -> Tensor:
        """Return the mean of a value over all ranks."""
        return value

    def checkpoints(self, folder: Path, keep: int, model: nn.Module, optimizer: Optimizer) -> RunCheckpoints:
        """Return where the run's checkpoints are kept."""
        return RunCheckpoints(folder, keep)

    def whole_model(self, model: TransformerLM) -> TransformerLM | None:
        """Return a model that rank 0 can call alone, and None or the same in the others."""
        return model

    def synchronize(self) -> None:
        """Wait until the device has done all it was given."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        elif self.device.type == "mps":
            torch.mps.synchronize()

    def save(self, model: nn.Module, optimizer: Optimizer) -> tuple[Weights, dict[str, Any], dict[str, Any]]:
        """Return the weights, the optimizer's state and the engine's own, gathered from wherever they are."""
        return plain_state_dict(model), optimizer.state_dict(), self._scaler.state_dict()

    def load(
        self, model: nn.Module, optimizer: Optimizer, weights: Weights, state: dict[str, Any], own: dict[str, Any]
    ) -> None:
        """Load what `save` returned."""
        load_together(model, weights, optimizer, state)
        if own and self.precision.scaled:
            self._scaler.load_state_dict(own)

    def random_state(self) -> dict[str, Tensor]:
        """Return the state of the random generators of all devices."""
        states = {"cpu": torch.get_rng_state()}
        if self.device.type == "cuda":
            states |= {f"cuda.{i}": state for i, state in enumerate(torch.cuda.get_rng_state_all())}
        elif self.device.type == "mps":
            states["mps"] = torch.mps.get_rng_state()
        return states

    def set_random_state(self, states: dict[str, Tensor]) -> None:
        """Set the random generators of all devices that are still there."""
        setters: dict[str, Callable[[Tensor], None]] = {"cpu": torch.set_rng_state}
        if self.device.type == "cuda":
            for i in range(torch.cuda.device_count()):
                setters[f"cuda.{i}"] = lambda state, i=i: torch.cuda.set_rng_state(state, i)  # type: ignore[misc]
        elif self.device.type == "mps":
            setters["mps"] = torch.mps.set_rng_state
        for name, setter in setters.items():
            if name in states:
                setter(states[name])
