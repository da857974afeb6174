"""Checkpoints that all ranks write at once, each its part, and that any number of ranks can read (chapter 11).

::

    step-00000400/shards/    the files of torch.distributed.checkpoint: tensors by name, in pieces
    step-00000400/state.json as in `files`, with the hash of each of those files

A folder gets its name from rank 0 when all ranks have written, as with one process. `reading.read_snapshot`
reads it whole, so that one process can resume, evaluate and export what many have trained.
"""

from __future__ import annotations

import secrets
import shutil
from pathlib import Path

import torch
import torch.distributed.checkpoint as dcp
from torch import Tensor, nn
from torch.distributed.checkpoint import FileSystemWriter
from torch.distributed.checkpoint.metadata import Metadata, TensorStorageMetadata
from torch.optim import Optimizer

from cs336_lib.training.checkpoints.files import check_hashes, flushed_hash, read_files, read_state, write_state
from cs336_lib.training.checkpoints.run import RunCheckpoints
from cs336_lib.training.checkpoints.shards import SHARDS, SafeReader, apart
from cs336_lib.training.checkpoints.snapshot import BadCheckpointError, Snapshot, flatten_optimizer, snapshot_of
from cs336_lib.training.checkpoints.state_dicts import plain_state_dict
from cs336_lib.training.ranks import Ranks


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
            state = read_state(folder)
            if "shards" not in state:
                snapshot = read_files(folder, state)
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
        return snapshot_of(state, *apart(wanted))

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
            moments, optimizer = flatten_optimizer(snapshot.optimizer)
            tensors |= moments
        try:
            dcp.save(tensors, storage_writer=FileSystemWriter(temporary / SHARDS, single_file_per_rank=True))
            with self.ranks.together():
                own = sorted((temporary / SHARDS).glob(f"__{self.ranks.rank}_*"))
                hashes = {f"{SHARDS}/{file.name}": flushed_hash(file) for file in own}
            everyone = self.ranks.gather(hashes)
            with self.ranks.together():
                if self.ranks.rank == 0:
                    metadata = f"{SHARDS}/.metadata"
                    together = {name: value for one in everyone for name, value in one.items()}
                    together[metadata] = flushed_hash(temporary / metadata)  # torch flushes it before it is written
                    state = {
                        "step": snapshot.step,
                        "optimizer": optimizer,
                        "extra": snapshot.extra,
                        "shards": self.ranks.world_size,
                        "sha256": together,
                    }
                    write_state(temporary, state)
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
