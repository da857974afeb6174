"""Named sets of runs that the book's comparisons come from (chapter 8).

suite     what a comparison is: a base run at each scale, and what one variation changes
suites    the comparisons: learning rates, batch sizes, ablations, what a modified model wins
runner    trains what is not there yet, resumes what was cut off
summary   the table of a suite: final losses, times, what diverged
catalogue everything that results/ holds, and how much of each plan is there

>>> from cs336_lib.experiments import SUITES
>>> sorted(SUITES)
['batch-size', 'layer-norm', 'leaderboard', 'leaderboard-124m', 'lr-sweep', 'main', 'nope', 'post-norm', 'swiglu']
"""

from cs336_lib.experiments.runner import run_suite
from cs336_lib.experiments.suite import PlannedRun, Scale, Suite, Variation
from cs336_lib.experiments.suites import SUITES
from cs336_lib.experiments.summary import Row, devices, load_suite, loss_after, rows, table

__all__ = [
    "SUITES",
    "Suite",
    "Scale",
    "Variation",
    "PlannedRun",
    "run_suite",
    "load_suite",
    "Row",
    "devices",
    "rows",
    "table",
    "loss_after",
]
