"""The generator over flat integer tables: a program is packed here, and `kernels` walks it, compiled.

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

from cs336_lib.data.tales.layout import (
    BRANCH,
    CLOSE,
    END,
    FILL,
    FILL_OTHER,
    MAX_REGISTERS,
    WRITE,
)
from cs336_lib.data.tales.program import Branch, Edge, End, Fill, Program, Write
from cs336_lib.native.library import KernelLibrary

TALES = KernelLibrary(
    "tales",
    (
        "cs336_lib.data.tales.kernels",
        "cs336_lib.data.tales.layout",
        "cs336_lib.data.tales.rng",
        "cs336_lib.native.types",
    ),
)


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


def generate(
    tables: Tables, seed: int, split: int, first: int, count: int, tail: np.ndarray, out: np.ndarray, ends: np.ndarray
) -> int:
    """Write stories first, ..., first + count - 1, each followed by `tail`, into `out`.

    Args:
        tables: the packed program.
        seed: the seed, from 0 to 2**64 - 1.
        split: 0 for train, 1 for valid.
        first: index of the first story.
        count: number of stories.
        tail: bytes written after each story.
        out: uint8 buffer; it must hold `count` stories of the greatest length.
        ends: int64 array of `count` entries; receives the end of each story, its tail included.

    Returns:
        The number of bytes written.
    """
    registers = np.zeros(MAX_REGISTERS, dtype=np.int32)
    seeds = np.array([seed], dtype=np.uint64)
    return TALES.generate(*map(_flat, tables), registers, seeds, split, first, count, tail, len(tail), out, ends)


def draw_below(state: int, n: int) -> tuple[int, int]:
    """The next state and a uniform integer in [0, n): `rng.Stream.below`."""
    states = np.array([state], dtype=np.uint64)
    drawn = TALES.draw(states, n)
    return int(states[0]), drawn


def _flat(table: np.ndarray) -> np.ndarray:
    return table.reshape(-1)
