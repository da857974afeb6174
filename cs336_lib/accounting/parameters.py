"""How many numbers a model learns, component by component (chapter 5).

L layers, D d_model, K head dim, F d_ff, V vocab.
"""

from __future__ import annotations

from cs336_lib.accounting.breakdown import Breakdown, check_config
from cs336_lib.model.config import ModelConfig

FFN_MATRICES = {"swiglu": 3, "silu": 2}


def parameter_count(cfg: ModelConfig) -> Breakdown:
    """Count the parameters of a model.

    The components are::

        embedding               V D
        attention_projections   4 L D^2               queries, keys, values, output
        ffn                     3 L D F or 2 L D F    SwiGLU or SiLU
        norms                   (2 L + 1) D           post-norm: 2 L D, without ln_final; qk_norm adds 2 L K
        lm_head                 V D                   absent when tied: the head is the embedding

    Args:
        cfg: the model.

    Returns:
        Parameters by component; those that a model does not have are left out.

    Source: handout, problem (transformer_accounting) (a).

    >>> parameter_count(ModelConfig.preset("gpt2-xl"))["ffn"], parameter_count(ModelConfig.preset("gpt2-xl")).total
    (1474560000, 2127057600)
    """
    check_config(cfg)
    L, D, F, V = cfg.num_layers, cfg.d_model, cfg.d_ff, cfg.vocab_size
    norms = norm_count(cfg) * D + (2 * L * cfg.head_dim if cfg.qk_norm else 0)
    parts = {
        "embedding": V * D,
        "attention_projections": 4 * L * D * D,
        "ffn": FFN_MATRICES[cfg.ffn] * L * D * F,
        "norms": norms,
        "lm_head": 0 if cfg.tie_embeddings else V * D,
    }
    return Breakdown({name: count for name, count in parts.items() if count})


def norm_count(cfg: ModelConfig) -> int:
    """Return how many RMSNorms of width D a model has, those on queries and keys not counted.

    >>> norm_count(ModelConfig.preset("gpt2-small"))
    25
    """
    return {"pre": 2 * cfg.num_layers + 1, "post": 2 * cfg.num_layers, "none": 0}[cfg.norm]
