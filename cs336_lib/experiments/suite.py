"""What a comparison is, as data: a base run at each scale, and variations that change one thing in it.

A comparison is fair if only one thing changes, if every run sees equally many tokens, and if every schedule ends with
its run. `Suite.plan` holds all three: a variation that changes the batch size gets as many steps as the same number of
tokens takes, its warm-up keeps its share, and one that ends up with another number of tokens is refused.

The text is not part of a comparison but a parameter of `plan`: the same question can be asked of any text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from cs336_lib.training.config import TrainConfig

MODEL = "model."
"""Prefix of the names of a model's fields in a variation's changes."""


@dataclass(frozen=True)
class Variation:
    """One way to run the base.

    Attributes:
        name: what is different, as a legend says it; letters, digits, spaces, '+', '-', '.', '_', '='.
        changes: fields of `TrainConfig`, or of its model with "model." in front -> values.
        side: the model that this is a tuning of, if it is one of several; `comparison` puts them together.
        seeds: its own; those of the scale when empty.
    """

    name: str
    changes: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    side: str = ""
    seeds: tuple[int, ...] = ()

    @property
    def slug(self) -> str:
        """The name as part of a folder's name."""
        return self.name.replace(" ", "-").replace(",", "")


@dataclass(frozen=True)
class Scale:
    """How large a suite is run.

    Attributes:
        base: the run that variations change.
        seeds: each variation is run once with each of them, unless it has its own.
        variations: those of this scale; the suite's own when empty.
    """

    base: TrainConfig
    seeds: tuple[int, ...] = (0,)
    variations: tuple[Variation, ...] = ()


@dataclass(frozen=True)
class PlannedRun:
    """A run that a suite asks for.

    Attributes:
        variation: name of the variation.
        seed: of weights and order of the data.
        config: all of it; its `name` is the run's folder inside that of the suite.
        side: the model that the variation is a tuning of; empty if it is one by itself.
    """

    variation: str
    seed: int
    config: TrainConfig
    side: str = ""


@dataclass(frozen=True)
class Suite:
    """A comparison.

    Attributes:
        name: as the command line takes it.
        problem: the official problem that it answers.
        question: what it asks, in a sentence.
        variations: the first one is what the others are compared with.
        scales: name ("quick", "cpu", "full") -> how large.
        compared: sides, each with the one that it is compared with; `comparison` answers them.
        quantity: the metric that is compared.
    """

    name: str
    problem: str
    question: str
    variations: tuple[Variation, ...]
    scales: Mapping[str, Scale]
    compared: tuple[tuple[str, str], ...] = ()
    quantity: str = "valid_loss"

    def plan(self, scale: str, data: str | None = None) -> list[PlannedRun]:
        """Return the runs of a scale, in the order in which they are made.

        Args:
            scale: one of `scales`.
            data: train on this text instead of the scale's own, as `TrainConfig.data` names it. All else stays: sizes,
                steps, rates, and how many bytes of a text are taken at most; the tokenizer is trained on that text.

        Raises:
            ValueError: the suite has no such scale, a variation is not comparable, or it chooses its text itself.
        """
        size = self._size(scale)
        base, variations = size.base, size.variations or self.variations
        if data is not None:
            if any(key in variation.changes for variation in variations for key in ("data", "valid_data")):
                raise ValueError(f"suite {self.name!r} compares texts at scale {scale!r}: it takes no other text")
            base = base.replace(data=data)
        seeds = {variation.name: variation.seeds or size.seeds for variation in variations}
        return [
            PlannedRun(variation.name, seed, self._config(base, variation, seed), variation.side)
            for seed in dict.fromkeys(seed for own in seeds.values() for seed in own)
            for variation in variations
            if seed in seeds[variation.name]
        ]

    def folder(self, scale: str, data: str | None = None) -> str:
        """Return the name of the folder of a scale's runs; that of another text than its own ends with the text's name.

        Args:
            scale: one of `scales`.
            data: as for `plan`.

        Raises:
            ValueError: the suite has no such scale.

        >>> from cs336_lib.experiments import SUITES
        >>> sweep = SUITES["lr-sweep"]
        >>> sweep.folder("cpu"), sweep.folder("cpu", "tales"), sweep.folder("cpu", "texts/my letters.txt")
        ('lr-sweep-cpu', 'lr-sweep-cpu', 'lr-sweep-cpu-my-letters')
        """
        if data is None or data == self._size(scale).base.data:
            return f"{self.name}-{scale}"
        path = Path(data)
        name = path.resolve().name if path.name in ("", "..") else path.name
        return f"{self.name}-{scale}-{name.removesuffix('.txt').replace(' ', '-') or 'text'}"

    def _size(self, scale: str) -> Scale:
        if scale not in self.scales:
            raise ValueError(f"suite {self.name!r} has no scale {scale!r}; it has {', '.join(self.scales)}")
        return self.scales[scale]

    def _config(self, base: TrainConfig, variation: Variation, seed: int) -> TrainConfig:
        config = changed(base, variation.changes).replace(seed=seed, name=f"{variation.slug}-seed{seed}")
        if abs(config.tokens - base.tokens) >= config.batch_size * config.model.context_length:
            raise ValueError(
                f"variation {variation.name!r} of {self.name!r} trains on {config.tokens:,} tokens, the base on "
                f"{base.tokens:,}; give it equally many"
            )
        return config


def changed(base: TrainConfig, changes: Mapping[str, Any]) -> TrainConfig:
    """Return a config with some fields changed and, unless `steps` is among them, equally many tokens.

    >>> from cs336_lib.model import ModelConfig
    >>> base = TrainConfig(ModelConfig.preset("tales-1m"), data_bytes=1, batch_size=32, steps=100, warmup_steps=10)
    >>> half = changed(base, {"batch_size": 16, "model.norm": "post"})
    >>> half.steps, half.warmup_steps, half.model.norm
    (200, 20, 'post')
    """
    of_model = {key.removeprefix(MODEL): value for key, value in changes.items() if key.startswith(MODEL)}
    of_run = {key: value for key, value in changes.items() if not key.startswith(MODEL)}
    model = base.model.replace(**of_model)
    if "batch_size" in of_run and "steps" not in of_run:
        ratio = base.batch_size / of_run["batch_size"]
        for name in ("steps", "warmup_steps", "decay_steps", "eval_every", "sample_every", "checkpoint_every"):
            count = getattr(base, name)
            of_run.setdefault(name, max(round(count * ratio), 1) if count else 0)
        of_run.setdefault("log_every", max(round(base.log_every * ratio), 1))
    return base.replace(model=model, **of_run)
