"""The whole model's weights: the caller's, the first ones, and their gradients."""

from __future__ import annotations

import math
import re
from itertools import chain, combinations

import torch

from .. import formulas as f
from ..case import Case, UnansweredError, check
from ..errors import NO_GRAD
from ..watch import Built, modules_built, whole_that_runs
from .model import CONTEXT, FF, HEADS, LAYERS, THETA, VOCAB, D, ids

# Of the model whose first weights are looked at: no two matrices, joined or not, have one shape by chance.
WIDTH, UNITS = 64, 160
IN_THE_MODEL = (
    "linear",
    "rmsnorm",
    "positionwise_feedforward",
    "softmax",
    "rope",
    "scaled_dot_product_attention",
    "multihead_self_attention",
    "transformer_block",
    "transformer_lm",
)
SMALLEST = WIDTH // 4  # the width of a head
CUT = "detach(), .data, torch.no_grad() or a tensor made anew on the way; a parameter that is never used"
HALF_CUT = (
    "detach(), .data or torch.no_grad() on one of several ways, as that of the keys: the weights get a gradient by the "
    "others, and it is another one"
)
IN_PLACE = "an operation in place, as x += y, changes a tensor from which the gradient is computed: x = x + y"
ZERO = "set to zero, which the handout does not ask for"
JOINED = {2 * WIDTH: 2, 3 * WIDTH: 3, 2 * UNITS: 2}


@check(
    "transformer_lm.weights",
    "the caller's weights are left as they were",
    cause="names are changed or popped in the caller's own dictionary, or tensors in place",
    section="4.10",
    known="a copy, taken before",
    kind="expect",
    after=("value",),
    errors=r"KeyError|RuntimeError: .*([Mm]issing key|in-?place)",
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
    first = models[0]  # what is built around it holds the same weights, or those that were loaded
    if any(torch.equal(p, given) for p in first.parameters.values() for given in w.values() if given.ndim > 1):
        raise UnansweredError("the model is given its weights when it is made: its first ones can't be seen")
    return first


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


def _std(p: torch.Tensor) -> float:
    return p.double().std().item()


def _deviations(shape: tuple[int, ...]) -> list[float]:
    """The deviations that the formula gives for a matrix: as a whole, or as what it joins, in two dimensions or more.

    >>> [round(one, 4) for one in _deviations((192, 64))], [round(one, 4) for one in _deviations((3, 64, 64))]
    ([0.0872, 0.1233], [0.0872, 0.1233])
    """
    if len(shape) == 2:
        narrow, wide = sorted(shape)
        joined = JOINED.get(wide, 1) if narrow == WIDTH else 1
        others = [wide, wide // joined]
    else:  # one dimension is the width of the model, the others are heads, their widths, and what is joined
        narrow, rest = WIDTH, list(shape)
        rest.remove(WIDTH) if WIDTH in rest else None
        parts = chain.from_iterable(combinations(rest, many) for many in range(len(rest), 0, -1))
        others = [wide for wide in map(math.prod, parts) if wide >= SMALLEST]
    return [0.9866 * math.sqrt(2 / (narrow + wide)) for wide in dict.fromkeys(others)]


@check(
    "transformer_lm.init_spread",
    "the model's matrices, its head too, have variance 2 / (d_in + d_out), its gains are one",
    cause="layers that initialize differently inside of the model, or a loop over parameters() that overwrites them",
    section="4.10",
    known="the handout's formula, of a matrix that joins several (Q, K and V; gate and up) as a whole or of its parts: "
    "the handout leaves it open",
    after=("linear.init_spread", "embedding.init_spread", "rmsnorm.init"),
)
def _(case: Case) -> None:
    whole = {name: p for name, p in fresh(case).parameters.items() if not p.isnan().any()}
    tables = [name for name, p in whole.items() if p.ndim == 2 and p.shape[0] == 200]
    # The table of the embedding has a rule of its own, seen elsewhere; it may be the head as well.
    table = min(tables, key=lambda name: abs(_std(whole[name]) - 0.9866), default="")
    for name, p in whole.items():
        if name == table:
            continue
        if p.ndim > 1 and (p == 1).all():
            continue  # gains of several norms in one
        if p.ndim == 1:
            case.say(f"{name}, as the model leaves __init__", "ones")
            case.true(bool((p == 1).all()), p)
        elif p.ndim > 1:
            right = _deviations(p.shape)
            given = f"{name} of shape {tuple(p.shape)}, as the model leaves __init__"
            either = f", or {' or '.join(f'{one:.4g}' for one in right[1:])} if it joins matrices" if right[1:] else ""
            case.say(given, f"a deviation of {right[0]:.4g}{either}")
            std = _std(p)
            case.true(any(abs(std / one - 1) < 0.08 for one in right), f"{std:.4g}", None if p.any() else ZERO)


@check(
    "transformer_lm.gradients",
    "every weight gets a gradient",
    cause=CUT,
    section="4.10",
    known="autograd",
    kind="expect",
    after=("value", "parameters", *(f"{name}.input" for name in IN_THE_MODEL), "positionwise_feedforward.silu_input"),
    errors=NO_GRAD,
)
def _(case: Case) -> None:
    case.say("the gradient of the sum of the squared scores", "none missing, none all zero")
    model = after_backward(case, f.lm_weights(VOCAB, D, LAYERS, FF))
    trained = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    lacking = [n for n, p in trained if p.grad is None or not p.grad.any()]
    case.true(not lacking, f"no gradient for {', '.join(lacking[:3])}")


def after_backward(case: Case, w: dict[str, torch.Tensor]) -> torch.nn.Module:
    """Return the model with the gradients of the sum of its squared scores."""
    own = {name: weight.clone() for name, weight in w.items()}
    ran = whole_that_runs(
        lambda: case.run_transformer_lm(VOCAB, CONTEXT, D, LAYERS, HEADS, FF, THETA, own, ids(2, 5)), ids(2, 5)
    )
    if ran is None or not ran.parameters():
        raise UnansweredError("the adapter runs no module that takes the ids")
    weights = list(ran.whole.parameters())
    if any(p.is_inference() for p in weights) or not any(p.requires_grad for p in weights):
        raise UnansweredError("the adapter makes the model for inference alone: no gradient flows back")
    out = ran.answer if ran.answer.requires_grad else ran.whole(ids(2, 5))  # an adapter may well run under no_grad
    case.true(out.requires_grad, "scores that no gradient flows back from")
    try:
        out.square().sum().backward()
    except RuntimeError as error:
        case.cause = IN_PLACE if re.search("in-?place", str(error)) else ""
        raise
    return ran.whole


@check(
    "transformer_lm.gradient_values",
    "the gradients are those of the formula",
    cause=HALF_CUT,
    section="4.10",
    known="autograd through the formula in float64",
    kind="expect",
    after=("value", "parameters", "gradients", *(f"{name}.input" for name in IN_THE_MODEL)),
    errors=NO_GRAD,
)
def _(case: Case) -> None:
    w = f.lm_weights(VOCAB, D, LAYERS, FF)
    case.say("the gradient of the sum of the squared scores", "to a thousandth that of the formula, for each weight")
    exact = {name: weight.double().requires_grad_() for name, weight in w.items()}
    f.lm(ids(2, 5), LAYERS, HEADS, exact, THETA).square().sum().backward()
    rows = rows_of(after_backward(case, w))
    found = {}
    for name, weight in w.items():
        own = [rows.get(tuple(row)) for row in weight.reshape(-1, weight.shape[-1]).tolist()]
        if all(row is not None for row in own):
            found[name] = torch.stack([row for row in own if row is not None]).reshape(weight.shape)
    if not found:
        raise UnansweredError("the parameters hold the weights in another form than rows or columns")
    wrong: dict[str, float] = {}
    for name, mine in found.items():
        right = exact[name].grad
        assert right is not None
        far = (mine.double() - right).abs().max().item() / right.abs().max().item()
        wrong |= {name: far} if not far < 1e-3 else {}
    worst = sorted(wrong, key=lambda name: -wrong[name])
    shown = [f"{name} (off by {wrong[name]:.0%} of its largest)" for name in worst[:2]]
    case.true(not wrong, f"other gradients for {len(wrong)} weights: {', '.join(shown)}")


def rows_of(model: torch.nn.Module) -> dict[tuple[float, ...], torch.Tensor]:
    """Row, or column, of any parameter -> its gradient: so weights are found wherever they are joined to others."""
    rows: dict[tuple[float, ...], torch.Tensor] = {}
    for p in model.parameters():
        if p.grad is None or p.ndim == 0:
            continue
        for weight, grad in ((p.detach(), p.grad), *([(p.detach().mT, p.grad.mT)] if p.ndim > 1 else [])):
            width = weight.shape[-1]
            keys = (tuple(row) for row in weight.reshape(-1, width).tolist())
            rows.update(zip(keys, grad.reshape(-1, width), strict=True))
    return rows
