"""Checkpoints in pieces, as torch.distributed.checkpoint writes them, read without trusting them (chapter 11).

step-00000400/shards/    tensors by name, in pieces, and a list of contents
step-00000400/state.json as in `files`, with the hash of each of those files
"""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path
from typing import IO, Any

import torch
import torch.distributed.checkpoint as dcp
from torch import Tensor
from torch.distributed.checkpoint import FileSystemReader
from torch.distributed.checkpoint.metadata import Metadata, TensorStorageMetadata

from cs336_lib.training.checkpoints.files import check_hashes
from cs336_lib.training.checkpoints.snapshot import BadCheckpointError, Snapshot, snapshot_of

SHARDS = "shards"
_PATHS = ("PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath")
_OF_TORCH = ("torch.distributed.checkpoint.metadata", "torch.distributed.checkpoint.filesystem")


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
    return snapshot_of(state, *apart(tensors))


def apart(tensors: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Part what was read into weights and the rest."""
    mark = "weight."
    weights = {name.removeprefix(mark): value for name, value in tensors.items() if name.startswith(mark)}
    return weights, {name: value for name, value in tensors.items() if not name.startswith(mark)}
