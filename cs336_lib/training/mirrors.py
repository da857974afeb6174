"""Mirrors of the metrics in TensorBoard and Weights & Biases; the record in the run's folder stays the truth."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from cs336_lib.training.config import TrainConfig

Mirror = Callable[[Mapping[str, Any]], None]


def open_mirrors(config: TrainConfig, folder: Path) -> tuple[list[Mirror], list[Callable[[], Any]]]:
    """Open what the config asks for.

    Returns:
        Functions to call with each line of metrics, and functions to call at the end.

    Raises:
        ModuleNotFoundError: the package is not installed; says how to install it.
    """
    mirrors: list[Mirror] = []
    closers: list[Callable[[], Any]] = []
    if config.tensorboard:
        writer = _need("torch.utils.tensorboard", "tensorboard").SummaryWriter(str(folder / "tensorboard"))

        def to_tensorboard(line: Mapping[str, Any]) -> None:
            for name, value in line.items():
                if name != "step" and isinstance(value, int | float):
                    writer.add_scalar(name, value, line["step"])

        mirrors.append(to_tensorboard)
        closers.append(writer.close)
    if config.wandb:
        run = _need("wandb", "wandb").init(project=config.wandb, name=config.name, config=config.to_dict())

        def to_wandb(line: Mapping[str, Any]) -> None:
            run.log({name: value for name, value in line.items() if name != "step"}, step=line["step"])

        mirrors.append(to_wandb)
        closers.append(run.finish)
    return mirrors, closers


def _need(module: str, package: str) -> Any:
    try:
        return import_module(module)
    except ModuleNotFoundError:
        raise ModuleNotFoundError(f'{package} is not installed; pip install {package}, or "cs336-lib[track]"') from None
