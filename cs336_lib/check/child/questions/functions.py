"""SiLU, SwiGLU and softmax."""

from __future__ import annotations

import math
from functools import partial

import torch

from .. import formulas as f
from ..case import Case, check
from ..formulas import numbers
from .layers import FORMULA


@check(
    "positionwise_feedforward.silu",
    "x times sigmoid(x), also far from zero",
    cause="x / (1 + exp(-x)) written so that exp overflows to inf and 0 * inf is NaN",
    section="4.4",
    known=FORMULA,
    needs=("run_silu",),
    official=True,
)
def _(case: Case) -> None:
    x = torch.tensor([-200.0, -1.0, 0.0, 1.0, 200.0])
    case.same(lambda: case.run_silu(x), x.double() * torch.sigmoid(x.double()), "[-200, -1, 0, 1, 200]")


@check(
    "positionwise_feedforward.value",
    "W2 (SiLU(W1 x) * W3 x)",
    cause="the gate on the wrong branch (W1 and W3 exchanged), or no gate",
    section="4.4",
    known=FORMULA,
    official=True,
)
def _(case: Case) -> None:
    w1, w2, w3 = numbers(9, 4), numbers(4, 9, seed=1), numbers(9, 4, seed=2)
    x = numbers(2, 3, 4, seed=3)
    case.same(lambda: case.run_swiglu(4, 9, w1, w2, w3, x), f.swiglu(x, w1, w2, w3), "d_model 4, d_ff 9")


@check(
    "positionwise_feedforward.shapes",
    "any leading dimensions, or none",
    cause="a fixed number of dimensions",
    section="4.4",
    known=FORMULA,
)
def _(case: Case) -> None:
    w1, w2, w3 = numbers(9, 4), numbers(4, 9, seed=1), numbers(9, 4, seed=2)
    for shape in ((4,), (6, 4), (2, 2, 3, 4)):
        x = numbers(*shape, seed=3)
        case.same(partial(case.run_swiglu, 4, 9, w1, w2, w3, x), f.swiglu(x, w1, w2, w3), f"x of shape {shape}")


@check(
    "softmax.large",
    "large numbers don't overflow",
    cause="exp of numbers from which the largest was not subtracted",
    section="4.6",
    known=FORMULA,
    official=True,
)
def _(case: Case) -> None:
    x = torch.tensor([1000.0, 999.0, -1000.0])
    case.same(lambda: case.run_softmax(x, 0), torch.softmax(x.double(), 0), "softmax([1000, 999, -1000])")


@check(
    "softmax.dim",
    "it sums to one along the dimension that was asked for",
    cause="the dimension is ignored, or the largest is taken of all numbers and another dimension kept",
    section="4.6",
    known=FORMULA,
    official=True,
)
def _(case: Case) -> None:
    x = numbers(2, 3, 4)
    for dim in (0, 1, -1):
        given = f"x of shape (2, 3, 4), dim {dim}"
        case.same(partial(case.run_softmax, x, dim), torch.softmax(x.double(), dim), given)


@check(
    "softmax.rows",
    "the largest is subtracted row by row",
    cause="the largest of the whole tensor is subtracted: a row far below it becomes 0 / 0",
    section="4.6",
    known=FORMULA,
)
def _(case: Case) -> None:
    x = torch.tensor([[1000.0, 1001.0], [0.0, 1.0]])
    case.same(lambda: case.run_softmax(x, -1), torch.softmax(x.double(), -1), "softmax([[1000, 1001], [0, 1]], -1)")


@check(
    "softmax.masked",
    "-inf gets no share",
    cause="-inf minus -inf, or a large negative number in its place",
    section="4.6",
    known=FORMULA,
)
def _(case: Case) -> None:
    x = torch.tensor([1.0, -math.inf, 2.0])
    case.same(lambda: case.run_softmax(x, 0), torch.softmax(x.double(), 0), "softmax([1, -inf, 2])")


@check(
    "softmax.all_masked",
    "a row of -inf only",
    cause="the handout is silent: NaN and zeros are both seen",
    section="4.6",
    known="reported only",
    kind="choice",
)
def _(case: Case) -> None:
    case.say("softmax([-inf, -inf])")
    case.report(case.attempt(lambda: case.run_softmax(torch.full((2,), -math.inf), 0)))
