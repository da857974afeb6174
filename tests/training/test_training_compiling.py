"""Each run gets a graph of its own, compiled before its clock starts, with a loss that never scatters.

torch.compile is replaced by its front half (backend "eager" or "aot_eager"): graphs are what is looked at here.
"""

import copy
import functools
import os
import shutil
import subprocess
import sys

import pytest
import torch
from training_setup import CONFIG, corpus

from cs336_lib.accounting import training_flops
from cs336_lib.training import Trainer, compiling, setup
from cs336_lib.training.loss import chunked_cross_entropy, cross_entropy

# All of them inside torch.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture
def untried(monkeypatch):
    """A process that has not tried torch's compiler, and forgets what the test made of it."""
    for switch in ("TORCH_COMPILE_DISABLE", "TORCHDYNAMO_DISABLE"):
        monkeypatch.delenv(switch, raising=False)
    compiling.cpu_trouble.cache_clear()
    yield
    compiling.cpu_trouble.cache_clear()


@pytest.fixture
def front_half(monkeypatch):
    """Compile without making kernels; returns the options that torch.compile was given."""
    compile_for_real, given = torch.compile, []

    def compile_to_graphs(module, *, mode="default", dynamic):
        given.append({"mode": mode, "dynamic": dynamic})
        return compile_for_real(module, backend="eager", dynamic=dynamic)

    monkeypatch.setattr(torch, "compile", compile_to_graphs)
    return given


@pytest.mark.parametrize("backend", ["reference", "fast"])
@pytest.mark.parametrize("compile_optimizer", [None, True])
@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_only_the_fast_backend_on_a_cpu_leaves_update_and_loss_to_torchs_kernels(
    front_half, tmp_path, monkeypatch, backend, compile_optimizer, optimizer
):
    losses = []
    for name in ("cross_entropy", "fused_cross_entropy"):
        whole = getattr(setup, name)
        monkeypatch.setattr(setup, name, lambda *given, n=name, f=whole: (losses.append(n), f(*given))[1])
    model = CONFIG.model.replace(backend=backend)
    changes = {"compile_optimizer": compile_optimizer, "optimizer": optimizer, "steps": 2, "warmup_steps": 1}
    trainer = Trainer(CONFIG.replace(model=model, eval_every=0, **changes), tmp_path / "run", corpus(), progress=False)
    fused = backend == "fast" and not compile_optimizer
    assert (trainer.optimizer.path == "fused") is fused
    assert trainer.fit().environment["fused_update"] is fused
    assert set(losses) == {"fused_cross_entropy" if backend == "fast" else "cross_entropy"}


class Squares(torch.nn.Module):
    """A loss whose runs differ in size, as those of a suite do."""

    def __init__(self, size):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(size))

    def forward(self, x):
        return ((x * self.weight) ** 2).mean()


def test_the_tenth_run_of_a_process_is_compiled_like_the_first(front_half):
    """Without a fresh start torch makes graphs of unknown sizes from the second on, and after eight none at all."""
    for run in range(10):
        torch._dynamo.utils.counters.clear()
        loss_of = compiling.compiled(Squares(1 + run % 5), CONFIG)
        for size in (2 + run, 2 + run):
            loss_of(torch.zeros(size, 1 + run % 5))
        counters = torch._dynamo.utils.counters
        assert counters["stats"]["unique_graphs"] == 1
        assert not any("recompile_limit" in reason for reason in counters["unimplemented"])
    assert front_half == [{"mode": "default", "dynamic": False}] * 10


def test_a_run_says_what_compiling_took_and_the_steps_take_none_of_it(front_half, tmp_path):
    config = CONFIG.replace(steps=2, warmup_steps=1, compile=True, eval_every=0)
    torch._dynamo.utils.counters.clear()
    record = Trainer(config, tmp_path / "run", corpus(), progress=False).fit()
    assert record.status["compile_seconds"] > 0
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 2, "one to train, one to evaluate, none in a step"
    assert record.environment["compile_reason"] == "yes: asked for"


@pytest.mark.parametrize("optimizer", ["adamw", "muon", "sgd"])
def test_compiling_ahead_of_the_clock_changes_no_weight_and_no_moment(front_half, tmp_path, optimizer):
    config = CONFIG.replace(compile=True, compile_optimizer=True, optimizer=optimizer, steps=9)
    trainer = Trainer(config, tmp_path / "run", corpus(), progress=False)
    for _ in range(2):  # before the first step and, as after a resume, in the middle
        before = copy.deepcopy((trainer.model.state_dict(), trainer.optimizer.state_dict()["state"]))
        ahead = trainer._fast_loss, trainer.engine, config, trainer.model, trainer.optimizer
        assert compiling.compile_now(*ahead) > 0
        after = trainer.model.state_dict(), trainer.optimizer.state_dict()["state"]
        torch.testing.assert_close(after, before, rtol=0, atol=0)
        assert all(parameter.grad is None for parameter in trainer.model.parameters())
        trainer._train_step()
        assert not torch.equal(trainer.model.lm_head.weight, before[0]["lm_head.weight"])
        trainer.optimizer.zero_grad()


def test_no_step_compiles_anew_whatever_its_learning_rate(front_half, tmp_path):
    config = CONFIG.replace(compile=True, compile_optimizer=True, steps=12, eval_every=0)
    trainer = Trainer(config, tmp_path / "run", corpus(), progress=False)
    torch._dynamo.utils.counters.clear()
    compiling.compile_now(trainer._fast_loss, trainer.engine, config, trainer.model, trainer.optimizer)
    rates = {trainer._train_step() for _ in range(10)}
    assert len(rates) == 10
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 2, "the loss, and the update"


@pytest.mark.parametrize("optimizer", ["adamw", pytest.param("muon", marks=pytest.mark.slow)])
def test_a_compiled_update_trains_as_the_plain_one(front_half, tmp_path, optimizer):
    ends = []
    for name, compiled in (("plain", False), ("compiled", True)):
        config = CONFIG.replace(compile=True, compile_optimizer=compiled, optimizer=optimizer, steps=12, eval_every=0)
        trainer = Trainer(config, tmp_path / name, corpus(), progress=False)
        record = trainer.fit()
        assert record.environment["compile_optimizer"] is compiled
        ends.append({name: weight.clone() for name, weight in trainer.model.state_dict().items()})
    torch.testing.assert_close(ends[1], ends[0], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("capability", "has_triton", "expected"),
    [
        ((9, 0), True, "yes: compute capability 9.0"),
        ((7, 5), True, "yes: compute capability 7.5"),
        ((7, 0), True, "yes: compute capability 7.0"),
        ((6, 1), True, "no: torch's compiler needs compute capability 7.0, this is 6.1"),
        ((10, 0), False, "no: torch's compiler needs Triton, which is not installed"),
    ],
)
def test_the_device_decides_and_the_reason_is_told(capability, has_triton, expected):
    chosen, reason = compiling.decide(capability, has_triton)
    assert reason.startswith(expected) and chosen == expected.startswith("yes")


@pytest.mark.parametrize(
    ("longer", "trouble", "world_size", "expected"),
    [
        (0.99, "", 1, "no: a run of some 594 s on a CPU, and from 600 s on"),
        (1.01, "", 1, "yes: a run of some 606 s on a CPU"),
        (1.01, "no g++", 1, "no: torch's compiler does not work here (no g++)"),
        (1.01, "", 2, "no: on a CPU only a process that is alone compiles"),
        (1.01, "reference", 1, "no: compiled for a CPU, only the fast backend repeats itself"),
    ],
)
def test_on_a_cpu_the_length_of_the_run_decides_and_the_compiler(monkeypatch, longer, trouble, world_size, expected):
    asked = []
    monkeypatch.setattr(compiling, "cpu_trouble", lambda: (asked.append(1), trouble)[1])
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    model = CONFIG.model.replace(backend="reference" if trouble == "reference" else "fast")
    config = CONFIG.replace(model=model, steps=1_000)
    seconds = training_flops(config.model).total * config.batch_size * 1_000 / (2 * compiling.CORE_RATE)
    monkeypatch.setattr(compiling, "CORE_RATE", compiling.CORE_RATE * seconds / (longer * compiling.LONG))
    chosen, reason = compiling.choose_compile(config, torch.device("cpu"), world_size)
    assert reason.startswith(expected) and chosen == expected.startswith("yes")
    alone = world_size == 1 and trouble != "reference"
    assert len(asked) == (longer > 1 and alone), "the compiler is tried for long runs only"


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (lambda x: (x + 1).sin(), ""),
        (lambda x: x, "its result is wrong"),
        (lambda x: {}["no compiler"], "KeyError: 'no compiler'"),
    ],
)
def test_the_compiler_is_tried_once_and_what_is_wrong_with_it_is_told(untried, monkeypatch, made, expected):
    tried = []
    monkeypatch.setattr(torch, "compile", lambda work, dynamic: (tried.append(1), made)[1])
    monkeypatch.setattr(compiling, "_graphs", lambda: len(tried))
    assert compiling.cpu_trouble() == compiling.cpu_trouble() == expected
    assert len(tried) == 1


@pytest.mark.parametrize("switch", ["disable", "suppress_errors"])
def test_a_compiler_that_makes_nothing_and_says_nothing_is_found_out(untried, monkeypatch, switch):
    """Switched off in this process, or failing where failures are kept quiet: the function then runs as it is."""
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend=lambda graph, inputs: 1 / 0))
    with torch._dynamo.config.patch({switch: True}):
        assert compiling.cpu_trouble().startswith("it was asked and made nothing")


@pytest.mark.parametrize("switch", ["TORCH_COMPILE_DISABLE", "TORCHDYNAMO_DISABLE"])
def test_a_compiler_that_is_switched_off_is_said_to_be(untried, monkeypatch, switch):
    monkeypatch.setenv(switch, "1")
    assert compiling.cpu_trouble() == f"{switch} is set"


def test_a_loss_in_many_chunks_is_not_compiled_unasked():
    model = CONFIG.model.replace(backend="fast")
    config = CONFIG.replace(model=model, batch_size=32, steps=10**7, loss_chunk=63)
    assert compiling.choose_compile(config, torch.device("cpu")) == (
        False,
        "no: compiling a loss in more than 8 chunks takes minutes",
    )


def test_a_run_that_is_resumed_says_anew_whether_it_is_compiled(front_half, monkeypatch, tmp_path):
    monkeypatch.setattr(compiling, "cpu_trouble", lambda: "")
    config = CONFIG.replace(model=CONFIG.model.replace(backend="fast"), steps=8)
    seconds = training_flops(config.model).total * config.batch_size * 8 / torch.get_num_threads()
    monkeypatch.setattr(compiling, "CORE_RATE", 1.5 * seconds / compiling.LONG)
    assert Trainer(config, tmp_path / "run", corpus(), progress=False).fit().environment["compile"] is False
    longer = Trainer.resume(tmp_path / "run", corpus(), progress=False, changes={"steps": 16})
    last = longer.record.environment["resumed"][-1]
    assert last["compile"] == "default" and last["compile_reason"].startswith("yes: a run of some 800 s")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="there is no g++")
def test_a_compiled_run_on_a_cpu_repeats_itself_resumed_or_not(tmp_path):
    """With as many equal ids in a batch as make torch's own code for an embedding's gradient differ each time."""
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    model = CONFIG.model.replace(backend="fast", context_length=128)
    changes = {"compile": True, "batch_size": 32, "steps": 12, "eval_every": 0, "checkpoint_every": 6}
    config = CONFIG.replace(model=model, **changes)
    try:
        ends = []
        for name in ("one", "other"):
            trainer = Trainer(config, tmp_path / name, corpus(), progress=False)
            trainer.fit()
            ends.append([parameter.detach().clone() for parameter in trainer.model.parameters()])
        trainer.checkpoints.remove(trainer.checkpoints.path(12))
        resumed = Trainer.resume(tmp_path / "other", corpus(), progress=False)
        assert resumed.step == 6
        resumed.fit()
        ends.append(list(resumed.model.parameters()))
    finally:
        torch.set_num_threads(threads)
    for end in ends[1:]:
        assert all(torch.equal(a, b) for a, b in zip(ends[0], end, strict=True))


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="there is no g++")
@pytest.mark.parametrize("compiler", ["g++", "no-such-compiler"])
def test_the_real_compiler_works_or_is_said_not_to(compiler, tmp_path):
    """In a process of its own: torch looks for the compiler once."""
    ask = "from cs336_lib.training.compiling import cpu_trouble; print(repr(cpu_trouble()))"
    found = {**os.environ, "CXX": compiler, "TORCHINDUCTOR_CACHE_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", ask], env=found, capture_output=True, text=True, check=True)
    assert (done.stdout.strip() == "''") is (compiler == "g++"), done.stdout


@pytest.mark.parametrize("wanted", [True, False])
def test_who_asks_is_obeyed(wanted):
    chosen, reason = compiling.choose_compile(CONFIG.replace(compile=wanted), torch.device("cpu"))
    assert chosen == wanted and reason.endswith("asked for")


@pytest.mark.parametrize("mode", ["reduce-overhead", "max-autotune"])
def test_cuda_graphs_and_parts_of_a_step_are_refused_together(mode):
    with pytest.raises(ValueError, match=f"accumulation is 2 and compile_mode '{mode}', which records CUDA graphs"):
        CONFIG.replace(accumulation=2, compile_mode=mode)
    CONFIG.replace(accumulation=2, compile_mode=mode, compile=False)
    CONFIG.replace(accumulation=2, compile_mode="max-autotune-no-cudagraphs")


def ops_of_a_step(loss_of, *inputs):
    """The names of all operations of a compiled loss's forward and backward pass, and its loss and gradients."""
    from functorch.compile import make_boxed_func
    from torch._dynamo.backends.common import aot_autograd

    seen = []

    def look(graph, example):
        seen.extend(str(node.target) for node in graph.graph.nodes if node.op == "call_function")
        return make_boxed_func(graph.forward)

    torch._dynamo.reset()
    compiled = torch.compile(loss_of, backend=aot_autograd(fw_compiler=look, bw_compiler=look), dynamic=False)
    leaves = [tensor.clone().requires_grad_() for tensor in inputs]
    loss = compiled(*leaves)
    loss.backward()
    return seen, [loss, *(leaf.grad for leaf in leaves)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_compiled_loss_scatters_nothing_and_is_the_same(dtype, chunked):
    generator = torch.Generator().manual_seed(0)
    targets = torch.randint(11, (2, 5), generator=generator)
    hidden = torch.randn(2, 5, 4, generator=generator).to(dtype)
    head = torch.randn(11, 4, generator=generator).to(dtype)

    def loss_of(hidden, head):
        if chunked:
            return chunked_cross_entropy(hidden, head, targets, 3)
        return cross_entropy(hidden @ head.T, targets)

    ops, compiled = ops_of_a_step(loss_of, hidden, head)
    leaves = [tensor.clone().requires_grad_() for tensor in (hidden, head)]
    loss = loss_of(*leaves)
    loss.backward()
    rtol = 2e-2 if dtype == torch.bfloat16 else 1e-5
    torch.testing.assert_close(compiled, [loss, *(leaf.grad for leaf in leaves)], rtol=rtol, atol=rtol)
    assert len(ops) > 10 and not [op for op in ops if ".scatter" in op or "gather" in op]
