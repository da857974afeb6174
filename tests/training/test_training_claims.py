"""What chapters 6 and 8 say of the loss, of AdamW's steps and of a parabola, on a few numbers."""

import math
from itertools import pairwise

import pytest
import torch

from cs336_lib.optim import AdamW
from cs336_lib.training import cross_entropy


def test_the_loss_written_as_its_definition_overflows_at_a_logit_of_1000():
    logits, target = torch.tensor([1000.0, 0.0, -1000.0]), 1
    probabilities = logits.exp() / logits.exp().sum()
    assert -probabilities[target].log() == float("inf")
    assert cross_entropy(logits, torch.tensor(target)) == 1000


@pytest.mark.parametrize("scale", [1e-2, 1.0, 1e4])
def test_the_first_step_of_adamw_is_one_learning_rate_whatever_the_gradients_scale(scale):
    weight = torch.nn.Parameter(torch.zeros(3, dtype=torch.float64))
    weight.grad = scale * torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    AdamW([weight], lr=0.1, weight_decay=0.0).step()
    assert torch.allclose(weight, torch.tensor([-0.1, 0.1, -0.1], dtype=torch.float64), rtol=1e-3)


@pytest.mark.parametrize("scale", [1e-5, 3e-7, 1e-8])
def test_unless_the_gradient_is_near_epsilon_over_the_correction(scale):
    weight = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
    weight.grad = torch.full((1,), scale, dtype=torch.float64)
    AdamW([weight], lr=1.0, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0).step()
    assert weight.item() == pytest.approx(-scale / (scale + 1e-8 / math.sqrt(1 - 0.999)), rel=1e-6)
    assert (abs(weight.item()) > 0.95) is (scale == 1e-5)


@pytest.mark.parametrize(("part", "grows"), [(0.9, False), (0.99, False), (1.01, True), (1.1, True)])
def test_gradient_descent_on_a_parabola_fails_at_two_over_its_curvature(part, grows):
    curvature, x = 4.0, torch.ones((), dtype=torch.float64, requires_grad=True)
    places = [x.item()]
    for _ in range(20):
        (gradient,) = torch.autograd.grad(curvature / 2 * x.square(), x)
        with torch.no_grad():
            x -= part * 2 / curvature * gradient
        places.append(x.item())
    assert (abs(places[-1]) > 1) == grows
    assert all(before * after < 0 for before, after in pairwise(places))


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(("mean", "noise"), [(1.0, 0.0), (1.0, 1.0), (-0.5, 1.0), (0.0, 1.0)])
def test_a_step_of_adamw_is_on_average_the_mean_over_the_root_of_the_mean_square(mean, noise, seed):
    weights = torch.nn.Parameter(torch.zeros(1_000, dtype=torch.float64))
    optimizer = AdamW([weights], lr=0.1, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0)
    draws = torch.randn(200, 1_000, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    for gradient in 0.01 * (mean + noise * draws):
        weights.grad = gradient
        optimizer.step()
    moved = weights.mean().item() / 0.1 / 200
    assert moved == pytest.approx(-mean / math.hypot(mean, noise), abs=0.015)
