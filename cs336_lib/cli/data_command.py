"""`cs336 data list | get NAME | peek NAME`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import tyro


@dataclass(frozen=True)
class List:
    """List the texts that have names."""


@dataclass(frozen=True)
class Get:
    """Fetch a text, or make it, and print where it lies.

    Attributes:
        name: "tales", "tinystories", "owt", or a path.
        size_bytes: how much of tales to make; 20 MB when left out.
    """

    name: tyro.conf.Positional[str]
    size_bytes: int | None = None


@dataclass(frozen=True)
class Peek:
    """Print the first documents of a text.

    Attributes:
        name: "tales", "tinystories", "owt", or a path.
        count: how many.
        split: "train" or "valid".
    """

    name: tyro.conf.Positional[str]
    count: int = 3
    split: str = "valid"


Command = (
    Annotated[List, tyro.conf.subcommand("list")]
    | Annotated[Get, tyro.conf.subcommand("get")]
    | Annotated[Peek, tyro.conf.subcommand("peek")]
)


def run(arguments: Sequence[str]) -> int:
    """Run the command."""
    asked = tyro.cli(
        Command,
        prog="cs336 data",
        description="Texts to train on. tales is built in and needs no network.",
        args=arguments,
    )
    from cs336_lib.data import corpora

    if isinstance(asked, List):
        for known in corpora.available():
            size = f"{known.train_bytes / 1e6:,.0f} MB" if known.train_bytes else "any size"
            print(f"{known.name:<12} {size:>12}   {known.about} ({known.source})")
    elif isinstance(asked, Get):
        found = corpora.get(asked.name, size_bytes=asked.size_bytes, progress=True)
        print(f"train {found.train}\nvalid {found.valid or 'none'}")
    else:
        print("\n---\n".join(corpora.peek(asked.name, asked.count, split=asked.split)))
    return 0
