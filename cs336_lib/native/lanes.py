"""Sixteen float32 side by side, as functions that kernels can call (chapter 7).

A compiler that is given a loop over single numbers doesn't find the form in which products of few rows are fastest, and
must not find the one in which a sum is fastest, since it adds in another order. So these say it outright, in LLVM's
vectors: one register where the processor has them that wide, two or four elsewhere. Addresses need not be aligned, and
nothing is bounds-checked.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

LANES = 16

_NUMBER = ir.FloatType()
_LANES = ir.VectorType(_NUMBER, LANES)
_WIDE, _NARROW, _BYTE = ir.IntType(64), ir.IntType(32), ir.IntType(8)
_NUMBERS, _INDEX = types.CPointer(types.float32), types.int64
_FUSED = ("contract",)  # a product and the sum it goes into may be one instruction


def _instruction(typed: Callable[..., Any]) -> Any:
    # numba's decorator hides that the first parameter is not the caller's; without this, type checkers count it.
    return intrinsic(typed)


def _at(builder: Any, base: Any, offset: Any) -> Any:
    return builder.bitcast(builder.gep(base, [offset]), _LANES.as_pointer())


def _read(builder: Any, base: Any, offset: Any) -> Any:
    return builder.load(_at(builder, base, offset), align=4)


def _splat(builder: Any, number: Any) -> Any:
    nothing = ir.Constant(_LANES, ir.Undefined)
    first = builder.insert_element(nothing, number, _NARROW(0))
    return builder.shuffle_vector(first, nothing, ir.Constant(ir.VectorType(_NARROW, LANES), [0] * LANES))


def _plus_product(builder: Any, total: Any, left: Any, right: Any) -> Any:
    return builder.fadd(total, builder.fmul(left, right, flags=_FUSED), flags=_FUSED)


def _shuffled(builder: Any, left: Any, right: Any, order: list[int]) -> Any:
    return builder.shuffle_vector(left, right, ir.Constant(ir.VectorType(_NARROW, LANES), order))


def _total(builder: Any, lanes: Any) -> Any:
    """Add up the lanes of one vector: the upper half onto the lower one, until one number is left."""
    width = LANES
    while width > 1:
        width //= 2
        order = [(i + width) % LANES for i in range(LANES)]
        lanes = builder.fadd(lanes, _shuffled(builder, lanes, lanes, order))
    return builder.extract_element(lanes, _NARROW(0))


def _ask_ahead(builder: Any, base: Any, offset: Any) -> None:
    pointer = _BYTE.as_pointer()
    kind = ir.FunctionType(ir.VoidType(), [pointer, _NARROW, _NARROW, _NARROW])
    prefetch = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
    for_reading, in_the_second_cache, data = (ir.Constant(_NARROW, value) for value in (0, 2, 1))
    there = builder.bitcast(builder.gep(base, [offset]), pointer)
    builder.call(prefetch, [there, for_reading, in_the_second_cache, data])


def _sum_products(rows: int, blocks: int, builder: Any, arguments: Any, ask: Callable[[Any], None]) -> None:
    """Emit `products` for so many rows and blocks of lanes: their sums stay in registers. `ask` is told each i."""
    lanes, at, lanes_step, x, x_at, x_step, count, out, out_at, out_step = arguments
    zero = ir.Constant(_LANES, [0.0] * LANES)
    sums = [[cgutils.alloca_once_value(builder, zero) for _ in range(blocks)] for _ in range(rows)]
    begins = [builder.gep(x, [builder.add(x_at, builder.mul(x_step, _WIDE(row)))]) for row in range(rows)]
    with cgutils.for_range(builder, count) as loop:
        ask(loop.index)
        offset = builder.add(at, builder.mul(loop.index, lanes_step))
        read = [_read(builder, lanes, builder.add(offset, _WIDE(LANES * block))) for block in range(blocks)]
        for begin, totals in zip(begins, sums, strict=True):
            number = _splat(builder, builder.load(builder.gep(begin, [loop.index])))
            for total, block in zip(totals, read, strict=True):
                builder.store(_plus_product(builder, builder.load(total), number, block), total)
    for row, totals in enumerate(sums):
        for block, total in enumerate(totals):
            place = builder.add(builder.add(out_at, builder.mul(out_step, _WIDE(row))), _WIDE(LANES * block))
            builder.store(builder.load(total), _at(builder, out, place), align=4)


_MATRICES = (_NUMBERS, _INDEX, _INDEX) * 2 + (_INDEX, _NUMBERS, _INDEX, _INDEX)


def _products(rows: int, blocks: int = 1) -> Any:
    def products(
        typing_context: Any,
        lanes: Any,
        at: Any,
        lanes_step: Any,
        x: Any,
        x_at: Any,
        x_step: Any,
        count: Any,
        out: Any,
        out_at: Any,
        out_step: Any,
    ) -> Any:
        """out[row, lane] = sum over i of x[row, i] * lanes[i, lane], added up in the order of i.

        `lanes` is (count, blocks * LANES), the first at `at` and each `lanes_step` behind the one before; `x` is (rows,
        count) and `out` (rows, blocks * LANES), with rows `x_step` and `out_step` apart.
        """

        def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            _sum_products(rows, blocks, builder, arguments, lambda i: None)
            return context.get_dummy_value()

        return types.void(*_MATRICES), emit

    return _instruction(products)


def _products_and_more(rows: int) -> Any:
    def products(
        typing_context: Any,
        lanes: Any,
        at: Any,
        lanes_step: Any,
        x: Any,
        x_at: Any,
        x_step: Any,
        count: Any,
        out: Any,
        out_at: Any,
        out_step: Any,
        next_at: Any,
        shift: Any,
    ) -> Any:
        """`products`, and meanwhile ask the memory for what comes next: count / 2^shift lanes from `next_at` on."""

        def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            *matrices, next_at, shift = arguments

            def ask(i: Any) -> None:
                _ask_ahead(
                    builder, matrices[0], builder.add(next_at, builder.mul(builder.lshr(i, shift), _WIDE(LANES)))
                )

            _sum_products(rows, 1, builder, matrices, ask)
            return context.get_dummy_value()

        return types.void(*_MATRICES, _INDEX, _INDEX), emit

    return _instruction(products)


products_of_one, products_of_two = _products(1), _products(2)
products_of_one_wide = _products(1, blocks=2)
products_of_one_and_more, products_of_two_and_more, products_of_four_and_more = map(_products_and_more, (1, 2, 4))


@_instruction
def inner_product(typing_context: Any, a: Any, a_at: Any, b: Any, b_at: Any, count: Any) -> Any:
    """The sum of products of two rows of `count` numbers, a multiple of `LANES`; always added up in the same order."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        a, a_at, b, b_at, count = arguments
        total = cgutils.alloca_once_value(builder, ir.Constant(_LANES, [0.0] * LANES))
        with cgutils.for_range(builder, builder.sdiv(count, _WIDE(LANES))) as loop:
            offset = builder.mul(loop.index, _WIDE(LANES))
            left, right = (_read(builder, base, builder.add(at, offset)) for base, at in ((a, a_at), (b, b_at)))
            builder.store(_plus_product(builder, builder.load(total), left, right), total)
        return _total(builder, builder.load(total))

    return types.float32(_NUMBERS, _INDEX, _NUMBERS, _INDEX, _INDEX), emit


@_instruction
def inner_products(typing_context: Any, a: Any, a_at: Any, b: Any, b_at: Any, count: Any, out: Any, out_at: Any) -> Any:
    """`inner_product` of `a` and each of `LANES` rows of `b`, one behind the other; added up as it does.

    The lanes of all the sums are added up together: half of two vectors onto the other half makes one, and so on.
    """

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        a, a_at, b, b_at, count, out, out_at = arguments
        zero = ir.Constant(_LANES, [0.0] * LANES)
        sums = [cgutils.alloca_once_value(builder, zero) for _ in range(LANES)]
        with cgutils.for_range(builder, builder.sdiv(count, _WIDE(LANES))) as loop:
            offset = builder.mul(loop.index, _WIDE(LANES))
            left = _read(builder, a, builder.add(a_at, offset))
            for row, total in enumerate(sums):
                there = builder.add(builder.add(b_at, builder.mul(count, _WIDE(row))), offset)
                builder.store(_plus_product(builder, builder.load(total), left, _read(builder, b, there)), total)
        vectors = [builder.load(total) for total in sums]
        width = LANES
        while len(vectors) > 1:  # each vector holds the lanes, `width` for each, of LANES / width rows
            width //= 2
            low = [i + group for group in range(0, 2 * LANES, 2 * width) for i in range(width)]
            high = [i + width for i in low]
            half = len(vectors) // 2
            vectors = [
                builder.fadd(_shuffled(builder, one, other, low), _shuffled(builder, one, other, high))
                for one, other in zip(vectors[:half], vectors[half:], strict=True)
            ]
        order = _rows_of_lanes()
        builder.store(_shuffled(builder, vectors[0], vectors[0], order), _at(builder, out, out_at), align=4)
        return context.get_dummy_value()

    return types.void(_NUMBERS, _INDEX, _NUMBERS, _INDEX, _INDEX, _NUMBERS, _INDEX), emit


def _rows_of_lanes() -> list[int]:
    """Which lane holds each row's sum after `inner_products` has halved its vectors: found by following the rows."""
    vectors = [[row] for row in range(LANES)]
    while len(vectors) > 1:
        half = len(vectors) // 2
        vectors = [one + other for one, other in zip(vectors[:half], vectors[half:], strict=True)]
    return [vectors[0].index(row) for row in range(LANES)]


@_instruction
def largest(typing_context: Any, x: Any, at: Any, count: Any) -> Any:
    """The largest of `count` numbers, a multiple of `LANES`; NaN does not count."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        x, at, count = arguments
        most = cgutils.alloca_once_value(builder, ir.Constant(_LANES, [float("-inf")] * LANES))
        with cgutils.for_range(builder, builder.sdiv(count, _WIDE(LANES))) as loop:
            read = _read(builder, x, builder.add(at, builder.mul(loop.index, _WIDE(LANES))))
            known = builder.load(most)
            builder.store(builder.select(builder.fcmp_ordered(">", read, known), read, known), most)
        lanes, width = builder.load(most), LANES
        while width > 1:
            width //= 2
            other = _shuffled(builder, lanes, lanes, [(i + width) % LANES for i in range(LANES)])
            lanes = builder.select(builder.fcmp_ordered(">", other, lanes), other, lanes)
        return builder.extract_element(lanes, _NARROW(0))

    return types.float32(_NUMBERS, _INDEX, _INDEX), emit


def _exponential(builder: Any, x: Any) -> Any:
    """e^x to the last bit or two, of a number or of lanes; below e^-87 it is 0, above e^88 infinite. NaN stays NaN.

    x = n ln 2 + r with |r| <= ln 2 / 2, so e^x = 2^n e^r, and the series of e^r is short. n is found by adding 1.5 *
    2^23: a float32 of this size has no bits behind the point, and its lowest bits are those of n.
    """
    several = isinstance(x.type, ir.VectorType)
    integer = ir.VectorType(_NARROW, LANES) if several else _NARROW

    def constant(value: float | int, kind: Any = x.type) -> Any:
        return ir.Constant(kind, [value] * LANES if several else value)

    low, high = builder.fcmp_ordered("<", x, constant(-87.0)), builder.fcmp_ordered(">", x, constant(88.0))
    within = builder.select(low, constant(-87.0), builder.select(high, constant(88.0), x))
    shifted = builder.fadd(builder.fmul(within, constant(1.4426950216293335)), constant(12582912.0))
    n = builder.fsub(shifted, constant(12582912.0))
    r = builder.fsub(within, builder.fmul(n, constant(0.693359375)))  # few bits, so that this product is exact
    r = _plus_product(builder, r, n, constant(0.00021219444170128554))
    series = constant(_float32(1 / 5040))
    for factorial in (720, 120, 24, 6, 2, 1, 1):
        series = _plus_product(builder, constant(_float32(1 / factorial)), series, r)
    exponent = builder.shl(builder.bitcast(shifted, integer), constant(23, integer))
    power = builder.bitcast(builder.add(exponent, constant(0x3F800000, integer)), x.type)
    exact = builder.fmul(series, power)
    return builder.select(low, constant(0.0), builder.select(high, constant(float("inf")), exact))


def _float32(value: float) -> float:
    return float(np.float32(value))


@_instruction
def exponential(typing_context: Any, x: Any) -> Any:
    """e^x, of one number."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _exponential(builder, arguments[0])

    return types.float32(types.float32), emit


@_instruction
def exponentials(typing_context: Any, x: Any, at: Any, count: Any, shift: Any) -> Any:
    """Put e^(x - shift) in place of each of `count` numbers, a multiple of `LANES`, and return their sum."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        x, at, count, shift = arguments
        total = cgutils.alloca_once_value(builder, ir.Constant(_LANES, [0.0] * LANES))
        behind = _splat(builder, shift)
        with cgutils.for_range(builder, builder.sdiv(count, _WIDE(LANES))) as loop:
            place = builder.add(at, builder.mul(loop.index, _WIDE(LANES)))
            power = _exponential(builder, builder.fsub(_read(builder, x, place), behind))
            builder.store(power, _at(builder, x, place), align=4)
            builder.store(builder.fadd(builder.load(total), power), total)
        return _total(builder, builder.load(total))

    return types.float32(_NUMBERS, _INDEX, _INDEX, types.float32), emit
