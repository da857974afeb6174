"""What AdamW and Muon share: paths, state in float32 at least, and loading it without rounding (chapter 6)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer

from cs336_lib.naming import check_choice
from cs336_lib.plain import check_number, number

Path = Literal["loop", "foreach", "compile", "fused"]
DecayOrder = Literal["first", "last"]


def wide(dtype: torch.dtype) -> torch.dtype:
    """Return the type moments are kept in: float32 for half precision, the parameter's own type otherwise.

    In bfloat16 a second moment could not decay: 0.999 v rounds back to v, since neighboring numbers are 0.4 % apart.
    """
    return torch.promote_types(dtype, torch.float32)


class MomentOptimizer(Optimizer, ABC):
    """Base of AdamW and Muon.

    Args:
        params: parameters or groups.
        defaults: hyperparameters of groups that do not set their own.
        foreach: True works on all tensors at once, False on one after the other, None chooses by device.
        compile: compile the update, so that each number is read and written once.
        fused: take torch's own kernel for AdamW on a CPU.

    Raises:
        ValueError: `fused` is asked for together with another way.
    """

    path: Path | None
    others: frozenset[str] = frozenset()
    """Hyperparameters of another optimizer whose state is read as well."""

    def __init__(
        self, params: Iterable[Any], defaults: dict[str, Any], foreach: bool | None, compile: bool, fused: bool
    ) -> None:
        if fused and (compile or foreach is not None):
            other = "compile=True" if compile else f"foreach={foreach}"
            raise ValueError(f"fused=True and {other} are two ways to do one update; give one of them")
        if fused or compile:
            self.path = "fused" if fused else "compile"
        else:
            self.path = None if foreach is None else "foreach" if foreach else "loop"
        super().__init__(params, defaults)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group, after a look at its hyperparameters."""
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        make_plain(group)
        check_choice("decay_order", group["decay_order"], get_args(DecayOrder))
        self.check_group(group)

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "path": self.path}

    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:  # type: ignore[override]
        """Take one step.

        Args:
            closure: computes the loss and its gradients anew; most callers have done that already.

        Returns:
            The closure's loss, or None.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        with torch.no_grad():
            for group in self.param_groups:
                self.update_group(group)
        return loss

    @abstractmethod
    def check_group(self, group: dict[str, Any]) -> None:
        """Raise ValueError if a hyperparameter of a group is out of range."""

    @abstractmethod
    def moments_of(self, group: dict[str, Any]) -> set[str]:
        """Names of what is kept for each parameter of a group."""

    @abstractmethod
    def update_group(self, group: dict[str, Any]) -> None:
        """Update the parameters of one group that have gradients."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load a state dict saved by any path of this optimizer.

        torch's own loading rounds each moment to its parameter's type; here they are kept as they were saved.

        Raises:
            ValueError: it was saved by an optimizer of another kind, for parameters of other shapes, or by one that
                decays weights in the other order, see `saved_order`.
        """
        check_kind(self, state_dict, lambda group: self.moments_of(group), self.others)
        groups = [{**group, "decay_order": saved_order(group)} for group in state_dict["param_groups"]]
        for saved, own in zip(groups, self.param_groups, strict=False):
            decays = saved.get("weight_decay", 0) and saved.get("algorithm") != "muon"  # Muon's matrices have one order
            if decays and saved["decay_order"] != own["decay_order"]:
                raise ValueError(
                    f"this state was saved with decay_order={saved['decay_order']!r}, the optimizer has "
                    f"{own['decay_order']!r}: make it with decay_order={saved['decay_order']!r} to go on as before"
                )
            saved["decay_order"] = own["decay_order"]
        check_shapes(self, state_dict)
        state_dict = {**state_dict, "param_groups": groups}
        super().load_state_dict(state_dict)
        for group in self.param_groups:
            make_plain(group)
        saved_ids = [i for group in state_dict["param_groups"] for i in group["params"]]
        params = [p for group in self.param_groups for p in group["params"]]
        for saved_id, p in zip(saved_ids, params, strict=True):
            for key, value in state_dict["state"].get(saved_id, {}).items():
                if key == "step":
                    self.state[p][key] = int(value)  # torch's own optimizers count with tensors
                elif isinstance(value, Tensor):
                    self.state[p][key] = value.detach().to(p.device, wide(p.dtype), copy=True)


def make_plain(group: dict[str, Any]) -> None:
    """Make numpy's numbers in a group, and tensors without dimensions, Python's: its state dict is of plain values.

    >>> group = {"params": [], "lr": np.float64(0.5), "betas": np.array([0.5, 0.75])}
    >>> make_plain(group)
    >>> group
    {'params': [], 'lr': 0.5, 'betas': (0.5, 0.75)}
    """
    for name, value in group.items():
        if name == "params":
            continue
        row = isinstance(value, tuple) or (isinstance(value, np.ndarray) and value.ndim > 0)
        group[name] = tuple(number(one) for one in value) if row else number(value)


def check_rates(**rates: Any) -> None:
    """Raise an error unless hyperparameters are numbers from 0 on.

    Raises:
        TypeError: one is no number.
        ValueError: one is negative or NaN.
    """
    for name, rate in rates.items():
        if not check_number(name, rate) >= 0:
            raise ValueError(f"{name} is {rate}; it must be 0 or more")


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
    moments_of: Callable[[dict[str, Any]], set[str]],
    others: Collection[str] = (),
) -> None:
    """Raise ValueError unless a state dict can be of this kind of optimizer.

    Groups alone must tell it where no step was taken, and nothing is kept yet for any parameter.

    Args:
        optimizer: that is to load it.
        state_dict: of whatever optimizer.
        moments_of: a saved group -> names of what is kept for each of its parameters.
        others: hyperparameters that a group may have beside the optimizer's own.
    """
    own = type(optimizer).__name__
    if not isinstance(state_dict, dict) or not {"state", "param_groups"} <= state_dict.keys():
        raise ValueError(
            f"this is no optimizer's state dict: it must hold 'state' and 'param_groups'; {own} reads its own"
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
        if not state_dict["state"] and (unknown := sorted(group.keys() & _OF_ANY - mine)):
            raise ValueError(
                f"this state was saved by another optimizer than {own}: its groups have {', '.join(unknown)}, which "
                f"{own} does not; load it into the kind that saved it"
            )
        for index in group["params"]:
            kept = state_dict["state"].get(index, {})
            if kept and not moments_of(group) <= kept.keys():
                raise ValueError(
                    f"this state was saved by another optimizer than {own}, which keeps "
                    f"{', '.join(sorted(moments_of(group)))}; it has {', '.join(sorted(map(str, kept)))}"
                )


def check_shapes(optimizer: Optimizer, state_dict: dict[str, Any]) -> None:
    """Raise ValueError if what a state dict keeps for a parameter has another shape than the parameter.

    A state for another number of parameters is left to torch, which says so.
    """
    params = [p for group in optimizer.param_groups for p in group["params"]]
    saved = [index for group in state_dict["param_groups"] for index in group["params"]]
    for place, (index, p) in enumerate(zip(saved, params, strict=False)):
        for key, value in state_dict["state"].get(index, {}).items():
            if isinstance(value, Tensor) and key != "step" and value.shape != p.shape:
                raise ValueError(
                    f"this state was saved for other parameters: {key} of parameter {place} has shape "
                    f"{tuple(value.shape)}, and the parameter {tuple(p.shape)}"
                )


def follow(state: dict[str, Any], p: Tensor, keys: Iterable[str]) -> None:
    """Take what is kept for a parameter to the device and the type that the parameter has been moved to since."""
    for key in keys:
        if (kept := state[key]).dtype != wide(p.dtype) or kept.device != p.device:
            state[key] = kept.to(p.device, wide(p.dtype))


def with_gradients(params: Iterable[Tensor]) -> list[Tensor]:
    """Return the parameters that have a gradient.

    Raises:
        ValueError: a gradient is sparse.
    """
    present = [p for p in params if p.grad is not None]
    for p in present:
        if p.grad is not None and p.grad.is_sparse:
            raise ValueError(
                f"the gradient of a parameter of shape {tuple(p.shape)} is sparse; only dense ones work here"
            )
    return present


def saved_order(group: dict[str, Any]) -> str:
    """Return the order in which a saved group of parameters was decayed.

    A group without the key is of torch's optimizer, which decays first and is told by its other keys, or was saved
    before there was a choice, when the decay came last.

    >>> saved_order({"lr": 0.1}), saved_order({"lr": 0.1, "amsgrad": False}), saved_order({"decay_order": "first"})
    ('last', 'first', 'first')
    """
    return str(group.get("decay_order", "first" if "amsgrad" in group else "last"))
