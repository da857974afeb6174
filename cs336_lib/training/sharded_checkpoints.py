"""Checkpoints that all ranks write at once, each its part, and that any number of ranks can read (chapter 11).

    step-00000400/shards/    the files of torch.distributed.checkpoint: tensors by name, in pieces
    step-00000400/state.json as in `run_checkpoints`, with the hash of each of those files

A folder gets its name from rank 0 when all ranks have written, as with one process. `read_snapshot` reads it whole, so
that one process can resume, evaluate and export what many have trained.
"""

from __future__ import annotations

import hashlib
import json
import pickle
import secrets
import shutil
import warnings
from pathlib import Path
from typing import IO, Any

import torch
import torch.distributed.checkpoint as dcp
from torch import Tensor, nn
from torch.distributed.checkpoint import FileSystemReader, FileSystemWriter
from torch.distributed.checkpoint.metadata import Metadata, TensorStorageMetadata
from torch.optim import Optimizer

from cs336_lib.atomic import write_whole
from cs336_lib.training import run_checkpoints as files
from cs336_lib.training.checkpoint import plain_state_dict
from cs336_lib.training.ranks import Ranks
from cs336_lib.training.run_checkpoints import BadCheckpointError, RunCheckpoints, Snapshot

SHARDS = "shards"
_PATHS = ("PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath")
_OF_TORCH = ("torch.distributed.checkpoint.metadata", "torch.distributed.checkpoint.filesystem")


class ShardedCheckpoints(RunCheckpoints):
    """The checkpoints of a run of several processes; each rank must call each method.

    Args:
        folder: where they lie; all ranks must see it.
        keep: how many of the last ones stay.
        ranks: the processes.
        model: tells how weights are spread.
        optimizer: tells how moments are spread.
    """

    def __init__(self, folder: str | Path, keep: int, ranks: Ranks, model: nn.Module, optimizer: Optimizer) -> None:
        super().__init__(folder, keep)
        self.ranks, self.model, self.optimizer = ranks, model, optimizer

    def remove(self, path: Path) -> None:
        """Remove a folder, once for all ranks."""
        if self.ranks.rank == 0:
            super().remove(path)

    def read(self, folder: Path) -> Snapshot:
        """Read a checkpoint; each rank reads its parts.

        Raises:
            BadCheckpointError: it is damaged.
            ValueError: it is of another model.
        """
        mine = slice(self.ranks.rank, None, self.ranks.world_size)
        bad, state = "", {}
        try:
            state = json.loads((folder / files.STATE).read_text(encoding="utf-8"))
            if "shards" not in state:
                snapshot = files.read_snapshot(folder)
            else:
                check_hashes(folder, dict(sorted(state["sha256"].items())[mine]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            bad = str(error) or type(error).__name__
        found = [one for one in self.ranks.gather(bad) if one]
        if found:
            raise BadCheckpointError(f"{folder}: {found[0]}")
        if "shards" not in state:
            return snapshot
        reader = SafeReader(folder / SHARDS)
        with self.ranks.together():
            wanted = self._places(reader.read_metadata())
        dcp.load(wanted, storage_reader=reader)
        return files.snapshot_of(state, *_apart(wanted))

    def _places(self, metadata: Metadata) -> dict[str, Tensor]:
        """Return an empty tensor for each saved one, spread as the model's."""
        weights = {f"weight.{name}": value for name, value in plain_state_dict(self.model).items()}
        listed = [p for group in self.optimizer.param_groups for p in group["params"]]
        saved = {k: v for k, v in metadata.state_dict_metadata.items() if isinstance(v, TensorStorageMetadata)}
        names = {name for name in saved if name.startswith("weight.")}
        if names != weights.keys():
            missing, unknown = sorted(weights.keys() - names), sorted(names - weights.keys())
            raise ValueError(f"the checkpoint is of another model: missing {missing[:5]}, unknown {unknown[:5]}")
        places: dict[str, Tensor] = {}
        for name, about in saved.items():
            like = weights.get(name)
            if name.startswith("moment."):
                index = int(name.split(".")[1])
                like = listed[index] if index < len(listed) else None
            if like is not None and like.shape != about.size:
                raise ValueError(
                    f"the checkpoint is of another model: {name} is {tuple(about.size)} there, {tuple(like.shape)} here"
                )
            dtype = about.properties.dtype
            empty = torch.empty(about.size, dtype=dtype) if like is None else torch.empty_like(like, dtype=dtype)
            places[name] = empty.detach()
        return places

    def _write(self, snapshot: Snapshot, kind: str) -> Path:
        path = self.path(snapshot.step, kind)
        temporary = self.ranks.share(lambda: self._prepared(path))
        tensors, optimizer = {f"weight.{name}": value for name, value in snapshot.weights.items()}, None
        tensors |= {f"rng.{name}": value for name, value in snapshot.rng.items()}
        if snapshot.optimizer is not None:
            moments, optimizer = files.flatten_optimizer(snapshot.optimizer)
            tensors |= moments
        try:
            dcp.save(tensors, storage_writer=FileSystemWriter(temporary / SHARDS, single_file_per_rank=True))
            with self.ranks.together():
                own = sorted((temporary / SHARDS).glob(f"__{self.ranks.rank}_*"))
                hashes = {f"{SHARDS}/{file.name}": _hash(file) for file in own}
            everyone = self.ranks.gather(hashes)
            with self.ranks.together():
                if self.ranks.rank == 0:
                    metadata = f"{SHARDS}/.metadata"
                    together = {name: value for one in everyone for name, value in one.items()}
                    together[metadata] = _hash(temporary / metadata)
                    state = {
                        "step": snapshot.step,
                        "optimizer": optimizer,
                        "extra": snapshot.extra,
                        "shards": self.ranks.world_size,
                        "sha256": together,
                    }
                    write_whole(temporary / files.STATE, json.dumps(state, indent=1) + "\n")
                    self._name(temporary, path)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        return path

    def _prepared(self, path: Path) -> Path:
        self._clean()
        temporary = self.folder / f".{path.name}.{secrets.token_hex(4)}.part"
        temporary.mkdir()
        return temporary


class SafeReader(FileSystemReader):
    """torch's reader, but for the list of contents, a pickle: it may name what such a list holds and nothing else."""

    def read_metadata(self, *args: Any, **options: Any) -> Metadata:
        """Return the list of contents."""
        with (Path(self.path) / ".metadata").open("rb") as file:
            return _ListUnpickler(file).load()


class _ListUnpickler(pickle.Unpickler):
    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(file)

    def find_class(self, module: str, name: str) -> Any:
        plain = {
            "torch": ("Size",),
            "torch.serialization": ("_get_layout",),
            "collections": ("OrderedDict",),
            "pathlib": _PATHS,
            "pathlib._local": _PATHS,  # its name in Python 3.13
        }
        found = super().find_class(module, name) if module in (*_OF_TORCH, *plain) else None
        if module in _OF_TORCH and isinstance(found, type) and found.__module__ == module:
            return found
        if name in plain.get(module, ()) or (module == "torch" and isinstance(found, torch.dtype)):
            return found
        raise BadCheckpointError(f"its list of contents names {module}.{name}, which no checkpoint does")


def read_whole(folder: Path, state: dict[str, Any]) -> Snapshot:
    """Read all parts of a checkpoint in one process that is alone.

    Raises:
        BadCheckpointError: a file is missing or altered.
    """
    check_hashes(folder, state["sha256"])
    reader = SafeReader(folder / SHARDS)
    saved = reader.read_metadata().state_dict_metadata
    tensors = {
        name: torch.empty(about.size, dtype=about.properties.dtype)
        for name, about in saved.items()
        if isinstance(about, TensorStorageMetadata)
    }
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "torch.distributed is disabled", UserWarning)  # as intended
        dcp.load(tensors, storage_reader=reader, no_dist=True)
    return files.snapshot_of(state, *_apart(tensors))


def check_hashes(folder: Path, hashes: dict[str, str]) -> None:
    """Raise BadCheckpointError unless files are as they were written."""
    for name, expected in hashes.items():
        if not (folder / name).is_file() or _hash(folder / name) != expected:
            raise BadCheckpointError(f"{folder / name} does not match its hash")


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _apart(tensors: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Part what was read into weights and the rest."""
    mark = "weight."
    weights = {name.removeprefix(mark): value for name, value in tensors.items() if name.startswith(mark)}
    return weights, {name: value for name, value in tensors.items() if not name.startswith(mark)}
