"""Decoding with a key-value cache, and samplers (chapter 7).

    sampling    `SamplingConfig`: temperature, top-k, top-p, repetition penalty; scores to a token
    decoding    token after token, with a cache or without
    text        `generate` and `stream`: text in, text out

The names are imported on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cs336_lib.generation.decoding import decode
    from cs336_lib.generation.sampling import SamplingConfig, distribution
    from cs336_lib.generation.text import Generation, generate, stream, training_sample

_HOMES = {
    "SamplingConfig": "sampling",
    "distribution": "sampling",
    "decode": "decoding",
    "generate": "text",
    "stream": "text",
    "Generation": "text",
    "training_sample": "text",
}

__all__ = ["generate", "stream", "Generation", "SamplingConfig", "distribution", "decode", "training_sample"]


def __getattr__(name: str) -> Any:
    """Import the module that holds `name` on its first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
