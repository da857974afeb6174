"""Words of the story world: tables of entries with named forms, read from a small text format.

A *table* is a list of entries that can fill the same place in a sentence. Each entry has a weight and *forms*: the word
itself, and what must agree with it elsewhere (`he`, `him`, `his` for a name; what can be done with a toy). A form whose
name is asked for with a capital letter is the capitalized form, and `a` is the word with its article:

    table toy | play
      3 kite : fly it high
      apple, ball : roll it on the floor

`table spot of place` holds entries that belong to an entry of another table (`park > behind the bench`), and a line
`[girl]` opens a named part of a table. The chapter on data explains why every list here must be unambiguous.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field


class GrammarError(ValueError):
    """A grammar or lexicon that can't be read, or whose texts would not determine their derivations."""


@dataclass
class Table:
    """Entries that fill the same place: `forms[name][i]` is a form of entry i, `weights[i]` its integer weight.

    `lists` holds named parts as tuples of entry numbers: `""` is the whole table, `"girl"` the part under `[girl]`.
    For a table that belongs to another one, `owned[j]` lists the entries of the owner's entry j and `home[i]` is that
    list's key.
    """

    name: str
    columns: tuple[str, ...]
    parent: str | None = None
    forms: dict[str, list[str]] = field(default_factory=dict)
    weights: list[int] = field(default_factory=list)
    lists: dict[str, tuple[int, ...]] = field(default_factory=dict)
    owners: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.weights)

    def form(self, name: str) -> list[str]:
        r"""All entries in the form called `name`; `a` and capitalized names are derived.

        >>> toys = read_lexicon("table toy | play\n  kite : fly it\n  apple : eat it")["toy"]
        >>> toys.form("A"), toys.form("play")
        (['A kite', 'An apple'], ['fly it', 'eat it'])
        """
        if name in self.forms:
            return self.forms[name]
        if name == "a":
            return [("an " if word[0].lower() in "aeiou" else "a ") + word for word in self.forms[""]]
        if name[:1].isupper():
            lower = "" if name == "Word" else name[0].lower() + name[1:]
            return [word[0].upper() + word[1:] for word in self.form(lower)]
        raise GrammarError(
            f"table {self.name!r} has no form {name!r}; it has {', '.join(self.columns) or 'none'}, and 'a'"
        )

    def owned_by(self, owner: int) -> tuple[int, ...]:
        """The entries that belong to entry `owner` of the parent table."""
        return tuple(i for i, o in enumerate(self.owners) if o == owner)

    def siblings(self, entry: int) -> tuple[int, ...]:
        """The list that `entry` is chosen from: its owner's entries, or the whole table."""
        return self.owned_by(self.owners[entry]) if self.parent else self.lists[""]


def read_lexicon(source: str) -> dict[str, Table]:
    """Read tables from their text format.

    Args:
        source: the text; `#` starts a comment line.

    Returns:
        The tables by name, in order.

    Raises:
        GrammarError: naming the line that can't be read.

    >>> world = read_lexicon('''
    ... table name | he
    ...   [girl]
    ...   5 Lily, 3 Mia : she
    ...   [boy]
    ...   Tom : he
    ... ''')
    >>> world["name"].lists, world["name"].weights
    ({'girl': (0, 1), 'boy': (2,), '': (0, 1, 2)}, [5, 3, 1])
    """
    tables: dict[str, Table] = {}
    table, part = None, ""
    for number, raw in enumerate(source.splitlines(), 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        if line.startswith("table "):
            table, part = _open_table(line, tables, number), ""
        elif table is None:
            raise GrammarError(f"lexicon line {number}: {line!r} comes before any 'table'")
        elif line.startswith("["):
            part = line.strip("[]")
            table.lists[part] = ()
        else:
            _add_row(table, part, line, tables, number)
    for each in tables.values():
        if not len(each):
            raise GrammarError(f"table {each.name!r} is empty")
        each.lists[""] = tuple(range(len(each)))
    return tables


def _open_table(line: str, tables: dict[str, Table], number: int) -> Table:
    head, *columns = (cell.strip() for cell in line.split("|"))
    match = re.fullmatch(r"table (\w+)(?: of (\w+))?", head)
    if not match or match[1] in tables or (match[2] and match[2] not in tables):
        raise GrammarError(
            f"lexicon line {number}: {line!r} must be 'table NEW' or 'table NEW of EXISTING', then | columns"
        )
    table = Table(match[1], tuple(columns), match[2], forms={name: [] for name in ("", *columns)})
    tables[table.name] = table
    return table


def _add_row(table: Table, part: str, line: str, tables: dict[str, Table], number: int) -> None:
    owner = -1
    if table.parent:
        name, _, line = line.partition(">")
        words = tables[table.parent].forms[""]
        if name.strip() not in words:
            raise GrammarError(f"lexicon line {number}: {table.parent} has no entry {name.strip()!r}; it has {words}")
        owner = words.index(name.strip())
    words_text, _, cells_text = line.partition(":")
    cells = [cell.strip() for cell in cells_text.split("|")] if cells_text else []
    if len(cells) != len(table.columns):
        raise GrammarError(
            f"lexicon line {number}: {len(cells)} forms, but table {table.name!r} has {len(table.columns)}"
        )
    for item in words_text.split(","):
        match = re.fullmatch(r"(?:(\d+) )?(\S.*)", item.strip())
        if not match:
            raise GrammarError(f"lexicon line {number}: empty entry in {line!r}")
        if part:
            table.lists[part] += (len(table),)
        table.weights.append(int(match[1] or 1))
        table.owners.append(owner)
        for column, value in zip(("", *table.columns), (match[2], *cells), strict=True):
            table.forms[column].append(value)
