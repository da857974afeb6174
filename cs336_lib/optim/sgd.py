"""Stochastic gradient descent with a step that shrinks as 1 / sqrt(t + 1) (chapter 6).

This is the handout's first optimizer, kept as small as an optimizer can be: parameters come in groups, each group has
its hyperparameters, and each parameter has its own state.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from cs336_lib.optim.sharding import local
from cs336_lib.optim.state import CheckedOptimizer, check_rates


class SGD(CheckedOptimizer):
    """theta_{t+1} = theta_t - lr / sqrt(t + 1) * gradient, for t = 0, 1, 2, ...

    Args:
        params: parameters, or groups of them with their own `lr`.
        lr: learning rate of the first step.

    Raises:
        TypeError: the learning rate is no number.
        ValueError: it is negative.

    Source: handout, section 4.2 and problem (learning_rate_tuning).

    >>> weight = torch.nn.Parameter(torch.tensor([8.0]))
    >>> optimizer = SGD([weight], lr=1.0)
    >>> for _ in range(2):
    ...     weight.grad = torch.tensor([1.0])
    ...     _ = optimizer.step()
    >>> round(weight.item(), 4)                     # 8 - 1 - 1 / sqrt(2)
    6.2929
    """

    def __init__(self, params: Iterable[Any], lr: float = 1e-3) -> None:
        super().__init__(params, {"lr": lr})

    def check_group(self, group: dict[str, Any]) -> None:
        """Raise an error if the learning rate of a group is none."""
        check_rates(lr=group["lr"])

    def moments_of(self, group: dict[str, Any]) -> set[str]:
        """Names of what is kept for each parameter of a group."""
        return {"t"}

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:  # type: ignore[override]
        """Take one step; `closure`, if given, computes the loss anew and its value is returned."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                t = state.get("t", 0)
                local(p).sub_(local(p.grad), alpha=group["lr"] / math.sqrt(t + 1))
                state["t"] = t + 1
        return loss
