"""The engine of one device, with float16's loss scaling as a GPU without bfloat16 needs it."""

import pytest
import torch
from training_setup import CONFIG, MODEL

from cs336_lib.model import TransformerLM
from cs336_lib.optim import AdamW
from cs336_lib.training.engines.single import SingleDevice
from cs336_lib.training.precision import Precision
from cs336_lib.training.setup import LossModule, make_optimizer, schedule_factor, set_learning_rates

CPU = torch.device("cpu")
PLAIN = Precision("fp32", torch.float32, False, False, "")
SCALED = Precision("fp16", torch.float32, True, False, "")  # float32 products, so that a CPU can check the scaling


def train(precision, steps=4, poison=None):
    torch.manual_seed(0)
    model = TransformerLM(MODEL)
    engine, optimizer = SingleDevice(CPU, precision), AdamW(model.parameters(), lr=0.01)
    module = engine.setup(LossModule(model))
    norms = []
    for step in range(steps):
        x = torch.randint(257, (2, 8), generator=torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        for part in range(2):
            engine.backward(module(x[part : part + 1], x[part : part + 1]) / 2)
        if step == poison:
            model.lm_head.weight.grad[0, 0] = torch.inf
        norms.append(engine.clip(list(model.parameters()), optimizer, 1.0).item())
        engine.step(optimizer)
    return engine, model, optimizer, norms


def test_scaling_the_loss_changes_no_step():
    (_, plain, _, norms), (_, scaled, _, scaled_norms) = train(PLAIN), train(SCALED)
    assert scaled_norms == pytest.approx(norms, rel=1e-5)
    for ours, theirs in zip(scaled.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_a_step_that_overflowed_is_left_out_and_the_scale_falls():
    engine, model, optimizer, norms = train(SCALED, steps=4, poison=2)
    assert norms[2] == torch.inf
    assert {state["step"] for state in optimizer.state.values()} == {3}
    assert all(p.isfinite().all() for p in model.parameters())
    before, after = train(SCALED)[0].save(model, optimizer)[2]["scale"], engine.save(model, optimizer)[2]["scale"]
    assert after == before / 2


def test_what_is_saved_is_loaded():
    engine, model, optimizer, _ = train(SCALED, poison=1)
    weights, state, own = engine.save(model, optimizer)
    fresh, other = SingleDevice(CPU, SCALED), TransformerLM(MODEL)
    its_optimizer = AdamW(other.parameters(), lr=0.5)
    fresh.load(other, its_optimizer, weights, state, own)
    assert fresh.save(other, its_optimizer)[2] == own
    assert its_optimizer.param_groups[0]["lr"] == 0.01
    assert all(torch.equal(a, b) for a, b in zip(other.parameters(), model.parameters(), strict=True))


def test_random_states_go_and_come_back():
    engine = SingleDevice(CPU, PLAIN)
    states = engine.random_state()
    first = torch.rand(3)
    engine.set_random_state({**states, "cuda.0": torch.zeros(1, dtype=torch.uint8)})  # of a device that is not here
    assert torch.equal(torch.rand(3), first)


def test_no_clipping_still_measures():
    model = TransformerLM(MODEL)
    LossModule(model)(torch.ones(1, 4, dtype=torch.int64), torch.ones(1, 4, dtype=torch.int64)).backward()
    before = [p.grad.clone() for p in model.parameters()]
    norm = SingleDevice(CPU, PLAIN).clip(list(model.parameters()), AdamW(model.parameters()), 0.0)
    assert norm.item() == pytest.approx(torch.cat([g.flatten() for g in before]).norm().item())
    assert all(torch.equal(p.grad, g) for p, g in zip(model.parameters(), before, strict=True))


@pytest.mark.parametrize("schedule", ["cosine", "wsd", "constant"])
def test_the_first_step_moves_and_the_last_gets_the_lowest_rate(schedule):
    config = CONFIG.replace(schedule=schedule, decay_steps=5 if schedule == "wsd" else 0)
    rates = [schedule_factor(config, step) * config.lr for step in range(config.steps)]
    assert rates[0] == pytest.approx(config.lr / 4) and max(rates) == pytest.approx(config.lr)
    assert rates[-1] == pytest.approx(config.lr if schedule == "constant" else config.min_lr)


def test_muons_matrices_have_a_rate_of_their_own():
    config = CONFIG.replace(optimizer="muon", muon_lr=0.5)
    optimizer = make_optimizer(config, TransformerLM(MODEL))
    assert set_learning_rates(config, optimizer, 3) == pytest.approx(config.lr)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.5, config.lr])
