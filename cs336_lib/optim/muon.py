"""Muon: momentum whose matrices are made orthogonal before each step (chapter 6).

A gradient matrix usually has a few large singular values and many small ones, so that a plain step moves in a few
directions only. Muon replaces the momentum U S V^T by (nearly) U V^T: all directions count alike. Embeddings, the
output head and the gains of norms are no maps between hidden spaces and are left to AdamW.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from cs336_lib.naming import check_choice, check_whole
from cs336_lib.optim.adamw import ADAMW_KEEPS, adamw_group, check_adamw
from cs336_lib.optim.sharding import local, part_of, whole
from cs336_lib.optim.state import DecayOrder, MomentOptimizer, follow, wide, with_gradients
from cs336_lib.plain import check_flag, check_number, said

# x <- a x + b x^3 + c x^5 on each singular value. A steep slope at 0 lifts small values quickly: five rounds bring all
# from 0.002 to 1 between 0.68 and 1.21. Exactly 1 is not needed, and would take more rounds.
A, B, C = 3.4445, -4.7750, 2.0315

_OUTER = re.compile(
    r"embedding|lm_head|(?:^|[._])(?:emb|embd|embed|unembed)(?:[._]|$)|(?:^|\.)(?:wte|wpe|head|out_head|output|classifier)\."
)
"""Names of matrices that are no maps between hidden spaces, here and in other people's models."""

Scale = Literal["spectral", "adamw_rms"]


class Muon(MomentOptimizer):
    """Muon for matrices, AdamW for the rest.

    One step on a matrix::

        buffer <- momentum buffer + (1 - momentum) g
        update = (1 - momentum) g + momentum buffer        (nesterov; otherwise the buffer)
        theta <- (1 - lr weight_decay) theta - lr scale orthogonal(update)

    Args:
        params: parameters or groups. A group may set `algorithm` to "muon" (the default; matrices only) or "adamw",
            and any hyperparameter below. `Muon.for_model` makes the usual two groups.
        lr: learning rate.
        momentum: decay rate of the buffer.
        nesterov: look one step ahead.
        ns_steps: rounds of the Newton-Schulz iteration.
        weight_decay: decoupled, as in AdamW.
        scale: "spectral" multiplies by sqrt(max(1, rows / columns)), so that the step changes outputs by the same
            amount whatever the shape; "adamw_rms" by 0.2 sqrt(max(rows, columns)), so that the step is as large as
            AdamW's and its learning rate can be used.
        ns_dtype: type of the iteration; None takes bfloat16 on a GPU that has it (compute capability 8.0 and up), which
            is enough, and float32 elsewhere.
        betas: of the AdamW groups.
        eps: of the AdamW groups.
        decay_order: of the AdamW groups, see `AdamW`; Muon's own matrices always decay first.
        foreach: path of the AdamW groups, see `AdamW`.
        compile: path of the AdamW groups, see `AdamW`.
        fused: path of the AdamW groups, see `AdamW`.

    Raises:
        TypeError: a hyperparameter is of the wrong type.
        ValueError: a hyperparameter is out of range, a parameter in a Muon group is no matrix, or `fused` is asked for
            together with another path.

    Source: Jordan et al., 2024 (Muon: an optimizer for hidden layers); Liu et al., 2025, for the second scale.

    >>> model = nn.ModuleDict({"layer": nn.Linear(4, 4, bias=False), "lm_head": nn.Linear(4, 9, bias=False)})
    >>> optimizer = Muon.for_model(model, lr=0.02, adamw_lr=0.003)
    >>> [(group["algorithm"], group["lr"], len(group["params"])) for group in optimizer.param_groups]
    [('muon', 0.02, 1), ('adamw', 0.003, 1)]
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 0.02,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_steps: int = 5,
        weight_decay: float = 0.01,
        scale: Scale = "spectral",
        ns_dtype: torch.dtype | None = None,
        betas: tuple[float, float] = (0.9, 0.95),
        eps: float = 1e-8,
        *,
        decay_order: DecayOrder = "first",
        foreach: bool | None = None,
        compile: bool = False,
        fused: bool = False,
    ) -> None:
        defaults = {
            "algorithm": "muon",
            "lr": lr,
            "momentum": momentum,
            "nesterov": nesterov,
            "ns_steps": check_whole("ns_steps", ns_steps, least=1),
            "weight_decay": weight_decay,
            "scale": scale,
            "betas": betas,
            "eps": eps,
            "decay_order": decay_order,
        }
        if ns_dtype is not None and not (isinstance(ns_dtype, torch.dtype) and ns_dtype.is_floating_point):
            raise TypeError(f"ns_dtype must be a torch.dtype of floats, such as torch.bfloat16, got {said(ns_dtype)}")
        self.ns_dtype = ns_dtype
        super().__init__(params, defaults, foreach, compile, fused)

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "ns_dtype": self.ns_dtype}

    @classmethod
    def for_model(cls, model: nn.Module, lr: float = 0.02, adamw_lr: float = 3e-3, **options: Any) -> Muon:
        """Give a model's hidden matrices to Muon, and its embeddings, head and vectors to AdamW.

        Args:
            model: its parameters are told apart by shape. Of the matrices, those of modules whose class is an
                "...Embedding" are no hidden ones, nor are those with a name that embeddings and heads usually have:
                "embed", "emb", "wte", "wpe", "lm_head", "out_head", "head", "output", "unembed" between the dots.
            lr: learning rate of the matrices.
            adamw_lr: learning rate of the rest.
            **options: anything else `Muon` takes.

        Returns:
            An optimizer with two groups.
        """
        matrices: list[Tensor] = []
        rest: list[Tensor] = []
        embeddings = {
            id(p)
            for part in model.modules()
            if "Embedding" in type(part).__name__
            for p in part.parameters(recurse=False)
        }
        for name, p in model.named_parameters():
            hidden = p.ndim == 2 and id(p) not in embeddings and not _OUTER.search(name)
            (matrices if hidden else rest).append(p)
        groups: list[dict[str, Any]] = [
            {"params": matrices, "algorithm": "muon"},
            {"params": rest, "algorithm": "adamw", "lr": adamw_lr},
        ]
        return cls([group for group in groups if group["params"]], lr=lr, **options)

    def check_group(self, group: dict[str, Any]) -> None:
        """Raise an error if a hyperparameter of a group is out of range, or a parameter of Muon's is no matrix."""
        super().check_group(group)
        check_choice("algorithm", group["algorithm"], ("muon", "adamw"))
        check_adamw(group["lr"], group["betas"], group["eps"], group["weight_decay"])
        if not 0 <= check_number("momentum", group["momentum"]) < 1:
            raise ValueError(f"momentum is {group['momentum']}; it must be at least 0 and less than 1")
        group["nesterov"] = check_flag("nesterov", group["nesterov"])
        group["ns_steps"] = check_whole("ns_steps", group["ns_steps"], least=1)
        check_choice("scale", group["scale"], get_args(Scale))
        for p in group["params"]:
            if group["algorithm"] == "muon" and p.ndim != 2:
                raise ValueError(
                    f"a parameter of shape {tuple(p.shape)} is no matrix; put it in a group with algorithm='adamw', "
                    "or let Muon.for_model(model) make the groups"
                )

    def moments_of(self, group: dict[str, Any]) -> set[str]:
        """Names of what is kept for each parameter of a group."""
        return {"momentum_buffer"} if group["algorithm"] == "muon" else ADAMW_KEEPS

    def update_group(self, group: dict[str, Any]) -> None:
        """Update the parameters of one group that have gradients."""
        if group["algorithm"] == "adamw":
            adamw_group(group, self.state, self.path)
            return
        momentum = group["momentum"]
        alike: dict[tuple[Any, ...], list[Tensor]] = {}
        for p in with_gradients(group["params"]):
            if not p.numel():
                continue
            alike.setdefault((p.shape, p.device, p.dtype), []).append(p)
        for ((rows, columns), device, dtype), bucket in alike.items():
            for p in bucket:
                if not self.state[p]:
                    self.state[p]["momentum_buffer"] = torch.zeros_like(p, dtype=wide(dtype))
                follow(self.state[p], p, ("momentum_buffer",))
            g = [p.grad.to(wide(dtype)) for p in bucket if p.grad is not None]
            buffers = [self.state[p]["momentum_buffer"] for p in bucket]
            torch._foreach_lerp_([local(b) for b in buffers], [local(one) for one in g], 1 - momentum)
            # A matrix that is spread over processes is gathered here: its singular vectors are not those of its parts.
            update = torch.stack([whole(b) for b in buffers])
            if group["nesterov"]:
                update = torch.stack([whole(one) for one in g]).lerp(update, momentum)
            ns_dtype = self.ns_dtype or (torch.bfloat16 if _has_bfloat16(device) else wide(dtype))
            # Matrices of one shape are orthogonalized together: one batched product instead of many small ones.
            step = orthogonal(update.to(ns_dtype), group["ns_steps"]).to(wide(dtype))
            if group["scale"] == "spectral":
                factor = math.sqrt(max(1.0, rows / columns))
            else:
                factor = 0.2 * math.sqrt(max(rows, columns))
            for p, direction in zip(bucket, step, strict=True):
                held = local(p).mul_(1 - group["lr"] * group["weight_decay"])
                held.sub_(local(part_of(direction, p)) * (group["lr"] * factor))


def _has_bfloat16(device: torch.device) -> bool:
    """Whether products of bfloat16 are quick there; a T4 only emulates them."""
    return device.type == "cuda" and torch.cuda.is_available() and torch.cuda.get_device_capability(device) >= (8, 0)


def orthogonal(matrices: Tensor, steps: int = 5) -> Tensor:
    """Bring all singular values near 1 and keep the singular vectors, by a Newton-Schulz iteration.

    Args:
        matrices: (..., rows, columns).
        steps: rounds of the iteration, each three matrix products.

    Returns:
        Matrices of the same shape and type; after five rounds in float32, singular values that were at least 0.002
        times the Frobenius norm lie between 0.68 and 1.21, and in bfloat16 a few hundredths around that.

    >>> nearly = orthogonal(torch.diag(torch.tensor([100.0, 1.0])))
    >>> bool((nearly.diagonal() - 1).abs().max() < 0.33) and nearly[0, 1].item() == 0
    True
    """
    x = matrices
    tall = x.shape[-2] > x.shape[-1]
    if tall:
        x = x.mT  # the products below are then of the smaller size
    largest = x.abs().amax(dim=(-2, -1), keepdim=True)
    x = x / largest.clamp(min=torch.finfo(x.dtype).tiny)  # before anything is squared, however small it is
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp(min=1)
    for _ in range(steps):
        gram = x @ x.mT
        x = A * x + (B * gram + C * gram @ gram) @ x
    return x.mT if tall else x
