"""Whole runs on a CUDA device: each precision, compiled or not, resumed, sampled from. `make gpu` runs these."""

import numpy as np
import pytest
import torch
from training_setup import BYTES, CONFIG, corpus

from cs336_lib.generation import SamplingConfig, generate, training_sample
from cs336_lib.model import ModelConfig, TransformerLM
from cs336_lib.training import Trainer
from cs336_lib.training.loss import chunked_cross_entropy, cross_entropy

pytestmark = [pytest.mark.gpu, pytest.mark.filterwarnings("ignore::DeprecationWarning")]
HERE = CONFIG.replace(device="cuda", compile=False, lr=3e-3, min_lr=3e-4)


def losses(record):
    return [line["train_loss"] for line in record.metrics() if "train_loss" in line]


@pytest.fixture(scope="module")
def on_the_cpu(tmp_path_factory):
    config = HERE.replace(device="cpu")
    return losses(Trainer(config, tmp_path_factory.mktemp("cpu") / "run", corpus(), progress=False).fit())


@pytest.mark.parametrize("backend", ["reference", "fast"])
# With float16 the first steps find the scale of the loss: one that overflows is left out.
@pytest.mark.parametrize(("precision", "bound"), [("fp32", 2e-3), ("bf16", 3e-2), ("fp16", 0.5)])
def test_a_run_follows_that_of_the_cpu_and_keeps_float32(tmp_path, on_the_cpu, backend, precision, bound):
    config = HERE.replace(precision=precision, tf32=False, model=HERE.model.replace(backend=backend))
    trainer = Trainer(config, tmp_path / "run", corpus(), progress=False, write_sample=training_sample)
    record = trainer.fit()
    assert record.status["status"] == "finished" and record.status["peak_memory"] > 0
    assert np.abs(np.subtract(losses(record), on_the_cpu)).max() < bound
    moments = [m for state in trainer.optimizer.state_dict()["state"].values() for m in state.values()]
    assert {t.dtype for t in (*trainer.model.parameters(), *moments) if isinstance(t, torch.Tensor)} == {torch.float32}


@pytest.mark.parametrize("attention", ["cudnn", "flash", "efficient", "math"])
@pytest.mark.parametrize("residual", ["fp32", "half"])
def test_each_kernel_of_attention_gives_the_same_run(tmp_path, on_the_cpu, attention, residual):
    config = HERE.replace(precision="bf16", attention=attention, residual=residual)
    config = config.replace(model=config.model.replace(backend="fast"))
    record = Trainer(config, tmp_path / "run", corpus(), progress=False).fit()
    assert record.environment["attention"] == f"{attention}: asked for"
    assert np.abs(np.subtract(losses(record), on_the_cpu)).max() < 0.05


def test_a_compiled_run_with_a_compiled_update_is_the_same(tmp_path, on_the_cpu):
    config = HERE.replace(compile=True, precision="bf16", model=HERE.model.replace(backend="fast"))
    torch._dynamo.utils.counters.clear()
    record = Trainer(config, tmp_path / "run", corpus(), progress=False, write_sample=training_sample).fit()
    assert record.environment["compile_optimizer"] is True and record.status["compile_seconds"] > 0
    assert np.abs(np.subtract(losses(record), on_the_cpu)).max() < 0.05
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 3, "a step, its update, an evaluation"


def test_a_run_interrupted_and_resumed_ends_as_one_that_was_not(tmp_path):
    whole = Trainer(HERE.replace(precision="fp32", tf32=False), tmp_path / "whole", corpus(), progress=False).fit()
    half = Trainer(HERE.replace(precision="fp32", tf32=False), tmp_path / "half", corpus(), progress=False)
    while half.step < 14:
        half._train_step()
    half._save()
    resumed = Trainer.resume(tmp_path / "half", corpus(), progress=False).fit()
    assert np.abs(np.subtract(losses(resumed)[-3:], losses(whole)[-3:])).max() < 1e-5


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_the_loss_in_chunks_is_the_loss(dtype):
    torch.manual_seed(0)
    hidden, head = torch.randn(64, 32, device="cuda"), torch.randn(100, 32, device="cuda")
    targets = torch.randint(100, (64,), device="cuda")
    outcomes = []
    for chunk in (0, 16, 64):
        leaves = [hidden.clone().requires_grad_(), head.clone().requires_grad_()]
        with torch.autocast("cuda", dtype):
            if chunk:
                loss = chunked_cross_entropy(*leaves, targets, chunk)
            else:
                loss = cross_entropy(leaves[0] @ leaves[1].T, targets)
        loss.backward()
        outcomes.append([loss.detach(), *(leaf.grad for leaf in leaves)])
    for other in outcomes[1:]:
        torch.testing.assert_close(other, outcomes[0], rtol=5e-2, atol=2e-3)


def test_a_device_writes_what_the_cpu_writes():
    model = TransformerLM(ModelConfig(vocab_size=257, context_length=64, d_model=32, num_layers=2, num_heads=2))
    greedy = SamplingConfig(max_tokens=90, temperature=0, stop_at_end=False)
    written = [generate(model.to(device), BYTES, ["The cat", "A"], greedy) for device in ("cpu", "cuda")]
    assert [row.ids for row in written[0]] == [row.ids for row in written[1]]
