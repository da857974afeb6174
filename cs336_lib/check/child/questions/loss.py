"""Cross-entropy."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from ..case import Case, check
from ..formulas import numbers

FORMULA = "torch.nn.functional.cross_entropy in float64"


def loss_of(case: Case, logits: torch.Tensor, targets: torch.Tensor, given: str) -> None:
    """Hold the loss against torch's."""
    right = F.cross_entropy(logits.double().reshape(-1, logits.shape[-1]), targets.reshape(-1)).item()
    case.same(lambda: float(case.run_cross_entropy(logits, targets)), right, given)


@check(
    "cross_entropy.value",
    "the mean of -log softmax at the targets",
    cause="a sum for the mean, another base of the logarithm, or the softmax along the wrong dimension",
    section="6.1",
    known=FORMULA,
    official=True,
)
def _(case: Case) -> None:
    loss_of(case, numbers(4, 7), torch.tensor([0, 6, 3, 3]), "scores of shape (4, 7), targets [0, 6, 3, 3]")


@check(
    "cross_entropy.large",
    "large scores don't overflow",
    cause="exp before the largest is subtracted, or log(softmax) instead of one formula: log(0) is -inf",
    section="6.1",
    known=FORMULA,
    official=True,
)
def _(case: Case) -> None:
    x = torch.tensor([[1000.0, 0.0, -1000.0], [0.0, 500.0, 100.0]])
    loss_of(case, x, torch.tensor([2, 0]), "scores [[1000, 0, -1000], [0, 500, 100]], targets [2, 0]")


@check(
    "cross_entropy.batch",
    "scores of shape (B, S, V) and targets of shape (B, S)",
    cause="two dimensions only: the official test flattens before it asks, both handouts want any batch dimensions",
    section="6.1",
    known=FORMULA,
)
def _(case: Case) -> None:
    x, t = numbers(2, 3, 7), torch.tensor([[0, 6, 3], [1, 2, 5]])
    loss_of(case, x, t, "scores of shape (2, 3, 7), targets of shape (2, 3)")


@check(
    "cross_entropy.more_dims",
    "three batch dimensions, or none",
    cause="a fixed number of dimensions",
    section="6.1",
    known=FORMULA,
    kind="expect",
)
def _(case: Case) -> None:
    x, t = numbers(2, 2, 3, 5), torch.arange(12).remainder(5).reshape(2, 2, 3)
    loss_of(case, x, t, "scores of shape (2, 2, 3, 5)")
    loss_of(case, numbers(5), torch.tensor(3), "scores of shape (5,), the target a single number")


@check(
    "cross_entropy.impossible",
    "a score of -inf for another token",
    cause="-inf times zero, as when log-probabilities are multiplied by a one-hot row, is NaN",
    section="6.1",
    known=FORMULA,
    kind="expect",
)
def _(case: Case) -> None:
    x = torch.tensor([[1.0, -math.inf, 2.0]])
    loss_of(case, x, torch.tensor([2]), "scores [[1, -inf, 2]], target 2")


@check(
    "cross_entropy.gradient",
    "the gradient is (softmax - one-hot) / N",
    cause="clamp, detach or a small number added inside the logarithm, which the value hides",
    section="6.1",
    known="autograd through torch's",
)
def _(case: Case) -> None:
    t = torch.tensor([0, 6, 3, 3])
    right = numbers(4, 7, scale=12).double().requires_grad_()
    F.cross_entropy(right, t).backward()
    mine = numbers(4, 7, scale=12).requires_grad_()

    def gradient() -> torch.Tensor:
        case.run_cross_entropy(mine, t).backward()
        return mine.grad  # type: ignore[return-value]

    assert right.grad is not None
    case.same(gradient, right.grad, "the gradient of scores of shape (4, 7), up to 30", tolerance=1e-5)


@check(
    "cross_entropy.input",
    "the scores are left as they were",
    cause="logits -= logits.max(): an operation in place on the caller's tensor",
    section="6.1",
    known="a copy, taken before",
    kind="expect",
)
def _(case: Case) -> None:
    x = torch.tensor([[1.0, 2.0, 3.0]])
    case.say("x = [[1, 2, 3]]; cross_entropy(x, [0])", "x is [[1, 2, 3]], still")
    case.run_cross_entropy(x, torch.tensor([0]))
    case.true(x.tolist() == [[1.0, 2.0, 3.0]], x)
