"""Evaluation: each token once, a mean over tokens, and the record says on how many."""

import numpy as np
import pytest
import torch
from training_setup import BYTES, MODEL, corpus

from cs336_lib.bpe import Tokenizer
from cs336_lib.model import TransformerLM
from cs336_lib.training import cross_entropy, evaluate


@pytest.fixture
def model():
    torch.manual_seed(0)
    return TransformerLM(MODEL)


def slow(model, ids, S):
    """Sum the loss of each target on its own, with the context that its window gives it."""
    losses = []
    for i in range(1, len(ids)):
        start = (i - 1) // S * S
        x = torch.from_numpy(ids[start:i].astype(np.int64))[None]
        losses.append(cross_entropy(model(x)[:, -1], torch.tensor([int(ids[i])])).item())
    return sum(losses) / len(losses)


@pytest.mark.parametrize("count", [2, 16, 17, 18, 33, 70])
@pytest.mark.parametrize("batch_size", [1, 3])
def test_every_token_counts_once(model, count, batch_size):
    ids = corpus().valid[:count]
    sizes = []
    loss = evaluate(lambda x, y: cross_entropy(model(x), y), ids, 16, batch_size=batch_size, progress=sizes.append)
    assert loss.loss == pytest.approx(slow(model, ids, 16), rel=1e-5)
    assert (loss.tokens, loss.whole, sum(sizes)) == (count - 1, True, loss.windows)


def test_some_windows_are_the_first_ones(model):
    ids = corpus().valid
    some = evaluate(lambda x, y: cross_entropy(model(x), y), ids, 16, windows=5)
    assert (some.tokens, some.windows, some.whole) == (80, 5, False)
    assert some.loss == pytest.approx(slow(model, ids[:81], 16), rel=1e-5)
    assert evaluate(lambda x, y: cross_entropy(model(x), y), ids, 16, windows=1_000).whole


def test_odd_batches_go_to_the_other_function():
    shapes = {"even": set(), "odd": set()}

    def note(kind):
        return lambda x, y: shapes[kind].add(tuple(x.shape)) or torch.zeros(())

    evaluate(note("even"), np.arange(100) % 7, 16, batch_size=4, odd_loss_of=note("odd"))
    assert shapes == {"even": {(4, 16)}, "odd": {(2, 16), (1, 3)}}


def test_bits_per_byte_of_a_byte_tokenizer_is_the_loss_in_bits():
    ids = np.frombuffer(b"hello hello hello", dtype=np.uint8)
    result = evaluate(lambda x, y: torch.tensor(2.0).log(), ids, 4)
    assert result.bits_per_byte(ids, BYTES) == pytest.approx(1.0)
    assert result.perplexity == pytest.approx(2.0)


def test_bits_per_byte_count_the_targets_and_not_what_is_read():
    """The first token is a target of nothing, and the last one that was measured is."""
    tokenizer = Tokenizer(
        {**{i: bytes([i]) for i in range(256)}, 256: b"th", 257: b"the"}, [(b"t", b"h"), (b"th", b"e")]
    )
    ids = np.array([257, 256, 97, 98, 257], dtype=np.uint16)
    for windows, count in ((0, 2 + 1 + 1 + 3), (1, 2 + 1)):
        result = evaluate(lambda x, y: torch.tensor(2.0).log(), ids, 2, windows=windows)
        assert result.bits_per_byte(ids, tokenizer) == pytest.approx(result.tokens / count)
        line = result.as_line(ids, tokenizer)
        assert line["valid_bits_per_byte"] == pytest.approx(result.tokens / count)


def test_a_set_of_one_token_is_refused():
    with pytest.raises(ValueError, match="1 tokens; a loss needs two"):
        evaluate(lambda x, y: torch.zeros(()), np.array([3]), 4)
