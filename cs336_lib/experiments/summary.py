"""What a suite found: one row a variation, over its seeds."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cs336_lib.experiments.suite import PlannedRun, Suite
from cs336_lib.training.records import RunRecord

Runs = Sequence[tuple[PlannedRun, RunRecord]]


@dataclass(frozen=True)
class Row:
    """A variation, over its seeds.

    Attributes:
        variation: its name.
        seeds: how many runs.
        diverged: how many of them stopped because the loss grew without bounds.
        valid_loss: last validation loss in nats a token, mean over the runs that did not diverge; nan if all did.
        spread: standard deviation of it over seeds; nan for a single one.
        steps: optimizer steps of a run.
        seconds: training time of a run, evaluations not counted; mean.
    """

    variation: str
    seeds: int
    diverged: int
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
    whole = [record for record in records if record.status["status"] != "diverged"]
    losses = [loss for record in whole if (loss := record.last("valid_loss")) is not None]
    seconds = [record.last("seconds") or 0.0 for record in records]
    return Row(
        variation=name,
        seeds=len(records),
        diverged=len(records) - len(whole),
        valid_loss=statistics.mean(losses) if losses else math.nan,
        spread=statistics.stdev(losses) if len(losses) > 1 else math.nan,
        steps=records[0].config.steps,
        seconds=statistics.mean(seconds),
    )


def table(runs: Runs) -> str:
    """Return the rows as text, the best loss marked."""
    found = rows(runs)
    best = min((row.valid_loss for row in found if not math.isnan(row.valid_loss)), default=math.nan)
    width = max(len("variation"), *(len(row.variation) for row in found)) if found else 9
    lines = [f"{'variation':{width}}  {'valid loss':>18}  {'steps':>6}  {'time':>8}"]
    for row in found:
        none = "diverged" if row.diverged == row.seeds else "none yet"
        loss = none if math.isnan(row.valid_loss) else f"{row.valid_loss:.4f}"
        if not math.isnan(row.spread):
            loss += f" +- {row.spread:.4f}"
        elif row.diverged and not math.isnan(row.valid_loss):
            loss += f" ({row.diverged} diverged)"
        mark = "  <- lowest" if row.valid_loss == best else ""
        lines.append(f"{row.variation:{width}}  {loss:>18}  {row.steps:>6,}  {row.seconds:>6.1f} s{mark}")
    return "\n".join(lines)


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
    if not lines or seconds > lines[-1]["seconds"] or seconds < 0:
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
