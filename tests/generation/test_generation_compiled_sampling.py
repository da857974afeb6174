"""Tokens drawn by a kernel, against the definition in float64 and against what numpy draws."""

import math
from importlib import import_module

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cs336_lib.generation import SamplingConfig, decoding, sampling
from cs336_lib.generation.compiled_sampling import DRAW, CompiledSampler
from cs336_lib.generation.sampling import distribution, draw, log_probability
from cs336_lib.model import ModelConfig, TransformerLM, compiled_step, step_layout
from cs336_lib.model.compiled_step import STEP

NEAR = 3e-6
"""What rounding in float32 may move a sum of probabilities by."""


def by_definition(scores, config, allowed, uniform):
    """Return the token of one row in plain float64, and how near the choice was to another one."""
    exact = [float(score) / config.temperature for score in scores[:allowed]]
    most = max(exact)
    p = [math.exp(score - most) for score in exact]
    total = math.fsum(p)
    p = [value / total for value in p]
    kept, mass, near = set(), 0.0, math.inf
    for i in sorted(range(allowed), key=lambda i: (-scores[i], i)):
        kept.add(i)
        mass += p[i]
        near = min(near, abs(mass - config.top_p)) if config.top_p < 1 else near
        if mass >= config.top_p:
            break
    reached, token = 0.0, None
    for i in range(allowed):
        reached += p[i] if i in kept else 0.0
        near = min(near, abs(reached - uniform * mass))
        if token is None and i in kept and p[i] > 0 and reached > uniform * mass:
            token = i
    return token, near, kept


@settings(max_examples=300, deadline=None)
@given(
    size=st.sampled_from([1, 2, 15, 16, 17, 40, 333, 2000]),
    spread=st.sampled_from([0.0, 0.3, 2.0, 30.0, 1e4]),
    digits=st.sampled_from([None, 0, 1]),
    temperature=st.sampled_from([1e-6, 0.2, 0.8, 1.0, 3.0, 1e6]),
    p=st.sampled_from([1e-9, 0.1, 0.5, 0.95, 0.9999, 1.0]),
    left_out=st.integers(0, 20),
    seed=st.integers(0, 10_000),
)
def test_each_token_is_that_of_the_definition(size, spread, digits, temperature, p, left_out, seed):
    random = np.random.default_rng(seed)
    scores = (random.standard_normal((3, size)) * spread).astype(np.float32)
    if digits is not None:
        scores = scores.round(digits)  # many ties
    scores[random.random(scores.shape) < 0.05] = -np.inf
    scores[:, 0] = 0.0
    allowed = max(1, size - left_out)
    config = SamplingConfig(temperature=temperature, top_p=p)
    uniform = torch.from_numpy(random.random(3, dtype=np.float32))
    tokens, log_probs = CompiledSampler(config)(torch.from_numpy(scores), allowed, uniform)
    for row in range(3):
        token, near, kept = by_definition(scores[row], config, allowed, float(uniform[row]))
        assert near < NEAR or token == tokens[row]
        assert near < NEAR or int(tokens[row]) in kept
    expected = torch.from_numpy(scores).double().log_softmax(-1).gather(-1, tokens[:, None])[:, 0]
    torch.testing.assert_close(log_probs.double(), expected, rtol=1e-6, atol=1e-5)


def test_among_equal_scores_the_smaller_ids_are_in():
    """Of 400 equal scores a quarter is kept: drawing never leaves the first hundred, and reaches all of them."""
    scores = torch.zeros(1000, 400)
    sampler = CompiledSampler(SamplingConfig(top_p=0.25))
    tokens, _ = sampler(scores, 400, torch.arange(1000) / 1000)
    assert set(tokens.tolist()) == set(range(100))


def test_drawing_follows_the_probabilities():
    """Against numpy's, with the same uniform numbers: all but a few in ten thousand agree, and those are neighbors."""
    torch.manual_seed(0)
    scores, uniform = torch.randn(5_000, 300), torch.rand(5_000)
    for config in (SamplingConfig(temperature=0.7, top_p=0.9), SamplingConfig(), SamplingConfig(top_p=0.3)):
        tokens, log_probs = CompiledSampler(config)(scores, 300, uniform)
        expected = draw(distribution(scores, config), uniform)
        assert (tokens != expected).sum() <= 3
        same = tokens == expected
        torch.testing.assert_close(log_probs[same], log_probability(scores, expected)[same], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "row", [[math.nan, 1.0, 2.0], [math.inf, 0.0, 1.0], [-math.inf] * 3, [math.nan] * 3, [1.0, 2.0, math.nan]]
)
def test_scores_that_are_no_numbers_are_told_as_by_the_definition(row):
    scores = torch.tensor([[0.0, 1.0, 2.0], row])
    config = SamplingConfig(temperature=0.5, top_p=0.9)
    for attempt in (
        lambda: CompiledSampler(config)(scores, 3, torch.tensor([0.5, 0.5])),
        lambda: distribution(scores, config),
    ):
        with pytest.raises(ValueError, match=r"the largest logit of row 1 is .*nothing can be drawn"):
            attempt()


def test_what_the_kernel_does_not_know_is_left_to_the_definition():
    known = SamplingConfig(temperature=0.8, top_p=0.9)
    assert CompiledSampler.usable(known)
    for changes in ({"temperature": 0.0}, {"temperature": 1e-30}, {"top_k": 3}, {"repetition_penalty": 1.1}):
        assert not CompiledSampler.usable(SamplingConfig(**changes))
    with pytest.raises(TypeError, match="rows of float32, got float64"):
        CompiledSampler(known)(torch.zeros(1, 3, dtype=torch.float64), 3, torch.tensor([0.5]))


@pytest.mark.parametrize(("vocab_size", "without"), [(None, []), (30, []), (30, range(0, 30, 2)), (None, [36])])
def test_decode_draws_by_the_kernel_where_steps_are_compiled(monkeypatch, vocab_size, without):
    STEP.load()
    DRAW.load()
    config = ModelConfig(37, 24, d_model=32, num_layers=2, num_heads=2, d_ff=41, backend="fast")
    torch.manual_seed(0)
    model, how = TransformerLM(config), SamplingConfig(max_tokens=60, seed=3, temperature=0.9, top_p=0.9)
    steps, calls = {}, []
    first = CompiledSampler.__call__
    monkeypatch.setattr(CompiledSampler, "__call__", lambda self, *given: (calls.append(1), first(self, *given))[1])
    for worth in (0, compiled_step.WORTH_LOADING):
        monkeypatch.setattr(compiled_step, "WORTH_LOADING", worth)
        steps[worth] = list(decoding.decode(model, [[1, 2, 3], [4]], how, vocab_size=vocab_size, without=without))
        assert len(calls) == (0 if without else 60), "only beside compiled steps, and where no id is barred"
    compiled, plain = steps.values()
    assert [(step.row, step.token) for step in compiled] == [(step.row, step.token) for step in plain]
    for one, other in zip(compiled, plain, strict=True):
        assert abs(one.log_prob - other.log_prob) < 1e-4
    if vocab_size:
        assert max(step.token for step in compiled) < vocab_size
    assert not {step.token for step in compiled} & {*without}


def test_what_a_seed_draws_depends_on_no_default_of_torch():
    model = TransformerLM(ModelConfig(37, 24, d_model=32, num_layers=1, num_heads=2, d_ff=41, backend="fast"))

    def drawn():
        return [step.token for step in decoding.decode(model, [[1]], SamplingConfig(max_tokens=9, seed=0))]

    before = drawn()
    for default in (torch.float64, torch.bfloat16):
        torch.set_default_dtype(default)
        try:
            assert drawn() == before
        finally:
            torch.set_default_dtype(torch.float32)


def test_kernels_and_those_who_make_room_for_them_count_alike():
    """A kernel's module opens numba, so its numbers stand a second time where nobody needs that."""
    kernels, lanes = (import_module(f"cs336_lib.{name}") for name in ("generation.kernels", "native.lanes"))
    assert kernels.LEVELS == sampling.LEVELS and kernels.STEPS == sampling.LEVELS / sampling.DEPTH
    assert lanes.LANES == step_layout.LANES
