"""Questions that no official adapter answers; the chapters ask them of a function that the reader names."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch

from ..case import Case, check, has_nan
from ..errors import NOT_UTF8

# (vocab_size, context_length, d_model, num_layers, num_heads, d_ff); heads change no count.
SMALL, XL = (10, 4, 6, 2, 3, 16), (50_257, 1024, 1600, 48, 25, 4288)


def _count(vocab: int, _: int, d: int, layers: int, __: int, ff: int) -> int:
    return 2 * vocab * d + layers * (4 * d * d + 3 * d * ff + 2 * d) + d


def _flops(vocab: int, s: int, d: int, layers: int, _: int, ff: int) -> int:
    return layers * (8 * s * d * d + 4 * s * s * d + 6 * s * d * ff) + 2 * s * d * vocab


for _name, _given, _right in (("small", SMALL, _count(*SMALL)), ("xl", XL, 1_640_452_800)):

    @check(
        f"parameter_count.{_name}",
        f"the parameters of a model of width {_given[2]}",
        cause="two matrices in the feed-forward network for three, one vocabulary matrix, or the norms forgotten",
        section="5.1",
        known="2VD + L(4D^2 + 3DF + 2D) + D",
    )
    def _(case: Case, given: tuple[int, ...] = _given, right: int = _right) -> None:
        names = "vocab_size, context_length, d_model, num_layers, num_heads, d_ff"
        case.same(lambda: case.parameter_count(*given), right, f"{names} = {given}")


for _name, _given, _right in (("small", SMALL, _flops(*SMALL)), ("xl", XL, 3_516_769_894_400)):

    @check(
        f"forward_flops.{_name}",
        f"the matrix FLOPs of a forward pass of width {_given[2]}",
        cause="one operation for a multiplication and its addition, scores counted once, or the head forgotten",
        section="5.2",
        known="L(8SD^2 + 4S^2D + 6SDF) + 2SDV, held against torch's FlopCounterMode",
    )
    def _(case: Case, given: tuple[int, ...] = _given, right: int = _right) -> None:
        names = "vocab_size, context_length, d_model, num_layers, num_heads, d_ff"
        case.same(lambda: case.forward_flops(*given), right, f"{names} = {given}")


@check(
    "decode_utf8.ascii",
    "plain letters",
    cause="bytes taken for something else than numbers",
    section="1.3",
    known="bytes.decode",
    errors=r"(TypeError|AttributeError): .*\bint\b",
)
def _(case: Case) -> None:
    case.same(lambda: case.decode_utf8(b"hello"), "hello", "b'hello'")


@check(
    "decode_utf8.several_bytes",
    "characters of two, three and four bytes",
    cause="each byte decoded by itself, although a character may take up to four",
    section="1.7",
    known="bytes.decode",
    errors=NOT_UTF8,
)
def _(case: Case) -> None:
    for text in ("\u00e9", "\u65e5\u672c", "\U0001f600a"):
        case.same(partial(case.decode_utf8, text.encode()), text, f"{text.encode()!r}")


@check(
    "decode_utf8.malformed",
    "bytes that are no UTF-8 become U+FFFD",
    cause="an error on bytes that a model may well produce",
    section="1.7",
    known="bytes.decode with errors='replace'",
    kind="expect",
    errors=NOT_UTF8,
)
def _(case: Case) -> None:
    case.same(lambda: case.decode_utf8(b"a\xffb"), "a\ufffdb", r"b'a\xffb'")


CROSSING = "the token that crosses p is dropped, as by cumsum <= p, so that less than p of the probability is left"
ONE_MORE = "a token too many: what is kept before it already holds p"
SORTED = "the sorted order is kept, so that ids mean other tokens"
NOTHING_LEFT = "a p below the largest probability leaves nothing, and 0 / 0"
ROUNDED = "a rounded cumulative sum just below 1 that drops the last token, or just above"
UNDIVIDED = "the others are set to zero and nothing is divided"


def _nucleus(
    case: Case, probabilities: list[float], p: float, right: list[float], of_this: Mapping[str, Any] | None = None
) -> None:
    """Hold what top-p makes of probabilities against the right answer; `of_this` are mistakes that show here alone."""
    given = f"probabilities {probabilities}, p {p}"
    tensor = torch.tensor(probabilities)
    count = sum(share > 0 for share in right)
    wrong: dict[str, Any] = dict(of_this or {}) | {
        CROSSING: _kept(tensor, count - 1),
        ONE_MORE: _kept(tensor, count + 1),
        SORTED: torch.tensor(right).sort(descending=True).values,
        UNDIVIDED: tensor * (torch.tensor(right) > 0),
    }
    case.same(lambda: case.top_p(tensor.clone(), p), torch.tensor(right), given, tolerance=1e-5, mistakes=wrong)


def _kept(probabilities: torch.Tensor, count: int) -> torch.Tensor:
    """The shares of so many of the likeliest tokens; NaN where none is kept.

    >>> _kept(torch.tensor([0.25, 0.75]), 1)
    tensor([0., 1.])
    """
    ids = probabilities.sort(descending=True, stable=True).indices[:count]
    kept = torch.zeros_like(probabilities).scatter(-1, ids, probabilities[ids])
    return kept / kept.sum()


@check(
    "top_p.crossing",
    "the token that crosses p is kept, and none behind it",
    cause=CROSSING,
    section="7.2",
    known="the smallest set that holds p",
)
def _(case: Case) -> None:
    _nucleus(case, [0.5, 0.3, 0.2], 0.6, [0.625, 0.375, 0.0])
    _nucleus(case, [0.5, 0.25, 0.25], 0.5, [1.0, 0.0, 0.0])  # exact in binary


@check(
    "top_p.order",
    "probabilities come back in the order of the vocabulary",
    cause=SORTED,
    section="7.2",
    known="the smallest set that holds p",
    after=("crossing", "sum"),
)
def _(case: Case) -> None:
    _nucleus(case, [0.125, 0.5, 0.125, 0.25], 0.7, [0.0, 2 / 3, 0.0, 1 / 3])


@check(
    "top_p.sum",
    "what is left sums to one",
    cause=UNDIVIDED,
    section="7.2",
    known="the smallest set that holds p",
    after=("crossing",),
)
def _(case: Case) -> None:
    _nucleus(case, [0.4, 0.4, 0.2], 0.75, [0.5, 0.5, 0.0])


@check(
    "top_p.first",
    "the likeliest token is always kept",
    cause=NOTHING_LEFT,
    section="7.2",
    known="the smallest set that holds p",
    after=("crossing", "sum", "order"),
)
def _(case: Case) -> None:
    _nucleus(case, [0.2, 0.7, 0.1], 0.1, [0.0, 1.0, 0.0], {NOTHING_LEFT: has_nan})


@check(
    "top_p.all",
    "p of 1 changes nothing",
    cause=ROUNDED,
    section="7.2",
    known="the smallest set that holds p",
    after=("crossing", "sum", "order"),
)
def _(case: Case) -> None:
    _nucleus(case, [0.1, 0.2, 0.3, 0.4], 1.0, [0.1, 0.2, 0.3, 0.4], {ROUNDED: torch.tensor([0.0, 2 / 9, 3 / 9, 4 / 9])})
