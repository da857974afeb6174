"""The Transformer, from scratch (chapter 4).

Importing this package is cheap: torch is loaded when the first name that needs it is used, so that `ModelConfig` (all
that parameter and FLOP accounting needs) stays light.

The rooms, in reading order: `config` (what a model is), `layers` (Linear, Embedding, RMSNorm), `ffn` (SiLU, SwiGLU),
`rope` (positions), `attention` (softmax, scaled dot products, heads), `cache` (keys and values kept for decoding),
`block`, `transformer` (the whole model); then `fast` (the same parameters on fused kernels), `backend` (the choice
between the two) and `llama` (export to and import from transformers).

    >>> from cs336_lib.model import ModelConfig, TransformerLM
    >>> config = ModelConfig.preset("tinystories-17m")
    >>> model = TransformerLM(config, device="meta")
    >>> sum(p.numel() for p in model.parameters())
    22696448
"""

from typing import TYPE_CHECKING

from cs336_lib.doors import door

if TYPE_CHECKING:
    from cs336_lib.model.attention import MultiHeadSelfAttention, scaled_dot_product_attention, softmax
    from cs336_lib.model.block import TransformerBlock
    from cs336_lib.model.cache import KVCache
    from cs336_lib.model.config import ModelConfig
    from cs336_lib.model.ffn import SiLUFeedForward, SwiGLU, silu
    from cs336_lib.model.layers import Embedding, Linear, RMSNorm
    from cs336_lib.model.rope import RotaryEmbedding
    from cs336_lib.model.transformer import TransformerLM

__all__ = [
    "ModelConfig",
    "TransformerLM",
    "TransformerBlock",
    "MultiHeadSelfAttention",
    "scaled_dot_product_attention",
    "softmax",
    "RotaryEmbedding",
    "SwiGLU",
    "SiLUFeedForward",
    "silu",
    "Linear",
    "Embedding",
    "RMSNorm",
    "KVCache",
]

_HOME = {
    "ModelConfig": "config",
    "TransformerLM": "transformer",
    "TransformerBlock": "block",
    "MultiHeadSelfAttention": "attention",
    "scaled_dot_product_attention": "attention",
    "softmax": "attention",
    "RotaryEmbedding": "rope",
    "SwiGLU": "ffn",
    "SiLUFeedForward": "ffn",
    "silu": "ffn",
    "Linear": "layers",
    "Embedding": "layers",
    "RMSNorm": "layers",
    "KVCache": "cache",
}

__getattr__, __dir__ = door(__name__, _HOME)
