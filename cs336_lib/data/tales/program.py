"""The grammar, flattened: a finite graph of steps that three drivers walk (generate, parse, enumerate).

Every rule is inlined where it is called, so the position in the graph says what may follow and a story is one path
from `root` to an `End`. An *edge* is the literal text written on the way to a step; a *step* writes a form, fills a
register, branches, or ends:

    root --"One day, "--> Fill hero --" saw "--> Branch --"a cat."--> End
                                                        `-"a dog."--> End

Choosing never depends on anything but the step and, for a Fill, one register. That is what makes probabilities
products of integer ratios, and the entropy a sum over the graph (see `information`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from cs336_lib.data.tales import grammar as g
from cs336_lib.data.tales.lexicon import GrammarError, Table, read_lexicon


class Edge(NamedTuple):
    """Literal bytes, then the step number they lead to."""

    text: bytes
    to: int


@dataclass(frozen=True)
class Branch:
    """Follow one of several edges. The closing one also decides the split: see `Program.closing`."""

    weights: tuple[int, ...]
    edges: tuple[Edge, ...]
    closing: bool = False


@dataclass(frozen=True)
class Write:
    """Write a form of the entry in a register."""

    register: str
    form: str
    edge: Edge


@dataclass(frozen=True)
class Fill:
    """Choose an entry for a register and write a form of it.

    `lists` are the lists it may choose from, as entry numbers. With `source` None there is one; else the entry in
    register `source` says which. `other` excludes that very entry.
    """

    register: str
    form: str
    lists: tuple[tuple[int, ...], ...]
    source: str | None
    other: bool
    edge: Edge


@dataclass(frozen=True)
class End:
    """The story is complete."""


Step = Branch | Write | Fill | End


class Program:
    """A compiled grammar.

    Attributes:
        steps: the steps; every edge leads to a step with a smaller number, so ascending order is backward through a
        story. root: the edge that every story begins with. tables: the lexicon. table_of: the table each register
        holds entries of. closing: the number of the closing step. It has 2m equally likely edges; their parity must
        make the sum of the
            indices of all choices of a story even in the train split and odd in the valid split.
    """

    def __init__(self, steps: list[Step], root: Edge, tables: dict[str, Table], table_of: dict[str, str]) -> None:
        self.steps, self.root, self.tables, self.table_of = steps, root, tables, table_of
        closing = [i for i, step in enumerate(steps) if isinstance(step, Branch) and step.closing]
        if len(closing) != 1:
            raise GrammarError(
                f"a grammar needs one closing call like <ending!> on every path; this one has {len(closing)}"
            )
        self.closing = closing[0]
        self._check_closing()

    @cached_property
    def forms(self) -> dict[tuple[str, str], list[bytes]]:
        """Texts of all entries of a register's table, by (register, form)."""
        wanted = {(s.register, s.form) for s in self.steps if isinstance(s, Write | Fill)}
        return {(r, f): [word.encode() for word in self.tables[self.table_of[r]].form(f)] for r, f in sorted(wanted)}

    def options(self, step: Branch | Fill, registers: dict[str, int]) -> tuple[tuple[int, ...], list[int]]:
        """What a step chooses from, given the registers: entry or edge numbers, and their weights (0: not allowed)."""
        if isinstance(step, Branch):
            return tuple(range(len(step.edges))), list(step.weights)
        entries = step.lists[0 if step.source is None else registers[step.source]]
        weights = self.tables[self.table_of[step.register]].weights
        excluded = registers[step.source] if step.other and step.source else -1
        return entries, [0 if entry == excluded else weights[entry] for entry in entries]

    def _check_closing(self) -> None:
        """Hold what exact entropy per split needs: a fair coin of parity just before the closing choice."""
        step = self.steps[self.closing]
        assert isinstance(step, Branch)
        if len(step.edges) % 2 or len(set(step.weights)) > 1:
            raise GrammarError("the closing rule needs an even number of equally likely alternatives")
        why = "the choice before the closing one must be an even number of equally likely alternatives"
        leads_to: set[int] = set()
        for number in range(self.closing, len(self.steps)):
            before = self.steps[number]
            edges = before.edges if isinstance(before, Branch) else () if isinstance(before, End) else (before.edge,)
            if not any(edge.to == self.closing or edge.to in leads_to for edge in edges):
                continue
            if isinstance(before, Write):
                leads_to.add(number)
            elif not (isinstance(before, Branch) and len(set(before.weights)) == 1 and len(edges) % 2 == 0) or not all(
                edge.to == self.closing or edge.to in leads_to for edge in edges
            ):
                raise GrammarError(why)
        if self.root.to == self.closing or self.root.to in leads_to:
            raise GrammarError(why)


def compile_program(lexicon: str, rules: str, start: str = "story") -> Program:
    r"""Compile a lexicon and rules into a program.

    Args:
        lexicon: tables in the format of `lexicon.read_lexicon`.
        rules: rules in the format of `grammar.read_rules`.
        start: the rule that derives a story.

    Raises:
        GrammarError: naming the rule, table or register that doesn't fit.

    >>> program = compile_program("table pet\n cat, dog", '''
    ... story:
    ...   I saw {pet=pet.a}. <end!>
    ... end:
    ...   Hello, {pet}!
    ...   Bye, {pet}!
    ... ''', start="story")
    Traceback (most recent call last):
    cs336_lib.data.tales.lexicon.GrammarError: the choice before the closing one must be an even number ...
    """
    return _Compiler(read_lexicon(lexicon), g.read_rules(rules)).program(start)


class _Compiler:
    """Builds the graph from its end: each piece is compiled with the edge that follows it."""

    def __init__(self, tables: dict[str, Table], rules: dict[str, g.Rule]) -> None:
        self.tables, self.rules = tables, rules
        self.numbers: dict[Step, int] = {}
        self.table_of: dict[str, str] = {}
        self.calling: list[str] = []
        self.rule_edges: dict[tuple[object, ...], Edge] = {}

    def program(self, start: str) -> Program:
        self.find_registers(start, {}, set())
        root = self.rule(g.Call(start, (), False), {}, Edge(b"", self.number(End())))
        return Program(list(self.numbers), root, self.tables, self.table_of)

    def number(self, step: Step) -> int:
        return self.numbers.setdefault(step, len(self.numbers))

    def find_registers(self, rule: str, names: dict[str, str], seen: set[tuple[object, ...]]) -> None:
        """Learn which table each register holds, in reading order, so that `{friend=~hero}` knows hero's."""
        if (key := (rule, *sorted(names.items()))) in seen:
            return
        seen.add(key)
        if rule not in self.rules:
            raise GrammarError(f"no rule {rule!r}; there are {', '.join(self.rules)}")
        todo: list[g.Item] = [self.rules[rule].body]
        while todo:
            item = todo.pop(0)
            if isinstance(item, g.Alternatives):
                todo = [piece for option in item.options for piece in option] + todo
            elif isinstance(item, g.Call):
                self.find_registers(item.rule, self.bind(item, names), seen)
            elif isinstance(item, g.Fill):
                register = names.get(item.register, item.register)
                source = names.get(item.source, item.source)
                table = self.table_of.get(source, "?") if item.how == "~" else item.table
                if table not in self.tables:
                    raise GrammarError(f"rule {rule!r}: {item} needs a table; there are {', '.join(self.tables)}")
                if self.table_of.setdefault(register, table) != table:
                    raise GrammarError(
                        f"rule {rule!r}: register {register!r} holds {self.table_of[register]}, not {table}"
                    )

    def bind(self, call: g.Call, names: dict[str, str]) -> dict[str, str]:
        if call.rule not in self.rules:
            raise GrammarError(f"no rule {call.rule!r}; there are {', '.join(self.rules)}")
        parameters = self.rules[call.rule].parameters
        if len(parameters) != len(call.arguments):
            raise GrammarError(f"rule {call.rule!r} takes {parameters}, was given {call.arguments}")
        return {p: names.get(a, a) for p, a in zip(parameters, call.arguments, strict=True)}

    def rule(self, call: g.Call, names: dict[str, str], after: Edge) -> Edge:
        inner = self.bind(call, names)
        key = (call.rule, call.closing, after, *sorted(inner.items()))
        if key not in self.rule_edges:
            if call.rule in self.calling:
                raise GrammarError(f"rule {call.rule!r} calls itself: {' > '.join(self.calling)}")
            self.calling.append(call.rule)
            self.rule_edges[key] = self.alternatives(self.rules[call.rule].body, inner, after, call.closing)
            self.calling.pop()
        return self.rule_edges[key]

    def alternatives(self, item: g.Alternatives, names: dict[str, str], after: Edge, closing: bool = False) -> Edge:
        if len(item.options) == 1:
            return self.sequence(item.options[0], names, after)
        edges = tuple(self.sequence(option, names, after) for option in item.options)
        return Edge(b"", self.number(Branch(item.weights, edges, closing)))

    def sequence(self, items: g.Sequence, names: dict[str, str], after: Edge) -> Edge:
        for item in reversed(items):
            if isinstance(item, g.Lit):
                after = Edge(item.text.encode() + after.text, after.to)
            elif isinstance(item, g.Alternatives):
                after = self.alternatives(item, names, after)
            elif isinstance(item, g.Call):
                after = self.rule(item, names, after)
            elif isinstance(item, g.Slot):
                register = names.get(item.register, item.register)
                if register not in self.table_of:
                    raise GrammarError(f"{{{item.register}.{item.form}}}: nothing fills register {register!r}")
                self.tables[self.table_of[register]].form(item.form)
                after = Edge(b"", self.number(Write(register, item.form, after)))
            else:
                after = Edge(b"", self.number(self.fill(item, names, after)))
        return after

    def fill(self, item: g.Fill, names: dict[str, str], after: Edge) -> Fill:
        register, source = names.get(item.register, item.register), names.get(item.source, item.source)
        table = self.tables[self.table_of[register]]
        table.form(item.form)
        if item.how == ":":
            if item.source not in table.lists:
                raise GrammarError(f"table {table.name!r} has no part {item.source!r}; it has {list(table.lists)}")
            return Fill(register, item.form, (table.lists[item.source],), None, False, after)
        if item.how == "~":
            lists = tuple(table.siblings(i) for i in range(len(table)))
            self.need(lists, 2, item)
            return Fill(register, item.form, lists, source, True, after)
        if table.parent != self.table_of.get(source):
            raise GrammarError(
                f"table {table.name!r} belongs to {table.parent!r}; register {source!r} doesn't hold that"
            )
        lists = tuple(table.owned_by(i) for i in range(len(self.tables[table.parent or ""])))
        self.need(lists, 1, item)
        return Fill(register, item.form, lists, source, False, after)

    def need(self, lists: tuple[tuple[int, ...], ...], entries: int, item: g.Fill) -> None:
        if any(len(each) < entries for each in lists):
            raise GrammarError(f"{item}: a list to choose from has fewer than {entries} entries")
