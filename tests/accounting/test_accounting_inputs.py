"""Numbers of every type that numpy has give what Python's give, and an error advises only what its function takes."""

import math
import re

import numpy as np
import pytest
import torch

from cs336_lib import accounting as a
from cs336_lib.accounting import breakdown, decoding, distributed, report, scaling, throughput
from cs336_lib.model import ModelConfig

XL = ModelConfig.preset("gpt2-xl")
CLUSTER = scaling.Cluster("four", 4, 2.0, "an example", bandwidth=1e9)

# name: (function of whole numbers, whole numbers that it is called with, reals that follow)
CALLS = {
    "matmuls": (lambda s, b, c: a.matmuls(XL, s, b, cached=c), (1024, 8, 100), ()),
    "forward_flops": (lambda s, b, c: a.forward_flops(XL, s, b, cached=c), (1024, 8, 100), ()),
    "training_flops": (lambda s, b: a.training_flops(XL, s, b), (1024, 100), ()),
    "training_memory": (lambda b, s: a.training_memory(XL, b, s), (100, 1024), ()),
    "autograd": (lambda b, s: a.training_memory(XL, b, s, activations="autograd"), (100, 1024), ()),
    "max_batch_size": (lambda m, s: a.max_batch_size(XL, m, s), (2**31 - 1, 16), ()),
    "kv_cache_bytes": (lambda s, b, w: decoding.kv_cache_bytes(XL, s, b, bytes_per_value=w), (1024, 100, 2), ()),
    "decode_time": (lambda c, b: decoding.decode_time(XL, "h100-sxm", c, b), (1000, 100), ()),
    "roofline": (lambda s, b, c: a.roofline(XL, "h100-sxm", s, b, cached=c), (100, 100, 100), ()),
    "training_time": (
        lambda n, b, s, mfu, peak: a.training_time(XL, n, b, peak, mfu=mfu, context_length=s),
        (10_000, 100, 1024),
        (0.375, 2.0**49),
    ),
    "mfu": (lambda s, rate, peak: throughput.mfu(rate, XL, peak, context_length=s), (1024,), (4096.0, 2.0**49)),
    "rank_memory": (
        lambda n, b, s, k: distributed.rank_memory(XL, "fsdp", n, b, s, accumulation=k),
        (8, 16, 1024, 4),
        (),
    ),
    "step_traffic": (lambda n, k: distributed.step_traffic(XL, "fsdp", n, accumulation=k), (8, 4), ()),
    "training_scaling": (
        lambda n, b, s, rate, band, overlap: scaling.training_scaling(
            XL, n, rate, b, band, overlap=overlap, context_length=s
        ),
        (8, 64, 1024),
        (4096.0, 2.0**30, 0.5),
    ),
    "training_bill": (
        lambda n, w, rate, share, price: scaling.training_bill(n, rate, scaling.Cluster("", w, price, "x"), share),
        (2**31 - 1, 4),
        (4096.0, 0.5, 2.5),
    ),
    "tokenizing_bill": (
        lambda n, rate, other, rest, most: scaling.tokenizing_bill(
            n, CLUSTER, count_rate=rate, encode_rate=other, merge_seconds=rest, storage_bandwidth=most
        ),
        (2**31 - 1,),
        (2.0**20, 2.0**19, 60.0, 2.0**30),
    ),
    "step_seconds": (scaling.step_seconds, (), (3.0, 2.5, 0.25)),
    "text": (
        lambda s, b, n, mfu, peak: report.text(XL, context_length=s, batch_size=b, device=peak, mfu=mfu, steps=n),
        (1024, 8, 10_000),
        (0.375, 2.0**49),
    ),
}  # fmt: skip
KINDS = {
    "int32": (np.int32, np.float32),
    "int64": (np.int64, np.float64),
    "uint64": (np.uint64, np.longdouble),
    "arrays": (lambda n: np.array(n, dtype=np.int32), lambda x: np.array(x, dtype=np.float32)),
    "tensors": (torch.tensor, torch.tensor),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", CALLS)
def test_numbers_of_numpy_count_as_those_of_python(name, kind):
    call, whole, reals = CALLS[name]
    as_whole, as_real = KINDS[kind]
    found, expected = call(*map(as_whole, whole), *map(as_real, reals)), call(*whole, *reals)
    assert repr(found) == repr(expected)  # the types of what is in it, too


@pytest.mark.parametrize("wrong", [1.5, np.float32(2), True, np.True_, "8", None, 0, -1, np.int8(-1), [4]])
def test_what_is_no_count_is_refused_by_name(wrong):
    with pytest.raises(ValueError, match=r"batch_size is .*; it must be a whole number, 1 or more"):
        breakdown.check_sizes(XL, 8, wrong)


AMOUNTS = {
    "tokens_per_second": lambda x: throughput.mfu(x, XL, 1e15),
    "price": lambda x: scaling.Cluster("", 1, x, "x"),
    "merge_seconds": lambda x: scaling.tokenizing_bill(9, CLUSTER, count_rate=1.0, encode_rate=1.0, merge_seconds=x),
}


@pytest.mark.parametrize("name", AMOUNTS)
def test_an_amount_is_a_finite_number(name):
    AMOUNTS[name](0)
    for wrong in (math.inf, math.nan, -1, 10**400):
        with pytest.raises(ValueError, match=rf"{name} is .*; it must be 0 or more, and finite as a float"):
            AMOUNTS[name](wrong)
    for wrong in ("3", None, True):
        with pytest.raises(TypeError, match=rf"{name} must be a number"):
            AMOUNTS[name](wrong)


DEVICE_ALONE = {
    "roofline": lambda where: a.roofline(XL, where),
    "decode_time": lambda where: decoding.decode_time(XL, where),
}
OR_PEAK = {
    "training_time": lambda where: a.training_time(XL, 1, 1, where),
    "mfu": lambda where: throughput.mfu(1.0, XL, where),
    "text": lambda where: report.text(XL, device=where),
}


@pytest.mark.parametrize("name", [*DEVICE_ALONE, *OR_PEAK])
@pytest.mark.parametrize("where", ["h1000", None, True, ["t4"]])
def test_an_unknown_device_is_told_with_what_the_function_takes(name, where):
    with pytest.raises(ValueError, match=re.escape(f"unknown device {where!r}")) as told:
        (DEVICE_ALONE | OR_PEAK)[name](where)
    assert ("give its peak" in str(told.value)) == (name in OR_PEAK) != ("make a Device" in str(told.value))


@pytest.mark.parametrize("peak", [1e15, 10**15, np.float32(1e15), np.int64(10**15)])
def test_a_peak_is_taken_or_refused_for_what_it_lacks(peak):
    for call in OR_PEAK.values():
        call(peak)
    for call in DEVICE_ALONE.values():
        with pytest.raises(ValueError, match=r"device is .*, and a peak says nothing of memory, .*; known: .*Device"):
            call(peak)


@pytest.mark.parametrize("peak", [0, -1, math.inf, math.nan, 10**400])
def test_a_peak_is_positive_and_finite(peak):
    for call in OR_PEAK.values():
        with pytest.raises(ValueError, match=r"the peak is .*; it must be a positive number of FLOP/s, finite"):
            call(peak)


@pytest.mark.parametrize("name", [name for name, (_, counts, _) in CALLS.items() if counts])
@pytest.mark.parametrize("vast", [10**310, 10**5000, 2**63], ids=["1e310", "1e5000", "2^63"])
def test_a_count_that_floats_may_not_hold_is_named(name, vast):
    call, counts, reals = CALLS[name]
    for place in range(len(counts)):
        given = [*counts[:place], vast, *counts[place + 1 :]]
        with pytest.raises(ValueError, match=r"^\w+ is (about 2\^\d+; it must be .* or less|\d+;.*)"):
            call(*given, *reals)
