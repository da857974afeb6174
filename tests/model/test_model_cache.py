import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cs336_lib.model import KVCache, ModelConfig, TransformerLM

BACKENDS = ["reference", "fast"]


@pytest.fixture(autouse=True)
def inference():
    with torch.no_grad():
        yield


@pytest.mark.parametrize("backend", BACKENDS)
def test_step_by_step_equals_the_full_forward_up_to_the_context_limit(ablation, ids, backend):
    model = TransformerLM(ablation.replace(backend=backend), dtype=torch.float64)
    cache = KVCache(ablation, batch_size=2, dtype=torch.float64)
    steps = [model(ids[:, i : i + 1], cache=cache) for i in range(ids.shape[1])]
    assert len(cache) == ablation.context_length
    torch.testing.assert_close(torch.cat(steps, dim=1), model(ids))


class Passing:
    """A cache of one's own that passes all on to another."""

    def __init__(self, of):
        self.of = of

    def __getattr__(self, name):
        return getattr(self.of, name)

    def __len__(self):
        return len(self.of)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_cache_of_ones_own_that_passes_all_on_is_taken(tiny, ids, backend):
    model = TransformerLM(tiny.replace(backend=backend), dtype=torch.float64)
    cache = Passing(KVCache(tiny, batch_size=2, dtype=torch.float64))
    steps = [model(ids[:, i : i + 1], cache=cache) for i in range(3)]
    torch.testing.assert_close(torch.cat(steps, dim=1), model(ids[:, :3]))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 6), min_size=1, max_size=6), st.sampled_from(BACKENDS), st.integers(1, 3))
def test_prompts_and_continuations_of_any_lengths_equal_the_full_forward(lengths, backend, batch):
    total = sum(lengths)
    config = ModelConfig(37, total, 24, 2, 3, d_ff=40, backend=backend)
    model, cache = TransformerLM(config, dtype=torch.float64), KVCache(config, batch, dtype=torch.float64)
    ids = torch.randint(37, (batch, total))
    pieces = [model(piece, cache=cache) for piece in ids.split(lengths, dim=1)]
    torch.testing.assert_close(torch.cat(pieces, dim=1), model(ids))


@pytest.mark.parametrize("backend", BACKENDS)
def test_rows_of_unequal_length_decode_side_by_side(tiny, backend):
    model = TransformerLM(tiny.replace(backend=backend), dtype=torch.float64)
    cache = KVCache(tiny, batch_size=3, dtype=torch.float64)
    lengths = torch.tensor([5, 2, 4])
    rows = [torch.randint(tiny.vocab_size, (n + 4,)) for n in lengths.tolist()]
    padded = torch.zeros(3, 5, dtype=torch.long)
    for row, ids, n in zip(padded, rows, lengths.tolist(), strict=True):
        row[:n] = ids[:n]
    model(padded, cache=cache, token_positions=torch.arange(5).expand(3, 5))
    for step in range(4):
        new = torch.stack([ids[n + step] for ids, n in zip(rows, lengths.tolist(), strict=True)])[:, None]
        logits = model(new, cache=cache, token_positions=(lengths + step)[:, None])
        for out, ids, n in zip(logits, rows, lengths.tolist(), strict=True):
            torch.testing.assert_close(out[-1], model(ids[None, : n + step + 1])[0, -1])


def test_truncating_takes_back_what_was_seen(tiny, ids):
    model, cache = TransformerLM(tiny), KVCache(tiny, batch_size=2)
    model(ids[:, :8], cache=cache)
    cache.truncate(3)
    model(ids[:, 3:8], cache=cache)
    cache.truncate(0)
    torch.testing.assert_close(model(ids, cache=cache), model(ids))
    with pytest.raises(ValueError, match="cannot truncate to 13 tokens: the cache holds 12"):
        cache.truncate(13)


@pytest.mark.parametrize("backend", BACKENDS)
def test_half_precision_cache_under_autocast(tiny, ids, backend):
    model = TransformerLM(tiny.replace(backend=backend))
    cache = KVCache(tiny, batch_size=2, dtype=torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        steps = [model(ids[:, i : i + 1], cache=cache) for i in range(ids.shape[1])]
        full = model(ids)
    torch.testing.assert_close(torch.cat(steps, dim=1).float(), full.float(), rtol=0.05, atol=0.05)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@pytest.mark.parametrize("in_step", [True, False])
def test_a_cache_of_another_type_than_the_model_keeps_what_its_type_can(tiny, ids, backend, dtype, in_step):
    model = TransformerLM(tiny.replace(backend=backend))
    cache = KVCache(tiny, batch_size=2, dtype=dtype)
    steps = []
    for i in range(ids.shape[1]):
        places = None if in_step else torch.full((2, 1), i)
        steps.append(model(ids[:, i : i + 1], cache=cache, token_positions=places))
    assert cache.keys.dtype == dtype and steps[0].dtype == torch.float32
    near = {} if dtype == torch.float64 else {"rtol": 0.05, "atol": 0.05}
    torch.testing.assert_close(torch.cat(steps, dim=1), model(ids), **near)


def test_one_token_beyond_the_limit_is_refused_and_nothing_is_lost(tiny, ids):
    model, cache = TransformerLM(tiny), KVCache(tiny, batch_size=2)
    model(ids, cache=cache)
    with pytest.raises(ValueError, match="1 tokens after 12 in the cache, but context_length is 12"):
        model(ids[:, :1], cache=cache)
    assert len(cache) == 12
    small = KVCache(tiny, batch_size=2, capacity=4)
    with pytest.raises(ValueError, match="room for 4 tokens and holds 0; 5 more do not fit"):
        model(ids[:, :5], cache=small)


def test_bad_use_is_refused_with_the_reason(tiny, ids):
    model, cache = TransformerLM(tiny), KVCache(tiny, batch_size=2)
    with pytest.raises(ValueError, match="the batch has 1 sequences, the cache was made for 2"):
        model(ids[:1], cache=cache)
    with pytest.raises(ValueError, match="capacity is 13; it must be from 1 to context_length = 12"):
        KVCache(tiny, batch_size=2, capacity=13)
    with pytest.raises(ValueError, match="a cache needs token_positions"):
        model.layers[0].attn(torch.zeros(2, 1, tiny.d_model), cache=cache.layer(0))
    with torch.enable_grad(), pytest.raises(ValueError, match="a KV cache is for inference"):
        model(ids, cache=cache)
    assert len(cache) == 0


def test_the_cache_takes_two_numbers_a_token_a_layer_a_channel(tiny):
    assert KVCache(tiny, batch_size=5).nbytes == 2 * 4 * 5 * tiny.context_length * tiny.num_layers * tiny.d_model
