"""Arguments that the parser would take for something else."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence


def with_texts(arguments: Sequence[str], command: type, *options: str) -> list[str]:
    """Join options whose value is text with values that begin with a dash, which the parser takes for options.

    Args:
        arguments: of the command line.
        command: the dataclass of the command, whose fields are its options.
        options: those that take text.

    >>> @dataclasses.dataclass
    ... class Say:
    ...     prompt: str
    ...     seed: int
    >>> with_texts(["--prompt", "--bold", "--seed", "1"], Say, "--prompt")
    ['--prompt=--bold', '--seed', '1']
    """
    known = {f"--{field.name.replace('_', '-')}" for field in dataclasses.fields(command)} | {"--help", "-h"}
    joined: list[str] = []
    left = list(arguments)
    while left:
        argument = left.pop(0)
        if argument in options and left and left[0].startswith("-") and left[0].split("=")[0] not in known:
            argument = f"{argument}={left.pop(0)}"
        joined.append(argument)
    return joined
