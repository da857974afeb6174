"""Multi-head self-attention, with and without RoPE. Batch and heads differ here: equal ones hide mix-ups."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F

from .. import formulas as f
from ..case import Case, check
from ..errors import NONE, SHAPES
from ..formulas import numbers
from ..show import difference

FORMULA = "one head at a time, in float64"
ROPE = ("run_multihead_self_attention_with_rope",)
UNMASKED, BACKWARD = "the causal mask is missing", "the causal mask is turned around: it hides what came before"
UNSPLIT = "heads split or joined by a reshape alone: their axis comes before the sequence, which takes a transpose"
UNPROJECTED = "the output projection is left out"
WHOLE = "RoPE before the heads are split: its pairs and speeds are those of a head, not of the whole width"
VALUES, UNTURNED = "values are turned as well", "RoPE is left out without a word"
IGNORED = "token_positions ignored: 0, 1, 2, ... are used whatever was asked, which a cache or left padding breaks"
FIRST_ROW = "only the first row of token_positions is used"
FIXED_THETA = "a fixed theta of 10,000, whatever was given"
OVER_HEADS = (
    "positions of shape (B, S) are broadcast against the head axis: (B, 1, S) is meant; with B = heads nothing "
    "crashes, and each head gets another row's positions"
)

PLAIN = (UNMASKED, BACKWARD, UNSPLIT, UNPROJECTED)
TURNED = (*PLAIN, WHOLE, VALUES, UNTURNED, FIXED_THETA)


def weights(d: int) -> dict[str, torch.Tensor]:
    """Projections named q, k, v and o."""
    return {name: numbers(d, d, seed=i + 1, scale=1.5 / d**0.5) for i, name in enumerate("qkvo")}


def mistaken(
    why: str, x: torch.Tensor, heads: int, w: Mapping[str, torch.Tensor], theta: float = 0.0, positions: Any = None
) -> list[torch.Tensor]:
    """What comes of a mistake, in each form that it takes; `theta` 0 is for no RoPE."""
    x, length = x.double(), x.shape[-2]
    at = torch.arange(length) if positions is None or why == IGNORED else positions
    at = at[0] if why == FIRST_ROW else at
    theta = 10_000.0 if why == FIXED_THETA else theta
    q, k, v = (F.linear(x, w[name].double()) for name in "qkv")
    if why == WHOLE:
        q, k = f.rope(q, at, theta), f.rope(k, at, theta)

    def split(y: torch.Tensor) -> torch.Tensor:
        if why == UNSPLIT:
            return y.reshape(*y.shape[:-2], heads, length, -1)
        return y.unflatten(-1, (heads, -1)).transpose(-3, -2)

    q, k, v = split(q), split(k), split(v)
    if theta and why not in (WHOLE, UNTURNED):
        at = at if why == OVER_HEADS else at.unsqueeze(-2)
        q, k, v = f.rope(q, at, theta), f.rope(k, at, theta), f.rope(v, at, theta) if why == VALUES else v
    causal = torch.ones(length, length, dtype=torch.bool)
    mixed = f.attention(q, k, v, {UNMASKED: causal, BACKWARD: causal.triu()}.get(why, causal.tril()))
    joined = [mixed.transpose(-3, -2).flatten(-2)]
    if why == UNSPLIT:
        joined.append(mixed.reshape(x.shape))
    return [each if why == UNPROJECTED else F.linear(each, w["o"].double()) for each in joined]


def among(
    causes: Sequence[str], x: torch.Tensor, heads: int, theta: float = 0.0, positions: Any = None
) -> dict[str, Callable[[Any], bool]]:
    """For each cause, whether an answer comes of it."""

    def comes_of(why: str, got: Any) -> bool:
        wrong = mistaken(why, x, heads, weights(x.shape[-1]), theta, positions)
        return any(not difference(got, each, 1e-4) for each in wrong)

    return {why: partial(comes_of, why) for why in causes}


def plain(case: Case, heads: int, x: torch.Tensor, given: str, causes: Sequence[str] = ()) -> None:
    """Ask the adapter without RoPE; one of the causes, if there are any, is named where an answer comes of it."""
    d = x.shape[-1]
    w = weights(d)
    case.same(
        lambda: case.run_multihead_self_attention(d, heads, w["q"], w["k"], w["v"], w["o"], x),
        f.multihead(x, heads, w),
        given,
        mistakes=among(causes, x, heads) if causes else None,
    )


def turned(
    case: Case,
    heads: int,
    x: torch.Tensor,
    positions: Any,
    given: str,
    theta: float = 100.0,
    causes: Sequence[str] = (),
) -> None:
    """Ask the adapter with RoPE."""
    d = x.shape[-1]
    w = weights(d)
    case.same(
        lambda: case.run_multihead_self_attention_with_rope(
            d, heads, 16, theta, w["q"], w["k"], w["v"], w["o"], x, positions
        ),
        f.multihead(x, heads, w, theta, positions),
        given,
        mistakes=among(causes, x, heads, theta, positions) if causes else None,
    )


@check(
    "multihead_self_attention.value",
    "causal attention of each head, put together in order",
    cause="heads split or joined in another order, the causal mask missing, or batch and heads mixed up",
    section="4.8",
    known=FORMULA,
    official=True,
    after=("linear.value", "scaled_dot_product_attention.value", "scaled_dot_product_attention.many_dims"),
)
def _(case: Case) -> None:
    plain(case, 3, numbers(2, 5, 12), "d_model 12, 3 heads, x of shape (2, 5, 12)", PLAIN)


@check(
    "multihead_self_attention.one_token",
    "a single token, a single head",
    cause="squeeze() drops a dimension that happens to be one",
    section="4.8",
    known=FORMULA,
    after=("value",),
    errors=SHAPES,
)
def _(case: Case) -> None:
    plain(case, 1, numbers(3, 1, 6), "d_model 6, 1 head, x of shape (3, 1, 6)")
    plain(case, 2, numbers(1, 4, 6), "d_model 6, 2 heads, x of shape (1, 4, 6)")


@check(
    "multihead_self_attention.no_batch",
    "no batch dimension, or several",
    cause="x.shape unpacked into exactly batch, sequence and width; the handout writes '... sequence d_in'",
    section="4.8",
    known=FORMULA,
    kind="expect",
    after=("value",),
    errors=SHAPES,
)
def _(case: Case) -> None:
    for shape in ((4, 6), (2, 3, 4, 6)):
        plain(case, 2, numbers(*shape), f"d_model 6, 2 heads, x of shape {shape}")


@check(
    "multihead_self_attention.rope",
    "queries and keys are turned, values are not",
    cause="RoPE before the heads are split, or on the values too",
    section="4.8",
    known=FORMULA,
    needs=ROPE,
    official=True,
    after=("value", "rope.value"),
)
def _(case: Case) -> None:
    turned(case, 3, numbers(2, 5, 12), torch.arange(5), "d_model 12, 3 heads, positions 0 to 4, batch 2", causes=TURNED)


@check(
    "multihead_self_attention.rope_positions",
    "the positions that are given count",
    cause=IGNORED,
    section="4.8",
    known=FORMULA,
    needs=ROPE,
    after=("rope", "rope.positions"),
)
def _(case: Case) -> None:
    turned(
        case, 3, numbers(2, 3, 12), torch.tensor([9, 2, 4]), "positions [9, 2, 4], batch 2, 3 heads", causes=[IGNORED]
    )


@check(
    "multihead_self_attention.rope_batch",
    "positions of shape (B, S), with B different from the number of heads",
    cause=OVER_HEADS,
    section="4.8",
    known=FORMULA,
    needs=ROPE,
    after=("rope", "rope_positions", "rope.batch"),
    errors=SHAPES,
)
def _(case: Case) -> None:
    at = torch.tensor([[0, 1, 2], [5, 6, 9]])
    turned(
        case,
        3,
        numbers(2, 3, 12),
        at,
        "positions [[0, 1, 2], [5, 6, 9]], batch 2, 3 heads",
        causes=[FIRST_ROW, IGNORED],
    )


@check(
    "multihead_self_attention.rope_batch_heads",
    "positions of shape (B, S), with as many rows as heads",
    cause=OVER_HEADS,
    section="4.8",
    known=FORMULA,
    needs=ROPE,
    after=("rope", "rope_positions", "rope_batch", "rope.batch"),
    errors=SHAPES,
)
def _(case: Case) -> None:
    at = torch.tensor([[0, 3, 4], [5, 6, 9], [2, 3, 8], [1, 7, 10]])
    turned(
        case,
        4,
        numbers(4, 3, 16),
        at,
        "positions of shape (4, 3), each row another, batch 4, 4 heads",
        causes=[OVER_HEADS, FIRST_ROW, IGNORED],
    )


@check(
    "multihead_self_attention.rope_one_row",
    "positions of shape (1, S) serve all rows",
    cause="positions expected with the batch's number of rows",
    section="4.8",
    known=FORMULA,
    needs=ROPE,
    official=True,
    after=("rope",),
    errors=SHAPES,
)
def _(case: Case) -> None:
    turned(case, 3, numbers(2, 4, 12), torch.arange(4)[None], "positions of shape (1, 4), batch 2, 3 heads")


@check(
    "multihead_self_attention.rope_none",
    "without positions, 0, 1, 2, ... are meant",
    cause="token_positions is used without asking whether it is there",
    section="4.8",
    known=FORMULA,
    needs=ROPE,
    kind="expect",
    after=("rope",),
    errors=NONE,
)
def _(case: Case) -> None:
    turned(case, 3, numbers(2, 5, 12), None, "token_positions None, batch 2, 3 heads", causes=[UNTURNED])


@check(
    "multihead_self_attention.rope_theta",
    "theta is the one that was given",
    cause=FIXED_THETA,
    section="4.8",
    known=FORMULA,
    needs=ROPE,
    after=("rope",),
)
def _(case: Case) -> None:
    turned(
        case, 3, numbers(2, 5, 12), torch.arange(5), "theta 7, positions 0 to 4, batch 2, 3 heads", 7.0, [FIXED_THETA]
    )
