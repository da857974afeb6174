"""Linear, Embedding and RMSNorm: what they compute, and how their weights begin."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch

from .. import formulas as f
from ..case import Case, UnansweredError, check
from ..errors import SHAPES
from ..formulas import numbers
from ..show import difference
from ..watch import modules_built

FORMULA = "the formula in float64"
UNFILLED = "memory that nothing fills: torch.empty alone, or a reset that is not called"
FORMULAS = "another deviation than the handout's formula gives"
NOT_CUT = "a normal that is not cut, or bounds a and b left at trunc_normal_'s -2 and 2, which are not deviations"
TABLE_BOUNDS = "trunc_normal_ with its bounds left at -2 and 2"
FIXED_DIMS = "ids of a fixed number of dimensions, or a one-hot product that loses a dimension"
PADDED = "the row of id 0 is zeros, as with padding_idx=0 or a mask: id 0 is a token as any other"
KNOWN_INIT = "the handout's formula; a deviation of a normal cut at three is 0.9866 of the one it is cut from"


def first_weights(call: Callable[[], Any], given: torch.Tensor) -> torch.Tensor:
    """Return the first weights of the module that `call` makes, before what is given is loaded into them."""
    for built in modules_built(call):
        for weight in built.parameters.values():
            if tuple(weight.shape) not in (tuple(given.shape), tuple(given.shape[::-1])):
                continue
            weight = weight if weight.shape == given.shape else weight.T
            if torch.equal(weight, given) and len(given.unique()) > 1:
                raise UnansweredError("the module is given its weights when it is made: its first ones can't be seen")
            return weight
    raise UnansweredError("the adapter makes no module with such a weight")


def spread(case: Case, weight: torch.Tensor, sigma: float, variants: Mapping[str, float]) -> None:
    """Hold the deviation of first weights against a normal cut at three deviations.

    Args:
        case: of the question.
        weight: as __init__ leaves it.
        sigma: the deviation before the cut.
        variants: cause -> the deviation that comes of it.
    """
    case.true(not weight.isnan().any(), "memory that nothing has filled (torch.empty)", UNFILLED)
    std, mean = weight.double().std().item(), weight.double().mean().item()
    cause = next((cause for cause, seen in variants.items() if abs(std / seen - 1) < 0.03), FORMULAS)
    case.true(abs(std / (0.9866 * sigma) - 1) < 0.03, f"a deviation of {std:.4g}", cause)
    case.true(abs(mean) < 0.05 * sigma, f"a mean of {mean:.4g}", "numbers that are not drawn around zero")


def cut(case: Case, weight: torch.Tensor, sigma: float) -> None:
    """Hold the largest of tens of thousands of first weights against three deviations.

    Three of the right deviation where the weights have it, and of their own where they have another: a normal that is
    far too narrow stays within any right bound, cut or not.

    Args:
        case: of the question.
        weight: as __init__ leaves it.
        sigma: the right deviation before the cut.
    """
    case.true(not weight.isnan().any(), "memory that nothing has filled (torch.empty)", UNFILLED)
    most, own = weight.abs().max().item(), weight.double().std().item() / 0.9866
    right = abs(own / sigma - 1) < 0.03
    bound = 3 * sigma * 1.0001 if right else 3.01 * own
    if not right and not 2.9 * own < most < 6 * own:  # of a normal some weight reaches 2.9, and none 6
        raise UnansweredError("the weights have another deviation, and are no normal whose cut could be seen")
    own_units = "" if right else f", {most / own:.2f} times their own deviation"
    case.true(most <= bound, f"a weight of {most:.4g}{own_units}", NOT_CUT)


@check(
    "linear.value",
    "x W^T, with d_in different from d_out",
    cause="the weight is used the other way round, which square weights hide",
    section="4.1",
    known=FORMULA,
    official=True,
    errors=SHAPES,
)
def _(case: Case) -> None:
    w, x = numbers(5, 3), numbers(2, 4, 3, seed=1)
    given, right = "d_in 3, d_out 5, x of shape (2, 4, 3)", x.double() @ w.double().T
    case.same(lambda: case.run_linear(3, 5, w, x), right, given, mistakes={})


@check(
    "linear.shapes",
    "any leading dimensions, or none",
    cause="a fixed number of dimensions, as in einsum('b s i, o i -> b s o')",
    section="4.1",
    known=FORMULA,
    after=("value",),
    errors=SHAPES,
)
def _(case: Case) -> None:
    w = numbers(5, 3)
    for shape in ((3,), (7, 3), (2, 1, 3, 2, 3)):
        x = numbers(*shape, seed=1)
        case.same(
            partial(case.run_linear, 3, 5, w, x), x.double() @ w.double().T, f"d_in 3, d_out 5, x of shape {shape}"
        )


@check(
    "linear.init_spread",
    "first weights have variance 2 / (d_in + d_out)",
    cause="the variance passed as the deviation (std=2/(d_in+d_out)), or another formula",
    section="4.1",
    known=KNOWN_INIT,
)
def _(case: Case) -> None:
    sigma = math.sqrt(2 / (512 + 128))
    case.say("Linear(512, 128), as it leaves __init__", f"a deviation of {0.9866 * sigma:.4g}, a mean of 0")
    w = first_weights(lambda: case.run_linear(512, 128, numbers(128, 512), numbers(2, 512)), numbers(128, 512))
    variants = {
        "the variance passed as the deviation (std=2/(d_in+d_out))": 0.9866 * sigma**2,
        "the deviation left at trunc_normal_'s 1": 0.8796,
    }
    spread(case, w, sigma, variants)


@check(
    "linear.init_cut",
    "first weights are cut at three deviations",
    cause=NOT_CUT,
    section="4.1",
    known=KNOWN_INIT,
    after=("init_spread",),
)
def _(case: Case) -> None:
    sigma = math.sqrt(2 / 640)
    case.say(
        "Linear(512, 128), as it leaves __init__", f"nothing above three deviations; of right ones {3 * sigma:.4g}"
    )
    w = first_weights(lambda: case.run_linear(512, 128, numbers(128, 512), numbers(2, 512)), numbers(128, 512))
    cut(case, w, sigma)


@check(
    "linear.no_bias",
    "there is no bias",
    cause="a bias parameter; the handout wants none, and official weights have none",
    section="4.1",
    known="parameters counted",
    errors=r"RuntimeError: .*bias",
)
def _(case: Case) -> None:
    case.say("Linear(512, 128), as it leaves __init__", "one parameter")
    built = modules_built(lambda: case.run_linear(512, 128, numbers(128, 512), numbers(2, 512)))
    if not built or not any(b.parameters for b in built):
        raise UnansweredError("the adapter makes no module")
    most = max(built, key=lambda b: len(b.parameters))
    case.true(len(most.parameters) == 1, f"{most.kind} has {', '.join(most.parameters)}")


@check(
    "embedding.value",
    "rows of the table, for ids of any shape",
    cause=FIXED_DIMS,
    section="4.2",
    known="the rows",
    errors=SHAPES,
)
def _(case: Case) -> None:
    table = numbers(11, 5)
    for ids in (torch.tensor([[3, 0, 10], [10, 7, 3]]), torch.tensor([4, 4]), torch.tensor(7), torch.zeros(2, 1, 3)):
        ids = ids.long()
        right = table[ids]
        mistakes = {
            PADDED: lambda got, ids=ids, right=right: (
                not got[ids == 0].any() and torch.equal(got[ids != 0], right[ids != 0])
            ),
            "the rows are multiplied by the root of d_model": right * 5**0.5,
            FIXED_DIMS: lambda got, right=right: got.shape != right.shape,
        }
        given = f"ids of shape {tuple(ids.shape)}"
        case.same(partial(case.run_embedding, 11, 5, table, ids), right, given, mistakes=mistakes)


@check(
    "embedding.init_spread",
    "first weights have deviation 1",
    cause="Linear's deviation, or a table that is never filled",
    section="4.2",
    known=KNOWN_INIT,
)
def _(case: Case) -> None:
    case.say("Embedding(700, 96), as it leaves __init__", "a deviation of 0.987, a mean of 0")
    call = partial(case.run_embedding, 700, 96, numbers(700, 96), torch.tensor([[1, 2]]))
    variants = {"Linear's deviation": 0.9866 * math.sqrt(2 / (700 + 96)), TABLE_BOUNDS: 0.8796}
    spread(case, first_weights(call, numbers(700, 96)), 1.0, variants)


@check(
    "embedding.init_cut",
    "first weights are cut at 3",
    cause="torch.randn, or trunc_normal_ with its bounds left at -2 and 2",
    section="4.2",
    known=KNOWN_INIT,
    after=("init_spread",),
)
def _(case: Case) -> None:
    case.say("Embedding(700, 96), as it leaves __init__", "the largest of 67,200 weights between 2.5 and 3 deviations")
    call = partial(case.run_embedding, 700, 96, numbers(700, 96), torch.tensor([[1, 2]]))
    weight = first_weights(call, numbers(700, 96))
    most, std = weight.abs().max().item(), weight.double().std().item()
    if abs(std / 0.8796 - 1) < 0.03:
        case.true(2.5 < most <= 3.0001, f"{most:.4g}", TABLE_BOUNDS)
    elif abs(std / 0.9866 - 1) < 0.03:
        cause = "torch.randn, or another normal that is not cut" if most > 3 else ""
        case.true(2.5 < most <= 3.0001, f"{most:.4g}", cause)
    else:
        cut(case, weight, 1.0)


@check(
    "rmsnorm.value",
    "x / sqrt(mean(x^2) + eps), times the gain",
    cause="the mean subtracted (that is LayerNorm), a sum for the mean, or the gain forgotten",
    section="4.3",
    known=FORMULA,
    official=True,
)
def _(case: Case) -> None:
    x, gain = numbers(2, 3, 6) + 1, 1 + numbers(6, seed=1)
    mistakes = {
        "the mean is subtracted: that is LayerNorm": lambda got: any(
            not difference(got, f.rmsnorm(x - x.mean(-1, keepdim=True), gain, 1e-5) + shift, 1e-3)
            for shift in (0, gain)
        ),
        "a sum for the mean": f.rmsnorm(x, gain, 1e-5) / math.sqrt(6),
        "the gain is forgotten": f.rmsnorm(x, torch.ones(6), 1e-5),
        "the root is forgotten": x / (x.square().mean(-1, keepdim=True) + 1e-5) * gain,
    }
    right = f.rmsnorm(x, gain, 1e-5)
    case.same(lambda: case.run_rmsnorm(6, 1e-5, gain, x), right, "x of shape (2, 3, 6), mean 1", mistakes=mistakes)


@check(
    "rmsnorm.eps",
    "eps stands under the root, and is the one that was given",
    cause="eps added to the root, or a fixed 1e-5: large numbers hide it",
    section="4.3",
    known=FORMULA,
    after=("value",),
)
def _(case: Case) -> None:
    x, gain = numbers(2, 3, 6, scale=0.01), torch.ones(6)
    root = x.square().mean(-1, keepdim=True).sqrt()
    mistakes = {
        "eps is added to the root, not under it": x / (root + 1e-2),
        "a fixed eps, whatever was given: large numbers hide it": lambda got: any(
            not difference(got, f.rmsnorm(x, gain, eps), 1e-4) for eps in (0, 1e-5, 1e-6, 1e-8)
        ),
    }
    given = "eps 0.01, numbers near 0.01"
    case.same(lambda: case.run_rmsnorm(6, 1e-2, gain, x), f.rmsnorm(x, gain, 1e-2), given, mistakes=mistakes)


@check(
    "rmsnorm.shapes",
    "any leading dimensions, or none",
    cause="a fixed number of dimensions, or a mean over dim=2 instead of the last",
    section="4.3",
    known=FORMULA,
    after=("value",),
    errors=SHAPES,
)
def _(case: Case) -> None:
    gain = 1 + numbers(6, seed=1)
    for shape in ((6,), (4, 6), (2, 1, 3, 6)):
        x = numbers(*shape)
        case.same(partial(case.run_rmsnorm, 6, 1e-5, gain, x), f.rmsnorm(x, gain, 1e-5), f"x of shape {shape}")


@check(
    "rmsnorm.upcast",
    "half precision is squared in float32",
    cause="squares of 300 overflow in float16; the handout asks to go to float32 and back",
    section="4.3",
    known=FORMULA,
    after=("value",),
)
def _(case: Case) -> None:
    x, gain = (numbers(2, 3, 6) * 1000).half(), torch.ones(6, dtype=torch.float16)
    given = "float16, numbers near 1000"
    got = case.same(lambda: case.run_rmsnorm(6, 1e-5, gain, x), f.rmsnorm(x, gain, 1e-5), given, tolerance=0.01)
    case.say(given, "torch.float16, as it came")
    case.true(
        got.dtype == torch.float16, str(got.dtype), "the result stays in float32; it goes back to its input's type"
    )


@check(
    "rmsnorm.init",
    "gains begin at one",
    cause="torch.empty (memory garbage) or torch.randn for the gain",
    section="4.3",
    known="the handout",
)
def _(case: Case) -> None:
    case.say("RMSNorm(48), as it leaves __init__", "48 ones")
    gain = first_weights(lambda: case.run_rmsnorm(48, 1e-5, torch.ones(48), numbers(2, 48)), torch.ones(48))
    case.true(not gain.isnan().any(), "memory that nothing has filled (torch.empty)", UNFILLED)
    drawn = "gains that are drawn at random" if gain.unique().numel() > 2 else "gains of another value"
    case.true(bool((gain == 1).all()), f"numbers from {gain.min().item():.3g} to {gain.max().item():.3g}", drawn)
