"""A checkpoint into another optimizer: what loads can take its next step, and nothing else loads."""

import io
from functools import partial

import pytest
import torch

from cs336_lib import optim as ours
from cs336_lib.training import load_checkpoint, save_checkpoint

KINDS = {
    "ours": ours.AdamW,
    "our SGD": partial(ours.SGD, lr=0.1),
    "AdamW": torch.optim.AdamW,
    "AdamW with amsgrad": partial(torch.optim.AdamW, amsgrad=True),
    "Adam": torch.optim.Adam,
    "Adamax": torch.optim.Adamax,
    "NAdam": torch.optim.NAdam,
    "RAdam": torch.optim.RAdam,
    "SGD": partial(torch.optim.SGD, lr=0.1),
    "SGD with momentum": partial(torch.optim.SGD, lr=0.1, momentum=0.9),
    "RMSprop": torch.optim.RMSprop,
    "RMSprop, centered": partial(torch.optim.RMSprop, momentum=0.1, centered=True),
    "Adagrad": torch.optim.Adagrad,
    "Adadelta": torch.optim.Adadelta,
    "ASGD": torch.optim.ASGD,
    "Rprop": torch.optim.Rprop,
    "LBFGS": torch.optim.LBFGS,
}


class Lion(torch.optim.Optimizer):
    """An optimizer of somebody else's, with a count of its own beside its state."""

    def __init__(self, params, lr=0.01):
        super().__init__(params, {"lr": lr})
        self.steps = 0

    @torch.no_grad()
    def step(self, closure=None):
        self.steps += 1
        for p in self.param_groups[0]["params"]:
            momentum = self.state[p].setdefault("momentum", torch.zeros_like(p))
            momentum.lerp_(p.grad, 0.1)
            p.sub_(0.01 * momentum.sign())


def made(kind, steps):
    model = torch.nn.Linear(3, 2)
    optimizer = kind(model.parameters())
    for _ in range(steps):
        step(model, optimizer)
    return model, optimizer


def step(model, optimizer):
    def closure():
        optimizer.zero_grad()
        loss = model(torch.ones(1, 3)).square().sum()
        loss.backward()
        return loss

    closure()
    optimizer.step(closure)


def saved(kind, steps):
    file = io.BytesIO()
    save_checkpoint(*made(kind, steps), 7, file)
    return file.getvalue()


def values(model, optimizer):
    return repr((model.state_dict(), optimizer.state_dict()))


@pytest.mark.parametrize("steps", [0, 2])
@pytest.mark.parametrize("name", KINDS)
def test_what_loads_can_take_a_step(name, steps):
    raw = saved(KINDS[name], steps)
    for other, kind in KINDS.items():
        for before in (0, 1):
            model, optimizer = made(kind, before)
            # A schedule adds a key to the groups, and puts a step in place of the optimizer's own.
            torch.optim.lr_scheduler.StepLR(optimizer, 1)
            was = values(model, optimizer)
            try:
                assert load_checkpoint(io.BytesIO(raw), model, optimizer) == 7
            except ValueError as error:
                assert other != name, error
                assert "another optimizer" in str(error) or "this" in str(error)
                assert values(model, optimizer) == was
            else:
                step(model, optimizer)


@pytest.mark.parametrize(
    ("one", "other", "lacks"),
    [
        ("ours", "SGD", "have no dampening, momentum"),
        ("ours", "RMSprop", "have no alpha"),
        ("AdamW", "Adamax", "and no exp_inf"),
        ("SGD", "AdamW", "have no betas, eps"),
    ],
)
def test_what_another_optimizer_lacks_is_named(one, other, lacks):
    model, optimizer = made(KINDS[other], 0)
    with pytest.raises(ValueError, match=f"another optimizer than {type(optimizer).__name__}: .*{lacks}"):
        load_checkpoint(io.BytesIO(saved(KINDS[one], 2)), model, optimizer)


@pytest.mark.parametrize(("one", "other"), [("ours", "AdamW"), ("AdamW", "ours"), ("AdamW", "AdamW with amsgrad")])
@pytest.mark.parametrize("steps", [0, 2])
def test_relatives_take_each_others_state(one, other, steps):
    model, optimizer = made(KINDS[other], 0)
    assert load_checkpoint(io.BytesIO(saved(KINDS[one], steps)), model, optimizer) == 7


def test_an_optimizer_of_somebody_elses_takes_its_own_alone_and_no_step_of_it_is_taken():
    model, optimizer = made(Lion, 1)
    assert load_checkpoint(io.BytesIO(saved(Lion, 2)), model, optimizer) == 7
    assert optimizer.steps == 1
    with pytest.raises(ValueError, match=r"another optimizer than Lion: it keeps .*exp_avg.*, and no momentum"):
        load_checkpoint(io.BytesIO(saved(torch.optim.AdamW, 2)), model, optimizer)
