"""What errors say of names that are not known and of numbers that are none, or out of range."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from difflib import get_close_matches
from numbers import Real
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


def check_choice(name: str, value: object, allowed: Iterable[str]) -> None:
    """Raise ValueError if a word is none of those allowed.

    >>> check_choice("norm", "batch", ("pre", "post"))
    Traceback (most recent call last):
    ValueError: norm is 'batch'; allowed: 'pre', 'post'
    """
    allowed = tuple(allowed)
    if not isinstance(value, str) or value not in allowed:
        raise ValueError(f"{name} is {value!r}; allowed: {', '.join(map(repr, allowed))}")


def unwrapped(value: Any) -> Any:
    """Return Python's own value for one of numpy's, or for an array or tensor without dimensions; all else as it is."""
    return value.item() if getattr(value, "ndim", None) == 0 and hasattr(value, "item") else value


def real_number(name: str, value: Any) -> int | float:
    """Return a number, numpy's included, as Python's own.

    Raises:
        TypeError: it is none; True and False are none.
    """
    found = unwrapped(value)
    if isinstance(found, bool) or not isinstance(found, Real):
        raise TypeError(f"{name} must be a number, got {value!r} of type {type(value).__name__}")
    return int(found) if isinstance(found, int) else float(found)


def check_positive(name: str, value: Any, *, or_zero: bool = False) -> float:
    """Return a number, numpy's included, if it is one, finite and above 0.

    Raises:
        TypeError: it is none; True and False are none.
        ValueError: it is 0 (unless that is allowed), negative, infinite or NaN.

    >>> check_positive("theta", 1e4)
    10000.0
    >>> check_positive("theta", 0)
    Traceback (most recent call last):
    ValueError: theta is 0; it must be a positive number, finite as a float
    """
    number = real_number(name, value)
    if not 0 <= number <= sys.float_info.max or (number == 0 and not or_zero):
        raise ValueError(
            f"{name} is {number}; it must be {'0 or a' if or_zero else 'a'} positive number, finite as a float"
        )
    return number


def whole_number(name: str, value: Any) -> int:
    """Return a whole number, numpy's included, as Python's own.

    Raises:
        TypeError: it is none; True and False are none.
    """
    try:
        whole = None if isinstance(value, bool) else value.__index__()
    except (AttributeError, TypeError):  # arrays and tensors have the method, whatever is in them
        whole = None
    if whole is None:
        raise TypeError(f"{name} must be a whole number, got {value!r} of type {type(value).__name__}")
    return int(whole)


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
    number = whole_number(name, value)
    if number < least:
        raise ValueError(f"{name} is {number}; it must be {least} or more")
    if number > most:
        raise ValueError(f"{name} is {number}; it must be {most} or less")
    return number
