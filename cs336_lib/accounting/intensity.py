"""Arithmetic intensity: which components wait for arithmetic and which for memory (chapter 5).

A product does FLOPs and moves bytes: both factors in, the result out, each once, which is what an ideal kernel moves.
Their quotient is its intensity. A device gets at most min(peak, intensity x bandwidth) out of it: a slanted roof, then
a flat one. Attention of the fast backend is one fused kernel, whose S x S scores never leave the chip.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from cs336_lib.accounting.devices import Device
from cs336_lib.accounting.devices import device as find_device
from cs336_lib.accounting.flops import MatMul, matmuls
from cs336_lib.model.config import ModelConfig

BYTES = {"float32": 4, "tf32": 4, "bfloat16": 2, "float16": 2}


@dataclass(frozen=True)
class RooflinePoint:
    """One component on one device.

    Attributes:
        component: as in a `Breakdown`.
        flops: of its products.
        bytes: that they move.
        attainable: FLOP/s, at most; sum of the products' FLOPs over the sum of their least times.
        peak: the device's FLOP/s.
        seconds: least time.
    """

    component: str
    flops: int
    bytes: int
    attainable: float
    peak: int
    seconds: float

    @property
    def intensity(self) -> float:
        """FLOPs per byte."""
        return self.flops / self.bytes

    @property
    def bound(self) -> Literal["compute", "memory"]:
        """Whether the peak is in reach, or memory stands before it."""
        return "compute" if self.attainable >= self.peak * (1 - 1e-9) else "memory"


def roofline(
    cfg: ModelConfig,
    device: str | Device,
    context_length: int | None = None,
    batch_size: int = 1,
    *,
    dtype: str = "bfloat16",
    cached: int = 0,
) -> list[RooflinePoint]:
    """Place the components of a forward pass under a device's roof.

    Args:
        cfg: the model.
        device: a name of `DEVICES`, or a `Device`.
        context_length: S, new tokens; the model's context length when None. 1 is a decoding step.
        batch_size: B.
        dtype: type of all numbers.
        cached: tokens in the KV cache.

    Returns:
        One point for each component that has matrix products.

    Raises:
        ValueError: a size is not a positive whole number, or device or dtype is unknown.

    Source: Williams, Waterman and Patterson, 2009.

    >>> xl = ModelConfig.preset("gpt2-xl")
    >>> for point in roofline(xl, "h100-sxm"):
    ...     print(f"{point.component:<22} {point.intensity:>6.1f} FLOPs per byte, {point.bound}")
    attention_projections   449.1 FLOPs per byte, compute
    attention_scores         56.9 FLOPs per byte, memory
    ffn                     568.9 FLOPs per byte, compute
    lm_head                 616.7 FLOPs per byte, compute
    >>> round(roofline(xl.replace(backend="fast"), "h100-sxm")[1].intensity)
    512
    """
    where = find_device(device)
    peak, width = where.peak(dtype), BYTES[dtype]
    groups: dict[str, list[tuple[int, int]]] = {}  # component -> FLOPs and bytes of each of its kernels
    for product in matmuls(cfg, context_length, batch_size, cached=cached):
        kernels = groups.setdefault(product.component, [])
        if cfg.backend == "fast" and product.component == "attention_scores":
            flops, moved = kernels.pop() if kernels else (0, 0)
            kernels.append((flops + product.flops, moved + (product.elements - _scores(product)) * width))
        else:
            kernels.append((product.flops, product.elements * width))
    points = []
    for component, kernels in groups.items():
        flops, moved = (sum(column) for column in zip(*kernels, strict=True))
        seconds = sum(max(f / peak, b / where.bandwidth) for f, b in kernels)
        points.append(RooflinePoint(component, flops, moved, flops / seconds, peak, seconds))
    return points


def _scores(product: MatMul) -> int:
    """Return the scores (S T for each head) among the elements that one of attention's two products moves."""
    rows_out, rows_in = product.m * product.n, product.m * product.k
    return product.count * (rows_out if product.name == "Q K^T" else rows_in)
