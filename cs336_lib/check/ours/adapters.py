"""The adapters that training and timing call, joined to this library."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from cs336_lib.bpe import Tokenizer, train_bpe
from cs336_lib.model import ModelConfig, TransformerLM
from cs336_lib.optim import AdamW
from cs336_lib.training.loss import cross_entropy


def run_transformer_lm(
    vocab_size: int,
    context_length: int,
    d_model: int,
    num_layers: int,
    num_heads: int,
    d_ff: int,
    rope_theta: float,
    weights: dict[str, Tensor],
    in_indices: Tensor,
) -> Tensor:
    """The official adapter of problem transformer_lm."""
    model = TransformerLM(ModelConfig(vocab_size, context_length, d_model, num_layers, num_heads, d_ff, rope_theta))
    model.load_state_dict(weights)
    scores: Tensor = model(in_indices)
    return scores


def get_adamw_cls() -> Any:
    """The official adapter of problem adamw."""
    return AdamW


def run_cross_entropy(inputs: Tensor, targets: Tensor) -> Tensor:
    """The official adapter of problem cross_entropy."""
    return cross_entropy(inputs, targets)


def get_tokenizer(vocab: Any, merges: Any, special_tokens: Any = None) -> Any:
    """The official adapter of problem tokenizer."""
    return Tokenizer(vocab, merges, special_tokens)


def run_train_bpe(input_path: Any, vocab_size: int, special_tokens: list[str], **kwargs: Any) -> Any:
    """The official adapter of problem train_bpe."""
    return train_bpe(input_path, vocab_size, special_tokens, **kwargs)
