"""AdamW: the update itself. Four forms are legal: decay first or last, eps as in the handout or as in torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from .. import formulas as f
from ..case import Case, WrongError, check
from ..formulas import numbers
from ..show import difference, show

FORMS = "the four legal forms in float64, of which any is right"
BETAS = (0.9, 0.99)


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


def legal(case: Case, start: torch.Tensor, grads: list[torch.Tensor], given: str, tolerance: float, **how: Any) -> str:
    """Hold the steps against all legal forms; return the names of those that fit."""
    options: dict[str, Any] = {"rates": 0.01, "eps": 1e-8, "decay": 0.1, "betas": BETAS} | how
    ends = f.adamw_forms(start, grads, options["rates"], options["betas"], options["eps"], options["decay"])
    case.say(given, show(next(iter(ends.values())).tolist()))
    got = walk(case, start, grads, **how)
    fits = [name for name, end in ends.items() if not difference(got, end, tolerance)]
    if not fits:
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
)
def _(case: Case) -> None:
    start, grads = torch.tensor([1.0, -1.0]), [torch.tensor([0.5, -0.1])] * 3
    given = "[1, -1], three steps with gradients [0.5, -0.1], eps 1, lr 0.01, no decay"
    legal(case, start, grads, given, 2e-5, decay=0.0, eps=1.0)


@check(
    "adamw.betas",
    "beta1 belongs to the first moment, beta2 to the second",
    cause="betas exchanged, or fixed at their defaults",
    section="6.3",
    known=FORMS,
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
)
def _(case: Case) -> None:
    case.same(
        lambda: walk(case, torch.tensor([1.0, -2.0]), [torch.zeros(2)] * 5, rates=0.1, decay=0.5),
        torch.tensor([1.0, -2.0]).double() * 0.95**5,
        "[1, -2], five steps with gradients of zero, lr 0.1, weight_decay 0.5",
        tolerance=1e-5,
    )


@check(
    "adamw.schedule",
    'a schedule that writes group["lr"] has an effect',
    cause='the rate is kept under another name ("alpha", self.lr), so that the schedule is ignored without a word',
    section="6.4",
    known=FORMS,
)
def _(case: Case) -> None:
    rates = [0.1, 0.05, 0.0, 0.02]
    start, grads = torch.tensor([1.0, -1.0]), [torch.tensor([1.0, -0.5])] * 4
    given = f'group["lr"] set to {rates} before the four steps, no decay'
    legal(case, start, grads, given, 2e-5, rates=rates, decay=0.0)


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
