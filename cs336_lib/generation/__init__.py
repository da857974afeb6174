"""Decoding with a key-value cache, and samplers (chapter 7).

    sampling    `SamplingConfig`: temperature, top-k, top-p, repetition penalty; scores to a token
    decoding    token after token, with a cache or without
    text        `generate` and `stream`: text in, text out

The names are imported on first use.
"""

from typing import TYPE_CHECKING

from cs336_lib.doors import door

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

__getattr__, __dir__ = door(__name__, _HOMES)
