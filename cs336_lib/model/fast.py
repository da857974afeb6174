"""The fast backend: the same parameters and the same mathematics on torch's fused kernels.

B batch, S sequence, D d_model, H heads, K head dim, F d_ff; "..." stands for any leading dimensions.

Each class here is the reference class of the same name with another `forward`. This file and
`fast_step.py` alone of the package may use torch.nn.functional.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from cs336_lib.model.attention import MultiHeadSelfAttention
from cs336_lib.model.cache import LayerCache
from cs336_lib.model.ffn import SiLUFeedForward, SwiGLU
from cs336_lib.model.layers import Embedding, Linear, RMSNorm
from cs336_lib.model.rope import turn
from cs336_lib.model.shapes import Float, Int


class FastLinear(Linear):
    """`Linear` as one call of the BLAS."""

    def forward(self, x: Float[Tensor, "... d_in"]) -> Float[Tensor, "... d_out"]:
        """Multiply the last dimension of `x` by the weight."""
        return F.linear(x, self.weight)


class FastEmbedding(Embedding):
    """`Embedding` with torch's own backward, which adds up the rows of equal ids.

    Eagerly it sorts them first; compiled for CUDA it adds with atomics, in an order that differs from run to run, and
    so do the last digits.
    """

    def forward(self, token_ids: Int[Tensor, "..."]) -> Float[Tensor, "... D"]:
        """Look up the row of each id."""
        return F.embedding(token_ids, self.weight)


class FastRMSNorm(RMSNorm):
    """`RMSNorm` in one kernel where input and gain have the same type."""

    def forward(self, x: Float[Tensor, "... D"]) -> Float[Tensor, "... D"]:
        """Normalize the last dimension of `x`."""
        if x.dtype != self.weight.dtype:
            return super().forward(x)  # F.rms_norm would warn and take the slow path
        return F.rms_norm(x, self.weight.shape, self.weight, self.eps)


class FastSelfAttention(MultiHeadSelfAttention):
    """Attention with one product for queries, keys and values, and no S x S matrix in memory."""

    norm_class = FastRMSNorm

    def forward(
        self,
        x: Float[Tensor, "... S D"],
        token_positions: Int[Tensor, "... S"] | None = None,
        cache: LayerCache | None = None,
    ) -> Float[Tensor, "... S D"]:
        """Let each position attend to itself and to what came before."""
        weight = torch.cat((self.q_proj.weight, self.k_proj.weight, self.v_proj.weight))  # 3 times D D -> 3D D
        q, k, v = F.linear(x, weight).unflatten(-1, (3, self.num_heads, -1)).unbind(-3)  # ... S 3D -> 3 of ... S H K
        if self.q_norm is not None and self.k_norm is not None:
            q, k = self.q_norm(q), self.k_norm(k)
        if self.rope is not None:  # before heads come first, which keeps this one pass over memory
            cos, sin = (table.unsqueeze(-2) for table in self.rope.rows(x.shape[-2], token_positions))  # ... S 1 K/2
            q, k = turn(q, cos, sin), turn(k, cos, sin)
        q, k, v = (heads.transpose(-3, -2) for heads in (q, k, v))  # ... S H K -> ... H S K
        if cache is None:
            mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            k, v, mask = cache.append(k, v, token_positions)
            mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return F.linear(mixed.transpose(-3, -2).flatten(-2), self.output_proj.weight)  # ... H S K -> ... S D


class FastSwiGLU(SwiGLU):
    """`SwiGLU` with fused activation; on CUDA, where a wide product is the better one, W1 and W3 are one matrix."""

    def forward(self, x: Float[Tensor, "... D"]) -> Float[Tensor, "... D"]:
        """Apply the network to each position on its own."""
        if x.is_cuda:
            gate, up = F.linear(x, torch.cat((self.w1.weight, self.w3.weight))).chunk(2, dim=-1)
        else:
            gate, up = F.linear(x, self.w1.weight), F.linear(x, self.w3.weight)
        return F.linear(F.silu(gate) * up, self.w2.weight)


class FastSiLUFeedForward(SiLUFeedForward):
    """`SiLUFeedForward` with fused activation."""

    def forward(self, x: Float[Tensor, "... D"]) -> Float[Tensor, "... D"]:
        """Apply the network to each position on its own."""
        return F.linear(F.silu(F.linear(x, self.w1.weight)), self.w2.weight)
