"""Vectors of another width and numbers of another kind: all of the model refuses them by name, and broadcasts none."""

import inspect

import pytest
import torch

from cs336_lib import model as room
from cs336_lib.model import (
    KVCache,
    MultiHeadSelfAttention,
    RMSNorm,
    RotaryEmbedding,
    SiLUFeedForward,
    SwiGLU,
    TransformerBlock,
    TransformerLM,
    fast,
    scaled_dot_product_attention,
    silu,
    softmax,
)
from cs336_lib.model.layers import Linear
from cs336_lib.model.rope import turn
from cs336_lib.training import chunked_cross_entropy, cross_entropy
from cs336_lib.training.loss import fused_cross_entropy

WIDTH = 8
OTHERS = (1, 2, 4, 7, 9, 16)


def block(**options):
    return TransformerBlock(WIDTH, 2, 12, RotaryEmbedding(1e4, 4, 6), **options)


def head(**options):
    config = room.ModelConfig(11, 6, WIDTH, 1, 2, 12, **options)
    return TransformerLM(config).logits


def append(x):
    """Keep values of a width, which is that of a head."""
    cache = KVCache(room.ModelConfig(11, 6, 2 * WIDTH, 1, 2, 12), 2)
    return cache.layer(0).append(torch.zeros(2, 2, 3, WIDTH), x[:, None].expand(-1, 2, -1, -1), torch.arange(3))


def table():
    """Return name -> a function of (B, S, D) = (2, 3, WIDTH)."""
    angles, keys = torch.rand(3, WIDTH // 2), torch.rand(2, 3, WIDTH)
    made = {
        "softmax": lambda x: softmax(x, -1),
        "silu": silu,
        "turn": lambda x: turn(x, angles, angles),
        "RotaryEmbedding": RotaryEmbedding(1e4, WIDTH, 6),
        "scaled_dot_product_attention": lambda x: scaled_dot_product_attention(x, keys, keys),
        "keys": lambda x: scaled_dot_product_attention(keys, x, keys),
        "values": lambda x: scaled_dot_product_attention(keys, keys, x),
        "KVCache": append,
        "Linear": Linear(WIDTH, 5),
        "FastLinear": fast.FastLinear(WIDTH, 5),
        "RMSNorm": RMSNorm(WIDTH),
        "FastRMSNorm": fast.FastRMSNorm(WIDTH),
        "frozen FastRMSNorm": fast.FastRMSNorm(WIDTH).requires_grad_(False),
        "half FastRMSNorm": fast.FastRMSNorm(WIDTH).to(torch.bfloat16),
        "TransformerLM": head(),
        "tied TransformerLM": head(tie_embeddings=True),
        "fast TransformerLM": head(backend="fast"),
        "cross_entropy": lambda x: cross_entropy(x, torch.zeros(2, 3).long()),
        "fused_cross_entropy": lambda x: fused_cross_entropy(x, torch.zeros(2, 3).long()),
        "chunked_cross_entropy": lambda x: chunked_cross_entropy(x, torch.rand(9, WIDTH), torch.zeros(2, 3).long()),
    }
    for kind in (SwiGLU, SiLUFeedForward, fast.FastSwiGLU, fast.FastSiLUFeedForward):
        made[kind.__name__] = kind(WIDTH, 12)
    for kind in (MultiHeadSelfAttention, fast.FastSelfAttention):
        made[kind.__name__] = kind(WIDTH, 2, RotaryEmbedding(1e4, 4, 6))
        made[f"{kind.__name__} of normed heads"] = kind(WIDTH, 2, RotaryEmbedding(1e4, 4, 6), qk_norm=True)
    for backend in ("reference", "fast"):
        for norm in ("pre", "post", "none"):
            made[f"TransformerBlock, {backend}, {norm}"] = block(norm=norm, backend=backend)
    return made


TABLE = table()
ANY_WIDTH = {"softmax", "silu", "values", "cross_entropy", "fused_cross_entropy"}


@pytest.mark.parametrize("width", OTHERS)
@pytest.mark.parametrize("name", sorted(TABLE.keys() - ANY_WIDTH))
def test_another_width_is_refused_by_name(name, width):
    TABLE[name](torch.rand(2, 3, WIDTH))
    with pytest.raises(ValueError, match=rf"has shape (?=.*\b{WIDTH}\b).*\b{width}\)"):
        TABLE[name](torch.rand(2, 3, width))


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.uint8, torch.bool, torch.complex64])
@pytest.mark.parametrize("name", sorted(TABLE.keys() - {"KVCache"}))
def test_what_is_no_float_is_refused_by_name(name, dtype):
    with pytest.raises(TypeError, match=rf"must be a tensor of floats, got {dtype}; convert it with \.float\(\)"):
        TABLE[name](torch.ones(2, 3, WIDTH).to(dtype))
    with pytest.raises(TypeError, match=r"must be a tensor of floats, got list; convert with torch\.tensor"):
        TABLE[name]([[1.0] * WIDTH])


def test_every_public_name_that_reads_vectors_is_in_the_table():
    reads = {name for name in room.__all__ if "x: Float" in inspect.getsource(getattr(room, name))}
    assert {"softmax", "silu", "Linear", "RMSNorm", "SwiGLU", "RotaryEmbedding"} <= reads
    assert reads <= {name.split(",")[0] for name in TABLE}


@pytest.mark.parametrize("shape", [(), (WIDTH,)])
def test_a_rotation_asks_for_a_place_for_each_vector(shape):
    with pytest.raises(ValueError, match=r"x has shape .*; "):
        RotaryEmbedding(1e4, WIDTH, 6)(torch.ones(shape))


@pytest.mark.parametrize("columns", [1, 2, 4])
def test_a_mask_has_a_column_for_each_key_and_there_is_a_value_for_each(columns):
    x = torch.rand(2, 3, WIDTH)
    scaled_dot_product_attention(x, x, x, torch.ones(1, 3, dtype=torch.bool))
    with pytest.raises(ValueError, match=rf"the mask has shape \(3, {columns}\); its last dimension must be 3"):
        scaled_dot_product_attention(x, x, x, torch.ones(3, columns, dtype=torch.bool))
    with pytest.raises(ValueError, match=rf"V has shape \(2, {columns}, 5\); it must be \(\.\.\., 3, d_v\)"):
        scaled_dot_product_attention(x, x, torch.rand(2, columns, 5))


@pytest.mark.parametrize("shape", [(1, 2, 3, WIDTH), (2, 1, 3, WIDTH), (2, 2, 3, 1), (2, 2, 1, WIDTH)])
def test_a_cache_keeps_no_number_for_many(shape):
    layer = KVCache(room.ModelConfig(11, 6, 2 * WIDTH, 1, 2, 12), 2).layer(0)
    whole = torch.zeros(2, 2, 3, WIDTH)
    with pytest.raises(ValueError, match=r"v has shape .*; the cache holds \(B, H, S, K\) = \(2, 2, S, 8\)"):
        layer.append(whole, torch.zeros(shape), torch.arange(3))


def test_modules_can_be_recorded_by_torch_fx():
    for module in (Linear(4, 6), RMSNorm(4), SwiGLU(4, 8)):
        x = torch.randn(2, 4)
        assert torch.equal(torch.fx.symbolic_trace(module)(x), module(x))
