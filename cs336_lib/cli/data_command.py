"""`cs336 data list | get NAME | peek NAME`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import tyro

from cs336_lib.amounts import size as size_of
from cs336_lib.cli.parsing import HERE, parse, printed

NAME = tyro.conf.arg(metavar="NAME")
ABOUT = """Texts to train on. tales is built in and needs no network.

Examples:
  cs336 data list
  cs336 data get tales --size-bytes 5000000
  cs336 data peek tinystories --count 5

cs336 data get --help and cs336 data peek --help explain their options.
"""


@dataclass(frozen=True)
class List:
    """List the texts that have names.

    Example:
      cs336 data list
    """


@dataclass(frozen=True)
class Get:
    """Fetch a text, or make it, and print where it lies.

    Examples:
      cs336 data get tales --size-bytes 5000000
      cs336 data get tinystories

    Attributes:
        name: "tales", "tinystories", "owt", or a path.
        size_bytes: how much of tales to make; 20 MB when left out.
    """

    name: Annotated[tyro.conf.Positional[str], NAME]
    size_bytes: int | None = None


@dataclass(frozen=True)
class Peek:
    """Print the first documents of a text.

    Examples:
      cs336 data peek tales
      cs336 data peek stories.txt --count 5 --split train

    Attributes:
        name: "tales", "tinystories", "owt", or a path.
        count: how many.
        split: "train" or "valid".
    """

    name: Annotated[tyro.conf.Positional[str], NAME]
    count: int = 3
    split: str = "valid"


ACTIONS: dict[str, type[Any]] = {"list": List, "get": Get, "peek": Peek}
Command = (
    Annotated[List, tyro.conf.subcommand("list")]
    | Annotated[Get, tyro.conf.subcommand("get")]
    | Annotated[Peek, tyro.conf.subcommand("peek")]
)


def run(arguments: Sequence[str]) -> int:
    """Run the command."""
    if arguments and arguments[0] in ACTIONS:
        asked = parse(ACTIONS[arguments[0]], f"data {arguments[0]}", arguments[1:])
    else:
        with printed(ABOUT):
            asked = tyro.cli(Command, prog="cs336 data", description=HERE, args=arguments)
    from cs336_lib.data import corpora

    if isinstance(asked, List):
        for known in corpora.available():
            size = size_of(known.train_bytes) if known.train_bytes else "any size"
            print(f"{known.name:<12} {size:>9}   {known.about}\n{'':<25}{known.source}")
    elif isinstance(asked, Get):
        found = corpora.get(asked.name, size_bytes=asked.size_bytes, progress=True)
        print(f"train {found.train}\nvalid {found.valid or 'none'}")
    else:
        print("\n---\n".join(corpora.peek(asked.name, asked.count, split=asked.split)))
    return 0
