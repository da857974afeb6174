"""A checkpoint that one process writes: a folder of two tensor files and what holds them together.

    model.safetensors       the weights
    optimizer.safetensors   the moments and the state of every random generator
    state.json              the rest, and the hash of both files

Nothing is pickled.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from cs336_lib.atomic import with_usual_permissions
from cs336_lib.jsonfile import parsed
from cs336_lib.plain import json_ready, said
from cs336_lib.training.checkpoints.snapshot import (
    BadCheckpointError,
    Snapshot,
    flatten_optimizer,
    snapshot_of,
)

MODEL, OPTIMIZER, STATE = "model.safetensors", "optimizer.safetensors", "state.json"
_OWN_HASH = "state_sha256"
_KEYS = {"step", "optimizer", "extra", "sha256", "shards", _OWN_HASH}


def write_snapshot(folder: Path, snapshot: Snapshot) -> None:
    """Write the files of a checkpoint into an empty folder and wait until they are on the disk."""
    tensors, optimizer = {f"rng.{name}": value for name, value in snapshot.rng.items()}, None
    if snapshot.optimizer is not None:
        moments, optimizer = flatten_optimizer(snapshot.optimizer)
        tensors |= moments
    state: dict[str, Any] = {
        "step": snapshot.step,
        "optimizer": optimizer,
        "extra": snapshot.extra,
        "sha256": {MODEL: _save_tensors(folder / MODEL, snapshot.weights)},
    }
    if tensors:
        state["sha256"][OPTIMIZER] = _save_tensors(folder / OPTIMIZER, tensors)
    write_state(folder, state)


def write_state(folder: Path, state: dict[str, Any]) -> None:
    """Write state.json, with a hash of all that it says.

    Raises:
        TypeError: it holds what JSON can't; numpy's numbers become Python's.
    """
    state = {name: json_ready(value, name) for name, value in state.items()}
    with (folder / STATE).open("w", encoding="utf-8") as file:
        file.write(json.dumps({**state, _OWN_HASH: _digest(state)}, indent=1) + "\n")
        file.flush()
        os.fsync(file.fileno())


def read_state(folder: Path) -> dict[str, Any]:
    """Read and verify state.json.

    Raises:
        BadCheckpointError: it was altered.
        FileNotFoundError: it is not there.
        ValueError: it is no JSON.
    """
    state = parsed((folder / STATE).read_text(encoding="utf-8"))
    if not isinstance(state, dict) or not state.keys() <= _KEYS or not state.keys() >= _KEYS - {"shards", _OWN_HASH}:
        raise BadCheckpointError(f"{folder / STATE} was altered: it does not hold what was written")
    own = state.pop(_OWN_HASH, None)  # version 0.1 wrote none
    if own is not None and own != _digest(state):
        raise BadCheckpointError(f"{folder / STATE} was altered: it does not match its own hash")
    return state


def _digest(state: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()


def read_files(folder: Path, state: dict[str, Any]) -> Snapshot:
    """Read what `write_snapshot` wrote.

    Args:
        folder: of the checkpoint.
        state: the content of its state.json.

    Raises:
        BadCheckpointError: a file is missing or altered.
    """
    check_hashes(folder, state["sha256"])
    try:
        tensors = load_file(folder / OPTIMIZER) if OPTIMIZER in state["sha256"] else {}
        return snapshot_of(state, load_file(folder / MODEL), tensors)
    except SafetensorError as error:
        raise BadCheckpointError(f"{folder} holds no tensors that can be read: {error}") from None


def check_hashes(folder: Path, hashes: dict[str, str]) -> None:
    """Raise BadCheckpointError unless files are as they were written."""
    for name, expected in hashes.items():
        if not (folder / name).is_file() or file_hash(folder / name) != expected:
            raise BadCheckpointError(f"{folder / name} does not match its hash")


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def flushed_hash(path: Path) -> str:
    """Wait until the disk has a file that another library wrote, and return its SHA-256."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())
        return hashlib.file_digest(file, "sha256").hexdigest()


def _save_tensors(path: Path, tensors: dict[str, Tensor]) -> str:
    """Write a safetensors file and return its hash."""
    for name, value in tensors.items():
        if not isinstance(value, Tensor):
            raise TypeError(f"{name} is {said(value)}, and {path.name} holds tensors alone; make it one")
    try:
        with with_usual_permissions(path):
            save_file({name: value.detach().cpu().contiguous() for name, value in tensors.items()}, path)
    except SafetensorError as error:  # its way to say that the disk is full
        raise OSError(errno.ENOSPC, f"{path} could not be written: {error}") from None
    return flushed_hash(path)
