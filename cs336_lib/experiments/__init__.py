"""Named sets of runs that the book's comparisons come from (chapters 8 to 10).

suite       what a comparison is: a base run at each scale, and what one variation changes
bases       the base runs of the scales
tunings     variations that tune a model over its own learning rates
suites      the comparisons: learning rates, batch sizes, ablations, how much a modified model gains
runner      trains what is not there yet, resumes what was cut off
outcome     how a run ended: finished, diverged, or thrown out by its limit
comparison  each side at its own best rate, and the smallest difference that the evidence can show
summary     the table of a suite: final losses, times, what diverged
claims      what chapters 8 to 10 say of the quick scale, as rules that other seeds can refute
catalogue   everything that results/ holds, and how much of each plan is there

>>> from cs336_lib.experiments import SUITES
>>> sorted(SUITES)
['batch-size', 'layer-norm', 'leaderboard', 'leaderboard-124m', 'lr-sweep', 'main', 'nope', 'post-norm', 'swiglu']
"""

from typing import TYPE_CHECKING

from cs336_lib.doors import door
from cs336_lib.experiments.comparison import (
    Difference,
    Side,
    Spread,
    best_runs,
    compare,
    conclusions,
    differences,
    pooled,
    sides,
)
from cs336_lib.experiments.outcome import Outcome, final_loss, outcome
from cs336_lib.experiments.suite import PlannedRun, Scale, Suite, Variation
from cs336_lib.experiments.suites import SUITES
from cs336_lib.experiments.summary import Row, devices, load_suite, loss_after, report, rows, scale_spread, table

if TYPE_CHECKING:
    from cs336_lib.experiments.runner import run_suite

__all__ = [
    "SUITES",
    "Suite",
    "Scale",
    "Variation",
    "PlannedRun",
    "run_suite",
    "load_suite",
    "Outcome",
    "outcome",
    "final_loss",
    "Side",
    "Spread",
    "Difference",
    "sides",
    "best_runs",
    "pooled",
    "compare",
    "differences",
    "conclusions",
    "Row",
    "devices",
    "rows",
    "table",
    "report",
    "scale_spread",
    "loss_after",
]

# Pages that only show what is on record need no torch, which trains.
__getattr__, __dir__ = door(__name__, {"run_suite": "runner"})
