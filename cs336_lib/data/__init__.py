"""Corpora, token files and batches (chapter 3).

    tales      an endless book of small stories whose exact entropy is known
    corpora    `get(name | path)`: tales, TinyStories, OpenWebText
    encode     `encode_file`: text to token file, parallel, resumable
    tokens     `TokenFile`: ids on disk with a header that says what they are
    batches    `sample_batch` and the epoch sampler: the only module here that imports torch

Names are loaded when they are first used, so that `cs336_lib.data.tales` needs neither torch nor numba.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cs336_lib.data import corpora, tales
    from cs336_lib.data.batches import EpochSampler, sample_batch
    from cs336_lib.data.encode import encode_file
    from cs336_lib.data.tokens import TokenFile

__all__ = ["tales", "corpora", "encode_file", "TokenFile", "sample_batch", "EpochSampler"]

_HOMES = {"encode_file": "encode", "TokenFile": "tokens", "sample_batch": "batches", "EpochSampler": "batches"}


def __getattr__(name: str) -> Any:
    if name in ("tales", "corpora"):
        return import_module(f"{__name__}.{name}")
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
