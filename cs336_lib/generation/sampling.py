"""From scores to a token: temperature, top-k, top-p and a penalty on repetition (chapter 7).

B batch, V vocab.

Tensors go in and come out; in between it is numpy, on the CPU. Beside a step of a small model some twenty operations on
one row of logits count, and numpy's cost less to call. Its sort is the faster one too.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cs336_lib.model.layers import at_least_float32, check_floats
from cs336_lib.naming import LARGEST, check_whole
from cs336_lib.plain import check_flag, check_number, said, whole_ids

Array = np.ndarray
_REAL = ("temperature", "top_p", "repetition_penalty")

FEW = 1 << 12
"""Numbers that are added up one after the other, or sorted, in less time than it takes to divide them."""
LEVELS = 1 << 10
DEPTH = 32.0
"""Tokens further than so many temperatures behind the likeliest one share the last level. All of them together do not
count: e^-32 times a million is less than what float32 can tell from 1."""


@dataclass(frozen=True)
class SamplingConfig:
    """How tokens are drawn.

    Attributes:
        max_tokens: most tokens to add to a prompt.
        temperature: divides the logits; below 1 likely tokens become likelier, 0 always takes the likeliest.
        top_k: draw from the k likeliest tokens only; 0 for all.
        top_p: draw from the smallest set of likeliest tokens whose probabilities sum to p at least; 1 for all.
        repetition_penalty: above 1, logits of tokens that occurred already are lowered: positive ones are divided
            by it, negative ones multiplied. 1 is off.
        stop_at_end: stop at `<|endoftext|>`, if the tokenizer has it.
        seed: decides what is drawn. What row i of a batch draws depends on the seed, on i and on its own prompt, not on
            the other rows (unless rounding decides between two tokens). None draws differently each time.

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
        plain: dict[str, Any] = {
            "max_tokens": check_whole("max_tokens", self.max_tokens, least=1),
            "top_k": check_whole("top_k", self.top_k, least=-LARGEST),
            "seed": None if self.seed is None else check_whole("seed", self.seed),
        }
        plain |= {name: check_number(name, getattr(self, name)) for name in _REAL}
        plain["stop_at_end"] = check_flag("stop_at_end", self.stop_at_end)
        for name, value in plain.items():  # numpy's numbers overflow where Python's go on
            object.__setattr__(self, name, value)
        if not 0 <= self.temperature <= sys.float_info.max:
            raise ValueError(
                f"temperature is {self.temperature}; it must be 0 (always the likeliest token) or more, and finite as "
                "a float"
            )
        if self.top_k < 0:
            raise ValueError(f"top_k is {self.top_k}; it must be 1 or more, or 0 to draw from all tokens")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p is {self.top_p}; it must be above 0 and at most 1 (1 draws from all tokens)")
        if not 0 < self.repetition_penalty <= sys.float_info.max:
            raise ValueError(
                f"repetition_penalty is {self.repetition_penalty}; it must be positive (1 is off), and finite as a "
                "float"
            )


def check_sampling(config: object) -> None:
    """Raise TypeError if something else is given for a `SamplingConfig`, such as a dict of its fields."""
    if not isinstance(config, SamplingConfig):
        raise TypeError(f"config must be a SamplingConfig, got {said(config)}; write SamplingConfig(temperature=0.8)")


@np.errstate(over="ignore", divide="ignore", invalid="ignore")  # infinities mean what they do in torch
def distribution(logits: Tensor, config: SamplingConfig, seen: Sequence[Sequence[int]] | None = None) -> Tensor:
    """Return the probabilities that tokens are drawn with.

    The penalty comes first, then temperature, top-k and top-p, each on what the one before has left. Among equal
    logits at the border of a set, the smaller ids are in.

    Args:
        logits: (B, V).
        config: how to draw; at temperature 0 all probability is on the likeliest token.
        seen: ids that occurred so far, for each row; used by the penalty alone.

    Returns:
        (B, V) float32, or float64 when the logits are; rows sum to 1.

    Raises:
        TypeError: the logits are no floats, `config` is no `SamplingConfig`, or `seen` holds no whole numbers.
        ValueError: the logits are not (B, V), a row has NaN, infinity or no finite logit at all, or `seen` has another
            number of rows or an id outside the vocabulary.

    >>> logits = torch.tensor([[0.5, 0.3, 0.2]]).log()
    >>> distribution(logits, SamplingConfig(top_p=0.6)).round(decimals=3).tolist()
    [[0.625, 0.375, 0.0]]
    >>> distribution(logits, SamplingConfig(top_k=1)).tolist()
    [[1.0, 0.0, 0.0]]
    """
    check_sampling(config)
    check_floats("logits", logits)
    if logits.ndim != 2 or logits.shape[1] == 0:
        raise ValueError(f"logits have shape {tuple(logits.shape)}; they must be (B, V), a row for each sequence")
    if seen is not None and (isinstance(seen, str | bytes) or not hasattr(seen, "__len__")):
        raise TypeError(f"seen must be several rows of ids, got {said(seen)}")
    if seen is not None and len(seen) != len(logits):
        raise ValueError(
            f"seen has {len(seen)} rows and the logits {len(logits)}; give the ids of each row, [] for none"
        )
    scores = _array(logits)
    indices = [_distinct(f"seen[{row}]", ids, scores.shape[1]) for row, ids in enumerate(seen or ())]
    if config.repetition_penalty != 1 and seen is not None:
        scores = scores.copy()
        for row, index in enumerate(indices):
            old = scores[row, index]
            wide = old.astype(np.float64)
            changed = np.where(old > 0, wide / config.repetition_penalty, wide * config.repetition_penalty)
            # A large penalty may forbid a token, and none may make a score infinite.
            scores[row, index] = np.minimum(changed, np.finfo(scores.dtype).max)
    largest = scores.max(axis=-1, keepdims=True)
    if not np.isfinite(largest).all():
        row = int(np.isfinite(largest[:, 0]).argmin())
        raise no_number(row, float(largest[row, 0]))
    if config.temperature == 0:
        probabilities = np.zeros_like(scores)
        np.put_along_axis(probabilities, scores.argmax(axis=-1, keepdims=True), 1, axis=-1)
    else:
        probabilities = _softened(scores, largest, config)
    return torch.from_numpy(probabilities).to(logits.device)


def _distinct(name: str, ids: Sequence[int], vocab_size: int) -> Array:
    """Return each of the ids once, the smallest first.

    Raises:
        TypeError: they are no whole numbers.
        ValueError: one is outside the vocabulary; a negative one would count from the end without a word.
    """
    distinct = np.unique(whole_ids(ids, name))
    for id in (*distinct[:1], *distinct[-1:]):
        check_whole(f"an id of {name}", id, 0, vocab_size - 1)
    return distinct.astype(np.int64)


def no_number(row: int, largest: float) -> ValueError:
    """Return the error of a row whose largest logit is no number."""
    return ValueError(
        f"the largest logit of row {row} is {largest}, so nothing can be drawn: the model's weights are NaN or its "
        "sums overflow. Take an earlier checkpoint, or compute in float32"
    )


def _softened(scores: Array, largest: Array, config: SamplingConfig) -> Array:
    """Return the probabilities after temperature, top-k and top-p."""
    # With the maximum taken out first, dividing by a small temperature can only give minus infinity. One that is 0 or
    # infinite in the type of the scores would give 0 / 0, or infinity over itself.
    ends = np.finfo(scores.dtype)
    temperature = min(max(float(config.temperature), float(ends.tiny)), float(ends.max))
    weights = (scores - largest) / temperature
    np.exp(weights, out=weights)
    total = weights.sum(axis=-1, keepdims=True)
    weights /= total
    probabilities, V = weights, scores.shape[-1]
    few, values = 0 < config.top_k < V, scores
    if few:
        values = np.partition(scores, V - config.top_k, axis=-1)[:, V - config.top_k :]
        least = values.min(axis=-1, keepdims=True)
        probabilities *= _likeliest(scores, least, np.full(least.shape, config.top_k))
        mass = probabilities.sum(axis=-1, keepdims=True)
        probabilities /= mass
        total *= mass
    if config.top_p < 1:
        chances = np.exp((values - largest) / temperature) / total if few else probabilities
        probabilities *= _likeliest(scores, *_border(values, chances, largest, temperature, total, config.top_p))
        probabilities /= probabilities.sum(axis=-1, keepdims=True)
    return probabilities


def _border(
    values: Array, chances: Array, largest: Array, temperature: float, total: Array, p: float
) -> tuple[Array, Array]:
    """Return where the smallest set of likeliest tokens ends whose probabilities sum to p at least.

    Values are ranked, not probabilities: two that differ may have probabilities that are equal after rounding. Many are
    not sorted as a whole, which took half the time of drawing a token. They are divided into levels, by how far they
    are behind the largest, and only those of the level in which p is reached are sorted.

    Args:
        values: scores to choose from, in any order, (B, n).
        chances: their probabilities, e^((value - largest) / temperature) / total, (B, n).
        largest: of each row, (B, 1).
        temperature: that divides them.
        total: of each row, (B, 1).
        p: below 1.

    Returns:
        The score of the last one of each row, (B, 1), and how many are in, (B, 1).

    >>> p = np.array([[0.1, 0.6, 0.3]])
    >>> least, count = _border(np.log(p), p, np.log([[0.6]]), 1.0, np.array([[1 / 0.6]]), 0.8)
    >>> np.exp(least).round(3).tolist(), count.tolist()
    ([[0.3]], [[2]])
    """
    B, n = values.shape
    if n > FEW:
        rows = [_border_by_levels(values[i], chances[i], largest[i], temperature, total[i], p) for i in range(B)]
        return np.array([[least] for least, _ in rows], values.dtype), np.array([[count] for _, count in rows])
    ranked = np.ascontiguousarray(np.sort(values, axis=-1)[:, ::-1])
    ordered = np.exp((ranked - largest) / temperature) / total
    limit = np.full((B, 1), np.nextafter(p, 0))
    count = np.minimum(_sums_below(ordered, limit) + 1, n)  # with the one that reaches p
    return np.take_along_axis(ranked, count - 1, axis=-1), count


def _border_by_levels(
    values: Array, chances: Array, largest: Array, temperature: float, total: Array, p: float
) -> tuple[float, int]:
    """Return the same for one row, (n,) and (1,)."""
    levels = np.minimum((largest - values) / temperature * (LEVELS / DEPTH), LEVELS - 1).astype(np.intp)
    sums = np.bincount(levels, chances, LEVELS).cumsum()
    level = int(np.searchsorted(sums, p))  # the first whose sum is p at least
    if level == LEVELS:  # sums were rounded, and even all together stay below p
        return -np.inf, len(values)
    ranked = np.sort(values[levels == level])[::-1]
    inside = (np.exp((ranked - largest) / temperature) / total).cumsum(dtype=np.float64)
    last = min(int(((sums[level - 1] if level else 0.0) + inside < p).sum()), len(ranked) - 1)
    return ranked[last], int(np.count_nonzero(levels < level)) + last + 1


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
    p = _array(probabilities)
    wanted = uniform.double().cpu().numpy()[:, None] * p.sum(axis=-1, dtype=np.float64, keepdims=True)
    ids = np.minimum(_sums_below(p, wanted)[:, 0], p.shape[-1] - 1)
    for row in np.flatnonzero(p[np.arange(len(p)), ids] == 0):  # a sum was rounded: the last possible token before it
        ids[row] = np.flatnonzero(p[row, : ids[row]])[-1]
    return torch.from_numpy(ids).to(probabilities.device)


@np.errstate(over="ignore", invalid="ignore")
def log_probability(logits: Tensor, tokens: Tensor) -> Tensor:
    """Return the log-probability of the token of each row, in nats.

    Args:
        logits: (B, V).
        tokens: (B,).

    Returns:
        (B,).

    >>> log_probability(torch.tensor([[0.25, 0.75]]).log(), torch.tensor([1])).exp().round(decimals=4).tolist()
    [0.75]
    """
    scores = _array(logits)
    largest = scores.max(axis=-1, keepdims=True)
    shifted = scores - largest  # first, so that a small difference does not drown in large logits
    chosen = np.take_along_axis(shifted, tokens.cpu().numpy()[:, None], axis=-1)
    norm = np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return torch.from_numpy((chosen - norm)[:, 0]).to(logits.device)


def _sums_below(values: Array, limits: Array) -> Array:
    """Return how many of each row's cumulative sums are at most the row's limit, (B, 1) of (B, V) and (B, 1).

    No value is negative, so these are the first sums. Of many values, blocks are added up first, which a processor does
    several numbers at a time, and one after the other come those of the single block in which the limit is passed.

    >>> _sums_below(np.full((2, 1000), 0.25), np.array([[1.0], [200.1]])).tolist()
    [[4], [800]]
    """
    V = values.shape[-1]
    if values.size <= FEW:
        return (values.cumsum(axis=-1, dtype=np.float64) <= limits).sum(axis=-1, keepdims=True)
    size = math.isqrt(V) + 1
    padded = np.zeros((len(values), size * size), dtype=values.dtype)
    padded[:, :V] = values
    blocks = padded.reshape(len(values), size, size)
    ends = blocks.sum(axis=-1, dtype=np.float64).cumsum(axis=-1)
    at = np.minimum((ends <= limits).sum(axis=-1, keepdims=True), size - 1)
    before = np.where(at > 0, np.take_along_axis(ends, np.maximum(at - 1, 0), axis=-1), 0)
    inside = before + np.take_along_axis(blocks, at[:, :, None], axis=1)[:, 0].cumsum(axis=-1, dtype=np.float64)
    return np.minimum(at * size + (inside <= limits).sum(axis=-1, keepdims=True), V)


def _array(values: Tensor) -> Array:
    """Return a tensor as an array of float32 at least; on a CPU, where it is that already, without a copy."""
    return values.detach().to(at_least_float32(values.dtype)).cpu().numpy()


def _likeliest(scores: Array, least: Array, count: Array) -> Array:
    """Mark the `count` likeliest tokens of each row, the smaller ids among equals.

    All above the last one that is kept are in, and of those equal to it as many as there is room for.

    Args:
        scores: (B, V).
        least: the score of the last one that is kept, (B, 1).
        count: (B, 1), each 1 at least.
    """
    kept: Array = scores >= least
    if (np.count_nonzero(kept, axis=-1, keepdims=True) > count).any():  # more are equal to it than there is room for
        above, equal = scores > least, scores == least
        room = count - above.sum(axis=-1, keepdims=True)
        kept = above | equal & (equal.cumsum(axis=-1) <= room)
    return kept
