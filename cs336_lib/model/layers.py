"""The three layers that every block is made of: Linear, Embedding and RMSNorm (chapter 4).

B batch, S sequence, D d_model, H heads, K head dim, F d_ff, V vocab; "..." stands for any leading dimensions.

Initialization follows the handout to the letter: a variance is not a standard deviation, and mixing up the two makes a
512 x 512 matrix start 23 times too small.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from cs336_lib.model.shapes import Float, Int


class Linear(nn.Module):
    """A matrix product without bias: y = x W^T.

    The weight is stored as (out_features, in_features), so that each row is one output unit.

    Args:
        in_features: width of the input.
        out_features: width of the output.
        device: where the weight lives.
        dtype: type of the weight.

    Source: handout, problem (linear).

    >>> layer = Linear(3, 2)
    >>> _ = layer.weight.data.copy_(torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]]))
    >>> layer(torch.tensor([5.0, 6.0, 7.0])).tolist()
    [5.0, 13.0]
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(out_features, in_features, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weight from N(0, 2 / (in + out)), cut at three standard deviations."""
        truncated_normal_(self.weight, std=math.sqrt(2 / sum(self.weight.shape)))

    def forward(self, x: Float[Tensor, "... d_in"]) -> Float[Tensor, "... d_out"]:
        """Multiply the last dimension of `x` by the weight."""
        return x @ self.weight.T

    def extra_repr(self) -> str:
        """Show the sizes when the module is printed."""
        return f"in_features={self.weight.shape[1]}, out_features={self.weight.shape[0]}"


class Embedding(nn.Module):
    """A table with one row for each token id.

    Args:
        num_embeddings: number of rows, V.
        embedding_dim: width of a row, D.
        device: where the table lives.
        dtype: type of the table.

    Source: handout, problem (embedding).

    >>> table = Embedding(4, 2)
    >>> table(torch.tensor([[3, 3, 0]])).shape
    torch.Size([1, 3, 2])
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(num_embeddings, embedding_dim, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the table from N(0, 1), cut at three."""
        truncated_normal_(self.weight, std=1.0)

    def forward(self, token_ids: Int[Tensor, "..."]) -> Float[Tensor, "... D"]:
        """Look up the row of each id."""
        return self.weight[token_ids]

    def extra_repr(self) -> str:
        """Show the sizes when the module is printed."""
        return f"num_embeddings={self.weight.shape[0]}, embedding_dim={self.weight.shape[1]}"


class RMSNorm(nn.Module):
    """Divide each vector by its root mean square, then scale each channel by a learned gain.

    RMSNorm(a)_i = a_i / RMS(a) * g_i with RMS(a) = sqrt(mean(a^2) + eps). The squares are taken in float32 at least,
    since in bfloat16 their sum keeps only eight bits and in float16 it overflows at 256^2; the result has the input's
    type.

    Args:
        d_model: width of the vectors.
        eps: added under the root, so that a zero vector stays zero.
        device: where the gain lives.
        dtype: type of the gain.

    Source: Zhang and Sennrich, 2019, equation 4; handout, problem (rmsnorm).

    >>> norm = RMSNorm(2, eps=1e-12)
    >>> [round(v, 4) for v in norm(torch.tensor([3.0, 4.0])).tolist()]   # the root mean square of 3 and 4 is 3.5355
    [0.8485, 1.1314]
    """

    def __init__(
        self,
        d_model: int,
        eps: float = 1e-5,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.empty(d_model, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set every gain to one."""
        with torch.no_grad():
            self.weight.fill_(1.0)

    def forward(self, x: Float[Tensor, "... D"]) -> Float[Tensor, "... D"]:
        """Normalize the last dimension of `x`."""
        a = x.to(at_least_float32(x.dtype))
        inverse_rms = torch.rsqrt(a.pow(2).mean(dim=-1, keepdim=True) + self.eps)
        return (a * inverse_rms * self.weight).to(x.dtype)

    def extra_repr(self) -> str:
        """Show the sizes when the module is printed."""
        return f"{self.weight.shape[0]}, eps={self.eps}"


def truncated_normal_(weight: Tensor, std: float) -> None:
    """Fill `weight` from a normal distribution of mean 0, cut at three standard deviations on either side."""
    nn.init.trunc_normal_(weight, mean=0.0, std=std, a=-3 * std, b=3 * std)


def at_least_float32(dtype: torch.dtype) -> torch.dtype:
    """Return the type to do sums in: float32 for half-precision input, the input's own type otherwise.

    >>> at_least_float32(torch.bfloat16), at_least_float32(torch.float64)
    (torch.float32, torch.float64)
    """
    return torch.promote_types(dtype, torch.float32)
