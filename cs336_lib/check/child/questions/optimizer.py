"""AdamW: the update itself. Four forms are legal: decay first or last, eps as in the handout or as in torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product
from typing import Any

import torch

from .. import formulas as f
from ..case import Case, WrongError, check
from ..formulas import numbers
from ..show import difference, show

FORMS = "the four legal forms in float64, of which any is right"
BETAS = (0.9, 0.99)
ONE_COUNT = "one step count for all parameters, which rises with each of them: it counts steps, and each has its own"
L2 = "decay is added to the gradient: that is Adam with L2, not AdamW"
UNCORRECTED = "the bias correction is missing"
COUNTED = "the step count is off by one: the first step is step 1, also in the bias correction"
EXCHANGED, FIXED_BETAS = "betas exchanged", "betas fixed at their defaults"
UNDER, FIXED_EPS = "eps is added under the root: with tiny gradients it is then far too large", "a fixed eps of 1e-8"
NO_RATE = "decay without lr: the parameter shrinks by weight_decay alone"
CORRECTED = "decay with the corrected rate of the step, instead of lr"
NO_DECAY = "the parameter is not decayed"
DECAY_KEPT = (
    "decay by another rate than the group's own lr: the default, that of the first group, or the one it began with"
)
KEPT = 'the rate is kept under another name ("alpha", self.lr), so that what is written to group["lr"] has no effect'
MISTAKES = (
    L2,
    UNCORRECTED,
    COUNTED,
    EXCHANGED,
    FIXED_BETAS,
    UNDER,
    FIXED_EPS,
    NO_RATE,
    CORRECTED,
    NO_DECAY,
    KEPT,
    DECAY_KEPT,
)
# Whether the decay goes by a rate that was kept.
DECAY_RATES = {KEPT: (True, False), DECAY_KEPT: (True,)}


def mistaken(
    why: str,
    start: torch.Tensor,
    grads: Sequence[torch.Tensor],
    rates: Sequence[float] | float,
    betas: tuple[float, float],
    eps: float,
    decay: float,
    counted: Sequence[int] = (),
) -> list[torch.Tensor]:
    """Where the parameter ends by a mistake, in each of the forms that are legal apart from it.

    A rate that is kept is the first of `rates`: for the update, for the decay, or for both.

    With `counted`, these are the numbers by which the steps go.
    """
    one, two = {EXCHANGED: betas[::-1], FIXED_BETAS: (0.9, 0.999)}.get(why, betas)
    eps = 1e-8 if why == FIXED_EPS else eps
    ends = []
    for first, in_torch, decay_kept in product((True, False), (True, False), DECAY_RATES.get(why, (False,))):
        p, m, v = start.double().clone(), torch.zeros_like(start).double(), torch.zeros_like(start).double()
        for step, grad in enumerate(grads):
            each = [rates] * len(grads) if isinstance(rates, float) else rates
            rate, of_decay = each[0 if why == KEPT else step], each[0 if decay_kept else step]
            t = counted[step] if counted else step + 2 if why == COUNTED else step + 1
            c1, c2 = (1.0, 1.0) if why == UNCORRECTED else (1 - one**t, 1 - two**t)
            shrink = {L2: 0.0, NO_DECAY: 0.0, NO_RATE: decay, CORRECTED: rate * decay * math.sqrt(c2) / c1}
            g = grad.double() + decay * p if why == L2 else grad.double()
            p = p * (1 - shrink.get(why, of_decay * decay)) if first else p
            m, v = one * m + (1 - one) * g, two * v + (1 - two) * g * g
            if why == UNDER:
                root = (v / c2 + eps).sqrt() if in_torch else (v + eps).sqrt() / math.sqrt(c2)
            else:
                root = v.sqrt() / math.sqrt(c2) + eps if in_torch else (v.sqrt() + eps) / math.sqrt(c2)
            p = p - rate * m / c1 / root
            p = p if first else p * (1 - shrink.get(why, of_decay * decay))
        ends.append(p)
    return ends


def why_there(got: torch.Tensor, tolerance: float, *steps: Any) -> list[str]:
    """The mistakes by which a parameter ends there; `steps` are those of `mistaken`."""
    return [why for why in MISTAKES if any(not difference(got, end, tolerance) for end in mistaken(why, *steps))]


def walk(
    case: Case,
    start: torch.Tensor,
    grads: Sequence[torch.Tensor],
    *,
    rates: Sequence[float] | float = 0.01,
    eps: float = 1e-8,
    decay: float = 0.1,
    betas: tuple[float, float] = BETAS,
) -> torch.Tensor:
    """Take steps with the reader's optimizer, one gradient each."""
    p = torch.nn.Parameter(start.clone())
    first = rates if isinstance(rates, float) else rates[0]
    optimizer = case.get_adamw_cls()([p], lr=first, betas=betas, eps=eps, weight_decay=decay)
    for step, grad in enumerate(grads):
        if not isinstance(rates, float):
            for group in optimizer.param_groups:
                group["lr"] = rates[step]
        p.grad = grad.clone()
        optimizer.step()
    return p.detach()


def legal(
    case: Case,
    start: torch.Tensor,
    grads: list[torch.Tensor],
    given: str,
    tolerance: float,
    *,
    unknown: str | None = "",
    **how: Any,
) -> str:
    """Hold the steps against all legal forms; return the names of those that fit.

    Where none fits, the cause is the mistake that leads there, or `unknown`.
    """
    options: dict[str, Any] = {"rates": 0.01, "eps": 1e-8, "decay": 0.1, "betas": BETAS} | how
    ends = f.adamw_forms(start, grads, options["rates"], options["betas"], options["eps"], options["decay"])
    case.say(given, show(next(iter(ends.values())).tolist()))
    got = walk(case, start, grads, **how)
    fits = [name for name, end in ends.items() if not difference(got, end, tolerance)]
    if not fits:
        steps = start, grads, options["rates"], options["betas"], options["eps"], options["decay"]
        case.cause = next(iter(why_there(got, tolerance, *steps)), unknown)
        raise WrongError(show(got.tolist()))
    return "; ".join(fits)


@check(
    "adamw.value",
    "ten steps of Adam with decoupled weight decay",
    cause="moments or their bias correction, decay added to the gradient (that is Adam with L2), or t counted from 0",
    section="6.3",
    known=FORMS,
    official=True,
)
def _(case: Case) -> None:
    start, grads = numbers(4), [numbers(4, seed=i) for i in range(10)]
    legal(case, start, grads, "four numbers, ten steps, lr 0.01, betas (0.9, 0.99), weight_decay 0.1", 1e-4)


@check(
    "adamw.first_step",
    "the first step is lr, whatever the size of the gradient",
    cause="the bias correction is missing, or counts the first step as step 0",
    section="6.3",
    known=FORMS,
    official=True,
    after=("value", "gradients"),
)
def _(case: Case) -> None:
    start = torch.tensor([1.0, -1.0])
    given = "[1, -1], one step with gradients [0.1, -50], lr 0.01, betas (0.9, 0.999), no decay"
    legal(case, start, [torch.tensor([0.1, -50.0])], given, 2e-5, decay=0.0, betas=(0.9, 0.999))


@check(
    "adamw.eps",
    "eps is added to the root, not under it",
    cause="sqrt(v + eps): with tiny gradients eps is then far too large",
    section="6.3",
    known=FORMS,
    after=("value", "gradients", "first_step"),
)
def _(case: Case) -> None:
    start, grads = torch.tensor([1.0, -1.0]), [torch.tensor([1e-5, -2e-5])] * 3
    given = "[1, -1], three steps with gradients [1e-5, -2e-5], eps 1e-8, lr 0.01, no decay"
    legal(case, start, grads, given, 5e-4, decay=0.0)


@check(
    "adamw.eps_given",
    "eps is the one that was given",
    cause="a fixed 1e-8, or eps at a place where neither handout has it",
    section="6.3",
    known=FORMS,
    after=("value", "gradients", "first_step", "eps"),
)
def _(case: Case) -> None:
    start, grads = torch.tensor([1.0, -1.0]), [torch.tensor([0.5, -0.1])] * 3
    given = "[1, -1], three steps with gradients [0.5, -0.1], eps 0.1, lr 0.01, no decay"
    legal(case, start, grads, given, 2e-5, decay=0.0, eps=0.1)


@check(
    "adamw.betas",
    "beta1 belongs to the first moment, beta2 to the second",
    cause="betas exchanged, or fixed at their defaults",
    section="6.3",
    known=FORMS,
    after=("value", "gradients", "first_step"),
)
def _(case: Case) -> None:
    start, grads = torch.tensor([1.0, -1.0]), [torch.tensor([1.0, 0.1]), torch.tensor([-3.0, 0.2])] * 3
    legal(case, start, grads, "six steps, betas (0.5, 0.7), lr 0.01, no decay", 5e-5, decay=0.0, betas=(0.5, 0.7))


@check(
    "adamw.decay",
    "decay shrinks the parameter by lr * weight_decay a step",
    cause="decay without lr, with the corrected rate of the step, or added to the gradient",
    section="6.3",
    known="(1 - lr * weight_decay) to the power of the steps",
    official=True,
    after=("value", "gradients"),
)
def _(case: Case) -> None:
    start, grads = torch.tensor([1.0, -2.0]), [torch.zeros(2)] * 5
    steps = start, grads, 0.1, BETAS, 1e-8, 0.5
    case.same(
        lambda: walk(case, start, grads, rates=0.1, decay=0.5),
        start.double() * 0.95**5,
        "[1, -2], five steps with gradients of zero, lr 0.1, weight_decay 0.5",
        tolerance=1e-5,
        mistakes={why: lambda got, why=why: why in why_there(got, 1e-5, *steps) for why in MISTAKES},
    )


@check(
    "adamw.schedule",
    'a schedule that writes group["lr"] has an effect',
    cause=KEPT,
    section="6.4",
    known=FORMS,
    after=("value", "gradients", "first_step", "decay"),
)
def _(case: Case) -> None:
    rates = [0.1, 0.05, 0.0, 0.02]
    start, grads = torch.tensor([1.0, -1.0]), [torch.tensor([1.0, -0.5])] * 4
    given = f'group["lr"] set to {rates} before the four steps, weight_decay 0.5'
    legal(case, start, grads, given, 2e-5, rates=rates, decay=0.5)


@check(
    "adamw.order",
    "whether decay comes first or last",
    cause="the handout of 2025 decays last, that of 2026 and torch decay first; the official tests take both",
    section="6.3",
    known=FORMS,
    kind="choice",
)
def _(case: Case) -> None:
    start, grads = torch.tensor([1.0, -3.0]), [torch.tensor([1.0, -0.5])] * 4
    # Large rate and decay, so that the forms end far apart; eps 0.01 tells its two places apart.
    try:
        case.report(legal(case, start, grads, "lr 0.1, weight_decay 1, eps 0.01", 1e-4, rates=0.1, decay=1.0, eps=0.01))
    except WrongError:
        case.report("none of the legal forms fits")


@check(
    "adamw.step_count",
    "steps are counted once for each parameter, whatever others there are",
    cause=ONE_COUNT,
    section="6.3",
    known=FORMS,
    official=True,
    after=("value", "gradients", "first_step", "betas"),
)
def _(case: Case) -> None:
    options = (0.01, BETAS, 1e-8, 0.0)
    starts = [torch.tensor([1.0, 2.0]), torch.tensor([-3.0, 1.0])]
    grads = [torch.tensor([1.0, -0.01]), torch.tensor([0.5, 0.02]), torch.tensor([-2.0, 0.01])]
    ends = [f.adamw_forms(start, grads, *options) for start in starts]
    case.say(
        "one group of two parameters, three steps", "; ".join(show(next(iter(end.values())).tolist()) for end in ends)
    )
    params = [torch.nn.Parameter(start.clone()) for start in starts]
    optimizer = case.get_adamw_cls()(params, lr=0.01, betas=BETAS, eps=1e-8, weight_decay=0.0)
    for grad in grads:
        for p in params:
            p.grad = grad.clone()
        optimizer.step()
    got = [p.detach() for p in params]
    if all(any(not difference(p, form, 2e-4) for form in end.values()) for p, end in zip(got, ends, strict=True)):
        return
    wrong = [mistaken("", start, grads, *options, counted=(n, n + 2, n + 4)) for n, start in enumerate(starts, 1)]
    shared = all(any(not difference(p, form, 2e-4) for form in forms) for p, forms in zip(got, wrong, strict=True))
    case.true(False, "; ".join(show(p.tolist()) for p in got), ONE_COUNT if shared else "")
