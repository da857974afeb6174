"""What the forward pass keeps for the backward pass, by two lists (chapter 5).

B batch, S sequence, L layers, D d_model, H heads, K head dim, F d_ff, V vocab.

A handout's list names the operations of a Transformer and counts each one's output once, in any framework; that of 2025
has a feed-forward network of two matrices, that of 2026 one of three. The other
list is what autograd really holds for this library's model: the tensors that its operations save, storages counted
once, parameters and rotary tables left out. They differ in both directions: the reference model spells RMSNorm and SiLU
out, whose inner results autograd keeps, while the scaled scores and the logits themselves are not kept by any
operation, and outputs that nobody saves (of the output projection, of w2) are freed at once.
"""

from __future__ import annotations

from typing import Literal, get_args

from cs336_lib.accounting.breakdown import Breakdown, check_sizes
from cs336_lib.accounting.parameters import norm_count
from cs336_lib.editions import EDITIONS, Edition
from cs336_lib.editions import edition as find_edition
from cs336_lib.model.config import ModelConfig
from cs336_lib.naming import check_choice

ActivationList = Literal["handout", "autograd"]


def handout_activations(
    cfg: ModelConfig, context_length: int | None = None, batch_size: int = 1, *, edition: str | int | None = None
) -> Breakdown:
    """Count the activations of the handout's component list, in numbers (not bytes).

    The list of both editions::

        each layer    rms_norms 2 S D, qkv_projections 3 S D, qk_scores H S^2, softmax H S^2, weighted_values S D,
                      output_projection S D, w1 S F, silu S F, w2 S D
        at the end    final_norm S D, logits S V, cross_entropy S V

    and in that of 2026, for the gate of SwiGLU::

        each layer    w3 S F, gate_product S F

    all times B. In 2025, with F = 4 D, that is B (L (16 S D + 2 H S^2) + S D + 2 S V): a network of two matrices. In
    2026 it is B (L (8 S D + 4 S F + 2 H S^2) + S D + 2 S V). A list belongs to its model: asked by its year for a
    SwiGLU model, that of 2025 leaves out what the gate adds.

    Args:
        cfg: the model; norms, and in 2026 a gate, that it does not have are left out.
        context_length: S; the model's context length when None.
        batch_size: B.
        edition: whose list, "2025" or "2026"; when None, the one that belongs to the model (`own_list`).

    Returns:
        Numbers kept, by item of the list.

    Raises:
        ValueError: a size is not a positive whole number, or there is no such edition.

    Source: handout, problem (adamw_accounting) (a), in 2025 (adamwAccounting).

    >>> 4 * handout_activations(ModelConfig.preset("gpt2-xl"), edition="2025").total  # bytes in float32
    15517753344
    >>> 4 * handout_activations(ModelConfig.preset("gpt2-xl-2026")).total
    16373391360
    """
    S, B = check_sizes(cfg, context_length, batch_size)
    asked = own_list(cfg) if edition is None else find_edition(edition)
    gated = asked.gated_list and cfg.ffn == "swiglu"
    L, D, H, F, V = cfg.num_layers, cfg.d_model, cfg.num_heads, cfg.d_ff, cfg.vocab_size
    parts = {
        "rms_norms": 0 if cfg.norm == "none" else 2 * L * S * D,
        "qkv_projections": 3 * L * S * D,
        "qk_scores": L * H * S * S,
        "softmax": L * H * S * S,
        "weighted_values": L * S * D,
        "output_projection": L * S * D,
        "w1": L * S * F,
        "w3": L * S * F if gated else 0,
        "silu": L * S * F,
        "gate_product": L * S * F if gated else 0,
        "w2": L * S * D,
        "final_norm": S * D if cfg.norm == "pre" else 0,
        "logits": S * V,
        "cross_entropy": S * V,
    }
    return Breakdown({name: B * count for name, count in parts.items() if count})


def own_list(cfg: ModelConfig) -> Edition:
    """Return the edition whose list belongs to a model: that of 2026 with a gate, otherwise that of 2025.

    >>> [own_list(ModelConfig.preset("gpt2-xl").replace(ffn=ffn)).name for ffn in ("silu", "swiglu")]
    ['2025', '2026']
    """
    gated = cfg.ffn == "swiglu"
    return next(each for each in EDITIONS.values() if each.gated_list == gated)


def autograd_activations(cfg: ModelConfig, context_length: int | None = None, batch_size: int = 1) -> Breakdown:
    """Count the bytes that autograd keeps for this library's model in float32, without compilation or autocast.

    The reference backend, in numbers of 4 bytes unless said::

        embedding               ids B S (8 bytes each)
        norms                   each: input B S D, normalized input B S D, 1 / RMS B S;
                                qk_norm: 2 (2 B S D + B H S) a layer
        attention_projections   a layer: what queries, keys and values read B S D; what the output
                                projection reads B S D
        attention_scores        a layer: Q, K, V 3 B S D; exp(scores) and their quotients 2 B H S^2; row sums before and
                                after clamping 2 B H S; the mask S^2 (1 byte each, one for the whole batch)
        ffn                     a layer: input B S D; w1 x, its sigmoid, SiLU, w3 x, their product 5 B S F;
                                without gate 3 B S F
        lm_head                 input B S D
        loss                    log-probabilities B S V, targets B S (8 bytes each), 1 for the mean

    The fast backend differs in three places. Fused attention keeps its output (B S D) and one number for each row of
    scores (B H S) in place of everything with S^2. One product makes Q, K and V, so that its result lives as long as V
    does (3 B S D), beside the rotated or normalized Q and K (2 B S D), and its weight, put together anew in each pass,
    is kept as well (3 D^2, whatever the batch). Fused SiLU keeps no sigmoid (one B S F less).

    The loss is torch.nn.functional.cross_entropy's; one that works in chunks keeps less. These are the bytes held when
    the backward pass begins, with the CPU kernels of torch 2.13; fused kernels of other devices and versions keep other
    tensors, and on CUDA the fast backend puts W1 and W3 together as well (2 D F a layer). The peak lies higher by what
    is alive besides. Where the loss's tensors are the widest, that is when its backward pass begins: the gradient of
    the log-probabilities, and that of the logits made from it (2 B S V). The logits themselves are gone by then, unless
    the caller holds them (3 B S V). Elsewhere it is the temporaries of the widest operation.

    Args:
        cfg: the model.
        context_length: S; the model's context length when None.
        batch_size: B.

    Returns:
        Bytes by component.

    Raises:
        ValueError: a size is not a positive whole number.

    >>> cfg = ModelConfig.preset("tinystories-17m")
    >>> fused = cfg.replace(backend="fast")
    >>> [autograd_activations(c)["attention_scores"] // 2**20 for c in (cfg, fused)]  # MiB
    [38, 12]
    """
    S, B = check_sizes(cfg, context_length, batch_size)
    L, D, F, V = cfg.num_layers, cfg.d_model, cfg.d_ff, cfg.vocab_size
    row, gated, fast = B * S * D, cfg.ffn == "swiglu", cfg.backend == "fast"
    on_heads = (2 * row if fast else 4 * row) + 2 * B * cfg.num_heads * S if cfg.qk_norm else 0
    floats = {
        "norms": norm_count(cfg) * (2 * row + B * S) + L * on_heads,
        "attention_projections": L * (3 * D * D + row if fast else 2 * row),
        "attention_scores": L * (_fused_attention(cfg, S, B) if fast else _plain_attention(cfg, S, B)),
        "ffn": L * (row + (5 if gated else 3) * B * S * F - (B * S * F if fast else 0)),
        "lm_head": row,
        "loss": B * S * V + 1,
    }
    others = {"embedding": 8 * B * S, "attention_scores": 0 if fast else L * S * S, "loss": 8 * B * S}
    total = Breakdown({"embedding": 0, **floats}) * 4 + Breakdown(others)
    return Breakdown({name: count for name, count in total.items() if count})


def _plain_attention(cfg: ModelConfig, S: int, B: int) -> int:
    """Return the numbers that one layer of softmax(Q K^T) V keeps, its mask left out."""
    return 3 * B * S * cfg.d_model + 2 * B * cfg.num_heads * S * S + 2 * B * cfg.num_heads * S


def _fused_attention(cfg: ModelConfig, S: int, B: int) -> int:
    """Return the numbers that one layer keeps between the product that makes Q, K, V and the one that reads the result.

    The kernel's output lies in memory as its queries do, position by position, so that the output projection reads it
    as it is.
    """
    row = B * S * cfg.d_model
    new_queries = cfg.position == "rope" or cfg.qk_norm
    return 3 * row + (2 * row if new_queries else 0) + row + B * cfg.num_heads * S


def check_activations(activations: str) -> None:
    """Raise ValueError unless `activations` names one of the lists."""
    check_choice("activations", activations, get_args(ActivationList))
