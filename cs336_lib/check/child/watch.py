"""Look at modules as they leave their own __init__, before an adapter loads weights into them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

import torch
from torch import nn


@dataclass
class Built:
    """A module at the end of its construction.

    Attributes:
        kind: its class's name.
        parameters: name -> copy, as they were then, of those that are trained and have numbers.
    """

    kind: str
    parameters: dict[str, torch.Tensor]


@contextmanager
def unfilled_memory_shows() -> Iterator[None]:
    """Make torch.empty hold NaN instead of whatever was in memory, so that what is never filled can be seen."""
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = True  # type: ignore[attr-defined]
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])


def modules_built(call: Callable[[], Any]) -> list[Built]:
    """Call something and list the modules that were constructed by it, in the order in which they were ready.

    Every class in between, from nn.Module's own __init__ to the last subclass, returns once; the last return counts. An
    error that comes after a module was ready is another question's.
    """
    found: dict[int, tuple[nn.Module, Built]] = {}

    def look(frame: FrameType, event: str, _: object) -> None:
        if event != "return" or frame.f_code.co_name != "__init__":
            return
        module = frame.f_locals.get("self")
        if not isinstance(module, nn.Module) or "_parameters" not in module.__dict__:
            return
        try:
            # What is never trained is a table, and what is on the device meta has no numbers.
            seen = {name: p for name, p in module.named_parameters() if p.requires_grad and not p.is_meta}
            copies = {name: p.detach().clone() for name, p in seen.items()}
        except Exception:
            return
        found.pop(id(module), None)
        found[id(module)] = module, Built(type(module).__name__, copies)

    before = sys.getprofile()
    with unfilled_memory_shows():
        sys.setprofile(look)
        try:
            call()
        except Exception:
            if not found:
                raise
        finally:
            sys.setprofile(before)
    return [built for _, built in found.values()]


@contextmanager
def module_that_runs() -> Iterator[list[tuple[nn.Module, Any]]]:
    """List the modules whose forward ends inside the block; the last one is the outermost."""
    ran: list[tuple[nn.Module, Any]] = []

    def note(module: nn.Module, _: Any, output: Any) -> None:
        ran.append((module, output))

    handle = nn.modules.module.register_module_forward_hook(note)
    try:
        yield ran
    finally:
        handle.remove()


@dataclass
class Ran:
    """What a call of an adapter ran.

    Attributes:
        answer: what came.
        whole: the module whose forward pass was the outermost of all, and took the input.
        others: all other modules that ran.
    """

    answer: Any
    whole: nn.Module
    others: list[nn.Module]

    def parameters(self) -> int:
        """How many numbers the parameters of the outermost module hold, which are what an optimizer is given."""
        return sum(p.numel() for p in self.whole.parameters())

    def unknown(self) -> list[nn.Module]:
        """Modules with parameters that ran, and that the outermost does not know as its own."""
        known = set(self.whole.modules())
        return [module for module in self.others if module not in known and any(True for _ in module.parameters())]


def whole_that_runs(call: Callable[[], Any], given: torch.Tensor) -> Ran | None:
    """Call something; None where no module ran, or the last that ended is not the whole, as in plain functions.

    Args:
        call: the call.
        given: the input of the module that is looked for.
    """
    ran: list[tuple[nn.Module, Any]] = []
    handle = nn.modules.module.register_module_forward_hook(lambda module, args, _: ran.append((module, args)))
    try:
        answer = call()
    finally:
        handle.remove()
    if not ran:
        return None
    whole, args = ran[-1]
    others = list(dict.fromkeys(module for module, _ in ran if module is not whole))
    tensors = [arg for arg in args if isinstance(arg, torch.Tensor)]
    if tensors:
        is_whole = any(t.shape == given.shape and t.is_floating_point() == given.is_floating_point() for t in tensors)
    else:  # called by keyword, which this hook does not see: the whole is what all others are parts of
        is_whole = {*others} <= {*whole.modules()}
    return Ran(answer, whole, others) if is_whole else None
