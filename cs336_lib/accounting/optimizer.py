"""What one AdamW step costs, operation by operation (chapter 5)."""

from __future__ import annotations

from cs336_lib.accounting.parameters import parameter_count
from cs336_lib.model.config import ModelConfig

# Line of the handout's algorithm 1 -> its operations on each parameter. What is computed once for all parameters
# (alpha_t, 1 - beta, alpha lambda) costs nothing here. The decay stands first in 2026 and last in 2025, with the same
# operations.
ADAMW_OPERATIONS: dict[str, tuple[str, ...]] = {
    "theta = theta - alpha lambda theta": ("multiply", "subtract"),
    "m = beta1 m + (1 - beta1) g": ("multiply", "multiply", "add"),
    "v = beta2 v + (1 - beta2) g^2": ("multiply", "square", "multiply", "add"),
    "theta = theta - alpha_t m / (sqrt(v) + eps)": ("square root", "add", "divide", "multiply", "subtract"),
}


def adamw_flops(cfg: ModelConfig) -> int:
    """Count the FLOPs of one AdamW step: 14 for each parameter (2 + 3 + 4 + 5, see `ADAMW_OPERATIONS`).

    Roots and divisions count as one operation. `cs336_lib.optim.AdamW` needs 13, since it folds the decay into
    theta = (1 - alpha lambda) theta; a code that spells out m / (1 - beta1^t) and v / (1 - beta2^t) needs 15.

    Args:
        cfg: the model.

    Returns:
        FLOPs of one step, whatever the batch.

    Source: handout, problem (adamw_accounting) (c), in 2025 (adamwAccounting).

    >>> adamw_flops(ModelConfig.preset("gpt2-xl"))
    29778806400
    """
    return parameter_count(cfg).total * sum(map(len, ADAMW_OPERATIONS.values()))
