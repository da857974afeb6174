"""What an error says of a name that is not known: the nearest one, and all that are."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(name: object, allowed: Iterable[str]) -> str:
    """Return a hint to put behind a mistyped name, nothing if no allowed one is near.

    >>> did_you_mean("adamW", ["adamw", "sgd"]), did_you_mean("x", ["adamw"])
    (" (did you mean 'adamw'?)", '')
    """
    near = get_close_matches(str(name), list(allowed), n=1)
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
