"""Arguments that the parser would take for something else."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import get_type_hints

from cs336_lib.typed import place


def with_texts(arguments: Sequence[str], command: type, *options: str) -> list[str]:
    """Join options whose value is text with values that begin with a dash, which the parser takes for options.

    Args:
        arguments: of the command line.
        command: the dataclass of the command, whose fields are its options.
        options: those that take text.

    >>> from dataclasses import dataclass
    >>> @dataclass
    ... class Say:
    ...     prompt: str
    ...     seed: int
    >>> with_texts(["--prompt", "--bold", "--seed", "1"], Say, "--prompt")
    ['--prompt=--bold', '--seed', '1']
    """
    known = {*options_of(command), "--help", "-h"}
    joined: list[str] = []
    left = list(arguments)
    while left:
        argument = left.pop(0)
        if argument in options and left and left[0].startswith("-") and left[0].split("=")[0] not in known:
            argument = f"{argument}={left.pop(0)}"
        joined.append(argument)
    return joined


def options_of(command: type, prefix: str = "") -> dict[str, bool]:
    """Return the options that a dataclass has, and whether a value follows each.

    Args:
        command: the dataclass.
        prefix: what stands before the names of its fields.

    >>> from dataclasses import dataclass
    >>> @dataclass
    ... class Say:
    ...     prompt: str
    ...     as_bold: bool
    >>> options_of(Say)
    {'--prompt': True, '--as-bold': False}
    """
    found = {}
    for name, kind in get_type_hints(command, include_extras=True).items():
        own = [given for more in getattr(kind, "__metadata__", ()) if (given := getattr(more, "name", None))]
        plain = getattr(kind, "__origin__", kind) if hasattr(kind, "__metadata__") else kind
        found[f"--{prefix}{(own or [name])[0].replace('_', '-')}"] = plain is not bool
    return found


def misread(arguments: Sequence[str], options: Mapping[str, bool]) -> str | None:
    """Return what to say of a value that the parser takes for an option, for it begins with a dash; None without one.

    Two dashes are taken for a mistyped option, unless there is a file of that name.

    Args:
        arguments: of the command line.
        options: those of the command, and whether a value follows each.

    >>> misread(["-my.txt", "--out", "o"], {"--out": True})
    "'-my.txt' begins with a dash and so is read as an option; a file of this name is written ./-my.txt"
    >>> misread(["my.txt", "--out", "-o"], {"--out": True})
    "'-o' begins with a dash and so is read as an option; as the value of --out it is written --out=-o"
    """
    for before, word in zip(["", *arguments], arguments, strict=False):
        is_option = len(word) < 2 or word[0] != "-" or word == "-h" or word.split("=")[0].replace("_", "-") in options
        if is_option or not (os.path.lexists(word) or (word[1] != "-" and not _is_number(word))):
            continue
        option = before.replace("_", "-")
        if option.startswith("--") and "=" not in option and option.replace("--no-", "--", 1) not in options:
            return None  # it is none of the command's, as the parser will say
        right = f"a file of this name is written {place(word)}"
        if options.get(option):
            right = f"as the value of {option} it is written {option}={word}"
        return f"{word!r} begins with a dash and so is read as an option; {right}"
    return None


def _is_number(word: str) -> bool:
    with suppress(ValueError):
        float(word)
        return True
    return False
