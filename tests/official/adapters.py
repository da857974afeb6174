"""The assignment's 21 adapters, joined to this library: the course's own test-suite runs on it unchanged.

Copy this file over `tests/adapters.py` of stanford-cs336/assignment1-basics, with this library installed.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from cs336_lib.bpe import Tokenizer, train_bpe
from cs336_lib.data import sample_batch
from cs336_lib.model import (
    Embedding,
    Linear,
    ModelConfig,
    MultiHeadSelfAttention,
    RMSNorm,
    RotaryEmbedding,
    SwiGLU,
    TransformerBlock,
    TransformerLM,
    scaled_dot_product_attention,
    silu,
    softmax,
)
from cs336_lib.optim import AdamW, clip_grad_norm, cosine_schedule
from cs336_lib.training import cross_entropy, load_checkpoint, save_checkpoint


def loaded(module: nn.Module, weights: dict[str, torch.Tensor]) -> nn.Module:
    module.load_state_dict(weights)
    return module


def run_linear(d_in, d_out, weights, in_features):
    return loaded(Linear(d_in, d_out), {"weight": weights})(in_features)


def run_embedding(vocab_size, d_model, weights, token_ids):
    return loaded(Embedding(vocab_size, d_model), {"weight": weights})(token_ids)


def run_swiglu(d_model, d_ff, w1_weight, w2_weight, w3_weight, in_features):
    weights = {"w1.weight": w1_weight, "w2.weight": w2_weight, "w3.weight": w3_weight}
    return loaded(SwiGLU(d_model, d_ff), weights)(in_features)


def run_scaled_dot_product_attention(Q, K, V, mask=None):
    return scaled_dot_product_attention(Q, K, V, mask)


def _attention(module, q_proj_weight, k_proj_weight, v_proj_weight, o_proj_weight):
    names = ("q_proj.weight", "k_proj.weight", "v_proj.weight", "output_proj.weight")
    weights = (q_proj_weight, k_proj_weight, v_proj_weight, o_proj_weight)
    return loaded(module, dict(zip(names, weights, strict=True)))


def run_multihead_self_attention(
    d_model, num_heads, q_proj_weight, k_proj_weight, v_proj_weight, o_proj_weight, in_features
):
    module = MultiHeadSelfAttention(d_model, num_heads)
    return _attention(module, q_proj_weight, k_proj_weight, v_proj_weight, o_proj_weight)(in_features)


def run_multihead_self_attention_with_rope(
    d_model,
    num_heads,
    max_seq_len,
    theta,
    q_proj_weight,
    k_proj_weight,
    v_proj_weight,
    o_proj_weight,
    in_features,
    token_positions=None,
):
    rope = RotaryEmbedding(theta, d_model // num_heads, max_seq_len)
    module = MultiHeadSelfAttention(d_model, num_heads, rope)
    return _attention(module, q_proj_weight, k_proj_weight, v_proj_weight, o_proj_weight)(in_features, token_positions)


def run_rope(d_k, theta, max_seq_len, in_query_or_key, token_positions):
    return RotaryEmbedding(theta, d_k, max_seq_len)(in_query_or_key, token_positions)


def run_transformer_block(d_model, num_heads, d_ff, max_seq_len, theta, weights, in_features):
    rope = RotaryEmbedding(theta, d_model // num_heads, max_seq_len)
    return loaded(TransformerBlock(d_model, num_heads, d_ff, rope), weights)(in_features)


def run_transformer_lm(
    vocab_size, context_length, d_model, num_layers, num_heads, d_ff, rope_theta, weights, in_indices
):
    config = ModelConfig(
        vocab_size=vocab_size,
        context_length=context_length,
        d_model=d_model,
        num_layers=num_layers,
        num_heads=num_heads,
        d_ff=d_ff,
        rope_theta=rope_theta,
    )
    return loaded(TransformerLM(config), weights)(in_indices)


def run_rmsnorm(d_model, eps, weights, in_features):
    return loaded(RMSNorm(d_model, eps), {"weight": weights})(in_features)


def run_silu(in_features):
    return silu(in_features)


def run_get_batch(dataset, batch_size, context_length, device):
    return sample_batch(dataset, batch_size, context_length, device)


def run_softmax(in_features, dim):
    return softmax(in_features, dim)


def run_cross_entropy(inputs, targets):
    return cross_entropy(inputs, targets)


def run_gradient_clipping(parameters, max_l2_norm):
    clip_grad_norm(parameters, max_l2_norm)


def get_adamw_cls() -> Any:
    return AdamW


def run_get_lr_cosine_schedule(it, max_learning_rate, min_learning_rate, warmup_iters, cosine_cycle_iters):
    return cosine_schedule(it, max_learning_rate, min_learning_rate, warmup_iters, cosine_cycle_iters)


def run_save_checkpoint(model, optimizer, iteration, out):
    save_checkpoint(model, optimizer, iteration, out)


def run_load_checkpoint(src, model, optimizer):
    return load_checkpoint(src, model, optimizer)


def get_tokenizer(vocab, merges, special_tokens=None):
    return Tokenizer(vocab, merges, special_tokens)


def run_train_bpe(input_path, vocab_size, special_tokens, **kwargs):
    return train_bpe(input_path, vocab_size, special_tokens, **kwargs)
