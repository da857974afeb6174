"""Run checkpoints: all that a bit-exact resume needs, in folders that are whole or not there (chapter 6).

::

    checkpoints/step-00000400/    after a step: everything
    checkpoints/best-00000300/    weights of the smallest validation loss

A folder (see `files`) is written under a temporary name and renamed when all in it is on the disk. The previous one is
removed only then, so a full disk or a kill at any moment costs the newest checkpoint at most.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
import time
import warnings
from contextlib import suppress
from pathlib import Path

from cs336_lib.locks import make_folder
from cs336_lib.naming import check_whole
from cs336_lib.training.checkpoints.files import write_snapshot
from cs336_lib.training.checkpoints.reading import read_snapshot
from cs336_lib.training.checkpoints.snapshot import BadCheckpointError, NoCheckpointError, Snapshot
from cs336_lib.typed import command

_LOOKS = 20
_NO_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EACCES, errno.EBADF)
"""What mounts answer that can't flush a folder (CIFS, FUSE); the rename is done all the same."""
_FOLDER = re.compile(r"(step|best)-(\d{8,})")


class RunCheckpoints:
    """The checkpoints of one run.

    Args:
        folder: where they lie; made when the first is saved. Taken as absolute, so that it stays where it is when the
            process goes elsewhere.
        keep: how many of the last ones stay.

    >>> import tempfile, torch
    >>> from cs336_lib.training.checkpoints.snapshot import Snapshot
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     checkpoints = RunCheckpoints(folder, keep=2)
    ...     for step in (1, 2, 3):
    ...         _ = checkpoints.save(Snapshot(step, {"w": torch.full((2,), float(step))}))
    ...     checkpoints.steps(), checkpoints.load().weights["w"].tolist()
    ([2, 3], [3.0, 3.0])
    """

    def __init__(self, folder: str | Path, keep: int = 2) -> None:
        self.shown, self.folder = Path(folder), Path(folder).absolute()
        self.keep = check_whole("keep", keep)

    def steps(self, kind: str = "step") -> list[int]:
        """Return the steps of the checkpoints that are there, sorted; `kind` is "step" or "best"."""
        names = [path.name for path in self.folder.iterdir()] if self.folder.is_dir() else []
        return sorted(int(found[2]) for name in names if (found := _FOLDER.fullmatch(name)) and found[1] == kind)

    def path(self, step: int, kind: str = "step") -> Path:
        """Return the folder of a checkpoint."""
        return self.folder / f"{kind}-{check_whole('step', step):08d}"

    def save(self, snapshot: Snapshot) -> Path:
        """Write a checkpoint, then remove those that are no longer wanted.

        Raises:
            OSError: it could not be written, the disk may be full. Earlier ones are as they were.
        """
        path = self._write(snapshot, "step")
        # Later ones are damaged, or the run would have gone on from them: they don't count.
        for old in [step for step in self.steps() if step <= snapshot.step][: -self.keep]:
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
            which: "last" (or "latest"), "best", a step, the name of a checkpoint, or its path. Of the last ones, those
                that are damaged are skipped with a warning; where no best one is good, the last one is taken.

        Raises:
            NoCheckpointError: there is none.
            BadCheckpointError: the one that was asked for is damaged, or all are.
            OSError: one can't be read at the moment; it may be whole.
        """
        if which in ("last", "latest"):
            return self._first_good([self.path(step) for step in reversed(self.steps())])
        if which == "best":
            # The best one may be replaced at this moment by a run that goes on: then look again.
            for _ in range(_LOOKS):
                best = [self.path(step, "best") for step in reversed(self.steps("best"))]
                with suppress(BadCheckpointError, NoCheckpointError):
                    return self._first_good(best)
                if best and [self.path(step, "best") for step in reversed(self.steps("best"))] == best:
                    break
                time.sleep(0.05)
            return self.load("last")
        return self.read(self._named(which))

    def _named(self, which: str | int) -> Path:
        """Return the folder of a checkpoint by its step, its name or its path."""
        name = Path(str(which)).name
        found = re.fullmatch(r"(?:(step|best)-)?(\d+)", name)
        path = self.path(int(found[2]), found[1] or "step") if found else self.folder / name
        if not found or not path.is_dir():
            have = [self.path(step, kind).name for kind in ("step", "best") for step in self.steps(kind)]
            raise NoCheckpointError(
                f"{self.shown} has no checkpoint {str(which)!r}; it has: {', '.join(have) or 'none'} "
                "(or say 'best' or 'last')"
            )
        return path

    def _first_good(self, paths: list[Path]) -> Snapshot:
        if not paths:
            raise NoCheckpointError(f"{self.shown} has no checkpoint")
        for path in paths:
            try:
                return self.read(path)
            except BadCheckpointError as error:
                warnings.warn(f"skipping a checkpoint: {error}", stacklevel=3)
        names = ", ".join(path.name for path in paths)
        raise BadCheckpointError(
            f"{self.shown} has no good checkpoint left, damaged: {names}. Put a copy back, or begin at step 0, which "
            f"cuts off what the run has recorded: {command('resume', self.shown.parent, '--anew')}"
        )

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
        make_folder(self.folder, parents=True)
        for leftover in self.folder.glob(".*.part"):
            shutil.rmtree(leftover, ignore_errors=True)

    def _name(self, temporary: Path, path: Path) -> None:
        """Give a complete checkpoint its name."""
        if path.exists():  # a resumed run writes the same step again
            path.rename(self.folder / f".{path.name}.{secrets.token_hex(4)}.old.part")
        temporary.rename(path)
        _sync_folder(self.folder)


def _sync_folder(folder: Path) -> None:
    """Make renames in a folder last, where the system can."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise
    finally:
        os.close(descriptor)
