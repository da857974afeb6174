"""The distribution that tokens are drawn from, against its definition in plain Python."""

import itertools
import math
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cs336_lib.generation import SamplingConfig, distribution
from cs336_lib.generation.sampling import _sums_below, draw, log_probability


def slow_distribution(logits, temperature, top_k, top_p):
    """Filter one row as the definitions say it."""
    top = max(logits)
    weights = [math.exp((x - top) / temperature) for x in logits]
    total = sum(weights)
    ranked = sorted(enumerate(w / total for w in weights), key=lambda pair: (-pair[1], pair[0]))
    if top_k:
        ranked = ranked[:top_k]
        total = sum(p for _, p in ranked)
        ranked = [(i, p / total) for i, p in ranked]
    kept, mass = [], 0.0
    for i, p in ranked:
        if mass >= top_p and top_p < 1:
            break
        kept.append((i, p))
        mass += p
    result = [0.0] * len(logits)
    for i, p in kept:
        result[i] = p / mass
    return result


few_or_none = st.sampled_from([0, 1 << 12])


@contextmanager
def few_being(few):
    """Let the ways for long rows, which begin above 4,096, begin with so many numbers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cs336_lib.generation.sampling.FEW", few)
        yield


@example([0.0, 5.960464477539063e-08], 2.0, 0, 0.013, 0)  # whose probabilities are equal in float32
@example([0.0, 5.960464477539063e-08], 2.0, 0, 0.013, 1 << 12)
@settings(max_examples=120, deadline=None)
@given(
    logits=st.lists(st.floats(-20, 20, width=16), min_size=1, max_size=12),
    temperature=st.sampled_from([0.3, 1.0, 2.0]),
    top_k=st.integers(0, 14),
    top_p=st.sampled_from([0.013, 0.37, 0.51, 0.913, 1.0]),
    few=few_or_none,
)
def test_it_is_its_definition(logits, temperature, top_k, top_p, few):
    config = SamplingConfig(temperature=temperature, top_k=top_k, top_p=top_p)
    with few_being(few):
        ours = distribution(torch.tensor([logits]), config)[0].tolist()
    assert ours == pytest.approx(slow_distribution(logits, temperature, top_k, top_p), abs=2e-5)


def test_temperature_zero_is_greedy_and_small_ones_get_there():
    logits = torch.tensor([[1.0, 3.0, 2.0], [500.0, -500.0, 499.0]])
    greedy = distribution(logits, SamplingConfig(temperature=0))
    assert greedy.tolist() == [[0, 1, 0], [1, 0, 0]]
    torch.testing.assert_close(distribution(logits, SamplingConfig(temperature=1e-30)), greedy)


def test_the_penalty_makes_what_was_seen_less_likely_whatever_its_sign():
    logits = torch.tensor([[2.0, -2.0, 0.5]])
    plain = distribution(logits, SamplingConfig())
    off = distribution(logits, SamplingConfig(repetition_penalty=1.0), [[0, 1]])
    on = distribution(logits, SamplingConfig(repetition_penalty=2.0), [[0, 1, 0]])
    assert torch.equal(off, plain)
    expected = torch.softmax(torch.tensor([[1.0, -4.0, 0.5]]), -1)
    torch.testing.assert_close(on, expected)
    assert torch.equal(logits, torch.tensor([[2.0, -2.0, 0.5]])), "the input is left alone"


def test_the_nucleus_ends_where_its_sum_is_p():
    logits = torch.tensor([[0.5, 0.25, 0.25]]).log2() * math.log(2)
    assert distribution(logits, SamplingConfig(top_p=0.5))[0].tolist() == [1, 0, 0]
    assert distribution(logits, SamplingConfig(top_p=0.75))[0, 2] == 0


@pytest.mark.parametrize("temperature", [1e-300, 1e-46, 1e-38, np.float64(0.7), 3, 3e38, 1e39, 1e300])
@pytest.mark.parametrize("logits", [[3e38, -3e38, 0.0], [1.0, 3.0, 2.0], [1.0, 2.0, -math.inf]])
def test_numbers_at_the_ends_of_float32_make_no_nan_and_no_warning(logits, temperature, recwarn):
    given = torch.tensor([logits])
    penalties = ({"repetition_penalty": penalty} for penalty in (1e300, 1e39, 1.5, 1e-46))
    for more in ({}, {"top_p": 0.5}, {"top_k": 2}, *penalties):
        p = distribution(given, SamplingConfig(temperature=temperature, **more), [[0, 1]])
        assert p.dtype == torch.float32 and p.sum().item() == pytest.approx(1)
    log_probability(given, torch.tensor([1]))
    assert not recwarn.list


def test_forbidden_tokens_stay_forbidden():
    logits = torch.tensor([[0.0, -math.inf, 1.0]])
    for config in (SamplingConfig(), SamplingConfig(top_p=0.99), SamplingConfig(top_k=2)):
        assert distribution(logits, config)[0, 1] == 0


@pytest.mark.parametrize(
    "config", [SamplingConfig(), SamplingConfig(temperature=0), SamplingConfig(top_p=0.5, top_k=1)]
)
@pytest.mark.parametrize("bad", [[math.nan, 0.0], [math.inf, 0.0], [-math.inf, -math.inf]])
def test_logits_that_nothing_can_be_drawn_from_are_named(config, bad):
    with pytest.raises(ValueError, match=r"largest logit of row 1 is (nan|inf|-inf)"):
        distribution(torch.tensor([[0.0, 1.0], bad]), config)


@pytest.mark.parametrize(
    "config", [SamplingConfig(1, 1, 0, 0.95), SamplingConfig(1, 1, 500), SamplingConfig(1, 0.8, 30, 0.49)]
)
@pytest.mark.parametrize("size", [1_024, 9_001])
@pytest.mark.parametrize("spread", [0.25, 4.0, 20.0])
def test_a_whole_vocabulary_with_ties_is_its_definition(config, size, spread):
    logits = (torch.randn(3, size, generator=torch.Generator().manual_seed(0)) * spread).round() / 2
    logits[1, 1:] = -torch.inf
    logits[2, size // 2 :] = -torch.inf
    for row, ours in zip(logits.tolist(), distribution(logits, config).tolist(), strict=True):
        slow = slow_distribution(row, config.temperature, config.top_k, config.top_p)
        assert [p > 0 for p in ours] == [p > 0 for p in slow], "of equal logits the smaller ids are in"
        assert ours == pytest.approx(slow, abs=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_log_probabilities_are_those_of_log_softmax(dtype):
    logits = torch.randn(5, 300, dtype=torch.float64).mul(30).to(dtype)
    tokens = torch.randint(300, (5,))
    expected = logits.to(torch.promote_types(dtype, torch.float32)).log_softmax(-1)[torch.arange(5), tokens]
    torch.testing.assert_close(log_probability(logits, tokens), expected)


@pytest.mark.parametrize("size", [1.0, 1e4, 1e30, -1e30])
def test_a_small_log_probability_does_not_drown_in_large_logits(size):
    assert log_probability(torch.tensor([[size, size]]), torch.tensor([1])).item() == pytest.approx(-math.log(2))


def test_draws_follow_the_probabilities_and_never_hit_zero():
    probabilities = torch.tensor([[0.2, 0.0, 0.5, 0.3, 0.0]])
    uniform = (torch.arange(1000) + 0.5) / 1000
    drawn = draw(probabilities.expand(1000, 5), uniform)
    assert torch.bincount(drawn, minlength=5).tolist() == [200, 0, 500, 300, 0]
    edge = torch.tensor([0.0, 1 - 2**-24, 1.0])
    assert draw(probabilities.expand(3, 5), edge).tolist() == [0, 3, 3]


@settings(max_examples=60, deadline=None)
@given(
    values=st.lists(st.lists(st.integers(0, 3), min_size=7, max_size=7), min_size=1, max_size=4),
    repeat=st.integers(1, 9),
    limit=st.integers(0, 200),
    few=few_or_none,
)
def test_sums_are_counted_in_blocks_as_one_by_one(values, repeat, limit, few):
    """Whole numbers, whose sums are exact in any order; zeros, and limits that are a sum, and beyond all."""
    array = np.tile(np.array(values, dtype=np.float32), (1, repeat))
    with few_being(few):
        ours = _sums_below(array, np.full((len(array), 1), float(limit)))
    assert ours[:, 0].tolist() == [sum(s <= limit for s in itertools.accumulate(row)) for row in array.tolist()]


@pytest.mark.parametrize("few", [0, 1 << 20])
def test_no_draw_hits_a_token_of_probability_zero(monkeypatch, few):
    """Numbers at and beside each border between tokens, where sums in another order are rounded otherwise."""
    monkeypatch.setattr("cs336_lib.generation.sampling.FEW", few)
    generator = torch.Generator().manual_seed(0)
    p = torch.rand(1, 101, generator=generator) * (torch.rand(1, 101, generator=generator) < 0.3)
    p /= p.sum()
    edges = p.double().cumsum(-1)[0] / p.double().sum()
    for uniform in (edges, torch.nextafter(edges, torch.tensor(0.0).double()), torch.nextafter(edges, edges + 1)):
        drawn = draw(p.expand(101, 101), uniform.clamp(0, 1))
        assert (p[0, drawn] > 0).all()


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"top_p": 0.0}, "top_p is 0.0; it must be above 0 and at most 1"),
        ({"top_p": 1.1}, "top_p is 1.1"),
        ({"top_p": math.nan}, "top_p is nan"),
        ({"temperature": -0.1}, "temperature is -0.1; it must be 0"),
        ({"temperature": math.inf}, "temperature is inf"),
        ({"top_k": -1}, "top_k is -1"),
        ({"max_tokens": 0}, "max_tokens is 0"),
        ({"repetition_penalty": 0.0}, "repetition_penalty is 0.0"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_values_out_of_range_are_named(values, says):
    with pytest.raises(ValueError, match=says):
        SamplingConfig(**values)
