"""Parameters that are spread over processes (DTensors), and parameters that are not, behind the same few names.

An update that works on each number alone works on the part that a process holds: `local`. One that needs the whole
matrix gathers it first (`whole`) and keeps its part of the result (`part_of`). On plain tensors all three do nothing.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor


def local(tensor: Tensor) -> Tensor:
    """Return the part that this process holds; changing it changes the tensor."""
    return tensor.to_local() if hasattr(tensor, "to_local") else tensor


def whole(tensor: Tensor) -> Tensor:
    """Gather a tensor from all processes, each of which must call this."""
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor


def part_of(full: Tensor, like: Tensor) -> Tensor:
    """Spread a whole tensor, the same in all processes, as another is spread; nothing is sent."""
    spread: Any = like
    if not hasattr(spread, "device_mesh"):
        return full
    from torch.distributed.tensor import DTensor, Replicate

    mesh = spread.device_mesh
    everywhere = DTensor.from_local(full, mesh, [Replicate()] * mesh.ndim, run_check=False)
    return everywhere.redistribute(placements=spread.placements)
