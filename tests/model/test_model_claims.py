"""What chapter 4 shows of random matrices and of deep models, in a few lines."""

import math

import pytest
import torch

from cs336_lib.model import ModelConfig, TransformerLM
from cs336_lib.model.layers import truncated_normal_


def after_twelve_matrices(std, width=256):
    torch.manual_seed(0)
    x = torch.randn(64, width)
    for _ in range(12):
        weight = torch.empty(width, width)
        truncated_normal_(weight, std)
        x = x @ weight.T
    return float(x.square().mean().sqrt())


def stream(norm, depth=24, ffn="swiglu", width=128, seed=0):
    """Return the embedding of a fresh model and the stream after each block."""
    torch.manual_seed(seed)
    model = TransformerLM(ModelConfig(1000, 64, width, depth, 4, norm=norm, ffn=ffn))
    with torch.no_grad():
        found = [model.token_embeddings(torch.randint(1000, (2, 64)))]
        for block in model.layers:
            found.append(block(found[-1]))
    return found


def test_twelve_matrices_keep_a_signal_with_the_right_deviation_and_lose_it_with_the_variance():
    variance = 2 / (256 + 256)
    assert 0.5 < after_twelve_matrices(math.sqrt(variance)) < 1.5
    assert after_twelve_matrices(variance) < 1e-12


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("width", [64, 128])
def test_without_norms_the_stream_overflows_with_a_gate_and_grows_without(width, seed):
    gated, plain = (stream("none", ffn=ffn, width=width, seed=seed) for ffn in ("swiglu", "silu"))
    finite = [bool(x.isfinite().all()) for x in gated]
    assert not all(finite)
    assert 1 < finite.index(False) < 12
    sizes = [x.square().mean().sqrt().item() for x in plain]
    assert 1e3 * sizes[0] < sizes[-1] < 1e6


def test_a_plain_network_without_norms_grows_exponentially_and_overflows_where_it_is_deep_enough():
    found = stream("none", ffn="silu", width=64, depth=120)
    sizes = [x.double().square().mean().sqrt().item() for x in found]
    rates = [sizes[i + 12] / sizes[i] for i in (12, 24, 36, 48)]
    assert all(0.5 < later / rates[0] < 2 for later in rates)
    assert not found[-1].isfinite().all()


@pytest.mark.parametrize("lookup", ["scaled", "plain"])
@pytest.mark.parametrize("width", [64, 256])
def test_a_tied_table_of_unit_variance_makes_a_model_sure_that_each_token_comes_again(width, lookup):
    """What `TransformerLM` says of its first weights, and exercise 4 of chapter 4."""
    torch.manual_seed(0)
    model = TransformerLM(ModelConfig(1000, 64, width, 2, 4, tie_embeddings=True, tied_lookup=lookup))
    model.token_embeddings.reset_parameters()
    ids = torch.stack([torch.randperm(1000)[:33] for _ in range(8)])
    read, wanted = ids[:, :-1], ids[:, 1:].flatten()
    with torch.no_grad():
        logits = model(read)
    own, others = logits.gather(-1, read[..., None]), logits.scatter(-1, read[..., None], -math.inf)
    assert width / 2 < own.mean() < 1.1 * width
    assert 0.8 < others[others.isfinite()].std() / math.sqrt(width) < 1.2
    assert (logits.argmax(-1) == read).float().mean() > 0.99
    loss, without = (torch.nn.functional.cross_entropy(x.flatten(0, 1), wanted) for x in (logits, others))
    assert width / 2 < loss < 1.2 * width
    assert without < 5 * math.sqrt(width) < loss


@pytest.mark.parametrize(("norm", "least", "most"), [("pre", 0.25, 0.5), ("post", 0.0, 0.1)])
def test_what_is_left_of_the_embedding_after_twelve_blocks(norm, least, most):
    found = stream(norm)
    left = torch.nn.functional.cosine_similarity(found[12], found[0], dim=-1).mean()
    assert least < left < most
