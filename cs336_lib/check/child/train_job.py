"""Train a tiny model through a reader's adapters: their model, loss, optimizer and batches, our weights and rates."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from .case import blame, seed_everything
from .runner import clean_state
from .watch import module_that_runs

Tell = Callable[..., None]


class CannotTrainError(Exception):
    """The adapters don't give what a training run needs."""


def train(job: dict[str, Any], adapters: dict[str, Any], tell: Tell) -> None:
    """Train, telling about each step: the loss, and the norm of all gradients."""
    with clean_state():
        try:
            _train(job, adapters, tell)
        except CannotTrainError as error:
            tell("stopped", why=str(error))
        except Exception as error:
            tell("stopped", why=blame(error, job["root"]))


def _train(job: dict[str, Any], adapters: dict[str, Any], tell: Tell) -> None:
    needed = ("run_transformer_lm", "get_adamw_cls", "run_cross_entropy")
    lacking = [name for name in needed if name not in adapters]
    if lacking:
        raise CannotTrainError(f"there is no {', '.join(lacking)}")
    files = Path(job["files"])
    tokens, valid, starts = (np.load(files / f"{name}.npy") for name in ("train", "valid", "starts"))
    shape = job["model"]
    context, vocab = shape["context_length"], shape["vocab_size"]
    x, y = windows(tokens, starts[0], context)
    model = _model(adapters["run_transformer_lm"], shape, torch.load(files / "weights.pt"), x)
    optimizer = adapters["get_adamw_cls"]()(model.parameters(), lr=job["rates"][0], **job["adamw"])
    seed_everything(1)
    for step, rate in enumerate(job["rates"]):
        if step < job["same"] or "run_get_batch" not in adapters:
            x, y = windows(tokens, starts[step], context)
        else:
            x, y = adapters["run_get_batch"](tokens, starts.shape[1], context, "cpu")
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.zero_grad()
        # Flat, because the loss's handling of more dimensions is a question of its own.
        loss = adapters["run_cross_entropy"](model(x).reshape(-1, vocab), y.reshape(-1))
        loss.backward()
        norms = [p.grad.double().square().sum() for p in model.parameters() if p.grad is not None]
        optimizer.step()
        tell("step", step=step, loss=float(loss.detach()), norm=float(sum(norms, torch.zeros(())) ** 0.5))
    with torch.no_grad():
        x, y = windows(valid, np.arange(0, len(valid) - context - 1, context), context)
        losses = [
            F.cross_entropy(model(a).reshape(-1, vocab), b.reshape(-1)).item()
            for a, b in zip(x.split(32), y.split(32), strict=True)
        ]
        weights = [len(part) for part in x.split(32)]
    total = sum(loss * weight for loss, weight in zip(losses, weights, strict=True))
    tell("trained", valid=total / sum(weights))


def windows(tokens: np.ndarray, starts: np.ndarray, context: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows of ids from some starts on, and the ids one further.

    >>> windows(np.arange(9), np.array([0, 4]), 3)[1].tolist()
    [[1, 2, 3], [5, 6, 7]]
    """
    rows = np.stack([tokens[start : start + context + 1] for start in starts]).astype(np.int64)
    whole = torch.from_numpy(rows)
    return whole[:, :-1].contiguous(), whole[:, 1:].contiguous()


def _model(run: Callable[..., Any], shape: dict[str, Any], weights: dict[str, Any], x: torch.Tensor) -> nn.Module:
    """The module that the adapter fills with the weights and runs."""
    names = ("vocab_size", "context_length", "d_model", "num_layers", "num_heads", "d_ff", "rope_theta")
    with module_that_runs() as ran:
        run(*(shape[name] for name in names), weights, x)
    wanted = (*x.shape, shape["vocab_size"])
    models = [module for module, out in ran if isinstance(out, torch.Tensor) and out.shape == wanted]
    if not models or not list(models[-1].parameters()):
        raise CannotTrainError("run_transformer_lm runs no module that returns scores, so there is nothing to train")
    return models[-1].train().requires_grad_(True)
