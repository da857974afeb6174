"""The block and the whole model."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from .. import formulas as f
from ..case import Case, check
from ..errors import SHAPES
from ..formulas import numbers
from ..show import difference

FORMULA = "the formula in float64"
VOCAB, CONTEXT, D, LAYERS, HEADS, FF = 37, 8, 12, 2, 3, 20
THETA = 100.0
OTHER_EPS = "another eps in the norms of the block or the model than the handout's 1e-5, which larger numbers hide"
Part = Callable[[Tensor], Tensor]


def ids(*shape: int) -> torch.Tensor:
    """Token ids that no seed decides."""
    return torch.arange(math.prod(shape)).mul(7).add(3).remainder(VOCAB).reshape(shape)


def scores(case: Case, tokens: Tensor, given: str, layers: int = LAYERS, known: bool = False) -> None:
    """Hold the model's scores against the formula's; name a cause only if it is `known` to give what came."""
    w = f.lm_weights(VOCAB, D, layers, FF)
    mistakes = {why: partial(_scores_come_of, how, tokens, w) for why, how in MODELS.items()} if known else None
    case.same(
        lambda: case.run_transformer_lm(VOCAB, CONTEXT, D, layers, HEADS, FF, THETA, dict(w), tokens),
        f.lm(tokens, layers, HEADS, w, THETA),
        f"{layers} layers, {HEADS} heads, d_model {D}, ids of shape {tuple(tokens.shape)}{given}",
        tolerance=1e-3,
        mistakes=mistakes,
    )


MODELS = {
    "the final norm is left out": "no norm",
    "probabilities are returned instead of scores": "softmax",
    "logarithms of probabilities are returned instead of scores": "log_softmax",
    "a layer is left out": "first layer",
    "the layers are run in another order": "reversed",
    "one block is used for all layers": "one block",
}


def _scores_come_of(how: str, tokens: Tensor, w: Mapping[str, Tensor], got: object) -> bool:
    """Whether scores of a model of two layers are those that a mistake gives."""

    def of(*numbers_: int) -> Tensor:
        rest = {name: weight for name, weight in w.items() if not name.startswith("layers.")}
        for to, number in enumerate(numbers_):
            own = (name.removeprefix(f"layers.{number}.") for name in w if name.startswith(f"layers.{number}."))
            rest |= {f"layers.{to}.{name}": w[f"layers.{number}.{name}"] for name in own}
        return f.lm(tokens, len(numbers_), HEADS, rest, THETA)

    right = of(0, 1)
    if how == "no norm":
        x = w["token_embeddings.weight"].double()[tokens]
        for layer in (0, 1):
            prefix = f"layers.{layer}."
            own = {name.removeprefix(prefix): weight for name, weight in w.items() if name.startswith(prefix)}
            x = f.block(x, HEADS, own, THETA)
        wrong = [x @ w["lm_head.weight"].double().T]
    else:
        wrong = {
            "softmax": [right.softmax(-1)],
            "log_softmax": [right.log_softmax(-1)],
            "first layer": [of(0), of(1), of()],
            "reversed": [of(1, 0)],
            "one block": [of(0, 0), of(1, 1)],
        }[how]
    return any(not difference(got, each, 1e-3) for each in wrong)


def _after_sublayers(x: Tensor, one: Part, two: Part, attend: Part, feed: Part) -> Tensor:
    x = one(x + attend(x))
    return two(x + feed(x))


def _from_normed(x: Tensor, one: Part, two: Part, attend: Part, feed: Part) -> Tensor:
    x = one(x)
    x = two(x + attend(x))
    return x + feed(x)


def _exchanged(x: Tensor, one: Part, two: Part, attend: Part, feed: Part) -> Tensor:
    x = x + attend(two(x))
    return x + feed(one(x))


def _side_by_side(x: Tensor, one: Part, two: Part, attend: Part, feed: Part) -> Tensor:
    return x + attend(one(x)) + feed(two(x))


def _no_residual(x: Tensor, one: Part, two: Part, attend: Part, feed: Part) -> Tensor:
    return feed(two(attend(one(x))))


BLOCKS = {
    "norms after the sublayers": _after_sublayers,
    "a residual taken from the normed input": _from_normed,
    "ln1 and ln2 exchanged": _exchanged,
    "the feed-forward network reads the block's input, not what attention has added to": _side_by_side,
    "the residual connections are left out": _no_residual,
}


def _comes_of(how: Callable[..., Tensor], x: Tensor, w: Mapping[str, Tensor], got: object) -> bool:
    """Whether an answer is that of a block whose parts are put together in another way."""
    norms = [partial(f.rmsnorm, gain=w[f"{name}.weight"], eps=1e-5) for name in ("ln1", "ln2")]
    named = {"q": "q_proj", "k": "k_proj", "v": "v_proj", "o": "output_proj"}
    heads = {short: w[f"attn.{name}.weight"] for short, name in named.items()}
    attend = partial(f.multihead, heads=HEADS, weights=heads, theta=THETA)
    w1, w2, w3 = (w[f"ffn.w{i}.weight"] for i in (1, 2, 3))
    return not difference(got, how(x.double(), *norms, attend, partial(f.swiglu, w1=w1, w2=w2, w3=w3)), 1e-3)


@check(
    "transformer_block.value",
    "norm, attention, add; norm, feed-forward, add",
    cause="norms after the sublayers, a residual taken from the normed input, or ln1 and ln2 exchanged",
    section="4.9",
    known=FORMULA,
    official=True,
    after=(
        "rmsnorm.value",
        "rmsnorm.input",
        "positionwise_feedforward.value",
        "multihead_self_attention.value",
        "multihead_self_attention.rope",
        "multihead_self_attention.rope_none",
        "rope.value",
    ),
)
def _(case: Case) -> None:
    w, x = f.block_weights(D, FF), numbers(2, 5, D, seed=9)
    mistakes = {why: partial(_comes_of, how, x, w) for why, how in BLOCKS.items()}
    case.same(
        lambda: case.run_transformer_block(D, HEADS, FF, CONTEXT, THETA, dict(w), x),
        f.block(x, HEADS, w, THETA),
        f"d_model {D}, {HEADS} heads, d_ff {FF}, x of shape (2, 5, {D})",
        tolerance=1e-3,
        mistakes=mistakes,
    )


@check(
    "transformer_block.batch",
    "rows of a batch don't see each other, whatever their number",
    cause="batch and heads mixed up: it can only work while both are equal",
    section="4.9",
    known=FORMULA,
    after=("value",),
    errors=SHAPES,
)
def _(case: Case) -> None:
    w = f.block_weights(D, FF)
    for batch in (1, 5):
        x = numbers(batch, 4, D, seed=9)
        case.same(
            partial(case.run_transformer_block, D, HEADS, FF, CONTEXT, THETA, dict(w), x),
            f.block(x, HEADS, w, THETA),
            f"batch {batch}, {HEADS} heads",
            tolerance=1e-3,
        )


def near(eps: float) -> float:
    """The size of numbers of which a norm with this eps sees about as much as of the eps."""
    return math.sqrt(eps / 10)


def _quiet(w: Mapping[str, Tensor], factor: float) -> dict[str, Tensor]:
    """The same weights, but for attention and the feed-forward network, which add so little that x stays small."""
    last = ("output_proj.weight", "ffn.w2.weight")
    return {name: weight * factor if name.endswith(last) else weight for name, weight in w.items()}


@check(
    "transformer_block.eps",
    "the block's norms have the handout's eps of 1e-5",
    cause=OTHER_EPS,
    section="4.9",
    known=FORMULA,
    after=("value", "rmsnorm.eps"),
)
def _(case: Case) -> None:
    size = near(1e-5)
    w, x = _quiet(f.block_weights(D, FF), size), numbers(2, 5, D, seed=9, scale=size)

    def of(eps: float) -> Tensor:
        return f.block(x, HEADS, w, THETA, eps) / size

    def ask() -> Any:
        return case.run_transformer_block(D, HEADS, FF, CONTEXT, THETA, dict(w), x) / size

    given = f"x and the last weights of each sublayer near {size:g}; the answer divided by it"
    case.same(ask, of(1e-5), given, tolerance=1e-2, mistakes=other_eps(of))


def other_eps(of: Callable[[float], Tensor]) -> dict[str, Tensor]:
    """The answers of a model whose norms have another eps."""
    known = (1e-3, 1e-4, 1e-6, torch.finfo(torch.float32).eps, 1e-8, 1e-12, 0.0)
    return {f"an eps of {one:g} in the norms, not the handout's 1e-5: larger numbers hide it": of(one) for one in known}


@check(
    "transformer_lm.value",
    "the scores of a small model",
    cause="a final norm or a layer left out, weights of layers mixed up, or probabilities instead of scores",
    section="4.10",
    known=FORMULA,
    official=True,
    after=("transformer_block.value", "embedding.value", "rmsnorm.input"),
)
def _(case: Case) -> None:
    scores(case, ids(2, 5), "", known=True)


@check(
    "transformer_lm.full_context",
    "ids as long as the context",
    cause="a table of positions that is one too short",
    section="4.10",
    known=FORMULA,
    official=True,
    after=("value",),
    errors=r"(IndexError|RuntimeError): .*(out of (range|bounds)|[Ss]ize|[Ss]hape)",
)
def _(case: Case) -> None:
    scores(case, ids(2, CONTEXT), f" (context_length {CONTEXT})")


@check(
    "transformer_lm.batches",
    "one row, five rows, a single token",
    cause="batch and heads mixed up, or squeeze() that drops a dimension of one",
    section="4.10",
    known=FORMULA,
    after=("value", "transformer_block.batch", "multihead_self_attention.one_token"),
    errors=SHAPES,
)
def _(case: Case) -> None:
    for shape in ((1, 5), (5, 4), (2, 1)):
        scores(case, ids(*shape), "")


@check(
    "transformer_lm.layers",
    "eleven layers, in the order of their numbers",
    cause="weights sorted by name: 'layers.10' comes before 'layers.2'; or one block used for all layers",
    section="4.10",
    known=FORMULA,
    after=("value",),
)
def _(case: Case) -> None:
    scores(case, ids(2, 4), "", layers=11)


@check(
    "transformer_lm.eps",
    "all norms of the model have the handout's eps of 1e-5",
    cause=OTHER_EPS,
    section="4.10",
    known=FORMULA,
    after=("value", "rmsnorm.eps", "transformer_block.eps"),
)
def _(case: Case) -> None:
    size = near(1e-5)
    w = _quiet(f.lm_weights(VOCAB, D, LAYERS, FF), size)
    w["token_embeddings.weight"] = w["token_embeddings.weight"] * size

    def of(eps: float) -> Tensor:
        return f.lm(ids(2, 5), LAYERS, HEADS, w, THETA, eps)

    def ask() -> Any:
        return case.run_transformer_lm(VOCAB, CONTEXT, D, LAYERS, HEADS, FF, THETA, dict(w), ids(2, 5))

    given = f"embeddings and the last weights of each sublayer near {size:g}"
    case.same(ask, of(1e-5), given, tolerance=1e-2, mistakes=other_eps(of))


@check(
    "transformer_lm.too_long",
    "ids longer than the context",
    cause="the handout is silent: an error, and an answer, are both seen",
    section="4.10",
    known="reported only",
    kind="choice",
)
def _(case: Case) -> None:
    w = f.lm_weights(VOCAB, D, LAYERS, FF)
    case.say(f"{CONTEXT + 2} ids, context_length {CONTEXT}")

    def shape() -> str:
        out = case.run_transformer_lm(VOCAB, CONTEXT, D, LAYERS, HEADS, FF, THETA, w, ids(1, CONTEXT + 2))
        return f"gives scores of shape {tuple(out.shape)}"

    case.report(case.attempt(shape))
