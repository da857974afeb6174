"""A state that was saved: of which kind of optimizer it is, and whether what it keeps can be used (chapter 6)."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from cs336_lib.plain import number, said

COUNTS = {"step", "t"}
"""What is kept for a parameter as a number of steps; all else are tensors of the parameter's shape."""

_OF_ANY = {
    *("alpha", "amsgrad", "beta2_decay", "betas", "centered", "dampening", "decoupled_weight_decay", "eps", "etas"),
    *("history_size", "initial_accumulator_value", "lambd", "lr_decay", "maximize", "momentum", "momentum_decay"),
    *("nesterov", "ns_coefficients", "ns_steps", "rho", "step_sizes", "t0", "weight_decay"),
}
"""What optimizers, torch's and these, call what decides their updates, beside `lr`. Whatever else a group has, such as
a name or what a schedule keeps there, is its owner's."""


def check_kind(
    optimizer: Optimizer,
    state_dict: dict[str, Any],
    others: Collection[str] = (),
) -> None:
    """Raise ValueError unless the groups of a state dict can be of this kind of optimizer.

    They tell it where no step was taken, and where another optimizer keeps something of the same name.

    Args:
        optimizer: that is to load it.
        state_dict: of whatever optimizer.
        others: hyperparameters that a group may have beside the optimizer's own.
    """
    own = type(optimizer).__name__
    if not _in_shape(state_dict):
        raise ValueError(
            "this is no optimizer's state dict: it must hold 'state', a dict of dicts, and 'param_groups', a list of "
            f"dicts with 'params'; {own} reads its own"
        )
    for group in state_dict["param_groups"]:
        # torch itself adds "differentiable" to the defaults of an optimizer that has loaded a state before.
        lacks = sorted(optimizer.defaults.keys() - group.keys() - {"decay_order", "differentiable"})
        if lacks:
            known = ", ".join(sorted(group.keys() - {"params"}))
            raise ValueError(
                f"this state was saved by another optimizer than {own}: its groups lack {', '.join(lacks)}, and have "
                f"{known}"
            )
        if "algorithm" in group and "algorithm" not in optimizer.defaults:
            raise ValueError(f"this state was saved by Muon, and this is {own}; load it into Muon")
        mine = {*optimizer.defaults, *others}.union(*optimizer.param_groups)
        if not _is_of_ours(group, state_dict["state"]) and (unknown := sorted(group.keys() & _OF_ANY - mine)):
            raise ValueError(
                f"this state was saved by another optimizer than {own}: its groups have {', '.join(unknown)}, which "
                f"{own} does not; load it into the kind that saved it"
            )


def _in_shape(state_dict: Any) -> bool:
    if not isinstance(state_dict, dict) or not isinstance(state_dict.get("state"), dict):
        return False
    if not all(isinstance(kept, dict) for kept in state_dict["state"].values()):
        return False
    groups = state_dict.get("param_groups")
    return isinstance(groups, list | tuple) and all(
        isinstance(group, dict) and isinstance(group.get("params"), list | tuple) for group in groups
    )


def _is_of_ours(group: dict[str, Any], state: dict[Any, dict[str, Any]]) -> bool:
    """Whether what is kept tells that one of these optimizers saved it; what else a group has is its owner's then."""
    kept = [set(state[index]) for index in group["params"] if state.get(index)]
    return bool(kept) and ("decay_order" in group or all(names == {"t"} for names in kept))


def parameter_ids(state_dict: dict[str, Any]) -> list[Any]:
    """Return what a state dict calls each parameter, in the order of the groups."""
    return [index for group in state_dict["param_groups"] for index in group["params"]]


def count(value: Any) -> int | None:
    """Return a number of steps as Python's own, from whatever number it was saved as; None if it is none.

    >>> count(3), count(4.0), count(2.5), count("x"), count(-1)
    (3, 4, None, None, None)
    """
    found = value.item() if isinstance(value, Tensor) and value.numel() == 1 else number(value)
    if isinstance(found, bool) or not isinstance(found, int | float) or not 0 <= found < 1 << 63 or found % 1:
        return None
    return int(found)


def check_kept(
    optimizer: Optimizer, state_dict: dict[str, Any], moments_of: Callable[[dict[str, Any]], set[str]]
) -> None:
    """Raise ValueError unless what a state dict keeps for each parameter can be of this kind of optimizer.

    Args:
        optimizer: that is to load it.
        state_dict: that `check_kind` has found in order.
        moments_of: a saved group -> names of what is kept for each of its parameters.

    A state for another number of parameters is left to torch, which says so.
    """
    params = [p for group in optimizer.param_groups for p in group["params"]]
    names = [moments_of(group) for group in state_dict["param_groups"] for _ in group["params"]]
    for place, (index, p, known) in enumerate(zip(parameter_ids(state_dict), params, names, strict=False)):
        kept = state_dict["state"].get(index, {})
        if kept and not known <= kept.keys():
            raise ValueError(
                f"this state was saved by another optimizer than {type(optimizer).__name__}, which keeps "
                f"{', '.join(sorted(known))}; it has {', '.join(sorted(map(str, kept)))}"
            )
        for key, value in kept.items():
            what = f"{key} of parameter {place}"
            if key in COUNTS and count(value) is None:
                raise ValueError(f"this state is damaged: {what} must be a number of steps, got {said(value)}")
            if key in known - COUNTS and not isinstance(value, Tensor):
                raise ValueError(f"this state is damaged: {what} must be a tensor, got {said(value)}")
            if isinstance(value, Tensor) and key not in COUNTS and value.shape != p.shape:
                raise ValueError(
                    f"this state was saved for other parameters: {what} has shape {tuple(value.shape)}, and the "
                    f"parameter {tuple(p.shape)}"
                )


def saved_order(group: dict[str, Any]) -> str:
    """Return the order in which a saved group of parameters was decayed.

    A group without the key is of torch's optimizer, which decays first and is told by its other keys, or was saved
    before there was a choice, when the decay came last.

    >>> saved_order({"lr": 0.1}), saved_order({"lr": 0.1, "amsgrad": False}), saved_order({"decay_order": "first"})
    ('last', 'first', 'first')
    """
    return str(group.get("decay_order", "first" if "amsgrad" in group else "last"))
