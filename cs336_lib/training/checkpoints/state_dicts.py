"""State dicts under the names of the plain model, whether it is compiled or not."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

_PREFIX = "_orig_mod."  # what torch.compile puts before each name


def plain_state_dict(model: nn.Module) -> dict[str, torch.Tensor]:
    """Return the state dict without what compilation adds to the names."""
    return {name.replace(_PREFIX, ""): value for name, value in model.state_dict().items()}


def load_plain_state_dict(model: nn.Module, state: dict[str, Any]) -> None:
    """Load a state dict of `plain_state_dict`, compiled or not.

    Raises:
        ValueError: it is of another model; says what is missing, unknown or of another shape.
    """
    names = {name.replace(_PREFIX, ""): name for name in model.state_dict()}
    missing, unknown = sorted(names.keys() - state.keys()), sorted(state.keys() - names.keys())
    if missing or unknown:
        raise ValueError(f"the checkpoint is of another model: missing {missing[:5]}, unknown {unknown[:5]}")
    try:
        model.load_state_dict({names[name]: value for name, value in state.items()})
    except RuntimeError as error:
        raise ValueError(f"the checkpoint is of another model: {str(error).splitlines()[-1].strip()}") from None
