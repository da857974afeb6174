"""The loss on text that was not trained on (chapter 6).

B batch, S sequence.

The set is cut into windows side by side, so that each token is a target once. The mean is one over tokens, not one over
batches, and the last window, which is shorter, counts as what it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cs336_lib.data import TokenFile
from cs336_lib.naming import check_whole
from cs336_lib.training.loss import byte_count, perplexity
from cs336_lib.training.ranks import Ranks

Loss = Callable[[Tensor, Tensor], Tensor]
Tokens = Any
"""A `TokenFile`, or a flat numpy array or tensor of ids."""


@dataclass(frozen=True)
class Evaluation:
    """A loss with what it was measured on.

    Attributes:
        loss: mean cross-entropy in nats per token.
        tokens: number of targets.
        windows: number of windows.
        whole: whether that is the whole set.
    """

    loss: float
    tokens: int
    windows: int
    whole: bool

    @property
    def perplexity(self) -> float:
        """exp(loss)."""
        return perplexity(self.loss)

    def bits_per_byte(self, tokens: Tokens, tokenizer: Any) -> float:
        """Return the loss in bits for each byte of the targets.

        Args:
            tokens: the set that was evaluated on.
            tokenizer: what made it.
        """
        ids = flat_ids(tokens)[1 : 1 + self.tokens]
        return self.loss * self.tokens / (math.log(2) * byte_count(ids, tokenizer))

    def as_line(self, tokens: Tokens, tokenizer: Any = None) -> dict[str, float]:
        """Return what a line of metrics says of it, bits per byte only with a tokenizer."""
        line: dict[str, float] = {
            "valid_loss": self.loss,
            "valid_tokens": self.tokens,
            "valid_windows": self.windows,
        }
        return line if tokenizer is None else line | {"valid_bits_per_byte": self.bits_per_byte(tokens, tokenizer)}


@torch.no_grad()
def evaluate(
    loss_of: Loss,
    tokens: Tokens,
    context_length: int,
    *,
    batch_size: int = 32,
    windows: int = 0,
    device: torch.device | str = "cpu",
    odd_loss_of: Loss | None = None,
    progress: Callable[[int], object] = lambda more: None,
    ranks: Ranks | None = None,
) -> Evaluation:
    """Measure the mean loss over a set of tokens.

    Args:
        loss_of: (x, y), each (B, S), to the mean loss of their targets.
        tokens: the ids, in order.
        context_length: S, tokens of a window.
        batch_size: B, windows at a time.
        windows: how many windows to use, from the start; 0 for all.
        device: where to put the batches.
        odd_loss_of: used in place of `loss_of` for batches of another shape, which a compiled function would be
            compiled for again.
        progress: called with the number of windows done.
        ranks: processes that share the batches, each of which must call this; a sharded model needs all of them for
            each batch, so a rank without one runs the last again and does not count it.

    Returns:
        The loss and what it was measured on.

    Raises:
        TypeError: a number is none, or the tokens are no flat row of integers.
        ValueError: there are fewer than two tokens, or a number is out of its range.

    >>> always_one = lambda x, y: torch.tensor(1.0)
    >>> evaluate(always_one, np.arange(100), context_length=30)
    Evaluation(loss=1.0, tokens=99, windows=4, whole=True)
    >>> evaluate(always_one, np.arange(100), context_length=30, windows=2)
    Evaluation(loss=1.0, tokens=60, windows=2, whole=False)
    """
    ids = flat_ids(tokens)
    if len(ids) < 2:
        raise ValueError(f"the set has {len(ids)} tokens; a loss needs two at least")
    S = check_whole("context_length", context_length, least=1)
    batch_size, windows = check_whole("batch_size", batch_size, least=1), check_whole("windows", windows)
    full, rest = divmod(len(ids) - 1, S)
    whole = not windows or windows >= full + (rest > 0)
    full = full if whole else windows
    ranks = ranks or Ranks()
    batches = [(first * S, min(batch_size, full - first), S) for first in range(0, full, batch_size)]
    if whole and rest:
        batches.append((full * S, 1, rest))
    sums = torch.zeros(3, dtype=torch.float64)  # loss, targets, windows
    for turn in range(0, len(batches), ranks.world_size):
        mine = turn + ranks.rank
        start, B, length = batches[min(mine, len(batches) - 1)]
        row = torch.from_numpy(ids[start : start + B * length + 1].astype(np.int64)).to(device)
        x, y = row[:-1].view(B, length), row[1:].view(B, length)
        loss = (loss_of if (batch_size, S) == (B, length) else odd_loss_of or loss_of)(x, y)
        if mine < len(batches):
            sums += torch.tensor([loss.item() * y.numel(), y.numel(), B], dtype=torch.float64)
            progress(B)
    total, counted, done = ranks.total(sums.to(device if torch.device(device).type == "cuda" else "cpu")).tolist()
    return Evaluation(total / counted, int(counted), int(done), whole)


def flat_ids(tokens: Tokens) -> np.ndarray:
    """Return the ids of a token file, an array or a tensor as an array."""
    ids: Any = tokens.ids if isinstance(tokens, TokenFile) else tokens
    ids = ids.cpu().numpy() if isinstance(ids, Tensor) else ids
    if not isinstance(ids, np.ndarray) or ids.ndim != 1 or ids.dtype.kind not in "ui":
        what = f"{ids.dtype} of shape {ids.shape}" if isinstance(ids, np.ndarray) else type(ids).__name__
        raise TypeError(f"tokens must be a TokenFile, or a flat array or tensor of integers, got {what}")
    return ids
