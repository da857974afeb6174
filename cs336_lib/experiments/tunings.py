"""Variations that tune: the same model at several rates, for `comparison` to find the best of."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from cs336_lib.experiments.suite import Variation
from cs336_lib.training.config import TrainConfig

Rates = Mapping[float, tuple[int, ...]] | Sequence[float]
"""Learning rates, or learning rate -> the seeds that it is run with."""


def learning_rate(lr: float, seeds: tuple[int, ...] = (), side: str = "") -> Variation:
    """Return the variation that only changes the learning rate; the ends of the schedule keep their ratio."""
    return Variation(f"lr {lr:g}", {"lr": lr, "min_lr": lr / 100}, side=side, seeds=seeds)


def tuned(side: str, changes: Mapping[str, Any], rates: Rates) -> tuple[Variation, ...]:
    """Return a model at several learning rates.

    Args:
        side: its name.
        changes: what makes it of the base.
        rates: its own grid, with the seeds of each rate if they are not the scale's.

    >>> [variation.name for variation in tuned("post-norm", {"model.norm": "post"}, (0.01, 0.02))]
    ['post-norm, lr 0.01', 'post-norm, lr 0.02']
    """
    return tuple(
        Variation(f"{side}, lr {lr:g}", {**changes, "lr": lr, "min_lr": lr / 100}, side=side, seeds=seeds)
        for lr, seeds in _with_seeds(rates)
    )


def tuned_muon(side: str, changes: Mapping[str, Any], rates: Rates) -> tuple[Variation, ...]:
    """Return a model trained with Muon at several rates of Muon's own; AdamW's share keeps the base's rate."""
    return tuple(
        Variation(f"{side}, Muon lr {lr:g}", {**changes, "optimizer": "muon", "muon_lr": lr}, side=side, seeds=seeds)
        for lr, seeds in _with_seeds(rates)
    )


def batches(base: TrainConfig, sizes: Sequence[int]) -> tuple[Variation, ...]:
    """Return each batch size at three learning rates around the square-root rule."""
    grid = {
        size: [float(f"{base.lr * math.sqrt(size / base.batch_size) * factor:.2g}") for factor in (0.5, 1.0, 2.0)]
        for size in sizes
    }
    return batch_grid(grid)


def batch_grid(rates: Mapping[int, Rates]) -> tuple[Variation, ...]:
    """Return each batch size at rates of its own; sizes share most of them, so that they also compare at one rate."""
    return tuple(
        Variation(
            f"batch {size}, lr {lr:g}",
            {"batch_size": size, "lr": lr, "min_lr": lr / 100},
            side=f"batch {size}",
            seeds=seeds,
        )
        for size, tried in rates.items()
        for lr, seeds in _with_seeds(tried)
    )


def wsd(base: TrainConfig) -> dict[str, Any]:
    """Return what makes a run warm up, hold its rate, and lower it in the last third of its steps."""
    return {"schedule": "wsd", "decay_steps": base.steps // 3}


def around(base: TrainConfig, factors: Sequence[float] = (0.3, 1.0, 3.0)) -> tuple[float, ...]:
    """Return learning rates around a base's, rounded to one digit.

    >>> from cs336_lib.experiments.bases import FULL
    >>> around(FULL)
    (0.003, 0.01, 0.03)
    """
    return tuple(float(f"{base.lr * factor:.1g}") for factor in factors)


def _with_seeds(rates: Rates) -> list[tuple[float, tuple[int, ...]]]:
    return list(rates.items()) if isinstance(rates, Mapping) else [(lr, ()) for lr in rates]
