"""Where a run goes on: its last good checkpoint, or an error that says what is missing (chapter 6).

"No checkpoint yet" and "no good checkpoint left" are two things. In the first case the run begins at step 0; in the
second it must not, for that would cut off what it has recorded. Only the user's word (`anew`) does.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from cs336_lib.training.checkpoints.run import RunCheckpoints
from cs336_lib.training.checkpoints.snapshot import NoCheckpointError, Snapshot
from cs336_lib.training.ranks import Ranks
from cs336_lib.training.records import Onlooker, RunRecord


@contextmanager
def taken_up(folder: str | Path, ranks: Ranks) -> Iterator[RunRecord]:
    """Hold the record of a run against other processes while it is taken up again.

    Args:
        folder: of the run.
        ranks: the processes; all but the first look on.

    Raises:
        FileNotFoundError: the folder is no run.
        RuntimeError: another process is running it.
    """
    with ranks.together():
        record = (Onlooker if ranks.rank else RunRecord)(folder)
    with ExitStack() as held:
        with ranks.together():
            held.enter_context(record.locked())
        yield record


def last_snapshot(
    record: RunRecord, checkpoints: RunCheckpoints, say: Callable[[str], object], *, anew: bool = False
) -> Snapshot | None:
    """Return what a run goes on from, None for its beginning.

    Args:
        record: of the run.
        checkpoints: of the run.
        say: called with a line if it goes on from its beginning.
        anew: begin at step 0 whatever is there.

    Raises:
        BadCheckpointError: there are checkpoints, and all are damaged.
        NoCheckpointError: there are none although the record says that some were written.
        OSError: a checkpoint can't be read at the moment; it may be whole.
    """
    if anew:
        say(f"{record.folder} begins at step 0, as asked for")
        return None
    try:
        return checkpoints.load("last")
    except NoCheckpointError as error:
        saved = record.saved
        if saved is None:
            say(f"{record.folder} has no checkpoint yet; it begins at step 0")
            return None
        raise NoCheckpointError(
            f"{record.folder} had a checkpoint of step {saved}, and now {checkpoints.folder} has none: is the disk "
            f"that it lies on mounted? Put it back, or begin at step 0, which cuts off what the run has recorded: "
            f"cs336 resume {shlex.quote(str(record.folder))} --anew"
        ) from error
