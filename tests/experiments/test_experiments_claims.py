"""Each claim about the quick scale holds for the runs on record, and there are runs that it would not hold for."""

import math

import pytest

from cs336_lib import results
from cs336_lib.experiments import SUITES, Side, load_suite, sides
from cs336_lib.experiments.claims import CLAIMS, _below, _near

each = pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: f"{claim.section}-{claim.says[:40]}")


def recorded(claim):
    runs = load_suite(SUITES[claim.suite], "quick", results.folder() / "experiments")
    return [pair for pair in runs if pair[0].variation in claim.rests_on]


@each
def test_a_claim_holds_for_the_runs_on_record(claim):
    runs = recorded(claim)
    lacking = set(claim.rests_on) - {run.variation for run, _ in runs}
    assert not lacking, f"not on record: {lacking}"
    assert claim.holds(sides(runs)), claim.refuted_by


@each
def test_a_claim_is_refuted_by_other_losses(claim):
    found = sides(recorded(claim))
    others = [
        {
            name: Side(name, {r: dict.fromkeys(cell, 3.0) for r, cell in side.losses.items()})
            for name, side in found.items()
        },
        {
            name: Side(name, {r: dict.fromkeys(cell, math.nan) for r, cell in side.losses.items()})
            for name, side in found.items()
        },
    ]
    swapped = dict(zip(found, reversed(found.values()), strict=True))
    assert not all(claim.holds(losses) for losses in (*others, swapped)), "a claim that no run can refute"


def two(lower, higher, spread):
    """Return two tuned sides that end at these losses, on average over three seeds that far apart."""
    return {
        name: Side(name, {0.1: {0: 9.0}, 0.2: dict(enumerate((loss - spread, loss, loss + spread))), 0.3: {0: 9.0}})
        for name, loss in (("lower", lower), ("higher", higher))
    }


@pytest.mark.parametrize(
    ("gap", "spread", "holds"),
    [
        (0.6, 0.01, True),
        (0.51, 0.01, True),
        (0.51, 0.5, False),  # far enough apart, and no more than another seed moves them
        (0.49, 0.01, False),  # shown, and not far enough apart
        (-0.6, 0.01, False),
        (0.51, 0.0, True),
    ],
)
def test_below_asks_for_the_distance_and_for_more_than_the_seeds_allow(gap, spread, holds):
    assert _below("lower", "higher", 0.5)(two(2.0, 2.0 + gap, spread)) is holds


@pytest.mark.parametrize(("gap", "holds"), [(0.09, True), (-0.09, True), (0.11, False), (-0.11, False)])
def test_near_asks_for_it_on_either_side(gap, holds):
    assert _near("lower", "higher", 0.1)(two(2.0, 2.0 + gap, 0.01)) is holds


@each
def test_a_claim_rests_on_runs_that_its_suite_plans_with_several_seeds_at_the_best_rate(claim):
    planned = {run.variation for run in SUITES[claim.suite].plan("quick")}
    assert set(claim.rests_on) <= planned
    for side in sides(recorded(claim)).values():
        assert math.isinf(side.loss) or len(side.at_best) >= 3, side.describe()
