"""Which of torch's attention kernels a run takes on CUDA, and why (chapter 6).

`F.scaled_dot_product_attention` is four kernels behind one name. Alone, forward and backward on an H100, cuDNN's takes
an eighth less time than flash attention where heads are 64 or 128 wide; where they are 32 wide, as in the assignment's
small model, the two are level (chapter 5 has the record).
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch

from cs336_lib.training.config import AttentionName

FROM_CUDNN = (9, 0)
"""The lowest compute capability on which cuDNN's kernel comes first."""


def choose_attention(device: torch.device, wanted: AttentionName = "auto") -> tuple[tuple[str, ...], str]:
    """Return the kernels in the order in which they are tried, empty for torch's own order, and why.

    >>> choose_attention(torch.device("cpu"))
    ((), 'the only kernel that torch has for a CPU')
    """
    if device.type != "cuda":
        return (), f"the only kernel that torch has for {'a CPU' if device.type == 'cpu' else device.type}"
    return decide(torch.cuda.get_device_capability(device), wanted)


def decide(capability: tuple[int, int], wanted: AttentionName = "auto") -> tuple[tuple[str, ...], str]:
    """Choose for a CUDA device by facts alone; `choose_attention` looks them up.

    >>> decide((9, 0))
    (('cudnn', 'flash', 'efficient', 'math'), 'cudnn: compute capability 9.0')
    >>> decide((7, 5))
    ((), "torch's own order: compute capability 7.5")
    >>> decide((7, 5), "math")[0][0]
    'math'
    """
    order = ("cudnn", "flash", "efficient", "math")
    if wanted != "auto":
        return (wanted, *(name for name in order if name != wanted)), f"{wanted}: asked for"
    at = f"compute capability {capability[0]}.{capability[1]}"
    return (order, f"cudnn: {at}") if capability >= FROM_CUDNN else ((), f"torch's own order: {at}")


def attending(kernels: tuple[str, ...]) -> AbstractContextManager[object]:
    """Return the context in which attention tries these kernels in this order.

    A kernel that does not serve the types or shapes at hand (cuDNN and flash know half precision only) is passed over.
    """
    if not kernels:
        return nullcontext()
    from torch.nn.attention import SDPBackend, sdpa_kernel

    named = {
        "cudnn": SDPBackend.CUDNN_ATTENTION,
        "flash": SDPBackend.FLASH_ATTENTION,
        "efficient": SDPBackend.EFFICIENT_ATTENTION,
        "math": SDPBackend.MATH,
    }
    return sdpa_kernel([named[name] for name in kernels], set_priority=True)
