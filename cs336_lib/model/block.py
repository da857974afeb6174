"""The Transformer block: attention, then a feed-forward network, each added to the residual stream (chapter 4).

B batch, S sequence, D d_model; "..." stands for any leading dimensions::

        pre-norm                         post-norm

    x --+--> norm --> attn --(+)--   x --+--> attn --(+)--> norm --
        |_____________________|          |____________|
"""

from __future__ import annotations

from typing import get_args

import torch
from torch import Tensor, nn

from cs336_lib.model.backend import kernels
from cs336_lib.model.cache import LayerCache
from cs336_lib.model.config import Backend, FeedForward, Norm
from cs336_lib.model.rope import RotaryEmbedding
from cs336_lib.model.shapes import Float, Int
from cs336_lib.naming import check_choice


class TransformerBlock(nn.Module):
    """One layer of the model.

    Args:
        d_model: D, width of the residual stream.
        num_heads: H, attention heads.
        d_ff: F, hidden units of the feed-forward network.
        rope: rotary embedding of the attention, or None.
        norm: "pre", "post" or "none"; without norms there are no `ln1` and `ln2`.
        ffn: "swiglu" or "silu".
        qk_norm: normalize queries and keys.
        norm_eps: epsilon of the norms.
        backend: "reference" or "fast".
        device: where the weights live.
        dtype: type of the weights.

    Source: handout, problem (transformer_block); for post-norm, Vaswani et al., 2017, section 3.1.

    >>> block = TransformerBlock(64, num_heads=4, d_ff=128)
    >>> block(torch.ones(2, 5, 64)).shape
    torch.Size([2, 5, 64])
    """

    def __init__(
        self,
        d_model: int,
        num_heads: int,
        d_ff: int,
        rope: RotaryEmbedding | None = None,
        *,
        norm: Norm = "pre",
        ffn: FeedForward = "swiglu",
        qk_norm: bool = False,
        norm_eps: float = 1e-5,
        backend: Backend = "reference",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_choice("norm", norm, get_args(Norm))
        check_choice("ffn", ffn, get_args(FeedForward))
        use = kernels(backend)
        self.norm = norm
        self.attn = use.attention(
            d_model, num_heads, rope, qk_norm=qk_norm, norm_eps=norm_eps, device=device, dtype=dtype
        )
        feed_forward = use.swiglu if ffn == "swiglu" else use.silu_feed_forward
        self.ffn = feed_forward(d_model, d_ff, device=device, dtype=dtype)
        self.ln1 = None if norm == "none" else use.norm(d_model, norm_eps, device=device, dtype=dtype)
        self.ln2 = None if norm == "none" else use.norm(d_model, norm_eps, device=device, dtype=dtype)

    def forward(
        self,
        x: Float[Tensor, "... S D"],
        token_positions: Int[Tensor, "... S"] | None = None,
        cache: LayerCache | None = None,
    ) -> Float[Tensor, "... S D"]:
        """Read from the residual stream and add to it, twice."""
        if self.ln1 is None or self.ln2 is None:
            x = x + self.attn(x, token_positions, cache)
            return x + self.ffn(x)
        if self.norm == "post":
            x = self.ln1(x + self.attn(x, token_positions, cache))
            return self.ln2(x + self.ffn(x))
        x = x + self.attn(self.ln1(x), token_positions, cache)
        return x + self.ffn(self.ln2(x))
