"""State dicts under the names of the plain model, whether it is compiled or not."""

from __future__ import annotations

import copy
from collections import defaultdict
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
        _check_kind(optimizer, before[0])
        load_plain_state_dict(model, weights)
    except Exception as error:
        optimizer.state, optimizer.param_groups, optimizer.defaults = before
        if isinstance(error, ValueError):
            raise
        raise ValueError(
            f"this is no state that {type(optimizer).__name__} saved ({type(error).__name__}: {error})"
        ) from None


def _check_kind(optimizer: Optimizer, before: dict[Any, Any]) -> None:
    """Raise ValueError if the state that an optimizer has loaded is one of another kind.

    torch itself loads any options and any state, and the next step fails on what is missing. An option that the saving
    version did not have yet is filled in when a state is loaded; what is then missing was never there.

    Args:
        optimizer: has loaded the state.
        before: its state until then.
    """
    other = f"the checkpoint is of another optimizer than {type(optimizer).__name__}"
    for group in optimizer.param_groups:
        # torch adds "differentiable" to the defaults of an optimizer that has loaded a state before.
        if lacks := sorted(optimizer.defaults.keys() - group.keys() - {"differentiable"}):
            raise ValueError(f"{other}: its groups have no {', '.join(lacks)}")
        made: dict[int, set[Any]] = {}
        for p in group["params"]:
            if not (kept := set(optimizer.state.get(p, {}))):
                continue
            if p.ndim not in made:
                made[p.ndim] = _made(optimizer, group, p)
            had = set(before.get(p, {}))
            lacks = sorted(map(str, made[p.ndim] - kept or (had if kept.isdisjoint(had) else ())))
            if lacks:
                has = ", ".join(sorted(map(str, kept)))
                raise ValueError(f"{other}: it keeps {has} of a parameter, and no {', '.join(lacks)}")


def _made(optimizer: Optimizer, group: dict[str, Any], p: torch.Tensor) -> set[Any]:
    """What one of torch's own optimizers keeps of a parameter, seen at a step of a copy with a parameter of one number.

    Nothing of other optimizers, whose steps may change more than their state, nor where no such step can be taken.
    """
    if not getattr(type(optimizer).step, "__module__", "").startswith("torch.optim"):
        return set()
    try:
        probe = copy.copy(optimizer)
        one = torch.zeros([1] * p.ndim, dtype=p.dtype, device=p.device, requires_grad=True)
        one.grad = torch.zeros_like(one)
        probe.state, probe.param_groups = defaultdict(dict), [{**group, "params": [one]}]
        type(optimizer).step(probe)  # not one that a schedule has put in its place
        return set(probe.state[one])
    except Exception:  # of an optimizer that asks for more than a gradient
        return set()


def _kind(value: object) -> str:
    """Say what stands where a tensor should."""
    if not isinstance(value, torch.Tensor):
        return f"a {type(value).__name__}"
    return "on the meta device" if value.is_meta else f"of layout {value.layout}"
