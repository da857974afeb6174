"""What a suite found: one row a variation, over its seeds."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cs336_lib.experiments.comparison import Side, Spread, best_runs, conclusions, pooled, rate_of
from cs336_lib.experiments.outcome import Outcome, final_loss, outcome
from cs336_lib.experiments.suite import PlannedRun, Suite
from cs336_lib.training.config import TrainConfig
from cs336_lib.training.records import RunRecord

Runs = Sequence[tuple[PlannedRun, RunRecord]]


@dataclass(frozen=True)
class Row:
    """A variation, over its seeds.

    Attributes:
        variation: its name.
        seeds: how many runs.
        diverged: how many of them diverged, as `outcome` defines it.
        thrown_out: how many of them their limit stopped before that could be seen.
        valid_loss: last validation loss in nats per token, mean over the runs that finished; nan if none did.
        spread: standard deviation of it over seeds; nan for a single one.
        steps: optimizer steps of a run.
        seconds: training time of a run, evaluations not counted; mean.
    """

    variation: str
    seeds: int
    diverged: int
    thrown_out: int
    valid_loss: float
    spread: float
    steps: int
    seconds: float


def load_suite(
    suite: Suite, scale: str, folder: str | Path, *, data: str | None = None
) -> list[tuple[PlannedRun, RunRecord]]:
    """Return the runs of a suite that are there, in the order of the plan; those that are not are left out.

    Args:
        suite: the comparison.
        scale: one of its scales.
        folder: as for `run_suite`, or `results/experiments`.
        data: as for `run_suite`; the text itself need not be there any more.
    """
    home = Path(folder) / suite.folder(scale, data)
    plan = suite.plan(scale, data)
    return [(run, RunRecord(home / run.config.name)) for run in plan if (home / run.config.name).is_dir()]


def devices(runs: Runs) -> str:
    """Return what the runs were made on, for a title: "CPU", or several devices joined by "and"."""
    names = dict.fromkeys(str(record.environment.get("device", "an unknown device")) for _, record in runs)
    return " and ".join(names)


def rows(runs: Runs) -> list[Row]:
    """Return one row a variation, in the order of the plan."""
    names = dict.fromkeys(run.variation for run, _ in runs)
    return [_row(name, [record for run, record in runs if run.variation == name]) for name in names]


def _row(name: str, records: list[RunRecord]) -> Row:
    ends = [outcome(record) for record in records]
    losses = [loss for record in records if not math.isnan(loss := final_loss(record))]
    seconds = [record.last("seconds") or 0.0 for record in records]
    return Row(
        variation=name,
        seeds=len(records),
        diverged=ends.count(Outcome.DIVERGED),
        thrown_out=ends.count(Outcome.THROWN_OUT),
        valid_loss=statistics.mean(losses) if losses else math.nan,
        spread=statistics.stdev(losses) if len(losses) > 1 else math.nan,
        steps=records[0].config.steps,
        seconds=statistics.mean(seconds),
    )


def table(runs: Runs, *, times: bool = True) -> str:
    """Return the rows as text, the lowest loss marked.

    Args:
        runs: what `run_suite` or `load_suite` returned.
        times: show how long a run took; runs made side by side with other work say little about time.
    """
    found = rows(runs)
    best = min((row.valid_loss for row in found if not math.isnan(row.valid_loss)), default=math.nan)
    width = max(len("variation"), *(len(row.variation) for row in found)) if found else 9
    title = f"{'variation':{width}}  {'valid loss':>18}  {'seeds':>5}  {'steps':>6}"
    lines = [title + (f"  {'time':>8}" if times else "")]
    for row in found:
        line = f"{row.variation:{width}}  {_loss(row):>18}  {row.seeds:>5}  {row.steps:>6,}"
        line += f"  {row.seconds:>6.1f} s" if times else ""
        lines.append(line + ("  <- lowest" if row.valid_loss == best else ""))
    return "\n".join(lines)


def scale_spread(suites: Iterable[Suite], scale: str, folder: str | Path) -> Spread:
    """Return the spread over seeds of all models of a scale at their best rates, each model once.

    Where a scale is expensive, a single suite has too few pairs of seeds to know its spread; models of one size and one
    length of training scatter alike.

    Args:
        suites: the comparisons.
        scale: which of their runs.
        folder: as for `load_suite`.
    """
    losses: dict[TrainConfig, dict[int, float]] = {}
    for suite in suites:
        runs = load_suite(suite, scale, folder) if suite.compared and scale in suite.scales else []
        for run, record in best_runs(runs, suite.quantity):
            # Suites share runs, under names of their own and not always with the same seeds.
            model = record.config.replace(name="model", seed=0, diverged_above=0.0)
            losses.setdefault(model, {})[run.seed] = final_loss(record, suite.quantity)
    return pooled(Side("model", {rate_of(model): cell}) for model, cell in losses.items())


def report(suite: Suite, runs: Runs, *, times: bool = True, spread: Spread | None = None) -> str:
    """Return the table of a suite, and under it what its comparisons show.

    Args:
        suite: what was asked.
        runs: as for `table`.
        times: as for `table`.
        spread: over seeds, where it is known from more than this suite; as for `compare`.
    """
    return "\n\n".join(part for part in (table(runs, times=times), conclusions(suite, runs, spread)) if part)


def _loss(row: Row) -> str:
    """Return a row's mean loss with its spread, and how many runs failed."""
    failed = [
        f"{count} {what}" for count, what in ((row.diverged, "diverged"), (row.thrown_out, "thrown out")) if count
    ]
    if math.isnan(row.valid_loss):
        return failed[0].partition(" ")[2] if len(failed) == 1 else " + ".join(failed) or "none yet"
    spread = "" if math.isnan(row.spread) else f" +- {row.spread:.4f}"
    return f"{row.valid_loss:.4f}{spread}" + (f" ({', '.join(failed)})" if failed else "")


def loss_after(record: RunRecord, seconds: float, name: str = "train_loss") -> float:
    """Return a metric at a moment of a run, between two lines of metrics by interpolation.

    This is what runs of unequal speed are compared by: who is further at equal time.

    Args:
        record: of the run.
        seconds: since its start, evaluations not counted.
        name: of the metric.

    Raises:
        ValueError: the run was over by then, or has no such metric.
    """
    lines = [line for line in record.metrics() if name in line]
    if not lines or not 0 <= seconds <= lines[-1]["seconds"]:
        raise ValueError(
            f"{record.folder.name} has no {name} at {seconds:.1f} s"
            + (f"; it ends at {lines[-1]['seconds']:.1f} s" if lines else "")
        )
    before = lines[0]
    for line in lines:
        if line["seconds"] >= seconds:
            span = line["seconds"] - before["seconds"]
            share = (seconds - before["seconds"]) / span if span > 0 else 1.0
            return float(before[name] + max(share, 0.0) * (line[name] - before[name]))
        before = line
    return float(lines[-1][name])
