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


@pytest.mark.parametrize(
    "count", [0, 1, 950, 951, 999, 1000, 950_000, 999_949, 999_951, 10**9 - 50_001, 10**9 - 1, 10**9]
)
def test_a_larger_unit_has_one_of_it_as_it_is_written(count):
    """Units are those of SI, and where the smaller one would be written with a thousand the larger one stands."""
    number, unit = size(count).split()
    smaller = {"kB": (1, 0), "MB": (1e3, 1), "GB": (1e6, 1)}.get(unit)
    assert smaller is None or float(f"{count / smaller[0]:.{smaller[1]}f}") >= 1000
    assert float(number.replace(",", "")) < 1000


@pytest.mark.parametrize("seconds", [f * 10.0**e for e in range(-9, 5) for f in (1, 2.49, 9.4, 9.6)])
def test_a_time_is_told_to_a_third(seconds):
    number, unit = elapsed(seconds).replace(",", "").split()
    assert float(number) * {"s": 1, "ms": 1e-3, "us": 1e-6}[unit] == pytest.approx(seconds, rel=1 / 3)


@pytest.mark.parametrize("write", [size, elapsed])
@pytest.mark.parametrize("little", [5e-324, *(f * 10.0**e for e in range(-15, 1) for f in (1, 2.5, 4, 5, 9.4, 9.9))])
def test_little_is_never_told_as_nothing_nor_with_an_exponent(write, little):
    number, unit = write(little).removeprefix("less than ").split()
    scale = {"bytes": 1, "byte": 1, "s": 1, "ms": 1e-3, "us": 1e-6}[unit]
    assert re.fullmatch(r"\d+(\.\d+)?", number) and float(number) > 0
    if write(little).startswith("less"):
        assert little < float(number) * scale
    else:
        assert float(number) * scale == pytest.approx(little, rel=1 if write is size else 1 / 3, abs=0)
    assert write(0).startswith("0 ")


@pytest.mark.parametrize(
    ("amount", "told"),
    [
        (size(999.4), "999 bytes"),
        (size(999.6), "1.0 kB"),
        (size(999_940), "999.9 kB"),
        (size(999_960), "1.0 MB"),
        (elapsed(0.0949), "95 ms"),
        (elapsed(0.0951), "0.1 s"),
        (elapsed(0.00094), "0.9 ms"),
        (elapsed(0.00096), "1 ms"),
        (elapsed(0.000094), "94 us"),
        (elapsed(0.000096), "0.1 ms"),
        (elapsed(9.6e-7), "1 us"),
        (elapsed(9.4e-7), "0.9 us"),
    ],
)
def test_the_unit_is_chosen_by_what_is_written(amount, told):
    assert amount == told


UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1, "minutes": 60, "hours": 3600, "days": 86_400, "years": 86_400 * 365.25}


@pytest.mark.parametrize("unit", UNITS)
def test_a_duration_is_never_told_as_a_whole_larger_unit_in_the_smaller(unit):
    sizes = [*UNITS.values(), float("inf")]
    most = sizes[sizes.index(UNITS[unit]) + 1] / UNITS[unit]
    for seconds in (UNITS[unit] * f for f in (1, 1 - 1e-9, 1 - 1e-6, 0.9999, 1.0001, 0.994, 0.5, 7)):
        number, written = report.duration(seconds).split()
        assert float(number) * UNITS[written] == pytest.approx(seconds, rel=0.006)
        above = sizes[sizes.index(UNITS[written]) + 1] / UNITS[written]
        assert float(number) < round(above, 2) and (float(number) >= 1 or written == "us")
    assert float(report.duration(UNITS[unit]).split()[0]) == 1 and most > 1


def test_what_small_work_reports_has_no_zeros_for_what_is_there():
    for read, took in ((12, 0.0004), (21_600, 0.02), (999_949, 0.07), (12_000_000, 0.1), (3 * 10**9, 70.0)):
        done = Encoded("", read // 3, read, took, read)
        assert not re.search(r"(?<![\d.,])0(?:\.0+)? [kMG]?B|(?<![\d.,])0(?:\.0+)? (?:s|ms)\b", str(done)), str(done)


@pytest.mark.parametrize("write", [report.duration, report.size])
@pytest.mark.parametrize("wrong", [-1, -0.001, math.nan, -math.inf])
def test_what_is_below_nothing_or_no_number_is_refused_by_name(write, wrong):
    with pytest.raises(ValueError, match=rf"(?:seconds|count) is {wrong}; it must be 0 or more"):
        write(wrong)
