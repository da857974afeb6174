"""What must hold on every device; the CPU runs by default, a GPU with `-m gpu`."""

import warnings
from contextlib import contextmanager

import pytest
import torch
import torch.nn.functional as F

from cs336_lib.model import KVCache, TransformerLM
from cs336_lib.optim import AdamW, Muon, clip_grad_norm

every_device = pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
every_backend = pytest.mark.parametrize("backend", ["reference", "fast"])


@contextmanager
def no_wait_for_the_device(device):
    """Make torch raise where the host waits for a GPU."""
    try:
        if device == "cuda":
            with warnings.catch_warnings():  # torch says once that this mode is a prototype
                warnings.simplefilter("ignore")
                torch.cuda.set_sync_debug_mode("error")
        yield
    finally:
        if device == "cuda":
            torch.cuda.set_sync_debug_mode("default")


def logits_and_gradients(model, ids):
    logits = model(ids)
    F.cross_entropy(logits.flatten(0, 1).float(), ids.flip(0, 1).flatten()).backward()
    return logits.detach().cpu(), {name: p.grad.cpu() for name, p in model.named_parameters()}


@every_device
@every_backend
def test_a_device_computes_what_float64_on_the_cpu_does(ablation, ids, device, backend):
    exact = TransformerLM(ablation, dtype=torch.float64)
    model = TransformerLM(ablation.replace(backend=backend), device=device)
    model.load_state_dict(exact.state_dict())
    expected, expected_grads = logits_and_gradients(exact, ids)
    logits, grads = logits_and_gradients(model, ids.to(device))
    torch.testing.assert_close(logits.double(), expected, rtol=1e-3, atol=1e-4)
    for name, grad in grads.items():
        assert (grad - expected_grads[name]).norm() < 1e-3 * expected_grads[name].norm(), name


@every_device
@every_backend
def test_a_step_under_autocast_never_makes_the_host_wait(tiny, ids, device, backend):
    model = TransformerLM(tiny.replace(backend=backend, qk_norm=True), device=device)
    optimizers = [AdamW(model.parameters()), Muon.for_model(model)]
    before, ids = [p.detach().clone() for p in model.parameters()], ids.to(device)
    for optimizer in optimizers:
        for step in range(2):
            with no_wait_for_the_device(device if step else "cpu"):  # kernels are loaded on the first one
                with torch.autocast(device, torch.bfloat16):
                    logits = model(ids)
                F.cross_entropy(logits.flatten(0, 1).float(), ids.flatten()).backward()
                norm = clip_grad_norm(model.parameters(), 1.0)
                optimizer.step()
                optimizer.zero_grad()
        assert norm.isfinite() and norm.device.type == device
    assert all(not torch.equal(p, q) for p, q in zip(model.parameters(), before, strict=True))


@every_device
@every_backend
def test_decoding_with_a_cache_equals_the_full_forward(tiny, ids, device, backend):
    model, ids = TransformerLM(tiny.replace(backend=backend), device=device), ids.to(device)
    cache = KVCache(tiny, batch_size=2, device=device)
    with torch.no_grad():
        steps = [model(piece, cache=cache) for piece in (ids[:, :5], *ids[:, 5:].split(1, dim=1))]
        torch.testing.assert_close(torch.cat(steps, dim=1), model(ids), rtol=1e-4, atol=1e-4)


@every_device
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_all_paths_of_adamw_agree_on_every_device(tiny, ids, device, dtype):
    outcomes = []
    for where, options in (("cpu", {"foreach": False}), (device, {"foreach": False}), (device, {})):
        torch.manual_seed(0)
        model = TransformerLM(tiny, dtype=dtype).to(where)
        optimizer = AdamW(model.parameters(), lr=1e-2, **options)
        for step in range(5):
            generator = torch.Generator().manual_seed(step)
            for p in model.parameters():
                p.grad = torch.randn(p.shape, generator=generator).to(where, dtype)
            optimizer.step()
        outcomes.append([p.detach().cpu() for p in model.parameters()])
    for other in outcomes[1:]:
        torch.testing.assert_close(other, outcomes[0], rtol=1e-5 if dtype == torch.float32 else 2e-2, atol=1e-5)
