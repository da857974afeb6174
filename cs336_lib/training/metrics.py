"""What a run measures on the way: losses added up on the device, lines for its record and mirrors (chapter 6)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from cs336_lib.training.config import TrainConfig
from cs336_lib.training.mirrors import Mirror
from cs336_lib.training.records import RunRecord
from cs336_lib.training.throughput import Throughput


class Window:
    """The losses since the last line of metrics, added up where they are: reading them is what waits for the device.

    >>> window = Window(torch.device("cpu"))
    >>> for loss in (2.0, 4.0):
    ...     window.add(torch.tensor(loss))
    ...     window.count_step()
    >>> window.mean(lambda value: value)
    3.0
    """

    def __init__(self, device: torch.device) -> None:
        self._sum, self._steps = torch.zeros((), device=device), 0

    def add(self, loss: Tensor) -> None:
        """Add the loss of one part of a step's batch, already divided by the number of parts."""
        self._sum += loss.detach()

    def count_step(self) -> None:
        """Say that a step is complete."""
        self._steps += 1

    def mean(self, over_ranks: Callable[[Tensor], Tensor]) -> float:
        """Return the mean loss of the steps, averaged over ranks; this waits for the device."""
        return over_ranks(self._sum).item() / self._steps

    def clear(self) -> None:
        """Begin anew."""
        self._sum, self._steps = torch.zeros_like(self._sum), 0

    def state(self, over_ranks: Callable[[Tensor], Tensor]) -> list[float]:
        """Return what `restore` takes, as plain JSON values."""
        return [over_ranks(self._sum).item(), self._steps]

    def restore(self, state: list[float]) -> None:
        """Set what `state` returned."""
        self._sum.fill_(state[0])
        self._steps = int(state[1])


class Lines:
    """Writes lines of metrics to the record of a run and to its mirrors.

    Args:
        config: of the run; tells how many tokens a step has.
        record: where the lines go.
        watch: knows the seconds spent in training.

    Attributes:
        mirrors: each is called with every line.
    """

    def __init__(self, config: TrainConfig, record: RunRecord, watch: Throughput) -> None:
        self._tokens, self._record, self._watch = config.tokens // config.steps, record, watch
        self.mirrors: list[Mirror] = []

    def write(self, step: int, values: dict[str, Any]) -> None:
        """Write a line."""
        line = {"step": step, "tokens": step * self._tokens, "seconds": round(self._watch.seconds, 3), **values}
        self._record.append(line)
        for mirror in self.mirrors:
            mirror(line)
