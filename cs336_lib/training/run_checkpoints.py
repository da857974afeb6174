"""Run checkpoints: all that a bit-exact resume needs, in folders that are whole or not there (chapter 6).

    checkpoints/step-00000400/    after a step: everything
    checkpoints/best-00000300/    weights of the smallest validation loss

In each, `model.safetensors` has the weights, `optimizer.safetensors` the moments and the state of every random
generator, and `state.json` the rest and the hash of both files.

A folder is written under a temporary name and renamed when all in it is on the disk. The previous one is removed only
then, so a full disk or a kill at any moment costs the newest checkpoint at most. Nothing is pickled.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

MODEL, OPTIMIZER, STATE = "model.safetensors", "optimizer.safetensors", "state.json"
_FOLDER = re.compile(r"(step|best)-(\d{8})")


class BadCheckpointError(ValueError):
    """A checkpoint that is damaged or incomplete."""


@dataclass
class Snapshot:
    """The state of a run after a step.

    Attributes:
        step: optimizer steps done.
        weights: the model's state dict.
        optimizer: the optimizer's state dict; None in the best checkpoint, which has weights only.
        rng: state of random generators by name, each a tensor of bytes.
        extra: plain JSON values: position in the data, sums since the last line of metrics, and so on.
    """

    step: int
    weights: dict[str, Tensor]
    optimizer: dict[str, Any] | None = None
    rng: dict[str, Tensor] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)


class RunCheckpoints:
    """The checkpoints of one run.

    Args:
        folder: where they lie; made when the first is saved.
        keep: how many of the last ones stay.

    >>> import tempfile, torch
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     checkpoints = RunCheckpoints(folder, keep=2)
    ...     for step in (1, 2, 3):
    ...         _ = checkpoints.save(Snapshot(step, {"w": torch.full((2,), float(step))}))
    ...     checkpoints.steps(), checkpoints.load().weights["w"].tolist()
    ([2, 3], [3.0, 3.0])
    """

    def __init__(self, folder: str | Path, keep: int = 2) -> None:
        self.folder = Path(folder)
        self.keep = keep

    def steps(self, kind: str = "step") -> list[int]:
        """Return the steps of the checkpoints that are there, sorted; `kind` is "step" or "best"."""
        names = [path.name for path in self.folder.iterdir()] if self.folder.is_dir() else []
        return sorted(int(found[2]) for name in names if (found := _FOLDER.fullmatch(name)) and found[1] == kind)

    def path(self, step: int, kind: str = "step") -> Path:
        """Return the folder of a checkpoint."""
        return self.folder / f"{kind}-{step:08d}"

    def save(self, snapshot: Snapshot) -> Path:
        """Write a checkpoint, then remove those that are no longer wanted.

        Raises:
            OSError: it could not be written, the disk may be full. Earlier ones are as they were.
        """
        path = self._write(snapshot, "step")
        for old in self.steps()[: -self.keep]:
            self.remove(self.path(old))
        return path

    def save_best(self, snapshot: Snapshot) -> Path:
        """Write the weights of the best model so far in place of those before."""
        path = self._write(Snapshot(snapshot.step, snapshot.weights, extra=snapshot.extra), "best")
        for old in self.steps("best"):
            if old != snapshot.step:
                self.remove(self.path(old, "best"))
        return path

    def remove(self, path: Path) -> None:
        """Remove a folder that is no longer wanted."""
        shutil.rmtree(path, ignore_errors=True)

    def read(self, folder: Path) -> Snapshot:
        """Read and verify one checkpoint; see `read_snapshot`."""
        return read_snapshot(folder)

    def load(self, which: str | int = "last") -> Snapshot:
        """Read a checkpoint.

        Args:
            which: "last", "best", or a step. Of the last ones, those that are damaged are skipped with a warning.

        Raises:
            FileNotFoundError: there is none.
            BadCheckpointError: the one that was asked for is damaged.
        """
        if which == "last":
            return self._first_good([self.path(step) for step in reversed(self.steps())])
        if which == "best":
            best = [self.path(step, "best") for step in reversed(self.steps("best"))]
            return self._first_good(best) if best else self.load("last")
        if not self.path(int(which)).is_dir():
            have = ", ".join(map(str, self.steps())) or "none"
            raise FileNotFoundError(f"{self.folder} has no checkpoint of step {which}; it has: {have}")
        return self.read(self.path(int(which)))

    def _first_good(self, paths: list[Path]) -> Snapshot:
        for path in paths:
            try:
                return self.read(path)
            except BadCheckpointError as error:
                warnings.warn(f"skipping a checkpoint: {error}", stacklevel=3)
        raise FileNotFoundError(f"{self.folder} has no good checkpoint")

    def _write(self, snapshot: Snapshot, kind: str) -> Path:
        self._clean()
        path = self.path(snapshot.step, kind)
        temporary = self.folder / f".{path.name}.{secrets.token_hex(4)}.part"
        try:
            temporary.mkdir()
            write_snapshot(temporary, snapshot)
            self._name(temporary, path)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        return path

    def _clean(self) -> None:
        """Make the folder, and remove what a killed process left in it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for leftover in self.folder.glob(".*.part"):
            shutil.rmtree(leftover, ignore_errors=True)

    def _name(self, temporary: Path, path: Path) -> None:
        """Give a complete checkpoint its name."""
        if path.exists():  # a resumed run writes the same step again
            path.rename(self.folder / f".{path.name}.{secrets.token_hex(4)}.old.part")
        temporary.rename(path)
        _sync_folder(self.folder)


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
    with (folder / STATE).open("w", encoding="utf-8") as file:
        file.write(json.dumps(state, indent=1) + "\n")
        file.flush()
        os.fsync(file.fileno())


def read_snapshot(folder: Path) -> Snapshot:
    """Read and verify a checkpoint.

    Raises:
        BadCheckpointError: a file is missing, cut short, altered or unreadable.
    """
    try:
        state = json.loads((folder / STATE).read_text(encoding="utf-8"))
        if "shards" in state:
            from cs336_lib.training.sharded_checkpoints import read_whole

            return read_whole(folder, state)
        files = {name: folder / name for name in state["sha256"]}
        for name, path in files.items():
            with path.open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != state["sha256"][name]:
                    raise BadCheckpointError(f"{path} does not match its hash")
        weights = load_file(files[MODEL])
        tensors = load_file(files[OPTIMIZER]) if OPTIMIZER in files else {}
        return snapshot_of(state, weights, tensors)
    except (OSError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, BadCheckpointError):
            raise
        raise BadCheckpointError(f"{folder} is damaged or incomplete ({error})") from None


def snapshot_of(state: dict[str, Any], weights: dict[str, Tensor], tensors: dict[str, Tensor]) -> Snapshot:
    """Put a snapshot together from `state.json`, the weights and all other tensors."""
    rng = {name.removeprefix("rng."): value for name, value in tensors.items() if name.startswith("rng.")}
    optimizer = unflatten_optimizer(tensors, state["optimizer"]) if state["optimizer"] is not None else None
    return Snapshot(state["step"], weights, optimizer, rng, state["extra"])


def flatten_optimizer(state_dict: dict[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Part an optimizer's state dict into named tensors and plain JSON values.

    >>> import torch
    >>> tensors, rest = flatten_optimizer({"state": {0: {"step": 3, "m": torch.ones(2)}}, "param_groups": [{"lr": 1}]})
    >>> list(tensors), rest
    (['moment.0.m'], {'state': {'0': {'step': 3}}, 'param_groups': [{'lr': 1}]})
    """
    tensors: dict[str, Tensor] = {}
    plain: dict[str, dict[str, Any]] = {}
    for index, values in state_dict["state"].items():
        tensors |= {f"moment.{index}.{key}": value for key, value in values.items() if isinstance(value, Tensor)}
        plain[str(index)] = {key: value for key, value in values.items() if not isinstance(value, Tensor)}
    return tensors, {"state": plain, "param_groups": state_dict["param_groups"]}


def unflatten_optimizer(tensors: dict[str, Tensor], plain: dict[str, Any]) -> dict[str, Any]:
    """Put an optimizer's state dict together again."""
    state: dict[int, dict[str, Any]] = {int(index): dict(values) for index, values in plain["state"].items()}
    for name, value in tensors.items():
        if name.startswith("moment."):
            _, index, key = name.split(".", 2)
            state.setdefault(int(index), {})[key] = value
    groups = [
        {key: tuple(value) if key == "betas" else value for key, value in group.items()}
        for group in plain["param_groups"]
    ]
    return {"state": state, "param_groups": groups}


def _save_tensors(path: Path, tensors: dict[str, Tensor]) -> str:
    """Write a safetensors file and return its hash."""
    save_file({name: value.detach().cpu().contiguous() for name, value in tensors.items()}, path)
    with path.open("rb+") as file:
        os.fsync(file.fileno())
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync_folder(folder: Path) -> None:
    """Make renames in a folder last, where the system can."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
