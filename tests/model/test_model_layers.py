import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from cs336_lib.model import Embedding, Linear, RMSNorm, SiLUFeedForward, SwiGLU, silu, softmax

# A normal distribution cut at three standard deviations keeps 98.658 % of its standard deviation.
CUT = 0.98658


@pytest.mark.parametrize(("d_in", "d_out"), [(512, 512), (512, 1344), (1344, 512), (100, 3000)])
def test_linear_starts_with_the_variance_of_the_handout(d_in, d_out):
    weight = Linear(d_in, d_out).weight
    std = math.sqrt(2 / (d_in + d_out))
    assert weight.shape == (d_out, d_in)
    assert weight.std().item() == pytest.approx(CUT * std, rel=0.01)
    assert abs(weight.mean().item()) < 0.02 * std
    assert 2.9 * std < weight.abs().max().item() <= 3 * std * (1 + 1e-6)


def test_embedding_starts_with_unit_variance_cut_at_three():
    weight = Embedding(1000, 256).weight
    assert weight.std().item() == pytest.approx(CUT, rel=0.01)
    assert 2.9 < weight.abs().max().item() <= 3


def test_rmsnorm_starts_with_ones():
    assert torch.equal(RMSNorm(7).weight, torch.ones(7))


def test_resetting_draws_new_weights():
    layer = Linear(8, 8)
    before = layer.weight.clone()
    layer.reset_parameters()
    assert not torch.equal(layer.weight, before)


@pytest.mark.parametrize(
    "make", [lambda **kw: Linear(4, 6, **kw), lambda **kw: Embedding(4, 6, **kw), lambda **kw: RMSNorm(6, **kw)]
)
def test_layers_take_a_device_and_a_type(make):
    layer = make(device="meta", dtype=torch.bfloat16)
    assert layer.weight.device.type == "meta"
    assert layer.weight.dtype == torch.bfloat16
    assert repr(layer).startswith(type(layer).__name__ + "(")


shapes = st.lists(st.integers(1, 4), min_size=0, max_size=3).map(tuple)


@settings(max_examples=30, deadline=None)
@given(shapes, st.integers(1, 9), st.integers(1, 9))
def test_layers_equal_torchs_for_any_leading_dimensions(leading, d_in, d_out):
    x = torch.randn(*leading, d_in, dtype=torch.float64)
    linear, norm = Linear(d_in, d_out, dtype=torch.float64), RMSNorm(d_in, dtype=torch.float64)
    torch.nn.init.normal_(norm.weight)
    torch.testing.assert_close(linear(x), F.linear(x, linear.weight))
    torch.testing.assert_close(norm(x), F.rms_norm(x, (d_in,), norm.weight, 1e-5))
    ids = torch.randint(d_out, leading)
    table = Embedding(d_out, d_in)
    assert torch.equal(table(ids), F.embedding(ids, table.weight))


@settings(max_examples=20, deadline=None)
@given(shapes, st.integers(1, 5), st.integers(1, 9))
def test_feed_forwards_equal_their_formulas(leading, d_model, d_ff):
    x = torch.randn(*leading, d_model, dtype=torch.float64)
    gated, plain = SwiGLU(d_model, d_ff, dtype=torch.float64), SiLUFeedForward(d_model, d_ff, dtype=torch.float64)
    torch.testing.assert_close(gated(x), (F.silu(x @ gated.w1.weight.T) * (x @ gated.w3.weight.T)) @ gated.w2.weight.T)
    torch.testing.assert_close(plain(x), F.silu(x @ plain.w1.weight.T) @ plain.w2.weight.T)


def test_silu_equals_torchs_also_far_out():
    x = torch.cat([torch.linspace(-100, 100, 2001), torch.tensor([-1e30, 1e30])])
    torch.testing.assert_close(silu(x), F.silu(x))


def test_rmsnorm_computes_in_float32_and_answers_in_the_type_it_was_asked_in():
    x = torch.full((4,), 300.0, dtype=torch.float16)  # 300^2 is beyond float16
    assert torch.equal(RMSNorm(4, dtype=torch.float16)(x), torch.ones(4, dtype=torch.float16))
    x = torch.randn(64, 512).bfloat16()
    exact = F.rms_norm(x.double(), (512,), eps=1e-5)
    out = RMSNorm(512)(x)
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out, exact.bfloat16(), rtol=2**-8, atol=0)  # at most the final rounding apart


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 5), min_size=1, max_size=4), st.data())
def test_softmax_equals_torchs_along_any_dimension(shape, data):
    dim = data.draw(st.integers(-len(shape), len(shape) - 1))
    x = torch.randn(shape, dtype=torch.float64) * 10
    torch.testing.assert_close(softmax(x, dim), F.softmax(x, dim))


def test_softmax_does_not_overflow_and_ignores_a_shift():
    x = torch.randn(5, 7, dtype=torch.float64)
    torch.testing.assert_close(softmax(x + 1e4, -1), softmax(x, -1))
    assert torch.equal(softmax(torch.tensor([1e38, -1e38, 1e38]), 0), torch.tensor([0.5, 0.0, 0.5]))


def test_softmax_in_half_precision_is_rounded_once():
    x = torch.randn(16, 1000).bfloat16()
    torch.testing.assert_close(softmax(x, -1), F.softmax(x.double(), -1).bfloat16(), rtol=2**-8, atol=0)


def test_softmax_of_nothing_is_zero_and_passes_no_gradient():
    x = torch.tensor([[-math.inf, -math.inf], [0.0, -math.inf]], requires_grad=True)
    out = softmax(x, -1)
    assert out.tolist() == [[0, 0], [1, 0]]
    out.sum().backward()
    assert torch.equal(x.grad, torch.zeros(2, 2))


def test_softmax_gradient_is_right():
    assert torch.autograd.gradcheck(
        lambda x: softmax(x, 1), torch.randn(3, 4, 2, dtype=torch.float64, requires_grad=True)
    )
