"""Steps of the real trainer as a CUDA device would be asked for them, on a machine without one (fake_cuda/).

Nothing is computed: tensors are fake, and a few lines of C++ stand in for the driver. So these tests see what is asked
of a T4, an A100, an H100, a B200: whether a step waits, in which types it multiplies, which attention kernel comes
first, whether a step holds what the last one left. Two more things are seen with fewer choices: the memory of a step in
float32 beside accounting, and that a compiled step with AdamW's compiled update is traced once. What kernels answer,
and how long they take, is for `make gpu`.
"""

import json
import os
import shutil
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest
import torch

from cs336_lib.model import ModelConfig

HERE = Path(__file__).parent / "fake_cuda"
COMPILER = os.environ.get("CXX") or shutil.which("c++") or shutil.which("g++")
pytestmark = [
    pytest.mark.skipif(torch.version.cuda is not None, reason="this torch knows CUDA, and the stand-in would clash"),
    pytest.mark.skipif(sys.platform != "linux" or not COMPILER, reason="needs Linux and a C++ compiler"),
]

HALF = {(6, 1): "float32", (7, 5): "float16", (8, 0): "bfloat16", (9, 0): "bfloat16", (10, 0): "bfloat16"}
FAST = {"model": {"backend": "fast"}}


def step(capability, **changes):
    return {"kind": "step", "capability": list(capability), "changes": changes}


STEPS = [
    step((7, 5)),
    step((7, 5), **FAST, optimizer="muon", accumulation=2),
    step((8, 0), loss_chunk=16, optimizer="sgd", accumulation=2),
    step((9, 0), **FAST, residual="half"),
    step((10, 0), **FAST, optimizer="muon", loss_chunk=16),
    step((6, 1), **FAST),
]
ALL_STEPS = [
    step(capability, **model, optimizer=optimizer, loss_chunk=chunk, accumulation=parts)
    for capability, model, optimizer, (chunk, parts) in product(
        HALF, ({}, FAST), ("adamw", "muon", "sgd"), ((0, 1), (16, 2))
    )
]
MEMORY = [
    {"kind": "memory", "preset": "tinystories-17m", "batch_size": size, "backend": backend}
    for size, backend in product((1, 256), ("reference", "fast"))
]
RECOMPILING = [{"kind": "recompiling", "capability": [9, 0], "changes": {**FAST, "optimizer": "adamw"}}]


def told(case):
    """A name for a case."""
    about = {**case, **case.get("changes", {})}
    return ",".join(f"{key}={value}" for key, value in about.items() if key not in ("kind", "changes")).replace(" ", "")


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """Run cases in one process, and remember what came out."""
    folder = tmp_path_factory.mktemp("device")
    include = Path(torch.__file__).parent / "include"
    command = [COMPILER, "-shared", "-fPIC", "-std=c++20", f"-I{include}", str(HERE / "device.cpp")]
    subprocess.run([*command, "-o", str(folder / "device.so")], check=True, capture_output=True, text=True)
    known = {}

    def run(cases):
        missing = [case for case in cases if told(case) not in known]
        if missing:
            done = subprocess.run(
                [sys.executable, HERE / "steps.py", folder / "device.so"],
                input=json.dumps(missing),
                env={**os.environ, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"},
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stderr[-3000:]
            found = json.loads(done.stdout.splitlines()[-1])
            known.update(zip(map(told, missing), found, strict=True))
        return [known[told(case)] for case in cases]

    run([*STEPS, *MEMORY, *RECOMPILING])
    return run


def check_step(case, seen):
    capability, changes = tuple(case["capability"]), case["changes"]
    half = HALF[capability]
    assert seen["precision"].startswith({"float32": "fp32", "float16": "fp16", "bfloat16": "bf16"}[half])
    # One flag a step is read with float16: whether a gradient overflowed.
    assert seen["waits"] == ([["update", "a number is read", "cuda"]] if half == "float16" else [])
    # The places of a batch's windows, from pinned memory and without waiting; ids and tables are on the device.
    assert seen["copies"] == [["cpu", "cuda", True]] * changes.get("accumulation", 1)
    assert seen["kept"] == [["cuda", "float32"]], "weights, gradients and moments"
    assert seen["held"][-1] == seen["held"][-2] and not seen["with_gradients"], "no step holds what the last one left"
    assert set(seen["dtypes"]) <= {half, "float32", "int64", "int32", "int16", "bool", "uint64"}
    products = {"model": [half]}
    if changes.get("optimizer") == "muon":
        products["update"] = ["bfloat16" if half == "bfloat16" else "float32"]
    assert {name: found for name, found in seen["products"].items() if name != "clip"} == products
    assert seen["products"].get("clip", ["float32"]) == ["float32"]
    kernel = "cudnn" if capability >= (9, 0) else "flash" if capability >= (8, 0) else "efficient"
    fast = changes.get("model", {}).get("backend") == "fast"
    assert seen["attention"] == ([f"{kernel}_attention", f"{kernel}_attention_backward"] if fast else [])
    # The vocabulary has an odd number of entries: without padding rows of logits begin anywhere.
    assert bool(seen["askew"]) == (half == "float32" or not fast), seen["askew"]
    assert seen["about_attention"].startswith("cudnn:" if kernel == "cudnn" else "torch's own order:")


@pytest.mark.parametrize("case", STEPS, ids=told)
def test_a_step_waits_for_nothing_and_keeps_to_its_types(outcomes, case):
    check_step(case, *outcomes([case]))


@pytest.mark.slow
def test_so_does_every_other_step(outcomes):
    for case, seen in zip(ALL_STEPS, outcomes(ALL_STEPS), strict=True):
        check_step(case, seen)


@pytest.mark.parametrize("case", MEMORY, ids=told)
def test_a_step_holds_what_accounting_says(outcomes, case):
    (seen,) = outcomes([case])
    config = ModelConfig.preset(case["preset"])
    # On CUDA the fast backend puts W1 and W3 together.
    joined = 4 * 2 * config.d_model * config.d_ff * config.num_layers if case["backend"] == "fast" else 0
    assert seen["kept"] == pytest.approx(seen["formula"] + joined, rel=0.001)
    # The gradient of the log-probabilities is still held when that of the logits is made from it.
    gradient = 4 * case["batch_size"] * config.context_length * config.vocab_size
    assert seen["peak"] == pytest.approx(seen["formula"] + joined + 2 * gradient, rel=0.02)


def test_a_compiled_step_and_its_update_are_traced_once_each(outcomes):
    (seen,) = outcomes(RECOMPILING)
    assert seen["graphs"] == [2] * 5 and not seen["breaks"]
    assert len(set(seen["rates"])) == 5
