"""The cosine schedule and gradient clipping."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import partial

import torch

from ..case import Case, check
from ..clipping import OF_ALL, PARAMETERS, ROUGHLY, UNCHANGED, in_ones, moved, near, params, why_scaled
from ..errors import EMPTY, NONE, ZERO
from ..show import show

RULE = "the handout's three cases"


def rate(it: int, most: float, least: float, warmup: int, end: int) -> float:
    """The schedule by its three cases."""
    if it < warmup:
        return it / warmup * most
    if it > end:
        return least
    progress = (it - warmup) / (end - warmup)
    return least + 0.5 * (1 + math.cos(math.pi * progress)) * (most - least)


FROM_ZERO = "progress is counted from step 0, not from the end of the warm-up"
AS_LENGTH = "cosine_cycle_iters is taken as the length of the cosine; it is its end"
SWINGS = "the cosine swings up again after its end"
AFTER_END = "a comparison with < for <=, or a rate after the end that is not the minimum"
RISES = "the wrong sign of the cosine, or its maximum and minimum exchanged: the rate rises"
ONE_MORE = "(it + 1) / warmup_iters: step 0 has a rate of 0"
FROM_LEAST = "the warm-up starts at the minimum; it starts at 0"


def _cosine(progress: float, most: float, least: float) -> float:
    return least + 0.5 * (1 + math.cos(math.pi * progress)) * (most - least)


def wrong_rates(it: int, most: float, least: float, warmup: int, end: int) -> dict[str, float]:
    """The rates of known mistakes at a step.

    >>> wrong_rates(4, 1.0, 0.1, 10, 50)[ONE_MORE]
    0.5
    """
    if it < warmup:
        return {ONE_MORE: (it + 1) / warmup * most, FROM_LEAST: least + it / warmup * (most - least)}
    wrong = {FROM_ZERO: least if it > end else _cosine(it / end, most, least)}
    wrong[AS_LENGTH] = least if it > warmup + end else _cosine((it - warmup) / end, most, least)
    if end > warmup:
        wrong[SWINGS] = _cosine((it - warmup) / (end - warmup), most, least)
        wrong[RISES] = _cosine(1 - (it - warmup) / (end - warmup), most, least)
    return wrong


def rates(case: Case, steps: Iterable[int], most: float, least: float, warmup: int, end: int) -> None:
    """Hold the rates of some steps against the rule."""
    for it in steps:
        case.same(
            partial(case.run_get_lr_cosine_schedule, it, most, least, warmup, end),
            rate(it, most, least, warmup, end),
            f"it {it}, max {most}, min {least}, warmup_iters {warmup}, cosine_cycle_iters {end}",
            tolerance=1e-7,
            mistakes=wrong_rates(it, most, least, warmup, end) | ({AFTER_END: lambda _: True} if it >= end else {}),
        )


@check(
    "learning_rate_schedule.warmup",
    "the warm-up is linear from 0",
    cause="(it + 1) / warmup, or a start at the minimum",
    section="6.4",
    known=RULE,
    official=True,
)
def _(case: Case) -> None:
    rates(case, (0, 1, 4, 9), 1.0, 0.05, 10, 50)


@check(
    "learning_rate_schedule.cosine",
    "between warm-up and end the rate follows half a cosine",
    cause="progress counted from step 0, or cosine_cycle_iters taken as the length of the cosine (it is its end)",
    section="6.4",
    known=RULE,
    official=True,
)
def _(case: Case) -> None:
    rates(case, (11, 20, 30, 49), 1.0, 0.1, 10, 50)


@check(
    "learning_rate_schedule.joints",
    "the maximum at the end of the warm-up, the minimum from the end of the cosine on",
    cause="a comparison with < for <=, or a cosine that swings up again after its end",
    section="6.4",
    known=RULE,
    official=True,
    after=("cosine",),
)
def _(case: Case) -> None:
    rates(case, (10, 50, 51, 500), 1.0, 0.1, 10, 50)


@check(
    "learning_rate_schedule.no_warmup",
    "no warm-up: step 0 has the maximum",
    cause="it / warmup_iters with a warm-up of 0",
    section="6.4",
    known=RULE,
    after=("cosine", "joints"),
    errors=ZERO,
)
def _(case: Case) -> None:
    rates(case, (0, 1, 20), 1.0, 0.1, 0, 20)


@check(
    "learning_rate_schedule.no_cosine",
    "a warm-up that ends where the cosine ends",
    cause="a division by cosine_cycle_iters - warmup_iters, which is zero",
    section="6.4",
    known="any rate from the minimum to the maximum at the joint, the minimum after it",
    kind="expect",
    after=("cosine", "joints"),
    errors=ZERO,
)
def _(case: Case) -> None:
    case.say("it 10, max 1.0, min 0.1, warmup_iters 10, cosine_cycle_iters 10", "a rate from 0.1 to 1")
    at = float(case.run_get_lr_cosine_schedule(10, 1.0, 0.1, 10, 10))
    case.true(0.1 - 1e-9 <= at <= 1 + 1e-9, at)
    case.same(
        lambda: case.run_get_lr_cosine_schedule(11, 1.0, 0.1, 10, 10),
        0.1,
        "it 11, max 1.0, min 0.1, warmup_iters 10, cosine_cycle_iters 10",
    )


@check(
    "learning_rate_schedule.number",
    "a rate is a number that an optimizer takes",
    cause="a tensor or an integer from integer division",
    section="6.4",
    known="float()",
    kind="expect",
    after=("warmup",),
)
def _(case: Case) -> None:
    case.say("it 3, max 1, min 0, warmup_iters 10, cosine_cycle_iters 50, all integers", "0.3, a float")
    got = case.run_get_lr_cosine_schedule(3, 1, 0, 10, 50)
    case.true(isinstance(got, float) and abs(got - 0.3) < 1e-9, f"{show(got)}, a {type(got).__name__}")


MISSING = "p.grad is used without asking whether it is there"
GONE = "the gradients are gone: p.grad is set to None or deleted, and the optimizer then has nothing to go by"


def clip(
    case: Case, made: list[torch.nn.Parameter], most: float, given: Iterable[torch.nn.Parameter] | None = None
) -> None:
    """Clip; gradients that are gone then, and an error over one that was not there, say what they come from.

    Args:
        case: the case.
        made: the parameters.
        most: the largest norm.
        given: what the code under test gets in place of the list of them.
    """
    had = [p for p in made if p.grad is not None]
    try:
        case.run_gradient_clipping(made if given is None else given, most)
    except (TypeError, AttributeError) as error:
        case.cause = MISSING if "NoneType" in str(error) and len(had) < len(made) else None
        raise
    gone = sum(p.grad is None for p in had)
    case.true(not gone, f"{gone} of {len(had)} gradients, which are gone", GONE)


def clipped(
    case: Case, given: str, most: float, right: list[list[float]], *grads: list[float] | None, tolerance: float
) -> tuple[bool, list[list[float]]]:
    """Clip, say what should come of it, and return whether it came, and the gradients."""
    made = params(*grads)
    case.say(f"gradients {given}, max_l2_norm {most}", show(right))
    clip(case, made, most)
    got = [p.grad.tolist() for p in made if p.grad is not None]
    return near(got, right, tolerance), got


@check(
    "gradient_clipping.value",
    "gradients are scaled by max / norm, where the norm is that of all of them together",
    cause="each gradient is clipped by its own norm, or its entries one by one",
    section="6.5",
    known="the norm of one long vector",
    official=True,
)
def _(case: Case) -> None:
    made = in_ones(*OF_ALL)
    right = [[2 / 3, 1 / 3], [0.0, 2 / 3, 0.0]]
    case.say("gradients [2, 1] and [0, 2, 0], max_l2_norm 1.0", show(right))
    clip(case, made, 1.0)
    got = [p.grad.tolist() for p in made if p.grad is not None]
    case.true(near(got, right), got, PARAMETERS if moved(made) else why_scaled(got))
    case.true(not moved(made), f"parameters {show([p.tolist() for p in made])}, where they were ones", PARAMETERS)


@check(
    "gradient_clipping.small",
    "gradients below the maximum are left alone",
    cause="scaled by max / norm whatever the norm is, so that small gradients grow",
    section="6.5",
    known="the gradients, as they were",
)
def _(case: Case) -> None:
    grads = [[0.3, 0.0], [0.0, 0.4]]
    fits, got = clipped(case, "[0.3, 0] and [0, 0.4]", 1.0, grads, *grads, tolerance=2e-5)
    case.true(fits, got, None if got[0][0] > 0.3 else "")


@check(
    "gradient_clipping.generator",
    "model.parameters() is a generator, and can be walked once",
    cause="the first loop, for the norm, uses the generator up; the second, which scales, then finds nothing",
    section="6.5",
    known="the norm of one long vector",
    errors=rf"TypeError: .*generator|{EMPTY}",
)
def _(case: Case) -> None:
    made = params([10.0, 0.0], [0.0, 0.0])
    case.say("a generator of parameters with gradients [10, 0] and [0, 0], max_l2_norm 1", "a norm of 1")
    clip(case, made, 1.0, (p for p in made))
    norm = math.sqrt(sum(p.grad.square().sum().item() for p in made if p.grad is not None))
    if abs(norm - 1) >= ROUGHLY:
        listed = in_ones([10.0, 0.0], [0.0, 0.0])
        clip(case, listed, 1.0)
        changed = listed[0].grad is not None and listed[0].grad[0].item() != 10
        unchanged = PARAMETERS if moved(listed) else UNCHANGED
        case.true(False, f"a norm of {norm:.4g}", "" if norm != 10 else None if changed else unchanged)


@check(
    "gradient_clipping.some",
    "parameters without a gradient are passed over",
    cause=MISSING,
    section="6.5",
    known="the norm of one long vector",
    official=True,
    errors=NONE,
)
def _(case: Case) -> None:
    fits, got = clipped(case, "[50, 0] and none", 1.0, [[1.0, 0.0]], [50.0, 0.0], None, tolerance=ROUGHLY)
    case.true(fits, got, "")


@check(
    "gradient_clipping.none",
    "no gradient at all is no error",
    cause="a sum that stays the integer 0 has no sqrt(); [0] of an empty list; torch.stack of nothing",
    section="6.5",
    known="nothing to do",
    errors=rf"{EMPTY}|AttributeError: '(int|float)' object|TypeError: .*must be Tensor, not (int|float)",
)
def _(case: Case) -> None:
    made = params(None, None)
    case.say("two parameters, neither with a gradient", "nothing happens")
    clip(case, made, 1.0)
    nothing = all(p.grad is None for p in made)
    case.true(nothing, "gradients, out of nowhere", "gradients are made where there are none")


@check(
    "gradient_clipping.zero",
    "gradients of zero stay zero",
    cause="0 / 0 without the handout's 1e-6",
    section="6.5",
    known="zeros",
    errors=ZERO,
)
def _(case: Case) -> None:
    fits, got = clipped(case, "[0, 0]", 1.0, [[0.0, 0.0]], [0.0, 0.0], tolerance=ROUGHLY)
    case.true(fits, got, None if math.isnan(got[0][0]) else "")


@check(
    "gradient_clipping.in_place",
    "the gradient tensors themselves are changed",
    cause="p.grad = p.grad * scale makes a new tensor; whoever holds the old one sees nothing",
    section="6.5",
    known="the tensor that was there before",
)
def _(case: Case) -> None:
    made = params([5.0, 0.0])
    held = made[0].grad
    case.say("gradient [5, 0], max_l2_norm 1, seen through a tensor held from before", "[1, 0]")
    clip(case, made, 1.0)
    assert held is not None
    case.true(near([held.tolist()], [[1.0, 0.0]]), held, "" if made[0].grad is held else None)


@check(
    "gradient_clipping.eps",
    "the result is as close to the maximum as 1e-6 allows",
    cause="a larger number added to the norm than the handout's 1e-6",
    section="6.5",
    known="max / (norm + 1e-6)",
)
def _(case: Case) -> None:
    made = params([0.05, 0.0])
    case.say("gradient [0.05, 0], max_l2_norm 0.01", "a norm of 0.01, to a part in a thousand")
    clip(case, made, 0.01)
    norm = math.sqrt(sum(p.grad.square().sum().item() for p in made if p.grad is not None))
    case.true(abs(norm / 0.01 - 1) < 1e-3, f"a norm of {norm:.5g}", None if 0 < norm < 0.01 else "")
