"""What a suite's evidence can show: each side tuned over its own rates, and the difference between two tuned sides.

A **side** is one of the models that a suite compares, at every rate that it was run at. It is **tuned** if its best
rate has a worse one on either side, so that no rate beyond the grid is likely to be better. Two sides are compared at
their own best rates. How large a difference the runs can show follows from how far another seed moves a loss::

    spread s     standard deviation over seeds, pooled over both best rates, n - 1 degrees of freedom each
    smallest     t s sqrt(1/n + 1/m), t the two-sided 95 % point of Student's t at those degrees of freedom

A difference below it is "no difference that this evidence shows", whatever its sign. Sides that were given the same
seeds see the same batches, and their losses rise and fall together; this rule takes no advantage of that, so a
comparison seed by seed may show what it leaves open. The best of several rates is a lucky one by a little; as both
sides are chosen in the same way, most of that drops out of their difference.
"""

from __future__ import annotations

import math
import statistics
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cs336_lib.experiments.outcome import final_loss, outcome

PAGE_WIDTH = 88
"""Characters of a line that the book shows whole."""

if TYPE_CHECKING:
    from cs336_lib.experiments.suite import PlannedRun, Suite
    from cs336_lib.training.config import TrainConfig
    from cs336_lib.training.records import RunRecord

    Runs = Sequence[tuple[PlannedRun, RunRecord]]

# Two-sided 95 % points of Student's t for 1, 2, ... degrees of freedom.
_T = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)
_Z = statistics.NormalDist().inv_cdf(0.975)


def student_t(degrees: int) -> float:
    """Return the two-sided 95 % point of Student's t; inf without a degree of freedom.

    Beyond ten degrees by the first terms of its expansion around the normal distribution, right to three digits.

    >>> student_t(1), round(student_t(30), 3)
    (12.706, 2.042)
    """
    if degrees < 1:
        return math.inf
    if degrees <= len(_T):
        return _T[degrees - 1]
    z, n = _Z, degrees
    return z + (z**3 + z) / (4 * n) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * n**2)


def rate_of(config: TrainConfig) -> float:
    """Return the learning rate that a side is tuned by: Muon's own where Muon is the optimizer."""
    return config.muon_lr if config.optimizer == "muon" else config.lr


@dataclass(frozen=True)
class Side:
    """A model at every rate that it was run at.

    Attributes:
        name: as the suite calls it.
        losses: rate -> last loss of each seed, rising rates; nan where a run diverged or was thrown out.
    """

    name: str
    losses: dict[float, dict[int, float]]

    @property
    def means(self) -> dict[float, float]:
        """Rate -> mean loss over seeds; inf if one of them failed."""
        means = {rate: statistics.mean(seeds.values()) for rate, seeds in self.losses.items()}
        return {rate: math.inf if math.isnan(loss) else loss for rate, loss in means.items()}

    @property
    def best(self) -> float:
        """The rate with the lowest mean loss."""
        return min(self.means, key=lambda rate: self.means[rate])

    @property
    def loss(self) -> float:
        """Mean loss at the best rate."""
        return self.means[self.best]

    @property
    def at_best(self) -> dict[int, float]:
        """Losses at the best rate, by seed."""
        return self.losses[self.best]

    @property
    def neighbours(self) -> tuple[float | None, float | None]:
        """The next lower and the next higher rate that were run; None where the grid ends."""
        rates = list(self.losses)
        place = rates.index(self.best)
        return rates[place - 1] if place else None, rates[place + 1] if place + 1 < len(rates) else None

    @property
    def is_tuned(self) -> bool:
        """Whether the best rate has a worse one on either side."""
        return None not in self.neighbours

    @property
    def fails_from(self) -> float | None:
        """The lowest rate at which a run diverged or was thrown out."""
        return next((rate for rate, loss in self.means.items() if math.isinf(loss)), None)

    def describe(self) -> str:
        """Return rate, loss and how the rate was found, in a line."""
        lower, upper = self.neighbours
        if math.isinf(self.loss):
            return f"{self.name}: at no rate did every run finish"
        if lower is not None and upper is not None:
            found = f"tuned, between {lower:g} and {upper:g}"
        elif lower is None and upper is None:
            found = "not tuned: one rate alone was run"
        else:
            found = f"not tuned: the {'lowest' if lower is None else 'highest'} rate of its grid is best"
        return f"{self.name}: {self.loss:.3f} at {self.best:g} ({found})"


def sides(runs: Runs, quantity: str = "valid_loss") -> dict[str, Side]:
    """Return the sides of a suite, in the order of its plan.

    Args:
        runs: what `run_suite` or `load_suite` returned; runs that are not over are left out.
        quantity: which metric is compared.
    """
    found: dict[str, dict[float, dict[int, float]]] = {}
    for run, record in runs:
        if outcome(record).is_over:
            cell = found.setdefault(run.side or run.variation, {}).setdefault(rate_of(run.config), {})
            cell[run.seed] = final_loss(record, quantity)
    return {name: Side(name, dict(sorted(losses.items()))) for name, losses in found.items()}


def best_runs(runs: Runs, quantity: str = "valid_loss") -> list[tuple[PlannedRun, RunRecord]]:
    """Return the runs of each side at its best rate, in the order of the plan.

    Args:
        runs: as for `sides`.
        quantity: as for `sides`.
    """
    best = {name: side.best for name, side in sides(runs, quantity).items()}
    return [
        (run, record)
        for run, record in runs
        if best.get(run.side or run.variation) == rate_of(run.config) and outcome(record).is_over
    ]


@dataclass(frozen=True)
class Spread:
    """How far another seed moves a last loss.

    Attributes:
        value: pooled standard deviation; nan without two seeds of anything.
        degrees: of freedom.
    """

    value: float
    degrees: int


def pooled(compared: Iterable[Side]) -> Spread:
    """Return the spread over seeds at the best rate of each side, pooled."""
    cells = [list(side.at_best.values()) for side in compared if not math.isinf(side.loss)]
    degrees = sum(len(cell) - 1 for cell in cells)
    squares = sum((len(cell) - 1) * statistics.variance(cell) for cell in cells if len(cell) > 1)
    return Spread(math.sqrt(squares / degrees) if degrees else math.nan, degrees)


@dataclass(frozen=True)
class Difference:
    """A side against another one, each at its best rate.

    Attributes:
        other: the side that is asked about.
        base: the side that it is compared with.
        spread: over seeds.
    """

    other: Side
    base: Side
    spread: Spread

    @property
    def value(self) -> float:
        """How much lower the other side ends than the base; negative if it ends higher."""
        return self.base.loss - self.other.loss

    @property
    def smallest(self) -> float:
        """The smallest difference that the evidence can show; inf if every seed is the only one of its kind."""
        n, m = len(self.other.at_best), len(self.base.at_best)
        return student_t(self.spread.degrees) * self.spread.value * math.sqrt(1 / n + 1 / m) if n and m else math.inf

    @property
    def is_shown(self) -> bool:
        """Whether the difference is larger than the smallest that the evidence can show; never where a side failed."""
        return self.smallest < abs(self.value) < math.inf  # false for nan

    def __str__(self) -> str:
        """The sentence, in lines that fit a page."""
        return _in_lines(self.sentence())

    def sentence(self) -> str:
        """Return what the evidence shows, and how much of it there is."""
        if failed := [side.name for side in (self.other, self.base) if math.isinf(side.loss)]:
            return (
                f"{self.other.name} and {self.base.name}: at no rate did every run of {' or of '.join(failed)} finish"
            )
        n, m = len(self.other.at_best), len(self.base.at_best)
        seeds = f"{n} seed{'s' * (n > 1)}" if n == m else f"{n} and {m} seeds"
        spread = f"spread {self.spread.value:.3f}" if self.spread.degrees else "no spread known"
        if not self.is_shown:
            least = f"{self.smallest:.3f}" if math.isfinite(self.smallest) else "nothing"
            can = f"differs by {abs(self.value):.3f}, can show {least}"
            said = f"{self.other.name} and {self.base.name}: no difference that this evidence shows ({can}; "
        else:
            lower, higher = (self.other, self.base) if self.value > 0 else (self.base, self.other)
            said = f"{lower.name} below {higher.name} by {abs(self.value):.3f} ("
        loose = [side.name for side in (self.other, self.base) if not side.is_tuned]
        return said + f"{seeds}, {spread})" + (f"; not tuned: {', '.join(loose)}" if loose else "")


def compare(found: dict[str, Side], other: str, base: str, spread: Spread | None = None) -> Difference:
    """Return the difference between two sides.

    Args:
        found: the sides, from `sides`.
        other: name of one of them.
        base: name of the one that it is compared with.
        spread: over seeds; by default pooled over the two sides alone, for models need not scatter alike.

    Raises:
        KeyError: there is no such side.
    """
    both = found[other], found[base]
    return Difference(*both, pooled(both) if spread is None else spread)


def differences(suite: Suite, runs: Runs, spread: Spread | None = None) -> list[Difference]:
    """Return every comparison that a suite names and its runs allow, in its order."""
    found = sides(runs, suite.quantity)
    pairs = [(other, base) for other, base in suite.compared if other in found and base in found]
    return [compare(found, other, base, spread) for other, base in pairs]


def _in_lines(text: str) -> str:
    return textwrap.fill(text, PAGE_WIDTH, subsequent_indent="  ")


def conclusions(suite: Suite, runs: Runs, spread: Spread | None = None) -> str:
    """Return how each side is tuned and what its comparison shows, as text under a table.

    Args:
        suite: names the comparisons.
        runs: its runs that are there.
        spread: as for `compare`.
    """
    found = sides(runs, suite.quantity)
    named = dict.fromkeys(name for pair in suite.compared for name in reversed(pair) if name in found)
    return "\n".join(
        [_in_lines(found[name].describe()) for name in named]
        + [str(difference) for difference in differences(suite, runs, spread)]
    )
