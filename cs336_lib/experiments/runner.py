"""Run a suite: train what is not there yet, go on with what was cut off, leave alone what is finished."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from cs336_lib.atomic import write_whole
from cs336_lib.bars import bar as progress_bar
from cs336_lib.experiments.outcome import Outcome, outcome
from cs336_lib.experiments.suite import PlannedRun, Suite
from cs336_lib.training import PreparedCorpus, RunRecord, TrainConfig, Trainer, prepare
from cs336_lib.training.records import CONFIG
from cs336_lib.training.trainer import Writer

DONE = ("finished", "diverged")


def run_suite(
    suite: Suite,
    scale: str = "quick",
    folder: str | Path = "runs",
    *,
    data: str | None = None,
    write_sample: Writer | None = None,
    progress: bool = True,
) -> list[tuple[PlannedRun, RunRecord]]:
    """Make the runs of a suite that are not made yet.

    A run that diverged counts as made: that it did is a result. One that was interrupted goes on from its last
    checkpoint. One that another suite under the same folder has made already is copied: suites that ask about the same
    model share its plain runs.

    Args:
        suite: the comparison.
        scale: one of its scales.
        folder: the runs go to `folder/SUITE-SCALE/RUN`; those on another text to `folder/SUITE-SCALE-TEXT/RUN`.
        data: train on this text instead of the scale's own: "tales", "tinystories", "owt", or the path of a text file
            or of a folder with a `*train*.txt` and a `*valid*.txt`.
        write_sample: writes the samples of the runs; none when None.
        progress: show a bar over the suite, with one for each run under it.

    Returns:
        Plan and record of each run, in the order of the plan.

    Raises:
        FileNotFoundError: there is no such text.
        ValueError: there is no such scale, the suite takes no other text, or a folder holds a run with another config.
    """
    home = Path(folder) / suite.folder(scale, data)
    corpora: dict[tuple[object, ...], PreparedCorpus] = {}
    found = []
    plan = suite.plan(scale, data)
    with progress_bar(plan, desc=home.name, unit="run", disable=not progress) as bar:
        for run in bar:
            bar.set_postfix_str(run.config.name)
            found.append((run, _made(run, home / run.config.name, corpora, write_sample, progress)))
    return found


def _made(
    run: PlannedRun,
    folder: Path,
    corpora: dict[tuple[object, ...], PreparedCorpus],
    sample: Writer | None,
    progress: bool,
) -> RunRecord:
    """Return the record of a finished run, making it first if need be."""
    shown: dict[str, Any] = {"write_sample": sample, "progress": progress}
    if (folder / "config.json").exists():
        record = RunRecord(folder)
        _must_be(record.config, run.config, folder)
        if record.status["status"] in DONE:
            return record
        trainer = Trainer.resume(folder, _corpus(run.config, corpora, progress), **shown)
    elif (twin := _twin(run.config, folder)) is not None:
        return _copied(twin, run.config, folder)
    else:
        trainer = Trainer(run.config, folder, _corpus(run.config, corpora, progress), **shown)
    return trainer.fit()


def _twin(config: TrainConfig, folder: Path) -> RunRecord | None:
    """Return the record of a run of another suite that is done and would have gone the same way, None without one."""
    for path in sorted(folder.parent.parent.glob(f"*/*/{CONFIG}")):
        record = RunRecord(path.parent)
        if record.status["status"] in DONE and _is_same(record, config):
            return record
    return None


def _is_same(record: RunRecord, config: TrainConfig) -> bool:
    """Return whether a run and a planned one differ in their name alone, or in a limit that neither has come near."""
    found = record.config.replace(name=config.name)
    if found == config:
        return True
    if found.replace(diverged_above=config.diverged_above) != config or outcome(record) is not Outcome.FINISHED:
        return False
    highest = max(record.series("train_loss")[1], default=0.0)
    return highest <= min(found.loss_limit, config.loss_limit)


def _copied(twin: RunRecord, config: TrainConfig, folder: Path) -> RunRecord:
    """Copy a record, without its checkpoints, under another name; its config goes last, which makes it a run."""
    left_out = shutil.ignore_patterns(CONFIG, "checkpoints", ".*")
    shutil.copytree(twin.folder, folder, ignore=left_out, dirs_exist_ok=True)
    write_whole(folder / CONFIG, config.to_json())
    return RunRecord(folder)


def _corpus(config: TrainConfig, corpora: dict[tuple[object, ...], PreparedCorpus], progress: bool) -> PreparedCorpus:
    """Return what a run reads; runs that read the same share it."""
    model = config.model
    what = (
        *(config.data, config.valid_data, config.data_bytes, config.tokenizer),
        *(model.vocab_size, model.context_length),
    )
    if what not in corpora:
        corpora[what] = prepare(config, progress=progress, say=tqdm.write if progress else str)
    return corpora[what]


def _must_be(found: TrainConfig, wanted: TrainConfig, folder: Path) -> None:
    """Raise ValueError if a record is of another run than the suite asks for."""
    have, want = found.to_dict(), wanted.to_dict()
    differing = [f"{name}={have[name]!r} instead of {want[name]!r}" for name in want if have[name] != want[name]]
    if differing:
        raise ValueError(
            f"{folder} holds another run ({'; '.join(differing)}): the suite or its text is another one now; "
            "delete the folder or choose another one"
        )
