"""Softmax, scaled dot-product attention and multi-head self-attention (chapter 4).

B batch, S sequence (queries), T sequence (keys), D d_model, H heads, K head dim; "..." stands for any leading
dimensions.

A mask is boolean, and True means "may attend"::

            key  0 1 2 3
    query 0      1 . . .
          1      1 1 . .      the causal mask: nobody sees the future
          2      1 1 1 .
          3      1 1 1 1
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from cs336_lib.model.cache import LayerCache, check_layer_cache
from cs336_lib.model.layers import Linear, RMSNorm, as_positions, at_least_float32, check_floats, check_vectors
from cs336_lib.model.rope import RotaryEmbedding
from cs336_lib.model.shapes import Bool, Float, Int
from cs336_lib.naming import check_whole


def softmax(x: Float[Tensor, "..."], dim: int) -> Float[Tensor, "..."]:
    """Return exp(x) / sum(exp(x)) along one dimension, computed in float32 at least.

    The maximum is subtracted first, which changes nothing in the result and keeps exp from overflowing. Where every
    entry is -inf there is nothing to share out, and the result is zeros (not NaN), with zero gradient; of no entries
    it is none.

    Args:
        x: any tensor of floats.
        dim: the dimension whose entries add up to one.

    Returns:
        A tensor of the shape and type of `x`.

    Raises:
        TypeError: `x` is no tensor of floats.

    Source: handout, problem (softmax).

    >>> [round(v, 4) for v in softmax(torch.tensor([1000.0, 1000.0, -math.inf]), dim=0).tolist()]
    [0.5, 0.5, 0.0]
    >>> softmax(torch.tensor([-math.inf, -math.inf]), dim=0).tolist()
    [0.0, 0.0]
    """
    check_floats("x", x)
    a = x.to(at_least_float32(x.dtype))
    # The result does not depend on the shift, so it needs no gradient; it must be finite, or -inf would give NaN.
    # And where there is nothing, there is no maximum.
    shift = a.detach().amax(dim, keepdim=True) if _has_entries(x, dim) else a.detach().sum(dim, keepdim=True)
    shift = shift.clamp(min=torch.finfo(a.dtype).min)
    e = torch.exp(a - shift)
    # The largest entry contributes exp(0) = 1: the sum is below one only where all entries are -inf.
    return (e / e.sum(dim, keepdim=True).clamp(min=1.0)).to(x.dtype)


def _has_entries(x: Tensor, dim: int) -> bool:
    """Whether a tensor has entries along a dimension; True as well where a compiler knows no number."""
    size = x.shape[dim] if isinstance(x, Tensor) else 1
    return not isinstance(size, int) or size > 0


def causal_mask(seq_len: int, device: torch.device | None = None) -> Bool[Tensor, "S S"]:
    """Return the mask that lets each position attend to itself and to what came before.

    >>> causal_mask(3).int().tolist()
    [[1, 0, 0], [1, 1, 0], [1, 1, 1]]
    """
    # int32, because int64 (which tril would use as well) halves the vector width of the compiled comparison: attention
    # on a CPU took 49 ms so and 36 ms with int32.
    position = torch.arange(seq_len, dtype=torch.int32, device=device)
    return position[:, None] >= position


def scaled_dot_product_attention(
    Q: Float[Tensor, "... S K"],
    K: Float[Tensor, "... T K"],
    V: Float[Tensor, "... T d_v"],
    mask: Bool[Tensor, "... S T"] | None = None,
) -> Float[Tensor, "... S d_v"]:
    """Return softmax(Q K^T / sqrt(d_k)) V.

    Args:
        Q: queries, (..., S, d_k).
        K: keys, (..., T, d_k).
        V: values, (..., T, d_v).
        mask: (..., S, T), True where a query may attend to a key; None lets all attend to all. A query that may
            attend to nothing gets zeros.

    Returns:
        One mixture of values for each query, (..., S, d_v).

    Raises:
        TypeError: queries, keys or values are no floats, or the mask is no tensor.
        ValueError: queries and keys differ in width, or keys, values and mask in number; or the mask is not boolean.
            An additive mask of zeros and -inf would mean the opposite.

    Source: Vaswani et al., 2017, equation 1; handout, problem (scaled_dot_product_attention).

    >>> keys, values = torch.eye(2) * 100, torch.tensor([[1.0], [2.0]])
    >>> scaled_dot_product_attention(torch.eye(2), keys, values).tolist()      # each query finds the key like itself
    [[1.0], [2.0]]
    >>> scaled_dot_product_attention(torch.eye(2), keys, values, mask=causal_mask(2) & False).tolist()
    [[0.0], [0.0]]
    """
    for name, x in (("Q", Q), ("K", K), ("V", V)):
        check_floats(name, x)
    if Q.ndim < 2 or K.ndim < 2 or Q.shape[-1] != K.shape[-1]:
        raise ValueError(
            f"Q has shape {tuple(Q.shape)} and K {tuple(K.shape)}; they must be (..., S, d_k) and (..., T, d_k)"
        )
    if V.ndim < 2 or V.shape[-2] != K.shape[-2]:
        raise ValueError(f"V has shape {tuple(V.shape)}; it must be (..., {K.shape[-2]}, d_v), a value for each key")
    # Dividing the queries is dividing the scores, of which there are more: S d_k numbers instead of S T.
    scores = (Q / math.sqrt(Q.shape[-1])) @ K.transpose(-2, -1)
    if mask is not None:
        if not isinstance(mask, Tensor):
            raise TypeError(
                f"the mask must be a tensor of torch.bool, got {type(mask).__name__}; convert it with torch.tensor"
            )
        if mask.dtype != torch.bool:
            raise ValueError(f"the mask is {mask.dtype}; it must be torch.bool, True where a query may attend")
        if mask.ndim == 0 or mask.shape[-1] != K.shape[-2]:
            raise ValueError(
                f"the mask has shape {tuple(mask.shape)}; its last dimension must be {K.shape[-2]}, the keys"
            )
        scores = scores.masked_fill(~mask, -math.inf)
    return softmax(scores, dim=-1) @ V


class MultiHeadSelfAttention(nn.Module):
    """Causal self-attention with H heads, each K = D / H wide.

    Rows h K ... (h + 1) K - 1 of the query, key and value projections belong to head h.

    Args:
        d_model: D, width of input and output.
        num_heads: H; must divide d_model.
        rope: turns queries and keys by their positions; None leaves them alone. Layers may share one.
        qk_norm: normalize each head's queries and keys before they are turned.
        norm_eps: epsilon of those norms.
        device: where the weights live.
        dtype: type of the weights.

    Raises:
        ValueError: num_heads does not divide d_model, or `rope` was made for another head width.

    Source: Vaswani et al., 2017, section 3.2.2; handout, problem (multihead_self_attention).

    >>> attention = MultiHeadSelfAttention(64, 4, rope=RotaryEmbedding(10_000.0, 16, max_seq_len=32))
    >>> attention(torch.ones(2, 5, 64)).shape
    torch.Size([2, 5, 64])
    """

    norm_class: type[RMSNorm] = RMSNorm  # of queries and keys

    def __init__(
        self,
        d_model: int,
        num_heads: int,
        rope: RotaryEmbedding | None = None,
        *,
        qk_norm: bool = False,
        norm_eps: float = 1e-5,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        d_model, num_heads = check_whole("d_model", d_model, 1), check_whole("num_heads", num_heads, 1)
        if d_model % num_heads:
            raise ValueError(f"num_heads is {num_heads}, which does not divide d_model = {d_model}")
        head_dim = d_model // num_heads
        if rope is not None and rope.d_k != head_dim:
            raise ValueError(f"rope turns vectors of width {rope.d_k}, the heads are {head_dim} wide")
        self.num_heads = num_heads
        self.rope = rope
        self.q_proj = Linear(d_model, d_model, device=device, dtype=dtype)
        self.k_proj = Linear(d_model, d_model, device=device, dtype=dtype)
        self.v_proj = Linear(d_model, d_model, device=device, dtype=dtype)
        self.output_proj = Linear(d_model, d_model, device=device, dtype=dtype)
        self.q_norm = self.norm_class(head_dim, norm_eps, device=device, dtype=dtype) if qk_norm else None
        self.k_norm = self.norm_class(head_dim, norm_eps, device=device, dtype=dtype) if qk_norm else None

    def forward(
        self,
        x: Float[Tensor, "... S D"],
        token_positions: Int[Tensor, "... S"] | None = None,
        cache: LayerCache | None = None,
    ) -> Float[Tensor, "... S D"]:
        """Let each position attend to itself and to what came before.

        Args:
            x: the residual stream, (..., S, D).
            token_positions: position of each token, (S,) or (..., S), of any integer type, for the rotation;
                0 ... S - 1 when None. With a cache they also say where keys and values are kept, and are required.
            cache: keys and values of earlier tokens, which are attended to as well; x then is (B, S, D).

        Returns:
            The mixture of values, projected back to (..., S, D).
        """
        check_vectors("x", x, self.q_proj.weight.shape[1])
        if token_positions is not None:
            token_positions = as_positions(token_positions, x.shape[-2])
        q, k, v = (self.split_heads(project(x)) for project in (self.q_proj, self.k_proj, self.v_proj))
        if self.q_norm is not None and self.k_norm is not None:
            q, k = self.q_norm(q), self.k_norm(k)
        if self.rope is not None:
            over_heads = None if token_positions is None else token_positions.unsqueeze(-2)  # ... S -> ... 1 S
            q, k = self.rope(q, over_heads), self.rope(k, over_heads)
        if cache is None:
            mask = causal_mask(x.shape[-2], x.device)
        else:
            k, v, mask = check_layer_cache(cache).append(k, v, token_positions)
        mixed = scaled_dot_product_attention(q, k, v, mask)
        return self.output_proj(mixed.transpose(-3, -2).flatten(-2))  # ... H S K -> ... S H K -> ... S D

    def split_heads(self, x: Float[Tensor, "... S D"]) -> Float[Tensor, "... H S K"]:
        """Give each head its slice of the channels."""
        return x.unflatten(-1, (self.num_heads, -1)).transpose(-3, -2)  # ... S D -> ... S H K -> ... H S K
