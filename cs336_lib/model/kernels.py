"""One new token a row, compiled: a whole step of the Transformer in one call (chapter 7).

B rows, D d_model, H heads, K head dim, F d_ff, V vocab, T tokens so far; a capital with 16 is rounded up to sixteens.

The slow twin is `numpy_step.py`. What a step needs lies in a few pieces of memory, which `compiled_step.py` fills, and
`plan` says what is where (`step_layout.py` says where in the plan)::

    weights   one after the other: gains as they are; a matrix (N, D) as (N16 / 16, D, 16), so that sixteen outputs
              are summed side by side and memory is read from the first byte to the last
    work      for each row: x, what is multiplied, a product (D each), q k v (3D), gate and up (2F rounded up), T scores
    keys, values     (L, B, H, capacity, K), the model's own `KVCache`

A row's numbers come from that row alone, added up in one order whatever stands beside it. So any number of threads may
take some of the rows each, and the logits are the same to the last bit.
"""

import math

import numpy as np

from cs336_lib.model.step_layout import (
    CAPACITY,
    DOWN,
    EPS,
    FINAL,
    GATED,
    HEAD,
    HEADS,
    K_NORM,
    LANES,
    LAYER,
    LAYER_SIZE,
    LAYERS,
    LN1,
    LN2,
    ORDER,
    OUT,
    OUTPUT,
    POST,
    PRE,
    Q_NORM,
    QKV,
    ROWS,
    SCALE,
    SHRINK,
    TURNED,
    UNITS,
    UP,
    VOCAB,
    WIDTH,
    WORK,
)
from cs336_lib.native.lanes import (
    exponential,
    exponentials,
    inner_product,
    inner_products,
    largest,
    products_of_four_and_more,
    products_of_one,
    products_of_one_and_more,
    products_of_one_wide,
    products_of_two,
    products_of_two_and_more,
)
from cs336_lib.native.types import Int, Int64s, Number, Numbers, inlined, kernel

_ONE, _INFINITY = np.float32(1.0), np.float32(np.inf)


@inlined
def multiply(
    weights: Numbers, at: Int, size: Int, outputs: Int, x: Numbers, x_at: Int, rows: Int, step: Int, out: Numbers,
    out_at: Int, out_step: Int,
) -> Int:  # fmt: skip
    """Multiply rows by a matrix (outputs, size).

    A block of sixteen outputs is read from memory once, and lies in a cache for the rows that come after the first
    ones. One or two rows wait for memory all the time, and it is asked in order, which the processor foresees. With
    more, memory would rest while the later rows are multiplied: so each asks for its share of the next block meanwhile.
    """
    passes = rows // 4 + rows % 4 // 2 + rows % 2
    shift = 0 if passes < 2 else (1 if passes < 4 else 2)
    for block in range((outputs + LANES - 1) // LANES):
        begin, to = at + block * size * LANES, out_at + block * LANES
        if rows == 1:
            products_of_one(weights, begin, LANES, x, x_at, step, size, out, to, out_step)
        elif rows == 2:
            products_of_two(weights, begin, LANES, x, x_at, step, size, out, to, out_step)
        else:
            row = 0
            for number in range(passes):
                ask, a, b = begin + (size + (number * size >> shift)) * LANES, x_at + row * step, to + row * out_step
                if row + 4 <= rows:
                    products_of_four_and_more(weights, begin, LANES, x, a, step, size, out, b, out_step, ask, shift)
                    row += 4
                elif row + 2 <= rows:
                    products_of_two_and_more(weights, begin, LANES, x, a, step, size, out, b, out_step, ask, shift)
                    row += 2
                else:
                    products_of_one_and_more(weights, begin, LANES, x, a, step, size, out, b, out_step, ask, shift)
    return 0


@inlined
def normalize(x: Numbers, at: Int, size: Int, weights: Numbers, gain: Int, eps: Number, out: Numbers, to: Int) -> Int:
    """Write RMSNorm of a row; without a gain, the row itself."""
    if gain < 0:
        for i in range(size):
            out[to + i] = x[at + i]
        return 0
    inverse = _ONE / np.float32(math.sqrt(inner_product(x, at, x, at, size) / np.float32(size) + eps))
    for i in range(size):
        out[to + i] = x[at + i] * inverse * weights[gain + i]
    return 0


@inlined
def turn(x: Numbers, at: Int, size: Int, turns: Numbers, angle: Int) -> Int:
    """Turn each pair of channels; `turns` holds their cosines and sines."""
    for i in range(0, size, 2):
        cos, sin = turns[angle + i], turns[angle + i + 1]
        a, b = x[at + i], x[at + i + 1]
        x[at + i] = a * cos - b * sin
        x[at + i + 1] = a * sin + b * cos
    return 0


@inlined
def attend(
    q: Numbers, q_at: Int, keys: Numbers, values: Numbers, at: Int, size: Int, seen: Int, scores: Numbers,
     scores_at: Int, out: Numbers, to: Int,
) -> Int:  # fmt: skip
    """Write the mixture of values that one head of one row attends to."""
    whole = seen // LANES * LANES
    for t in range(0, whole, LANES):
        inner_products(q, q_at, keys, at + t * size, size, scores, scores_at + t)
    for t in range(whole, seen):
        scores[scores_at + t] = inner_product(q, q_at, keys, at + t * size, size)
    rounded = (seen + LANES - 1) // LANES * LANES
    for t in range(seen, rounded):
        scores[scores_at + t] = -_INFINITY
    total = exponentials(scores, scores_at, rounded, largest(scores, scores_at, rounded))
    lane = 0
    while lane + 2 * LANES <= size:
        products_of_one_wide(values, at + lane, size, scores, scores_at, 0, seen, out, to + lane, 0)
        lane += 2 * LANES
    if lane < size:
        products_of_one(values, at + lane, size, scores, scores_at, 0, seen, out, to + lane, 0)
    inverse = _ONE / total
    for i in range(size):
        out[to + i] = out[to + i] * inverse
    return 0


@inlined
def attention(
    weights: Numbers, plan: Int64s, numbers: Numbers, layer: Int, place: Int, row: Int, keys: Numbers, values: Numbers,
    turns: Numbers, work: Numbers, q_at: Int, scores_at: Int, to: Int,
) -> Int:  # fmt: skip
    """Keep the new token's key and value, and write what it attends to, of one row."""
    D, H, K = plan[WIDTH], plan[HEADS], plan[HEAD]
    where = LAYER + layer * LAYER_SIZE
    for head in range(H):
        q, k, v = q_at + head * K, q_at + D + head * K, q_at + 2 * D + head * K
        if plan[where + Q_NORM] >= 0:
            normalize(work, q, K, weights, plan[where + Q_NORM], numbers[EPS], work, q)
            normalize(work, k, K, weights, plan[where + K_NORM], numbers[EPS], work, k)
        if plan[TURNED]:
            turn(work, q, K, turns, place * K)
            turn(work, k, K, turns, place * K)
        at = ((layer * plan[ROWS] + row) * H + head) * plan[CAPACITY] * K
        for i in range(K):
            keys[at + place * K + i] = work[k + i]
            values[at + place * K + i] = work[v + i]
        for i in range(K):
            work[q + i] *= numbers[SHRINK]
        attend(work, q, keys, values, at, K, place + 1, work, scores_at, work, to + head * K)
    return 0


@inlined
def activate(work: Numbers, at: Int, units: Int, gated: Int) -> Int:
    """Replace the first matrix's outputs by the hidden units: silu, times the other matrix's where there is one."""
    for i in range(units):
        unit = work[at + i] / (_ONE + exponential(-work[at + i]))
        work[at + i] = unit * work[at + units + i] if gated else unit
    return 0


@inlined
def add(x: Numbers, at: Int, size: Int, other: Int) -> Int:
    """Add to a row what lies at `other`."""
    for i in range(size):
        x[at + i] += x[other + i]
    return 0


@kernel
def take_step(
    weights: Numbers, plan: Int64s, numbers: Numbers, table: Numbers, turns: Numbers, keys: Numbers, values: Numbers,
    ids: Int64s, places: Int64s, work: Numbers, logits: Numbers, first: Int, last: Int,
) -> Int:  # fmt: skip
    """Take rows `first` to `last` one token further and write the logits of the one that follows."""
    D, W, units, eps, order = plan[WIDTH], plan[WORK], plan[UNITS], numbers[EPS], plan[ORDER]
    rows, x = last - first, first * W
    a, product, qkv, up = x + D, x + 2 * D, x + 3 * D, x + 6 * D
    ups = (2 if plan[GATED] else 1) * units
    scores = up + (ups + LANES - 1) // LANES * LANES
    for row in range(rows):
        for i in range(D):
            work[x + row * W + i] = table[ids[first + row] * D + i] * numbers[SCALE]
    for layer in range(plan[LAYERS]):
        where = LAYER + layer * LAYER_SIZE
        before = plan[where + LN1] if order == PRE else -1
        for row in range(rows):
            at = row * W
            normalize(work, x + at, D, weights, before, eps, work, a + at)
        multiply(weights, plan[where + QKV], D, 3 * D, work, a, rows, W, work, qkv, W)
        for row in range(rows):
            at = row * W
            attention(
                weights, plan, numbers, layer, places[first + row], first + row, keys, values, turns, work, qkv + at,
                scores + at, a + at,
            )  # fmt: skip
        multiply(weights, plan[where + OUTPUT], D, D, work, a, rows, W, work, product, W)
        before = plan[where + LN2] if order == PRE else -1
        for row in range(rows):
            at = row * W
            add(work, x + at, D, product + at)
            if order == POST:
                normalize(work, x + at, D, weights, plan[where + LN1], eps, work, x + at)
            normalize(work, x + at, D, weights, before, eps, work, a + at)
        multiply(weights, plan[where + UP], D, ups, work, a, rows, W, work, up, W)
        for row in range(rows):
            activate(work, up + row * W, units, plan[GATED])
        multiply(weights, plan[where + DOWN], units, D, work, up, rows, W, work, product, W)
        for row in range(rows):
            at = row * W
            add(work, x + at, D, product + at)
            if order == POST:
                normalize(work, x + at, D, weights, plan[where + LN2], eps, work, x + at)
    for row in range(rows):
        normalize(work, x + row * W, D, weights, plan[FINAL], eps, work, a + row * W)
    V = (plan[VOCAB] + LANES - 1) // LANES * LANES
    multiply(weights, plan[OUT], D, plan[VOCAB], work, a, rows, W, logits, first * V, V)
    return 0
