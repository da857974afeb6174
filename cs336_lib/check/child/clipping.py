"""What clipping has made of gradients, and the mistakes that it comes of."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch

# Only one question has more than one number in its gradients: in the others the norm is that number, by whatever
# formula, so that they are about what they say. A larger eps than the handout's is a question of its own as well.
ROUGHLY = 5e-3
OF_ALL = [[2.0, 1.0], [0.0, 2.0, 0.0]]
UNCHANGED = "nothing is changed: copies are scaled and dropped, or a generator of the gradients is used up by the norm"
ROOT = math.sqrt(5)  # the norm of the first gradient
BY_SCALE = {  # what the gradients of OF_ALL were multiplied by -> why
    (1 / ROOT, 1 / 2): "each gradient is clipped by its own norm",
    (1 / (ROOT + 2), 1 / (ROOT + 2)): (
        "the norms of the gradients are added up: the norm of all is the root of the sum of their squares"
    ),
    (1 / 5, 1 / 5): "the absolute values of all entries are added up (the L1 norm): the L2 norm is asked for",
    (1 / 9, 1 / 9): "the sum of the squares is taken for the norm: its root is missing",
    (1 / 2, 1 / 2): "the largest entry is taken for the norm",
    (1 / ROOT, 1 / ROOT): "the largest of the gradients' norms is taken for that of all",
    (1.0, 1.0): UNCHANGED,
}
BY_ENTRIES = "the entries are clipped one by one"
PARAMETERS = "the parameters themselves are scaled, not their gradients"


def near(got: list[list[float]], right: list[list[float]], tolerance: float = ROUGHLY) -> bool:
    """Whether there are as many numbers, and all within a distance."""
    flat, wanted = [entry for grad in got for entry in grad], [entry for grad in right for entry in grad]
    return len(flat) == len(wanted) and all(abs(a - b) < tolerance for a, b in zip(flat, wanted, strict=True))


def why_scaled(got: list[list[float]]) -> str:
    """Why the gradients of OF_ALL became these, as far as that can be told.

    >>> why_scaled([[1.0, 0.5], [0.0, 1.0, 0.0]])
    'the largest entry is taken for the norm'
    """
    if near(got, [[min(entry, 1.0) for entry in grad] for grad in OF_ALL]):
        return BY_ENTRIES
    for (one, two), why in BY_SCALE.items():
        if near(got, [[2 * one, one], [0.0, 2 * two, 0.0]]):
            return why
    return ""


def params(*grads: list[float] | None) -> list[torch.nn.Parameter]:
    """Parameters with these gradients."""
    made = []
    for grad in grads:
        p = torch.nn.Parameter(torch.zeros(len(grad) if grad else 2))
        if grad is not None:
            p.grad = torch.tensor(grad)
        made.append(p)
    return made


def in_ones(*grads: list[float] | None) -> list[torch.nn.Parameter]:
    """Parameters of ones with these gradients, so that it shows when they are changed themselves."""
    made = params(*grads)
    for p in made:
        p.data.fill_(1.0)
    return made


def moved(made: Iterable[torch.nn.Parameter]) -> bool:
    """Whether parameters of ones are other numbers now."""
    return any(not torch.equal(p.detach(), torch.ones_like(p)) for p in made)
