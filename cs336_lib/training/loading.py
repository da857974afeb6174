"""From a run's folder back to its model (chapter 7)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from cs336_lib.bpe import Tokenizer
from cs336_lib.model import TransformerLM
from cs336_lib.training.checkpoints.run import RunCheckpoints
from cs336_lib.training.checkpoints.state_dicts import load_plain_state_dict
from cs336_lib.training.config import TrainConfig
from cs336_lib.training.precision import choose_device
from cs336_lib.training.records import RunRecord
from cs336_lib.training.resuming import check_same_run


@dataclass(frozen=True)
class LoadedRun:
    """A model of a run, ready to use.

    Attributes:
        model: on its device, without gradients.
        tokenizer: of the run.
        config: of the run.
        step: at which the weights were saved.
    """

    model: TransformerLM
    tokenizer: Tokenizer
    config: TrainConfig
    step: int


def load_run(folder: str | Path, which: str | int = "best", device: str | torch.device = "auto") -> LoadedRun:
    """Load a model that a run saved.

    Args:
        folder: of the run.
        which: "best" (smallest validation loss), "last", or a step.
        device: where to put the model.

    Returns:
        The model with its tokenizer and config.

    Raises:
        FileNotFoundError: the folder is no run, or the run has saved nothing yet.
        ValueError: the checkpoint is damaged, or of another model or config than the run's.
    """
    record = RunRecord(folder)
    snapshot = RunCheckpoints(record.shown / "checkpoints").load(which)
    tokenizer = record.tokenizer
    config = record.config
    where = choose_device(device) if isinstance(device, str) else device
    check_same_run(config, snapshot)
    model = TransformerLM(config.model, device=where)
    load_plain_state_dict(model, snapshot.weights)
    return LoadedRun(model.requires_grad_(False), tokenizer, config, snapshot.step)
