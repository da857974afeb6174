"""Right solutions whose weights, gradients or modules can't be looked at in the usual way: nothing is called wrong."""

from collections import Counter

import pytest
from asking import FOLDER_CHECKS, LARGE, PLAIN, adapters_of, answers_of

from cs336_lib.check.child.case import CHECKS
from cs336_lib.check.child.runner import UNANSWERED, WRONG
from cs336_lib.check.processes import Runs

LAYERS = ("linear", "embedding", "rmsnorm")
MODEL = (*LAYERS, "rope", "multihead_self_attention", "transformer_block", "transformer_lm")
LOADED = """
def filled(module, weights):
    module.load_state_dict(weights, strict=False)
    return module
"""
# What stands behind the plain solution, and the problems that it touches.
WAYS = {
    "made on the device meta, and given its weights": (
        """
def made(kind, weights, *sizes):
    with torch.device("meta"):
        module = kind(*sizes)
    module.load_state_dict(weights, assign=True)
    return module

def run_linear(d_in, d_out, weights, x):
    return made(Linear, {"weight": weights}, d_in, d_out)(x)

def run_embedding(vocab_size, d_model, weights, ids):
    return made(Embedding, {"weight": weights}, vocab_size, d_model)(ids)

def run_rmsnorm(d_model, eps, weights, x):
    return made(RMSNorm, {"weight": weights}, d_model, eps)(x)
""",
        LAYERS,
    ),
    "weights given to __init__": (
        """
class Given(Linear):
    def __init__(self, d_in, d_out, weight):
        super().__init__(d_in, d_out)
        self.weight = nn.Parameter(weight)

class Table(Embedding):
    def __init__(self, vocab_size, d_model, weight):
        super().__init__(vocab_size, d_model)
        self.weight = nn.Parameter(weight)

def run_linear(d_in, d_out, weights, x):
    return Given(d_in, d_out, weights)(x)

def run_embedding(vocab_size, d_model, weights, ids):
    return Table(vocab_size, d_model, weights)(ids)
""",
        LAYERS,
    ),
    "weights loaded at the end of the model's __init__": (
        """
class Whole(LM):
    def __init__(self, weights, *sizes):
        super().__init__(*sizes)
        self.load_state_dict(weights)

def run_transformer_lm(v, c, d, n, h, f, theta, weights, ids):
    return Whole(weights, v, c, d, n, h, f, theta)(ids)
""",
        ("transformer_lm",),
    ),
    "a model inside another module": (
        """
class Around(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, ids):
        return self.inner(ids)

def run_transformer_lm(v, c, d, n, h, f, theta, weights, ids):
    return Around(filled(LM(v, c, d, n, h, f, theta), weights))(ids)
""",
        ("transformer_lm",),
    ),
    "for inference alone": (
        """
for name in ("run_linear", "run_embedding", "run_rmsnorm", "run_transformer_block", "run_transformer_lm"):
    globals()[name] = torch.inference_mode()(globals()[name])
""",
        MODEL,
    ),
    "without gradients": (LOADED.replace("return module", "return module.requires_grad_(False)"), MODEL),
    "frequencies as a parameter that is not trained": (
        LOADED
        + """
class RoPE(nn.Module):
    def __init__(self, theta, d_k, max_seq_len):
        super().__init__()
        self.rates = nn.Parameter(theta ** (-torch.arange(0, d_k, 2) / d_k), requires_grad=False)

    def forward(self, x, positions):
        angles = positions[..., None] * self.rates
        even, odd, cos, sin = x[..., 0::2], x[..., 1::2], angles.cos(), angles.sin()
        return torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1).flatten(-2).to(x.dtype)
""",
        MODEL,
    ),
    "parts without a whole, called by keyword": (
        """
def run_transformer_lm(v, c, d, n, h, f, theta, weights, ids):
    def of(start):
        return {name.removeprefix(start): w for name, w in weights.items() if name.startswith(start)}

    x = filled(Embedding(v, d), of("token_embeddings."))(ids)
    for layer in range(n):
        x = filled(Block(d, h, f, c, theta), of(f"layers.{layer}."))(x=x)
    x = filled(RMSNorm(d), of("ln_final."))(x=x)
    return filled(Linear(d, v), of("lm_head."))(x=x)
""",
        ("transformer_lm",),
    ),
}


@pytest.mark.parametrize("name", WAYS)
def test_what_can_not_be_seen_is_not_called_wrong(name):
    text, problems = WAYS[name]
    names = [n for n in FOLDER_CHECKS if CHECKS[n].problem in problems and not CHECKS[n].slow and n not in LARGE]
    answers = answers_of(adapters_of(PLAIN.read_text() + text), names)
    assert not {n: answer for n, answer in answers.items() if answer.status == WRONG}
    assert sum(answer.status == UNANSWERED for answer in answers.values()) <= 8


def test_an_answer_after_its_problem_was_given_up_is_left_alone():
    told = []
    left, strikes = ["rope.value"], Counter()
    late = {"name": "tokenizer.ids", "crash": False, "got": ""}
    Runs._note(None, left, strikes, late, lambda kind, event: told.append((kind, event)))
    assert left == ["rope.value"] and not told
