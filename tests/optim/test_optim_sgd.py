import math

import pytest
import torch
from optim_parameters import make_params, set_grads

from cs336_lib.optim import SGD


def test_each_parameter_takes_shrinking_steps_and_skips_those_without_gradient():
    params = make_params()
    expected, seen = [p.detach().clone() for p in params], [0] * len(params)
    optimizer = SGD([{"params": params[:3]}, {"params": params[3:], "lr": 0.3}], lr=0.1)
    for step in range(50):
        set_grads(step, params, skip=lambda step, index: index == step % 4)
        optimizer.step()
        for i, p in enumerate(params):
            if p.grad is not None:
                expected[i] -= (0.1 if i < 3 else 0.3) / math.sqrt(seen[i] + 1) * p.grad
                seen[i] += 1
    torch.testing.assert_close([p.detach() for p in params], expected)


@pytest.mark.parametrize(("lr", "ratio"), [(1.0, 0.8275), (10.0, 0.1344)])
def test_the_handouts_toy_problem_gives_the_verified_loss_ratios(lr, ratio):
    weights = torch.nn.Parameter(5 * torch.randn(10, 10, dtype=torch.float64))
    optimizer, losses = SGD([weights], lr=lr), []
    for _ in range(10):
        optimizer.zero_grad()
        loss = (weights**2).mean()
        losses.append(loss.item())
        loss.backward()
        optimizer.step()
    assert losses[9] / losses[0] == pytest.approx(ratio, abs=5e-5)


def test_a_loaded_optimizer_goes_on_where_the_saved_one_stopped():
    params, copies = make_params(), make_params()
    optimizer, other = SGD(params, lr=0.1), SGD(copies, lr=9.0)
    for step in range(6):
        set_grads(step, params, copies)
        optimizer.step()
        if step == 2:
            with torch.no_grad():
                torch._foreach_copy_(copies, params)
            other.load_state_dict(optimizer.state_dict())
        elif step > 2:
            other.step()
    assert all(torch.equal(a, b) for a, b in zip(params, copies, strict=True))


def test_closure_is_evaluated_with_gradients_and_returned():
    weight = torch.nn.Parameter(torch.tensor(3.0))
    optimizer = SGD([weight], lr=0.5)

    def closure():
        optimizer.zero_grad()
        loss = weight**2
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 9
    assert weight.item() == 0


def test_negative_learning_rate_is_refused():
    with pytest.raises(ValueError, match=r"lr is -0.1; it must be 0 or more"):
        SGD(make_params(), lr=-0.1)
