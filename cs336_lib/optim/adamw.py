"""AdamW: Adam with decoupled weight decay (chapter 6).

One update, run four ways::

    loop      one piece of a parameter after the other; reads like the algorithm, and is the twin of the others
    foreach   each operation on all parameters at once, which saves thousands of kernel launches on a GPU
    compile   the loop, compiled: every number is read and written once instead of once an operation
    fused     the same by torch's own kernel, for a CPU: nothing to compile, and nothing to read (`fused.py`)

Where nobody chooses, a GPU takes foreach, and a CPU takes foreach's seven operations (the loop has ten) on one piece
after the other.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import cache
from typing import Any

import torch
from torch import Tensor

from cs336_lib.optim.fused import adamw_fused, fits
from cs336_lib.optim.saved import check_kind
from cs336_lib.optim.sharding import local
from cs336_lib.optim.state import (
    DecayOrder,
    MomentOptimizer,
    Path,
    check_rates,
    follow,
    wide,
    with_gradients,
)
from cs336_lib.plain import check_number

# Pieces of this size, with their gradient and moments, stay in a processor's last cache through all passes of a step.
# On 17 million parameters it took 57 ms, on pieces of 65,536, which fit into a core's own cache, 67 (more calls, and
# threads that wait for each other at each), on whole parameters 78.
PIECE = 262_144


ADAMW_KEEPS = {"step", "exp_avg", "exp_avg_sq"}
_OF_TORCH = {"amsgrad", "maximize", "foreach", "capturable", "fused", "decoupled_weight_decay"}


class AdamW(MomentOptimizer):
    """Adam with decoupled weight decay, as the handout writes it.

    Step t on a parameter theta with gradient g::

        theta <- theta - lr weight_decay theta              (decay_order "first")
        m <- beta1 m + (1 - beta1) g
        v <- beta2 v + (1 - beta2) g^2
        alpha_t = lr sqrt(1 - beta2^t) / (1 - beta1^t)
        theta <- theta - alpha_t m / (sqrt(v) + eps)
        theta <- theta - lr weight_decay theta              (decay_order "last")

    The assignment of 2026, the paper and torch decay first, which is the default; that of 2025 decays last. One step
    apart, the two differ by lr weight_decay times the update, about lr^2 weight_decay.

    torch.optim.AdamW adds eps to the corrected sqrt(v / (1 - beta2^t)): its eps is ours divided by sqrt(1 - beta2^t).
    Where sqrt(v) is far above eps the two agree.

    Moments of half-precision parameters are kept, and their updates computed, in float32. The state dict has torch's
    keys (`step`, `exp_avg`, `exp_avg_sq`), says in each group which `decay_order` it is of, loads into any path, and
    exchanges with torch.optim.AdamW.

    Args:
        params: parameters, or groups of them with their own hyperparameters.
        lr: alpha, the learning rate.
        betas: decay rates of the two moments.
        eps: keeps the denominator from zero.
        weight_decay: lambda; each step multiplies the parameters by 1 - lr * weight_decay.
        decay_order: "first" decays before the update, "last" after it.
        foreach: True for the foreach path, False for the loop; None takes foreach on a GPU, and on a CPU its operations
            on one piece after the other, since there passes over memory cost more than calls.
        compile: take the compiled path. The first step compiles for some seconds; so does a step on which another set
            of parameters has gradients.
        fused: on a CPU, take torch's kernel; parameters elsewhere, and those that do not lie in one row in memory, are
            updated as they would be without. The trainer takes it with the model's fast backend.

    Raises:
        TypeError: a hyperparameter is no number, or a choice of path neither True nor False.
        ValueError: one is out of range, there are not two betas, or `fused` is asked for together with another path.

    Source: Loshchilov and Hutter, 2019; handout, algorithm 1 and problem (adamw).

    >>> weight = torch.nn.Parameter(torch.tensor([1.0]))
    >>> optimizer = AdamW([weight], lr=0.1, weight_decay=0.0)
    >>> weight.grad = torch.tensor([1e-3])
    >>> _ = optimizer.step()                       # the first step is lr where |g| >> eps / sqrt(1 - beta2)
    >>> round(weight.item(), 4)
    0.9
    """

    others = frozenset(_OF_TORCH)

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
        *,
        decay_order: DecayOrder = "first",
        foreach: bool | None = None,
        compile: bool = False,
        fused: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "decay_order": decay_order,
        }
        super().__init__(params, defaults, foreach, compile, fused)

    def check_group(self, group: dict[str, Any]) -> None:
        """Raise ValueError if a hyperparameter of a group is out of range."""
        super().check_group(group)
        check_adamw(group["lr"], group["betas"], group["eps"], group["weight_decay"])

    def moments_of(self, group: dict[str, Any]) -> set[str]:
        """Names of what is kept for each parameter of a group."""
        return ADAMW_KEEPS

    def update_group(self, group: dict[str, Any]) -> None:
        """Update the parameters of one group that have gradients."""
        adamw_group(group, self.state, self.path)

    def readable(self, state_dict: dict[str, Any]) -> dict[str, Any]:
        """Return a saved state of this class or of torch.optim.AdamW.

        Raises:
            ValueError: it comes from an optimizer of another kind, from a torch.optim.AdamW with `amsgrad` or
                `maximize`, from one of the other `decay_order`, or for parameters of other shapes. (torch.optim.Adam
                without weight decay does what AdamW does without.)
        """
        check_kind(self, state_dict, self.others)
        for group in state_dict["param_groups"]:
            if group.keys() & _OF_TORCH and not group.keys() & {"amsgrad", "decay_order"}:
                raise ValueError("this state was saved by torch.optim.NAdam, RAdam or Adamax, and this is AdamW")
            if group["weight_decay"] and not group.get("decoupled_weight_decay", True):
                raise ValueError("this state was saved by torch.optim.Adam, whose weight decay is another than AdamW's")
        for option in ("amsgrad", "maximize"):
            if any(group.get(option) for group in state_dict["param_groups"]):
                raise ValueError(f"the state was saved with {option}=True, which this AdamW does not have")
        return super().readable(state_dict)


def check_adamw(lr: float, betas: tuple[float, float], eps: float, weight_decay: float) -> None:
    """Raise an error if a hyperparameter of AdamW is out of range.

    Raises:
        TypeError: one is no number, or betas are none.
        ValueError: one is out of range, or there are not two betas.
    """
    check_rates(lr=lr, eps=eps, weight_decay=weight_decay)
    if not isinstance(betas, tuple | list):
        raise TypeError(f"betas must be two numbers, got {betas!r}; write (0.9, 0.999)")
    if len(betas) != 2:
        raise ValueError(f"betas are {betas!r}; they must be two, beta1 and beta2: write (0.9, 0.999)")
    for i, beta in enumerate(betas, start=1):
        if not 0 <= check_number(f"beta{i}", beta) < 1:
            raise ValueError(f"beta{i} is {beta}; it must be at least 0 and less than 1")


def adamw_group(group: dict[str, Any], states: dict[Tensor, Any], path: Path | None) -> None:
    """Take one AdamW step on the parameters of a group that have gradients, creating their state on the first one."""
    (beta1, beta2), eps, lr = group["betas"], group["eps"], group["lr"]
    decay_first = group["decay_order"] == "first"
    alike: dict[tuple[Any, ...], list[Tensor]] = {}
    for p in with_gradients(group["params"]):
        state = states[p]
        if not state:
            state["step"] = 0
            state["exp_avg"] = torch.zeros_like(p, dtype=wide(p.dtype))
            state["exp_avg_sq"] = torch.zeros_like(p, dtype=wide(p.dtype))
        follow(state, p, ADAMW_KEEPS - {"step"})
        state["step"] += 1
        alike.setdefault((state["step"], p.device, p.dtype), []).append(p)
    for (t, device, dtype), bucket in alike.items():
        alpha_t = lr * math.sqrt(1 - beta2**t) / (1 - beta1**t)
        keep = 1 - lr * group["weight_decay"]
        held = [local(p) for p in bucket]
        work = held if dtype == wide(dtype) else [p.to(wide(dtype)) for p in held]
        grads = [local(p.grad).to(wide(dtype)) for p in bucket if p.grad is not None]
        m = [local(states[p]["exp_avg"]) for p in bucket]
        v = [local(states[p]["exp_avg_sq"]) for p in bucket]
        thetas, gs, ms, vs = work, grads, m, v
        if path == "fused":
            (thetas, gs, ms, vs), rest = by_fit(work, grads, m, v)
            if thetas:
                decay = group["weight_decay"]
                adamw_fused(thetas, gs, ms, vs, t, lr, decay, (beta1, beta2), eps, decay_first)
            thetas, gs, ms, vs = rest
        if path == "loop":
            thetas, gs, ms, vs = in_pieces(thetas, gs, ms, vs)
            adamw_loop(thetas, gs, ms, vs, alpha_t, keep, beta1, beta2, eps, decay_first)
        elif path in (None, "fused") and device.type == "cpu":
            for piece in zip(*in_pieces(thetas, gs, ms, vs), strict=True):
                theta, g, first, second = ([part] for part in piece)
                adamw_foreach(theta, g, first, second, alpha_t, keep, beta1, beta2, eps, decay_first)
        elif path != "compile":
            adamw_foreach(thetas, gs, ms, vs, alpha_t, keep, beta1, beta2, eps, decay_first)
        else:
            # As tensors, the two numbers that change every step do not make the compiler start anew.
            changing = torch.tensor(alpha_t, dtype=torch.float64), torch.tensor(keep, dtype=torch.float64)
            compiled_loop()(thetas, gs, ms, vs, *changing, beta1, beta2, eps, decay_first)
        if work is not held:
            torch._foreach_copy_(held, work)


def by_fit(*lists: list[Tensor]) -> tuple[list[list[Tensor]], list[list[Tensor]]]:
    """Divide parameters, and what goes with each of them, into those that torch's kernel may have and the rest."""
    halves: list[list[list[Tensor]]] = [[[] for _ in lists] for _ in range(2)]
    for together in zip(*lists, strict=True):
        for column, tensor in zip(halves[0 if fits(*together) else 1], together, strict=True):
            column.append(tensor)
    return halves[0], halves[1]


def in_pieces(*lists: list[Tensor]) -> list[list[Tensor]]:
    """Cut parameters, and what goes with each of them, into flat pieces of at most `PIECE` numbers.

    The pieces are views: an update of them updates the parameters. A parameter stays whole where it is small, or where
    its numbers, or those of its gradient or moments, do not lie in one row in memory.

    >>> whole = [torch.zeros(2, PIECE)], [torch.ones(2, PIECE)]
    >>> [[len(piece) for piece in pieces] == [PIECE, PIECE] for pieces in in_pieces(*whole)]
    [True, True]
    """
    cut: list[list[Tensor]] = [[] for _ in lists]
    for together in zip(*lists, strict=True):
        divided = together[0].numel() > PIECE and all(tensor.is_contiguous() for tensor in together)
        for pieces, tensor in zip(cut, together, strict=True):
            pieces.extend(tensor.view(-1).split(PIECE) if divided else [tensor])
    return cut


def adamw_loop(
    params: list[Tensor],
    grads: list[Tensor],
    first_moments: list[Tensor],
    second_moments: list[Tensor],
    alpha_t: float | Tensor,
    keep: float | Tensor,
    beta1: float,
    beta2: float,
    eps: float,
    decay_first: bool,
) -> None:
    """Update each parameter, or piece of one, in turn; `keep` is 1 - lr * weight_decay."""
    for theta, g, m, v in zip(params, grads, first_moments, second_moments, strict=True):
        if decay_first:
            theta.mul_(keep)
        m.mul_(beta1).add_(g, alpha=1 - beta1)
        v.mul_(beta2).addcmul_(g, g, value=1 - beta2)
        theta.sub_(alpha_t * m / (v.sqrt() + eps))
        if not decay_first:
            theta.mul_(keep)


def adamw_foreach(
    params: list[Tensor],
    grads: list[Tensor],
    first_moments: list[Tensor],
    second_moments: list[Tensor],
    alpha_t: float,
    keep: float,
    beta1: float,
    beta2: float,
    eps: float,
    decay_first: bool,
) -> None:
    """Do the same with each operation on all tensors at once."""
    if decay_first:
        torch._foreach_mul_(params, keep)
    torch._foreach_lerp_(first_moments, grads, 1 - beta1)  # m + (1 - beta1) (g - m), in one pass
    torch._foreach_mul_(second_moments, beta2)
    torch._foreach_addcmul_(second_moments, grads, grads, 1 - beta2)
    denominators = torch._foreach_sqrt(second_moments)
    torch._foreach_add_(denominators, eps)
    torch._foreach_addcdiv_(params, first_moments, denominators, -alpha_t)
    if not decay_first:
        torch._foreach_mul_(params, keep)


@cache
def compiled_loop() -> Any:
    """Return `adamw_loop` compiled; past torch's limit on recompilations it runs as it is."""
    return torch.compile(adamw_loop, dynamic=False)
