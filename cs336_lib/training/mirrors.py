"""Mirrors of the metrics in TensorBoard and Weights & Biases; the record in the run's folder stays the truth."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from cs336_lib.atomic import write_whole
from cs336_lib.training.config import TrainConfig

Mirror = Callable[[Mapping[str, Any]], None]


WANDB_ID = "wandb-id.txt"
"""Where a run keeps its name at Weights & Biases, so that a resume goes on with the same one."""


@contextmanager
def open_mirrors(config: TrainConfig, folder: Path, step: int = 0) -> Iterator[list[Mirror]]:
    """Open what the config asks for, and close it at the end.

    A run that is taken up again goes on as the same run, and no step is there twice.

    Args:
        config: of the run.
        folder: of the run.
        step: steps done; 0 for a new run.

    Yields:
        Functions to call with each line of metrics.

    Raises:
        ModuleNotFoundError: the package is not installed; says how to install it.
    """
    mirrors: list[Mirror] = []
    with ExitStack() as opened:
        if config.tensorboard:
            make = _need("torch.utils.tensorboard", "tensorboard").SummaryWriter
            writer = make(str(folder / "tensorboard"), purge_step=step + 1 if step else None)
            opened.callback(writer.close)

            def to_tensorboard(line: Mapping[str, Any]) -> None:
                for name, value in line.items():
                    if name != "step" and isinstance(value, int | float):
                        writer.add_scalar(name, value, line["step"])

            mirrors.append(to_tensorboard)
        if config.wandb:
            run = _wandb_run(config, folder, step)
            opened.callback(run.finish)

            def to_wandb(line: Mapping[str, Any]) -> None:
                run.log({name: value for name, value in line.items() if name != "step"}, step=line["step"])

            mirrors.append(to_wandb)
        yield mirrors


def _wandb_run(config: TrainConfig, folder: Path, step: int) -> Any:
    """Begin a run at Weights & Biases, or go on with the one that this folder began."""
    wandb = _need("wandb", "wandb")
    options: dict[str, Any] = {"project": config.wandb, "name": config.name, "config": config.to_dict()}
    path = folder / WANDB_ID
    if step and path.is_file():
        # Lines of steps that it has already are passed over by the service: they are the same ones.
        return wandb.init(**options, id=path.read_text(encoding="utf-8").strip(), resume="allow")
    run = wandb.init(**options)
    write_whole(path, f"{run.id}\n")
    return run


def _need(module: str, package: str) -> Any:
    try:
        return import_module(module)
    except ModuleNotFoundError:
        raise ModuleNotFoundError(f'{package} is not installed; pip install {package}, or "cs336-lib[track]"') from None
