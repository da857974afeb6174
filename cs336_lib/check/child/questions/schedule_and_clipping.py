"""The cosine schedule and gradient clipping."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import partial

import torch

from ..case import Case, WrongError, check
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


def rates(case: Case, steps: Iterable[int], most: float, least: float, warmup: int, end: int) -> None:
    """Hold the rates of some steps against the rule."""
    for it in steps:
        case.same(
            partial(case.run_get_lr_cosine_schedule, it, most, least, warmup, end),
            rate(it, most, least, warmup, end),
            f"it {it}, max {most}, min {least}, warmup_iters {warmup}, cosine_cycle_iters {end}",
            tolerance=1e-7,
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
    rates(case, (0, 1, 4, 9), 1.0, 0.1, 10, 50)


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
)
def _(case: Case) -> None:
    rates(case, (10, 50, 51, 500), 1.0, 0.1, 10, 50)


@check(
    "learning_rate_schedule.no_warmup",
    "no warm-up: step 0 has the maximum",
    cause="it / warmup_iters with a warm-up of 0",
    section="6.4",
    known=RULE,
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
)
def _(case: Case) -> None:
    case.say("it 3, max 1, min 0, warmup_iters 10, cosine_cycle_iters 50, all integers", "0.3, a float")
    got = case.run_get_lr_cosine_schedule(3, 1, 0, 10, 50)
    case.true(isinstance(got, float) and abs(got - 0.3) < 1e-9, f"{show(got)}, a {type(got).__name__}")


def params(*grads: list[float] | None) -> list[torch.nn.Parameter]:
    """Parameters with these gradients."""
    made = []
    for grad in grads:
        p = torch.nn.Parameter(torch.zeros(len(grad) if grad else 2))
        if grad is not None:
            p.grad = torch.tensor(grad)
        made.append(p)
    return made


def clipped(case: Case, given: str, most: float, right: list[list[float]], *grads: list[float] | None) -> None:
    """Clip, and hold the gradients against the right ones."""
    made = params(*grads)
    case.say(f"gradients {given}, max_l2_norm {most}", show(right))
    case.run_gradient_clipping(made, most)
    got = [p.grad.tolist() for p in made if p.grad is not None]
    near = all(abs(a - b) < 2e-5 for x, y in zip(got, right, strict=True) for a, b in zip(x, y, strict=True))
    if not near:
        raise WrongError(show(got))


@check(
    "gradient_clipping.value",
    "gradients are scaled by max / norm, where the norm is that of all of them together",
    cause="each gradient is clipped by its own norm, or its entries one by one",
    section="6.5",
    known="the norm of one long vector",
    official=True,
)
def _(case: Case) -> None:
    clipped(case, "[3, 0] and [0, 4, 0]", 1.0, [[0.6, 0.0], [0.0, 0.8, 0.0]], [3.0, 0.0], [0.0, 4.0, 0.0])


@check(
    "gradient_clipping.small",
    "gradients below the maximum are left alone",
    cause="scaled by max / norm whatever the norm is, so that small gradients grow",
    section="6.5",
    known="the gradients, as they were",
)
def _(case: Case) -> None:
    clipped(case, "[0.3, 0] and [0, 0.4]", 1.0, [[0.3, 0.0], [0.0, 0.4]], [0.3, 0.0], [0.0, 0.4])


@check(
    "gradient_clipping.generator",
    "model.parameters() is a generator, and can be walked once",
    cause="the first loop, for the norm, uses the generator up; the second, which scales, then finds nothing",
    section="6.5",
    known="the norm of one long vector",
)
def _(case: Case) -> None:
    made = params([10.0, 0.0], [0.0, 10.0])
    case.say("a generator of parameters with gradients [10, 0] and [0, 10], max_l2_norm 1", "a norm of 1")
    case.run_gradient_clipping((p for p in made), 1.0)
    norm = math.sqrt(sum(p.grad.square().sum().item() for p in made if p.grad is not None))
    case.true(abs(norm - 1) < 1e-3, f"a norm of {norm:.4g}")


@check(
    "gradient_clipping.some",
    "parameters without a gradient are passed over",
    cause="p.grad is used without asking whether it is there",
    section="6.5",
    known="the norm of one long vector",
    official=True,
)
def _(case: Case) -> None:
    clipped(case, "[30, 40] and none", 1.0, [[0.6, 0.8]], [30.0, 40.0], None)


@check(
    "gradient_clipping.none",
    "no gradient at all is no error",
    cause="a sum that stays the integer 0 has no sqrt(); [0] of an empty list; torch.stack of nothing",
    section="6.5",
    known="nothing to do",
)
def _(case: Case) -> None:
    case.say("two parameters, neither with a gradient", "nothing happens")
    made = params(None, None)
    case.run_gradient_clipping(made, 1.0)
    case.true(all(p.grad is None for p in made), "gradients, out of nowhere")


@check(
    "gradient_clipping.zero",
    "gradients of zero stay zero",
    cause="0 / 0 without the handout's 1e-6",
    section="6.5",
    known="zeros",
)
def _(case: Case) -> None:
    clipped(case, "[0, 0]", 1.0, [[0.0, 0.0]], [0.0, 0.0])


@check(
    "gradient_clipping.in_place",
    "the gradient tensors themselves are changed",
    cause="p.grad = p.grad * scale makes a new tensor; whoever holds the old one sees nothing",
    section="6.5",
    known="the tensor that was there before",
)
def _(case: Case) -> None:
    made = params([3.0, 4.0])
    held = made[0].grad
    case.say("gradient [3, 4], max_l2_norm 1, seen through a tensor held from before", "[0.6, 0.8]")
    case.run_gradient_clipping(made, 1.0)
    assert held is not None
    case.true((held - torch.tensor([0.6, 0.8])).abs().max() < 1e-4, held)


@check(
    "gradient_clipping.eps",
    "the result is as close to the maximum as 1e-6 allows",
    cause="a larger number added to the norm than the handout's 1e-6",
    section="6.5",
    known="max / (norm + 1e-6)",
)
def _(case: Case) -> None:
    made = params([0.03, 0.04])
    case.say("gradient [0.03, 0.04], max_l2_norm 0.01", "a norm of 0.01, to a part in a thousand")
    case.run_gradient_clipping(made, 0.01)
    assert made[0].grad is not None
    norm = made[0].grad.norm().item()
    case.true(abs(norm / 0.01 - 1) < 1e-3, f"a norm of {norm:.5g}")
