"""Tokens per second and MFU, of the training steps alone (chapter 6).

The first steps are left out: they compile, fill caches and raise clocks. So is what lies between steps: evaluation,
samples and checkpoints.
"""

from __future__ import annotations

import time

import torch

from cs336_lib.accounting import mfu
from cs336_lib.accounting.devices import identify
from cs336_lib.model.config import ModelConfig
from cs336_lib.training.precision import Precision

WARM_UP = 5
"""Steps of a session that no rate counts."""


class Throughput:
    """A stopwatch for training steps.

    Args:
        model: what is trained; its FLOPs per token are known.
        tokens: tokens of a step.
        peak_flops: FLOP/s that MFU is measured against; None leaves MFU out.
        seconds: spent in earlier sessions of the run.

    Attributes:
        seconds: spent in training steps, in all sessions, warm-up included.

    >>> watch = Throughput(ModelConfig.preset("tales-1m"), tokens=100, peak_flops=1e12)
    >>> for step in range(WARM_UP + 1):
    ...     watch.start(at=step)
    ...     watch.stop(at=step + 1)
    ...     rates = watch.lap()
    ...     print(step, list(rates))
    0 []
    1 []
    2 []
    3 []
    4 []
    5 ['tokens_per_second', 'mfu']
    """

    def __init__(self, model: ModelConfig, tokens: int, peak_flops: float | None, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self._model, self._tokens, self._peak = model, tokens, peak_flops
        self._started: float | None = None
        self._at = self._session = self._lap_steps = self._all_steps = 0
        self._lap_seconds = self._all_seconds = 0.0

    def start(self, at: int) -> None:
        """Let the watch run; `at` is the number of steps done."""
        self._started, self._at = time.perf_counter(), at

    def stop(self, at: int) -> None:
        """Halt the watch and count the steps since `start`; the device must have finished them."""
        if self._started is None:
            return
        passed, steps = time.perf_counter() - self._started, at - self._at
        self._started = None
        self.seconds += passed
        self._lap_seconds += passed
        self._lap_steps += steps
        self._session += steps

    def lap(self) -> dict[str, float]:
        """Return the rates since the last lap; nothing if a step of the warm-up is among them."""
        steps, seconds = self._lap_steps, self._lap_seconds
        self._lap_steps, self._lap_seconds = 0, 0.0
        if self._session - steps < WARM_UP or not steps:
            return {}
        self._all_steps += steps
        self._all_seconds += seconds
        return self._rates(steps, seconds)

    def overall(self) -> dict[str, float]:
        """Return the rates of all laps of this session; nothing if it ended in the warm-up."""
        return self._rates(self._all_steps, self._all_seconds) if self._all_steps else {}

    def _rates(self, steps: int, seconds: float) -> dict[str, float]:
        rate = steps * self._tokens / max(seconds, 1e-9)
        rates = {"tokens_per_second": round(rate, 1)}
        if self._peak:
            rates["mfu"] = round(mfu(rate, self._model, self._peak), 5)
        return rates


def find_peak(device: torch.device, precision: Precision, given: float = 0.0) -> tuple[float | None, str]:
    """Return the peak to measure MFU against, and a sentence that states it.

    Args:
        device: where the model runs.
        precision: what it computes with.
        given: FLOP/s by the user; 0 to look the device up.

    >>> find_peak(torch.device("cpu"), None, 2e12)
    (2000000000000.0, '2 TFLOP/s, as given')
    """
    if given:
        return given, f"{given / 1e12:g} TFLOP/s, as given"
    known = identify(torch.cuda.get_device_name(device)) if device.type == "cuda" else None
    if known is None or precision.peak_dtype not in known.peaks:
        return None, "unknown for this device: state it with peak_flops to get MFU"
    peak = float(known.peak(precision.peak_dtype))
    return peak, f"{peak / 1e12:g} TFLOP/s, dense {precision.peak_dtype}, {known.source}"
