"""Eight words of 64 bits at a time, for tables whose values are two numbers of 32 bits and a few bits beside them.

What a processor does to one word it does to eight for the same price, if it needn't branch between them. These are
makers of such functions, since a layout's constants are best known when a kernel is compiled; who has the layout makes
them and says what its bits mean. The steps are LLVM's vectors, one register where the processor has them that wide.
"""

from collections.abc import Callable
from typing import Any

from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from cs336_lib.native.types import Int, Int32s, UInt64s, inlined

EIGHT = 8
BLOCK = 64
PACKS_HALVES = bool(binding.get_host_cpu_features().get("avx512f"))
"""Whether this processor moves chosen numbers to the front of a register, as `half_packer` needs."""

_BYTE, _HALF, _WORD = ir.IntType(8), ir.IntType(32), ir.IntType(64)
_EIGHT, _HALVES = ir.VectorType(_WORD, EIGHT), ir.VectorType(_HALF, 2 * EIGHT)
_WORDS, _NUMBERS = types.CPointer(types.uint64), types.CPointer(types.int32)


def _at(builder: Any, base: Any, offset: Any, item: Any) -> Any:
    return builder.bitcast(builder.gep(base, [offset]), item.as_pointer())


def row_settler(tag: int) -> Callable[..., Any]:
    """Make the function that compares 64 rows of a table with the keys that led to them.

    Args:
        tag: the bits of a row's value that belong to its key.

    Returns:
        settle_rows(rows, tags, first, keys) -> uint64, for kernels, without checks of bounds. Row k is a key and a
        value, at `rows[2 * k]`; the tags begin at `rows[tags]`. For words `first` to `first + 63`, `keys` gets the
        values, and bit k of the result says that key or tag of word `first + k` is another.
    """

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        rows, tags, first, keys = arguments
        of_keys, of_values = (ir.Constant(ir.VectorType(_HALF, EIGHT), list(range(k, 2 * EIGHT, 2))) for k in (0, 1))
        tagged = ir.Constant(_EIGHT, [tag] * EIGHT)
        found: Any = _WORD(0)

        def load(base: Any, offset: Any) -> Any:
            return builder.load(_at(builder, base, offset, _EIGHT), align=8)

        for k in range(0, BLOCK, EIGHT):
            word = builder.add(first, _WORD(k))
            row = builder.shl(word, _WORD(1))
            left, right = load(rows, row), load(rows, builder.add(row, _WORD(EIGHT)))
            other_key = builder.icmp_unsigned("!=", builder.shuffle_vector(left, right, of_keys), load(keys, word))
            values = builder.shuffle_vector(left, right, of_values)
            own_tags = builder.and_(values, tagged)
            other_tag = builder.icmp_unsigned("!=", own_tags, load(rows, builder.add(tags, word)))
            builder.store(values, _at(builder, keys, word, _EIGHT), align=8)
            others = builder.zext(builder.bitcast(builder.or_(other_key, other_tag), _BYTE), _WORD)
            found = builder.or_(found, builder.shl(others, _WORD(k)))
        return found

    def settle_rows(typing_context: Any, rows: Any, tags: Any, first: Any, keys: Any) -> Any:
        return types.uint64(_WORDS, types.int64, types.int64, _WORDS), emit

    settler: Callable[..., Any] = intrinsic(settle_rows)
    return settler


def half_packer(two: int, more: int, number: int) -> Callable[..., Any]:
    """Make the function that writes the numbers of eight values in a row, up to the first value that has more than two.

    Args:
        two: the least upper half of a value that has two numbers, one in each half, and not only the lower one.
        more: the least upper half of a value that has more.
        number: the bits of a half that are its number.

    Returns:
        pack_halves(values, first, out, count) -> int64, for kernels, without checks of bounds. Appends to the int32
        in `out`, of which 16 may be written; returns 16 times how many were appended, plus how many of the values
        `first` to `first + 7` were taken. Where the processor can't, it takes none.
    """

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        values, first, out, count = arguments
        bits, choice = ir.IntType(16), ir.VectorType(ir.IntType(1), 2 * EIGHT)
        lower, upper = bits(0x5555), bits(0xAAAA)
        halves = builder.load(_at(builder, values, first, _HALVES), align=8)

        def at_least(least: int) -> Any:
            reached = builder.icmp_unsigned(">=", halves, ir.Constant(_HALVES, [0, least] * EIGHT))
            return builder.and_(builder.bitcast(reached, bits), upper)

        stop = builder.or_(builder.zext(at_least(more), _HALF), _HALF(1 << 2 * EIGHT + 1))
        taken = builder.lshr(builder.cttz(stop, ir.Constant(ir.IntType(1), 1)), _HALF(1))
        before = builder.sub(builder.shl(_HALF(1), builder.shl(taken, _HALF(1))), _HALF(1))
        chosen = builder.and_(builder.or_(at_least(two), lower), builder.trunc(before, bits))
        numbers = builder.and_(halves, ir.Constant(_HALVES, [number] * 2 * EIGHT))
        pack = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(_HALVES, [_HALVES, _HALVES, choice]),
            "llvm.x86.avx512.mask.compress.v16i32",
        )
        packed = builder.call(pack, [numbers, numbers, builder.bitcast(chosen, choice)])
        builder.store(packed, _at(builder, out, count, _HALVES), align=4)
        appended = builder.zext(builder.ctpop(chosen), _WORD)
        return builder.or_(builder.shl(appended, _WORD(4)), builder.zext(taken, _WORD))

    def pack_halves(typing_context: Any, values: Any, first: Any, out: Any, count: Any) -> Any:
        return types.int64(_WORDS, types.int64, _NUMBERS, types.int64), emit

    packer: Callable[..., Any] = intrinsic(pack_halves) if PACKS_HALVES else _take_none
    return packer


@inlined
def _take_none(values: UInt64s, first: Int, out: Int32s, count: Int) -> Int:
    return 0
