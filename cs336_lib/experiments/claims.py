"""What chapters 8 to 10 say of the quick scale, each as a rule that other seeds can refute.

The chapters print these sentences' figures from the records; tests ask the records; `tools/claims_again.py` trains the
same runs with seeds that nobody has looked at, and asks them. A claim names the runs that it rests on: both models at
their best rates and at the rates beside them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from cs336_lib.experiments.comparison import Side, compare

Sides = Mapping[str, Side]


@dataclass(frozen=True)
class Claim:
    """A sentence of the book about a suite at the quick scale.

    Attributes:
        section: that makes it.
        suite: whose runs it is about.
        says: the sentence.
        refuted_by: what would make it false.
        rests_on: names of the variations that must be run.
        holds: whether the sides of such runs bear it out.
    """

    section: str
    suite: str
    says: str
    refuted_by: str
    rests_on: tuple[str, ...]
    holds: Callable[[Sides], bool]


def _at(side: str, *rates: float, what: str = "lr") -> tuple[str, ...]:
    start = f"{side}, " if side else ""
    return tuple(f"{start}{what} {rate:g}" for rate in rates)


def _below(lower: str, higher: str, by: float = 0.0) -> Callable[[Sides], bool]:
    """Return the rule that one side ends below another by more than the seeds allow, and by more than `by`."""

    def holds(found: Sides) -> bool:
        two = {name: found[name] for name in (lower, higher)}
        difference = compare(two, lower, higher)
        return difference.is_shown and difference.value > by

    return holds


def _near(one: str, other: str, within: float) -> Callable[[Sides], bool]:
    """Return the rule that two sides end less than so many nats apart, each at its best rate."""
    return lambda found: abs(found[one].loss - found[other].loss) < within


def _fails(side: str, rate: float) -> Callable[[Sides], bool]:
    """Return the rule that every run of a side diverges at a rate."""
    return lambda found: all(loss != loss for loss in found[side].losses[rate].values())


def _far_from_the_edge(found: Sides) -> bool:
    adamw = found["AdamW"]
    far, farther = (adamw.losses[rate].values() for rate in (0.3, 10.0))
    at_15_times = adamw.best == 0.02
    return at_15_times and all(loss > adamw.loss + 1 for loss in far) and all(loss == loss for loss in farther)


def _slower_without_norms(found: Sides) -> bool:
    return found["no norm"].best < found["pre-norm"].best


def _is_a_lottery(found: Sides) -> bool:
    bare = found["no norm"]
    finished = [loss for loss in bare.losses[0.02].values() if loss == loss]
    return 0 < len(finished) < len(bare.losses[0.02]) and min(finished) > bare.means[0.015]


def _gap(found: Sides, lower: str, higher: str) -> float:
    """Return how far apart two sides end; nan, which is on no side of a threshold, if one failed at every rate."""
    gap = found[higher].loss - found[lower].loss
    return gap if math.isfinite(gap) else math.nan


_LONGER = "pre-norm, warm-up 40", "post-norm, warm-up 40"
_TIED = "+ tied embeddings", "tied, rows as they are"
_PRE, _BARE = _at("pre-norm", 0.01, 0.02, 0.03), _at("no norm", 0.006, 0.01, 0.015, 0.02)

CLAIMS: tuple[Claim, ...] = (
    Claim(
        "8.2",
        "lr-sweep",
        "AdamW at 15 times its best rate ends more than a nat higher, and at 500 times it still does not diverge",
        "a seed whose run at 0.3 ends within a nat of the best, or whose run at 10 diverges; another best rate",
        _at("", 0.01, 0.02, 0.03, 0.05, 0.3, 10.0),
        _far_from_the_edge,
    ),
    Claim(
        "8.2",
        "lr-sweep",
        "Without norms and without clipping every run at a rate of 0.1 diverges",
        "a seed whose run never passes a hundred times the loss of guessing and comes back below twice that loss",
        _at("no norm, no clipping", 0.1),
        _fails("no norm, no clipping", 0.1),
    ),
    Claim(
        "8.4",
        "batch-size",
        "At equally many tokens and each at its best rate, a batch of 64 ends more than half a nat above a batch of 4",
        "seeds at which a better rate for 64 closes that gap",
        (*_at("batch 4", 0.01, 0.03), *_at("batch 64", 0.03, 0.1)),
        _below("batch 4", "batch 64", 0.5),
    ),
    Claim(
        "9.1",
        "layer-norm",
        "Without norms every run at a rate of 0.03 diverges, and with norms it ends within 0.1 nats of the best one",
        "a seed whose run without norms finishes there, or one with norms that ends far from its best",
        (*_PRE, *_at("no norm", 0.03)),
        lambda found: _fails("no norm", 0.03)(found) and found["pre-norm"].means[0.03] < found["pre-norm"].loss + 0.1,
    ),
    Claim(
        "9.1",
        "layer-norm",
        "Without norms some runs at a rate of 0.02 diverge and some do not, and those end above the mean at 0.015",
        "ten seeds that all diverge or all finish, or one that ends lower at the higher rate",
        _at("no norm", 0.015, 0.02),
        _is_a_lottery,
    ),
    Claim(
        "9.1",
        "layer-norm",
        "The best rate without norms is lower than with them, and at its own best rate the model without norms ends "
        "within 0.1 nats of the model with norms",
        "seeds at which the best rates are the other way round, or tuned losses more than 0.1 apart",
        (*_PRE, *_BARE),
        lambda found: _slower_without_norms(found) and _near("no norm", "pre-norm", 0.1)(found),
    ),
    Claim(
        "9.2",
        "post-norm",
        "After a warm-up of 12 steps and each at its best rate, post-norm ends more than 0.1 nats above pre-norm",
        "seeds at which another rate of post-norm closes that gap",
        (*_PRE, *_at("post-norm", 0.006, 0.008, 0.01, 0.015)),
        _below("pre-norm", "post-norm", 0.1),
    ),
    Claim(
        "9.2",
        "post-norm",
        "After one of 40 steps it still ends above pre-norm, but by 0.05 nats less at least",
        "seeds, or rates of either, at which as much of the gap is left, or none",
        (
            *(*_PRE, *_at("post-norm", 0.006, 0.008, 0.01, 0.015)),
            *_at("pre-norm, warm-up 40", 0.01, 0.02, 0.03),
            *_at("post-norm, warm-up 40", 0.006, 0.01, 0.015, 0.02),
        ),
        lambda found: _below(*_LONGER)(found) and _gap(found, *_LONGER) + 0.05 < _gap(found, "pre-norm", "post-norm"),
    ),
    Claim(
        "9.3",
        "nope",
        "Each at its best rate, the model without positions ends above the one with them in 120 steps, by less than "
        "0.3 nats",
        "seeds, or a rate of the model without positions, with which it ends level, or further above",
        (*_at("RoPE", 0.01, 0.02, 0.03), *_at("NoPE", 0.01, 0.02, 0.03)),
        lambda found: _below("RoPE", "NoPE")(found) and _near("RoPE", "NoPE", 0.3)(found),
    ),
    Claim(
        "9.4",
        "swiglu",
        "Each at its best rate and at equally many parameters, SwiGLU ends below SiLU",
        "seeds at which the difference is within their spread, or the other way round",
        (*_at("SwiGLU", 0.01, 0.02, 0.03), *_at("SiLU", 0.01, 0.02, 0.03)),
        _below("SwiGLU", "SiLU"),
    ),
    Claim(
        "10.2",
        "leaderboard",
        "A tied table whose rows are scaled ends below one whose rows are taken as they are, by more than 0.3 nats and "
        "by more than 70 % of what tying had cost",
        "seeds at which a rate of its own brings the table with rows as they are nearer than that",
        (
            *_at("AdamW, cosine", 0.01, 0.02, 0.03),
            *_at("+ tied embeddings", 0.02, 0.03),
            *_at("tied, rows as they are", 0.01, 0.03, 0.05),
        ),
        lambda found: _below(*_TIED, 0.3)(found) and _gap(found, *_TIED) > 0.7 * _gap(found, "AdamW, cosine", _TIED[1]),
    ),
    Claim(
        "10.2",
        "leaderboard",
        "In 120 steps Muon and WSD end below AdamW with a cosine, QK-norm does not, and all three end within 0.1 nats "
        "of it, each at its best rate",
        "seeds, or a better rate, with which one of them is on the other side, or further away",
        (
            *_at("AdamW, cosine", 0.01, 0.02, 0.03),
            *_at("+ Muon", 0.02, 0.04, 0.08, what="Muon lr"),
            *_at("+ QK-norm", 0.02, 0.03),
            *_at("+ WSD", 0.006, 0.01, 0.02),
        ),
        lambda found: (
            all(_below(side, "AdamW, cosine")(found) for side in ("+ Muon", "+ WSD"))
            and not _below("+ QK-norm", "AdamW, cosine")(found)
            and all(_near(side, "AdamW, cosine", 0.1)(found) for side in ("+ Muon", "+ WSD", "+ QK-norm"))
        ),
    ),
)
