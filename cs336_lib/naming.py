"""What errors say of names that are not known and of numbers that are none, or out of range."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

LARGEST = 2**63 - 1
"""What the libraries below take for a whole number."""


def did_you_mean(name: object, allowed: Iterable[str]) -> str:
    """Return a hint to put behind a mistyped name, nothing if no allowed one is near.

    >>> did_you_mean("adamW", ["adamw", "sgd"]), did_you_mean("ad", ["adamw"]), did_you_mean("x", ["adamw"])
    (" (did you mean 'adamw'?)", " (did you mean 'adamw'?)", '')
    """
    given, known = str(name), list(allowed)
    near = get_close_matches(given, known, n=1) or [one for one in known if len(given) > 1 and one.startswith(given)]
    return f" (did you mean {near[0]!r}?)" if near else ""


def reject_unknown(keys: Iterable[object], allowed: Iterable[str]) -> None:
    """Raise ValueError for the first key that is not allowed; it names the nearest one and all that are.

    >>> reject_unknown(["learning_rate"], ["lr", "steps"])
    Traceback (most recent call last):
    ValueError: unknown key 'learning_rate'; allowed: lr, steps
    """
    allowed = list(allowed)
    for key in keys:
        if key not in allowed:
            raise ValueError(f"unknown key {key!r}{did_you_mean(key, allowed)}; allowed: {', '.join(allowed)}")


def check_whole(name: str, value: Any, least: int = 0, most: int = LARGEST) -> int:
    """Return a whole number, numpy's included, if it is one and in its range.

    Raises:
        TypeError: it is none; True and False are none.
        ValueError: it is out of its range.

    >>> check_whole("windows", 3)
    3
    >>> check_whole("batch_size", 0, least=1)
    Traceback (most recent call last):
    ValueError: batch_size is 0; it must be 1 or more
    """
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{name} must be a whole number, got {value!r} of type {type(value).__name__}")
    number = int(value.__index__())
    if number < least:
        raise ValueError(f"{name} is {number}; it must be {least} or more")
    if number > most:
        raise ValueError(f"{name} is {number}; it must be {most} or less")
    return number
