"""How a run is stopped before its end: by Ctrl-C, by the system, by a loss that explodes (chapter 6)."""

from __future__ import annotations

import math
import os
import signal
import stat
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any

import torch
from torch import Tensor

from cs336_lib.accounting import max_batch_size
from cs336_lib.amounts import size
from cs336_lib.training.config import TrainConfig
from cs336_lib.training.records import RunRecord
from cs336_lib.typed import command


class DivergedError(RuntimeError):
    """The loss is no number any more, or is above the config's limit.

    Attributes:
        thrown_out: the loss was a number still, and the run was stopped by the limit alone. Such a run might have come
            down again; `cs336_lib.experiments.outcome` tells the two apart.
    """

    def __init__(self, message: str, *, thrown_out: bool = False) -> None:
        super().__init__(message)
        self.thrown_out = thrown_out


def check_loss(config: TrainConfig, step: int, loss: float, lr: float, norm: float) -> None:
    """Raise DivergedError if the training loss is no number, or after the warm-up above the config's limit.

    A model without norms begins far above any limit, and a warm-up is there to lead out of such a start; so until it is
    over only a loss that is no number stops a run.
    """
    is_number = math.isfinite(loss)
    if not is_number or (step > config.warmup_steps and loss > config.loss_limit):
        what = "thrown out" if is_number else "diverged"
        why = f"above the limit of {config.loss_limit:.1f}" if is_number else "no number any more"
        raise DivergedError(
            f"{what} at step {step}: the training loss is {loss:.4g}, {why} (learning rate {lr:.3g}, "
            f"gradient norm {norm:.3g}); try a lower lr or a longer warm-up",
            thrown_out=is_number,
        )


def check_weights(step: int, weights: Mapping[str, Tensor]) -> None:
    """Raise DivergedError if a weight is no number: such weights are never kept as a checkpoint."""
    for name, value in weights.items():
        if not torch.isfinite(value).all():
            raise DivergedError(
                f"diverged at step {step}: {name} is no number any more; no checkpoint of it is kept. Go on from the "
                "last good one with a lower lr, a longer warm-up, or gradient clipping"
            )


def check_valid_loss(step: int, loss: float) -> None:
    """Raise DivergedError if the validation loss is no number."""
    if not math.isfinite(loss):
        raise DivergedError(f"diverged at step {step}: the validation loss is {loss}")


def could_not_write(record: RunRecord, step: int, saved: list[int], error: OSError) -> OSError:
    """Note in the record, if that is still possible, that the run could not write, and return the error to raise."""
    where = f"stopped at step {step}: {error}; last good checkpoint: {max(saved, default=None)}"
    with suppress(OSError):
        record.set_status("interrupted", step, where, saved=max(saved, default=0))
    return OSError(error.errno, where)


def too_large(record: RunRecord, step: int, memory: int | None, error: Exception) -> RuntimeError:
    """Note in the record that the device's memory was not enough, and return the error that says what would fit.

    Args:
        record: of the run.
        step: that was done last.
        memory: bytes of the device; None if it does not tell.
        error: torch's own.
    """
    config = record.config
    part = config.batch_size // config.accumulation
    fits = max_batch_size(config.model, memory, activations="autograd") if memory else 0
    said = f"a part of {part} sequences does not fit into the device's memory"
    said += f" of {size(memory)}" if memory else ""
    if 0 < fits < part:
        said += f", where {fits} fit in float32 without a compiler, by the accounting of chapter 5"
    said += f". Use accumulation {2 * config.accumulation} or more, loss_chunk 8192, or a smaller model"
    with suppress(OSError):
        record.set_status("interrupted", step, f"out of memory: {said}")
    return RuntimeError(f"out of memory at step {step}: {said} (torch: {' '.join(str(error).split())[:120]})")


class Interrupted(KeyboardInterrupt):
    """A run was stopped from outside and can be gone on with; the message says how."""


class Stop:
    """Turns the first Ctrl-C into a request that the loop answers after the step it is in.

    SIGTERM and a terminal that is closed (SIGHUP) do the same. A step that is cut in two could not be gone on with to
    the bit. A second Ctrl-C stops at once; the last checkpoint is there still. Outside of the main thread, which alone
    gets signals, this does nothing.

    Args:
        once: whether a second signal stops at once. Where torchrun passes on each signal that its processes got from
            the terminal as well, a second one means nothing.

    Attributes:
        requested: whether to stop.

    >>> import signal
    >>> with Stop() as stop:
    ...     signal.raise_signal(signal.SIGTERM)
    ...     stop.requested
    True
    """

    def __init__(self, once: bool = True) -> None:
        self._once = once
        self.requested = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Stop:
        if threading.current_thread() is threading.main_thread():
            asked = [signal.SIGINT, signal.SIGTERM]
            if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # as nohup has it
                asked.append(signal.SIGHUP)
            for number in asked:
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.requested and not self._once:
            return
        if self.requested:
            raise Interrupted("stopped at once; the last checkpoint is as it was")
        self.requested = True
        if number == getattr(signal, "SIGHUP", None):
            _write_to_nobody()
        if number == signal.SIGINT:
            print("\nstopping after this step and a checkpoint; press Ctrl-C again to stop at once", file=sys.stderr)

    def check(self, record: RunRecord, step: int) -> None:
        """End the run if that was asked for; its checkpoint must have been written.

        Raises:
            Interrupted: it was.
        """
        if self.requested and step < record.config.steps:
            message = f"stopped at step {step}; go on with: {command('resume', record.shown)}"
            record.set_status("interrupted", step, message, saved=step)
            raise Interrupted(message)


def _write_to_nobody() -> None:
    """Let go of a terminal that is gone: a line written there would be an error, before the checkpoint is."""
    for descriptor in (1, 2):
        with suppress(OSError):
            if stat.S_ISCHR(os.fstat(descriptor).st_mode):
                nobody = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nobody, descriptor)
                os.close(nobody)
