"""The assignment's two editions as data: 2025 (handouts 1.0.2 to 1.0.6) and 2026 (26.0.0 to 26.0.3).

The course gives the assignment anew each spring. The problems stay; some names, points, definitions, devices and
budgets do not, and answers change with them. What differs stands here, once: the book's pages, the accounting and the
tests read it. Figures and facts of the handouts are quoted, their sentences are not.

The rooms, in reading order: `edition` (what an edition is), `problems` (the 38 problems), `differences` (definitions
that changed), `slips` (the handouts' own errors, by version) and `reports` (losses and times that others published).
`cs336_lib.experiments.editions_page` turns all of it into the tables of the book.

>>> from cs336_lib.editions import EDITIONS, PROBLEMS, points
>>> {name: (edition.label, points(name)) for name, edition in EDITIONS.items()}
{'2025': ('2025 (v1.0.2 to 1.0.6)', 107), '2026': ('2026 (v26.0.x)', 109)}
>>> [problem.key for problem in PROBLEMS if problem.parts == "abcd"]
['tokenizer_experiments', 'adamw_accounting']
"""

from cs336_lib.editions.differences import DIFFERENCES, Difference
from cs336_lib.editions.edition import EDITIONS, Edition, edition
from cs336_lib.editions.problems import PROBLEMS, Problem, gpu_hours, points, problem
from cs336_lib.editions.reports import (
    BOARD,
    COMPARISONS,
    COURSE_PRICES,
    EFFECTS,
    REPORTS,
    BoardEntry,
    Comparison,
    Report,
)
from cs336_lib.editions.slips import SLIPS, Slip

__all__ = [
    "EDITIONS",
    "Edition",
    "edition",
    "PROBLEMS",
    "Problem",
    "problem",
    "points",
    "gpu_hours",
    "DIFFERENCES",
    "Difference",
    "SLIPS",
    "Slip",
    "REPORTS",
    "Report",
    "BOARD",
    "COMPARISONS",
    "Comparison",
    "BoardEntry",
    "EFFECTS",
    "COURSE_PRICES",
]
