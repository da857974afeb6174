"""Which numbers to compute with: the type that fits the device, and why (chapter 6).

::

    float32    1 sign, 8 exponent, 23 mantissa bits       weights and moments, always
    bfloat16   1, 8, 7      float32's range, coarser      products, where the device has it
    float16    1, 5, 10     finer, but 6e-8 ... 65504     products, elsewhere; gradients are scaled up to stay in range
    tf32       1, 8, 10     a way to multiply float32     CUDA only

Weights stay in float32; autocast casts what goes into products.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch

from cs336_lib.training.config import PrecisionName


@dataclass(frozen=True)
class Precision:
    """How a device computes.

    Attributes:
        name: "fp32", "bf16" or "fp16".
        dtype: type of the products.
        scaled: whether the loss is scaled to keep float16 gradients in range.
        tf32: whether float32 products run as TF32.
        reason: one sentence that says why.
    """

    name: str
    dtype: torch.dtype
    scaled: bool
    tf32: bool
    reason: str

    @property
    def peak_dtype(self) -> str:
        """The name under which `cs336_lib.accounting` knows the device's peak."""
        return "tf32" if self.tf32 and self.name == "fp32" else str(self.dtype).removeprefix("torch.")

    def autocast(self, device: torch.device) -> AbstractContextManager[object]:
        """Return the context to run the forward pass in."""
        if self.dtype == torch.float32:
            return nullcontext()
        return torch.autocast(device.type, dtype=self.dtype)


def choose_device(name: str = "auto") -> torch.device:
    """Return the device to train on.

    Args:
        name: "auto", or a device of torch such as "cuda:1".

    Raises:
        ValueError: there is no such device here.

    >>> choose_device("cpu")
    device(type='cpu')
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ValueError(f"device is {name!r}; allowed: 'auto', 'cpu', 'cuda', 'cuda:N', 'mps'") from None
    here = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not here.get(device.type, False):
        have = ", ".join(repr(kind) for kind, there in here.items() if there)
        raise ValueError(f"device is {name!r}, which this machine does not have; it has: {have}")
    if device.type == "cuda" and device.index is not None and device.index >= torch.cuda.device_count():
        raise ValueError(f"device is {name!r}, but there are {torch.cuda.device_count()} CUDA devices, from 0")
    return device


def choose_precision(device: torch.device, wanted: PrecisionName = "auto", tf32: bool = True) -> Precision:
    """Choose the type of the products for a device.

    Args:
        device: where the model runs.
        wanted: "auto" for what fits the device, or the type to use.
        tf32: allow TF32 for float32 products on CUDA.

    Returns:
        The choice with its reason.

    Raises:
        ValueError: the device does not do what is wanted.

    >>> choose_precision(torch.device("cpu")).reason
    'fp32: on a CPU half precision is rarely faster, and float32 repeats to the bit'
    """
    cuda = device.type == "cuda"
    capability = torch.cuda.get_device_capability(device) if cuda else (0, 0)
    return decide(device.type, capability, wanted, tf32)


def decide(kind: str, capability: tuple[int, int], wanted: PrecisionName, tf32: bool) -> Precision:
    """Choose by facts alone; `choose_precision` looks them up.

    Args:
        kind: "cuda", "mps" or "cpu".
        capability: compute capability of a CUDA device.
        wanted: as in `choose_precision`.
        tf32: as in `choose_precision`.

    >>> decide("cuda", (7, 5), "auto", True).reason
    'fp16 with loss scaling: compute capability 7.5 has float16 tensor cores and no bfloat16'
    >>> decide("cuda", (9, 0), "auto", True).name, decide("mps", (0, 0), "auto", True).name
    ('bf16', 'fp32')
    """
    native_bf16 = kind == "cuda" and capability >= (8, 0)
    with_tf32 = tf32 and native_bf16
    at = f"compute capability {capability[0]}.{capability[1]}"
    if wanted == "fp16" and kind != "cuda":
        raise ValueError(f"precision is 'fp16', which needs a CUDA device for its loss scaling; on {kind} use 'fp32'")
    if wanted != "auto":
        reason = f"{wanted}: asked for"
        if wanted == "bf16" and kind == "cuda" and not native_bf16:
            reason += f", though {at} only emulates it"
        name = wanted
    elif native_bf16:
        name, reason = "bf16", f"bf16: {at} has bfloat16 tensor cores, and float32's range needs no loss scaling"
    elif kind == "cuda" and capability >= (7, 0):
        name, reason = "fp16", f"fp16 with loss scaling: {at} has float16 tensor cores and no bfloat16"
    elif kind == "cuda":
        name, reason = "fp32", f"fp32: {at} has no tensor cores"
    elif kind == "mps":
        name, reason = "fp32", "fp32: autocast on MPS saves no time at these sizes and costs accuracy"
    else:
        name, reason = "fp32", "fp32: on a CPU half precision is rarely faster, and float32 repeats to the bit"
    dtypes = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
    return Precision(name, dtypes[name], name == "fp16", with_tf32, reason)


def apply_tf32(precision: Precision, device: torch.device) -> None:
    """Let CUDA multiply float32 matrices as the precision says; other devices are left alone."""
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high" if precision.tf32 else "highest")
