"""How many rows the head has while a step computes, and why (chapter 6).

Tensor cores read rows that begin at multiples of 16 bytes. With GPT-2's 50,257 entries, rows of half-precision logits
do not, and on an H100 the head's product alone takes six times as long as with 50,304 (chapter 5 has the record). So
the head is given rows of zeros before it is multiplied with. The loss does not see their logits, their gradient is
dropped, and neither the parameters nor a checkpoint know of them.
"""

from __future__ import annotations

import torch
from torch import Tensor

from cs336_lib.training.config import TrainConfig
from cs336_lib.training.precision import Precision

ALIGNED = 16
"""Bytes; tensor cores are fully used where each row of a matrix begins at a multiple of it."""
MULTIPLE = 64
"""Rows of a padded head come in multiples of so many, nanoGPT's choice for GPT-2."""


def choose_head(config: TrainConfig, device: torch.device, precision: Precision) -> tuple[int, str]:
    """Return the head's rows in a step, and why: as the config says, otherwise padded where the model says it pays.

    Args:
        config: of the run.
        device: that it runs on.
        precision: what it computes with.

    >>> from cs336_lib.training.precision import choose_precision
    >>> config, cpu = TrainConfig.preset("tinystories-17m"), torch.device("cpu")
    >>> choose_head(config.replace(pad_head=True), cpu, choose_precision(cpu))
    (10048, 'padded to 10,048 rows: asked for')
    """
    entries = config.model.vocab_size
    more = _whole_blocks(entries)
    if config.pad_head is not None:
        wanted = config.pad_head and more > entries
        return (more, f"padded to {more:,} rows: asked for") if wanted else (entries, "as it is: asked for")
    cores = precision.tf32 if precision.dtype == torch.float32 else True
    if device.type != "cuda" or config.model.backend != "fast" or not cores:
        return entries, "as it is: only the fast backend on tensor cores gains by more rows"
    return decide(entries, precision.dtype.itemsize)


def decide(entries: int, itemsize: int) -> tuple[int, str]:
    """Choose for tensor cores by facts alone; `choose_head` looks them up.

    Args:
        entries: V, of the vocabulary.
        itemsize: bytes of a number of the products.

    >>> decide(50_257, 2)
    (50304, 'padded to 50,304 rows: 50,257 logits of 2 bytes are no multiple of 16')
    >>> decide(10_000, 2)
    (10000, 'as it is: 10,000 logits of 2 bytes are a multiple of 16')
    """
    row = f"{entries:,} logits of {itemsize} bytes are"
    if entries * itemsize % ALIGNED == 0:
        return entries, f"as it is: {row} a multiple of {ALIGNED}"
    rows = _whole_blocks(entries)
    return rows, f"padded to {rows:,} rows: {row} no multiple of {ALIGNED}"


def _whole_blocks(entries: int) -> int:
    """How many rows a head has whose entries are padded to a multiple of `MULTIPLE`."""
    return -(-entries // MULTIPLE) * MULTIPLE


def padded(head_weight: Tensor, rows: int) -> Tensor:
    """Return a head, (V, D), with rows of zeros below it, (rows, D).

    >>> padded(torch.ones(1, 2), 3).tolist()
    [[1.0, 1.0], [0.0, 0.0], [0.0, 0.0]]
    """
    V, D = head_weight.shape
    return torch.cat((head_weight, head_weight.new_zeros(rows - V, D)))
