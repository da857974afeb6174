"""SiLU, SwiGLU and softmax."""

from __future__ import annotations

import math
from functools import partial

import torch
import torch.nn.functional as F

from .. import formulas as f
from ..case import Case, check, has_nan
from ..errors import SHAPES
from ..formulas import numbers
from ..show import difference
from .layers import FORMULA

UNGATED, EXCHANGED = "no gate: W3 is not used", "the gate on the wrong branch (W1 and W3 exchanged)"
NOTHING_SUBTRACTED = "exp of numbers from which the largest was not subtracted"
LOGARITHM = "the logarithm of the shares is returned"


def below_zero(got: torch.Tensor) -> bool:
    """Whether a number is below zero, which no share is."""
    return bool((got < 0).any())


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
    mistakes = {
        "x / (1 + exp(-x)) written so that exp overflows to inf, and inf / inf or 0 * inf is NaN": has_nan,
        "sigmoid(x) alone, which is not multiplied by x": torch.sigmoid(x),
        "another function: GELU is x times a normal's distribution, SiLU is x times sigmoid(x)": F.gelu(x),
        "another function: ReLU cuts at zero, SiLU does not": F.relu(x),
    }
    right = x.double() * torch.sigmoid(x.double())
    case.same(lambda: case.run_silu(x), right, "[-200, -1, 0, 1, 200]", mistakes=mistakes)


@check(
    "positionwise_feedforward.value",
    "W2 (SiLU(W1 x) * W3 x)",
    cause="the gate on the wrong branch (W1 and W3 exchanged), or no gate",
    section="4.4",
    known=FORMULA,
    official=True,
    after=("linear.value", "silu"),
)
def _(case: Case) -> None:
    w1, w2, w3 = numbers(9, 4), numbers(4, 9, seed=1), numbers(9, 4, seed=2)
    x = numbers(2, 3, 4, seed=3)
    mistakes = {
        EXCHANGED: f.swiglu(x, w3, w2, w1),
        UNGATED: F.linear(F.silu(F.linear(x, w1)), w2),
        "sigmoid for SiLU": F.linear(torch.sigmoid(F.linear(x, w1)) * F.linear(x, w3), w2),
    }
    right = f.swiglu(x, w1, w2, w3)
    case.same(lambda: case.run_swiglu(4, 9, w1, w2, w3, x), right, "d_model 4, d_ff 9", mistakes=mistakes)


@check(
    "positionwise_feedforward.shapes",
    "any leading dimensions, or none",
    cause="a fixed number of dimensions",
    section="4.4",
    known=FORMULA,
    after=("value", "linear.value", "linear.shapes"),
    errors=SHAPES,
)
def _(case: Case) -> None:
    w1, w2, w3 = numbers(9, 4), numbers(4, 9, seed=1), numbers(9, 4, seed=2)
    for shape in ((4,), (6, 4), (2, 2, 3, 4)):
        x = numbers(*shape, seed=3)
        case.same(partial(case.run_swiglu, 4, 9, w1, w2, w3, x), f.swiglu(x, w1, w2, w3), f"x of shape {shape}")


@check(
    "softmax.large",
    "large numbers don't overflow",
    cause=NOTHING_SUBTRACTED,
    section="4.6",
    known=FORMULA,
    official=True,
)
def _(case: Case) -> None:
    x = torch.tensor([1000.0, 999.0, -1000.0])
    mistakes = {NOTHING_SUBTRACTED: has_nan, LOGARITHM: below_zero}
    right = torch.softmax(x.double(), 0)
    case.same(lambda: case.run_softmax(x, 0), right, "softmax([1000, 999, -1000])", mistakes=mistakes)


@check(
    "softmax.dim",
    "it sums to one along the dimension that was asked for",
    cause="the dimension is ignored, or the sum is that of all numbers",
    section="4.6",
    known=FORMULA,
    official=True,
)
def _(case: Case) -> None:
    x = numbers(2, 3, 4)
    for dim in (0, 1, -1):
        given = f"x of shape (2, 3, 4), dim {dim}"
        mistakes = {
            "the dimension is ignored": lambda got: any(not difference(got, x.softmax(d), 1e-4) for d in range(3)),
            "each number is divided by the sum of all, not of those along the dimension": lambda got: (
                abs(got.sum().item() - 1) < 1e-3
            ),
            LOGARITHM: below_zero,
        }
        case.same(partial(case.run_softmax, x, dim), torch.softmax(x.double(), dim), given, mistakes=mistakes)


@check(
    "softmax.rows",
    "the largest is subtracted row by row",
    cause="the largest of the whole tensor is subtracted: a row far below it becomes 0 / 0",
    section="4.6",
    known=FORMULA,
    after=("large", "dim"),
)
def _(case: Case) -> None:
    x = torch.tensor([[1000.0, 1001.0], [0.0, 1.0]])
    right = torch.softmax(x.double(), -1)
    mistakes = {
        NOTHING_SUBTRACTED: lambda got: has_nan(got[0]),
        "the largest of the whole tensor is subtracted: a row far below it becomes 0 / 0": lambda got: has_nan(got[1]),
        LOGARITHM: below_zero,
    }
    case.same(lambda: case.run_softmax(x, -1), right, "softmax([[1000, 1001], [0, 1]], -1)", mistakes=mistakes)


@check(
    "softmax.masked",
    "-inf gets no share",
    cause="-inf minus -inf, -inf times zero, or a large negative number in its place",
    section="4.6",
    known=FORMULA,
    after=("large", "dim"),
)
def _(case: Case) -> None:
    x = torch.tensor([1.0, -math.inf, 2.0])
    mistakes = {
        "-inf minus -inf, or -inf times zero, is NaN": has_nan,
        "a small number is added, or a large negative one put in the place of -inf": lambda got: got[1] != 0,
    }
    case.same(lambda: case.run_softmax(x, 0), torch.softmax(x.double(), 0), "softmax([1, -inf, 2])", mistakes=mistakes)


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
