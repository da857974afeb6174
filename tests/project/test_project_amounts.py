"""Sizes and times in lines of text: whatever is not nothing is not told as nothing."""

import math
import re

import pytest

from cs336_lib.accounting import report
from cs336_lib.amounts import elapsed, size
from cs336_lib.data.encode import Encoded

MOST = 10**13


@pytest.mark.parametrize("count", sorted({int(f * 10**e) for e in range(13) for f in (1, 2.49, 9.94, 9.96, 9.9999)}))
def test_a_size_is_told_to_a_twentieth_and_in_a_unit_that_fits(count):
    number, unit = size(count).replace(",", "").split()
    told = float(number) * {"byte": 1, "bytes": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9}[unit]
    assert abs(told - count) <= 0.05 * count and 1 <= float(number) < (1000 if unit != "GB" else MOST)


@pytest.mark.parametrize("seconds", [f * 10.0**e for e in range(-4, 5) for f in (1, 2.49, 9.4, 9.6)])
def test_a_time_is_told_to_a_third(seconds):
    number, unit = elapsed(seconds).replace(",", "").split()
    assert float(number) * {"s": 1, "ms": 1e-3}[unit] == pytest.approx(seconds, rel=1 / 3)


def test_what_small_work_reports_has_no_zeros_for_what_is_there():
    for read, took in ((12, 0.0004), (21_600, 0.02), (999_949, 0.07), (12_000_000, 0.1), (3 * 10**9, 70.0)):
        done = Encoded("", read // 3, read, took, read)
        assert not re.search(r"(?<![\d.,])0(?:\.0+)? [kMG]?B|(?<![\d.,])0(?:\.0+)? (?:s|ms)\b", str(done)), str(done)


@pytest.mark.parametrize("write", [report.duration, report.size])
@pytest.mark.parametrize("wrong", [-1, -0.001, math.nan, -math.inf])
def test_what_is_below_nothing_or_no_number_is_refused_by_name(write, wrong):
    with pytest.raises(ValueError, match=rf"(?:seconds|count) is {wrong}; it must be 0 or more"):
        write(wrong)
