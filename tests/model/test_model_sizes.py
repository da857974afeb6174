"""Sizes of every kind of number, given to all that is made of sizes: taken for what they are, or refused by name."""

import json

import numpy as np
import pytest
import torch

from cs336_lib.model import (
    Embedding,
    KVCache,
    Linear,
    ModelConfig,
    MultiHeadSelfAttention,
    RMSNorm,
    RotaryEmbedding,
    SiLUFeedForward,
    SwiGLU,
    TransformerBlock,
    TransformerLM,
)
from cs336_lib.model.config import default_d_ff

SIZES = {"vocab_size": 10, "context_length": 8, "d_model": 16, "num_layers": 1, "num_heads": 2, "d_ff": 24}
CONFIG = ModelConfig(**SIZES)

# What is made, and what it is made with: whole numbers first, then other numbers.
MAKERS = {
    Linear: ({"in_features": 4, "out_features": 6}, {}),
    Embedding: ({"num_embeddings": 4, "embedding_dim": 6}, {}),
    RMSNorm: ({"d_model": 4}, {"eps": 1e-5}),
    SwiGLU: ({"d_model": 4, "d_ff": 6}, {}),
    SiLUFeedForward: ({"d_model": 4, "d_ff": 6}, {}),
    RotaryEmbedding: ({"d_k": 4, "max_seq_len": 6}, {"theta": 1e4}),
    MultiHeadSelfAttention: ({"d_model": 4, "num_heads": 2}, {}),
    TransformerBlock: ({"d_model": 4, "num_heads": 2, "d_ff": 6}, {}),
    KVCache: ({"batch_size": 2, "capacity": 6}, {}),
    ModelConfig: (SIZES, {"rope_theta": 1e4, "norm_eps": 1e-5}),
    default_d_ff: ({"d_model": 4}, {}),
}
ROWS = [(make, name) for make, (whole, _) in MAKERS.items() for name in whole]
REALS = [(make, name) for make, (_, real) in MAKERS.items() for name in real]
NO_SIZES = [
    8.0,
    np.float64(8),
    "8",
    b"8",
    True,
    np.True_,
    [8],
    np.array([8, 8]),
    torch.tensor(8.0),
    8j,
    -1,
    np.int8(-8),
]
NO_NUMBERS = [
    "1",
    True,
    np.True_,
    [1.0],
    1j,
    -1.0,
    float("nan"),
    float("inf"),
    10**400,
    np.float32("nan"),
    torch.ones(2),
]


def made(make, **changes):
    whole, real = MAKERS[make]
    return make(*((CONFIG,) if make is KVCache else ()), **{**whole, **real, **changes})


def shapes(thing):
    """What can be seen of the sizes of something."""
    if isinstance(thing, torch.nn.Module):
        return repr(thing), {name: value.shape for name, value in [*thing.named_parameters(), *thing.named_buffers()]}
    return (thing.keys.shape, thing.capacity) if isinstance(thing, KVCache) else (repr(thing), type(thing))


@pytest.mark.parametrize(("make", "name"), ROWS)
def test_numpys_and_torchs_whole_numbers_are_sizes(make, name):
    value = MAKERS[make][0][name]
    for kind in (np.int8, np.int32, np.int64, np.uint8, np.uint64, np.array, torch.tensor):
        assert shapes(made(make, **{name: kind(value)})) == shapes(made(make)), kind


@pytest.mark.parametrize(("make", "name"), ROWS)
def test_what_is_no_size_is_refused_by_the_name_of_the_parameter(make, name):
    for value in NO_SIZES:
        if make is default_d_ff and isinstance(value, int | np.integer) and not isinstance(value, bool):
            continue  # a formula, whose result is 64 at least
        with pytest.raises((TypeError, ValueError), match=rf"^{name} (is|must be) "):
            made(make, **{name: value})
    if (make, name) not in ((ModelConfig, "d_ff"), (default_d_ff, "d_model")):  # where 0 is the default
        with pytest.raises(ValueError, match=rf"^{name} is 0; it must be "):
            made(make, **{name: 0})


@pytest.mark.parametrize(("make", "name"), REALS)
def test_other_numbers_are_taken_or_refused_likewise(make, name):
    for kind in (np.float64, int, np.int64):
        number = kind(1)
        assert shapes(made(make, **{name: number})) == shapes(made(make, **{name: type(number.__pos__())(1)}))
        json.dumps(getattr(made(make, **{name: number}), {"theta": "theta"}.get(name, name)))
    for value in NO_NUMBERS:
        with pytest.raises((TypeError, ValueError), match=rf"^{name} (is|must be) "):
            made(make, **{name: value})


def test_a_config_of_numpys_numbers_is_the_same_record():
    given = {name: np.int64(value) for name, value in SIZES.items()}
    config = ModelConfig(**given, rope_theta=np.float32(10_000), norm_eps=np.float64(1e-5))
    assert config == CONFIG and hash(config) == hash(CONFIG)
    assert json.dumps(config.to_dict()) == json.dumps(CONFIG.to_dict())


NO_WORDS = ["batch", None, 1, ["pre"], np.array(["pre", "post"]), True]


@pytest.mark.parametrize(
    ("call", "name"),
    [
        *((lambda value, name=name: CONFIG.replace(**{name: value}), name) for name in ("norm", "position", "backend")),
        (lambda value: ModelConfig(**SIZES, ffn=value), "ffn"),
        (lambda value: TransformerBlock(16, 2, 24, norm=value), "norm"),
        (lambda value: TransformerBlock(16, 2, 24, ffn=value), "ffn"),
        (lambda value: TransformerBlock(16, 2, 24, backend=value), "backend"),
        (lambda value: default_d_ff(16, value), "ffn"),
        (lambda value: ModelConfig.preset(value), "unknown preset"),
    ],
)
def test_what_is_no_choice_is_refused_with_those_that_are(call, name):
    for value in NO_WORDS:
        with pytest.raises(ValueError, match=rf"(?s){name} .*; allowed: '?[a-z]"):
            call(value)


@pytest.mark.parametrize("make", [TransformerLM, lambda config: KVCache(config, 1)])
@pytest.mark.parametrize("value", ["tales-1m", None, SIZES])
def test_a_name_or_a_mapping_is_no_config(make, value):
    with pytest.raises(TypeError, match=r"^config must be a ModelConfig, got .*ModelConfig\.preset\(NAME\)"):
        make(value)


def test_a_cache_is_cut_at_whole_numbers():
    cache = KVCache(CONFIG, 1)
    cache.advance(4)
    for value in (1.5, "2", True, -1, 5, np.int64(5)):
        with pytest.raises((TypeError, ValueError), match=r"^(length must be|cannot truncate to) "):
            cache.truncate(value)
    cache.truncate(np.int64(3))
    assert len(cache) == 3 and type(len(cache)) is int
