"""Cross-entropy."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from ..case import Case, WrongError, check
from ..errors import SHAPES
from ..formulas import numbers

FORMULA = "torch.nn.functional.cross_entropy in float64"


NO_MEAN = "the mean over all targets is missing, or goes over one dimension only"
SUM, SIGN = "a sum for the mean", "the sign is forgotten: the loss is the mean of -log softmax"
BASE_TWO = "the logarithm to base 2"
OVERFLOW = "exp before the largest is subtracted, or log(softmax) instead of one formula: log(0) is -inf"
OF_ALL = "the largest of the whole tensor is subtracted: the sum of a row far below it is 0, and log(0) is -inf"
TWO_DIMENSIONS = (
    "two dimensions only: the official test flattens before it asks, both handouts want any batch dimensions"
)
ADDED = "clamp, or a small number added inside of the logarithm, which the value of small scores hides"
CUT_OFF = "detach(), .item() or no_grad() cuts the gradient off"
IN_PLACE = "logits -= logits.max(): an operation in place on the caller's tensor"
TIMES_ZERO = "-inf times zero, as when log-probabilities are multiplied by a one-hot row, is NaN"


def one_number(loss: Any) -> float:
    """A loss as a number, if it is one."""
    shape = tuple(np.shape(loss.detach().cpu() if isinstance(loss, torch.Tensor) else loss))
    if math.prod(shape) != 1:
        raise WrongError(f"a tensor of shape {shape} where one number is asked for")
    return float(loss)


def loss_of(
    case: Case, logits: torch.Tensor, targets: torch.Tensor, given: str, mistakes: Mapping[str, Any] | None = None
) -> None:
    """Hold the loss against torch's."""
    right = F.cross_entropy(logits.double().reshape(-1, logits.shape[-1]), targets.reshape(-1)).item()

    def loss() -> float:
        got = case.run_cross_entropy(logits, targets)
        case.cause = NO_MEAN if isinstance(got, torch.Tensor) and got.numel() > 1 else case.cause
        return one_number(got)

    case.same(loss, right, given, mistakes=mistakes)


@check(
    "cross_entropy.value",
    "the mean of -log softmax at the targets",
    cause="a sum for the mean, another base of the logarithm, or the softmax along the wrong dimension",
    section="6.1",
    known=FORMULA,
    official=True,
)
def _(case: Case) -> None:
    x, t = numbers(4, 7), torch.tensor([0, 6, 3, 3])
    right, logs = F.cross_entropy(x, t).item(), x.logsumexp(-1).mean().item()
    shifted = (x - x.amax(-1, keepdim=True)).logsumexp(-1).mean().item()
    halves = [right + part * (1 / math.log(2) - 1) for part in (logs, shifted)]
    mistakes = {
        SUM: 4 * right,
        SIGN: -right,
        "the mean of all scores in the batch, not of the rows": right / 7,
        BASE_TWO: lambda got: any(abs(got - wrong) < 1e-4 for wrong in (right / math.log(2), *halves)),
        "the softmax is taken along the wrong dimension": F.nll_loss(x.log_softmax(0), t).item(),
        "the logarithm is forgotten": -x.softmax(-1)[torch.arange(4), t].mean().item(),
    }
    loss_of(case, x, t, "scores of shape (4, 7), targets [0, 6, 3, 3]", mistakes)


@check(
    "cross_entropy.large",
    "large scores don't overflow",
    cause=OVERFLOW,
    section="6.1",
    known=FORMULA,
    official=True,
    after=("value",),
)
def _(case: Case) -> None:
    x = torch.tensor([[1000.0, 0.0, -1000.0], [0.0, 1000.0, 100.0]])
    mistakes = {OVERFLOW: lambda got: not math.isfinite(got), ADDED: lambda got: got < 1500}
    loss_of(case, x, torch.tensor([2, 0]), "scores [[1000, 0, -1000], [0, 1000, 100]], targets [2, 0]", mistakes)


@check(
    "cross_entropy.rows",
    "the largest is subtracted row by row",
    cause=OF_ALL,
    section="6.1",
    known=FORMULA,
    after=("value", "large"),
)
def _(case: Case) -> None:
    x = torch.tensor([[1000.0, 1001.0], [0.0, 1.0]])
    mistakes = {OF_ALL: lambda got: not math.isfinite(got)}
    loss_of(case, x, torch.tensor([0, 1]), "scores [[1000, 1001], [0, 1]], targets [0, 1]", mistakes)


@check(
    "cross_entropy.batch",
    "scores of shape (B, S, V) and targets of shape (B, S)",
    cause=TWO_DIMENSIONS,
    section="6.1",
    known=FORMULA,
    after=("value",),
    errors=SHAPES,
)
def _(case: Case) -> None:
    x, t = numbers(2, 3, 7), torch.tensor([[0, 6, 3], [1, 2, 5]])
    right = F.cross_entropy(x.reshape(6, 7), t.reshape(6)).item()
    mistakes = {
        "the sum is divided by the first dimension only, as by len(scores), not by the number of targets": 3 * right,
        "the sum is divided by the second dimension only, not by the number of targets": 2 * right,
        "a sum for the mean, where there are several batch dimensions": 6 * right,
        "the softmax is taken along dimension 1, which is the last of two only": (
            -x.log_softmax(1).gather(-1, t.unsqueeze(-1)).mean().item()
        ),
    }
    loss_of(case, x, t, "scores of shape (2, 3, 7), targets of shape (2, 3)", mistakes)


@check(
    "cross_entropy.more_dims",
    "three batch dimensions, or none",
    cause="a fixed number of dimensions",
    section="6.1",
    known=FORMULA,
    kind="expect",
    after=("value", "batch"),
    errors=SHAPES,
)
def _(case: Case) -> None:
    x, t = numbers(2, 2, 3, 5), torch.arange(12).remainder(5).reshape(2, 2, 3)
    loss_of(case, x, t, "scores of shape (2, 2, 3, 5)")
    loss_of(case, numbers(5), torch.tensor(3), "scores of shape (5,), the target a single number")


@check(
    "cross_entropy.impossible",
    "a score of -inf for another token",
    cause=TIMES_ZERO,
    section="6.1",
    known=FORMULA,
    kind="expect",
    after=("value",),
)
def _(case: Case) -> None:
    x = torch.tensor([[1.0, -math.inf, 2.0]])
    loss_of(case, x, torch.tensor([2]), "scores [[1, -inf, 2]], target 2", {TIMES_ZERO: math.isnan})


@check(
    "cross_entropy.gradient",
    "the gradient is (softmax - one-hot) / N",
    cause="clamp, detach or a small number added inside of the logarithm, which the value hides",
    section="6.1",
    known="autograd through torch's",
    after=("value", "input"),
)
def _(case: Case) -> None:
    t = torch.tensor([0, 6, 3, 3])
    right = numbers(4, 7, scale=12).double().requires_grad_()
    F.cross_entropy(right, t).backward()
    mine = numbers(4, 7, scale=12).requires_grad_()

    def gradient() -> torch.Tensor:
        try:
            loss = case.run_cross_entropy(mine, t)
            case.true(isinstance(loss, torch.Tensor), f"a {type(loss).__name__}, and no tensor: no backward()", CUT_OFF)
            loss.backward()
        except RuntimeError as error:
            says = {IN_PLACE: r"in-?place", CUT_OFF: r"does not require grad"}
            case.cause = next((cause for cause, text in says.items() if re.search(text, str(error))), "")
            raise
        case.true(mine.grad is not None, "no gradient", CUT_OFF)
        return mine.grad  # type: ignore[return-value]

    assert right.grad is not None
    small = {ADDED: lambda got: isinstance(got, torch.Tensor) and bool((got.abs() < right.grad.abs() + 1e-5).all())}
    given = "the gradient of scores of shape (4, 7), up to 30"
    case.same(gradient, right.grad, given, tolerance=1e-5, mistakes=small)
