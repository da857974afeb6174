"""Numbers of numpy and torch as Python's own, for files that are read without either, or an error that says where.

`number` is for one value, `json_ready` for all that a file of JSON is to hold, `whole_ids` for rows of token ids.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from cs336_lib.naming import unwrapped


def number(value: Any) -> Any:
    """Return Python's number for one of numpy's, or for an array or tensor without dimensions; all else as it is.

    >>> number(np.float32(0.5)), number(np.array(3)), number(np.bool_(True)), number("x")
    (0.5, 3, True, 'x')
    """
    value = unwrapped(value)
    return float(value) if isinstance(value, np.floating) else value  # item() leaves numpy's longest as it is


def check_number(name: str, value: Any) -> Any:
    """Return an int or a float, numpy's included, as Python's own.

    Raises:
        TypeError: it is none; True and False are none.
    """
    found = number(value)
    if isinstance(found, bool) or not isinstance(found, int | float):
        raise TypeError(f"{name} must be a number, got {value!r}")
    return float(found) if isinstance(found, float) else int(found)


def check_flag(name: str, value: Any) -> bool:
    """Return True or False, numpy's included, as Python's own.

    Raises:
        TypeError: it is neither; a word such as "False" would count as True.

    >>> check_flag("nesterov", np.bool_(False))
    False
    """
    found = number(value)
    if not isinstance(found, bool):
        raise TypeError(f"{name} must be True or False, got {value!r}")
    return found


def said(value: object) -> str:
    """Return a value and its type for an error: one short line, whatever it is.

    >>> said(np.zeros((2, 2)))
    'array([[0., 0.], [0., 0.]]) of type ndarray'
    """
    return f"{' '.join(repr(value).split()):.60} of type {type(value).__name__}"


def json_ready(value: Any, where: str, *, strict: bool = False) -> Any:
    """Return a value as JSON gives it back: numbers as Python's, keys as text, tuples as lists.

    Args:
        value: numbers, text, None, and lists and dicts of them, of any depth.
        where: names the value in an error.
        strict: write nan and inf, which JSON does not have, as strings.

    Raises:
        TypeError: it holds something that JSON can't; the error says where.

    >>> json_ready({"lr": np.float32(0.5), "at": (1, np.int64(2))}, "extra")
    {'lr': 0.5, 'at': [1, 2]}
    >>> json_ready({"a": [1, {2}]}, "extra")
    Traceback (most recent call last):
    TypeError: extra.a[1] is {2} of type set, which JSON can't hold; give numbers, text, lists or dicts of them
    """
    value = number(value)
    if isinstance(value, float):
        return str(float(value)) if strict and not math.isfinite(value) else float(value)
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, Mapping):
        named = ((_key(key, where), inner) for key, inner in value.items())
        return {name: json_ready(inner, f"{where}.{name}", strict=strict) for name, inner in named}
    if isinstance(value, list | tuple):
        return [json_ready(inner, f"{where}[{place}]", strict=strict) for place, inner in enumerate(value)]
    raise TypeError(f"{where} is {said(value)}, which JSON can't hold; give numbers, text, lists or dicts of them")


def _key(key: Any, where: str) -> str:
    key = number(key)
    if isinstance(key, bool) or not isinstance(key, str | int):
        raise TypeError(f"{where} has the key {said(key)}, which JSON can't hold; its keys are text")
    return str(key)


def whole_ids(ids: Any, what: str) -> np.ndarray:
    """Return token ids as an array of whole numbers, of the shape they have: nothing is rounded to make it so.

    Args:
        ids: an array, a tensor, a list, or anything else that gives numbers.
        what: names the ids in an error.

    Raises:
        TypeError: they are no whole numbers.

    >>> whole_ids([3, 4], "the ids").tolist(), len(whole_ids(iter([]), "the ids"))
    ([3, 4], 0)
    >>> whole_ids([1.5], "the ids")
    Traceback (most recent call last):
    TypeError: the ids must be whole numbers, got float64 of shape (1,)
    """
    if hasattr(ids, "detach"):  # a tensor, wherever it is
        ids = ids.detach().cpu()
    elif not hasattr(ids, "__array__"):
        if isinstance(ids, str | bytes) or not isinstance(ids, Iterable):
            raise TypeError(f"{what} must be a row of whole numbers, got {said(ids)}")
        ids = list(ids)
    try:
        found = np.asarray(ids)
    except ValueError:  # rows of unequal length
        raise TypeError(f"{what} must be a row of whole numbers, got rows of unequal length") from None
    if found.size == 0:
        return found.astype(np.int64)
    if found.dtype.kind not in "iu":
        raise TypeError(f"{what} must be whole numbers, got {found.dtype} of shape {found.shape}")
    return found
