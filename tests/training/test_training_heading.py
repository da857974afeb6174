"""Rows of padding below the head change how fast a GPU multiplies, and nothing else."""

import pytest
import torch
from training_setup import CONFIG, MODEL, corpus

from cs336_lib.model import TransformerLM
from cs336_lib.training import Trainer, chunked_cross_entropy, cross_entropy
from cs336_lib.training.heading import choose_head, decide, padded
from cs336_lib.training.precision import Precision
from cs336_lib.training.precision import decide as precision_of
from cs336_lib.training.setup import LossModule

CUDA = torch.device("cuda")
FAST = CONFIG.replace(model=MODEL.replace(backend="fast"))


@pytest.mark.parametrize(
    ("entries", "itemsize", "rows"),
    [
        (50_257, 2, 50_304),
        (50_304, 2, 50_304),
        (10_000, 2, 10_000),
        (10_004, 2, 10_048),
        (10_004, 4, 10_004),
        (50_257, 4, 50_304),
        (3_389, 2, 3_392),
        (1, 2, 64),
    ],
)
def test_rows_are_added_where_logits_would_begin_askew(entries, itemsize, rows):
    found, reason = decide(entries, itemsize)
    assert found == rows
    assert reason.startswith("as it is" if rows == entries else f"padded to {rows:,} rows")
    assert found * itemsize % 16 == 0


@pytest.mark.parametrize(
    ("device", "capability", "backend", "pad", "rows"),
    [
        ("cuda", (9, 0), "fast", None, 320),
        ("cuda", (7, 5), "fast", None, 320),
        ("cuda", (6, 1), "fast", None, 257),
        ("cuda", (9, 0), "reference", None, 257),
        ("cuda", (9, 0), "fast", False, 257),
        ("cpu", (0, 0), "fast", None, 257),
        ("cpu", (0, 0), "reference", True, 320),
        ("mps", (0, 0), "fast", None, 257),
    ],
)
def test_the_device_decides_unless_somebody_asks(device, capability, backend, pad, rows):
    config = CONFIG.replace(pad_head=pad, model=MODEL.replace(backend=backend))
    found, reason = choose_head(config, torch.device(device), precision_of(device, capability, "auto", True))
    assert found == rows and reason.startswith("as it is" if rows == 257 else "padded to 320 rows")
    assert reason.endswith("asked for") == (pad is not None)


def test_float32_has_tensor_cores_as_tf32_alone():
    for tf32, rows in ((True, 320), (False, 257)):
        assert choose_head(FAST, CUDA, Precision("fp32", torch.float32, False, tf32, ""))[0] == rows


def outcome(rows, backend, tied, chunk, dtype, half):
    """The loss and all gradients of one step of a small model."""
    torch.manual_seed(0)
    model = TransformerLM(MODEL.replace(backend=backend, tie_embeddings=tied)).to(dtype)
    loss_of = LossModule(model, chunk, rows)
    x, y = torch.randint(257, (2, 3, 16))
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        loss = loss_of(x, y)
    return loss, torch.autograd.grad(loss, list(model.parameters()))


@pytest.mark.parametrize("backend", ["reference", "fast"])
@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
@pytest.mark.parametrize("chunk", [0, 5])
@pytest.mark.parametrize("half", [False, True], ids=["float64", "bfloat16"])
def test_loss_and_gradients_are_those_of_the_head_as_it_is(backend, tied, chunk, half):
    dtype = torch.float32 if half else torch.float64
    plain, more = (outcome(rows, backend, tied, chunk, dtype, half) for rows in (0, 320))
    torch.testing.assert_close(more, plain, rtol=2e-2 if half else 1e-9, atol=1e-3 if half else 1e-12)


@pytest.mark.parametrize(
    ("entries", "kind", "says"),
    [
        (0, ValueError, "entries is 0; it must be 1 or more"),
        (10, ValueError, "entries is 10; it must be 9 or less"),
        (True, TypeError, "entries must be a whole number, got True"),
        (2.5, TypeError, "entries must be a whole number, got 2.5"),
        (5, IndexError, "target 8 is outside the vocabulary, whose entries are 5"),
    ],
)
def test_a_chunked_loss_names_entries_that_the_head_does_not_have(entries, kind, says):
    hidden, head, targets = torch.randn(4, 3), torch.randn(9, 3), torch.full((4,), 8)
    with pytest.raises(kind, match=says):
        chunked_cross_entropy(hidden, head, targets, entries=entries)


def test_padding_is_left_out_of_the_sum_even_where_all_logits_are_low():
    hidden, head = torch.full((2, 1), -1e3), torch.ones(3, 1)
    targets = torch.tensor([0, 2])
    found = chunked_cross_entropy(hidden, padded(head, 64), targets, entries=3)
    torch.testing.assert_close(found, cross_entropy(hidden @ head.T, targets))


@pytest.mark.parametrize("chunk", [0, 16])
def test_a_run_with_a_padded_head_leaves_a_checkpoint_like_any_other(tmp_path, chunk):
    plain, more = (
        Trainer(FAST.replace(pad_head=pad, loss_chunk=chunk), tmp_path / str(pad), corpus(), progress=False)
        for pad in (None, True)
    )
    assert plain.record.environment["head"].startswith("as it is: only the fast backend on tensor cores")
    assert more.record.environment["head"] == "padded to 320 rows: asked for"
    losses = [trainer.fit().last("train_loss") for trainer in (plain, more)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)
    weights = [trainer.model.state_dict() for trainer in (plain, more)]
    assert {name: value.shape for name, value in weights[0].items()} == {
        name: value.shape for name, value in weights[1].items()
    }
    again = Trainer.resume(tmp_path / "True", corpus(), progress=False)
    assert again.step == 30 and torch.equal(again.model.lm_head.weight, weights[1]["lm_head.weight"])
