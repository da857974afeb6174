"""RoPE and scaled dot-product attention."""

from __future__ import annotations

import math
from functools import partial

import torch

from .. import formulas as f
from ..case import Case, check
from ..errors import NONE, SHAPES, TYPES
from ..formulas import numbers
from ..show import difference

FORMULA = "the formula in float64"
TURNS = "each pair as a complex number, turned in float64"
IMPRECISE = "angles computed in half precision, or by adding up instead of multiplying"
IGNORED = "token_positions ignored, so that 0, 1, 2, ... are used whatever was asked"
FIXED_THETA = "a fixed theta of 10,000, whatever was given"
INVERTED = "the mask is taken the other way round: True means that a key may be attended to"
UNSCALED = "scores are not divided by the root of d_k"
BY_WIDTH = "scores are divided by d_k itself, not by its root"
UNMASKED = "the mask is not used"


@check(
    "rope.value",
    "pairs of neighbors turn by position * theta^(-2k/d)",
    cause="the first half paired with the second (as in Llama's code), a wrong exponent, or a wrong sense of rotation",
    section="4.5",
    known=TURNS,
    official=True,
)
def _(case: Case) -> None:
    x, at = numbers(2, 5, 6), torch.arange(5)
    halves = f.rope(x.unflatten(-1, (2, 3)).transpose(-1, -2).flatten(-2), at, 100.0)
    speeds = x.double().new_tensor([100.0 ** (-(2 * k + 2) / 6) for k in range(3)])
    mistakes = {
        "the first half is paired with the second, as in Llama's code": halves.unflatten(-1, (3, 2))
        .transpose(-1, -2)
        .flatten(-2),
        "the other sense of rotation": f.rope(x, -at, 100.0),
        "the exponent of the next pair: k counts from 0": f.turn(x, at, speeds),
        FIXED_THETA: f.rope(x, at, 10_000.0),
        "positions that count from 1": f.rope(x, at + 1, 100.0),
        IMPRECISE: lambda got: not difference(got, f.rope(x, at, 100.0), 0.02),
    }
    given = "d_k 6, theta 100, positions 0 to 4"
    case.same(lambda: case.run_rope(6, 100.0, 8, x, at), f.rope(x, at, 100.0), given, mistakes=mistakes)


@check(
    "rope.positions",
    "the positions that are given count, not the place in the row",
    cause=IGNORED,
    section="4.5",
    known=TURNS,
    after=("value",),
)
def _(case: Case) -> None:
    x, at = numbers(2, 3, 6), torch.tensor([7, 2, 4])
    mistakes = {IGNORED: f.rope(x, torch.arange(3), 100.0)}
    case.same(lambda: case.run_rope(6, 100.0, 8, x, at), f.rope(x, at, 100.0), "positions [7, 2, 4]", mistakes=mistakes)


@check(
    "rope.batch",
    "each row of a batch has its own positions",
    cause="only the first row of token_positions is used, or positions are taken as (1, S)",
    section="4.5",
    known=TURNS,
    after=("value", "positions"),
    errors=SHAPES,
)
def _(case: Case) -> None:
    x, at = numbers(2, 3, 6), torch.tensor([[0, 1, 2], [5, 6, 7]])
    # Where only the first row is used, or none, is the same here; the question before tells them apart.
    mistakes = {"only the first row of token_positions is used": f.rope(x, at[0], 100.0)}
    given = "positions [[0, 1, 2], [5, 6, 7]]"
    case.same(lambda: case.run_rope(6, 100.0, 8, x, at), f.rope(x, at, 100.0), given, mistakes=mistakes)


@check(
    "rope.shapes",
    "any leading dimensions, or none",
    cause="a fixed number of dimensions in the reshape to pairs",
    section="4.5",
    known=TURNS,
    after=("value",),
    errors=SHAPES,
)
def _(case: Case) -> None:
    at = torch.arange(3)
    for shape in ((3, 6), (2, 3, 6), (2, 5, 3, 6)):
        x = numbers(*shape)
        case.same(partial(case.run_rope, 6, 100.0, 8, x, at), f.rope(x, at, 100.0), f"x of shape {shape}")


@check(
    "rope.bfloat16",
    "bfloat16 in, bfloat16 out",
    cause="float32 cosines promote the result, and the next layer then refuses it or runs in float32",
    section="4.5",
    known=TURNS,
    kind="expect",
    after=("value",),
    errors=TYPES,
)
def _(case: Case) -> None:
    x, at = numbers(2, 3, 6).bfloat16(), torch.arange(3)
    given = "x in bfloat16, of shape (2, 3, 6)"
    got = case.same(lambda: case.run_rope(6, 100.0, 8, x, at), f.rope(x, at, 100.0), given, tolerance=0.03)
    case.say(given, "torch.bfloat16, as it came")
    case.true(got.dtype == torch.bfloat16, str(got.dtype))


@check(
    "rope.far",
    "position 4,000 is as right as position 4",
    cause=IMPRECISE,
    section="4.5",
    known=TURNS,
    after=("value", "positions"),
)
def _(case: Case) -> None:
    x, at = numbers(1, 3, 6), torch.tensor([0, 2000, 4000])
    case.same(
        lambda: case.run_rope(6, 10_000.0, 4096, x, at),
        f.rope(x, at, 10_000.0),
        "positions [0, 2000, 4000], theta 10,000",
        tolerance=5e-3,
    )


def _mask(*rows: str) -> torch.Tensor:
    return torch.tensor([[letter == "1" for letter in row] for row in rows])


@check(
    "scaled_dot_product_attention.value",
    "softmax(Q K^T / sqrt(d_k)) V with a mask",
    cause="the mask taken the other way round (True means: may attend), or scores not divided by sqrt(d_k)",
    section="4.7",
    known=FORMULA,
    official=True,
    after=("softmax.dim",),
)
def _(case: Case) -> None:
    q, k, v = numbers(2, 3, 4), numbers(2, 5, 4, seed=1), numbers(2, 5, 4, seed=2)
    mask = _mask("10110", "01000", "11111").expand(2, 3, 5)
    ask = partial(case.run_scaled_dot_product_attention, q, k, v, mask)
    inverted = f.attention(q, k, v, ~mask)
    full = ~inverted.isnan()  # a row that may attend to nothing is NaN, or whatever becomes of one
    mistakes = {
        INVERTED: lambda got: not difference(got[full], inverted[full], 1e-4),
        UNSCALED: f.attention(2 * q, k, v, mask),
        BY_WIDTH: f.attention(q / 2, k, v, mask),
        UNMASKED: f.attention(q, k, v),
    }
    given = "Q (2, 3, 4), K and V (2, 5, 4), a mask of shape (2, 3, 5)"
    case.same(ask, f.attention(q, k, v, mask), given, mistakes=mistakes)


@check(
    "scaled_dot_product_attention.scale",
    "scores are divided by the root of d_k, the width of the keys",
    cause="divided by the root of another dimension (the length, d_v, d_model), or by d_k itself",
    section="4.7",
    known=FORMULA,
    after=("value",),
)
def _(case: Case) -> None:
    q, k, v = numbers(2, 3, 8), numbers(2, 5, 8, seed=1), numbers(2, 5, 6, seed=2)
    mask = torch.ones(2, 3, 5, dtype=torch.bool)
    ask = partial(case.run_scaled_dot_product_attention, q, k, v, mask)
    widths = {"d_v, the width of the values": 6, "the number of queries": 3, "the number of keys": 5}
    root = math.sqrt(8)
    mistakes = {
        f"scores are divided by the root of {name}": f.attention(q * root / math.sqrt(width), k, v)
        for name, width in widths.items()
    }
    mistakes |= {UNSCALED: f.attention(q * root, k, v), BY_WIDTH: f.attention(q / root, k, v)}
    case.same(ask, f.attention(q, k, v), "d_k 8, d_v 6, 3 queries, 5 keys", mistakes=mistakes)


@check(
    "scaled_dot_product_attention.no_mask",
    "without a mask all may attend to all",
    cause="the mask is used without asking whether there is one",
    section="4.7",
    known=FORMULA,
    after=("value", "scale"),
    errors=NONE,
)
def _(case: Case) -> None:
    q, k, v = numbers(2, 3, 4), numbers(2, 5, 4, seed=1), numbers(2, 5, 4, seed=2)
    case.same(
        lambda: case.run_scaled_dot_product_attention(q, k, v, None), f.attention(q, k, v), "mask None, Q (2, 3, 4)"
    )


@check(
    "scaled_dot_product_attention.no_batch",
    "no leading dimensions",
    cause="a fixed number of dimensions, as in einsum('b q d, b k d -> b q k') or transpose(1, 2)",
    section="4.7",
    known=FORMULA,
    after=("value",),
    errors=SHAPES,
)
def _(case: Case) -> None:
    q, k, v = numbers(3, 4), numbers(5, 4, seed=1), numbers(5, 4, seed=2)
    mask = _mask("10110", "01000", "11111")
    ask = partial(case.run_scaled_dot_product_attention, q, k, v, mask)
    case.same(ask, f.attention(q, k, v, mask), "Q (3, 4), K and V (5, 4)")


@check(
    "scaled_dot_product_attention.many_dims",
    "batch and heads as leading dimensions, the mask shared by all",
    cause="a mask that must have all dimensions of the scores, or a fixed number of dimensions",
    section="4.7",
    known=FORMULA,
    after=("value", "no_batch", "scale"),
    errors=SHAPES,
)
def _(case: Case) -> None:
    q, k, v = numbers(2, 3, 4, 6), numbers(2, 3, 5, 6, seed=1), numbers(2, 3, 5, 6, seed=2)
    mask = _mask("10110", "01000", "11111", "00001")
    ask = partial(case.run_scaled_dot_product_attention, q, k, v, mask)
    case.same(ask, f.attention(q, k, v, mask), "Q (2, 3, 4, 6), K and V (2, 3, 5, 6), a mask of shape (4, 5)")


FIRST_MASK, ITS_HEAD = "only the first mask of the batch is used", "only the first head's mask is used"


@check(
    "scaled_dot_product_attention.masks",
    "each row of a batch, and each head, has a mask of its own",
    cause=FIRST_MASK,
    section="4.7",
    known=FORMULA,
    after=("value", "no_batch", "many_dims", "scale"),
)
def _(case: Case) -> None:
    q, k, v = numbers(2, 3, 4), numbers(2, 5, 4, seed=1), numbers(2, 5, 4, seed=2)
    masks = torch.stack([_mask("10110", "01000", "11111"), _mask("01101", "10011", "00100")])
    given = "Q (2, 3, 4), K and V (2, 5, 4), a mask of shape (2, 3, 5), each row another"
    ask = partial(case.run_scaled_dot_product_attention, q, k, v, masks)
    case.same(ask, f.attention(q, k, v, masks), given, mistakes={FIRST_MASK: f.attention(q, k, v, masks[0])})
    q, k, v = numbers(2, 3, 4, 6), numbers(2, 3, 5, 6, seed=1), numbers(2, 3, 5, 6, seed=2)
    rows = _mask("10110", "01000", "11111", "00001", "10101", "01110", "11000", "00111")
    masks = rows[torch.arange(24).remainder(7).add(torch.arange(24).div(7, rounding_mode="floor")).remainder(8)]
    masks = masks.reshape(2, 3, 4, 5)
    given = "Q (2, 3, 4, 6), K and V (2, 3, 5, 6), a mask of shape (2, 3, 4, 5), each another"
    mistakes = {
        FIRST_MASK: f.attention(q, k, v, masks[:1]),
        ITS_HEAD: f.attention(q, k, v, masks[:, :1]),
        "the masks of rows and of heads are mixed up": lambda got: (
            not difference(got, f.attention(q, k, v, masks.transpose(0, 1).reshape(masks.shape)), 1e-4)
        ),
    }
    ask = partial(case.run_scaled_dot_product_attention, q, k, v, masks)
    case.same(ask, f.attention(q, k, v, masks), given, mistakes=mistakes)


@check(
    "scaled_dot_product_attention.hidden",
    "what is masked has no weight at all",
    cause="a score of -1e4 or so, or a mask applied after the softmax: large scores shine through",
    section="4.7",
    known=FORMULA,
    after=("value", "no_batch", "softmax.large"),
)
def _(case: Case) -> None:
    q, k = torch.tensor([[2000.0, 0.0]]), torch.tensor([[-10_000.0, 0.0], [10_000.0, 0.0]])
    v, mask = torch.tensor([[1.0, 2.0], [3.0, 4.0]]), _mask("10")
    ask = partial(case.run_scaled_dot_product_attention, q, k, v, mask)
    mistakes = {
        "a score of -1e4 or so, or a mask applied after the softmax: large scores shine through": torch.tensor(
            [[3.0, 4.0]]
        ),
        "a mask applied after the softmax: nothing is left of the weights": torch.zeros(1, 2),
    }
    given = "the masked key's score is 28 million above the other's"
    case.same(ask, torch.tensor([[1.0, 2.0]]), given, mistakes=mistakes)


@check(
    "scaled_dot_product_attention.half",
    "float16 and bfloat16 with a mask",
    cause="-1e9 for -inf, which float16 cannot hold; or scores in float32 times values in float16",
    section="4.7",
    known=FORMULA,
    kind="expect",
    after=("value",),
    errors=TYPES,
)
def _(case: Case) -> None:
    q, k, v = numbers(1, 2, 4), numbers(1, 3, 4, seed=1), numbers(1, 3, 4, seed=2)
    mask = _mask("101", "010").expand(1, 2, 3)
    for dtype in (torch.float16, torch.bfloat16):
        args = [t.to(dtype) for t in (q, k, v)]
        ask = partial(case.run_scaled_dot_product_attention, *args, mask)
        got = case.same(ask, f.attention(q, k, v, mask), f"all in {dtype}, with a mask", tolerance=0.04)
        case.say(f"all in {dtype}, with a mask", f"{dtype}, as it came")
        case.true(got.dtype == dtype, str(got.dtype))


@check(
    "scaled_dot_product_attention.masked_row",
    "a query that may attend to nothing",
    cause="the handout is silent: NaN, zeros and the mean of the values are all seen",
    section="4.7",
    known="reported only",
    kind="choice",
)
def _(case: Case) -> None:
    q, k, v = torch.ones(1, 2, 2), torch.ones(1, 2, 2), torch.tensor([[[1.0, 2.0], [3.0, 4.0]]])
    case.say("the first of two queries has a row of False in the mask")
    mask = _mask("00", "11").expand(1, 2, 2)

    def row() -> str:
        numbers_ = case.run_scaled_dot_product_attention(q, k, v, mask)[0, 0].tolist()
        if any(math.isnan(n) for n in numbers_):
            return "NaN"
        return "zeros" if not any(numbers_) else "the mean of the values" if numbers_ == [2.0, 3.0] else str(numbers_)

    case.report(case.attempt(row))
