import math
from itertools import permutations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from optim_parameters import make_params, set_grads

from cs336_lib.optim import clip_grad_norm


def grads(params):
    return [p.grad for p in params if p.grad is not None]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 1000), st.floats(1e-3, 1e3), st.sampled_from([torch.float32, torch.float64]))
def test_clipping_equals_torchs(step, max_norm, dtype):
    params, theirs = make_params(dtype), make_params(dtype)
    set_grads(step, params, theirs, skip=lambda step, index: index == step % 9)
    norm = clip_grad_norm(params, max_norm)
    torch.testing.assert_close(norm, torch.nn.utils.clip_grad_norm_(theirs, max_norm))
    torch.testing.assert_close(grads(params), grads(theirs))
    assert torch.linalg.vector_norm(torch.cat([g.flatten() for g in grads(params)])) <= max_norm * (1 + 1e-6)


def test_gradients_within_the_limit_are_left_alone_to_the_bit():
    params = make_params(torch.float32)
    set_grads(0, params)
    before = [g.clone() for g in grads(params)]
    exact = torch.cat([g.flatten() for g in before]).norm().item()
    for max_norm in (exact * 1.000001, 1e9):
        clip_grad_norm(params, max_norm)
        assert all(torch.equal(a, b) for a, b in zip(grads(params), before, strict=True))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_a_gradient_that_is_as_long_as_the_limit_is_left_alone_to_the_bit(dtype):
    p = torch.nn.Parameter(torch.zeros(2, dtype=dtype))
    p.grad = torch.tensor([3.0, 4.0], dtype=dtype)
    assert clip_grad_norm(p, 5.0).item() == 5.0 and p.grad.tolist() == [3.0, 4.0]


def test_a_longer_gradient_is_scaled_by_the_handouts_factor():
    p = torch.nn.Parameter(torch.zeros(2, dtype=torch.float64))
    p.grad = torch.tensor([3e-6, 4e-6], dtype=torch.float64)
    assert clip_grad_norm(p, 1e-6).item() == pytest.approx(5e-6)
    assert p.grad.tolist() == pytest.approx([3e-6 * 1e-6 / 6e-6, 4e-6 * 1e-6 / 6e-6])  # 5e-6 + eps = 6e-6


def test_the_norm_of_half_precision_gradients_is_summed_in_float32():
    params = [
        torch.nn.Parameter(torch.zeros(10_000, dtype=dtype)) for dtype in (torch.bfloat16, torch.float16, torch.float32)
    ]
    for p in params:
        p.grad = torch.full_like(p, 300.0)  # 300^2 overflows float16; 10,000 of them lose most in bfloat16
    norm = clip_grad_norm(params, 3.0)
    assert norm.item() == pytest.approx(300 * math.sqrt(30_000), rel=1e-3)
    assert all(p.grad.dtype == p.dtype for p in params)
    assert params[2].grad[0].item() == pytest.approx(3 / math.sqrt(30_000), rel=1e-3)


@pytest.mark.parametrize("dtypes", list(permutations([torch.float64, torch.float32, torch.bfloat16])), ids=str)
def test_the_norm_of_mixed_types_has_the_digits_of_the_widest_in_any_order(dtypes):
    torch.manual_seed(0)
    params = [torch.nn.Parameter(torch.zeros(500, dtype=dtype)) for dtype in dtypes]
    for p in params:
        p.grad = torch.zeros_like(p)
        p.grad[:2] = torch.tensor([3.0, 4.0])  # a norm without digits that are lost
        if p.dtype == torch.float64:
            p.grad = torch.rand(500, dtype=torch.float64)
    exact = [p.grad.double().clone() for p in params]
    norm, right = clip_grad_norm(params, 2.0), torch.cat(exact).norm()
    assert norm.dtype == torch.float64 and norm.item() == pytest.approx(right.item(), rel=1e-14)
    for p, grad in zip(params, exact, strict=True):
        near = max(2 * torch.finfo(p.dtype).eps, 1e-6 / right.item())  # the handout adds 1e-6 to the norm
        torch.testing.assert_close(p.grad.double(), grad * 2 / right, rtol=near, atol=0)


@pytest.mark.parametrize("bad", [math.inf, -math.inf, math.nan])
def test_a_nonfinite_norm_is_reported_and_the_other_gradients_survive(bad):
    params = make_params()
    set_grads(0, params)
    params[3].grad[1, 2] = bad
    before = [g.clone() for g in grads(params)]
    assert not clip_grad_norm(params, 1.0).isfinite()
    torch.testing.assert_close(grads(params), before, equal_nan=True, rtol=0, atol=0)
    with pytest.raises(FloatingPointError, match=r"the gradient norm is (inf|nan): gradients \[3\]"):
        clip_grad_norm(params, 1.0, error_if_nonfinite=True)


def test_finite_gradients_whose_norm_overflows_are_told_apart():
    p = torch.nn.Parameter(torch.zeros(4))
    p.grad = torch.full((4,), 3e38)
    with pytest.raises(FloatingPointError, match="their sum overflows"):
        clip_grad_norm([p], 1.0, error_if_nonfinite=True)


def test_nothing_to_clip_gives_zero():
    assert clip_grad_norm(make_params(), 1.0).item() == 0
    assert clip_grad_norm([], 1.0).item() == 0


def test_a_generator_of_parameters_goes():
    params = make_params()
    set_grads(0, params)
    assert clip_grad_norm((p for p in params), 1.0) > 1


def test_clipping_never_waits_for_the_device():
    """On the meta device there are no values, so reading any would fail."""
    params = [torch.nn.Parameter(torch.zeros(3, 3, device="meta")) for _ in range(2)]
    for p in params:
        p.grad = torch.zeros_like(p)
    assert clip_grad_norm(params, 1.0).device.type == "meta"


@pytest.mark.parametrize("max_norm", [0, -1.0, math.nan])
def test_a_limit_that_is_not_positive_is_refused(max_norm):
    with pytest.raises(ValueError, match=r"max_norm is .*; it must be positive"):
        clip_grad_norm(make_params(), max_norm)


@pytest.mark.parametrize("max_norm", [1e-5, 0.05, 1.0, 300.0])
@pytest.mark.parametrize(("dtype", "size"), [(torch.float16, 6e4), (torch.float16, 0.01), (torch.bfloat16, 1e15)])
def test_gradients_of_half_precision_are_clipped_by_a_factor_that_is_none(dtype, size, max_norm):
    """The factor may lie below the smallest number of half precision, and rounded to it misses the limit."""
    torch.manual_seed(0)
    weight = torch.nn.Parameter(torch.zeros(1_000, dtype=dtype))
    weight.grad = (torch.rand(1_000).add_(0.5).div_(1.5) * size).to(dtype)
    exact = weight.grad.double()
    before = clip_grad_norm([weight], max_norm)
    assert before.item() == pytest.approx(exact.norm().item(), rel=1e-5)
    wanted = exact * min(1.0, max_norm / exact.norm().item())
    near = 2 * torch.finfo(dtype).eps  # of one number; of the norm, much less
    torch.testing.assert_close(weight.grad.double(), wanted, rtol=near, atol=float(torch.finfo(dtype).smallest_normal))
    if max_norm > 1e-3:
        assert weight.grad.double().norm().item() <= max_norm * (1 + near / 10)
