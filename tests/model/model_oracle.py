"""The whole model a second time, as one function of a config and a state dict, on torch.nn.functional.

Nothing is shared with the library but the names of the weights: rotations are complex numbers, heads are split by
einsum.
"""

import torch
import torch.nn.functional as F

from cs336_lib.model import ModelConfig

TINY = ModelConfig(vocab_size=37, context_length=12, d_model=24, num_layers=2, num_heads=3, d_ff=40)


def rotate(x, positions, theta):
    half = x.shape[-1] // 2
    angles = positions[..., None] * theta ** (-torch.arange(half, dtype=torch.float64) / half)
    turn = torch.polar(torch.ones_like(angles), angles)
    pairs = torch.view_as_complex(x.double().unflatten(-1, (half, 2)).contiguous())
    return torch.view_as_real(pairs * turn).flatten(-2).to(x.dtype)


def logits(config, weights, ids):
    def norm(x, name):
        return F.rms_norm(x, x.shape[-1:], weights[name], config.norm_eps)

    def maybe(x, name, when):
        return norm(x, name) if config.norm == when else x

    x = F.embedding(ids, weights["token_embeddings.weight"])
    if config.tie_embeddings and config.tied_lookup == "scaled":
        x = x * config.d_model**0.5
    positions = torch.arange(ids.shape[1])
    for n in range(config.num_layers):
        at = f"layers.{n}."
        h = maybe(x, at + "ln1.weight", "pre")
        q, k, v = (
            torch.einsum(
                "bsd,hkd->bhsk", h, weights[f"{at}attn.{which}_proj.weight"].unflatten(0, (config.num_heads, -1))
            )
            for which in "qkv"
        )
        if config.qk_norm:
            q, k = norm(q, at + "attn.q_norm.weight"), norm(k, at + "attn.k_norm.weight")
        if config.position == "rope":
            q, k = rotate(q, positions, config.rope_theta), rotate(k, positions, config.rope_theta)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + F.linear(mixed.transpose(1, 2).flatten(2), weights[at + "attn.output_proj.weight"])
        x = maybe(x, at + "ln1.weight", "post")
        h = maybe(x, at + "ln2.weight", "pre")
        hidden = F.silu(F.linear(h, weights[at + "ffn.w1.weight"]))
        if config.ffn == "swiglu":
            hidden = hidden * F.linear(h, weights[at + "ffn.w3.weight"])
        x = maybe(x + F.linear(hidden, weights[at + "ffn.w2.weight"]), at + "ln2.weight", "post")
    x = maybe(x, "ln_final.weight", "pre")
    return F.linear(x, weights["token_embeddings.weight" if config.tie_embeddings else "lm_head.weight"])
