"""Gradient clipping by the global norm (chapter 6)."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from cs336_lib.optim.sharding import local
from cs336_lib.plain import check_number

EPSILON = 1e-6


def clip_grad_norm(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    *,
    error_if_nonfinite: bool = False,
    add_up: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """Scale all gradients together, in place, so that their joint L2 norm is at most `max_norm`.

    The norm is that of one long vector made of all gradients, summed in float32 at least. Gradients longer than
    `max_norm` are multiplied by max_norm / (norm + 1e-6), in float32 at least, and rounded once to their own type; the
    others are left alone, to the bit.

    Nothing here waits for the device: the norm is returned as a tensor, and reading it (`.item()`) is up to the caller.

    A norm that is inf or NaN is returned as it is, and the gradients are then left alone: scaling by it would turn
    all of them to NaN or 0 and hide the one that went wrong.

    Args:
        parameters: parameters, of which those without a gradient are skipped.
        max_norm: M, the largest norm allowed.
        error_if_nonfinite: raise if the norm is inf or NaN. This waits for the device once.

        add_up: adds to the sum of squares those of the gradients that other processes hold.

    Returns:
        The norm before clipping, a tensor without dimensions.

    Raises:
        TypeError: max_norm is no number.
        ValueError: it is not positive.
        FloatingPointError: the norm is not finite and `error_if_nonfinite` is set. Says which gradients are to blame.

    Source: Pascanu et al., 2013; handout, problem (gradient_clipping).

    >>> weight = torch.nn.Parameter(torch.zeros(2))
    >>> weight.grad = torch.tensor([3.0, 4.0])
    >>> clip_grad_norm([weight], max_norm=1.0).item()
    5.0
    >>> [round(v, 4) for v in weight.grad.tolist()]
    [0.6, 0.8]
    """
    max_norm = check_number("max_norm", max_norm)
    if not max_norm > 0:
        raise ValueError(f"max_norm is {max_norm}; it must be positive")
    parameters = [parameters] if isinstance(parameters, Tensor) else parameters
    grads = [local(p.grad) for p in parameters if p.grad is not None]
    if not grads:
        return torch.zeros(())
    by_kind: dict[tuple[torch.device, torch.dtype], list[Tensor]] = {}
    for grad in grads:
        by_kind.setdefault((grad.device, grad.dtype), []).append(grad)
    home = grads[0].device
    norms = [
        norm.to(home)
        for (_, dtype), alike in by_kind.items()
        for norm in torch._foreach_norm(alike, 2, dtype=torch.promote_types(dtype, torch.float32))
    ]
    widest = max((norm.dtype for norm in norms), key=lambda dtype: dtype.itemsize)
    total = torch.stack([norm.to(widest) for norm in norms]).square().sum()
    total = (total if add_up is None else add_up(total)).sqrt()
    if error_if_nonfinite and not total.isfinite():
        blame = [i for i, grad in enumerate(grads) if not grad.isfinite().all()]
        where = f"gradients {blame} (counted among those present)" if blame else "their sum overflows"
        raise FloatingPointError(f"the gradient norm is {total.item()}: {where}")
    # Where this is 1, multiplying changes nothing; deciding on the host instead would wait for the device.
    scale = torch.where(total.isfinite() & (total > max_norm), max_norm / (total + EPSILON), torch.ones_like(total))
    for (device, dtype), alike in by_kind.items():
        if dtype == torch.promote_types(dtype, torch.float32):
            torch._foreach_mul_(alike, scale.to(device, dtype))
            continue
        for grad in alike:  # the factor has more digits than half precision, and may be below all its numbers
            grad.copy_(grad.to(scale.dtype).mul_(scale.to(device)))
    return total
