"""The doors of rooms: names that a package offers, each imported from its module on first use (PEP 562)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def door(package: str, homes: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return a package's `__getattr__` and `__dir__`, so that importing it costs nothing.

    Args:
        package: its `__name__`.
        homes: name -> module inside the package that holds it.

    >>> get, listed = door("cs336_lib.bpe", {"PAT": "cutting.pattern"})
    >>> get("PAT")[:8], "PAT" in listed()
    ("'(?:[sdm", True)
    >>> get("pat")
    Traceback (most recent call last):
    AttributeError: module 'cs336_lib.bpe' has no attribute 'pat'; it has PAT
    """

    def get(name: str) -> Any:
        """Import the module that holds `name`."""
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}; it has {', '.join(homes)}")
        value = getattr(import_module(f"{package}.{homes[name]}"), name)
        setattr(sys.modules[package], name, value)
        return value

    def listed() -> list[str]:
        return sorted({*vars(sys.modules[package]), *homes})

    return get, listed
