"""Kernels that do nothing but call what works on eight words at a time, and its twin of one."""

from cs336_lib.bpe.cutting.scanner import write_positions, write_positions_in_turn
from cs336_lib.native.eights import _take_none, half_packer, row_settler
from cs336_lib.native.intrinsics import copy_16_bytes, store_pair
from cs336_lib.native.types import Int, Int32s, Int64s, UInt64s, kernel

TAG = 0xFF << 24
settle = row_settler(tag=TAG)
pack = half_packer(two=2 << 24, more=3 << 24, number=0xFFFFFF)


@kernel
def settle_64(rows: UInt64s, tags: Int, first: Int, keys: UInt64s, others: UInt64s) -> Int:
    others[0] = settle(rows, tags, first, keys)
    return 0


@kernel
def pack_eight(values: UInt64s, first: Int, out: Int32s, count: Int) -> Int:
    return pack(values, first, out, count)


@kernel
def pack_nothing(values: UInt64s, first: Int, out: Int32s, count: Int) -> Int:
    return _take_none(values, first, out, count)


@kernel
def positions(bits: UInt64s, base: Int, out: Int64s, count: Int) -> Int:
    return write_positions(bits[0], base, out, count)


@kernel
def positions_in_turn(bits: UInt64s, base: Int, out: Int64s, count: Int) -> Int:
    return write_positions_in_turn(bits[0], base, out, count)


@kernel
def copy_numbers(source: Int32s, at: Int, out: Int32s, place: Int) -> Int:
    copy_16_bytes(source, at, out, place)
    return 0


@kernel
def copy_words(source: UInt64s, at: Int, out: UInt64s, place: Int) -> Int:
    copy_16_bytes(source, at, out, place)
    return 0


@kernel
def store_two(numbers: Int32s, at: Int, pair: UInt64s) -> Int:
    store_pair(numbers, at, pair[0])
    return 0
