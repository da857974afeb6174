"""How a run ended, by one definition of divergence that tables, figures and text share (chapter 8).

A run has **diverged** if its loss

- is not a number at a step, or
- has grown past any bound: above 100 ln V, which no run with norms on record comes near, or
- stays above 2 ln V, twice the loss of guessing, through the last quarter of its steps: it does not come back.

A warm-up's losses are not judged by their size.

A run that is only too slow to fall below ln V has not diverged. One that its limit (`TrainConfig.diverged_above`)
stopped before one of these was to be seen was **thrown out**: what would have become of it is not on record. The
unigram loss of a text lies below ln V, that of the built-in tales at five sixths of it; a run that ends between the two
has learned less than how frequent tokens are.
"""

from __future__ import annotations

import math
from enum import StrEnum

from cs336_lib.training.records import RunRecord

GROWN = 100
"""Loss over ln V above which a run has grown past any bound."""

HIGH = 2
"""Loss over ln V above which a run has not come back if it stays there to its end."""

FOR_GOOD = 0.25
"""Share of the steps that counts as the end of a run."""


class Outcome(StrEnum):
    """How a run ended."""

    FINISHED = "finished"
    DIVERGED = "diverged"
    THROWN_OUT = "thrown out"
    UNFINISHED = "unfinished"

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to run."""
        return self is not Outcome.UNFINISHED


def outcome(record: RunRecord) -> Outcome:
    """Return how a run ended.

    Args:
        record: of any age; those from before `status.json` said which rule stopped a run are read from their losses.

    >>> import tempfile
    >>> from cs336_lib.training import RunRecord
    >>> from pathlib import Path
    >>> from cs336_lib.model import ModelConfig
    >>> from cs336_lib.training import TrainConfig
    >>> config = TrainConfig(ModelConfig.preset("tales-1m"), data_bytes=1, steps=8, warmup_steps=1)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name, losses in {"a": (28.0,), "b": (28.0, 9000.0), "c": (7.0, 7.5, 5.0)}.items():
    ...         record = RunRecord.create(Path(folder) / name, config, {})
    ...         for step, loss in enumerate(losses, start=1):
    ...             record.append({"step": 2 * step, "train_loss": loss})
    ...         record.set_status("finished" if len(losses) == 3 else "diverged", 2 * step)
    ...         print(name, outcome(record))
    a thrown out
    b diverged
    c finished
    """
    says = record.status
    if says["status"] not in ("finished", "diverged"):
        return Outcome.UNFINISHED
    config = record.config
    guessing, warmup, steps = math.log(config.model.vocab_size), config.warmup_steps, config.steps
    names = ("train_loss", "valid_loss")
    losses = [(int(line["step"]), float(line[name])) for line in record.metrics() for name in names if name in line]
    if any(not math.isfinite(loss) for _, loss in losses):
        return Outcome.DIVERGED
    if any(loss > GROWN * guessing for step, loss in losses if step > warmup):
        return Outcome.DIVERGED
    if says["status"] == "diverged":
        # A weight that is not a number stops a run as well, and only the status says so.
        by_limit = says.get("thrown_out", bool(losses) and losses[-1][1] > config.loss_limit)
        return Outcome.THROWN_OUT if by_limit else Outcome.DIVERGED
    late = [loss for step, loss in losses if step > max((1 - FOR_GOOD) * steps, warmup)]
    return Outcome.DIVERGED if late and min(late) > HIGH * guessing else Outcome.FINISHED


def final_loss(record: RunRecord, quantity: str = "valid_loss") -> float:
    """Return a run's last loss; nan unless it finished without diverging.

    Args:
        record: of the run.
        quantity: which metric.
    """
    loss = record.last(quantity) if outcome(record) is Outcome.FINISHED else None
    return math.nan if loss is None else loss
