"""Whether to compile, and how: one graph for each run, whatever ran before in the same process (chapter 6).

torch.compile remembers what it has seen of a function. A second model in the same process is another shape of the same
`forward`: torch makes it a graph of unknown sizes, slower, and after eight of them compiles no more and says nothing.
So each trainer begins with an empty memory and fixed sizes.
"""

from __future__ import annotations

import copy
import functools
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from cs336_lib.accounting import training_flops
from cs336_lib.model.fast import FastEmbedding
from cs336_lib.training.config import TrainConfig
from cs336_lib.training.engines.single import SingleDevice

OLDEST = (7, 0)
"""The lowest compute capability that torch's compiler makes kernels for."""
CORE_RATE = 4e10
"""FLOP/s that one core reaches in uncompiled steps of a small model: to tell a long run from a short one."""
LONG = 600.0
"""Seconds of a run on a CPU from which on compiling is sure to pay: it takes half a minute, and saves more than a
twentieth of the time (beside each other in results/benchmarks: training.json and training_compiled.json)."""

MOST_CHUNKS = 8
"""Of a loss in chunks; the compiler takes them one by one, each with a graph's parts of its own."""


def choose_compile(config: TrainConfig, device: torch.device, world_size: int = 1) -> tuple[bool, str]:
    """Return whether to compile, and why: as the config says, otherwise wherever it works and pays.

    On CUDA it pays always, on a CPU in a long run. How long a run takes is told from its FLOPs and the number of
    threads, not by a clock, so that the same run on the same machine is the same each time, to the last bit; one that
    is resumed to be longer may be compiled from there on.

    Args:
        config: of the run.
        device: that it runs on.
        world_size: number of processes that share it.

    >>> config = TrainConfig.preset("tales-1m").replace(steps=150)
    >>> choose_compile(config, torch.device("mps"))
    (False, 'no: on mps torch compiles too little')
    >>> choose_compile(config, torch.device("cpu"))[1].startswith("no: a run of")
    True
    """
    if config.compile is not None:
        return config.compile, f"{'yes' if config.compile else 'no'}: asked for"
    if device.type == "cuda":
        return decide(torch.cuda.get_device_capability(device), _has_triton())
    if device.type != "cpu":
        return False, f"no: on {device.type} torch compiles too little"
    if world_size > 1:
        return False, "no: on a CPU only a process that is alone compiles"
    if config.model.backend != "fast":
        return False, "no: compiled for a CPU, only the fast backend repeats itself to the last bit"
    positions = config.batch_size // config.accumulation * config.model.context_length
    if config.loss_chunk and positions > MOST_CHUNKS * config.loss_chunk:
        return False, f"no: compiling a loss in more than {MOST_CHUNKS} chunks takes minutes"
    flops = training_flops(config.model).total * config.batch_size * config.steps
    return decide_on_cpu(flops, torch.get_num_threads(), cpu_trouble)


def decide_on_cpu(flops: float, threads: int, trouble: Callable[[], str]) -> tuple[bool, str]:
    """Choose for a CPU by the length of the run.

    Args:
        flops: of all steps.
        threads: that torch takes.
        trouble: tells why the compiler does not work here, or ""; asked only where it matters, since it tries.

    >>> decide_on_cpu(6e13, 2, lambda: "")
    (True, 'yes: a run of some 750 s on a CPU')
    >>> decide_on_cpu(6e13, 16, lambda: "")
    (False, 'no: a run of some 94 s on a CPU, and from 600 s on compiling saves more than it takes')
    >>> decide_on_cpu(6e13, 2, lambda: "no C++ compiler")
    (False, "no: torch's compiler does not work here (no C++ compiler)")
    """
    seconds = flops / (threads * CORE_RATE)
    run = f"a run of some {seconds:.0f} s on a CPU"
    if seconds < LONG:
        return False, f"no: {run}, and from {LONG:g} s on compiling saves more than it takes"
    if found := trouble():
        return False, f"no: torch's compiler does not work here ({found})"
    return True, f"yes: {run}"


@functools.cache
def cpu_trouble() -> str:
    """Return why torch's compiler makes no kernels for this CPU, or "" where it does; a process tries it once.

    It needs a C++ compiler, headers of Python and OpenMP, and a temporary folder that programs may be started from.
    """
    if sys.platform == "win32":
        return "on Windows it is not tried"
    for switch in ("TORCH_COMPILE_DISABLE", "TORCHDYNAMO_DISABLE"):
        if os.environ.get(switch) == "1":
            return f"{switch} is set"
    graphs = _graphs()
    try:
        made = torch.compile(lambda x: (x + 1).sin(), dynamic=False)(torch.ones(4))
        right = torch.allclose(made, torch.ones(4).add(1).sin())
    except Exception as error:  # whatever a foreign tool chain may do wrong, the run can go on without it
        return " ".join(f"{type(error).__name__}: {error}".split())[:200]
    if _graphs() == graphs:
        return "it was asked and made nothing; torch._dynamo's configuration may tell why"
    return "" if right else "its result is wrong"


def _graphs() -> int:
    """How many graphs torch's compiler has made in this process."""
    return int(torch._dynamo.utils.counters["stats"]["unique_graphs"])


def decide(capability: tuple[int, int], has_triton: bool) -> tuple[bool, str]:
    """Choose for a CUDA device by facts alone; `choose_compile` looks them up.

    >>> decide((9, 0), True)
    (True, 'yes: compute capability 9.0')
    >>> decide((6, 1), True)
    (False, "no: torch's compiler needs compute capability 7.0, this is 6.1")
    >>> decide((8, 9), False)[1]
    "no: torch's compiler needs Triton, which is not installed (there is none for Windows in torch)"
    """
    here, oldest = (f"{major}.{minor}" for major, minor in (capability, OLDEST))
    if capability < OLDEST:
        return False, f"no: torch's compiler needs compute capability {oldest}, this is {here}"
    if not has_triton:
        return False, "no: torch's compiler needs Triton, which is not installed (there is none for Windows in torch)"
    return True, f"yes: compute capability {here}"


def compiled(loss: nn.Module, config: TrainConfig) -> Callable[..., Any]:
    """Return the compiled loss of a run, which on a CPU repeats itself to the last bit.

    Args:
        loss: model and loss in one.
        config: says the mode.
    """
    torch._dynamo.reset()
    for module in loss.modules():
        if isinstance(module, FastEmbedding):
            module.in_order = True
    return torch.compile(loss, mode=config.compile_mode, dynamic=False)


def wants_compiled_update(config: TrainConfig, device: torch.device, world_size: int, compiled: bool) -> bool:
    """Return whether to compile the optimizer's update: as the config says, otherwise with the model on one GPU.

    Compiled, AdamW reads and writes 28 bytes per parameter, where one operation after the other moves 84. On a CPU
    torch's own kernel does the same, and so do pieces of parameters that stay in the cache between operations.

    >>> from cs336_lib.model import ModelConfig
    >>> config = TrainConfig(ModelConfig.preset("tales-1m"))
    >>> [wants_compiled_update(config, torch.device(kind), 1, True) for kind in ("cpu", "cuda")]
    [False, True]
    """
    if config.compile_optimizer is not None:
        return config.compile_optimizer
    return compiled and device.type == "cuda" and world_size == 1


def compile_now(
    loss_of: Callable[..., Any], engine: SingleDevice, config: TrainConfig, model: nn.Module, optimizer: Optimizer
) -> float:
    """Compile a step before the clock of the steps starts; no weight and no moment is changed.

    Args:
        loss_of: from `compiled`.
        engine: the run's.
        config: of the run; a part of its batch is the shape that is compiled.
        model: whose gradients are thrown away.
        optimizer: whose update is compiled on a copy of everything, if it is to be.

    Returns:
        The seconds it took.
    """
    started = time.perf_counter()
    part = config.batch_size // config.accumulation // engine.world_size
    shape = part, config.model.context_length
    x, y = (
        torch.zeros(shape, dtype=torch.int64, device=engine.device) for _ in range(2)
    )  # one for both is a graph apart
    with engine.part(last=True):
        with engine.forward():
            loss = loss_of(x, y)
        engine.backward(loss)
    for parameter in model.parameters():
        parameter.grad = None
    if getattr(optimizer, "path", None) == "compile":
        twin = copy.deepcopy(optimizer)
        for parameter in (p for group in twin.param_groups for p in group["params"]):
            parameter.grad = torch.zeros_like(parameter)
        twin.step()
    engine.synchronize()
    return time.perf_counter() - started


def _has_triton() -> bool:
    from torch.utils._triton import has_triton

    return bool(has_triton())
