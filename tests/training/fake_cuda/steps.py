"""Take steps of the real trainer on a CUDA device that is not there, and tell what torch was asked for.

python steps.py DEVICE.so < cases.json > outcomes.json

A case is a compute capability and changes of the config. Nothing is computed: tensors are fake, and a device of C++
stands in for the driver (device.cpp). What a GPU would do is not shown by this; what it would be *asked* to do is.
"""

import ctypes
import gc
import importlib.util
import json
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from unittest import mock


def load(library):
    """Load the device; torch's own libraries first, torch itself later."""
    torch_folder = Path(importlib.util.find_spec("torch").origin).parent / "lib"
    for name in (torch_folder / "libc10.so", torch_folder / "libtorch_cpu.so", library):
        ctypes.CDLL(str(name), ctypes.RTLD_GLOBAL)


if __name__ == "__main__":
    load(sys.argv[1])

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakIdKeyDictionary

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2] / "accounting")]

from accounting_counts import Peak, loss
from training_setup import CONFIG, corpus

from cs336_lib.accounting import training_memory
from cs336_lib.model import ModelConfig, TransformerLM
from cs336_lib.optim import AdamW
from cs336_lib.training import Trainer
from cs336_lib.training.engines.single import SingleDevice

aten = torch.ops.aten
PRODUCTS = (aten.mm, aten.bmm, aten.addmm, aten.baddbmm, aten.mv, aten.addmv, aten.dot)
ALIGNED = 16  # bytes; tensor cores are slow on rows that begin elsewhere than at multiples of it
KERNELS = {0: "math", 1: "flash", 2: "efficient", 3: "cudnn"}  # as torch numbers them
STEPS = 3  # the first makes moments; the last is told, and compared with the one before


def short(dtype):
    return str(dtype).removeprefix("torch.")


def aligned(matrix):
    """Whether all rows of a matrix, or all columns where these lie in one piece, begin at multiples of 16 bytes."""
    return all(stride * matrix.itemsize % ALIGNED == 0 for stride in matrix.stride() if stride > 1)


class Watch(TorchDispatchMode):
    """Notes what torch is asked for: waits, copies between devices, types, products, attention, what stays alive."""

    def __init__(self):
        super().__init__()
        self.alive = WeakIdKeyDictionary()
        self.begin("setup")

    def begin(self, phase):
        self.phase = phase
        self.waits, self.copies, self.attention = [], [], set()
        self.dtypes, self.products, self.askew, self.pinned = set(), {}, set(), []

    def held(self):
        """Bytes on the device that somebody still holds."""
        gc.collect()
        return sum(self.alive.values())

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is aten._local_scalar_dense.default:  # a number on the device is asked for: the host waits
            self.waits.append([self.phase, "a number is read", args[0].device.type])
            return 0
        if func is aten._pin_memory.default:
            self.pinned.append(args[0].clone())
            return self.pinned[-1]
        out = func(*args, **(kwargs or {}))
        given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        made = [leaf for leaf in tree_leaves(out) if isinstance(leaf, torch.Tensor)]
        if func is aten._to_copy.default and given[0].device != made[0].device:
            free = (kwargs or {}).get("non_blocking", False) and any(args[0] is one for one in self.pinned)
            self.copied(given[0], made[0], free)
        elif func is aten.copy_.default and given[0].device != given[1].device:
            self.copied(given[1], given[0], False)
        elif len({one.device.type for one in given if one.ndim}) > 1:  # a single number of the host goes with a kernel
            self.waits.append([self.phase, f"{func} takes tensors of the host", "cuda"])
        on_device = [one for one in made if one.device.type == "cuda"]
        for one in on_device:
            self.alive[one.untyped_storage()] = one.untyped_storage().nbytes()
        self.dtypes |= {short(one.dtype) for one in on_device if one.ndim}
        if func.overloadpacket in PRODUCTS:
            self.products.setdefault(self.phase, set()).add(short(made[0].dtype))
            self.askew |= {tuple(one.shape) for one in (*given, *made) if one.ndim > 1 and not aligned(one)}
        if "attention" in str(func):
            self.attention.add(func._schema.name.removeprefix("aten::_scaled_dot_product_"))
        return out

    def copied(self, source, target, free):
        self.copies.append([source.device.type, target.device.type, free])


def placed(engine, module):
    """What `Module.to` does, which does not know fake tensors of another device."""
    for part in module.modules():
        for name, parameter in part.named_parameters(recurse=False):
            part._parameters[name] = torch.nn.Parameter(parameter.detach().to(engine.device))
        for name, buffer in part.named_buffers(recurse=False):
            part._buffers[name] = buffer.to(engine.device)
    return module


def attention_kernel(q, k, v, attn_mask=None, is_causal=False):
    """The first kernel, in the order that holds here, that serves the device and the type; torch itself asks a driver.

    cuDNN's and flash attention need compute capability 8.0 and half precision; the efficient one serves all.
    """
    assert attn_mask is None and is_causal
    half = torch.cuda.get_device_capability() >= (8, 0) and q.dtype != torch.float32
    order = [KERNELS.get(number) for number in torch._C._get_sdp_priority_order()]
    kernel = next(name for name in order if name in ("math", "efficient") or (half and name in ("flash", "cudnn")))
    if kernel == "flash":
        return aten._scaled_dot_product_flash_attention(q, k, v, 0.0, True)[0]
    if kernel == "cudnn":
        return aten._scaled_dot_product_cudnn_attention(q, k, v, None, torch.is_grad_enabled(), 0.0, True)[0]
    if kernel == "efficient":
        return aten._scaled_dot_product_efficient_attention(q, k, v, None, torch.is_grad_enabled(), 0.0, True)[0]
    return aten._scaled_dot_product_attention_math(q, k, v, None, 0.0, True)[0]


def device_of(capability, waits=()):
    """What the driver would say; `waits` are called when somebody asks to wait until the device is done."""
    properties = mock.Mock(total_memory=16 * 10**9, major=capability[0], minor=capability[1])
    said = {
        "is_available": lambda: True,
        "device_count": lambda: 1,
        "current_device": lambda: 0,
        "get_device_capability": lambda *device: capability,
        "get_device_name": lambda *device: "a device that is not there",
        "get_device_properties": lambda *device: properties,
        "_lazy_init": lambda: None,
        "synchronize": lambda *device: [wait() for wait in waits] and None,
        "get_rng_state": lambda *device: None,
        "set_rng_state": lambda state, *device: None,
    }
    held = ExitStack()
    for name, function in said.items():
        held.enter_context(mock.patch.object(torch.cuda, name, function))
    held.enter_context(mock.patch.object(SingleDevice, "setup", placed))
    held.enter_context(mock.patch("cs336_lib.model.layers.truncated_normal_", lambda weight, std: weight))
    return held


def attending_there():
    """Attention as a device would be asked for it; a tracer of graphs cannot look into it."""
    return mock.patch("torch.nn.functional.scaled_dot_product_attention", attention_kernel)


def changed(changes):
    """The small run of these tests on CUDA, with changes; those of the model stand under "model"."""
    model = CONFIG.model.replace(**changes.get("model", {}))
    rest = {name: value for name, value in changes.items() if name != "model"}
    return CONFIG.replace(**{"device": "cuda", "compile": False, "model": model, **rest})


def moments_of(optimizer):
    found = [one for state in optimizer.state.values() for one in state.values()]
    return [one for one in found if isinstance(one, torch.Tensor) and one.ndim]


def step_outcome(case):
    """What the last of a few steps asked for, and whether it held more than the one before."""
    watch = Watch()
    synchronized = [lambda: watch.waits.append([watch.phase, "synchronize", "cuda"])]
    with device_of(tuple(case["capability"]), synchronized), tempfile.TemporaryDirectory() as folder:
        with FakeTensorMode(allow_non_fake_inputs=True), watch, attending_there():
            trainer = Trainer(changed(case["changes"]), Path(folder) / "run", corpus(), progress=False)
            parameters, engine = list(trainer.model.parameters()), trainer.engine
            forward, clip, update = engine.forward, engine.clip, engine.step
            with_gradients = []

            def begins():
                with_gradients.append(sum(one.grad is not None for one in parameters))
                return forward()

            def then(phase, function):
                def told(*arguments):
                    watch.phase = phase
                    return function(*arguments)

                return told

            engine.forward, engine.clip, engine.step = begins, then("clip", clip), then("update", update)
            held = []
            for _ in range(STEPS):
                with_gradients.clear()
                watch.begin("model")
                trainer._train_step()
                held.append(watch.held())
            kept = [*parameters, *moments_of(trainer.optimizer), *(one.grad for one in parameters)]
        about = trainer.record.environment
    return {
        "precision": about["precision"],
        "about_attention": about["attention"],
        "waits": watch.waits,
        "copies": watch.copies,
        "dtypes": sorted(watch.dtypes),
        "askew": sorted(watch.askew),
        "products": {phase: sorted(found) for phase, found in watch.products.items()},
        "attention": sorted(watch.attention),
        "kept": sorted({(one.device.type, short(one.dtype)) for one in kept}),
        "held": held,
        "with_gradients": with_gradients[0],
    }


def memory_outcome(case):
    """Bytes of a float32 step of a preset: what accounting says, what is held before the backward pass, the peak."""
    config = ModelConfig.preset(case["preset"]).replace(backend=case["backend"])
    device = torch.device("cuda")
    with device_of((9, 0)), attending_there(), FakeTensorMode(allow_non_fake_inputs=True):
        model = placed(mock.Mock(device=device), TransformerLM(config))
        optimizer = AdamW(model.parameters(), foreach=True)
        shape = case["batch_size"], config.context_length
        x, y = (torch.zeros(shape, dtype=torch.int64, device=device) for _ in range(2))
        loss(model, x, y).backward()
        optimizer.step()
        held = [*model.parameters(), *(p.grad for p in model.parameters()), *moments_of(optimizer), x, y]
        optimizer.zero_grad(set_to_none=False)
        with Peak(held) as step:
            end = loss(model, x, y)
            kept = sum(step.alive.values())
            end.backward()
    formula = training_memory(config, case["batch_size"], activations="autograd")
    return {
        "formula": formula.total,
        "kept": kept,
        "peak": step.peak,
    }


def recompiling_outcome(case):
    """How many graphs there are after each of five steps, whose learning rates differ."""
    from torch._dynamo.utils import counters

    def traced(model, config):
        torch._dynamo.reset()
        return torch.compile(model, backend="eager", dynamic=False)

    counters.clear()
    with device_of(tuple(case["capability"])), tempfile.TemporaryDirectory() as folder, ExitStack() as held:
        held.enter_context(mock.patch("cs336_lib.training.compiling.compiled", traced))
        compile_update = torch.compile
        held.enter_context(mock.patch("torch.compile", lambda *a, **k: compile_update(*a, **{**k, "backend": "eager"})))
        held.enter_context(mock.patch.object(torch.Tensor, "pin_memory", lambda tensor: tensor))
        held.enter_context(FakeTensorMode(allow_non_fake_inputs=True))
        config = changed(case["changes"] | {"compile": True})
        trainer = Trainer(config, Path(folder) / "run", corpus(), progress=False)
        graphs, rates = [], []
        for _ in range(5):
            rates.append(trainer._train_step())
            graphs.append(counters["stats"]["unique_graphs"])
    return {"graphs": graphs, "rates": rates, "breaks": dict(counters["graph_break"])}


KINDS = {"step": step_outcome, "memory": memory_outcome, "recompiling": recompiling_outcome}

if __name__ == "__main__":
    print(json.dumps([KINDS[case["kind"]](case) for case in json.load(sys.stdin)]))
