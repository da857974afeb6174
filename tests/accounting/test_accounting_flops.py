"""FLOPs equal torch's own count on the real model, to the unit, forward and backward."""

from collections import Counter

import pytest
import torch
from accounting_counts import GRID, SIZES, TINY, Products, batch, loss, name
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from cs336_lib.accounting import crossing_context, forward_flops, matmuls, training_flops
from cs336_lib.model import KVCache, ModelConfig, TransformerLM

# Batch and sequence. Seven of them, so that each ablation (the grid counts in twos and threes) meets all.
SHAPES = [(1, 1), (1, 12), (3, 1), (2, 7), (5, 2), (2, 12), (1, 6)]


def torch_flops(run):
    counter = FlopCounterMode(display=False)
    with counter:
        run()
    return counter.get_total_flops()


@pytest.mark.parametrize("number", range(len(GRID)), ids=lambda number: name(GRID[number]))
def test_forward_and_training_flops_equal_torchs_count(number):
    cfg, (batch_size, seq_len) = GRID[number], SHAPES[number % len(SHAPES)]
    model = TransformerLM(cfg)
    x, y = batch(cfg, batch_size, seq_len)
    assert torch_flops(lambda: model(x)) == forward_flops(cfg, seq_len, batch_size).total
    assert torch_flops(lambda: loss(model, x, y).backward()) == training_flops(cfg, seq_len, batch_size).total


@pytest.mark.parametrize("cfg", SIZES, ids=str)
def test_sizes_at_the_edge(cfg):
    model = TransformerLM(cfg)
    x, y = batch(cfg, 2, cfg.context_length)
    assert torch_flops(lambda: loss(model, x, y).backward()) == training_flops(cfg, batch_size=2).total


@settings(max_examples=10, deadline=None)
@given(
    heads=st.integers(1, 4),
    half_width=st.integers(1, 4),
    d_ff=st.integers(1, 20),
    layers=st.integers(1, 3),
    vocab=st.integers(2, 30),
    seq_len=st.integers(1, 9),
    batch_size=st.integers(1, 3),
    ffn=st.sampled_from(["swiglu", "silu"]),
)
def test_any_size_agrees_with_torch(heads, half_width, d_ff, layers, vocab, seq_len, batch_size, ffn):
    cfg = ModelConfig(vocab, seq_len, 2 * half_width * heads, layers, heads, d_ff=d_ff, ffn=ffn)
    model = TransformerLM(cfg, device="meta")
    ids = torch.zeros(batch_size, seq_len, dtype=torch.long, device="meta")
    forward = torch_flops(lambda: model(ids))
    both = torch_flops(lambda: model(ids).sum().backward())
    assert (forward, both) == (
        forward_flops(cfg, batch_size=batch_size).total,
        training_flops(cfg, batch_size=batch_size).total,
    )


@pytest.mark.parametrize("preset", ["tinystories-17m", "gpt2-small", "gpt2-xl"])
def test_real_sizes_agree_with_torch(preset):
    cfg = ModelConfig.preset(preset)
    model = TransformerLM(cfg, device="meta")
    ids = torch.zeros(2, cfg.context_length, dtype=torch.long, device="meta")
    with torch.no_grad():
        assert torch_flops(lambda: model(ids)) == forward_flops(cfg, batch_size=2).total


@pytest.mark.parametrize("cfg", GRID[::5], ids=name)
def test_the_list_holds_exactly_the_products_that_torch_is_asked_for(cfg):
    model = TransformerLM(cfg)
    with Products() as seen:
        model(batch(cfg, 2, 7)[0])
    listed = Counter()
    for product in matmuls(cfg, 7, 2):
        listed[product.m, product.k, product.n] += product.count
        assert product.flops == 2 * product.m * product.k * product.n * product.count
    assert listed == seen.shapes


def test_the_fast_model_computes_the_same_products():
    cfg = TINY.replace(backend="fast")
    model, flops = TransformerLM(cfg), forward_flops(cfg, 7, 2)
    counted = torch_flops(lambda: model(batch(cfg, 2, 7)[0]))
    # torch's counter does not look into the fused attention of a CPU; a version that does must find the scores there.
    assert counted in (flops.total - flops["attention_scores"], flops.total)


@pytest.mark.parametrize("held", [0, 1, 6])
@pytest.mark.parametrize("new", [1, 4])
def test_decoding_with_a_cache_agrees_with_torch(held, new):
    model, cache = TransformerLM(TINY), KVCache(TINY, batch_size=2)
    ids, _ = batch(TINY, 2, 12)
    with torch.no_grad():
        if held:
            model(ids[:, :held], cache=cache)
        counted = torch_flops(lambda: model(ids[:, held : held + new], cache=cache))
    assert counted == forward_flops(TINY, new, 2, cached=held).total


def test_a_frozen_embedding_saves_the_gradient_of_the_first_projections_input():
    model = TransformerLM(TINY.replace(norm="none"))
    model.token_embeddings.weight.requires_grad_(False)
    x, y = batch(TINY, 2, 7)
    queries_keys_values = 3 * 2 * (2 * 7) * TINY.d_model**2
    counted = torch_flops(lambda: loss(model, x, y).backward())
    assert counted == training_flops(TINY, 7, 2).total - queries_keys_values


def test_causal_attention_counts_the_pairs_that_the_mask_allows():
    for cached in (0, 3):
        pairs = sum(query >= key for query in range(cached, cached + 7) for key in range(cached + 7))
        full, causal = (forward_flops(TINY, 7, 2, attention=how, cached=cached) for how in ("full", "causal"))
        assert causal["attention_scores"] == 2 * 2 * TINY.num_layers * 2 * TINY.d_model * pairs
        assert causal["attention_scores"] < full["attention_scores"]
        assert causal["ffn"] == full["ffn"]


def test_prompt_and_single_steps_cost_causally_what_one_pass_does():
    whole = forward_flops(TINY, 12, attention="causal").total
    steps = sum(forward_flops(TINY, 1, attention="causal", cached=held).total for held in range(5, 12))
    assert forward_flops(TINY, 5, attention="causal").total + steps == whole


@pytest.mark.parametrize("attention", ["full", "causal"])
@pytest.mark.parametrize("cfg", [TINY, TINY.replace(ffn="silu"), TINY.replace(d_ff=41), SIZES[0]], ids=name)
def test_the_crossing_is_the_first_context_where_scores_catch_up(cfg, attention):
    def ahead(seq_len):
        flops = forward_flops(cfg, seq_len, attention=attention)
        return flops["attention_scores"] >= flops["ffn"]

    crossing = crossing_context(cfg, attention=attention)
    assert ahead(crossing)
    assert crossing == 1 or not ahead(crossing - 1)


@pytest.mark.parametrize("count", [forward_flops, training_flops, matmuls])
@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"context_length": 0}, "context_length is 0"),
        ({"batch_size": -1}, "batch_size is -1"),
        ({"batch_size": 2.0}, "batch_size is 2.0"),
        ({"context_length": True}, "context_length is True"),
        ({"attention": "sparse"}, "'sparse'; allowed: 'full', 'causal'"),
    ],
)
def test_wrong_arguments_are_named(count, wrong, words):
    with pytest.raises(ValueError, match=words):
        count(TINY, **wrong)
