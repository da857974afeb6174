"""Values as short text, and where two of them differ."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import zip_longest
from typing import Any

import numpy as np
import torch

LONG = 300  # characters


def show(value: Any, length: int = LONG, *, typed: bool = True) -> str:
    """Return a value as a person would write it, cut to a length.

    A right answer is shown without its type (`typed=False`): it is computed in float64, which is not what is asked.

    >>> show(torch.tensor([[0.5, 1.0]]))
    '[[0.5, 1]]'
    >>> show([(b"a", b"b")]), show(torch.zeros(3, 40))
    ("[(b'a', b'b')]", 'a tensor of shape (3, 40), float32')
    >>> show([torch.zeros(3, 40)], typed=False)
    '[a tensor of shape (3, 40)]'
    """
    if isinstance(value, torch.Tensor):
        if value.numel() <= 12:
            return show(value.detach().cpu().tolist(), length)
        kind = f", {str(value.dtype).removeprefix('torch.')}" if typed else ""
        return f"a tensor of shape {tuple(value.shape)}{kind}"
    if isinstance(value, np.ndarray):
        if value.size <= 12:
            return show(value.tolist(), length)
        return f"an array of shape {value.shape}" + (f", {value.dtype}" if typed else "")
    text = _numbers(value, typed)
    return text if len(text) <= length else f"{text[: length - 4]} ..."


def _numbers(value: Any, typed: bool) -> str:
    if isinstance(value, bool) or value is None:
        return str(value)
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list):
        return "[" + ", ".join(_numbers(item, typed) for item in value) + "]"
    if isinstance(value, tuple):
        return "(" + ", ".join(_numbers(item, typed) for item in value) + ("," if len(value) == 1 else "") + ")"
    if isinstance(value, torch.Tensor | np.ndarray | np.generic):
        return show(value, typed=typed) if not isinstance(value, np.generic) else _numbers(value.item(), typed)
    return repr(value)


def difference(got: Any, expected: Any, tolerance: float) -> str:
    """Return "" if an answer is the expected one, else what came and where it first differs.

    >>> difference([1, 2, 4], [1, 2, 3], 0)
    '[1, 2, 4]'
    >>> difference(torch.tensor([1.0, 3.0]), torch.tensor([1.0, 2.0]), 1e-4)
    '[1, 3]'
    """
    if isinstance(expected, torch.Tensor):
        return _tensors(got, expected, tolerance)
    if isinstance(expected, float):
        try:
            number = float(got)
        except (TypeError, ValueError):
            return show(got)
        near = number == expected or abs(number - expected) <= tolerance * (1 + abs(expected))
        return "" if near else f"{number:.8g}"
    if isinstance(got, torch.Tensor | np.ndarray | np.generic) and isinstance(expected, int | list):
        got = got.tolist()
    if isinstance(expected, list) and isinstance(got, tuple):
        got = list(got)
    if isinstance(expected, list) and expected and isinstance(expected[0], tuple) and isinstance(got, list):
        got = [tuple(item) if isinstance(item, list) else item for item in got]
    if type(got) in (int, bool, str, bytes, list, tuple) or isinstance(got, Mapping):
        if got == expected:
            return ""
    elif got is expected or (got is not None and got == expected):
        return ""
    if isinstance(expected, list) and isinstance(got, list) and len(show(got)) >= LONG:
        at = next(i for i, (a, b) in enumerate(zip_longest(got, expected, fillvalue=...)) if a != b)
        some = f"{len(got)} items where {len(expected)} are right; the first that differs is number {at + 1}: "
        mine = show(got[at], 80) if at < len(got) else "nothing"
        right = show(expected[at], 80, typed=False) if at < len(expected) else "nothing"
        return f"{some}{mine} instead of {right}"
    return show(got)


def _tensors(got: Any, expected: torch.Tensor, tolerance: float) -> str:
    if not isinstance(got, torch.Tensor):
        try:
            got = torch.as_tensor(np.asarray(got))
        except (TypeError, ValueError, RuntimeError):
            return f"{show(got)}, a {type(got).__name__} and no tensor"
    got, expected = got.detach().cpu(), expected.detach().cpu()
    if got.shape != expected.shape:
        return f"shape {tuple(got.shape)} instead of {tuple(expected.shape)}"
    mine, right = got.double(), expected.double()
    wrong = ~((mine - right).abs() <= tolerance * (1 + right.abs())) & (mine != right)
    if not wrong.any():
        return ""
    if mine.numel() <= 12:
        return show(got)
    if mine.isnan().any():
        return f"{int(mine.isnan().sum())} of {mine.numel()} numbers are NaN"
    at = tuple(int(i) for i in wrong.nonzero()[0])
    most = (mine - right).abs().nan_to_num(math.inf).max().item()
    return (
        f"{int(wrong.sum())} of {mine.numel()} numbers differ, by up to {most:.3g}; "
        f"the first, at {list(at)}, is {mine[at].item():.5g} instead of {right[at].item():.5g}"
    )


def printable(text: str) -> str:
    r"""Escape what a terminal or a file would choke on: control characters, halves of surrogate pairs.

    >>> printable("a\x1b[31m\ud800 b")
    'a\\x1b[31m\\ud800 b'
    """
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)
