"""The fast backend: the same parameters and the same mathematics on torch's fused kernels.

B batch, S sequence, D d_model, H heads, K head dim, F d_ff; "..." stands for any leading dimensions.

Each class here is the reference class of the same name with another `forward`. This file and
`fast_step.py` alone of the package may use torch.nn.functional.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from cs336_lib.model.attention import MultiHeadSelfAttention
from cs336_lib.model.cache import LayerCache, check_layer_cache
from cs336_lib.model.ffn import SiLUFeedForward, SwiGLU
from cs336_lib.model.layers import Embedding, Linear, RMSNorm, as_positions, at_least_float32, check_vectors
from cs336_lib.model.rope import RotaryEmbedding, turn
from cs336_lib.model.shapes import Float, Int


class FastLinear(Linear):
    """`Linear` as one call of the BLAS."""

    def forward(self, x: Float[Tensor, "... d_in"]) -> Float[Tensor, "... d_out"]:
        """Multiply the last dimension of `x` by the weight."""
        check_vectors("x", x, self.weight.shape[1])
        return F.linear(x, self.weight)


class FastEmbedding(Embedding):
    """`Embedding` with torch's own backward, which adds up the rows of equal ids.

    Eagerly it adds them in one order. Compiled it adds with atomics, in an order that differs from run to run, and so
    do the last digits.

    Attributes:
        in_order: compiled for a CPU it adds in one order all the same, by `embedding_gradient`. A trainer sets this; an
            operation of one's own is in nobody's way where a model is exported or differentiated by other means.
    """

    in_order = False

    def forward(self, token_ids: Int[Tensor, "..."]) -> Float[Tensor, "... D"]:
        """Look up the row of each id, of any integer type."""
        token_ids = self.checked(token_ids)
        compiling = torch.compiler.is_compiling() and not torch.compiler.is_exporting()
        if self.in_order and compiling and self.weight.device.type == "cpu":
            rows: Tensor = embedding(self.weight, token_ids)
            return rows
        return F.embedding(token_ids, self.weight)


def _operation(schema: str) -> Any:
    """Declare an operation of one's own, which torch.compile leaves as it is."""
    name, _, signature = schema.partition("(")
    return torch.library.custom_op(f"cs336_lib::{name}", mutates_args=(), schema=f"({signature}")


@_operation("embedding_gradient(Tensor gradient, Tensor ids, int rows) -> Tensor")
def embedding_gradient(gradient: Tensor, ids: Tensor, rows: int) -> Tensor:
    """Add up what flows back to each row of a table, in one order, as torch does eagerly.

    torch.compile's own code for this adds with atomics on a CPU, too, in whatever order the threads come.

    Args:
        gradient: shape (..., D).
        ids: which row each of them came from, shape (...).
        rows: of the table.

    Returns:
        Shape (rows, D).

    >>> embedding_gradient(torch.ones(3, 2), torch.tensor([0, 2, 2]), 3).tolist()
    [[1.0, 1.0], [0.0, 0.0], [2.0, 2.0]]
    """
    added: Tensor = torch.ops.aten.embedding_dense_backward(gradient.contiguous(), ids, rows, -1, False)
    return added


@_operation("embedding(Tensor table, Tensor ids) -> Tensor")
def embedding(table: Tensor, ids: Tensor) -> Tensor:
    """Look up rows of a table, with `embedding_gradient` as the gradient.

    >>> embedding(torch.tensor([[1.0], [2.0]]), torch.tensor([1, 1, 0])).tolist()
    [[2.0], [2.0], [1.0]]
    """
    return F.embedding(ids, table)


@embedding_gradient.register_fake
def _gradient_shape(gradient: Tensor, ids: Tensor, rows: int) -> Tensor:
    return gradient.new_empty((rows, gradient.shape[-1]))


@embedding.register_fake
def _rows_shape(table: Tensor, ids: Tensor) -> Tensor:
    return table.new_empty((*ids.shape, table.shape[-1]))


def _keep_ids(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
    ctx.save_for_backward(inputs[1])
    ctx.rows = len(inputs[0])


def _keep_ids_alone(ctx: Any, inputs: tuple[Tensor, Tensor, int], output: Tensor) -> None:
    ctx.save_for_backward(inputs[1])


def _rows_gradient(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
    return embedding(gradient, ctx.saved_tensors[0]), None, None


def _table_gradient(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
    return embedding_gradient(gradient, ctx.saved_tensors[0], ctx.rows), None


embedding.register_autograd(_table_gradient, setup_context=_keep_ids)
embedding_gradient.register_autograd(_rows_gradient, setup_context=_keep_ids_alone)


class FastRMSNorm(RMSNorm):
    """`RMSNorm` in one kernel where input and gain are of one type; where torch has none, with a gradient by hand."""

    def forward(self, x: Float[Tensor, "... D"]) -> Float[Tensor, "... D"]:
        """Normalize the last dimension of `x`."""
        check_vectors("x", x, self.weight.shape[0])
        if x.dtype != self.weight.dtype:
            return super().forward(x)  # F.rms_norm would warn and take the slow path
        eager = x.device.type == "cpu" and not torch.compiler.is_compiling() and not torch.is_autocast_enabled("cpu")
        if eager and torch.is_grad_enabled() and self.weight.requires_grad and x.dtype == at_least_float32(x.dtype):
            normed: Tensor = _RMSNormByHand.apply(x, self.weight, self.eps)
            return normed
        return F.rms_norm(x, self.weight.shape, self.weight, self.eps)


class _RMSNormByHand(torch.autograd.Function):
    """RMSNorm with its gradient written down. On a CPU torch derives it operation by operation, in twice the time.

    With n = x / RMS(x), y = n w and G the gradient of y::

        dx = (G w - n mean(G w n)) / RMS(x)        dw = sum over positions of G n
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        """Return y, and keep n and 1 / RMS(x)."""
        squares = torch.linalg.vector_norm(x, dim=-1, keepdim=True).square_()
        inverse_rms = squares.div_(x.shape[-1]).add_(eps).rsqrt_()
        n = x * inverse_rms
        ctx.eps = eps
        ctx.save_for_backward(x, weight, n, inverse_rms)
        return n * weight

    @staticmethod
    def backward(ctx: Any, G: Tensor) -> tuple[Tensor | None, Tensor, None]:
        """Return the gradients of x and of the gain."""
        x, weight, n, inverse_rms = ctx.saved_tensors
        if torch.is_grad_enabled():  # somebody wants the gradient of this gradient, and n hides what it comes from
            y = F.rms_norm(x, weight.shape, weight, ctx.eps)
            asked = [value for value, wanted in zip((x, weight), ctx.needs_input_grad, strict=False) if wanted]
            found = iter(torch.autograd.grad(y, asked, G, create_graph=True))
            return next(found) if ctx.needs_input_grad[0] else None, next(found), None
        Gn = G * n
        mean = (Gn @ weight).unsqueeze(-1) / n.shape[-1]
        return torch.addcmul(G * weight, n, mean, value=-1).mul_(inverse_rms), Gn.reshape(-1, n.shape[-1]).sum(0), None


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
        check_vectors("x", x, self.q_proj.weight.shape[1])
        if token_positions is not None:
            token_positions = as_positions(token_positions, x.shape[-2])
        weight = torch.cat((self.q_proj.weight, self.k_proj.weight, self.v_proj.weight))  # 3 times D D -> 3D D
        qkv = F.linear(x, weight).unflatten(-1, (3, self.num_heads, -1))  # ... S 3D -> ... S 3 H K
        qk, v = qkv.split((2, 1), dim=-3)
        if self.q_norm is not None and self.k_norm is not None:
            qk = torch.stack((self.q_norm(qk[..., 0, :, :]), self.k_norm(qk[..., 1, :, :])), dim=-3)
        if self.rope is not None:  # before heads come first, which keeps this one pass over memory
            qk = _turned(qk, self.rope, token_positions)
        q, k = (heads.transpose(-3, -2) for heads in qk.unbind(-3))  # ... S 2 H K -> 2 of ... H S K
        v = v.squeeze(-3).transpose(-3, -2)
        if cache is None:
            mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            k, v, mask = check_layer_cache(cache).append(k, v, token_positions)
            mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return F.linear(mixed.transpose(-3, -2).flatten(-2), self.output_proj.weight)  # ... H S K -> ... S D


def _turned(
    qk: Float[Tensor, "... S 2 H K"], rope: RotaryEmbedding, token_positions: Int[Tensor, "... S"] | None
) -> Float[Tensor, "... S 2 H K"]:
    """Turn queries and keys by their positions; eagerly on a CPU in one operation instead of seven each.

    A pair of channels is a complex number, and turning it is multiplying by cos + i sin; backward multiplies by
    cos - i sin. A compiler makes one kernel of the seven operations, and of complex numbers none.
    """
    S = qk.shape[-4]
    if qk.device.type != "cpu" or qk.dtype != rope.cos.dtype or torch.compiler.is_compiling():
        cos, sin = (table[..., None, None, :] for table in rope.rows(S, token_positions))  # ... S 1 1 K/2
        return turn(qk, cos, sin)
    pairs = torch.view_as_complex(qk.unflatten(-1, (-1, 2)))  # ... S 2 H K -> ... S 2 H K/2
    return torch.view_as_real(pairs * rope.complex_rows(S, token_positions)[..., None, None, :]).flatten(-2)


class FastSwiGLU(SwiGLU):
    """`SwiGLU` with fused activation; on CUDA, where a wide product is the better one, W1 and W3 are one matrix."""

    def forward(self, x: Float[Tensor, "... D"]) -> Float[Tensor, "... D"]:
        """Apply the network to each position on its own."""
        check_vectors("x", x, self.w1.weight.shape[1])
        if x.is_cuda:
            gate, up = F.linear(x, torch.cat((self.w1.weight, self.w3.weight))).chunk(2, dim=-1)
        else:
            gate, up = F.linear(x, self.w1.weight), F.linear(x, self.w3.weight)
        return F.linear(F.silu(gate) * up, self.w2.weight)


class FastSiLUFeedForward(SiLUFeedForward):
    """`SiLUFeedForward` with fused activation."""

    def forward(self, x: Float[Tensor, "... D"]) -> Float[Tensor, "... D"]:
        """Apply the network to each position on its own."""
        check_vectors("x", x, self.w1.weight.shape[1])
        return F.linear(F.silu(F.linear(x, self.w1.weight)), self.w2.weight)
