"""A kernel that compiles in a moment, for the tests of the library that keeps compiled kernels."""

from cs336_lib.native.types import Bytes, Int, Int64s, inlined, kernel


@inlined
def doubled(value: Int) -> Int:
    return 2 * value


@kernel
def sum_bytes(text: Bytes, size: Int) -> Int:
    total = 0
    for at in range(size):
        total += text[at]
    return total


@kernel
def clear_words(words: Int64s, size: Int) -> Int:
    for at in range(size):
        words[at] = 0
    return size


@kernel
def double_all(values: Int64s, size: Int) -> Int:
    for at in range(size):
        values[at] = doubled(values[at])
    return size
