"""Two sides are compared at their own best rates, and a difference counts only above what the seeds allow."""

import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cs336_lib.experiments import Side, Spread, compare, conclusions, differences, pooled, sides
from cs336_lib.experiments.comparison import Difference, student_t
from cs336_lib.experiments.suite import PlannedRun, Scale, Suite, Variation
from cs336_lib.model import ModelConfig
from cs336_lib.training import RunRecord, TrainConfig

MODEL = ModelConfig(vocab_size=300, context_length=16, d_model=16, num_layers=1, num_heads=2, d_ff=32)
CONFIG = TrainConfig(MODEL, data_bytes=1, steps=100, warmup_steps=10)


def side(name, **cells):
    """A side of "r0_01=[1.0, 1.1]": rate -> losses of seeds 0, 1, ..."""
    return Side(name, {float(key[1:].replace("_", ".")): dict(enumerate(cell)) for key, cell in cells.items()})


@pytest.mark.parametrize("degrees", [1, 2, 3, 7, 10, 11, 20, 60])
def test_students_t_leaves_two_and_a_half_percent_above(degrees):
    x = np.linspace(0, student_t(degrees), 200_001)
    density = math.gamma((degrees + 1) / 2) / math.sqrt(degrees * math.pi) / math.gamma(degrees / 2)
    area = np.trapezoid(density * (1 + x * x / degrees) ** (-(degrees + 1) / 2), x)
    assert area == pytest.approx(0.475, abs=1e-4)


@pytest.mark.parametrize(
    ("found", "best", "tuned", "says"),
    [
        (side("a", r0_01=[3.0], r0_02=[2.0], r0_03=[2.5]), 0.02, True, "tuned, between 0.01 and 0.03"),
        (side("a", r0_01=[2.0], r0_02=[2.5]), 0.01, False, "not tuned: the lowest rate of its grid is best"),
        (side("a", r0_01=[2.0], r0_02=[1.5]), 0.02, False, "not tuned: the highest rate of its grid is best"),
        (side("a", r0_01=[2.0]), 0.01, False, "not tuned: one rate alone was run"),
        (side("a", r0_01=[3.0], r0_02=[2.0], r0_03=[1.0, math.nan]), 0.02, True, "tuned"),  # one seed failed there
    ],
)
def test_a_side_is_tuned_if_its_best_rate_has_worse_ones_beside_it(found, best, tuned, says):
    assert (found.best, found.is_tuned) == (best, tuned)
    assert says in found.describe()


def test_the_rate_from_which_a_side_fails_is_the_lowest_with_a_failed_run():
    assert side("a", r0_01=[3.0, 3.0], r0_02=[2.0, math.nan], r0_03=[math.nan]).fails_from == 0.02
    assert side("a", r0_01=[3.0]).fails_from is None


def test_the_spread_is_pooled_over_the_best_rates_alone():
    a, b = side("a", r1=[1.0, 1.2, 1.4], r2=[9.0, 1.0, 5.0]), side("b", r1=[2.0, 2.1])
    variance = (2 * statistics.variance([1.0, 1.2, 1.4]) + statistics.variance([2.0, 2.1])) / 3
    assert pooled([a, b]) == Spread(pytest.approx(math.sqrt(variance)), 3)
    assert pooled([side("c", r1=[1.0])]).degrees == 0


def test_a_difference_within_the_noise_is_not_shown_and_a_larger_one_is():
    base = side("plain", r1=[5.0], r2=[3.0, 3.1], r3=[4.0])
    near, far = side("near", r1=[5.0], r2=[2.9, 3.0], r3=[4.0]), side("far", r1=[5.0], r2=[1.0, 1.1], r3=[4.0])
    spread = Spread(0.07, 3)
    noise, shown = Difference(near, base, spread), Difference(far, base, spread)
    assert noise.smallest == pytest.approx(3.182 * 0.07)
    assert noise.value == pytest.approx(0.1) and not noise.is_shown
    assert noise.sentence().startswith("near and plain: no difference that this evidence shows (differs by 0.100, ")
    assert shown.sentence() == "far below plain by 2.000 (2 seeds, spread 0.070)"
    assert Difference(base, far, spread).sentence() == shown.sentence(), "who is asked about does not matter"


def test_one_seed_each_shows_nothing_and_an_untuned_side_is_named():
    a, b = side("a", r1=[1.0], r2=[2.0], r3=[2.0]), side("b", r1=[4.0], r2=[3.0], r3=[5.0])
    difference = compare({"a": a, "b": b}, "a", "b")
    assert not difference.is_shown and "can show nothing" in difference.sentence()
    assert difference.sentence().endswith("no spread known); not tuned: a")


@given(st.lists(st.floats(1, 9), min_size=2, max_size=5), st.lists(st.floats(1, 9), min_size=2, max_size=5))
def test_a_shown_difference_is_one_that_a_t_test_with_equal_variances_finds(a, b):
    found = {name: Side(name, {1.0: dict(enumerate(losses))}) for name, losses in (("a", a), ("b", b))}
    difference = compare(found, "a", "b")
    squares = sum((x - statistics.mean(c)) ** 2 for c in (a, b) for x in c)
    error = math.sqrt(squares / (len(a) + len(b) - 2) * (1 / len(a) + 1 / len(b)))
    gap = abs(statistics.mean(a) - statistics.mean(b))
    if abs(gap - student_t(len(a) + len(b) - 2) * error) > 1e-9:
        assert difference.is_shown == (gap > student_t(len(a) + len(b) - 2) * error)


def test_a_suites_runs_become_sides_and_sentences(tmp_path):
    variations = tuple(
        Variation(f"{name}, lr {lr}", {"lr": lr}, side=name) for name in ("plain", "other") for lr in (0.01, 0.02, 0.03)
    )
    suite = Suite(
        "s", "p", "q?", variations, {"quick": Scale(CONFIG, (0, 1), variations)}, compared=(("other", "plain"),)
    )
    runs = []
    for place, run in enumerate(suite.plan("quick")):
        record = RunRecord.create(tmp_path / str(place), run.config, {})
        loss = 2.0 + (run.config.lr - 0.02) ** 2 + 0.01 * run.seed - (run.side == "other")
        record.append({"step": 100, "tokens": 1, "seconds": 1.0, "valid_loss": loss})
        record.set_status("interrupted" if run.config.lr == 0.03 and run.side == "other" else "finished", 100)
        runs.append((run, record))
    assert [type(run) for run, _ in runs[:1]] == [PlannedRun]
    found = sides(runs)
    assert {name: list(one.losses) for name, one in found.items()} == {
        "plain": [0.01, 0.02, 0.03],
        "other": [0.01, 0.02],
    }
    (difference,) = differences(suite, runs)
    assert difference.is_shown and difference.value == pytest.approx(1.0)
    assert max(map(len, conclusions(suite, runs).splitlines())) <= 88
    lines = conclusions(suite, runs).replace("\n  ", " ").splitlines()
    assert lines[0] == "plain: 2.005 at 0.02 (tuned, between 0.01 and 0.03)"
    assert lines[1].endswith("(not tuned: the highest rate of its grid is best)")
    assert lines[2] == "other below plain by 1.000 (2 seeds, spread 0.007); not tuned: other"
