"""Whether to compile, and how: one graph for each run, whatever ran before in the same process (chapter 6).

torch.compile remembers what it has seen of a function. A second model in the same process is another shape of the same
`forward`: torch makes it a graph of unknown sizes, slower, and after eight of them compiles no more and says nothing.
So each trainer begins with an empty memory and fixed sizes.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from cs336_lib.training.config import TrainConfig
from cs336_lib.training.engines.single import SingleDevice

OLDEST = (7, 0)
"""The lowest compute capability that torch's compiler makes kernels for."""


def choose_compile(config: TrainConfig, device: torch.device) -> tuple[bool, str]:
    """Return whether to compile, and why: as the config says, otherwise on CUDA wherever the compiler works.

    On a CPU it would pay in runs of minutes, but torch's compiled code for several threads adds up in no fixed order:
    the same run, or one that was resumed, would not give the same losses to the last bit. So there it is asked for.

    >>> from cs336_lib.model import ModelConfig
    >>> config = TrainConfig(ModelConfig.preset("tales-1m"))
    >>> choose_compile(config, torch.device("cpu"))
    (False, 'no: compiled for a CPU, a run does not repeat itself to the last bit')
    """
    if config.compile is not None:
        return config.compile, f"{'yes' if config.compile else 'no'}: asked for"
    if device.type != "cuda":
        on_cpu = "compiled for a CPU, a run does not repeat itself to the last bit"
        return False, f"no: {on_cpu if device.type == 'cpu' else f'on {device.type} torch compiles too little'}"
    return decide(torch.cuda.get_device_capability(device), _has_triton())


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
    """Return the compiled loss of a run.

    Args:
        loss: model and loss in one.
        config: says the mode.
    """
    torch._dynamo.reset()
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
