"""Whether what learns is known as a parameter: what an optimizer is given is what parameters() gives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from .. import formulas as f
from ..case import Case, UnansweredError, check
from ..formulas import numbers
from ..watch import whole_that_runs
from .model import CONTEXT, FF, HEADS, LAYERS, THETA, VOCAB, D, ids

LISTED = "modules in a Python list or dictionary, into which nn.Module does not look: nn.ModuleList, nn.ModuleDict"
PLAIN = "a plain tensor or a buffer where nn.Parameter is meant, or a parameter made anew in each forward pass"
KNOWN = "the weights, counted: what parameters() leaves out, no optimizer trains"


def all_known(case: Case, call: Callable[[], Any], given: torch.Tensor, weights: int, name: str) -> None:
    """Hold the parameters of the module that runs against the number of its weights."""
    case.say(f"the parameters of {name}", f"{weights:,} numbers, as many as its weights, or more")
    ran = whole_that_runs(call, given)
    if ran is None:
        raise UnansweredError("the adapter runs no module that takes the input")
    lost = sorted({type(module).__name__ for module in ran.unknown()})
    without = f": {', '.join(lost)} ran, and {type(ran.whole).__name__} does not know of it" if lost else ""
    case.true(ran.parameters() >= weights, f"{ran.parameters():,} numbers{without}", LISTED if lost else PLAIN)


@check(
    "linear.parameters",
    "the weight is a parameter",
    cause=PLAIN,
    section="4.1",
    known=KNOWN,
    after=("value", "shapes"),
)
def _(case: Case) -> None:
    x = numbers(2, 3)
    all_known(case, lambda: case.run_linear(3, 5, numbers(5, 3), x), x, 15, "Linear(3, 5)")


@check(
    "embedding.parameters",
    "the table is a parameter",
    cause=PLAIN,
    section="4.2",
    known=KNOWN,
    after=("value",),
)
def _(case: Case) -> None:
    x = torch.tensor([[1, 2]])
    all_known(case, lambda: case.run_embedding(11, 5, numbers(11, 5), x), x, 55, "Embedding(11, 5)")


@check(
    "rmsnorm.parameters",
    "the gain is a parameter",
    cause=PLAIN,
    section="4.3",
    known=KNOWN,
    after=("value", "shapes"),
)
def _(case: Case) -> None:
    x = numbers(2, 6)
    all_known(case, lambda: case.run_rmsnorm(6, 1e-5, torch.ones(6), x), x, 6, "RMSNorm(6)")


@check(
    "transformer_lm.parameters",
    "the model's parameters are all of its weights",
    cause=LISTED,
    section="4.10",
    known=KNOWN,
    after=("value", "linear.parameters", "embedding.parameters", "rmsnorm.parameters"),
)
def _(case: Case) -> None:
    w, x = f.lm_weights(VOCAB, D, LAYERS, FF), ids(2, 5)

    def run() -> Any:
        return case.run_transformer_lm(VOCAB, CONTEXT, D, LAYERS, HEADS, FF, THETA, dict(w), x)

    total = sum(weight.numel() for weight in w.values())
    all_known(case, run, x, total, f"a model of {LAYERS} layers, d_model {D}, d_ff {FF}, vocab_size {VOCAB}")
