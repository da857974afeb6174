"""Memory of a training step, and the largest batch that fits (chapter 5).

P parameters. GB is 1e9 bytes and GiB is 2^30; whoever says "80 GB" had better say which.
"""

from __future__ import annotations

from dataclasses import dataclass

from cs336_lib.accounting.activations import (
    ActivationList,
    autograd_activations,
    check_activations,
    handout_activations,
)
from cs336_lib.accounting.breakdown import Breakdown, check_count
from cs336_lib.accounting.parameters import parameter_count
from cs336_lib.model.config import ModelConfig

GB = 10**9
GIB = 2**30
FLOAT32 = 4


@dataclass(frozen=True)
class TrainingMemory:
    """Bytes of a training step with AdamW.

    Attributes:
        parameters: the weights.
        gradients: one number for each parameter.
        optimizer: the two moments.
        activations: what the forward pass keeps, by component.
    """

    parameters: int
    gradients: int
    optimizer: int
    activations: Breakdown

    @property
    def fixed(self) -> int:
        """Bytes of parameters, gradients and optimizer, which do not depend on the batch."""
        return self.parameters + self.gradients + self.optimizer

    @property
    def total(self) -> int:
        """All bytes."""
        return self.fixed + self.activations.total


def training_memory(
    cfg: ModelConfig,
    batch_size: int = 1,
    context_length: int | None = None,
    *,
    activations: ActivationList = "handout",
    edition: str | int | None = None,
) -> TrainingMemory:
    """Count the bytes of a training step with AdamW, everything in float32.

    Parameters, gradients and the optimizer's two moments take 4 P numbers of 4 bytes.

    Args:
        cfg: the model.
        batch_size: B.
        context_length: S; the model's context length when None.
        activations: "handout" counts by the assignment's component list (`handout_activations`), "autograd" what the
            model really keeps on its backend (`autograd_activations`).
        edition: whose component list, "2025" or "2026"; when None, the one that belongs to the model.

    Returns:
        Bytes by purpose.

    Raises:
        ValueError: a size is not a positive whole number, or `activations` or `edition` is unknown.

    Source: handout, problem (adamw_accounting) (a), in 2025 (adamwAccounting).

    >>> memory = training_memory(ModelConfig.preset("gpt2-xl"), batch_size=2)
    >>> memory.fixed, memory.activations.total
    (34032921600, 36068671488)
    """
    check_activations(activations)
    P = parameter_count(cfg).total
    kept = (
        handout_activations(cfg, context_length, batch_size, edition=edition) * FLOAT32
        if activations == "handout"
        else autograd_activations(cfg, context_length, batch_size)
    )
    return TrainingMemory(FLOAT32 * P, FLOAT32 * P, 2 * FLOAT32 * P, kept)


def max_batch_size(
    cfg: ModelConfig,
    memory_bytes: int,
    context_length: int | None = None,
    *,
    activations: ActivationList = "handout",
    edition: str | int | None = None,
) -> int:
    """Return the largest batch whose training step fits, 0 if not even one sequence does.

    A real device holds less than its label says: the CUDA context, the allocator's rounding and the temporaries of the
    largest operation want their share.

    Args:
        cfg: the model.
        memory_bytes: bytes of the device, such as `80 * GB` or `80 * GIB`.
        context_length: S; the model's context length when None.
        activations: which list, as in `training_memory`.
        edition: whose component list, likewise.

    Returns:
        B, sequences.

    Raises:
        ValueError: a size is not a positive whole number, or `activations` or `edition` is unknown.

    Source: handout, problem (adamw_accounting) (b), in 2025 (adamwAccounting).

    >>> xl = ModelConfig.preset("gpt2-xl")
    >>> max_batch_size(xl, 80 * GB), max_batch_size(xl, 80 * GIB)
    (2, 2)
    >>> xl = ModelConfig.preset("gpt2-xl-2026")
    >>> max_batch_size(xl, 80 * GB), max_batch_size(xl, 80 * GIB)
    (3, 3)
    """
    memory_bytes = check_count("memory_bytes", memory_bytes)
    one, two = (
        training_memory(cfg, batch, context_length, activations=activations, edition=edition).total for batch in (1, 2)
    )
    each = two - one  # bytes grow by the same for each sequence; masks and such are the same for any batch
    return max(0, (memory_bytes - (one - each)) // each)
