"""`cs336 account MODEL`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from cs336_lib.cli.parsing import parse
from cs336_lib.naming import did_you_mean

if TYPE_CHECKING:
    from cs336_lib.model.config import ModelConfig


@dataclass(frozen=True)
class Account:
    """Count a model's parameters, FLOPs, memory and time, on paper; nothing is built or run.

    Examples:
      cs336 account gpt2-xl --context-length 16384 --device a100-80gb
      cs336 account gpt2-xl --edition 2026
      cs336 account runs/tales-1m --device 5e12

    Attributes:
        model: a preset of a model, or a run's folder.
        context_length: tokens of a sequence; the model's own when left out.
        batch_size: sequences of a training step.
        device: the accelerator, such as "h100-sxm", "a100-80gb", "l4", "t4", or its peak in FLOP/s, such as 1e15, which
            leaves out what its memory decides.
        dtype: type of the products; "bfloat16" where the device has it when left out.
        mfu: the part of the device's peak that training reaches.
        steps: optimizer steps; 20 tokens per parameter when left out.
        edition: of the assignment, 2025 or 2026: takes its GPT-2 sizes and its list of activations, and answers its
            accounting problem.
    """

    model: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="MODEL")]
    context_length: int | None = None
    batch_size: int = 1
    device: str = "h100-sxm"
    dtype: str | None = None
    mfu: float = 0.5
    steps: int | None = None
    edition: str | None = None


def run(arguments: Sequence[str]) -> int:
    """Run the command."""
    asked = parse(Account, "account", arguments)
    from cs336_lib.accounting import report

    print(
        report.text(
            _config_of(asked),
            context_length=asked.context_length,
            batch_size=asked.batch_size,
            device=_number(asked.device),
            dtype=asked.dtype,
            mfu=asked.mfu,
            steps=asked.steps,
            edition=asked.edition,
        )
    )
    return 0


def _number(device: str) -> str | float:
    """Return a peak as a number, a name as it is."""
    try:
        return float(device)
    except ValueError:
        return device


def _config_of(asked: Account) -> ModelConfig:
    """Return the model of a run or a preset.

    Raises:
        ValueError: there is neither.
    """
    from cs336_lib.model.config import PRESETS, ModelConfig
    from cs336_lib.training import RunRecord

    if (Path(asked.model) / "config.json").is_file():
        return RunRecord(asked.model).config.model
    name = preset_of(asked.model, asked.edition)
    if name not in PRESETS:
        raise ValueError(
            f"there is no run and no preset {asked.model!r}{did_you_mean(asked.model, PRESETS)}; name a run's folder "
            f"or one of {', '.join(PRESETS)}"
        )
    return ModelConfig.preset(name)


def preset_of(model: str, edition: str | None) -> str:
    """Return the preset that a model's name stands for in an edition, whose sizes of GPT-2 have names of their own.

    >>> preset_of("gpt2-xl", "2026"), preset_of("gpt2-xl", None), preset_of("tales-1m", "2026")
    ('gpt2-xl-2026', 'gpt2-xl', 'tales-1m')
    """
    from cs336_lib.editions import edition as find_edition
    from cs336_lib.model.config import PRESETS

    if edition is None:
        return model
    year = find_edition(edition).name
    return f"{model}-{year}" if f"{model}-{year}" in PRESETS else model
