import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from optim_parameters import set_grads

from cs336_lib.model import ModelConfig, TransformerLM
from cs336_lib.optim import AdamW, Muon
from cs336_lib.optim.muon import A, B, C, orthogonal

CONFIG = ModelConfig(vocab_size=37, context_length=12, d_model=24, num_layers=2, num_heads=3, d_ff=40)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 12), st.integers(1, 12), st.integers(1, 6), st.integers(0, 2**16))
def test_the_iteration_is_its_polynomial_on_the_singular_values(rows, columns, steps, seed):
    g = torch.randn(2, rows, columns, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    u, s, vt = torch.linalg.svd(g, full_matrices=False)
    s = s / g.norm(dim=(-2, -1))[:, None]
    for _ in range(steps):
        s = A * s + B * s**3 + C * s**5
    torch.testing.assert_close(orthogonal(g, steps), u * s[:, None] @ vt, rtol=1e-8, atol=1e-8)


def test_five_rounds_bring_singular_values_into_the_promised_range():
    s = torch.logspace(-2.69, 0, 100_001, dtype=torch.float64)
    for _ in range(5):
        s = A * s + B * s**3 + C * s**5
    assert 0.68 < s.min() < 0.69 and 1.20 < s.max() < 1.21


@pytest.mark.parametrize("size", [1e-37, 1e-30, 1e-12, 1e-6, 1e6, 1e30])
def test_the_promised_range_does_not_depend_on_the_size_of_the_matrix(size):
    torch.manual_seed(0)
    matrix = torch.linalg.qr(torch.randn(8, 8)).Q * torch.logspace(-2, 0, 8)
    values = torch.linalg.svdvals(orthogonal(matrix * size).double())
    torch.testing.assert_close(values, torch.linalg.svdvals(orthogonal(matrix).double()), rtol=1e-3, atol=1e-3)
    assert values.min() > 0.68 and values.max() < 1.21


def test_a_matrix_without_entries_is_left_alone():
    weight = torch.nn.Parameter(torch.zeros(3, 0))
    weight.grad = torch.zeros(3, 0)
    Muon([weight]).step()
    assert weight.shape == (3, 0)


@pytest.mark.parametrize("shape", [(64, 16), (16, 64), (500, 16)])
def test_rows_of_zeros_stay_zero(shape):
    """What chapter 10 says of tokens that a batch does not have."""
    gradient = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    gradient[::3] = 0
    made = orthogonal(gradient)
    assert not made[::3].any() and made[1::3].abs().max() > 0.1


def test_a_zero_gradient_gives_a_zero_step():
    assert torch.equal(orthogonal(torch.zeros(3, 5)), torch.zeros(3, 5))


def matrices(dtype=torch.float64):
    generator = torch.Generator().manual_seed(1)
    shapes = [(6, 4), (4, 6), (6, 4), (5, 5)]
    return [torch.nn.Parameter(torch.randn(s, generator=generator, dtype=torch.float64).to(dtype)) for s in shapes]


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="torch.optim.Muon came with torch 2.9")
@pytest.mark.parametrize("nesterov", [True, False])
@pytest.mark.parametrize(("scale", "theirs"), [("spectral", "original"), ("adamw_rms", "match_rms_adamw")])
def test_hundreds_of_steps_stay_with_torchs_muon(nesterov, scale, theirs):
    params, others = matrices(torch.float32), matrices(torch.float32)
    options = {"lr": 0.01, "momentum": 0.9, "nesterov": nesterov, "weight_decay": 0.1}
    ours = Muon(params, scale=scale, ns_dtype=torch.bfloat16, **options)
    torchs = torch.optim.Muon(others, adjust_lr_fn=theirs, **options)
    start = [p.detach().clone() for p in params]
    for step in range(300):
        set_grads(step, params, others, skip=lambda step, index: (step + index) % 7 == 0)
        for p, other in zip(params, others, strict=True):
            if p.grad is not None:
                p.grad += p.detach()  # a pull to zero, as in training: rounding errors then do not pile up
                other.grad += other.detach()
        ours.step()
        torchs.step()
    for p, other, before in zip(params, others, start, strict=True):
        # Both iterate in bfloat16, torch one matrix at a time and we those of a shape together.
        assert (p - other).norm() < 0.05 * (p - before).norm()


def test_matrices_of_one_shape_do_not_mix():
    params, alone = matrices(), matrices()
    together = Muon(params)
    separate = [Muon([p]) for p in alone]
    for step in range(20):
        set_grads(step, params, alone)
        together.step()
        for optimizer in separate:
            optimizer.step()
    torch.testing.assert_close(params, alone)


def test_steps_have_the_promised_size():
    for shape in ((40, 10), (10, 40), (20, 20)):
        p = torch.nn.Parameter(torch.zeros(shape))
        p.grad = torch.randn(shape)
        Muon([p], lr=1.0, scale="adamw_rms").step()
        assert 0.14 < p.square().mean().sqrt() < 0.25  # 0.2, as AdamW's steps in practice
        q = torch.nn.Parameter(torch.zeros(shape))
        q.grad = p.grad
        Muon([q], lr=1.0, scale="spectral").step()
        assert (
            0.68 * max(1, shape[0] / shape[1]) ** 0.5
            < torch.linalg.matrix_norm(q, 2)
            < 1.21 * max(1, shape[0] / shape[1]) ** 0.5
        )


@pytest.mark.parametrize("tied", [False, True])
def test_a_model_is_split_into_hidden_matrices_and_the_rest(tied):
    model = TransformerLM(CONFIG.replace(tie_embeddings=tied))
    optimizer = Muon.for_model(model, lr=0.05, adamw_lr=0.004, momentum=0.9)
    muon, adamw = optimizer.param_groups
    assert (muon["algorithm"], muon["lr"], muon["momentum"]) == ("muon", 0.05, 0.9)
    assert (adamw["algorithm"], adamw["lr"]) == ("adamw", 0.004)
    assert len(muon["params"]) == 7 * CONFIG.num_layers and all(p.ndim == 2 for p in muon["params"])
    rest = {id(p) for name, p in model.named_parameters() if "embed" in name or "ln" in name or "lm_head" in name}
    assert {id(p) for p in adamw["params"]} == rest


def test_the_adamw_groups_are_adamw():
    params, others = matrices(), matrices()
    options = {"betas": (0.8, 0.9), "eps": 1e-6, "weight_decay": 0.2}
    ours = Muon([{"params": params, "algorithm": "adamw", "lr": 0.01}], **options)
    adamw = AdamW(others, lr=0.01, **options)
    for step in range(20):
        set_grads(step, params, others)
        ours.step()
        adamw.step()
    assert all(torch.equal(a, b) for a, b in zip(params, others, strict=True))


def test_training_with_muon_resumes_to_the_bit(tmp_path):
    def train(model, optimizer, start, stop):
        for step in range(start, stop):
            ids = torch.randint(37, (2, 12), generator=torch.Generator().manual_seed(step))
            optimizer.zero_grad()
            (-model(ids).log_softmax(-1).gather(-1, ids[..., None]).mean()).backward()
            optimizer.step()

    for dtype in (torch.float32, torch.bfloat16):
        straight = TransformerLM(CONFIG, dtype=dtype)
        optimizer = Muon.for_model(straight)
        train(straight, optimizer, 0, 5)
        resumed = copy.deepcopy(straight)
        torch.save(optimizer.state_dict(), tmp_path / "state.pt")
        train(straight, optimizer, 5, 10)
        other = Muon.for_model(resumed)
        other.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
        train(resumed, other, 5, 10)
        assert all(torch.equal(a, b) for a, b in zip(straight.parameters(), resumed.parameters(), strict=True))


def test_copies_keep_their_options():
    optimizer = copy.deepcopy(Muon(matrices(), foreach=False, ns_dtype=torch.float64))
    assert (optimizer.path, optimizer.ns_dtype) == ("loop", torch.float64)


@pytest.mark.parametrize(
    ("params", "options", "message"),
    [
        (matrices(), {"momentum": 1.0}, "momentum is 1.0"),
        (matrices(), {"ns_steps": 0}, "ns_steps is 0; it must be 1 or more"),
        (matrices(), {"scale": "rms"}, "scale is 'rms'; allowed: 'spectral', 'adamw_rms'"),
        (matrices(), {"lr": -1.0}, "lr is -1.0"),
        (
            [torch.nn.Parameter(torch.zeros(3))],
            {},
            r"shape \(3,\) is no matrix; put it in a group with algorithm='adamw'",
        ),
        ([{"params": matrices(), "algorithm": "sgd"}], {}, "algorithm is 'sgd'; allowed: 'muon', 'adamw'"),
    ],
)
def test_bad_settings_are_named(params, options, message):
    with pytest.raises(ValueError, match=message):
        Muon(params, **options)
