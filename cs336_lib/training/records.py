"""Run records: what a run was, what it ran on, and how it went, as files that can be read while it runs (chapter 6).

::

    config.json         the `TrainConfig`
    environment.json    device, versions, commit, data, and what was chosen automatically and why
    metrics.jsonl       a line every `log_every` steps, and one for each evaluation
    samples.txt         what the model wrote on the way
    status.json         running, finished, diverged (thrown_out: by the limit alone) or interrupted; at which step; why
    tokenizer/          what turns its ids into text
    checkpoints/        see `checkpoints.run`

A line of metrics is written with one call, so that a reader sees whole lines. If a crash tears the last one all the
same, readers leave it out and a resumed run cuts it off.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from cs336_lib import locks, results
from cs336_lib.atomic import targets, write_whole
from cs336_lib.locks import held, is_held, make_folder
from cs336_lib.naming import check_whole
from cs336_lib.plain import json_ready
from cs336_lib.training.config import TrainConfig
from cs336_lib.training.record_files import (
    append_line,
    check_undamaged,
    first_torn,
    foreign_in,
    metrics_of,
    read_object,
    whole_lines,
)
from cs336_lib.training.sample_files import append_sample, cut_samples, samples_of
from cs336_lib.typed import command

if TYPE_CHECKING:
    from cs336_lib.bpe import Tokenizer

Status = Literal["running", "finished", "diverged", "interrupted"]

CONFIG, ENVIRONMENT, METRICS, SAMPLES, STATUS = (
    "config.json",
    "environment.json",
    "metrics.jsonl",
    "samples.txt",
    "status.json",
)
TOKENIZER, CHECKPOINTS, LOCK = "tokenizer", "checkpoints", ".lock"
_KEYED = ((ENVIRONMENT, "device"), (STATUS, "status"))
TIMINGS = ("seconds", "tokens_per_second", "mfu", "compile_seconds", "peak_memory")
"""Metrics that differ between two runs of the same config; all others repeat to the bit on a CPU."""


class RunRecord:
    """The folder of one run.

    Args:
        folder: where the record lies.

    Raises:
        FileNotFoundError: the folder holds no record.

    Attributes:
        folder: absolute, so that it is found wherever the process goes.
        shown: as it was given, for what people read.

    >>> import tempfile
    >>> from cs336_lib.model import ModelConfig
    >>> config = TrainConfig(ModelConfig.preset("tales-1m"), data_bytes=1000)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     record = RunRecord.create(Path(folder) / "run", config, {"device": "CPU"})
    ...     record.append({"step": 10, "train_loss": 5.5, "lr": 1e-3})
    ...     record.append({"step": 20, "train_loss": math.nan})
    ...     RunRecord(Path(folder) / "run").series("train_loss")
    ([10, 20], [5.5, nan])
    """

    def __init__(self, folder: str | Path) -> None:
        self.shown, self.folder = Path(folder), Path(folder).absolute()
        if not (self.folder / CONFIG).is_file():
            raise FileNotFoundError(f"{self.shown} is no run: it has no {CONFIG}")

    @classmethod
    def create(cls, folder: str | Path, config: TrainConfig, environment: Mapping[str, Any]) -> RunRecord:
        """Begin a record.

        Args:
            folder: made with its parents.
            config: the run.
            environment: what it runs on; plain JSON values.

        Raises:
            FileExistsError: the folder holds a run already.
        """
        folder = Path(folder)
        cls.check_free(folder)
        about = json.dumps(json_ready(environment, "environment"), indent=2) + "\n"
        make_folder(folder, parents=True)
        # Of two that begin the same run at once, one gets the folder.
        with held(folder / LOCK, f"another process is beginning a run in {folder}", wait=lambda line: None):
            cls.check_free(folder)
            write_whole(folder / ENVIRONMENT, about)
            write_whole(folder / METRICS, "")
            write_whole(folder / STATUS, _status("running", 0, "", {}))
            write_whole(folder / CONFIG, config.to_json())
            return cls(folder)

    @staticmethod
    def check_free(folder: str | Path) -> None:
        """Raise FileExistsError if the folder holds a run already, or files of something else that a run would replace.

        What a run leaves that was killed when it began is neither: no config, no metrics yet.
        """
        if (Path(folder) / CONFIG).exists():
            raise FileExistsError(
                f"{folder} holds a run already: go on with it ({command('resume', folder)}), give this one "
                "another name, or delete the folder"
            )
        samples = Path(folder) / SAMPLES
        appended = samples.exists() and not samples.is_file()  # to what takes them, such as /dev/null: nothing is lost
        targets(Path(folder), (CONFIG, ENVIRONMENT, METRICS, *(() if appended else (SAMPLES,)), STATUS))
        from cs336_lib.bpe.formats.folders import check_own_folder

        check_own_folder(Path(folder) / TOKENIZER)
        if (foreign := foreign_in(Path(folder), (METRICS, SAMPLES), _KEYED, CHECKPOINTS)) is not None:
            raise FileExistsError(
                f"{foreign} is of no run that is beginning, and would be lost; give this one another name, or "
                "move it away"
            )

    @property
    def config(self) -> TrainConfig:
        """What was run."""
        return TrainConfig.from_file(self.folder / CONFIG)

    @property
    def environment(self) -> dict[str, Any]:
        """What it ran on.

        Raises:
            ValueError: the file is damaged.
        """
        found = read_object(self.folder / ENVIRONMENT)
        for name, kind in (("data", dict), ("resumed", list)):
            if not isinstance(found.get(name, kind()), kind):
                raise ValueError(f"{self.folder / ENVIRONMENT} is damaged: its {name} is {found[name]!r}")
        return found

    @property
    def tokenizer(self) -> Tokenizer:
        """What turns its ids into text. Records that come with the book share one copy of those that are equal.

        Raises:
            FileNotFoundError: the run was given ids without a tokenizer.
        """
        from cs336_lib.bpe import Tokenizer

        return Tokenizer.from_folder(self.tokenizer_folder)

    @property
    def tokenizer_folder(self) -> Path:
        """Where that tokenizer lies; nothing is there if the run was given ids without one."""
        own = self.folder / TOKENIZER
        made_of = self.environment.get("data", {}).get("tokenizer")
        if not own.is_dir() and made_of:
            with suppress(FileNotFoundError):  # without records of the book
                shared = results.folder() / "tokenizers" / "of-runs" / made_of
                if shared.is_dir():
                    return shared
        return own

    @property
    def status(self) -> dict[str, Any]:
        """The state of the run: `status`, `step` and `message`.

        A run that says "running" although nobody writes to it (its process was killed) is "interrupted".
        """
        status = {"status": "interrupted", "step": 0, "message": "", **read_object(self.folder / STATUS)}
        if not isinstance(status["status"], str) or type(status["step"]) is not int:
            raise ValueError(f"{self.folder / STATUS} is damaged: {status['status']!r} at step {status['step']!r}")
        if status["status"] == "running" and locks.work_in(self.folder) and not self.is_locked():
            status = {**status, "status": "interrupted", "message": "the process was killed"}
        return status

    def set_status(self, status: Status, step: int, message: str = "", **facts: Any) -> None:
        """Write the state of the run."""
        write_whole(self.folder / STATUS, _status(status, step, message, facts))

    def finish(self, step: int, seconds: float, rates: Mapping[str, float]) -> None:
        """Write that the run has come to its end.

        Args:
            step: its last.
            seconds: spent in training steps.
            rates: tokens per second and the like; none if nothing was left to do, and then those that are there stay.
        """
        before = read_object(self.folder / STATUS)
        kept = {name: before[name] for name in TIMINGS[1:] if name in before}
        self.set_status("finished", step, "", saved=step, seconds=seconds, **{**kept, **rates})

    @property
    def saved(self) -> int | None:
        """The step of a checkpoint that must have been written, None if there need not be one yet."""
        every, (steps, _) = self.config.checkpoint_every, self.series("tokens")
        known = [int(self.status.get("saved", 0))]
        if every and steps:
            known.append((steps[-1] - 1) // every * every)  # the line of a step is written before its checkpoint
        return max(known) or None

    def append(self, line: Mapping[str, Any]) -> None:
        """Add a line of metrics; it is in the file when this returns. JSON has no nan and inf: they become strings.

        Raises:
            TypeError, ValueError: its step is missing or no whole number, or JSON can't hold a value; the error says
                which. Nothing was written.
        """
        append_line(self.folder / METRICS, line)

    def metrics(self) -> list[dict[str, Any]]:
        """Return all whole lines of metrics, in order."""
        return metrics_of(self.folder / METRICS)

    def damage(self) -> str | None:
        """Return what is wrong with the metrics of a run that is over, in one line; None if nothing is."""
        if (status := self.status)["status"] not in ("finished", "diverged"):  # a kill may tear a line: resume mends it
            return None
        path, lines = self.shown / METRICS, self.metrics()
        if (torn := first_torn(self.folder / METRICS)) is not None:
            return f"{path} is damaged: its line {torn} is no line of metrics; what stands before it is shown"
        last = lines[-1]["step"] if lines else 0
        if status["status"] == "finished" and last < status["step"]:
            return f"{path} is damaged: it ends at step {last:,}, and the run at step {status['step']:,}"
        return None

    def series(self, name: str) -> tuple[list[int], list[float]]:
        """Return the steps at which a metric was written, and its values."""
        lines = [line for line in self.metrics() if name in line]
        return [line["step"] for line in lines], [line[name] for line in lines]

    def last(self, name: str) -> float | None:
        """Return the last value of a metric, None if there is none."""
        return next((line[name] for line in reversed(self.metrics()) if name in line), None)

    def best(self, name: str = "valid_loss") -> float | None:
        """Return the smallest value of a metric, None if there is none."""
        values = [value for value in self.series(name)[1] if not math.isnan(value)]
        return min(values, default=None)

    def add_sample(self, step: int, text: str, about: str = "") -> None:
        """Add a text that the model wrote; `samples` gives it back as it is."""
        append_sample(self.folder / SAMPLES, check_whole("step", step), text, about)

    def samples(self) -> list[tuple[int, str]]:
        """Return step and text of every sample."""
        return samples_of(self.folder / SAMPLES)

    def rewind(self, step: int) -> None:
        """Cut off what was written after `step`, and a torn line, so that a resumed run can go on from there.

        Raises:
            ValueError: a line of metrics before the last is damaged; nothing was cut off.
        """
        step, path = check_whole("step", step), self.folder / METRICS
        raw = path.read_bytes() if path.exists() else b""
        if step:
            check_undamaged(self.shown / METRICS, raw)
        keep = max((end for line, end in whole_lines(raw) if line["step"] <= step), default=0)
        if keep < len(raw):
            write_whole(path, raw[:keep].decode())
        cut_samples(self.folder / SAMPLES, step)

    def change_config(self, config: TrainConfig) -> None:
        """Write what is run from here on; only what may change on the way differs from before."""
        write_whole(self.folder / CONFIG, config.to_json())

    def note_resume(self, facts: Mapping[str, Any]) -> None:
        """Add to environment.json that the run goes on, and on what."""
        environment = self.environment
        environment.setdefault("resumed", []).append(json_ready(facts, "resumed"))
        write_whole(self.folder / ENVIRONMENT, json.dumps(environment, indent=2) + "\n")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the run for one writer.

        Raises:
            RuntimeError: another process is writing to it.
        """
        with held(self.folder / LOCK, f"another process is running {self.shown}; stop it, or wait for it"):
            yield

    def is_locked(self) -> bool:
        """Return whether a process is writing to the run."""
        return is_held(self.folder / LOCK)


class Onlooker(RunRecord):
    """The record of a run as ranks other than 0 see it: they read it and write nothing."""

    def set_status(self, status: Status, step: int, message: str = "", **facts: Any) -> None:
        """Leave it to rank 0."""

    def append(self, line: Mapping[str, Any]) -> None:
        """Leave it to rank 0."""

    def add_sample(self, step: int, text: str, about: str = "") -> None:
        """Leave it to rank 0."""

    def rewind(self, step: int) -> None:
        """Leave it to rank 0."""

    def change_config(self, config: TrainConfig) -> None:
        """Leave it to rank 0."""

    def note_resume(self, facts: Mapping[str, Any]) -> None:
        """Leave it to rank 0."""

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Leave it to rank 0."""
        yield


def find_runs(folder: str | Path = "runs") -> list[RunRecord]:
    """Return the records under a folder, sorted by name; the folder itself if it is a run."""
    folder = Path(folder)
    if (folder / CONFIG).is_file():
        return [RunRecord(folder)]
    return [RunRecord(path.parent) for path in sorted(folder.glob(f"*/{CONFIG}"))]


def _status(status: Status, step: int, message: str, facts: Mapping[str, Any]) -> str:
    known = {"status": status, "step": check_whole("step", step), "message": message}
    return json.dumps({**known, **json_ready(facts, "facts")}, indent=2) + "\n"
