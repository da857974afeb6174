"""What the optimizers share: groups and states looked at before anything changes, moments in float32 (chapter 6)."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from copy import copy
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer

from cs336_lib.naming import check_choice
from cs336_lib.optim.saved import COUNTS, check_kept, check_kind, count, parameter_ids, saved_order
from cs336_lib.plain import check_flag, check_number, number

Path = Literal["loop", "foreach", "compile", "fused"]
DecayOrder = Literal["first", "last"]

_ROUNDED = -1e-12
"""A learning rate that a schedule brings to zero may end up by so much below it."""


def wide(dtype: torch.dtype) -> torch.dtype:
    """Return the type moments are kept in: float32 for half precision, the parameter's own type otherwise.

    In bfloat16 a second moment could not decay: 0.999 v rounds back to v, since neighboring numbers are 0.4 % apart.
    """
    return torch.promote_types(dtype, torch.float32)


class CheckedOptimizer(Optimizer, ABC):
    """Base of all optimizers here: a group or a state that is refused leaves everything as it was."""

    others: frozenset[str] = frozenset()
    """Hyperparameters of another optimizer whose state is read as well."""

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group, after a look at its hyperparameters and parameters."""
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        try:
            make_plain(group)
            self.check_group(group)
        except Exception:
            self.param_groups.pop()
            raise

    @abstractmethod
    def check_group(self, group: dict[str, Any]) -> None:
        """Raise an error if a hyperparameter of a group is none or out of range, or not for parameters like its own."""

    @abstractmethod
    def moments_of(self, group: dict[str, Any]) -> set[str]:
        """Names of what is kept for each parameter of a group."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load a state dict that this kind of optimizer saved.

        Hooks have their places as in torch: what the last pre-hook returns is looked at and loaded, and post-hooks find
        all of it loaded.

        Raises:
            TypeError: a hyperparameter in it is none.
            ValueError: it was saved by an optimizer of another kind, for parameters of other shapes, with a
                hyperparameter that is out of range, or what it keeps is damaged.
        """
        if not isinstance(state_dict, dict):
            check_kind(self, state_dict, self.others)
        given: dict[str, Any] = state_dict.copy()
        for pre_hook in list(self._optimizer_load_state_dict_pre_hooks.values()):  # one may take itself away
            changed = pre_hook(self, given)
            given = given if changed is None else changed
        given = self.readable(given)
        loader = copy(self)  # without hooks, for ours come before and after all that it does
        super(CheckedOptimizer, loader).load_state_dict(given)
        self.__setstate__({"state": loader.state, "param_groups": loader.param_groups})
        self.restore(given)
        for post_hook in list(self._optimizer_load_state_dict_post_hooks.values()):
            post_hook(self)

    def readable(self, state_dict: dict[str, Any]) -> dict[str, Any]:
        """Return a saved state as torch's loader is to have it, or raise what `load_state_dict` raises."""
        check_kind(self, state_dict, self.others)
        for place, (saved, own) in enumerate(zip(state_dict["param_groups"], self.param_groups, strict=False)):
            group = self._with_flags(plain({**saved, "params": own["params"]}))
            if isinstance(group["lr"], float) and _ROUNDED < group["lr"] < 0:
                group["lr"] = 0.0
            try:
                self.check_group(group)
            except (TypeError, ValueError) as error:
                raise type(error)(f"group {place} of this state can't be loaded: {error}") from None
        check_kept(self, state_dict, self.moments_of)
        return state_dict

    def restore(self, state_dict: dict[str, Any]) -> None:
        """Set what torch's loader has altered, or taken in another form, to what was saved."""
        for group in self.param_groups:
            make_plain(group)
            group.update(self._with_flags(group))
        for p, kept in self.kept_of(state_dict):
            for key in COUNTS & kept.keys():  # torch's own optimizers count with tensors
                self.state[p][key] = count(kept[key])

    def _with_flags(self, group: dict[str, Any]) -> dict[str, Any]:
        """Return a saved group with True and False where numbers were taken for them."""
        flags = {name for name, value in self.defaults.items() if isinstance(value, bool)}
        return {name: bool(value) if name in flags and value in (0, 1) else value for name, value in group.items()}

    def kept_of(self, state_dict: dict[str, Any]) -> list[tuple[Tensor, dict[str, Any]]]:
        """Return each parameter, and what a state that was loaded keeps for it."""
        params = [p for group in self.param_groups for p in group["params"]]
        ids = parameter_ids(state_dict)
        return [(p, state_dict["state"].get(index, {})) for p, index in zip(params, ids, strict=True)]


class MomentOptimizer(CheckedOptimizer):
    """Base of AdamW and Muon.

    Args:
        params: parameters or groups.
        defaults: hyperparameters of groups that do not set their own.
        foreach: True works on all tensors at once, False on one after the other, None chooses by device.
        compile: compile the update, so that each number is read and written once.
        fused: take torch's own kernel for AdamW on a CPU.

    Raises:
        TypeError: a choice of path is neither True nor False.
        ValueError: `fused` is asked for together with another way.
    """

    path: Path | None

    def __init__(
        self, params: Iterable[Any], defaults: dict[str, Any], foreach: bool | None, compile: bool, fused: bool
    ) -> None:
        foreach = None if foreach is None else check_flag("foreach", foreach)
        paths = ("compile", compile), ("fused", fused)  # None is torch's own default
        compile, fused = (value is not None and check_flag(name, value) for name, value in paths)
        if fused and (compile or foreach is not None):
            other = "compile=True" if compile else f"foreach={foreach}"
            raise ValueError(f"fused=True and {other} are two ways to do one update; give one of them")
        if fused or compile:
            self.path = "fused" if fused else "compile"
        else:
            self.path = None if foreach is None else "foreach" if foreach else "loop"
        super().__init__(params, defaults)

    def check_group(self, group: dict[str, Any]) -> None:
        """Raise ValueError if there is no such order of the decay, or a parameter is complex; heirs ask more."""
        check_choice("decay_order", group["decay_order"], get_args(DecayOrder))
        for p in group["params"]:
            if p.requires_grad:
                _check_real(p)

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
                self.update_group(plain(group))  # a schedule may have put a tensor there
        return loss

    @abstractmethod
    def update_group(self, group: dict[str, Any]) -> None:
        """Update the parameters of one group that have gradients."""

    def readable(self, state_dict: dict[str, Any]) -> dict[str, Any]:
        """Return a saved state of any path, or raise an error; of another `decay_order`, too (see `saved_order`)."""
        check_kind(self, state_dict, self.others)
        groups = [{**group, "decay_order": saved_order(group)} for group in state_dict["param_groups"]]
        for saved, own in zip(groups, self.param_groups, strict=False):
            check_choice("decay_order of this state", saved["decay_order"], get_args(DecayOrder))
            decays = saved.get("weight_decay", 0) and saved.get("algorithm") != "muon"  # Muon's matrices have one order
            if decays and saved["decay_order"] != own["decay_order"]:
                raise ValueError(
                    f"this state was saved with decay_order={saved['decay_order']!r}, the optimizer has "
                    f"{own['decay_order']!r}: make it with decay_order={saved['decay_order']!r} to go on as before"
                )
            saved["decay_order"] = own["decay_order"]
        return super().readable({**state_dict, "param_groups": groups})

    def restore(self, state_dict: dict[str, Any]) -> None:
        """Keep moments as they were saved: torch's loader rounds each to its parameter's type."""
        super().restore(state_dict)
        for p, kept in self.kept_of(state_dict):
            for key, value in kept.items():
                if isinstance(value, Tensor) and key not in COUNTS:
                    self.state[p][key] = value.detach().to(p.device, wide(p.dtype), copy=True)


def plain(group: dict[str, Any]) -> dict[str, Any]:
    """Return a group with Python's numbers for numpy's, and for tensors without dimensions, its lists and tuples too.

    >>> plain({"params": [], "lr": np.float64(0.5), "betas": np.array([0.5, 0.75]), "etas": [np.float32(0.5), 2]})
    {'params': [], 'lr': 0.5, 'betas': (0.5, 0.75), 'etas': [0.5, 2]}
    """
    return {name: value if name == "params" else _plain(value) for name, value in group.items()}


def make_plain(group: dict[str, Any]) -> None:
    """Make the numbers of a group Python's: its state dict is of plain values."""
    group.update(plain(group))


def _plain(value: Any) -> Any:
    if type(value) is list:
        return [number(one) for one in value]
    row = isinstance(value, tuple) or (isinstance(value, np.ndarray) and value.ndim > 0)
    return tuple(number(one) for one in value) if row else number(value)


def check_rates(**rates: Any) -> None:
    """Raise an error unless hyperparameters are finite numbers from 0 on.

    Raises:
        TypeError: one is no number.
        ValueError: one is negative, infinite or NaN.
    """
    for name, rate in rates.items():
        if not 0 <= check_number(name, rate) < math.inf:
            raise ValueError(f"{name} is {rate}; it must be 0 or more, and finite")


def follow(state: dict[str, Any], p: Tensor, keys: Iterable[str]) -> None:
    """Take what is kept for a parameter to the device and the type that the parameter has been moved to since."""
    for key in keys:
        if (kept := state[key]).dtype != wide(p.dtype) or kept.device != p.device:
            state[key] = kept.to(p.device, wide(p.dtype))


def with_gradients(params: Iterable[Tensor]) -> list[Tensor]:
    """Return the parameters that have a gradient.

    Raises:
        ValueError: a gradient is sparse, or a parameter has become complex.
    """
    present = [p for p in params if p.grad is not None]
    for p in present:
        _check_real(p)
        if p.grad is not None and p.grad.is_sparse:
            raise ValueError(
                f"the gradient of a parameter of shape {tuple(p.shape)} is sparse; only dense ones work here"
            )
    return present


def _check_real(p: Tensor) -> None:
    """Raise ValueError if a parameter is complex: its square is no measure of how large a gradient is."""
    if p.is_complex():
        raise ValueError(
            f"a parameter of shape {tuple(p.shape)} is of {p.dtype}, and moments are of real numbers; keep the weights "
            "as real and imaginary parts (torch.view_as_real), or take SGD"
        )
