"""The block and the whole model."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor

from .. import formulas as f
from ..case import Case, UnansweredError, check
from ..formulas import numbers
from ..show import difference
from ..watch import Built, modules_built

FORMULA = "the formula in float64"
VOCAB, CONTEXT, D, LAYERS, HEADS, FF = 37, 8, 12, 2, 3, 20
THETA = 100.0
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
        "positionwise_feedforward.value",
        "multihead_self_attention.value",
        "multihead_self_attention.rope",
        "multihead_self_attention.rope_none",
        "rope.value",
    ),
    errors=False,
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


@check(
    "transformer_lm.value",
    "the scores of a small model",
    cause="a final norm or a layer left out, weights of layers mixed up, or probabilities instead of scores",
    section="4.10",
    known=FORMULA,
    official=True,
    after=("transformer_block.value", "embedding.value"),
    errors=False,
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
    "transformer_lm.weights",
    "the caller's weights are left as they were",
    cause="names are changed or popped in the caller's own dictionary, or tensors in place",
    section="4.10",
    known="a copy, taken before",
    kind="expect",
    after=("value",),
)
def _(case: Case) -> None:
    w = f.lm_weights(VOCAB, D, LAYERS, FF)
    own = {name: tensor.clone() for name, tensor in w.items()}
    case.say("a dictionary of weights", "the same names and numbers, still")
    case.run_transformer_lm(VOCAB, CONTEXT, D, LAYERS, HEADS, FF, THETA, own, ids(2, 5))
    case.true(own.keys() == w.keys(), f"without {sorted(w.keys() ^ own.keys())[:3]}")
    changed = [name for name in w if not torch.equal(own[name], w[name])]
    case.true(not changed, f"other numbers in {changed[:3]}")


def fresh(case: Case) -> Built:
    """Return the model as its own __init__ leaves it."""
    w = f.lm_weights(200, 64, 1, 192)
    built = modules_built(lambda: case.run_transformer_lm(200, 16, 64, 1, 4, 192, THETA, w, ids(1, 4)))
    models = [b for b in built if any(p.shape == (200, 64) for p in b.parameters.values()) and len(b.parameters) > 5]
    if not models:
        raise UnansweredError("the adapter makes no module that holds all weights")
    return models[-1]


@check(
    "transformer_lm.init_filled",
    "no first weight is left unfilled",
    cause="torch.empty that a later step was meant to fill",
    section="4.10",
    known="NaN put where torch.empty was called",
    after=("linear.init_spread", "embedding.init_spread", "rmsnorm.init"),
)
def _(case: Case) -> None:
    case.say("the model, as it leaves __init__", "numbers everywhere")
    bad = [name for name, p in fresh(case).parameters.items() if p.isnan().any()]
    case.true(not bad, f"memory that nothing has filled in {', '.join(bad[:3])}")


@check(
    "transformer_lm.init_spread",
    "the model's matrices have variance 2 / (d_in + d_out), its gains are one",
    cause="layers that initialize differently inside of the model, or a loop over parameters() that overwrites them",
    section="4.10",
    known="the handout's formula",
    after=("linear.init_spread", "rmsnorm.init"),
)
def _(case: Case) -> None:
    for name, p in fresh(case).parameters.items():
        if p.isnan().any() or (p.ndim == 2 and p.shape[0] == 200):
            continue  # the table, the head and a tied table have rules of their own, seen elsewhere
        if p.ndim == 1:
            case.say(f"{name}, as the model leaves __init__", "ones")
            case.true(bool((p == 1).all()), p)
        elif p.ndim == 2:
            # A matrix may hold two or three of the handout's, one below the other: gate and up, or Q, K and V.
            parts = [k for k in (1, 2, 3) if p.shape[0] % k == 0]
            right = [0.9866 * math.sqrt(2 / (p.shape[0] // k + p.shape[1])) for k in parts]
            given = f"{name} of shape {tuple(p.shape)}, as the model leaves __init__"
            case.say(given, f"a deviation of {right[0]:.4g}")
            std = p.double().std().item()
            case.true(any(abs(std / one - 1) < 0.08 for one in right), f"{std:.4g}")


@check(
    "transformer_lm.gradients",
    "every weight gets a gradient",
    cause="detach(), .data, torch.no_grad() or a tensor made anew on the way; a parameter that is never used",
    section="4.10",
    known="autograd",
    kind="expect",
    after=("value",),
)
def _(case: Case) -> None:
    from ..watch import module_that_runs

    w = f.lm_weights(VOCAB, D, LAYERS, FF)
    case.say("the gradient of the sum of the squared scores", "none missing, none all zero")
    with module_that_runs() as ran:
        out = case.run_transformer_lm(VOCAB, CONTEXT, D, LAYERS, HEADS, FF, THETA, w, ids(2, 5))
    model = ran[-1][0] if ran else None
    if model is None or not list(model.parameters()):
        raise UnansweredError("the adapter runs no module")
    if not out.requires_grad:  # an adapter may well run under no_grad
        out = model(ids(2, 5))
    case.true(out.requires_grad, "scores that no gradient flows back from")
    out.square().sum().backward()
    trained = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    lacking = [n for n, p in trained if p.grad is None or not p.grad.any()]
    case.true(not lacking, f"no gradient for {', '.join(lacking[:3])}")


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
