"""A command line into a command's dataclass, with the help that its docstring gives."""

from __future__ import annotations

import inspect
import io
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import TextIO, TypeVar

import tyro

from cs336_lib.cli.arguments import misread, options_of
from cs336_lib.lines import laid_out, width, wrapped

Command = TypeVar("Command")
HERE = "=description="
"""Stands for the description in what the parser prints, for it would join its lines and cut its examples off."""
_COLORS = re.compile("\033\\[[0-9;]*m")
_PART = re.compile(r"\[[^\[\]]*\]")
_BOX = re.compile("[\u2500-\u257f]")


def parse(command: type[Command], name: str, arguments: Sequence[str]) -> Command:
    """Return a command's dataclass with what was asked for.

    Args:
        command: the dataclass; its docstring says what the command does, its attributes are the options.
        name: of the command, as it is typed.
        arguments: those behind the name.

    Raises:
        SystemExit: help was asked for, or an argument is wrong; what there is to say has been printed.
        ValueError: an argument is wrong, for it begins with a dash.
    """
    with printed(description(command), instead=misread(arguments, options_of(command))):
        return tyro.cli(command, prog=f"cs336 {name}", description=HERE, args=arguments)


def description(command: type) -> str:
    """Return what a command's docstring says before its attributes."""
    return (inspect.getdoc(command) or "").partition("\nAttributes:\n")[0].strip()


@contextmanager
def printed(about: str, full_help: tuple[str, str] | None = None, instead: str | None = None) -> Iterator[None]:
    """Print what the parser prints as wide as the terminal is.

    Args:
        about: the description, paragraphs and indented lines; stands where the parser prints `HERE`.
        full_help: a command that the parser names for all options, and the one that has them.
        instead: an error that tells more than the parser's own, to be raised in its place.
    """
    shown, told = _Held(sys.stdout), _Held(sys.stdout)
    columns = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = str(width())  # in a few columns the parser never ends
    try:
        with redirect_stdout(shown), redirect_stderr(told):
            yield
    except SystemExit as done:
        if not done.code or instead is None:
            raise
        told.truncate(0)
        raise ValueError(instead) from None
    finally:
        if columns is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = columns
        usage, *lines = shown.getvalue().split("\n")
        if usage.startswith("usage: "):
            parts = _PART.sub(lambda found: found[0].replace(" ", "\0"), _COLORS.sub("", usage))
            usage = wrapped(parts, later=" " * len("usage: ")).replace("\0", " ")
        sys.stdout.write("\n".join([usage, *lines]).replace(HERE, laid_out(about)))
        sys.stderr.write(_renamed(told.getvalue(), *full_help) if full_help else told.getvalue())


def words_of(box: str) -> str:
    """Return the text of a box that the parser drew, in one line."""
    return " ".join(_BOX.sub(" ", _COLORS.sub("", box)).split())


def _renamed(box: str, wrong: str, right: str) -> str:
    """Name another command in a box, which stays as wide as it is where there is room."""
    more = len(right) - len(wrong)
    return re.sub(re.escape(wrong) + f" {{0,{more}}}", right, box)


class _Held(io.StringIO):
    """What is printed, held back; it has colors and lines of boxes if the terminal behind it has."""

    def __init__(self, behind: TextIO) -> None:
        super().__init__()
        self.behind = behind

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self.behind.encoding

    def isatty(self) -> bool:
        return self.behind.isatty()
