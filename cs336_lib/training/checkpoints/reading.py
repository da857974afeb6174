"""Read any checkpoint of a run, whichever way it was written."""

from __future__ import annotations

from pathlib import Path

from cs336_lib.training.checkpoints.files import read_files, read_state
from cs336_lib.training.checkpoints.snapshot import BadCheckpointError, Snapshot


def read_snapshot(folder: Path) -> Snapshot:
    """Read and verify a checkpoint.

    Args:
        folder: of the checkpoint, written by one process or by many.

    Raises:
        BadCheckpointError: a file is missing, cut short or altered.
        OSError: a file can't be read at the moment: no permission, a disk or a network that fails.
    """
    try:
        state = read_state(folder)
        if "shards" not in state:
            return read_files(folder, state)
        from cs336_lib.training.checkpoints.shards import read_whole  # much to import, for this alone

        return read_whole(folder, state)
    except (FileNotFoundError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, BadCheckpointError):
            raise
        raise BadCheckpointError(f"{folder} is damaged or incomplete ({error})") from None
