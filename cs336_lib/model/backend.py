"""The choice between the two backends: the same parameters under the same names, run by different code.

"reference" is what the other files of this package spell out, with nothing but tensor arithmetic. "fast" (`fast.py`)
runs on torch's fused kernels. A state dict of one loads into the other, and tests hold their outputs and gradients
together.
"""

from __future__ import annotations

from typing import NamedTuple, get_args

from cs336_lib.model.attention import MultiHeadSelfAttention
from cs336_lib.model.config import Backend
from cs336_lib.model.ffn import SiLUFeedForward, SwiGLU
from cs336_lib.model.layers import Embedding, Linear, RMSNorm
from cs336_lib.naming import check_choice


class Kernels(NamedTuple):
    """The classes a model is built from."""

    linear: type[Linear]
    embedding: type[Embedding]
    norm: type[RMSNorm]
    attention: type[MultiHeadSelfAttention]
    swiglu: type[SwiGLU]
    silu_feed_forward: type[SiLUFeedForward]


REFERENCE = Kernels(Linear, Embedding, RMSNorm, MultiHeadSelfAttention, SwiGLU, SiLUFeedForward)


def kernels(backend: Backend) -> Kernels:
    """Return the classes of a backend.

    Raises:
        ValueError: there is no such backend.

    >>> kernels("reference").norm.__name__, kernels("fast").norm.__name__
    ('RMSNorm', 'FastRMSNorm')
    """
    check_choice("backend", backend, get_args(Backend))
    if backend == "reference":
        return REFERENCE
    from cs336_lib.model import fast  # the reference model runs without it

    return Kernels(
        fast.FastLinear,
        fast.FastEmbedding,
        fast.FastRMSNorm,
        fast.FastSelfAttention,
        fast.FastSwiGLU,
        fast.FastSiLUFeedForward,
    )
