"""Modeled steps, speed-ups and bills follow from rates, bytes and prices, and never beat the ideal."""

import math

import pytest
from accounting_counts import TINY
from hypothesis import given, settings
from hypothesis import strategies as st

from cs336_lib.accounting import (
    Bill,
    Cluster,
    step_seconds,
    step_traffic,
    tokenizing_bill,
    training_bill,
    training_scaling,
)

FREE = Cluster("ten workers", 10, 0.0, "a test")
positive = st.floats(1e-3, 1e12)


def test_a_step_by_hand():
    # 8 sequences of 12 tokens on 2 workers at 24 tokens/s: 2 s; the bytes at 1/3 of them a second: 3 s, 1 s hidden.
    bandwidth = step_traffic(TINY, "ddp", 2).sent / 3
    point = training_scaling(TINY, 2, 24, 8, bandwidth, overlap=0.5)
    assert (point.tokens, point.compute_seconds) == (96, 2)
    assert point.communication_seconds == pytest.approx(3)
    assert point.seconds == pytest.approx(4)
    assert point.tokens_per_second == pytest.approx(24)
    assert (point.speedup, point.efficiency) == (pytest.approx(1), pytest.approx(0.5))


@pytest.mark.parametrize("reshard", [True, False])
@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_the_bytes_on_the_wire_are_those_of_the_step_whether_layers_are_given_up_or_not(strategy, reshard):
    point = training_scaling(TINY, 4, 24, 8, 1e6, strategy=strategy, reshard_after_forward=reshard)
    sent = step_traffic(TINY, strategy, 4, reshard_after_forward=reshard).sent
    assert point.communication_seconds == sent / 1e6
    assert (sent == step_traffic(TINY, strategy, 4).sent) is (reshard or strategy == "ddp")


@settings(deadline=None)
@given(
    st.sampled_from(["ddp", "fsdp"]),
    st.sampled_from(["strong", "weak"]),
    st.integers(0, 6),
    positive,
    positive,
    st.floats(0, 1),
)
def test_no_speedup_beats_the_number_of_workers(strategy, scaling, power, rate, bandwidth, overlap):
    point = training_scaling(TINY, 2**power, rate, 64, bandwidth, strategy=strategy, scaling=scaling, overlap=overlap)
    assert 0 < point.efficiency <= 1
    assert training_bill(10, 1.0, FREE, efficiency=point.efficiency).seconds > 0
    assert max(point.compute_seconds, point.communication_seconds) <= point.seconds * (1 + 1e-9)
    if power == 0:
        assert point.communication_seconds == 0
        assert point.speedup == pytest.approx(1)


@settings(deadline=None)
@given(st.integers(0, 5), positive, positive)
def test_weak_scaling_is_at_least_as_efficient_as_strong(power, rate, bandwidth):
    strong, weak = (
        training_scaling(TINY, 2**power, rate, 64, bandwidth, scaling=scaling) for scaling in ("strong", "weak")
    )
    assert weak.efficiency >= strong.efficiency * (1 - 1e-9)


def test_an_endless_bandwidth_scales_perfectly():
    assert training_scaling(TINY, 16, 5.0, 64, math.inf).speedup == pytest.approx(16)


@given(positive, positive, st.floats(0, 1), st.floats(0, 1))
def test_more_overlap_is_never_slower_and_hides_at_most_everything(compute, communication, one, other):
    less, more = sorted([one, other])
    assert step_seconds(compute, communication, more) <= step_seconds(compute, communication, less)
    assert max(compute, communication) <= step_seconds(compute, communication, more) * (1 + 1e-9)


def test_bills_by_hand():
    cluster = Cluster("four", 4, 3.0, "a test", "EUR")
    bill = training_bill(7_200, 1.0, cluster, efficiency=0.5)
    assert (bill.seconds, bill.worker_hours, bill.cost) == (3_600, 4, 12)
    assert str(bill) == "on paper: 1.00 hours on four, 4 worker hours, 12 EUR (a test)"
    assert str(Bill(cluster, 86_400 * 2)).startswith("on paper: 2.00 days on four, 192 worker hours")


@pytest.mark.parametrize(
    ("hours", "told"), [(0.5, "0.50 hours"), (23.5, "23.50 hours"), (24, "1.00 days"), (30, "1.25 days")]
)
def test_a_bill_of_a_day_and_more_is_in_days(hours, told):
    assert str(Bill(FREE, hours * 3_600)).startswith(f"on paper: {told} on ten workers, ")


def test_tokenizing_counts_merges_and_encodes():
    assert tokenizing_bill(1_000, FREE, count_rate=10, encode_rate=20, merge_seconds=7).seconds == 10 + 7 + 5
    assert tokenizing_bill(1_000, FREE, count_rate=10, encode_rate=20, storage_bandwidth=50).seconds == 20 + 20
    assert tokenizing_bill(1_000, FREE, count_rate=math.inf, encode_rate=20, storage_bandwidth=50).seconds == 20
    assert tokenizing_bill(1_000, FREE, count_rate=math.inf, encode_rate=20).seconds == 5


@given(st.integers(1, 10**15), st.integers(1, 1_000), positive, positive, positive)
def test_workers_never_slow_tokenizing_down_and_storage_bounds_it(size, workers, count, encode, storage):
    few, many = (
        tokenizing_bill(
            size, Cluster("", n, 1.0, "a test"), count_rate=count, encode_rate=encode, storage_bandwidth=storage
        ).seconds
        for n in (workers, 2 * workers)
    )
    assert 2 * size / storage * (1 - 1e-9) <= many <= few


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Cluster("", 0, 1.0, "x"), "workers is 0; it must be a whole number, 1 or more"),
        (lambda: Cluster("", 1, -1.0, "x"), "price is -1.0; it must be 0 or more"),
        (lambda: Cluster("", 1, 1.0, " "), "source is empty; say where the price comes from"),
        (lambda: Cluster("", 1, 1.0, "x", bandwidth=0), "bandwidth is 0; it must be above 0"),
        (lambda: step_seconds(1, 1, 1.5), "overlap is 1.5; it must be from 0 to 1"),
        (lambda: training_scaling(TINY, 3, 1.0, 64, 1.0), "3 workers do not divide batch_size 64"),
        (lambda: training_scaling(TINY, 2, 1.0, 64, 1.0, scaling="weekly"), "scaling is 'weekly'; allowed: 'strong'"),
        (lambda: training_scaling(TINY, 2, math.nan, 64, 1.0), "tokens_per_second is nan; it must be above 0"),
        (lambda: training_bill(10, math.inf, FREE), "tokens_per_second is inf; it must be above 0 and finite"),
        (lambda: training_bill(10, 1.0, FREE, efficiency=0), "efficiency is 0; it must be above 0 and at most 1"),
        (lambda: tokenizing_bill(10, FREE, count_rate=0, encode_rate=1), "count_rate is 0; it must be above 0"),
        (
            lambda: tokenizing_bill(10, FREE, count_rate=1, encode_rate=1, merge_seconds=-1),
            "merge_seconds is -1; it must be 0 or more",
        ),
    ],
)
def test_bad_arguments_are_named_with_what_is_allowed(call, message):
    with pytest.raises(ValueError, match=message):
        call()
