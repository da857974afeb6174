"""Multi-head self-attention, with and without RoPE. Batch and heads differ here: equal ones hide mix-ups."""

from __future__ import annotations

from typing import Any

import torch

from .. import formulas as f
from ..case import Case, check
from ..formulas import numbers

FORMULA = "one head at a time, in float64"
ROPE = ("run_multihead_self_attention_with_rope",)
OVER_HEADS = "positions of shape (B, S) are broadcast against the head axis: (B, 1, S) is meant"


def weights(d: int) -> dict[str, torch.Tensor]:
    """Projections named q, k, v and o."""
    return {name: numbers(d, d, seed=i + 1, scale=1.5 / d**0.5) for i, name in enumerate("qkvo")}


def plain(case: Case, heads: int, x: torch.Tensor, given: str, tolerance: float = 1e-4) -> None:
    """Ask the adapter without RoPE."""
    d = x.shape[-1]
    w = weights(d)
    case.same(
        lambda: case.run_multihead_self_attention(d, heads, w["q"], w["k"], w["v"], w["o"], x),
        f.multihead(x, heads, w),
        given,
        tolerance=tolerance,
    )


def turned(case: Case, heads: int, x: torch.Tensor, positions: Any, given: str, theta: float = 100.0) -> None:
    """Ask the adapter with RoPE."""
    d = x.shape[-1]
    w = weights(d)
    case.same(
        lambda: case.run_multihead_self_attention_with_rope(
            d, heads, 16, theta, w["q"], w["k"], w["v"], w["o"], x, positions
        ),
        f.multihead(x, heads, w, theta, positions),
        given,
    )


@check(
    "multihead_self_attention.value",
    "causal attention of each head, put together in order",
    cause="heads split or joined in another order, the causal mask missing, or batch and heads mixed up",
    section="4.8",
    known=FORMULA,
    official=True,
)
def _(case: Case) -> None:
    plain(case, 3, numbers(2, 5, 12), "d_model 12, 3 heads, x of shape (2, 5, 12)")


@check(
    "multihead_self_attention.one_token",
    "a single token, a single head",
    cause="squeeze() drops a dimension that happens to be one",
    section="4.8",
    known=FORMULA,
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
)
def _(case: Case) -> None:
    turned(case, 3, numbers(2, 5, 12), torch.arange(5), "d_model 12, 3 heads, positions 0 to 4, batch 2")


@check(
    "multihead_self_attention.rope_positions",
    "the positions that are given count",
    cause="token_positions ignored: 0, 1, 2, ... are used whatever was asked, which a cache or left padding breaks",
    section="4.8",
    known=FORMULA,
    needs=ROPE,
)
def _(case: Case) -> None:
    turned(case, 3, numbers(2, 3, 12), torch.tensor([9, 2, 4]), "positions [9, 2, 4], batch 2, 3 heads")


@check(
    "multihead_self_attention.rope_batch",
    "positions of shape (B, S), with B different from the number of heads",
    cause=OVER_HEADS,
    section="4.8",
    known=FORMULA,
    needs=ROPE,
)
def _(case: Case) -> None:
    at = torch.tensor([[0, 1, 2], [5, 6, 9]])
    turned(case, 3, numbers(2, 3, 12), at, "positions [[0, 1, 2], [5, 6, 9]], batch 2, 3 heads")


@check(
    "multihead_self_attention.rope_batch_heads",
    "positions of shape (B, S), with as many rows as heads",
    cause=OVER_HEADS + "; with B = heads nothing crashes, and each head gets another row's positions",
    section="4.8",
    known=FORMULA,
    needs=ROPE,
)
def _(case: Case) -> None:
    at = torch.tensor([[0, 3, 4], [5, 6, 9], [2, 3, 8], [1, 7, 10]])
    turned(case, 4, numbers(4, 3, 16), at, "positions of shape (4, 3), each row another, batch 4, 4 heads")


@check(
    "multihead_self_attention.rope_one_row",
    "positions of shape (1, S) serve all rows",
    cause="positions expected with the batch's number of rows",
    section="4.8",
    known=FORMULA,
    needs=ROPE,
    official=True,
)
def _(case: Case) -> None:
    turned(case, 3, numbers(2, 4, 12), torch.arange(4)[None], "positions of shape (1, 4), batch 2, 3 heads")


@check(
    "multihead_self_attention.rope_none",
    "without positions, 0, 1, 2, ... are meant",
    cause="token_positions is used without asking whether it is there; or RoPE is left out without a word",
    section="4.8",
    known=FORMULA,
    needs=ROPE,
    kind="expect",
)
def _(case: Case) -> None:
    turned(case, 3, numbers(2, 5, 12), None, "token_positions None, batch 2, 3 heads")


@check(
    "multihead_self_attention.rope_theta",
    "theta is the one that was given",
    cause="a fixed 10,000",
    section="4.8",
    known=FORMULA,
    needs=ROPE,
)
def _(case: Case) -> None:
    turned(case, 3, numbers(2, 5, 12), torch.arange(5), "theta 7, positions 0 to 4, batch 2, 3 heads", 7.0)
