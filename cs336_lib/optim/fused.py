"""AdamW by torch's fused kernel: on a CPU one pass over memory instead of seven (chapter 6).

The second, explicit backend of the update, as `cs336_lib.model.fast` is of the model; no other file of this package may
use a kernel that knows AdamW. Tests hold it to the loop, step by step.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def fits(theta: Tensor, g: Tensor, m: Tensor, v: Tensor) -> bool:
    """Whether the kernel may have a parameter: it walks over four rows of memory and asks for no strides.

    >>> square, other = torch.zeros(2, 2), torch.zeros(2, 2).T
    >>> fits(square, square, square, square), fits(square, other, square, square)
    (True, False)
    >>> fits(*[torch.zeros(2, dtype=torch.complex64)] * 4)       # it knows real numbers only
    False
    """
    known = theta.device.type == "cpu" and theta.is_floating_point()
    return known and all(tensor.is_contiguous() and tensor.dtype == theta.dtype for tensor in (theta, g, m, v))


def adamw_fused(
    params: list[Tensor],
    grads: list[Tensor],
    first_moments: list[Tensor],
    second_moments: list[Tensor],
    t: int,
    lr: float,
    weight_decay: float,
    betas: tuple[float, float],
    eps: float,
    decay_first: bool,
) -> None:
    """Do step number `t` on parameters that fit, all in one call.

    torch divides v by 1 - beta2^t before it takes the root and adds its eps after, so its eps is ours divided by
    sqrt(1 - beta2^t). It decays first; a decay that comes last is a pass of its own.
    """
    beta1, beta2 = betas
    torch._fused_adamw_(
        params,
        grads,
        first_moments,
        second_moments,
        [],
        [torch.tensor(float(t))] * len(params),
        lr=lr,
        beta1=beta1,
        beta2=beta2,
        weight_decay=weight_decay if decay_first else 0.0,
        eps=eps / math.sqrt(1 - beta2**t),
        amsgrad=False,
        maximize=False,
    )
    # The kernel writes behind autograd's back; a graph that still needs the old numbers is to say so.
    torch.autograd.graph.increment_version(params)
    if not decay_first:
        torch._foreach_mul_(params, 1 - lr * weight_decay)
