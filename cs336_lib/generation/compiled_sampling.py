"""Tokens drawn by a kernel, where `sampling.py` would do the same in some thirty calls of numpy (chapter 7).

B batch, V vocab. Behind a step that has just read all weights, neither numpy's code nor its numbers are in a cache.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from cs336_lib.generation.sampling import LEVELS, SamplingConfig, no_number
from cs336_lib.model.step_layout import LANES
from cs336_lib.native.library import KernelLibrary

DRAW = KernelLibrary("draw", ("cs336_lib.generation.kernels", "cs336_lib.native.lanes", "cs336_lib.native.types"))
COLDEST, WARMEST = 1e-6, 1e6
"""Temperatures outside are left to numpy, which takes those that float32 does not hold, too."""


class CompiledSampler:
    """`distribution`, `draw` and `log_probability` in one call, for temperature and top-p.

    Args:
        config: one that is `usable`.

    >>> sampler = CompiledSampler(SamplingConfig(temperature=0.5, top_p=0.8))
    >>> logits = torch.tensor([[0.5, 0.3, 0.2]]).log()
    >>> tokens, log_probs = sampler(logits, 3, torch.tensor([0.99]))
    >>> tokens.tolist(), round(log_probs.exp().item(), 3)     # the last one is not in the set
    ([1], 0.3)
    """

    def __init__(self, config: SamplingConfig) -> None:
        self.inverse, self.p = np.array([1 / config.temperature]), np.array([float(config.top_p)])
        self.masses = np.empty(LEVELS)
        self.room = np.empty((2, 0), np.float32)
        self.kernel = DRAW.by_address("draw_tokens")

    @staticmethod
    def usable(config: SamplingConfig) -> bool:
        """Whether the kernel knows a way to draw."""
        return config.top_k == 0 and config.repetition_penalty == 1 and COLDEST <= config.temperature <= WARMEST

    def __call__(self, logits: Tensor, allowed: int, uniform: Tensor) -> tuple[Tensor, Tensor]:
        """Draw a token for each row.

        Args:
            logits: (B, V) float32, on the CPU.
            allowed: ids from here on are never drawn.
            uniform: (B,), from 0 to below 1.

        Returns:
            The tokens, (B,), and the log-probability of each under the model itself, (B,), in nats.

        Raises:
            ValueError: a row has NaN, infinity or no finite logit at all.
        """
        scores = logits.numpy()
        if scores.dtype != np.float32 or scores.strides[1] != scores.itemsize:
            raise TypeError(f"logits must be rows of float32, got {scores.dtype} with strides {scores.strides}")
        B, V = scores.shape
        if self.room.shape[1] < V:
            self.room = np.empty((2, -(-V // LANES) * LANES), np.float32)
        drawn, tokens = uniform.double().numpy(), np.empty(B, np.int64)
        most, totals = np.empty((2, B), np.float32)
        arrays = self.inverse, self.p, drawn, *self.room, self.masses, tokens, most, totals
        row = self.kernel(
            scores.ctypes.data, B, scores.strides[0] // scores.itemsize, V, min(allowed, V),
            *(array.ctypes.data for array in arrays),
        )  # fmt: skip
        if row < B:
            raise no_number(row, float(scores[row, :allowed].max()))
        chosen = (scores[np.arange(B), tokens] - most) - np.log(totals)
        return torch.from_numpy(tokens), torch.from_numpy(chosen)
