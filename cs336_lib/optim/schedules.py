"""Learning rates as functions of the step: cosine with warm-up, and warm-up, stable, decay (chapter 6)."""

from __future__ import annotations

import math
from typing import Any, Literal

from cs336_lib.naming import check_choice
from cs336_lib.plain import check_number


def _numbers(**given: Any) -> list[Any]:
    """Return arguments as Python's numbers, or raise TypeError with the name of one that is none."""
    return [check_number(name, value) for name, value in given.items()]


def cosine_schedule(step: int, max_lr: float, min_lr: float, warmup_steps: int, cosine_steps: int) -> float:
    """Return the learning rate of a linear warm-up followed by half a cosine.

    In three cases, by the step::

        step < warmup_steps                     step / warmup_steps * max_lr
        warmup_steps <= step <= cosine_steps    min_lr + (1 + cos(pi * progress)) / 2 * (max_lr - min_lr)
        step > cosine_steps                     min_lr

    with progress = (step - warmup_steps) / (cosine_steps - warmup_steps).

    The arguments are in the order of the handout's, and the joints are exact: `max_lr` at `warmup_steps`, `min_lr` from
    `cosine_steps` on. (When both are the same step, that step gets `max_lr`.)

    Args:
        step: t, counted from 0.
        max_lr: learning rate at the end of the warm-up.
        min_lr: learning rate from the end of the cosine on.
        warmup_steps: T_w, length of the warm-up in steps; 0 for none.
        cosine_steps: T_c, the step at which the cosine ends, counted from 0 (not from the end of the warm-up).

    Raises:
        TypeError: an argument is no number.
        ValueError: a step count is negative, or the cosine ends before the warm-up does.

    Source: Loshchilov and Hutter, 2017; handout, problem (learning_rate_schedule).

    >>> [round(cosine_schedule(t, 1.0, 0.1, warmup_steps=2, cosine_steps=6), 3) for t in range(9)]
    [0.0, 0.5, 1.0, 0.868, 0.55, 0.232, 0.1, 0.1, 0.1]
    """
    step, warmup_steps, cosine_steps = _numbers(step=step, warmup_steps=warmup_steps, cosine_steps=cosine_steps)
    max_lr, min_lr = map(float, _numbers(max_lr=max_lr, min_lr=min_lr))
    if step < 0 or warmup_steps < 0:
        raise ValueError(f"step is {step} and warmup_steps {warmup_steps}; both must be 0 or more")
    if cosine_steps < warmup_steps:
        raise ValueError(
            f"cosine_steps is {cosine_steps}, less than warmup_steps = {warmup_steps}; it counts from step 0"
        )
    if step < warmup_steps:
        return step / warmup_steps * max_lr
    if step > cosine_steps:
        return min_lr
    if step == warmup_steps:
        return max_lr
    progress = (step - warmup_steps) / (cosine_steps - warmup_steps)
    return min_lr + 0.5 * (1 + math.cos(math.pi * progress)) * (max_lr - min_lr)


def wsd_schedule(
    step: int,
    max_lr: float,
    min_lr: float,
    warmup_steps: int,
    decay_steps: int,
    total_steps: int,
    shape: Literal["linear", "sqrt"] = "linear",
) -> float:
    """Return the learning rate of a linear warm-up, a plateau, and a decay over the last steps.

    Unlike a cosine, the plateau does not know when training ends: a run can be continued from it, or cooled down from
    any point of it.

    Args:
        step: t, counted from 0.
        max_lr: learning rate of the plateau.
        min_lr: learning rate from `total_steps` on.
        warmup_steps: length of the warm-up in steps.
        decay_steps: length of the decay in steps; it ends at `total_steps`.
        total_steps: the step at which `min_lr` is reached.
        shape: "linear", or "sqrt" for 1 - sqrt(progress), which falls faster at first.

    Raises:
        TypeError: an argument is no number.
        ValueError: a step count is negative, warm-up and decay do not fit, or the shape is unknown.

    Source: Hu et al., 2024 (MiniCPM); Haegele et al., 2024, for the shapes.

    >>> [round(wsd_schedule(t, 1.0, 0.0, warmup_steps=2, decay_steps=4, total_steps=8), 2) for t in range(10)]
    [0.0, 0.5, 1.0, 1.0, 1.0, 0.75, 0.5, 0.25, 0.0, 0.0]
    """
    step, warmup_steps = _numbers(step=step, warmup_steps=warmup_steps)
    decay_steps, total_steps = _numbers(decay_steps=decay_steps, total_steps=total_steps)
    max_lr, min_lr = map(float, _numbers(max_lr=max_lr, min_lr=min_lr))
    if min(step, warmup_steps, decay_steps) < 0:
        raise ValueError(
            f"step is {step}, warmup_steps {warmup_steps} and decay_steps {decay_steps}; all must be 0 or more"
        )
    if warmup_steps + decay_steps > total_steps:
        raise ValueError(
            f"warmup_steps + decay_steps = {warmup_steps + decay_steps} do not fit in total_steps = {total_steps}"
        )
    check_choice("shape", shape, ("linear", "sqrt"))
    if step < warmup_steps:
        return step / warmup_steps * max_lr
    if step >= total_steps:
        return min_lr
    if step <= total_steps - decay_steps:
        return max_lr
    progress = 1 - (total_steps - step) / decay_steps
    fallen = math.sqrt(progress) if shape == "sqrt" else progress
    return max_lr + fallen * (min_lr - max_lr)
