"""Vectors of another width and numbers of another kind: all of the model refuses them by name, and broadcasts none."""

import inspect
import re

import numpy as np
import pytest
import torch
from torch import nn

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
from cs336_lib.model.backend import kernels
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


MASKS = {
    "a list": [[True] * 3] * 3,
    "an array": np.ones((3, 3), bool),
    "a number": True,
}


@pytest.mark.parametrize("name", MASKS)
def test_a_mask_that_is_no_tensor_is_named(name):
    x = torch.rand(2, 3, WIDTH)
    with pytest.raises(
        TypeError, match=r"the mask must be a tensor of torch\.bool, got .*; convert it with torch\.tensor"
    ):
        scaled_dot_product_attention(x, x, x, MASKS[name])


@pytest.mark.parametrize("shape", [(2, 0), (0,), (0, 3), (3, 0, 2), (0, 0)], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64], ids=str)
def test_softmax_of_nothing_is_nothing_as_torchs(shape, dtype):
    for dim in range(-len(shape), len(shape)):
        x = torch.zeros(shape, dtype=dtype, requires_grad=True)
        ours, theirs = softmax(x, dim), torch.softmax(x, dim)
        assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
        ours.sum().backward()
        assert x.grad.shape == x.shape


@pytest.mark.parametrize("dim", [2, -3, "x", None])
@pytest.mark.parametrize("shape", [(2, 3), (0, 3)], ids=str)
def test_softmax_along_what_is_no_dimension_is_an_error_of_nothing_too(shape, dim):
    with pytest.raises((IndexError, TypeError, RuntimeError)):
        softmax(torch.zeros(shape), dim)


def test_rows_whose_number_the_data_decides_can_be_exported():
    class Positive(torch.nn.Module):
        def forward(self, x):
            rows = x[x[:, 0] > 0]
            return softmax(rows, -1), scaled_dot_product_attention(rows, rows, rows)

    x = torch.randn(20, 4, generator=torch.Generator().manual_seed(0))
    exported = torch.export.export(Positive(), (x,)).module()
    for ours, theirs in zip(exported(-x), Positive()(-x), strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize(("queries", "keys"), [(3, 0), (0, 3), (0, 0)])
@pytest.mark.parametrize("masked", [False, True])
def test_attention_without_keys_or_queries_is_torchs(queries, keys, masked):
    Q, K, V = (torch.rand(2, n, WIDTH) for n in (queries, keys, keys))
    mask = torch.ones(queries, keys, dtype=torch.bool) if masked else None
    theirs = torch.nn.functional.scaled_dot_product_attention(Q, K, V, mask)
    torch.testing.assert_close(scaled_dot_product_attention(Q, K, V, mask), theirs)


SIZES = dict(vocab_size=11, context_length=6, d_model=16, num_layers=2, num_heads=2, d_ff=12)


@pytest.mark.parametrize("backend", ["reference", "fast"])
@pytest.mark.parametrize("cache", [torch.arange(4), 3, [], "yes", {}, SIZES], ids=lambda x: type(x).__name__)
def test_what_is_no_cache_is_named(backend, cache):
    model, ids = TransformerLM(room.ModelConfig(**SIZES, backend=backend)), torch.tensor([[1, 2, 3, 4]])
    with pytest.raises(TypeError, match=r"cache must be a KVCache, got .*; give positions by name"):
        model(ids, cache)
    x = torch.rand(1, 4, 16)
    for part in (model.layers[0], model.layers[0].attn):
        for given in (cache, KVCache(model.config, 1)):
            with pytest.raises(
                TypeError, match=r"cache of one layer must be a LayerCache, got .*KVCache\.layer\(index\)"
            ):
                part(x, torch.arange(4), given)


@pytest.mark.parametrize("backend", ["reference", "fast"])
@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"num_layers": 1}, "1 layer of 2 heads, 8 wide, the model has 2 layers of 2 heads, 8 wide"),
        ({"num_layers": 3}, "3 layers of 2 heads, 8 wide, the model has 2 layers"),
        ({"num_heads": 1}, "2 layers of 1 head, 16 wide, the model"),
        ({"num_heads": 4}, "2 layers of 4 heads, 4 wide, the model"),
        ({"d_model": 32}, "2 layers of 2 heads, 16 wide, the model"),
        ({"num_heads": 4, "d_model": 32}, "2 layers of 4 heads, 8 wide, the model"),
    ],
)
def test_a_cache_of_another_model_is_refused_before_anything_is_kept(backend, changes, says):
    config = room.ModelConfig(**SIZES, backend=backend)
    model, ids, cache = TransformerLM(config), torch.tensor([[1, 2]]), KVCache(config.replace(**changes), 1)
    with torch.no_grad(), pytest.raises(ValueError, match=rf"the cache was made for {says}.*KVCache\(model\.config"):
        model(ids, cache)
    assert len(cache) == 0 and not cache.keys.any()
    with torch.no_grad():
        longer = KVCache(config.replace(context_length=60, vocab_size=5, d_ff=3), 1)
        torch.testing.assert_close(model(ids, longer), model(ids))


@pytest.mark.parametrize("theta", [10**20, 10**300, 2**64, 10_000], ids=lambda theta: f"{theta:.0e}")
def test_a_large_whole_number_is_a_base_of_rotations(theta):
    whole, as_float = (RotaryEmbedding(base, 4, 8) for base in (theta, float(theta)))
    assert torch.equal(whole.cos, as_float.cos) and torch.equal(whole.sin, as_float.sin)
    ids = torch.tensor([[1, 2, 3]])
    for backend in ("reference", "fast"):
        assert TransformerLM(room.ModelConfig(**SIZES, rope_theta=theta, backend=backend))(ids).isfinite().all()


@pytest.mark.parametrize("shape", [(), (4,), (2, 8, 4), (1, 2, 8, 4)], ids=str)
def test_a_head_that_is_no_matrix_is_named_and_not_the_targets(shape):
    with pytest.raises(ValueError, match=rf"head_weight has shape {re.escape(str(shape))}; it must be \(V, D\)"):
        chunked_cross_entropy(torch.rand(2, 3, 4), torch.rand(shape), torch.full((2, 3), 5))


@pytest.mark.parametrize("shape", [(1, 2, 3, WIDTH), (2, 1, 3, WIDTH), (2, 2, 3, 1), (2, 2, 1, WIDTH)])
def test_a_cache_keeps_no_number_for_many(shape):
    layer = KVCache(room.ModelConfig(11, 6, 2 * WIDTH, 1, 2, 12), 2).layer(0)
    whole = torch.zeros(2, 2, 3, WIDTH)
    with pytest.raises(ValueError, match=r"v has shape .*; the cache holds \(B, H, S, K\) = \(2, 2, S, 8\)"):
        layer.append(whole, torch.zeros(shape), torch.arange(3))


@pytest.mark.parametrize("backend", ["reference", "fast"])
def test_modules_can_be_recorded_by_torch_fx(backend):
    """Those whose counterparts in torch can: attention asks for shapes as it goes, which torch.fx does not know."""
    use = kernels(backend)
    ids, layers = torch.tensor([[1, 2, 0], [3, 3, 1]]), [use.linear(4, 6), use.silu_feed_forward(4, 8)]
    tables = [use.embedding(4, 4), nn.Sequential(use.embedding(4, 4), *layers[:1])]
    if backend == "reference":
        layers += [RMSNorm(4), SwiGLU(4, 8), nn.Sequential(Linear(4, 4), RMSNorm(4))]
        tables += [nn.Sequential(use.embedding(4, 4), RMSNorm(4), SwiGLU(4, 8))]
    for module in layers:
        x = torch.randn(2, 4)
        assert torch.equal(torch.fx.symbolic_trace(module)(x), module(x))
    for module in tables:
        recorded = torch.fx.symbolic_trace(module)
        for dtype in (torch.int64, torch.int32, torch.uint8):
            assert torch.equal(recorded(ids.to(dtype)), module(ids))
