import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cs336_lib.optim import cosine_schedule, wsd_schedule

steps = st.integers(0, 300)
rates = st.floats(1e-6, 10.0)


def test_cosine_is_exact_at_the_joints():
    def rate(t):
        return cosine_schedule(t, 1.0, 0.1, 7, 21)

    assert [rate(0), rate(7), rate(14), rate(21), rate(22)] == [0.0, 1.0, pytest.approx(0.55, abs=1e-15), 0.1, 0.1]
    assert rate(6) == 6 / 7


@given(steps, steps, st.floats(1e-6, 1.0), st.floats(1.0, 10.0))
def test_a_step_that_is_both_joints_has_the_maximum(warmup, after, min_lr, max_lr):
    assert cosine_schedule(warmup, max_lr, min_lr, warmup, warmup) == max_lr
    assert cosine_schedule(warmup + after + 1, max_lr, min_lr, warmup, warmup) == min_lr


@given(steps, rates, rates, steps, steps)
def test_cosine_follows_the_handouts_cases(t, max_lr, min_lr, warmup, length):
    end = warmup + length
    if t < warmup:
        expected = t / warmup * max_lr
    elif t <= end and length > 0:
        expected = min_lr + (1 + math.cos(math.pi * (t - warmup) / length)) / 2 * (max_lr - min_lr)
    else:
        expected = max_lr if t == end else min_lr
    assert cosine_schedule(t, max_lr, min_lr, warmup, end) == pytest.approx(expected, rel=1e-12)


@given(steps, rates, steps, steps, steps, st.sampled_from(["linear", "sqrt"]))
def test_wsd_rises_stays_and_falls(t, max_lr, warmup, stable, decay, shape):
    total = warmup + stable + decay
    min_lr = 0.1 * max_lr

    def rate(t):
        return wsd_schedule(t, max_lr, min_lr, warmup, decay, total, shape)

    if t < warmup:
        assert rate(t) == t / warmup * max_lr
    elif t >= total:
        assert rate(t) == min_lr
    elif t <= warmup + stable:
        assert rate(t) == max_lr
    else:
        assert min_lr < rate(t) < rate(t - 1) <= max_lr
        fallen = (t - warmup - stable) / decay
        expected = max_lr - (max_lr - min_lr) * (fallen if shape == "linear" else math.sqrt(fallen))
        assert rate(t) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: cosine_schedule(-1, 1, 0, 2, 5), "step is -1"),
        (lambda: cosine_schedule(0, 1, 0, -2, 5), "step is 0 and warmup_steps -2; both must be 0 or more"),
        (lambda: cosine_schedule(0, 1, 0, -2, -2), "warmup_steps -2"),
        (lambda: cosine_schedule(0, 1, 0, 0, -1), "cosine_steps is -1, less than warmup_steps = 0"),
        (lambda: cosine_schedule(0, 1, 0, 6, 5), "cosine_steps is 5, less than warmup_steps = 6"),
        (lambda: wsd_schedule(-1, 1, 0, 2, 1, 5), "step is -1"),
        (lambda: wsd_schedule(0, 1, 0, -2, 1, 5), "warmup_steps -2"),
        (lambda: wsd_schedule(0, 1, 0, 2, -1, 5), "decay_steps -1; all must be 0 or more"),
        (lambda: wsd_schedule(0, 1, 0, 0, 0, -1), r"warmup_steps \+ decay_steps = 0 do not fit in total_steps = -1"),
        (lambda: wsd_schedule(0, 1, 0, 3, 3, 5), r"warmup_steps \+ decay_steps = 6 do not fit in total_steps = 5"),
        (lambda: wsd_schedule(0, 1, 0, 1, 1, 5, "cosine"), "shape is 'cosine'; allowed: 'linear', 'sqrt'"),
    ],
)
def test_impossible_schedules_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
