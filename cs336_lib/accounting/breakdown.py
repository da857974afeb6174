"""What every count returns: a whole number for each component, and their total (chapter 5)."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping

from cs336_lib.model.config import ModelConfig
from cs336_lib.naming import LARGEST, real_number, whole_number


class Breakdown(Mapping[str, int]):
    """A read-only mapping from component to whole number, in the order in which data flows through the model.

    Components are `embedding`, `attention_projections`, `attention_scores`, `ffn`, `norms` and `lm_head`, as far as
    they apply; memory lists have finer names.

    Args:
        parts: component -> count.

    >>> flops = Breakdown({"ffn": 6, "lm_head": 2})
    >>> flops["ffn"], flops.total, flops.share("ffn")
    (6, 8, 0.75)
    >>> flops * 3
    Breakdown(ffn=18, lm_head=6; total=24)
    >>> flops + Breakdown({"lm_head": 1, "loss": 1})
    Breakdown(ffn=6, lm_head=3, loss=1; total=10)
    """

    def __init__(self, parts: Mapping[str, int]) -> None:
        self._parts = dict(parts)

    def __getitem__(self, component: str) -> int:
        return self._parts[component]

    def __iter__(self) -> Iterator[str]:
        return iter(self._parts)

    def __len__(self) -> int:
        return len(self._parts)

    def __add__(self, other: Mapping[str, int]) -> Breakdown:
        return Breakdown({name: self.get(name, 0) + other.get(name, 0) for name in {**self._parts, **other}})

    def __mul__(self, factor: int) -> Breakdown:
        return Breakdown({name: count * factor for name, count in self.items()})

    def __repr__(self) -> str:
        return f"Breakdown({', '.join(f'{name}={count}' for name, count in self.items())}; total={self.total})"

    @property
    def total(self) -> int:
        """The sum over all components."""
        return sum(self._parts.values())

    def share(self, component: str) -> float:
        """Return one component's part of the total, from 0 to 1; 0 for a component that does not apply."""
        return self.get(component, 0) / self.total if self.total else 0.0

    def shares(self) -> dict[str, float]:
        """Return every component's part of the total, from 0 to 1."""
        return {name: self.share(name) for name in self}


def check_count(name: str, value: int, least: int = 1) -> int:
    """Return a whole number, numpy's included, as Python's own, which has room for any count.

    Raises:
        ValueError: it is none, below `least`, or so large that floats may not hold what is counted with it; the error
            names the argument.
    """
    try:
        whole = whole_number(name, value)
    except TypeError:
        whole = least - 1
    if whole < least:
        raise ValueError(f"{name} is {value!r}; it must be a whole number, {least} or more")
    if whole > LARGEST:
        raise ValueError(f"{name} is about 2^{whole.bit_length() - 1}; it must be {LARGEST:,} or less")
    return whole


def check_amount(name: str, value: float) -> float:
    """Return a number, numpy's included, as Python's own.

    Raises:
        TypeError: it is none.
        ValueError: it is negative, infinite or NaN.
    """
    amount = real_number(name, value)
    if not 0 <= amount <= sys.float_info.max:
        raise ValueError(f"{name} is {amount}; it must be 0 or more, and finite as a float")
    return amount


def check_config(cfg: ModelConfig) -> None:
    """Raise TypeError if something else is given for a model's config, such as a preset's name."""
    if not isinstance(cfg, ModelConfig):
        raise TypeError(f"cfg must be a ModelConfig, got {cfg!r:.60}; by its name it is ModelConfig.preset(NAME)")


def check_sizes(cfg: ModelConfig, context_length: int | None, batch_size: int) -> tuple[int, int]:
    """Return the sequence length S, the model's own context length when None, and the batch size B.

    S may exceed what the model was made for: costs at other lengths are what one wants to know before making it.

    Raises:
        ValueError: one of them is not a positive whole number.

    >>> check_sizes(ModelConfig.preset("gpt2-xl"), None, 8)
    (1024, 8)
    """
    check_config(cfg)
    seq_len = cfg.context_length if context_length is None else context_length
    return check_count("context_length", seq_len), check_count("batch_size", batch_size)
