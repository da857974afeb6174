"""The built-in story world: its text files, compiled once.

A file of `world/` holds tables, a line `----`, then rules. `frame.txt` has what all stories share; each other file is
a plot.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from cs336_lib.data.tales.program import Program, compile_program

GRAMMAR_VERSION = 1  # raise it with any change that changes a story: recorded results name it


def sources() -> tuple[str, str]:
    """The lexicon and the rules of the built-in world, as text."""
    names = sorted(
        (item.name for item in (files(__package__) / "world").iterdir()), key=lambda n: (n != "frame.txt", n)
    )
    parts = [(files(__package__) / "world" / name).read_text(encoding="utf-8").partition("\n----\n") for name in names]
    return "\n".join(lexicon for lexicon, _, _ in parts), "\n".join(rules for _, _, rules in parts)


@cache
def program() -> Program:
    """The compiled built-in world."""
    return compile_program(*sources())
