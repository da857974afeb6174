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


NONE = [math.nan] * 3
LITTLE = {  # AdamW, and what is said to be a little better or worse
    "AdamW, cosine": {0.01: 2.2, 0.02: 2.0, 0.03: 2.2},
    "+ Muon": {0.02: 2.2, 0.04: 1.91, 0.08: 2.2},
    "+ WSD": {0.006: 2.2, 0.01: 1.91, 0.02: 2.2},
    "+ QK-norm": {0.02: 2.2, 0.03: 2.09},
}
NORMS = {"pre-norm": {0.01: 2.2, 0.02: 2.0, 0.03: 2.09}}
POST = {**NORMS, "post-norm": {0.006: 2.3, 0.008: 2.3, 0.01: 2.11, 0.015: 2.3}}
BARE = {**NORMS, "no norm": {0.006: 2.2, 0.01: 2.09, 0.015: 2.2, 0.02: NONE}}
LONGER = {
    **{"pre-norm": {0.02: 2.0}, "post-norm": {0.01: 2.2}},
    **{"pre-norm, warm-up 40": {0.02: 2.0}, "post-norm, warm-up 40": {0.01: 2.14}},
}
TIED = {"AdamW, cosine": {0.02: 2.0}, "+ tied embeddings": {0.03: 2.29}, "tied, rows as they are": {0.03: 3.0}}

# Beginning of a claim -> losses that just bear it out, and changes of them, side, rate and losses, that just do not. A
# loss stands for three seeds a thousandth apart.
EDGES = {
    "AdamW at 15 times": (
        {"AdamW": {0.01: 2.1, 0.02: 2.0, 0.03: 2.1, 0.05: 2.2, 0.3: 3.02, 10.0: 9.0}},
        [
            *(("AdamW", rate, 1.99) for rate in (0.01, 0.03, 0.05)),
            ("AdamW", 0.3, 2.98),
            ("AdamW", 0.3, [2.98, 3.2, 3.2]),
            ("AdamW", 0.02, 2.04),
            ("AdamW", 0.3, NONE),
            ("AdamW", 10.0, [9.0, math.nan, 9.0]),
            ("AdamW", 10.0, NONE),
        ],
    ),
    "Without norms and without clipping": (
        {"no norm, no clipping": {0.1: NONE}},
        [("no norm, no clipping", 0.1, [math.nan, 9.0, math.nan]), ("no norm, no clipping", 0.1, 9.0)],
    ),
    "At equally many tokens": (
        {"batch 4": {0.01: 2.0, 0.03: 2.1}, "batch 64": {0.03: 2.6, 0.1: 2.51}},
        [
            ("batch 64", 0.1, 2.49),
            ("batch 64", 0.03, 2.49),
            ("batch 4", 0.01, 2.02),
            ("batch 4", 0.01, [1.2, 2.0, 2.8]),
            ("batch 4", 0.01, NONE),
        ],
    ),
    "Without norms every run at a rate of 0.03": (
        {**NORMS, "no norm": {0.03: NONE}},
        [
            ("no norm", 0.03, [math.nan, 3.0, math.nan]),
            ("pre-norm", 0.03, 2.11),
            ("pre-norm", 0.02, 1.98),
            ("pre-norm", 0.03, [2.05, math.nan, 2.05]),
        ],
    ),
    "Without norms some runs": (
        {"no norm": {0.015: 2.5, 0.02: [2.51, math.nan, 2.6]}},
        [
            ("no norm", 0.02, [2.49, math.nan, 2.6]),
            ("no norm", 0.02, NONE),
            ("no norm", 0.02, 2.6),
            ("no norm", 0.015, 2.52),
            ("no norm", 0.015, [2.4, math.nan, 2.4]),
        ],
    ),
    "The best rate without norms": (
        BARE,
        [("no norm", 0.01, 2.11), ("no norm", 0.01, 1.89), ("no norm", 0.02, 2.05), ("no norm", 0.01, NONE)],
    ),
    "After a warm-up of 12": (
        POST,
        [
            *(("post-norm", rate, 2.09) for rate in (0.006, 0.008, 0.01, 0.015)),
            ("pre-norm", 0.02, 2.02),
            ("post-norm", 0.01, [1.5, 2.1, 2.7]),
        ],
    ),
    "After one of 40": (
        LONGER,
        [("post-norm, warm-up 40", 0.01, loss) for loss in (2.16, 2.0, 1.99, NONE)] + [("post-norm", 0.01, 2.18)],
    ),
    "Each at its best rate, the model without positions": (
        {"RoPE": {0.01: 2.1, 0.02: 2.0, 0.03: 2.1}, "NoPE": {0.01: 2.5, 0.02: 2.29, 0.03: 2.5}},
        [("NoPE", 0.02, loss) for loss in (2.31, 2.0, 1.99, [1.99, 2.01, 2.03])],
    ),
    "Each at its best rate and at equally many parameters": (
        {"SwiGLU": {0.01: 2.1, 0.02: 2.0, 0.03: 2.1}, "SiLU": {0.01: 2.1, 0.02: 2.01, 0.03: 2.1}},
        [("SiLU", 0.02, loss) for loss in (2.0, 1.99, [1.9, 2.01, 2.12])] + [("SiLU", 0.03, 1.99)],
    ),
    "A tied table": (
        TIED,
        [
            ("+ tied embeddings", 0.03, 2.31),
            ("tied, rows as they are", 0.03, 2.58),
            ("AdamW, cosine", 0.02, 1.98),
            ("+ tied embeddings", 0.03, NONE),
        ],
    ),
    "A tied table whose rows are scaled": (  # tying had cost little: the distance decides
        {"AdamW, cosine": {0.02: 2.0}, "+ tied embeddings": {0.03: 2.04}, "tied, rows as they are": {0.03: 2.35}},
        [("+ tied embeddings", 0.03, 2.06), ("tied, rows as they are", 0.03, 2.33)],
    ),
    "In 120 steps Muon and WSD": (
        LITTLE,
        [("+ Muon", 0.04, loss) for loss in (1.89, 2.01, [1.8, 1.91, 2.02])]
        + [("+ WSD", 0.01, loss) for loss in (1.89, 2.01)]
        + [("+ QK-norm", 0.03, loss) for loss in (2.11, 1.99)],
    ),
}
TRIALS = [(start, *change) for start, (_, changes) in EDGES.items() for change in changes]


def claim_of(start):
    (found,) = [claim for claim in CLAIMS if claim.says.startswith(start)]
    return found


def sides_of(losses):
    """Return sides from name -> rate -> a loss, or one of each seed."""
    return {
        name: Side(
            name,
            {
                rate: dict(enumerate(loss if isinstance(loss, list) else (loss - 0.001, loss, loss + 0.001)))
                for rate, loss in rates.items()
            },
        )
        for name, rates in losses.items()
    }


def test_each_claim_has_losses_that_just_bear_it_out_and_losses_that_just_do_not():
    assert {claim_of(start).says for start in EDGES} == {claim.says for claim in CLAIMS}
    assert all(changes for _, changes in EDGES.values())


@pytest.mark.parametrize("start", EDGES)
def test_losses_on_the_right_side_of_its_threshold_bear_a_claim_out(start):
    assert claim_of(start).holds(sides_of(EDGES[start][0])) is True


@pytest.mark.parametrize(("start", "side", "rate", "losses"), TRIALS)
def test_a_claim_is_refuted_by_other_losses(start, side, rate, losses):
    """One rate on the wrong side of one of its thresholds."""
    found = EDGES[start][0]
    assert rate in found[side], "the change is none of what the claim is asked about"
    changed = {**found, side: {**found[side], rate: losses}}
    assert claim_of(start).holds(sides_of(changed)) is False


WHOLE = [(start, side) for start, (found, _) in EDGES.items() for side in found if NONE not in found[side].values()]


@pytest.mark.parametrize(("start", "side"), [pair for pair in WHOLE if pair != ("Without norms some runs", "no norm")])
def test_a_side_that_fails_at_every_rate_is_neither_above_nor_below_another(start, side):
    found = EDGES[start][0]
    assert claim_of(start).holds(sides_of({**found, side: dict.fromkeys(found[side], NONE)})) is False


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
