"""The position-wise feed-forward networks: SwiGLU, and the SiLU network it is compared with (chapter 4).

B batch, S sequence, D d_model, F d_ff; "..." stands for any leading dimensions.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cs336_lib.model.config import default_d_ff
from cs336_lib.model.layers import Linear, check_floats
from cs336_lib.model.shapes import Float
from cs336_lib.naming import check_whole


def silu(x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Return x * sigmoid(x), a smooth ReLU that dips to -0.278 near x = -1.278.

    Source: Elfwing et al., 2017 (also called Swish).

    >>> [round(v, 4) for v in silu(torch.tensor([-20.0, 0.0, 1.0, 20.0])).tolist()]
    [-0.0, 0.0, 0.7311, 20.0]
    """
    check_floats("x", x)
    return x * torch.sigmoid(x)


class SwiGLU(nn.Module):
    """The gated feed-forward network: W2 (SiLU(W1 x) * W3 x).

    Args:
        d_model: D, width of input and output.
        d_ff: F, number of hidden units; None stands for 8/3 d_model rounded to a multiple of 64.
        device: where the weights live.
        dtype: type of the weights.

    Source: Shazeer, 2020; handout, problem (positionwise_feedforward).

    >>> SwiGLU(64, 128)(torch.ones(3, 64)).shape
    torch.Size([3, 64])
    """

    def __init__(
        self,
        d_model: int,
        d_ff: int | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        d_model = check_whole("d_model", d_model, 1)
        d_ff = default_d_ff(d_model, "swiglu") if d_ff is None else check_whole("d_ff", d_ff, 1)
        self.w1 = Linear(d_model, d_ff, device=device, dtype=dtype)
        self.w2 = Linear(d_ff, d_model, device=device, dtype=dtype)
        self.w3 = Linear(d_model, d_ff, device=device, dtype=dtype)

    def forward(self, x: Float[Tensor, "... D"]) -> Float[Tensor, "... D"]:
        """Apply the network to each position on its own."""
        return self.w2(silu(self.w1(x)) * self.w3(x))


class SiLUFeedForward(nn.Module):
    """The plain feed-forward network of the ablation: W2 SiLU(W1 x).

    Args:
        d_model: D, width of input and output.
        d_ff: F, number of hidden units; None gives as many parameters as SwiGLU has by default.
        device: where the weights live.
        dtype: type of the weights.

    Source: handout, problem (swiglu_ablation).

    >>> count = lambda module: sum(p.numel() for p in module.parameters())
    >>> count(SiLUFeedForward(512)) == count(SwiGLU(512))
    True
    """

    def __init__(
        self,
        d_model: int,
        d_ff: int | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        d_model = check_whole("d_model", d_model, 1)
        d_ff = default_d_ff(d_model, "silu") if d_ff is None else check_whole("d_ff", d_ff, 1)
        self.w1 = Linear(d_model, d_ff, device=device, dtype=dtype)
        self.w2 = Linear(d_ff, d_model, device=device, dtype=dtype)

    def forward(self, x: Float[Tensor, "... D"]) -> Float[Tensor, "... D"]:
        """Apply the network to each position on its own."""
        return self.w2(silu(self.w1(x)))
