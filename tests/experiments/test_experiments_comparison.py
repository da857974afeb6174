"""Two sides are compared at their own best rates, and a difference counts only above what the seeds allow."""

import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cs336_lib.experiments import (
    Side,
    Spread,
    best_runs,
    compare,
    conclusions,
    differences,
    final_loss,
    load_suite,
    pooled,
    report,
    scale_spread,
    sides,
)
from cs336_lib.experiments.comparison import Difference, rate_of, student_t
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
        (side("a", r0_01=[3.0], r0_02=[2.2], r0_03=[2.0], r0_04=[2.5], r0_05=[3.0]), 0.03, True, "0.02 and 0.04"),
        (side("a", r0=[3.0], r0_02=[2.0], r0_03=[2.5]), 0.02, True, "tuned, between 0 and 0.03"),
        (side("a", r0=[3.0], r0_02=[2.0]), 0.02, False, "not tuned: the highest rate of its grid is best"),
        (side("a", r0_01=[math.nan], r0_02=[2.0, math.nan]), 0.01, False, "a: at no rate did every run finish"),
    ],
)
def test_a_side_is_tuned_if_its_best_rate_has_worse_ones_beside_it(found, best, tuned, says):
    assert (found.best, found.is_tuned) == (best, tuned)
    assert says in found.describe()


@pytest.mark.parametrize(("optimizer", "rate"), [("adamw", 0.01), ("sgd", 0.01), ("muon", 0.04)])
def test_a_side_is_tuned_by_the_rate_of_its_own_optimizer(optimizer, rate):
    assert rate_of(CONFIG.replace(optimizer=optimizer, lr=0.01, muon_lr=0.04)) == rate


def test_the_rate_from_which_a_side_fails_is_the_lowest_with_a_failed_run():
    assert side("a", r0_01=[3.0, 3.0], r0_02=[2.0, math.nan], r0_03=[math.nan]).fails_from == 0.02
    assert side("a", r0_01=[3.0]).fails_from is None


def test_the_spread_is_pooled_over_the_best_rates_alone():
    a, b = side("a", r1=[1.0, 1.2, 1.4], r2=[9.0, 1.0, 5.0]), side("b", r1=[2.0, 2.1])
    variance = (2 * statistics.variance([1.0, 1.2, 1.4]) + statistics.variance([2.0, 2.1])) / 3
    assert pooled([a, b]) == Spread(pytest.approx(math.sqrt(variance)), 3)
    assert pooled([side("c", r1=[1.0])]).degrees == 0


LOST = [{"r1": [math.nan, math.nan]}, {"r1": [1.0, math.nan], "r2": [math.nan]}, {"r1": [math.nan, 1.0, 2.0]}]


@pytest.mark.parametrize("cells", LOST)
def test_a_side_that_failed_at_every_rate_adds_nothing_to_the_spread_and_shows_nothing(cells):
    good, lost = side("good", r1=[3.0], r2=[2.0, 2.1], r3=[3.0]), side("lost", **cells)
    for several in ([good, lost], [lost, good]):
        assert pooled(several) == pooled([good])
        difference = Difference(*several, Spread(0.1, 5))
        assert not difference.is_shown
        names = " and ".join(one.name for one in several)
        assert difference.sentence() == f"{names}: at no rate did every run of lost finish"
    both = Difference(lost, side("lost too", **cells), Spread(0.1, 5))
    assert not both.is_shown and both.sentence().endswith("every run of lost or of lost too finish")


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


@pytest.mark.parametrize(("n", "m"), [(1, 3), (3, 1), (2, 5), (4, 4)])
def test_the_smallest_difference_follows_from_the_seeds_of_both_sides(n, m):
    a, b = (side(name, r1=[2.0] * count) for name, count in (("a", n), ("b", m)))
    smallest = 2.571 * 0.2 * math.sqrt(1 / n + 1 / m)
    assert Difference(a, b, Spread(0.2, 5)).smallest == pytest.approx(smallest)
    assert f"can show {smallest:.3f}" in Difference(a, b, Spread(0.2, 5)).sentence()
    seeds = f"{n} and {m} seeds, " if n != m else f"{n} seeds, "
    assert f"; {seeds}spread 0.200)" in Difference(a, b, Spread(0.2, 5)).sentence()


def test_two_sides_are_judged_by_their_own_spread_unless_another_is_given():
    quiet = {name: side(name, r1=[loss, loss + 0.01]) for name, loss in (("a", 2.0), ("b", 2.1))}
    found = {**quiet, "loud": side("loud", r1=[2.0, 9.0])}
    assert compare(found, "a", "b").spread == pooled(quiet.values())
    assert compare(found, "a", "b").is_shown
    given = Spread(7.0, 1)
    assert compare(found, "a", "b", given).spread is given and not compare(found, "a", "b", given).is_shown


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


RATES = (0.01, 0.02, 0.03)


def grid(name, *names, seeds=(0, 1), quantity="valid_loss", **changes):
    """A suite that runs each side at three rates, and compares each with the first."""
    variations = tuple(Variation(f"{side}, lr {lr}", {"lr": lr}, side=side) for side in names for lr in RATES)
    compared = tuple((other, names[0]) for other in names[1:])
    scales = {"quick": Scale(CONFIG.replace(**changes), seeds)}
    return Suite(name, "p", "q?", variations, scales, compared, quantity)


def leave(suite, folder, losses):
    """Leave a record of each run of a suite, with the metrics that `losses` says of it."""
    for run in suite.plan("quick"):
        record = RunRecord.create(folder / suite.folder("quick") / run.config.name, run.config, {})
        record.append({"step": 100, "tokens": 1, "seconds": 1.0, **losses(run)})
        record.set_status("finished", 100)
    return load_suite(suite, "quick", folder)


@pytest.mark.parametrize("quantity", ["valid_loss", "train_loss"])
def test_the_quantity_of_a_suite_is_the_one_that_all_of_it_is_compared_by(tmp_path, quantity):
    """The two losses find other rates best, and another side ahead."""

    def losses(run):
        ahead, best = run.side == "other", 0.03 if run.side == "other" else 0.02
        first = 2.0 - 0.5 * ahead + 10 * abs(run.config.lr - best) + 0.01 * run.seed
        return {"valid_loss": first, "train_loss": 9.0 - 2 * first}

    suite = grid("s", "plain", "other", quantity=quantity)
    runs = leave(suite, tmp_path, losses)
    best = {"plain": 0.02, "other": 0.03} if quantity == "valid_loss" else {"plain": 0.01, "other": 0.01}
    found = {
        name: Side(name, {lr: {s: losses(PlannedRun("", s, CONFIG.replace(lr=lr), name))[quantity] for s in (0, 1)}})
        for name, lr in best.items()
    }
    assert {name: (one.best, one.at_best) for name, one in sides(runs, quantity).items()} == {
        name: (one.best, one.at_best) for name, one in found.items()
    }
    shown = best_runs(runs, quantity)
    assert [(run.side, run.config.lr, run.seed) for run, _ in shown] == [
        (name, lr, seed) for seed in (0, 1) for name, lr in best.items()
    ]
    (difference,) = differences(suite, runs)
    assert difference.value == pytest.approx(found["plain"].loss - found["other"].loss)
    assert str(difference) in conclusions(suite, runs)
    given = Spread(0.125, 3)
    assert [one.spread for one in differences(suite, runs, given)] == [given]
    for text in (conclusions(suite, runs, given), report(suite, runs, spread=given)):
        assert "2 seeds, spread 0.125" in text.replace("\n  ", " ")
    assert f"plain: {found['plain'].loss:.3f} at {best['plain']}" in conclusions(suite, runs)


def test_runs_that_are_not_over_are_not_among_the_best(tmp_path):
    suite = grid("s", "plain")
    runs = leave(suite, tmp_path, lambda run: {"valid_loss": 2.0 + run.config.lr})
    runs[3][1].set_status("interrupted", 50)
    assert [(run.seed, run.config.lr) for run, _ in best_runs(runs)] == [(0, 0.01)]


@pytest.mark.parametrize("seeds", [(0, 1), (1, 0), (0, 1, 2), (2, 3)])
def test_the_spread_of_a_scale_counts_each_run_once_whichever_suites_share_it(tmp_path, seeds):
    """Two suites share their plain side, under another name and limit, with the same seeds or others."""

    def losses(run):
        shift = {"plain": 0.0, "also plain": 0.0, "other": 1.0, "third": 2.0}[run.side]
        spread = 0.3 if run.side == "third" else 0.1
        return {"valid_loss": 2.0 + shift + 10 * abs(run.config.lr - 0.02) + spread * run.seed**2}

    # What makes a side another model is in its config.
    one, two = grid("one", "plain", "other"), grid("two", "also plain", "third", seeds=seeds, diverged_above=99.0)
    model = {"other": {"model.norm": "post"}, "third": {"model.norm": "none"}}
    suites = [
        Suite(
            suite.name,
            "p",
            "q?",
            tuple(Variation(v.name, {**v.changes, **model.get(v.side, {})}, v.side) for v in suite.variations),
            suite.scales,
            suite.compared,
        )
        for suite in (one, two)
    ]
    best = [pair for suite in suites for pair in best_runs(leave(suite, tmp_path, losses))]
    cells = {}
    for run, record in best:
        cells.setdefault(run.side.removeprefix("also "), {})[run.seed] = final_loss(record)
    alone = pooled(Side(name, {0.02: cell}) for name, cell in cells.items())
    found = scale_spread(suites, "quick", tmp_path)
    assert (found.degrees, found.value) == (alone.degrees, pytest.approx(alone.value))
    assert alone.degrees == len({0, 1, *seeds}) - 1 + 1 + len(seeds) - 1
