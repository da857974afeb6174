"""A token from scores, compiled: temperature, top-p and the draw in one call (chapter 7).

V vocab; the slow twin is `sampling.py`, which also knows top-k and the penalty.

The set of top-p is found without sorting all scores. They are divided into levels by how far they are behind the
largest, the mass of each level is added up, and only those of the level in which p is reached are sorted.
"""

import numpy as np

from cs336_lib.native.lanes import LANES, exponential, exponentials, largest
from cs336_lib.native.types import Double, Doubles, Int, Int64s, Number, Numbers, inlined, kernel

LEVELS = 1024
"""The last is of all that are further behind."""
STEPS = np.float32(32.0)
"""Levels in one temperature."""

_ZERO, _DEEPEST, _INFINITY = np.float32(0.0), np.float32(LEVELS - 1), np.float32(np.inf)


@inlined
def weigh(scores: Numbers, at: Int, count: Int, most: Number, inverse: Number, weights: Numbers) -> Number:
    """Write e^((score - most) / temperature) of each score, and return their sum."""
    for i in range(count):
        weights[i] = (scores[at + i] - most) * inverse
    rounded = (count + LANES - 1) // LANES * LANES
    for i in range(count, rounded):
        weights[i] = -_INFINITY
    return exponentials(weights, 0, rounded, _ZERO)


@inlined
def top(scores: Numbers, at: Int, count: Int, most: Number) -> Number:
    """The largest of some scores; NaN does not count."""
    whole = count // LANES * LANES
    found = max(most, largest(scores, at, whole))
    for i in range(whole, count):
        if scores[at + i] > found:
            found = scores[at + i]
    return found


@inlined
def sort_down(values: Numbers, count: Int) -> Int:
    """Sort from the largest down, by Shell's method: few values are moved far at first, and many a little at last."""
    gap = 1
    while gap < count // 3:
        gap = 3 * gap + 1
    while gap > 0:
        for i in range(gap, count):
            value, j = values[i], i
            while j >= gap and values[j - gap] < value:
                values[j] = values[j - gap]
                j -= gap
            values[j] = value
        gap //= 3
    return 0


@inlined
def narrow(
    scores: Numbers, at: Int, count: Int, most: Number, inverse: Number, weights: Numbers, p: Double, masses: Doubles,
    members: Numbers,
) -> Double:  # fmt: skip
    """Keep the smallest set of likeliest tokens whose probabilities sum to p at least, and return its mass.

    What is left out has a weight of 0 then. Among equal scores at the border the smaller ids are in.
    """
    for level in range(LEVELS):
        masses[level] = 0.0
    for i in range(count):
        masses[np.int64(min((most - scores[at + i]) * inverse * STEPS, _DEEPEST))] += weights[i]
    total = 0.0
    for level in range(LEVELS):
        total += masses[level]
    before, border = 0.0, 0
    while border < LEVELS - 1 and before + masses[border] < p * total:
        before += masses[border]
        border += 1
    size = 0
    for i in range(count):
        if np.int64(min((most - scores[at + i]) * inverse * STEPS, _DEEPEST)) == border:
            members[size] = scores[at + i]
            size += 1
    sort_down(members, size)
    mass, last = before, 0
    while True:
        mass += exponential((members[last] - most) * inverse)
        if mass >= p * total or last == size - 1:
            break
        last += 1
    least = members[last]
    room = 1
    while room <= last and members[last - room] == least:
        room += 1
    for i in range(count):
        if scores[at + i] < least:
            weights[i] = _ZERO
    if last + 1 < size and members[last + 1] == least:
        for i in range(count):
            if scores[at + i] == least:
                if room == 0:
                    weights[i] = _ZERO
                else:
                    room -= 1
    return mass


@inlined
def chosen(weights: Numbers, count: Int, wanted: Double) -> Int:
    """The first token with which the sum of weights exceeds what is wanted; never one of weight 0."""
    reached = 0.0
    for i in range(count):
        reached += weights[i]
        if reached > wanted:
            return i
    last = count - 1  # a sum was rounded
    while last > 0 and weights[last] == _ZERO:
        last -= 1
    return last


@kernel
def draw_tokens(
    scores: Numbers, rows: Int, step: Int, entries: Int, allowed: Int, inverse: Doubles, p: Doubles, uniform: Doubles,
    weights: Numbers, members: Numbers, masses: Doubles, tokens: Int64s, most: Numbers, totals: Numbers,
) -> Int:  # fmt: skip
    """Draw a token for each row, and write what its log-probability under the model is made of.

    Args:
        scores: of all entries of the vocabulary, each row `step` behind the one before.
        rows: how many.
        step: numbers from row to row.
        entries: V.
        allowed: of the first so many entries one is drawn.
        inverse: one number, 1 / temperature.
        p: one number; 1 for all.
        uniform: a number of each row, from 0 to below 1.
        weights: room for V, rounded up to sixteens.
        members: room for V.
        masses: room for `LEVELS`.
        tokens: is written, for each row.
        most: is written: the largest score of all entries.
        totals: is written: the sum of e^(score - most) over all entries.

    Returns:
        The first row of which nothing can be drawn, since its scores are no numbers; `rows` if there is none.
    """
    one, warmth = np.float32(1.0), np.float32(inverse[0])
    for row in range(rows):
        at = row * step
        among = top(scores, at, allowed, -_INFINITY)
        most[row] = top(scores, at + allowed, entries - allowed, among)
        totals[row] = weigh(scores, at, entries, most[row], one, weights)
        mass = totals[row]
        if warmth != one or allowed < entries:
            mass = weigh(scores, at, allowed, among, warmth, weights)
        if not (mass > _ZERO and mass < _INFINITY and among < _INFINITY and among > -_INFINITY):
            return row
        kept = np.float64(mass)
        if p[0] < 1.0:
            kept = narrow(scores, at, allowed, among, warmth, weights, p[0], masses, members)
        tokens[row] = chosen(weights, allowed, uniform[row] * kept)
    return rows
