"""Whatever kernel attends, and whatever type the residual stream has under autocast, it is the same model."""

import pytest
import torch
from torch.nn.attention import SDPBackend
from training_setup import CONFIG, MODEL, corpus

from cs336_lib.model import TransformerLM
from cs336_lib.training import Trainer
from cs336_lib.training.attending import attending, choose_attention, decide


@pytest.mark.parametrize(
    ("capability", "wanted", "first"),
    [((9, 0), "auto", "cudnn"), ((10, 0), "auto", "cudnn"), ((8, 0), "auto", None), ((7, 5), "auto", None)]
    + [((7, 5), name, name) for name in ("cudnn", "flash", "efficient", "math")],
)
def test_the_device_decides_unless_somebody_asks(capability, wanted, first):
    order, reason = decide(capability, wanted)
    assert (order[0] if order else None) == first
    assert sorted(order) in ([], ["cudnn", "efficient", "flash", "math"]), "none is left out: one that can't is passed"
    assert reason.startswith(first or "torch's own order")


def test_the_order_is_torchs_own_while_it_lasts_and_as_before_after_it():
    def order():
        return torch._C._get_sdp_priority_order()

    before = order()
    with attending(decide((9, 0), "math")[0]):
        assert order()[0] == SDPBackend.MATH.value
    assert order() == before
    with attending(()):
        assert order() == before


def test_a_run_on_a_cpu_says_that_there_is_no_choice(tmp_path):
    assert choose_attention(torch.device("cpu"), "cudnn")[0] == ()
    record = Trainer(CONFIG.replace(steps=4, attention="cudnn"), tmp_path / "run", corpus(), progress=False).record
    assert record.environment["attention"] == "the only kernel that torch has for a CPU"


@pytest.mark.parametrize("backend", ["reference", "fast"])
def test_a_half_residual_is_half_under_autocast_and_nowhere_else(backend):
    seen, ids = {}, torch.arange(12).view(2, 6)
    model = TransformerLM(MODEL.replace(backend=backend, num_layers=2))
    for layer in model.layers:
        layer.register_forward_hook(lambda module, args, out: seen.setdefault("types", []).append(out.dtype))
    outcomes = []
    for half in (False, True):
        model.half_residual = half
        plain = model(ids)
        with torch.autocast("cpu", torch.bfloat16):
            outcomes.append(model(ids).float())
        torch.testing.assert_close(outcomes[-1], plain, rtol=0.1, atol=0.05)
    assert seen["types"] == [torch.float32] * 4 + [torch.float32] * 2 + [torch.bfloat16] * 2
    assert not torch.equal(*outcomes)


@pytest.mark.parametrize("residual", ["fp32", "half"])
def test_a_run_in_half_precision_learns_and_its_weights_stay_whole(tmp_path, residual):
    config = CONFIG.replace(precision="bf16", residual=residual, eval_every=0)
    trainer = Trainer(config, tmp_path / "run", corpus(), progress=False)
    record = trainer.fit()
    assert {weight.dtype for weight in trainer.model.state_dict().values()} == {torch.float32}
    losses = [line["train_loss"] for line in record.metrics() if "train_loss" in line]
    assert losses[-1] < losses[0] - 0.5
