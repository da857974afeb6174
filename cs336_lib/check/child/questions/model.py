"""The block and the whole model."""

from __future__ import annotations

import math
from functools import partial

import torch

from .. import formulas as f
from ..case import Case, UnansweredError, check
from ..formulas import numbers
from ..watch import Built, modules_built

FORMULA = "the formula in float64"
VOCAB, CONTEXT, D, LAYERS, HEADS, FF = 37, 8, 12, 2, 3, 20
THETA = 100.0


def ids(*shape: int) -> torch.Tensor:
    """Token ids that no seed decides."""
    return torch.arange(math.prod(shape)).mul(7).add(3).remainder(VOCAB).reshape(shape)


def scores(case: Case, tokens: torch.Tensor, given: str, layers: int = LAYERS) -> None:
    """Hold the model's scores against the formula's."""
    w = f.lm_weights(VOCAB, D, layers, FF)
    case.same(
        lambda: case.run_transformer_lm(VOCAB, CONTEXT, D, layers, HEADS, FF, THETA, dict(w), tokens),
        f.lm(tokens, layers, HEADS, w, THETA),
        f"{layers} layers, {HEADS} heads, d_model {D}, ids of shape {tuple(tokens.shape)}{given}",
        tolerance=1e-3,
    )


@check(
    "transformer_block.value",
    "norm, attention, add; norm, feed-forward, add",
    cause="norms after the sublayers, a residual taken from the normed input, or ln1 and ln2 exchanged",
    section="4.9",
    known=FORMULA,
    official=True,
)
def _(case: Case) -> None:
    w, x = f.block_weights(D, FF), numbers(2, 5, D, seed=9)
    case.same(
        lambda: case.run_transformer_block(D, HEADS, FF, CONTEXT, THETA, dict(w), x),
        f.block(x, HEADS, w, THETA),
        f"d_model {D}, {HEADS} heads, d_ff {FF}, x of shape (2, 5, {D})",
        tolerance=1e-3,
    )


@check(
    "transformer_block.batch",
    "rows of a batch don't see each other, whatever their number",
    cause="batch and heads mixed up: it can only work while both are equal",
    section="4.9",
    known=FORMULA,
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
)
def _(case: Case) -> None:
    scores(case, ids(2, 5), "")


@check(
    "transformer_lm.full_context",
    "ids as long as the context",
    cause="a table of positions that is one too short",
    section="4.10",
    known=FORMULA,
    official=True,
)
def _(case: Case) -> None:
    scores(case, ids(2, CONTEXT), f" (context_length {CONTEXT})")


@check(
    "transformer_lm.batches",
    "one row, five rows, a single token",
    cause="batch and heads mixed up, or squeeze() that drops a dimension of one",
    section="4.10",
    known=FORMULA,
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
