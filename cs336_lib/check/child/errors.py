"""What an error tells of its cause: patterns of "Type: message", and who has raised it."""

from __future__ import annotations

import dis
import re
import sysconfig
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

import numpy as np
import torch

HERE = str(Path(__file__).resolve().parent)
LIBRARIES = tuple(str(Path(str(module.__file__)).parent) for module in (torch, np))
STANDARD = sysconfig.get_path("stdlib")

# What errors look like that usual causes explain; a question names those that its own cause makes.
SHAPES = (  # that indices are of a type which can't index is no matter of shapes
    r"(RuntimeError|EinopsError|ValueError|IndexError): (?!.*(indices must be|scalar types))(?:.*)"
    r"([Ss]hape|[Ss]ize|[Dd]im(ension)?s?\b|broadcast|einsum|einsubs|subscript|to unpack|indices|expanded|permute)"
)
EMPTY = (
    r"ValueError: (max|min)\(\)|IndexError|StopIteration|ZeroDivisionError|.*empty|KeyError: \(\)|"
    r"ValueError: not enough values"
)
NONE = r"(TypeError|AttributeError|RuntimeError|ValueError): .*NoneType"
ZERO = r"ZeroDivisionError|.*division by zero"
NO_GRAD = r"RuntimeError: .*does not require grad"
TYPES = r"RuntimeError: .*(dtype|scalar type|same type|overflow|BFloat16|Half)"
NOT_UTF8 = r"UnicodeDecodeError"

REFUSED = "your code refuses this input on purpose, by a raise or an assert"
SIGNATURE = "the adapter does not take the arguments of the official tests/adapters.py"
NOTHING = "{} returned None: is a return missing?"
NONE_CAME = "None in place of an answer"


def frames(error: BaseException) -> Iterable[TracebackType]:
    """The steps of its traceback, the outermost first; an endless recursion has many."""
    step = error.__traceback__
    while step is not None:
        yield step
        step = step.tb_next


def file_of(step: TracebackType) -> str:
    """The file of the code that a step of a traceback is in."""
    return step.tb_frame.f_code.co_filename


def is_library(file: str) -> bool:
    """Whether a file belongs to torch, numpy or Python itself, so that no line of it is the reader's."""
    return file.startswith((*LIBRARIES, "<frozen ")) or (file.startswith(STANDARD) and "-packages" not in file)


def raised_by_python(error: BaseException) -> bool:
    """Whether a raise or an assert made it, and not an operation that failed."""
    *_, last = frames(error)
    return last.tb_frame.f_code.co_code[last.tb_lasti] == dis.opmap["RAISE_VARARGS"]


def own_of_the_checker(error: BaseException) -> bool:
    """Whether a line of the checker raised it, as where it calls what is no function, or counts what has no length."""
    *_, last = frames(error)
    return file_of(last).startswith(HERE)


def refused(error: BaseException) -> bool:
    """Whether the code under test raised it on purpose."""
    *_, last = frames(error)
    file = file_of(last)
    by_mistake = isinstance(error, TypeError) and "must derive from BaseException" in str(error)
    reader = not file.startswith(HERE) and not is_library(file) and "-packages" not in file
    return reader and not by_mistake and raised_by_python(error)


def wrong_call(error: BaseException, names: Iterable[str]) -> bool:
    """Whether the checker's own call of one of some functions does not fit its parameters."""
    found = re.match(r"([\w.<>]+)\(\) (missing|takes|got an unexpected|got multiple)", str(error))
    if not isinstance(error, TypeError) or found is None or found[1] not in names:
        return False
    return all(file_of(step).startswith(HERE) or is_library(file_of(step)) for step in frames(error))
