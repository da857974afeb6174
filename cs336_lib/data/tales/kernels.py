"""The walk of `walk.derive`, compiled: it reads the tables that `kernel` draws and writes bytes into a buffer."""

import numpy as np

from cs336_lib.data.tales import rng
from cs336_lib.data.tales.layout import BRANCH, CLOSE, FILL, FILL_OTHER, MAX_REGISTERS, WRITE
from cs336_lib.native.types import Bytes, Int, Int32s, Int64s, UInt64s, Word, inlined, kernel

GOLDEN, MIX_1, MIX_2 = np.uint64(rng.GOLDEN), np.uint64(rng.MIX_1), np.uint64(rng.MIX_2)
U27, U30, U31, U32 = np.uint64(27), np.uint64(30), np.uint64(31), np.uint64(32)
LOW = np.uint64(0xFFFFFFFF)
ONE = np.uint64(1)


@inlined
def mix(z: Word) -> Word:
    """`rng.mix`."""
    z = (z ^ (z >> U30)) * MIX_1
    z = (z ^ (z >> U27)) * MIX_2
    return z ^ (z >> U31)


@inlined
def below(state: Word, n: Int) -> tuple[Word, Int]:
    """The next state and a uniform integer in [0, n): `rng.Stream.below`."""
    bound = np.uint64(n)
    while True:
        state += GOLDEN
        product = (mix(state) >> U32) * bound
        low = product & LOW
        if low >= bound or low >= (ONE << U32) % bound:
            return state, np.int64(product >> U32)


@inlined
def copy(text: Bytes, start: Int, length: Int, out: Bytes, at: Int) -> Int:
    """Copy `text[start:start + length]` to `out[at:]`; where it ends there."""
    for k in range(length):
        out[at + k] = text[start + k]
    return at + length


@kernel
def draw(state: UInt64s, n: Int) -> Int:
    """Draw one integer in [0, n), and note the next state."""
    following, drawn = below(state[0], n)
    state[0] = following
    return drawn


@kernel
def generate(
    text: Bytes,
    steps: Int32s,
    edges: Int32s,
    forms: Int32s,
    choices: Int32s,
    slots: Int32s,
    left_out: Int32s,
    registers: Int32s,
    seed: UInt64s,
    split: Int,
    first: Int,
    count: Int,
    tail: Bytes,
    tail_length: Int,
    out: Bytes,
    ends: Int64s,
) -> Int:
    """Write stories; see `kernel.generate`. Rows: six numbers per step, three per edge, two elsewhere."""
    at = np.int64(0)
    seed_key = mix((mix(seed[0] + GOLDEN) ^ np.uint64(split)) + GOLDEN)
    for story in range(count):
        for k in range(MAX_REGISTERS):
            registers[k] = 0
        state = mix((seed_key ^ np.uint64(first + story)) + GOLDEN)
        parity = np.int64(split)
        edge = np.int64(0)
        while True:
            at = copy(text, np.int64(edges[3 * edge]), np.int64(edges[3 * edge + 1]), out, at)
            number = 6 * np.int64(edges[3 * edge + 2])
            kind, register, source = steps[number], np.int64(steps[number + 1]), np.int64(steps[number + 2])
            row, form, edge = np.int64(steps[number + 3]), np.int64(steps[number + 4]), np.int64(steps[number + 5])
            if kind == WRITE:
                form += np.int64(registers[register])
                at = copy(text, np.int64(forms[2 * form]), np.int64(forms[2 * form + 1]), out, at)
            elif kind == BRANCH:
                state, slot = below(state, np.int64(choices[2 * row + 1]))
                index = np.int64(slots[2 * (np.int64(choices[2 * row]) + slot)])
                parity ^= index & 1
                edge += index
            elif kind in (FILL, FILL_OTHER):
                if source >= 0:
                    row += np.int64(registers[source])
                if kind == FILL:
                    state, slot = below(state, np.int64(choices[2 * row + 1]))
                else:
                    state, slot = below(state, np.int64(choices[2 * row + 1]) - np.int64(left_out[2 * row + 1]))
                    if slot >= left_out[2 * row]:
                        slot += np.int64(left_out[2 * row + 1])
                slot += np.int64(choices[2 * row])
                parity ^= np.int64(slots[2 * slot]) & 1
                registers[register] = slots[2 * slot + 1]
                form += np.int64(slots[2 * slot + 1])
                at = copy(text, np.int64(forms[2 * form]), np.int64(forms[2 * form + 1]), out, at)
            elif kind == CLOSE:
                # The slots of the closing choice are its indices in order: the needed ones have the parity so far.
                state, slot = below(state, np.int64(choices[2 * row + 1]) // 2)
                edge += 2 * slot + (parity & 1)
            else:
                break
        at = copy(tail, np.int64(0), tail_length, out, at)
        ends[story] = at
    return at
