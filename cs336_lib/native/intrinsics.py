"""Machine instructions that Python has no word for, as functions that kernels can call.

Each is a few lines of LLVM, emitted by a numba `@intrinsic`. `text` is a pointer to bytes; loads are unaligned and in
the processor's byte order, which must be little-endian (x86-64, arm64). Nothing is bounds-checked: see `PADDING`.
"""

from collections.abc import Callable
from typing import Any

from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

_BYTE = ir.IntType(8)
_WORD = ir.IntType(64)
_BLOCK = ir.VectorType(_BYTE, 64)
_BYTES = types.CPointer(types.uint8)

PACKS_BYTES = bool(binding.get_host_cpu_features().get("avx512vbmi2"))
"""Whether `pack_positions` is one instruction here; where it isn't, it can't be compiled."""


def _instruction(typed: Callable[..., Any]) -> Any:
    # numba's decorator hides that the first parameter is not the caller's; without this, type checkers count it.
    return intrinsic(typed)


def _address(builder: Any, base: Any, offset: Any, item: Any) -> Any:
    return builder.bitcast(builder.gep(base, [offset]), item.as_pointer())


@_instruction
def load_word(typing_context: Any, text: Any, offset: Any) -> Any:
    """The 8 bytes at `text + offset` as a uint64: the first byte is the lowest."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load(_address(builder, arguments[0], arguments[1], _WORD), align=1)

    return types.uint64(_BYTES, types.int64), emit


@_instruction
def store_pair(typing_context: Any, numbers: Any, offset: Any, pair: Any) -> Any:
    """Write the low half of a uint64 to `numbers[offset]` and the high half to the place behind it."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.store(arguments[2], _address(builder, arguments[0], arguments[1], _WORD), align=4)
        return context.get_dummy_value()

    return types.void(types.CPointer(types.int32), types.int64, types.uint64), emit


@_instruction
def copy_16_bytes(typing_context: Any, source: Any, offset: Any, out: Any, place: Any) -> Any:
    """Copy the two or four items from `source[offset]` on to `out[place]` and behind it."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        sixteen = ir.VectorType(_BYTE, 16)
        found = builder.load(_address(builder, arguments[0], arguments[1], sixteen), align=1)
        builder.store(found, _address(builder, arguments[2], arguments[3], sixteen), align=1)
        return context.get_dummy_value()

    return types.void(source, types.int64, source, types.int64), emit


@_instruction
def classify_block(typing_context: Any, text: Any, offset: Any) -> Any:
    """Six 64-bit masks of the 64 bytes at `text + offset`; bit k speaks of byte k.

    Returns:
        (ASCII letters, ASCII digits, ASCII white space, U+0020, bytes over 0x7F, apostrophes), each a uint64.
    """

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        block = builder.load(_address(builder, arguments[0], arguments[1], _BLOCK), align=1)

        def all_lanes(value: int) -> ir.Constant:
            return ir.Constant(_BLOCK, [value] * 64)

        def in_range(values: Any, first: int, count: int) -> Any:
            return builder.icmp_unsigned("<", builder.sub(values, all_lanes(first)), all_lanes(count))

        letters = in_range(builder.or_(block, all_lanes(0x20)), ord("a"), 26)
        digits = in_range(block, ord("0"), 10)
        blanks = builder.icmp_unsigned("==", block, all_lanes(ord(" ")))
        spaces = builder.or_(in_range(block, ord("\t"), 5), blanks)
        beyond_ascii = builder.icmp_signed("<", block, all_lanes(0))
        apostrophes = builder.icmp_unsigned("==", block, all_lanes(ord("'")))
        masks = (letters, digits, spaces, blanks, beyond_ascii, apostrophes)
        return context.make_tuple(builder, signature.return_type, [builder.bitcast(mask, _WORD) for mask in masks])

    return types.UniTuple(types.uint64, 6)(_BYTES, types.int64), emit


@_instruction
def match_byte(typing_context: Any, text: Any, offset: Any, value: Any) -> Any:
    """64-bit mask of which of the 64 bytes at `text + offset` equal a uint8."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        block = builder.load(_address(builder, arguments[0], arguments[1], _BLOCK), align=1)
        first_lane = builder.insert_element(ir.Constant(_BLOCK, ir.Undefined), arguments[2], ir.IntType(32)(0))
        lanes = ir.Constant(ir.VectorType(ir.IntType(32), 64), [0] * 64)
        wanted = builder.shuffle_vector(first_lane, ir.Constant(_BLOCK, ir.Undefined), lanes)
        return builder.bitcast(builder.icmp_unsigned("==", block, wanted), _WORD)

    return types.uint64(_BYTES, types.int64, types.uint8), emit


@_instruction
def narrow_block(typing_context: Any, characters: Any, first: Any, out: Any, offset: Any) -> Any:
    """Copy 64 characters from `characters + first` to as many bytes at `out + offset`, each cut down to its low 8 bits.

    Returns:
        A uint64 whose bit k says that character k is beyond ASCII, so that its byte is wrong.
    """

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vector = ir.VectorType(context.get_data_type(signature.args[0].dtype), 64)
        block = builder.load(_address(builder, arguments[0], arguments[1], vector), align=1)
        bytes_ = builder.trunc(block, _BLOCK) if vector.element != _BYTE else block
        builder.store(bytes_, _address(builder, arguments[2], arguments[3], _BLOCK), align=1)
        beyond_ascii = builder.icmp_unsigned(">", block, ir.Constant(vector, [0x7F] * 64))
        return builder.bitcast(beyond_ascii, _WORD)

    return types.uint64(characters, types.int64, _BYTES, types.int64), emit


@_instruction
def trailing_zeros(typing_context: Any, bits: Any) -> Any:
    """Position of the lowest set bit of a uint64; 64 if there is none."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.uint64), emit


@_instruction
def count_ones(typing_context: Any, bits: Any) -> Any:
    """Number of set bits of a uint64."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.int64(types.uint64), emit


@_instruction
def pack_positions(typing_context: Any, bits: Any, base: Any, out: Any, count: Any) -> Any:
    """Append `base + k` to the int64 in `out` for each set bit k; writes up to 64 places, whatever it appends.

    A processor that can move the chosen ones of 64 bytes to the front does so with 0 to 63, and has the positions.

    Returns:
        How many there are now.
    """

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        bits, base, out, count = arguments
        integer, eight = ir.IntType(32), ir.VectorType(_WORD, 8)
        chosen = ir.VectorType(ir.IntType(1), 64)
        pack = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(_BLOCK, [_BLOCK, _BLOCK, chosen]),
            "llvm.x86.avx512.mask.compress.v64i8",
        )
        numbers = ir.Constant(_BLOCK, list(range(64)))
        packed = builder.call(pack, [numbers, numbers, builder.bitcast(bits, chosen)])
        first = builder.insert_element(ir.Constant(eight, ir.Undefined), base, integer(0))
        bases = builder.shuffle_vector(first, first, ir.Constant(ir.VectorType(integer, 8), [0] * 8))

        def write(k: int) -> None:
            lanes = ir.Constant(ir.VectorType(integer, 8), list(range(k, k + 8)))
            few = builder.zext(builder.shuffle_vector(packed, packed, lanes), eight)
            place = _address(builder, out, builder.add(count, _WORD(k)), eight)
            builder.store(builder.add(few, bases), place, align=8)

        appended = builder.ctpop(bits)
        usual = 24
        for k in range(0, usual, 8):
            write(k)
        with builder.if_then(builder.icmp_unsigned(">", appended, _WORD(usual)), likely=False):
            for k in range(usual, 64, 8):
                write(k)
        return builder.add(count, appended)

    return types.int64(types.uint64, types.int64, types.CPointer(types.int64), types.int64), emit


@_instruction
def prefetch(typing_context: Any, array: Any, index: Any) -> Any:
    """Ask the memory for `array[index]` ahead of its use; the address need not be valid."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = _BYTE.as_pointer()
        integer = ir.IntType(32)
        function = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(ir.VoidType(), [pointer, integer, integer, integer]),
            "llvm.prefetch.p0",
        )
        item = context.get_data_type(signature.args[0].dtype)
        address = builder.bitcast(
            builder.gep(builder.bitcast(arguments[0], item.as_pointer()), [arguments[1]]), pointer
        )
        for_reading, keep_in_all_caches, data = (ir.Constant(integer, value) for value in (0, 3, 1))
        builder.call(function, [address, for_reading, keep_in_all_caches, data])
        return context.get_dummy_value()

    return types.void(array, types.int64), emit
