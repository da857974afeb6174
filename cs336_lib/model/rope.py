"""Rotary position embedding: each pair of channels turns by an angle that grows with the position (chapter 4).

B batch, S sequence, H heads, K head dim; "..." stands for any leading dimensions.

A query at position i and a key at position j are turned by i and j times the same angle, so that their inner product
depends on i - j alone.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from cs336_lib.model.layers import as_positions, at_least_float32, check_vectors, outside
from cs336_lib.model.shapes import Float, Int
from cs336_lib.naming import check_positive, check_whole


class RotaryEmbedding(nn.Module):
    """Turn channels (2k, 2k + 1) of a vector at position i by the angle i / theta^(2k / K), for k = 0 ... K/2 - 1.

    Sines and cosines are computed once, with angles in float64: in float32 the angle at position 100,000 is wrong by
    some thousandths of a radian. They are not part of the state dict, and they are computed anew whenever the module is
    moved or cast, so that `model.to(torch.bfloat16)` does not round them and `model.to_empty(device=...)` does not
    leave them undefined.

    Args:
        theta: base of the angles, 10,000 in the handout.
        d_k: K, width of a head; must be even.
        max_seq_len: number of positions in the table.
        device: where the table lives.
        dtype: type of the table; at least float32.

    Raises:
        TypeError: a size is no whole number, or theta no number.
        ValueError: d_k is odd, a size is below 1, or theta not positive.

    Source: Su et al., 2021, section 3.2.2; handout, problem (rope).

    >>> rope = RotaryEmbedding(theta=10_000.0, d_k=2, max_seq_len=8)
    >>> turned = rope(torch.tensor([[1.0, 0.0], [1.0, 0.0]]), torch.tensor([0, 1]))     # by 0 and by 1 radian
    >>> [[round(v, 4) for v in row] for row in turned.tolist()]
    [[1.0, 0.0], [0.5403, 0.8415]]
    """

    cos: Tensor
    sin: Tensor
    turns: Tensor

    def __init__(
        self,
        theta: float,
        d_k: int,
        max_seq_len: int,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.theta, self.d_k = check_positive("theta", theta), check_whole("d_k", d_k, 1)
        self.max_seq_len = check_whole("max_seq_len", max_seq_len, 1)
        if self.d_k % 2:
            raise ValueError(f"d_k is {d_k}; RoPE turns pairs of channels, so it must be even")
        empty = torch.empty(0, device=device, dtype=dtype)
        self.register_buffer("cos", empty, persistent=False)
        self.register_buffer("sin", empty, persistent=False)
        self.register_buffer("turns", empty, persistent=False)  # both, side by side: read as cos + i sin
        self._fill()

    def _fill(self) -> None:
        device, dtype = self.cos.device, at_least_float32(self.cos.dtype)
        # MPS has no float64: the table is made on the CPU and moved. The meta device has no values to move.
        source = "meta" if device.type == "meta" else "cpu"
        k = torch.arange(self.d_k // 2, device=source, dtype=torch.float64)
        positions = torch.arange(self.max_seq_len, device=source, dtype=torch.float64)
        angles = positions[:, None] * float(self.theta) ** (-2 * k / self.d_k)
        self.cos, self.sin = angles.cos().to(device, dtype), angles.sin().to(device, dtype)
        self.turns = torch.stack((self.cos, self.sin), dim=-1)  # positions K/2 2

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> RotaryEmbedding:
        """Follow a move or a cast of the model, and compute the table again."""
        super()._apply(fn, recurse)
        self._fill()
        return self

    def rows(self, seq_len: int, token_positions: Int[Tensor, "... S"] | None = None) -> tuple[Tensor, Tensor]:
        """Return the cosines and sines of the given positions, by default 0 ... seq_len - 1, each (..., S, K/2).

        Raises:
            TypeError: the positions are no integers.
            ValueError: there are more tokens than rows in the table, another number of positions than of tokens (one
                would be every token's without a word), or (on the CPU, where looking is free) a position outside of
                the table. Negative ones would count from the end without a word.
        """
        places = self._checked(seq_len, token_positions)
        return self.cos[places], self.sin[places]

    def complex_rows(self, seq_len: int, token_positions: Int[Tensor, "... S"] | None = None) -> Tensor:
        """Return the same as complex numbers cos + i sin, (..., S, K/2)."""
        return torch.view_as_complex(self.turns[self._checked(seq_len, token_positions)])

    def _checked(self, seq_len: int, token_positions: Tensor | None) -> Tensor | slice:
        if seq_len > self.max_seq_len:
            raise ValueError(f"the sequence has {seq_len} positions, RotaryEmbedding was made for {self.max_seq_len}")
        if token_positions is None:
            return slice(seq_len)
        places = as_positions(token_positions, seq_len)
        if (bad := outside(places, self.max_seq_len)) is not None:
            raise ValueError(
                f"position {bad} is outside the table: RotaryEmbedding was made for positions 0 to "
                f"{self.max_seq_len - 1}"
            )
        return places

    def forward(
        self, x: Float[Tensor, "... S K"], token_positions: Int[Tensor, "... S"] | None = None
    ) -> Float[Tensor, "... S K"]:
        """Turn queries or keys.

        Args:
            x: queries or keys, (..., S, K).
            token_positions: position of each, (..., S), broadcast over the leading dimensions of `x`; 0 ... S - 1
                when None.

        Returns:
            The turned vectors, in the type of `x`.

        Raises:
            TypeError: `x` is no tensor of floats, or the positions are no integers.
            ValueError: the vectors are not K wide, or as `rows`.
        """
        check_vectors("x", x, self.d_k)
        if x.ndim < 2:
            raise ValueError(
                f"x has shape {tuple(x.shape)}; it must be (..., S, {self.d_k}), a vector for each position"
            )
        return turn(x, *self.rows(x.shape[-2], token_positions))

    def extra_repr(self) -> str:
        """Show the sizes when the module is printed."""
        return f"theta={self.theta}, d_k={self.d_k}, max_seq_len={self.max_seq_len}"


def turn(
    x: Float[Tensor, "... K"], cos: Float[Tensor, "... half_K"], sin: Float[Tensor, "... half_K"]
) -> Float[Tensor, "... K"]:
    """Turn each pair of channels of `x` by the angles whose cosines and sines are given, in the type of `x`.

    Raises:
        TypeError: `x` is no tensor of floats.
        ValueError: there is not one angle for each pair of channels.

    >>> turn(torch.tensor([1.0, 0.0]), torch.tensor([0.0]), torch.tensor([1.0])).tolist()       # by a right angle
    [0.0, 1.0]
    """
    check_vectors("x", x, 2 * cos.shape[-1])
    even, odd = x[..., 0::2], x[..., 1::2]  # ... K -> ... K/2, twice
    turned = torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1)
    return turned.flatten(-2).to(x.dtype)  # ... K/2 2 -> ... K
