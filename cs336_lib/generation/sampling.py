"""From scores to a token: temperature, top-k, top-p and a penalty on repetition (chapter 7).

B batch, V vocab.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from cs336_lib.model.layers import at_least_float32
from cs336_lib.naming import LARGEST, check_whole


@dataclass(frozen=True)
class SamplingConfig:
    """How tokens are drawn.

    Attributes:
        max_tokens: most tokens to add to a prompt.
        temperature: divides the logits; below 1 likely tokens become likelier, 0 always takes the likeliest.
        top_k: draw from the k likeliest tokens only; 0 for all.
        top_p: draw from the smallest set of likeliest tokens whose probabilities sum to p at least; 1 for all.
        repetition_penalty: above 1, tokens that occurred already get less likely: positive logits are divided by it,
            negative ones multiplied. 1 is off.
        stop_at_end: stop at `<|endoftext|>`, if the tokenizer has it.
        seed: decides what is drawn; row i of a batch draws the same alone and in company. None draws differently each
            time.

    Raises:
        ValueError: a value is out of its range.

    Source: handout, section 6; Holtzman et al., 2020 (top-p); Keskar et al., 2019 (penalty).

    >>> SamplingConfig(top_p=0.0)
    Traceback (most recent call last):
    ValueError: top_p is 0.0; it must be above 0 and at most 1 (1 draws from all tokens)
    """

    max_tokens: int = 256
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    repetition_penalty: float = 1.0
    stop_at_end: bool = True
    seed: int | None = None

    def __post_init__(self) -> None:
        check_whole("max_tokens", self.max_tokens, least=1)
        check_whole("top_k", self.top_k, least=-LARGEST)
        for name in ("temperature", "top_p", "repetition_penalty"):
            if isinstance(getattr(self, name), bool) or not isinstance(getattr(self, name), int | float):
                raise TypeError(f"{name} must be a number, got {getattr(self, name)!r}")
        if not 0 <= self.temperature < math.inf:
            raise ValueError(f"temperature is {self.temperature}; it must be 0 (always the likeliest token) or more")
        if self.top_k < 0:
            raise ValueError(f"top_k is {self.top_k}; it must be 1 or more, or 0 to draw from all tokens")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p is {self.top_p}; it must be above 0 and at most 1 (1 draws from all tokens)")
        if not 0 < self.repetition_penalty < math.inf:
            raise ValueError(f"repetition_penalty is {self.repetition_penalty}; it must be positive (1 is off)")
        if self.seed is not None:
            check_whole("seed", self.seed)


def distribution(logits: Tensor, config: SamplingConfig, seen: Sequence[Sequence[int]] | None = None) -> Tensor:
    """Return the probabilities that tokens are drawn with.

    The penalty comes first, then temperature, top-k and top-p, each on what the one before has left. Among equal
    logits at the border of a set, the smaller ids are in.

    Args:
        logits: (B, V).
        config: how to draw; at temperature 0 all probability is on the likeliest token.
        seen: ids that occurred so far, by row; used by the penalty alone.

    Returns:
        (B, V) float32, or float64 when the logits are; rows sum to 1.

    Raises:
        ValueError: a row has NaN, infinity or no finite logit at all.

    >>> logits = torch.tensor([[0.5, 0.3, 0.2]]).log()
    >>> distribution(logits, SamplingConfig(top_p=0.6)).round(decimals=3).tolist()
    [[0.625, 0.375, 0.0]]
    >>> distribution(logits, SamplingConfig(top_k=1)).tolist()
    [[1.0, 0.0, 0.0]]
    """
    scores = logits.to(at_least_float32(logits.dtype))
    if config.repetition_penalty != 1 and seen is not None:
        scores = scores.clone()
        for row, ids in enumerate(seen):
            index = torch.tensor(sorted(set(ids)), dtype=torch.int64, device=scores.device)
            old = scores[row, index]
            scores[row, index] = torch.where(old > 0, old / config.repetition_penalty, old * config.repetition_penalty)
    largest = scores.amax(dim=-1, keepdim=True)
    if not largest.isfinite().all():
        row = int(largest.isfinite().int().argmin())
        raise ValueError(
            f"the largest logit of row {row} is {float(largest[row])}, so nothing can be drawn: the model's weights "
            "are NaN or its sums overflow. Take an earlier checkpoint, or compute in float32"
        )
    if config.temperature == 0:
        return torch.zeros_like(scores).scatter_(-1, scores.argmax(dim=-1, keepdim=True), 1.0)
    # With the maximum taken out first, no temperature, however small, makes an infinity.
    weights = ((scores - largest) / config.temperature).exp()
    total = weights.sum(dim=-1, keepdim=True)
    probabilities = weights / total
    V = scores.shape[-1]
    if not 0 < config.top_k < V and config.top_p == 1:
        return probabilities
    # Ranked by logits: two that differ may have probabilities that are equal after rounding.
    ranked = _descending(scores)
    ordered = ((ranked - largest) / config.temperature).exp() / total
    if 0 < config.top_k < V:
        mass = ordered[:, : config.top_k].sum(dim=-1, keepdim=True)
        kept = _likeliest(scores, ranked, torch.full_like(mass, config.top_k, dtype=torch.int64))
        probabilities = torch.where(kept, probabilities / mass, 0)
        ordered = ordered / mass
        ordered[:, config.top_k :] = 0
    if config.top_p < 1:
        inside = ordered.cumsum(dim=-1) - ordered < config.top_p  # what comes before has not reached p yet
        mass = ordered.masked_fill(~inside, 0).sum(dim=-1, keepdim=True)
        kept = _likeliest(scores, ranked, inside.sum(dim=-1, keepdim=True))
        probabilities = torch.where(kept, probabilities / mass, 0)
    return probabilities


def draw(probabilities: Tensor, uniform: Tensor) -> Tensor:
    """Turn one uniform number a row into a token: the first whose cumulative probability exceeds it.

    Args:
        probabilities: (B, V).
        uniform: (B,), from 0 to below 1.

    Returns:
        (B,) ids; never one of probability 0.

    >>> draw(torch.tensor([[0.5, 0.0, 0.5]]).expand(2, 3), torch.tensor([0.49, 0.51])).tolist()
    [0, 2]
    """
    cumulative = probabilities.double().cumsum(dim=-1)
    wanted = uniform.double()[:, None] * cumulative[:, -1:]
    ids = torch.searchsorted(cumulative, wanted, right=True)[:, 0]
    last = probabilities.shape[-1] - 1 - (probabilities > 0).flip(-1).int().argmax(dim=-1)
    return torch.minimum(ids, last)


def _descending(scores: Tensor) -> Tensor:
    """Sort each row; on a CPU by numpy, whose vectorized sort of 10,000 numbers takes a fifteenth of torch's time."""
    if scores.device.type != "cpu":
        return scores.sort(dim=-1, descending=True).values
    return torch.from_numpy(np.flip(np.sort(scores.detach().numpy(), axis=-1), axis=-1).copy())


def _likeliest(scores: Tensor, ranked: Tensor, count: Tensor) -> Tensor:
    """Mark the `count` likeliest tokens of each row, the smaller ids among equals.

    Values alone were sorted, not ids with them: all above the last one that is kept are in, and of those equal to it as
    many as there is room for.

    Args:
        scores: (B, V).
        ranked: the same, each row from the largest down.
        count: (B, 1), each 1 at least.
    """
    least = ranked.gather(-1, count - 1)
    above, equal = scores > least, scores == least
    room = count - above.sum(dim=-1, keepdim=True)
    if (equal.sum(dim=-1, keepdim=True) > room).any():
        equal &= equal.cumsum(dim=-1) <= room
    return above | equal
