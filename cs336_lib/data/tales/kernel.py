"""The generator, compiled: the walk of `walk.derive` over flat integer tables, writing bytes into a buffer.

Layout. All literal and form texts lie in one byte array. Step s has a kind and a few integers; edge e has a text and
the step it leads to; a list has *slots*, one for each unit of weight, so that a uniform slot is a weighted choice:

    step   kind, register, source register, first list, first form text, first edge
    list   first slot, number of slots            one per source entry, or one alone
    slot   index in the list, entry               index is what the split's parity counts
    entry  of a register's table: first slot in its home list, number of slots (to leave it out)

The random numbers are those of `rng`, so a story's bytes equal the walk's; the tests compare them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from cs336_lib.data.tales import rng
from cs336_lib.data.tales.program import Branch, Edge, End, Fill, Program, Write

END, WRITE, BRANCH, FILL, FILL_OTHER, CLOSE = range(6)
GOLDEN, MIX_1, MIX_2 = np.uint64(rng.GOLDEN), np.uint64(rng.MIX_1), np.uint64(rng.MIX_2)
U27, U30, U31, U32 = np.uint64(27), np.uint64(30), np.uint64(31), np.uint64(32)
LOW = np.uint64(0xFFFFFFFF)
MAX_REGISTERS = 128


class Tables(NamedTuple):
    """A program as arrays; the module's docstring shows how they hang together."""

    text: np.ndarray  # (bytes,) uint8
    step: np.ndarray  # (steps, 6) int32
    edge: np.ndarray  # (edges, 3) int32: text offset, text length, step
    form: np.ndarray  # (forms, 2) int32: text offset, text length
    choice: np.ndarray  # (lists, 2) int32: first slot, number of slots
    slot: np.ndarray  # (slots, 2) int32: index, entry
    left_out: np.ndarray  # (entries, 2) int32, at first list + entry: its first slot in its list, its number of slots


def pack(program: Program) -> Tables:
    """Turn a program into arrays. The root is edge 0."""
    return _Packer(program).tables()


class _Packer:
    def __init__(self, program: Program) -> None:
        self.program = program
        self.registers = {name: i for i, name in enumerate(sorted(program.table_of))}
        if len(self.registers) > MAX_REGISTERS:
            raise ValueError(f"{len(self.registers)} registers; the kernel has room for {MAX_REGISTERS}")
        self.text, self.offsets = bytearray(), dict[bytes, int]()
        self.edges: list[tuple[int, int, int]] = []
        self.form_rows: list[tuple[int, int]] = []
        self.form_start: dict[tuple[str, str], int] = {}
        self.choices: list[tuple[int, int]] = []
        self.left_out: list[tuple[int, int]] = []
        self.slots: list[tuple[int, int]] = []
        self.list_start: dict[object, int] = {}
        self.slot_start: dict[object, int] = {}

    def tables(self) -> Tables:
        self.add_edges([self.program.root])
        steps = [self.step(number, step) for number, step in enumerate(self.program.steps)]

        def array(rows: list, width: int) -> np.ndarray:
            return np.array(rows, dtype=np.int32).reshape(-1, width)

        return Tables(
            np.frombuffer(bytes(self.text), dtype=np.uint8),
            array(steps, 6),
            array(self.edges, 3),
            array(self.form_rows, 2),
            array(self.choices, 2),
            array(self.slots, 2),
            array(self.left_out, 2),
        )

    def step(self, number: int, step: Branch | Write | Fill | End) -> tuple[int, ...]:
        if isinstance(step, End):
            return (END, 0, 0, 0, 0, 0)
        if isinstance(step, Branch):
            kind = CLOSE if number == self.program.closing else BRANCH
            entries = tuple(range(len(step.edges)))
            return (kind, 0, 0, self.add_lists((entries,), step.weights), 0, self.add_edges(list(step.edges)))
        form, edge = self.add_forms(step.register, step.form), self.add_edges([step.edge])
        if isinstance(step, Write):
            return (WRITE, self.registers[step.register], 0, 0, form, edge)
        weights = tuple(self.program.tables[self.program.table_of[step.register]].weights)
        kind = FILL_OTHER if step.other else FILL
        source = -1 if step.source is None else self.registers[step.source]
        return (kind, self.registers[step.register], source, self.add_lists(step.lists, weights), form, edge)

    def place(self, text: bytes) -> int:
        if text not in self.offsets:
            self.offsets[text] = len(self.text)
            self.text += text
        return self.offsets[text]

    def add_edges(self, edges: list[Edge]) -> int:
        start = len(self.edges)
        self.edges += [(self.place(edge.text), len(edge.text), edge.to) for edge in edges]
        return start

    def add_forms(self, register: str, form: str) -> int:
        key = (self.program.table_of[register], form)
        if key not in self.form_start:
            self.form_start[key] = len(self.form_rows)
            self.form_rows += [(self.place(word), len(word)) for word in self.program.forms[register, form]]
        return self.form_start[key]

    def add_lists(self, lists: tuple[tuple[int, ...], ...], weights: tuple[int, ...]) -> int:
        """Add one list per source entry; row `start + entry` also tells that entry's slots in its own list."""
        if (lists, weights) not in self.list_start:
            self.list_start[lists, weights] = len(self.choices)
            for owner, entries in enumerate(lists):
                first = self.add_slots(entries, weights)
                self.choices.append((first, sum(weights[e] for e in entries)))
                before = sum(weights[e] for e in entries[: entries.index(owner)]) if owner in entries else 0
                self.left_out.append((before, weights[owner] if owner in entries else 0))
        return self.list_start[lists, weights]

    def add_slots(self, entries: tuple[int, ...], weights: tuple[int, ...]) -> int:
        key = (entries, tuple(weights[e] for e in entries))
        if key not in self.slot_start:
            self.slot_start[key] = len(self.slots)
            self.slots += [(index, e) for index, e in enumerate(entries) for _ in range(weights[e])]
        return self.slot_start[key]


@njit(cache=True, nogil=True, inline="always")
def _mix(z: np.uint64) -> np.uint64:
    z = (z ^ (z >> U30)) * MIX_1
    z = (z ^ (z >> U27)) * MIX_2
    return z ^ (z >> U31)


@njit(cache=True, nogil=True)
def _below(state: np.uint64, n: np.int64) -> tuple[np.uint64, np.int64]:
    """The next state and a uniform integer in [0, n): `rng.Stream.below`."""
    bound = np.uint64(n)
    while True:
        state += GOLDEN
        product = (_mix(state) >> U32) * bound
        low = product & LOW
        if low >= bound or low >= (np.uint64(1) << U32) % bound:
            return state, np.int64(product >> U32)


@njit(cache=True, nogil=True, inline="always")
def _copy(text: np.ndarray, start: int, length: int, out: np.ndarray, at: int) -> int:
    for i in range(length):
        out[at + i] = text[start + i]
    return at + length


@njit(cache=True, nogil=True)
def generate(
    tables: Tables,
    seed: np.uint64,
    split: int,
    first: int,
    count: int,
    tail: np.ndarray,
    out: np.ndarray,
    ends: np.ndarray,
) -> int:
    """Write stories first, ..., first + count - 1, each followed by `tail`, into `out`.

    Args:
        tables: the packed program.
        seed: the seed, uint64.
        split: 0 for train, 1 for valid.
        first: index of the first story.
        count: number of stories.
        tail: bytes written after each story.
        out: uint8 buffer; it must hold `count` stories of the greatest length.
        ends: int64 array of `count` entries; receives the end of each story, its tail included.

    Returns:
        The number of bytes written.
    """
    text, steps, edges, forms = tables.text, tables.step, tables.edge, tables.form
    choices, slots, left_out = tables.choice, tables.slot, tables.left_out
    registers = np.zeros(MAX_REGISTERS, dtype=np.int32)
    at = 0
    seed_key = _mix((_mix(seed + GOLDEN) ^ np.uint64(split)) + GOLDEN)
    for story in range(count):
        state = _mix((seed_key ^ np.uint64(first + story)) + GOLDEN)
        parity = split
        edge = 0
        while True:
            at = _copy(text, edges[edge, 0], edges[edge, 1], out, at)
            number = edges[edge, 2]
            kind, register, source = steps[number, 0], steps[number, 1], steps[number, 2]
            row, form, edge = steps[number, 3], steps[number, 4], steps[number, 5]
            if kind == WRITE:
                form += registers[register]
                at = _copy(text, forms[form, 0], forms[form, 1], out, at)
            elif kind == BRANCH:
                state, slot = _below(state, choices[row, 1])
                index = slots[choices[row, 0] + slot, 0]
                parity ^= index & 1
                edge += index
            elif kind in (FILL, FILL_OTHER):
                if source >= 0:
                    row += registers[source]
                if kind == FILL:
                    state, slot = _below(state, choices[row, 1])
                else:
                    state, slot = _below(state, choices[row, 1] - left_out[row, 1])
                    if slot >= left_out[row, 0]:
                        slot += left_out[row, 1]
                slot += choices[row, 0]
                parity ^= slots[slot, 0] & 1
                registers[register] = slots[slot, 1]
                form += slots[slot, 1]
                at = _copy(text, forms[form, 0], forms[form, 1], out, at)
            elif kind == CLOSE:
                # The slots of the closing choice are its indices in order: the needed ones have the parity so far.
                state, slot = _below(state, choices[row, 1] // 2)
                edge += 2 * slot + (parity & 1)
            else:
                break
        at = _copy(tail, 0, len(tail), out, at)
        ends[story] = at
    return at
