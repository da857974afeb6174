"""What the caller hands over: it is left as it was, and may lie in memory in any order.

A function is asked with tensors whose first two dimensions are exchanged in memory, as after a transpose().
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .. import formulas as f
from ..case import Case, check
from ..formulas import numbers
from .model import CONTEXT, FF, HEADS, LAYERS, THETA, VOCAB, D, ids
from .multihead import weights

IN_PLACE = "an operation in place on the caller's tensor, as x -= m, x += y, x.mul_(y) or x[...] = y"
VIEW = "view() asks for numbers in their order in memory; reshape() takes them in any, and copies where it must"


@dataclass(frozen=True)
class Asked:
    """A function that is asked for what it does with its input.

    Attributes:
        section: that explains it.
        call: calls the adapter with the tensors.
        right: the formula.
        tensors: name -> input, all of which begin with batch and sequence.
        after: the problems whose functions it calls.
        needs: the adapter, where it is not the problem's first.
    """

    section: str
    call: Callable[..., Any]
    right: Callable[..., Tensor]
    tensors: dict[str, Tensor]
    after: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()


def _x(width: int) -> dict[str, Tensor]:
    return {"x": numbers(2, 5, width)}


W, W2, W3, GAIN = numbers(9, 4), numbers(4, 9, seed=1), numbers(9, 4, seed=2), 1 + 0.3 * numbers(6, seed=1)
HEADED, BLOCK, LM = weights(12), f.block_weights(D, FF), f.lm_weights(VOCAB, D, LAYERS, FF)
TABLE, IDS = numbers(11, 5), torch.arange(10).remainder(11).reshape(2, 5)
AT = torch.arange(5)
PARTS = ("linear", "rmsnorm", "positionwise_feedforward", "rope", "multihead_self_attention")
QKV = {name: numbers(2, 5, 4, seed=seed) for seed, name in enumerate(("Q", "K", "V"))}
SCORES = {"scores": numbers(2, 5, 7), "targets": torch.arange(10).remainder(7).reshape(2, 5)}

ASKED = {
    "linear.": Asked("4.1", lambda c, x: c.run_linear(4, 9, W, x), lambda x: F.linear(x.double(), W.double()), _x(4)),
    "embedding.": Asked("4.2", lambda c, x: c.run_embedding(11, 5, TABLE, x), lambda x: TABLE[x], {"ids": IDS}),
    "rmsnorm.": Asked("4.3", lambda c, x: c.run_rmsnorm(6, 1e-5, GAIN, x), lambda x: f.rmsnorm(x, GAIN, 1e-5), _x(6)),
    "positionwise_feedforward.silu_": Asked(
        "4.4", lambda c, x: c.run_silu(x), lambda x: F.silu(x.double()), _x(4), needs=("run_silu",)
    ),
    "positionwise_feedforward.": Asked(
        "4.4",
        lambda c, x: c.run_swiglu(4, 9, W, W2, W3, x),
        lambda x: f.swiglu(x, W, W2, W3),
        _x(4),
        ("linear", "positionwise_feedforward.silu_"),
    ),
    "rope.": Asked("4.5", lambda c, x: c.run_rope(6, 100.0, 8, x, AT), lambda x: f.rope(x, AT, 100.0), _x(6)),
    "softmax.": Asked("4.6", lambda c, x: c.run_softmax(x, -1), lambda x: x.double().softmax(-1), _x(4)),
    "scaled_dot_product_attention.": Asked(
        "4.7", lambda c, q, k, v: c.run_scaled_dot_product_attention(q, k, v, None), f.attention, QKV, ("softmax",)
    ),
    "multihead_self_attention.": Asked(
        "4.8",
        lambda c, x: c.run_multihead_self_attention(12, 3, *(HEADED[name] for name in "qkvo"), x),
        lambda x: f.multihead(x, 3, HEADED),
        _x(12),
        ("linear", "scaled_dot_product_attention"),
    ),
    "transformer_block.": Asked(
        "4.9",
        lambda c, x: c.run_transformer_block(D, HEADS, FF, CONTEXT, THETA, dict(BLOCK), x),
        lambda x: f.block(x, HEADS, BLOCK, THETA),
        _x(D),
        PARTS,
    ),
    "transformer_lm.": Asked(
        "4.10",
        lambda c, x: c.run_transformer_lm(VOCAB, CONTEXT, D, LAYERS, HEADS, FF, THETA, dict(LM), x),
        lambda x: f.lm(x, LAYERS, HEADS, LM, THETA),
        {"ids": ids(2, 5)},
        ("embedding", "transformer_block", *PARTS),
    ),
    "cross_entropy.": Asked(
        "6.1",
        lambda c, x, t: c.run_cross_entropy(x, t),
        lambda x, t: F.cross_entropy(x.double().reshape(10, 7), t.reshape(10)),
        SCORES,
    ),
}


def asked(case: Case, of: Asked, tensors: dict[str, Tensor]) -> Any:
    """Call the adapter; an error over the order in memory says what it comes from."""
    try:
        return of.call(case, *tensors.values())
    except (RuntimeError, ValueError) as error:
        case.cause = VIEW if re.search(r"view|[Ss]tride|contiguous", str(error)) else ""
        raise


def _given(tensors: dict[str, Tensor]) -> str:
    return ", ".join(f"{name} of shape {tuple(tensor.shape)}" for name, tensor in tensors.items())


def _earlier(of: Asked, question: str) -> list[str]:
    return [f"{name}{question}" if "." in name else f"{name}.{question}" for name in of.after]


for _name, _of in ASKED.items():
    _value = {"positionwise_feedforward.silu_": "silu", "softmax.": "dim"}.get(_name, "value")
    _values = (_value, "batch") if _name == "cross_entropy." else (_value,)

    @check(
        f"{_name}input",
        "the input is left as it was",
        cause=IN_PLACE,
        section=_of.section,
        known="a copy, taken before",
        kind="expect",
        needs=_of.needs,
        after=(*_values, *_earlier(_of, "input")),
    )
    def _(case: Case, of: Asked = _of) -> None:
        case.say(_given(of.tensors), "the same numbers, still")
        own = {name: tensor.clone() for name, tensor in of.tensors.items()}
        of.call(case, *own.values())
        changed = [name for name, tensor in own.items() if not torch.equal(tensor, of.tensors[name])]
        case.true(not changed, f"other numbers in {', '.join(changed)}")

    @check(
        f"{_name}strided",
        "the input may lie in memory in another order, as after transpose()",
        cause=VIEW,
        section=_of.section,
        known="the formula in float64",
        kind="expect",
        needs=_of.needs,
        after=(*_values, *_earlier(_of, "strided")),
    )
    def _(case: Case, of: Asked = _of) -> None:
        turned = {name: t.transpose(0, 1).contiguous().transpose(0, 1) for name, t in of.tensors.items()}
        given = f"{_given(turned)}, transposed: sequence first in memory"
        right = of.right(*of.tensors.values())
        case.same(lambda: asked(case, of, turned), right, given, tolerance=1e-3, mistakes={})
