"""The model's parts as plain formulas in float64, for the right values.

Written with torch.nn.functional and nothing else, so that they share no code with what they judge - nor with the
library of the book, which tests hold against them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def numbers(*shape: int, seed: int = 0, scale: float = 1.0) -> Tensor:
    """Normal numbers in float32 that no global seed decides.

    >>> bool((numbers(2, 3, seed=1) == numbers(2, 3, seed=1)).all())
    True
    """
    generator = torch.Generator().manual_seed(seed * 7919 + 13)
    return torch.randn(*shape, generator=generator) * scale


def rmsnorm(x: Tensor, gain: Tensor, eps: float) -> Tensor:
    """X / sqrt(mean(x^2) + eps) * gain."""
    x, gain = x.double(), gain.double()
    return x / (x.square().mean(-1, keepdim=True) + eps).sqrt() * gain


def swiglu(x: Tensor, w1: Tensor, w2: Tensor, w3: Tensor) -> Tensor:
    """W2 (SiLU(W1 x) * W3 x)."""
    x, w1, w2, w3 = x.double(), w1.double(), w2.double(), w3.double()
    return F.linear(F.silu(F.linear(x, w1)) * F.linear(x, w3), w2)


def rope(x: Tensor, positions: Tensor, theta: float) -> Tensor:
    """Turn each pair (x[2k], x[2k + 1]) by position * theta^(-2k / d), as a product of complex numbers.

    Args:
        x: (..., S, d).
        positions: (..., S), broadcast against the leading dimensions of x.
        theta: the base.
    """
    d = x.shape[-1]
    return turn(x, positions, theta ** (-torch.arange(0, d, 2, dtype=torch.float64) / d))


def turn(x: Tensor, positions: Tensor, speeds: Tensor) -> Tensor:
    """Turn each pair by its position times its speed."""
    angles = positions.double().unsqueeze(-1) * speeds
    pairs = torch.view_as_complex(x.double().reshape(*x.shape[:-1], -1, 2).contiguous())
    return torch.view_as_real(pairs * torch.polar(torch.ones_like(angles), angles)).flatten(-2)


def attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """softmax(q k^T / sqrt(d_k)) v, where True in the mask means "may attend"."""
    q, k, v = q.double(), k.double(), v.double()
    scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf)
    return torch.softmax(scores, -1) @ v


def multihead(
    x: Tensor, heads: int, weights: Mapping[str, Tensor], theta: float | None = None, positions: Tensor | None = None
) -> Tensor:
    """Causal self-attention, one head at a time.

    Args:
        x: (..., S, D).
        heads: how many.
        weights: "q", "k", "v", "o", each (D, D).
        theta: of RoPE; None for no rotation.
        positions: (S,) or (..., S).
    """
    x = x.double()
    length, width = x.shape[-2], x.shape[-1] // heads
    causal = torch.ones(length, length, dtype=torch.bool).tril()
    if positions is None:
        positions = torch.arange(length)
    outputs = []
    for h in range(heads):
        rows = slice(h * width, (h + 1) * width)
        q, k, v = (F.linear(x, weights[name].double()[rows]) for name in "qkv")
        if theta is not None:
            q, k = rope(q, positions, theta), rope(k, positions, theta)
        outputs.append(attention(q, k, v, causal))
    return F.linear(torch.cat(outputs, -1), weights["o"].double())


def block(x: Tensor, heads: int, weights: Mapping[str, Tensor], theta: float, eps: float = 1e-5) -> Tensor:
    """A pre-norm block, with the official names of weights."""
    named = {
        "q": weights["attn.q_proj.weight"],
        "k": weights["attn.k_proj.weight"],
        "v": weights["attn.v_proj.weight"],
        "o": weights["attn.output_proj.weight"],
    }
    x = x.double()
    x = x + multihead(rmsnorm(x, weights["ln1.weight"], eps), heads, named, theta)
    ffn = [weights[f"ffn.w{i}.weight"] for i in (1, 2, 3)]
    return x + swiglu(rmsnorm(x, weights["ln2.weight"], eps), *ffn)


def lm(ids: Tensor, layers: int, heads: int, weights: Mapping[str, Tensor], theta: float, eps: float = 1e-5) -> Tensor:
    """The scores of a Transformer language model, with the official names of weights."""
    x = weights["token_embeddings.weight"].double()[ids.long()]
    for layer in range(layers):
        prefix = f"layers.{layer}."
        own = {name.removeprefix(prefix): w for name, w in weights.items() if name.startswith(prefix)}
        x = block(x, heads, own, theta, eps)
    return F.linear(rmsnorm(x, weights["ln_final.weight"], eps), weights["lm_head.weight"].double())


def block_weights(d: int, ff: int, seed: int = 0) -> dict[str, Tensor]:
    """Weights of a block, scaled so that numbers stay near one; the gains are not all one."""
    shapes = {"attn.q_proj": (d, d), "attn.k_proj": (d, d), "attn.v_proj": (d, d), "attn.output_proj": (d, d)}
    shapes |= {"ffn.w1": (ff, d), "ffn.w2": (d, ff), "ffn.w3": (ff, d)}
    weights = {
        f"{name}.weight": numbers(*shape, seed=seed + i, scale=1.5 / math.sqrt(shape[1]))
        for i, (name, shape) in enumerate(shapes.items())
    }
    for i, name in enumerate(("ln1", "ln2")):
        weights[f"{name}.weight"] = 1 + 0.3 * numbers(d, seed=seed + 20 + i)
    return weights


def lm_weights(vocab: int, d: int, layers: int, ff: int, seed: int = 0) -> dict[str, Tensor]:
    """Weights of a language model under their official names."""
    weights = {"token_embeddings.weight": numbers(vocab, d, seed=seed + 1)}
    for layer in range(layers):
        own = block_weights(d, ff, seed=seed + 100 * (layer + 1))
        weights |= {f"layers.{layer}.{name}": w for name, w in own.items()}
    weights["ln_final.weight"] = 1 + 0.3 * numbers(d, seed=seed + 2)
    weights["lm_head.weight"] = numbers(vocab, d, seed=seed + 3, scale=1 / math.sqrt(d))
    return weights


def adamw_forms(
    start: Tensor, grads: list[Tensor], lr: Any, betas: tuple[float, float], eps: float, decay: float
) -> dict[str, Tensor]:
    """The parameter after some steps, in the four forms that are legal: decay first or last, eps here or there.

    Args:
        start: the parameter.
        grads: the gradient of each step.
        lr: the rate, or one for each step.
        betas: of the moments.
        eps: added to sqrt(v), or to sqrt(v / (1 - beta2^t)) as torch does.
        decay: lambda.
    """
    rates = lr if isinstance(lr, list) else [lr] * len(grads)
    ends = {}
    for order in ("decay first", "decay last"):
        for place in ("eps as in the handout", "eps as in torch"):
            p, m, v = start.double().clone(), torch.zeros_like(start).double(), torch.zeros_like(start).double()
            for t, (g, rate) in enumerate(zip(grads, rates, strict=True), start=1):
                g = g.double()
                if order == "decay first":
                    p = p - rate * decay * p
                m = betas[0] * m + (1 - betas[0]) * g
                v = betas[1] * v + (1 - betas[1]) * g * g
                one, two = 1 - betas[0] ** t, 1 - betas[1] ** t
                under = v.sqrt() / math.sqrt(two) + eps if "torch" in place else (v.sqrt() + eps) / math.sqrt(two)
                p = p - rate * (m / one) / under
                if order == "decay last":
                    p = p - rate * decay * p
            ends[f"{order}, {place}"] = p
    return ends
