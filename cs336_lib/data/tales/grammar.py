r"""Sentences of the story world: rules with choices and slots, read from a small text format.

A *rule* is a name and its alternatives, one per line; the story is what rule `story` derives.

    story:
      <opening> <ending!>
    opening:
      2: {hero=name} had {toy=toy.a}. {hero.He} [loved|liked] {hero.his} {toy}.
      There once was {toy=toy.a} that nobody had.

| notation | meaning |
|---|---|
| `[x\|y]` | one of them |
| `3: ` first in an alternative | its integer weight, else 1 |
| `{hero=name.form}` | choose an entry of table `name` for register `hero` and write it |
| `{toy=toy:soft}` | choose in a named part of the table |
| `{spot=spot@place}` | choose among the entries that belong to the register's entry |
| `{friend=~hero}` | choose another entry of the list that `hero` is in |
| `{hero.his}` | write a form of the entry in a register: agreement at any distance |
| `<rule>`, `<rule hero>` | derive a rule; inside it, its parameters name the given registers |
| `<rule!>` | the closing rule, whose choice also decides the split |
| ` // ` | a new line |
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from cs336_lib.data.tales.lexicon import GrammarError


@dataclass(frozen=True)
class Lit:
    """Text as it stands."""

    text: str


@dataclass(frozen=True)
class Slot:
    """Write a form of the entry in a register."""

    register: str
    form: str


@dataclass(frozen=True)
class Fill:
    """Choose an entry for a register, then write a form of it.

    `how` is ":" (a list of the table), "@" (entries that belong to the entry in register `source`) or "~" (a sibling
    of the entry in register `source`, never that entry itself).
    """

    register: str
    how: str
    table: str
    source: str
    form: str


@dataclass(frozen=True)
class Alternatives:
    """One of several sequences, with integer weights."""

    weights: tuple[int, ...]
    options: tuple[Sequence, ...]


@dataclass(frozen=True)
class Call:
    """Derive another rule; `closing` marks the rule whose choice also decides the split."""

    rule: str
    arguments: tuple[str, ...]
    closing: bool


Item = Lit | Slot | Fill | Alternatives | Call
Sequence = tuple[Item, ...]


@dataclass(frozen=True)
class Rule:
    """A named set of alternatives whose register names may be parameters."""

    name: str
    parameters: tuple[str, ...]
    body: Alternatives


def read_rules(source: str) -> dict[str, Rule]:
    r"""Read rules from their text format.

    Args:
        source: the text. A line at the margin that ends in `:` opens a rule; indented lines are its alternatives; a
        line
            that starts with `+` continues the alternative above it; `#` starts a comment line.

    Returns:
        The rules by name.

    Raises:
        GrammarError: naming the rule and the text that can't be read.

    >>> rules = read_rules("story:\n  2: A [cat|dog] sat.\n  The end.")
    >>> rules["story"].body.weights
    (2, 1)
    """
    lines: dict[str, list[str]] = {}
    parameters: dict[str, tuple[str, ...]] = {}
    name = ""
    for raw in source.splitlines():
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        if not raw[0].isspace():
            match = re.fullmatch(r"(\w+)(?:\(([\w ,]+)\))?:", line)
            if not match or match[1] in lines:
                raise GrammarError(f"{line!r} must be a new rule's name, as in 'rule:' or 'rule(who):'")
            name = match[1]
            lines[name], parameters[name] = [], tuple(re.findall(r"\w+", match[2] or ""))
        elif not name:
            raise GrammarError(f"{line!r} comes before any rule")
        elif line.startswith("+"):
            lines[name][-1] += " " + line[1:].strip()
        else:
            lines[name].append(line)
    return {name: Rule(name, parameters[name], _alternatives(name, found)) for name, found in lines.items()}


def _alternatives(rule: str, texts: list[str]) -> Alternatives:
    weights, options = [], []
    for text in texts:
        match = re.match(r"(\d+): ?", text)
        reader = _Reader(rule, re.sub(r" ?// ?", "\n", text[match.end() :] if match else text))
        weights.append(int(match[1]) if match else 1)
        options.append(reader.sequence(""))
    return Alternatives(tuple(weights), tuple(options))


class _Reader:
    """Recursive descent over one alternative."""

    def __init__(self, rule: str, text: str) -> None:
        self.rule, self.text, self.at = rule, text, 0

    def error(self, why: str) -> GrammarError:
        return GrammarError(f"rule {self.rule!r}: {why} at {self.text[max(self.at - 20, 0) : self.at + 20]!r}")

    def sequence(self, stops: str) -> Sequence:
        items: list[Item] = []
        while self.at < len(self.text) and self.text[self.at] not in stops:
            char = self.text[self.at]
            if char == "[":
                items.append(self.choice())
            elif char in "{<":
                items.append(self.slot(self.until("}")) if char == "{" else self.call(self.until(">")))
            elif char in "]}>|":
                raise self.error(f"unexpected {char!r}")
            else:
                match = re.compile(r"[^\[\]{}<>|]+").match(self.text, self.at)
                assert match
                items.append(Lit(match[0]))
                self.at = match.end()
        return tuple(items)

    def until(self, close: str) -> str:
        end = self.text.find(close, self.at)
        if end < 0:
            raise self.error(f"no {close!r}")
        inside, self.at = self.text[self.at + 1 : end], end + 1
        return inside

    def choice(self) -> Alternatives:
        weights, options = [], []
        while self.at < len(self.text) and self.text[self.at] in "[|":
            self.at += 1
            match = re.compile(r"(\d+):").match(self.text, self.at)
            self.at = match.end() if match else self.at
            weights.append(int(match[1]) if match else 1)
            options.append(self.sequence("|]"))
        if self.at >= len(self.text):
            raise self.error("no ']'")
        self.at += 1
        return Alternatives(tuple(weights), tuple(options))

    def slot(self, text: str) -> Item:
        match = re.fullmatch(r"(\w+)(?:\.(\w+))?", text)
        if match:
            return Slot(match[1], match[2] or "")
        match = re.fullmatch(r"(\w+)=(?:(~)(\w+)|(\w+)(?:([:@])(\w+))?)(?:\.(\w+))?", text)
        if not match:
            raise self.error(f"can't read slot {{{text}}}")
        register, tilde, sibling, table, how, source, form = match.groups()
        if tilde:
            return Fill(register, "~", "", sibling, form or "")
        return Fill(register, how or ":", table, source or "", form or "")

    def call(self, text: str) -> Call:
        match = re.fullmatch(r"(\w+)(!?)((?: \w+)*)", text)
        if not match:
            raise self.error(f"can't read <{text}>")
        return Call(match[1], tuple(match[3].split()), bool(match[2]))
