"""Sixteen float32 side by side, as functions that kernels can call (chapter 7).

A compiler that is given a loop over single numbers doesn't find the form in which products of few rows are fastest, and
must not find the one in which a sum is fastest, since it adds in another order. So these say it outright, in LLVM's
vectors: one register where the processor has them that wide, two or four elsewhere. Addresses need not be aligned, and
nothing is bounds-checked.
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

LANES = 16

_NUMBER = ir.FloatType()
_LANES = ir.VectorType(_NUMBER, LANES)
_WIDE = ir.IntType(64)
_NARROW = ir.IntType(32)
_NUMBERS = types.CPointer(types.float32)
_FUSED = ("contract",)  # a product and the sum it goes into may be one instruction


def _instruction(typed: Callable[..., Any]) -> Any:
    # numba's decorator hides that the first parameter is not the caller's; without this, type checkers count it.
    return intrinsic(typed)


def _at(builder: Any, base: Any, offset: Any) -> Any:
    return builder.bitcast(builder.gep(base, [offset]), _LANES.as_pointer())


def _splat(builder: Any, number: Any) -> Any:
    nothing = ir.Constant(_LANES, ir.Undefined)
    first = builder.insert_element(nothing, number, _NARROW(0))
    return builder.shuffle_vector(first, nothing, ir.Constant(ir.VectorType(_NARROW, LANES), [0] * LANES))


def _products(rows: int) -> Any:
    """Make `products` for so many rows: their sums stay in registers, and what is multiplied is read once for all."""

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

        `lanes` is (count, LANES), the first at `at` and each `lanes_step` behind the one before; `x` is (rows, count)
        and `out` (rows, LANES), with rows `x_step` and `out_step` apart.
        """

        def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            lanes, at, lanes_step, x, x_at, x_step, count, out, out_at, out_step = arguments
            sums = [cgutils.alloca_once_value(builder, ir.Constant(_LANES, [0.0] * LANES)) for _ in range(rows)]
            begins = [builder.gep(x, [builder.add(x_at, builder.mul(x_step, _WIDE(row)))]) for row in range(rows)]
            with cgutils.for_range(builder, count) as loop:
                read = builder.load(_at(builder, lanes, builder.add(at, builder.mul(loop.index, lanes_step))), align=4)
                for begin, total in zip(begins, sums, strict=True):
                    number = _splat(builder, builder.load(builder.gep(begin, [loop.index])))
                    product = builder.fmul(number, read, flags=_FUSED)
                    builder.store(builder.fadd(builder.load(total), product, flags=_FUSED), total)
            for row, total in enumerate(sums):
                where = _at(builder, out, builder.add(out_at, builder.mul(out_step, _WIDE(row))))
                builder.store(builder.load(total), where, align=4)
            return context.get_dummy_value()

        index = types.int64
        return types.void(_NUMBERS, index, index, _NUMBERS, index, index, index, _NUMBERS, index, index), emit

    return _instruction(products)


products_of_one = _products(1)
products_of_two = _products(2)
products_of_four = _products(4)


@_instruction
def inner_product(typing_context: Any, a: Any, a_at: Any, b: Any, b_at: Any, count: Any) -> Any:
    """The sum of products of two rows of `count` numbers, a multiple of `LANES`; always added up in the same order."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        a, a_at, b, b_at, count = arguments
        total = cgutils.alloca_once_value(builder, ir.Constant(_LANES, [0.0] * LANES))
        with cgutils.for_range(builder, builder.sdiv(count, _WIDE(LANES))) as loop:
            offset = builder.mul(loop.index, _WIDE(LANES))
            left = builder.load(_at(builder, a, builder.add(a_at, offset)), align=4)
            right = builder.load(_at(builder, b, builder.add(b_at, offset)), align=4)
            builder.store(
                builder.fadd(builder.load(total), builder.fmul(left, right, flags=_FUSED), flags=_FUSED), total
            )
        lanes, width = builder.load(total), LANES
        while width > 1:  # the upper half onto the lower one, until one number is left
            width //= 2
            order = ir.Constant(ir.VectorType(_NARROW, LANES), [(i + width) % LANES for i in range(LANES)])
            lanes = builder.fadd(lanes, builder.shuffle_vector(lanes, lanes, order))
        return builder.extract_element(lanes, _NARROW(0))

    index = types.int64
    return types.float32(_NUMBERS, index, _NUMBERS, index, index), emit


@_instruction
def power_of_two(typing_context: Any, shifted: Any) -> Any:
    """2^n for a whole n from -126 to 127, of the float32 n + 1.5 * 2^23: its lowest bits are those of n."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        exponent = builder.shl(builder.bitcast(arguments[0], _NARROW), _NARROW(23))
        one = builder.bitcast(_NUMBER(1.0), _NARROW)
        return builder.bitcast(builder.add(exponent, one), _NUMBER)

    return types.float32(types.float32), emit
