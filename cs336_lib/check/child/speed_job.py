"""Time a reader's trainer, tokenizer and training step: the first call, which may compile or import, and later ones."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .case import blame
from .runner import clean_state
from .train_job import _model, windows

Tell = Callable[..., None]
NEEDS = {
    "train_bpe": ("run_train_bpe",),
    "encode": ("get_tokenizer",),
    "step": ("run_transformer_lm", "get_adamw_cls", "run_cross_entropy"),
}


def measure(job: dict[str, Any], adapters: dict[str, Any], tell: Tell) -> None:
    """Take each measurement and tell its seconds, all calls in order."""
    for name, take in (("train_bpe", _bpe), ("encode", _encode), ("step", _step)):
        tell("measuring", name=name, seconds=300.0)
        lacking = [adapter for adapter in NEEDS[name] if adapter not in adapters]
        if lacking:
            tell("measured", name=name, seconds=[], why=f"there is no {lacking[0]}")
            continue
        with clean_state():
            torch.set_num_threads(job["threads"])
            try:
                tell("measured", name=name, seconds=take(job, adapters), why="")
            except Exception as error:
                tell("measured", name=name, seconds=[], why=blame(error, job["root"]))


def _timed(call: Callable[[], Any], times: int) -> list[float]:
    seconds = []
    for _ in range(times):
        started = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - started)
    return seconds


def _bpe(job: dict[str, Any], adapters: dict[str, Any]) -> list[float]:
    run = adapters["run_train_bpe"]
    return _timed(lambda: run(str(Path(job["files"]) / "small.txt"), 500, ["<|endoftext|>"]), 3)


def _encode(job: dict[str, Any], adapters: dict[str, Any]) -> list[float]:
    make = adapters["get_tokenizer"]
    vocab = {i: bytes.fromhex(token) for i, token in enumerate(job["vocab"])}
    merges = [(bytes.fromhex(left), bytes.fromhex(right)) for left, right in job["merges"]]
    text = (Path(job["files"]) / "large.txt").read_text()
    return _timed(lambda: make(dict(vocab), list(merges), ["<|endoftext|>"]).encode(text), 3)


def _step(job: dict[str, Any], adapters: dict[str, Any]) -> list[float]:
    files, shape = Path(job["files"]), job["model"]
    tokens, starts = np.load(files / "train.npy"), np.load(files / "starts.npy")
    x, y = windows(tokens, starts[0], shape["context_length"])
    model = _model(adapters["run_transformer_lm"], shape, torch.load(files / "weights.pt"), x)
    options = {"lr": 1e-4, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0}
    optimizer = adapters["get_adamw_cls"]()(model.parameters(), **options)
    loss_of = adapters["run_cross_entropy"]

    def step() -> None:
        optimizer.zero_grad()
        loss_of(model(x).reshape(-1, shape["vocab_size"]), y.reshape(-1)).backward()
        optimizer.step()

    return _timed(step, 6)
