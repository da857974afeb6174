"""FLOPs of a forward pass and of training, matrix product by matrix product (chapter 5).

B batch, S sequence (queries), T sequence (keys), L layers, D d_model, H heads, K head dim, F d_ff, V vocab.

Conventions: a multiply-add is two FLOPs, so (m, k) times (k, n) costs 2 m k n. Matrix products only: norms, softmax,
rotations and activations are left out, as in the literature, and so is the embedding, which is a look-up. With
attention="full" a query is multiplied with every key, which is what the reference model computes and what MFU
conventionally counts; with attention="causal" only with those that it may attend to, S (S + 1) / 2 pairs instead of
S^2, which is the least that any kernel must compute.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from cs336_lib.accounting.breakdown import Breakdown, check_config, check_count, check_sizes
from cs336_lib.accounting.parameters import FFN_MATRICES
from cs336_lib.model.config import ModelConfig
from cs336_lib.naming import check_choice

Attention = Literal["full", "causal"]


@dataclass(frozen=True)
class MatMul:
    """A matrix product that a model computes `count` times, each time (m, k) times (k, n).

    Attributes:
        name: the product, such as "w1" or "Q K^T".
        component: the component of a `Breakdown` it belongs to.
        m: rows of the left matrix.
        k: the dimension that is summed over.
        n: columns of the right matrix.
        count: how many of them there are in one forward pass over the batch.
        flops: of all `count` together; 2 m k n count, or less where causal attention leaves products out.
    """

    name: str
    component: str
    m: int
    k: int
    n: int
    count: int
    flops: int

    @property
    def elements(self) -> int:
        """Numbers read and written once by all `count` products: both factors and the result."""
        return self.count * (self.m * self.k + self.k * self.n + self.m * self.n)


def matmuls(
    cfg: ModelConfig,
    context_length: int | None = None,
    batch_size: int = 1,
    *,
    attention: Attention = "full",
    cached: int = 0,
) -> list[MatMul]:
    """List every matrix product of one forward pass, in the order of the computation.

    Args:
        cfg: the model.
        context_length: S, new tokens of each sequence; the model's context length when None.
        batch_size: B.
        attention: "full" or "causal", see the top of this module.
        cached: tokens of each sequence that a KV cache holds already: queries are S, keys are T = cached + S.

    Returns:
        One entry for each product of a layer (with count L, or L B H for those of single heads), and the head.

    Raises:
        ValueError: a size is not a positive whole number, or `attention` is unknown.

    Source: handout, problem (transformer_accounting) (b).

    >>> for product in matmuls(ModelConfig.preset("gpt2-xl")):
    ...     print(f"{product.name:<11} {product.count:>4} x ({product.m}, {product.k}) ({product.k}, {product.n})")
    q_proj        48 x (1024, 1600) (1600, 1600)
    k_proj        48 x (1024, 1600) (1600, 1600)
    v_proj        48 x (1024, 1600) (1600, 1600)
    Q K^T       1200 x (1024, 64) (64, 1024)
    A V         1200 x (1024, 1024) (1024, 64)
    output_proj   48 x (1024, 1600) (1600, 1600)
    w1            48 x (1024, 1600) (1600, 6400)
    w3            48 x (1024, 1600) (1600, 6400)
    w2            48 x (1024, 6400) (6400, 1600)
    lm_head        1 x (1024, 1600) (1600, 50257)
    """
    S, B = check_sizes(cfg, context_length, batch_size)
    check_attention(attention)
    L, D, H, K, F = cfg.num_layers, cfg.d_model, cfg.num_heads, cfg.head_dim, cfg.d_ff
    cached = check_count("cached", cached, least=0)
    T = S + cached
    # New token number i (from 1) may attend to the cached ones and to i new ones.
    pairs = S * T if attention == "full" else S * cached + S * (S + 1) // 2

    def linear(name: str, component: str, k: int, n: int, count: int = L) -> MatMul:
        return MatMul(name, component, B * S, k, n, count, 2 * B * S * k * n * count)

    def per_head(name: str, m: int, k: int, n: int) -> MatMul:
        return MatMul(name, "attention_scores", m, k, n, L * B * H, 2 * pairs * K * L * B * H)

    hidden = [linear("w1", "ffn", D, F), *([linear("w3", "ffn", D, F)] if FFN_MATRICES[cfg.ffn] == 3 else [])]
    return [
        *(linear(name, "attention_projections", D, D) for name in ("q_proj", "k_proj", "v_proj")),
        per_head("Q K^T", S, K, T),
        per_head("A V", S, T, K),
        linear("output_proj", "attention_projections", D, D),
        *hidden,
        linear("w2", "ffn", F, D),
        linear("lm_head", "lm_head", D, cfg.vocab_size, count=1),
    ]


def forward_flops(
    cfg: ModelConfig,
    context_length: int | None = None,
    batch_size: int = 1,
    *,
    attention: Attention = "full",
    cached: int = 0,
) -> Breakdown:
    """Count the FLOPs of one forward pass; 2 FLOPs a multiply-add, matrix products only.

    The components are::

        attention_projections   8 B S D^2 L
        attention_scores        4 B S^2 D L                    causal: 2 B S (S + 1) D L
        ffn                     6 B S D F L or 4 B S D F L     SwiGLU or SiLU
        lm_head                 2 B S D V                      tied or not

    Args:
        cfg: the model.
        context_length: S, tokens of each sequence; the model's context length when None. FLOPs of a token are those of
            a sequence divided by S: on average over the sequence, the scores of a later token cost more if causal.
        batch_size: B.
        attention: "full" or "causal", see the top of this module.
        cached: tokens that a KV cache holds already, see `matmuls`.

    Returns:
        FLOPs by component.

    Raises:
        ValueError: a size is not a positive whole number, or `attention` is unknown.

    Source: handout, problem (transformer_accounting) (b).

    >>> flops = forward_flops(ModelConfig.preset("gpt2-xl"))
    >>> flops["ffn"], flops.total, round(flops.share("ffn"), 4)
    (3019898880000, 4513336524800, 0.6691)
    """
    parts: dict[str, int] = {}
    for product in matmuls(cfg, context_length, batch_size, attention=attention, cached=cached):
        parts[product.component] = parts.get(product.component, 0) + product.flops
    return Breakdown(parts)


def training_flops(
    cfg: ModelConfig, context_length: int | None = None, batch_size: int = 1, *, attention: Attention = "full"
) -> Breakdown:
    """Count the FLOPs of forward and backward pass: three times the forward pass, exactly.

    Each product C = A B asks for two in the backward pass, of the same cost: the gradient of A is that of C times B^T,
    the gradient of B is A^T times that of C. None of them falls away here: the leftmost products read the embedding,
    whose table is learned, so that gradients flow all the way down. (With a frozen embedding, the first layer's
    queries, keys and values would need no gradient of their input.)

    Args:
        cfg: the model.
        context_length: S; the model's context length when None.
        batch_size: B.
        attention: "full" or "causal". Fused attention kernels compute the scores anew in the backward pass; like all
            recomputation, that is not counted.

    Returns:
        FLOPs by component, without those of the optimizer (`adamw_flops`).

    >>> cfg = ModelConfig.preset("tinystories-17m")
    >>> training_flops(cfg).total // cfg.context_length                  # a token
    111722496
    """
    return forward_flops(cfg, context_length, batch_size, attention=attention) * 3


def crossing_context(cfg: ModelConfig, *, attention: Attention = "full") -> int:
    """Return the shortest context at which the attention scores cost at least as much as the feed-forward network.

    Full attention: 4 S^2 D = 6 S D F at S = 3/2 F with SwiGLU, S = F with SiLU; causal at about twice that.

    Args:
        cfg: the model.
        attention: "full" or "causal".

    Returns:
        S in tokens.

    Raises:
        TypeError: `cfg` is no model config.
        ValueError: `attention` is unknown.

    >>> xl = ModelConfig.preset("gpt2-xl")
    >>> crossing_context(xl), crossing_context(xl, attention="causal")
    (9600, 19199)
    """
    check_config(cfg)
    check_attention(attention)
    width = FFN_MATRICES[cfg.ffn] * cfg.d_ff  # the FFN costs 2 S D width, scores 4 S^2 D or 2 S (S + 1) D
    return -(-width // 2) if attention == "full" else max(1, width - 1)


def check_attention(attention: str) -> None:
    """Raise ValueError unless `attention` is a known way to count."""
    check_choice("attention", attention, get_args(Attention))
