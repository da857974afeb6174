"""Where a run goes on: its last good checkpoint, or an error that says what is missing (chapter 6).

"No checkpoint yet" and "no good checkpoint left" are two things. In the first case the run begins at step 0; in the
second it must not, for that would cut off what it has recorded. Only the user's word (`anew`) does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

from cs336_lib.training.checkpoints.run import RunCheckpoints
from cs336_lib.training.checkpoints.snapshot import NoCheckpointError, Snapshot
from cs336_lib.training.config import TrainConfig
from cs336_lib.training.corpus import TooShortError
from cs336_lib.training.ranks import Ranks
from cs336_lib.training.records import Onlooker, RunRecord
from cs336_lib.typed import command

CHANGEABLE = ("device", "data", "valid_data", "steps")
"""Fields of a config that may change when a run is taken up again."""
FREE = {
    *CHANGEABLE,
    *("name", "data_bytes", "tokenizer", "log_every", "keep_checkpoints", "tensorboard", "wandb", "peak_flops"),
    *("sample_every", "sample_tokens", "sample_prompt", "eval_every", "eval_windows", "checkpoint_every"),
}
"""Fields that a checkpoint says nothing of: who edits them in `config.json` still has the same run."""


def changed(config: TrainConfig, changes: Mapping[str, Any]) -> TrainConfig:
    """Return a run's config with what is different from now on.

    Raises:
        ValueError: something is to be changed that can't be, or to something that it can't be.
    """
    for name in changes:
        if name not in CHANGEABLE:
            raise ValueError(
                f"{name} can't change on the way, or the run would be another one; what can: {', '.join(CHANGEABLE)}"
            )
    return config.replace(**changes)


def identity(config: TrainConfig) -> dict[str, Any]:
    """Return what of a config makes a run that run, as plain values: all that differs from the defaults.

    It lies in each checkpoint, so that a `config.json` that was edited since is found out. What has the value of a
    default is left out, so that a field that comes with a later version makes no difference.
    """
    given = config.to_dict()
    model = given.pop("model")
    plain = {field.name: field.default for field in fields(TrainConfig)}
    own = {name: value for name, value in given.items() if name not in FREE and value != plain[name]}
    usual = {field.name: field.default for field in fields(type(config.model))}
    return own | {f"model.{name}": value for name, value in model.items() if value != usual[name] and name != "backend"}


def check_same_run(config: TrainConfig, snapshot: Snapshot) -> None:
    """Raise ValueError if a checkpoint was saved by a run of another config; older ones do not tell."""
    saved = snapshot.extra.get("config")
    if not isinstance(saved, dict):
        return
    now = identity(config)
    for name in sorted(saved.keys() | now.keys()):
        if saved.get(name) != now.get(name):
            there, here = (found.get(name, "the default") for found in (saved, now))
            raise ValueError(
                f"config.json says {name} = {here!r}, and the checkpoint of step {snapshot.step} was saved with "
                f"{there!r}: put it back, or train a run of its own"
            )


def check_steps(config: TrainConfig, snapshot: Snapshot | None) -> None:
    """Raise ValueError if a run has done more steps than it is to have."""
    if snapshot is not None and config.steps < snapshot.step:
        raise ValueError(
            f"steps is {config.steps}, and the run has done {snapshot.step} already; say that many or more"
        )


def check_same_texts(record: RunRecord, facts: Mapping[str, Any]) -> None:
    """Raise ValueError if a text is not the one that the run began with."""
    for name, kind in (("train_sha256", "training"), ("valid_sha256", "validation")):
        before, now = record.environment.get("data", {}).get(name), facts.get(name)
        if before is not None and now is not None and before != now:
            raise ValueError(
                f"the {kind} text is not the one that {record.shown} began with (its ids have the hash {now}, and "
                f"{before} then): put it back, say where it lies (--data, --valid-data), or train a run of its own"
            )


@contextmanager
def given_same_texts(record: RunRecord) -> Iterator[None]:
    """Say of a text that is too short for the run that it is another one than the run began with."""
    try:
        yield
    except TooShortError as error:
        raise ValueError(
            f"{error.fact}, so it is not the text that {record.shown} began with: say where that lies (--data, "
            "--valid-data), or train a run of its own"
        ) from None


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
        say(f"{record.shown} begins at step 0, as asked for")
        return None
    try:
        return checkpoints.load("last")
    except NoCheckpointError as error:
        saved = record.saved
        if saved is None:
            say(f"{record.shown} has no checkpoint yet; it begins at step 0")
            return None
        raise NoCheckpointError(
            f"{record.shown} had a checkpoint of step {saved}, and now {checkpoints.shown} has none: is the disk "
            f"that it lies on mounted? Put it back, or begin at step 0, which cuts off what the run has recorded: "
            f"{command('resume', record.shown, '--anew')}"
        ) from error
