"""Peak rates of a few accelerators, with their sources (chapter 5).

Peaks are for dense matrices: data sheets since 2020 print twice the rate in large type, "with sparsity". For "float16"
and "bfloat16" they are those of tensor cores that add up in float32, as training does; "tf32" is what float32 products
take after torch.set_float32_matmul_precision("high"), "float32" what they take by default.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real

from cs336_lib.naming import did_you_mean, real_number, unwrapped

TERA = 10**12


@dataclass(frozen=True)
class Device:
    """An accelerator.

    Attributes:
        name: what it is sold as.
        peaks: dtype -> FLOP/s of dense matrix products.
        memory_bytes: its memory, the label's GB taken as 1e9 bytes. Most labels mean GiB, of which the driver keeps
            some.
        bandwidth: bytes per second between memory and chip.
        source: where the figures stand.
        reported: what the driver calls it, "NVIDIA" in front left out.
    """

    name: str
    peaks: Mapping[str, int]
    memory_bytes: int
    bandwidth: int
    source: str
    reported: tuple[str, ...] = ()

    def peak(self, dtype: str = "bfloat16") -> int:
        """Return the peak for one dtype in FLOP/s.

        Raises:
            ValueError: the device has no such peak (a T4 has no bfloat16); the error lists those it has.
        """
        if dtype not in self.peaks:
            raise ValueError(f"{self.name} has no peak for {dtype!r}; it has: {', '.join(self.peaks)}")
        return self.peaks[dtype]


def _device(
    name: str,
    memory_gb: int,
    bandwidth_gb: int,
    source: str,
    *reported: str,
    float32: float,
    half: float,
    tf32: float | None,
) -> Device:
    peaks = {"float32": float32, **({"tf32": tf32, "bfloat16": half} if tf32 else {}), "float16": half}
    exact = {dtype: round(tera * 10) * TERA // 10 for dtype, tera in peaks.items()}
    return Device(name, exact, memory_gb * 10**9, bandwidth_gb * 10**9, source, reported)


A100 = {"float32": 19.5, "half": 312, "tf32": 156}
H100 = {"float32": 67, "half": 989, "tf32": 494}
A100_SHEET = "NVIDIA A100 data sheet"
H100_SHEET = "NVIDIA H100 data sheet, halved from sparse"
# Data sheets round: 989 sparse gives 494 for TF32, 989.4 in other editions of the sheet 494.7; the assignment has 495.
# For a B200 the Blackwell data sheet has float32 75 (HGX, by 8) and the architecture brief 80; 7.7 TB/s there is 8 in
# the sheet of the DGX.
B200_SHEET = "NVIDIA Blackwell data sheet, HGX B200, halved from sparse (float32: 80 in the architecture brief)"

DEVICES: dict[str, Device] = {
    # 256 bits at 10 Gbit/s; NVIDIA's one-page data sheet rounds it to "300 GB/s".
    "t4": _device(
        "NVIDIA T4", 16, 320, "NVIDIA T4 product brief PB-09256", "Tesla T4", "T4", float32=8.1, half=65, tf32=None
    ),
    "l4": _device(
        "NVIDIA L4", 24, 300, "NVIDIA L4 data sheet, halved from sparse", "L4", float32=30.3, half=121, tf32=60
    ),
    "a100-40gb": _device("NVIDIA A100 40GB", 40, 1_555, A100_SHEET, "A100-SXM4-40GB", "A100-PCIE-40GB", **A100),
    "a100-80gb": _device("NVIDIA A100 80GB SXM", 80, 2_039, A100_SHEET, "A100-SXM4-80GB", **A100),
    "a100-80gb-pcie": _device("NVIDIA A100 80GB PCIe", 80, 1_935, A100_SHEET, "A100 80GB PCIe", **A100),
    "h100-sxm": _device("NVIDIA H100 SXM", 80, 3_350, H100_SHEET, "H100 80GB HBM3", **H100),
    "h100-pcie": _device("NVIDIA H100 PCIe", 80, 2_000, H100_SHEET, "H100 PCIe", float32=51, half=756, tf32=378),
    "h200": _device("NVIDIA H200 SXM", 141, 4_800, "NVIDIA H200 data sheet, halved from sparse", "H200", **H100),
    "b200": _device("NVIDIA B200", 180, 7_700, B200_SHEET, "B200", float32=75, half=2_250, tf32=1_100),
    "rtx-3090": _device(
        "GeForce RTX 3090",
        24,
        936,
        "NVIDIA Ampere GA102 whitepaper",
        "GeForce RTX 3090",
        float32=35.6,
        half=71,
        tf32=35.6,
    ),
    "rtx-4090": _device(
        "GeForce RTX 4090",
        24,
        1_008,
        "NVIDIA Ada architecture whitepaper",
        "GeForce RTX 4090",
        float32=82.6,
        half=165.2,
        tf32=82.6,
    ),
}


RENT = {"t4": 0.000164, "l4": 0.000222, "a100-80gb": 0.000694, "h100-sxm": 0.001097, "b200": 0.001736}
"""US dollars per second of a rented device: the list prices of modal.com/pricing as they stood in May 2026, without the
CPU and memory beside it. Prices change, and between providers they differ by a factor of two and more."""


def identify(reported: str) -> Device | None:
    """Return the device that a driver's name stands for, or None when the table has no such device.

    Only whole names count: an H100 NVL is not an H100 SXM, and its peak is another.

    Args:
        reported: such as `torch.cuda.get_device_name()`.

    >>> identify("NVIDIA H100 80GB HBM3").name
    'NVIDIA H100 SXM'
    >>> identify("NVIDIA H100 NVL") is None
    True
    """
    name = reported.removeprefix("NVIDIA ")
    return next((device for device in DEVICES.values() if name in device.reported), None)


def device(name: str | Device | float, *, or_peak: bool = False) -> Device:
    """Return the device of a name; a `Device` is returned as it is.

    Args:
        name: of the table.
        or_peak: whether the caller would take a peak in FLOP/s as well, which an error then advises.

    Raises:
        ValueError: the table has no such device; the error lists those it has.

    >>> device("a100-80gb").peak("float32")
    19500000000000
    >>> device("t4").peak("bfloat16")
    Traceback (most recent call last):
    ValueError: NVIDIA T4 has no peak for 'bfloat16'; it has: float32, float16
    """
    if isinstance(name, Device):
        return name
    if not isinstance(name, str) or name not in DEVICES:
        what = f"unknown device {name!r}{did_you_mean(name, DEVICES)}"
        if isinstance(unwrapped(name), Real) and not isinstance(unwrapped(name), bool):
            what = f"device is {unwrapped(name)!r}, and a peak says nothing of memory, which counts here"
        another = "make a Device with its peaks and its bandwidth"
        if or_peak:
            another = "give its peak in FLOP/s, such as 1e15, where its memory does not matter"
        raise ValueError(f"{what}; known: {', '.join(DEVICES)}; for another one {another}")
    return DEVICES[name]


def peak_flops(where: str | Device | float, dtype: str = "bfloat16") -> float:
    """Return a peak in FLOP/s, from a device and a dtype, or given as a number.

    Raises:
        ValueError: the device or its dtype is unknown, or the number is not positive.

    >>> peak_flops("h100-sxm"), peak_flops(1.5e12)
    (989000000000000.0, 1500000000000.0)
    """
    number = unwrapped(where)
    if not isinstance(number, Real) or isinstance(number, bool):
        return float(device(where, or_peak=True).peak(dtype))
    peak = real_number("the peak", number)
    if not 0 < peak <= sys.float_info.max:
        raise ValueError(f"the peak is {peak}; it must be a positive number of FLOP/s, finite as a float")
    return float(peak)
