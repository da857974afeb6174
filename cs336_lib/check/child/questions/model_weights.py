"""The whole model's weights: the caller's, the first ones, and their gradients."""

from __future__ import annotations

import math

import torch

from .. import formulas as f
from ..case import Case, UnansweredError, check
from ..watch import Built, module_that_runs, modules_built
from .model import CONTEXT, FF, HEADS, LAYERS, THETA, VOCAB, D, ids

# Of the model whose first weights are looked at: no two matrices, joined or not, have one shape by chance.
WIDTH, UNITS = 64, 160
JOINED = {2 * WIDTH: 2, 3 * WIDTH: 3, 2 * UNITS: 2}


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
    w = f.lm_weights(200, WIDTH, 1, UNITS)
    built = modules_built(lambda: case.run_transformer_lm(200, 16, WIDTH, 1, 4, UNITS, THETA, w, ids(1, 4)))
    models = [b for b in built if any(p.shape == (200, WIDTH) for p in b.parameters.values()) and len(b.parameters) > 5]
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
    known="the handout's formula, of a matrix that joins several (Q, K and V; gate and up) as a whole or of its parts: "
    "the handout leaves it open",
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
            narrow, wide = sorted(p.shape)
            joined = JOINED.get(wide, 1) if narrow == WIDTH else 1
            right = [0.9866 * math.sqrt(2 / (narrow + wide // k)) for k in dict.fromkeys((1, joined))]
            given = f"{name} of shape {tuple(p.shape)}, as the model leaves __init__"
            either = f", or {right[1]:.4g} if it joins {joined} matrices" if joined > 1 else ""
            case.say(given, f"a deviation of {right[0]:.4g}{either}")
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
