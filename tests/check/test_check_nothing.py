"""Solutions that give nothing, or take away what they were given: no question takes that for a right answer."""

import pytest
import torch
from asking import LARGE, NAMES, adapters_of, answers_of

from cs336_lib.check.child.case import CHECKS, CHOICE
from cs336_lib.check.child.runner import RIGHT, WRONG


class NoTokens:
    """A tokenizer that gives nothing."""

    def __init__(self, *given):
        pass

    def encode(self, text):
        return []

    def encode_iterable(self, strings):
        return iter(())

    def decode(self, ids):
        return ""


class NoSteps(torch.optim.Optimizer):
    """An optimizer that does nothing."""

    def __init__(self, params, **options):
        super().__init__(params, options)

    def step(self, closure=None):
        pass


RETURNS = {"run_train_bpe": ({}, []), "get_tokenizer": NoTokens(), "get_adamw_cls": NoSteps}
# What asks whether something is left alone, or for nothing.
STAYS = {
    *(f"gradient_clipping.{name}" for name in ("small", "none", "zero")),
    *("train_bpe.empty", "train_bpe.only_specials", "train_bpe.caller_list"),
    *("tokenizer.empty", "tokenizer.caller_vocab", "tokenizer.caller_list"),
    *("adamw.gradients", "adamw.parent", "checkpointing.untouched", "transformer_lm.weights"),
}


@pytest.mark.parametrize(
    "nothing",
    [None, [], (None, None), iter(()), torch.empty(0)],
    ids=["None", "a list", "a pair", "an iterator", "a tensor"],
)
def test_nothing_is_a_right_answer_only_where_nothing_is_to_be_done(nothing):
    adapters = {name: (lambda *given, name=name, **more: RETURNS.get(name, nothing)) for name in NAMES}
    asked = [name for name, check in CHECKS.items() if not check.slow and check.kind != CHOICE and name not in LARGE]
    right = {name for name, answer in answers_of(adapters, asked, seconds=2).items() if answer.status == RIGHT}
    refused = {"transformer_lm.weights"} if nothing is None else set()  # None is no answer, whatever it leaves alone
    assert {name for name in right if not name.endswith("input")} == STAYS - refused


@pytest.mark.parametrize("take", ["p.grad = None", "del p.grad", "p.requires_grad_(False).grad = None"])
def test_gradients_that_are_gone_are_never_right_and_told_so(take):
    text = f"def run_gradient_clipping(parameters, most):\n    for p in parameters:\n        {take}\n"
    asked = [name for name in CHECKS if name.startswith("gradient_clipping.")]
    for name, answer in answers_of(adapters_of(text), asked).items():
        if name != "gradient_clipping.none":
            assert answer.status == WRONG and "gone" in answer.got and "set to None" in answer.cause, name
