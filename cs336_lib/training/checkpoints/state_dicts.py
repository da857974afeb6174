"""State dicts under the names of the plain model, whether it is compiled or not."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy
from torch.optim import Optimizer

_PREFIX = "_orig_mod."  # what torch.compile puts before each name


def plain_state_dict(model: nn.Module) -> dict[str, torch.Tensor]:
    """Return the state dict without what compilation adds to the names."""
    return {name.replace(_PREFIX, ""): value for name, value in model.state_dict().items()}


def load_plain_state_dict(model: nn.Module, state: dict[str, Any]) -> None:
    """Load a state dict of `plain_state_dict`, compiled or not.

    Raises:
        ValueError: it is of another model, which is left as it was; says what is missing, unknown or of another shape.
    """
    own = check_state_dict(model, state)
    try:
        model.load_state_dict({own[name]: value for name, value in state.items()})
    except RuntimeError as error:
        raise ValueError(f"the checkpoint is of another model: {str(error).splitlines()[-1].strip()}") from None


def check_state_dict(model: nn.Module, state: dict[str, Any]) -> dict[str, str]:
    """Return plain name -> name in the model, once it is sure that the model can load all of a state dict.

    torch itself loads what fits, and then says what does not.

    Raises:
        ValueError: it can't.
    """
    if not isinstance(state, dict):
        raise ValueError(f"the checkpoint is of no model: its weights are a {type(state).__name__}, no state dict")
    own = model.state_dict()
    names = {name.replace(_PREFIX, ""): name for name in own}
    missing, unknown = sorted(names.keys() - state.keys()), sorted(map(str, state.keys() - names.keys()))
    if missing or unknown:
        raise ValueError(f"the checkpoint is of another model: missing {missing[:5]}, unknown {unknown[:5]}")
    for name, value in state.items():
        there = own[names[name]]
        if not isinstance(there, torch.Tensor) or is_lazy(there):
            continue
        if not isinstance(value, torch.Tensor) or value.is_meta or value.layout != there.layout:
            raise ValueError(f"the checkpoint is of another model: {name} is {_kind(value)}, no tensor of numbers")
        if value.shape != there.shape:
            raise ValueError(
                f"the checkpoint is of another model: size mismatch for {name}: {tuple(value.shape)} in the "
                f"checkpoint, {tuple(there.shape)} in the model"
            )
        if value.is_complex() and not there.is_complex():
            raise ValueError(f"the checkpoint is of another model: {name} is complex there")
    return names


def load_together(model: nn.Module, weights: dict[str, Any], optimizer: Optimizer, state: dict[str, Any]) -> None:
    """Load a model and its optimizer, both or neither.

    Raises:
        ValueError: one of them is of another kind or shape; both are left as they were.
    """
    check_state_dict(model, weights)
    before = optimizer.state, optimizer.param_groups, dict(optimizer.defaults)  # loading makes new ones of the first
    try:
        optimizer.load_state_dict(state)
        load_plain_state_dict(model, weights)
    except Exception as error:
        optimizer.state, optimizer.param_groups, optimizer.defaults = before
        if isinstance(error, ValueError):
            raise
        raise ValueError(
            f"this is no state that {type(optimizer).__name__} saved ({type(error).__name__}: {error})"
        ) from None


def _kind(value: object) -> str:
    """Say what stands where a tensor should."""
    if not isinstance(value, torch.Tensor):
        return f"a {type(value).__name__}"
    return "on the meta device" if value.is_meta else f"of layout {value.layout}"
