"""Command lines that are told to be typed: what is printed can be pasted."""

from __future__ import annotations

import shlex
from pathlib import Path


def command(*words: str | Path) -> str:
    """Return a line of `cs336`, quoted where a shell needs it.

    Args:
        words: behind the name of the program; those that are a `Path` never look like anything else.

    >>> command("encode", Path("-tok"), Path("my stories.txt"), "--workers", "2")
    "cs336 encode ./-tok 'my stories.txt' --workers 2"
    """
    return shlex.join(["cs336", *(place(word) if isinstance(word, Path) else word for word in words)])


def place(path: str | Path) -> str:
    """Return a path as a command line takes it for one: a first dash would make it an option, and None is no value.

    >>> place("-my.txt"), place("runs/-a"), place("None")
    ('./-my.txt', 'runs/-a', './None')
    """
    return f"./{path}" if str(path).startswith("-") or str(path) == "None" else str(path)


def option(name: str, value: str) -> list[str]:
    """Return the words of an option that takes text.

    >>> option("--prompt", "Once"), option("--prompt", "--bold")
    (['--prompt', 'Once'], ['--prompt=--bold'])
    """
    return [f"{name}={value}"] if value.startswith("-") else [name, value]
