"""Products with a matrix that stays as it is: packed once, as oneDNN's kernels read it (chapter 7).

B batch, D inputs, N outputs.

A product of a few rows and a large matrix should take as long as reading the matrix. `torch.mm`, `F.linear` and numpy
are far from it for 2 to 16 rows; of 17 million weights and 4 rows they take two to three times as long as the same
kernels of oneDNN take on a matrix in their own order. torch has both operations, for what its compiler makes of a model
that is frozen, and calls them its own affair: so whether they are there, and right, is tried first.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from cs336_lib.model.shapes import Float


def pack(weight: Float[Tensor, "N D"], rows: int) -> Tensor:
    """Return a matrix in oneDNN's order, to be multiplied by with `times`; only where `works` says so.

    Args:
        weight: float32, on the CPU.
        rows: how many rows will be multiplied, about; any number may be.
    """
    packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight.detach().contiguous(), rows)
    return packed


def times(x: Float[Tensor, "B D"], packed: Tensor) -> Float[Tensor, "B N"]:
    """Return the product of rows and the matrix (N, D) that was packed, turned over.

    >>> if works():
    ...     weight, x = torch.randn(5, 3), torch.randn(2, 3)
    ...     assert torch.allclose(times(x, pack(weight, 2)), x @ weight.T, atol=1e-5)
    """
    product: Tensor = torch.ops.mkldnn._linear_pointwise(x, packed, None, "none", [], "")
    return product


@cache
def works() -> bool:
    """Whether this torch packs matrices, and multiplies by them as by others; a process tries it once."""
    weight = torch.linspace(-1, 1, 96 * 40).reshape(96, 40)
    x = torch.linspace(-2, 1, 3 * 40).reshape(3, 40)
    try:
        return torch.allclose(times(x, pack(weight, 3)), x @ weight.T, atol=1e-4)
    except (AttributeError, NotImplementedError, RuntimeError, TypeError):
        return False
