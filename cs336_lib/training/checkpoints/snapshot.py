"""The state of a run after a step, apart from how it is stored (chapter 6)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor


class BadCheckpointError(ValueError):
    """A checkpoint that is damaged or incomplete."""


class NoCheckpointError(FileNotFoundError):
    """There is no checkpoint, damaged or not."""


@dataclass
class Snapshot:
    """The state of a run after a step.

    Attributes:
        step: optimizer steps done.
        weights: the model's state dict.
        optimizer: the optimizer's state dict; None in the best checkpoint, which has weights only.
        rng: state of random generators by name, each a tensor of bytes.
        extra: plain JSON values: position in the data, sums since the last line of metrics, and so on.
    """

    step: int
    weights: dict[str, Tensor]
    optimizer: dict[str, Any] | None = None
    rng: dict[str, Tensor] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)


def snapshot_of(state: dict[str, Any], weights: dict[str, Tensor], tensors: dict[str, Tensor]) -> Snapshot:
    """Put a snapshot together from `state.json`, the weights and all other tensors."""
    rng = {name.removeprefix("rng."): value for name, value in tensors.items() if name.startswith("rng.")}
    optimizer = unflatten_optimizer(tensors, state["optimizer"]) if state["optimizer"] is not None else None
    return Snapshot(state["step"], weights, optimizer, rng, state["extra"])


def flatten_optimizer(state_dict: dict[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Part an optimizer's state dict into named tensors and plain JSON values.

    >>> import torch
    >>> tensors, rest = flatten_optimizer({"state": {0: {"step": 3, "m": torch.ones(2)}}, "param_groups": [{"lr": 1}]})
    >>> list(tensors), rest
    (['moment.0.m'], {'state': {'0': {'step': 3}}, 'param_groups': [{'lr': 1}]})
    """
    tensors: dict[str, Tensor] = {}
    plain: dict[str, dict[str, Any]] = {}
    for index, values in state_dict["state"].items():
        tensors |= {f"moment.{index}.{key}": value for key, value in values.items() if isinstance(value, Tensor)}
        plain[str(index)] = {key: value for key, value in values.items() if not isinstance(value, Tensor)}
    return tensors, {"state": plain, "param_groups": state_dict["param_groups"]}


def unflatten_optimizer(tensors: dict[str, Tensor], plain: dict[str, Any]) -> dict[str, Any]:
    """Put an optimizer's state dict together again."""
    state: dict[int, dict[str, Any]] = {int(index): dict(values) for index, values in plain["state"].items()}
    for name, value in tensors.items():
        if name.startswith("moment."):
            _, index, key = name.split(".", 2)
            state.setdefault(int(index), {})[key] = value
    groups = [
        {key: tuple(value) if key == "betas" else value for key, value in group.items()}
        for group in plain["param_groups"]
    ]
    return {"state": state, "param_groups": groups}
