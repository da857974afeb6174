"""Everything that `results/` holds, as data: runs, tokenizers, measurements, and how much of each plan is there.

What `summary` is for one suite, this is for the whole folder. Nothing is typed: a record is found because its file is
there, and `strays` names the files that belong to no record. `catalogue_page` makes the tables of the book's results
page from it.

>>> from cs336_lib.experiments.catalogue import coverage
>>> [(row.scale, row.planned) for row in coverage() if row.name == "main"]
[('quick', 3), ('cpu', 3), ('full', 2)]
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from cs336_lib import results
from cs336_lib.experiments.outcome import outcome
from cs336_lib.experiments.suites import SUITES
from cs336_lib.jsonfile import read_json
from cs336_lib.training.config import TrainConfig
from cs336_lib.training.records import CONFIG, RunRecord

TOKENIZER = "record.json"
"""A folder with this file is a trained tokenizer."""

SHARED = "tokenizers/of-runs"
"""Where the tokenizers of runs lie, each once."""
MEASURED = ("benchmarks", "tokenizers")
"""Folders whose other JSON files are measurements."""

VERSION = re.compile(r"\d+\.\d")
DONE = ("finished", "diverged", "thrown out")
SAME_RUN = ("model", "data", "batch_size", "accumulation", "steps", "optimizer", "lr", "min_lr", "schedule")


@dataclass(frozen=True)
class Provenance:
    """Where a record comes from.

    Attributes:
        device: what it ran on, empty if the record does not say.
        date: the day, as year-month-day.
        commit: of the library.
        threads: of the CPU, 0 if the record does not say.
        versions: package -> version, with "python".
    """

    device: str = ""
    date: str = ""
    commit: str = ""
    threads: int = 0
    versions: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Provenance:
        """Read it from a record, whether it keeps its versions in "environment" or beside the rest.

        >>> origin = Provenance.of({"device": "CPU", "environment": {"python": "3.11.7", "cores": "2"}})
        >>> origin.versions, origin.missing()
        ({'python': '3.11.7'}, ('date', 'commit'))
        """
        facts = {**record, **record.get("environment", {})}
        device, machine = str(facts.get("device", "")), _machine(facts)
        return cls(
            device=machine if machine and device in ("", "CPU") else device,
            date=str(facts.get("date", "")),
            commit=str(facts.get("commit", "")),
            threads=int(facts.get("threads", facts.get("workers", 0))),
            versions={name: fact for name, fact in facts.items() if isinstance(fact, str) and VERSION.match(fact)},
        )

    def missing(self) -> tuple[str, ...]:
        """Return what a reader can't find out: any of "device", "versions", "date", "commit"."""
        return tuple(name for name in ("device", "versions", "date", "commit") if not getattr(self, name))


@dataclass(frozen=True)
class TrainingRun:
    """A run of the trainer.

    Attributes:
        path: its folder inside `results/`.
        config: what was run.
        status: "finished", "diverged", "thrown out" (by its limit), "interrupted" or "running".
        step: the last one of which there is a line.
        tokens: seen by then.
        seconds: of training, evaluations not counted.
        tokens_per_second: over the run.
        valid_loss: the last one, in nats per token; None if there was no evaluation.
        bits_per_byte: the same loss by the bytes of the text.
        provenance: where it comes from.
    """

    path: str
    config: TrainConfig
    status: str
    step: int
    tokens: int
    seconds: float
    tokens_per_second: float | None
    valid_loss: float | None
    bits_per_byte: float | None
    provenance: Provenance

    @property
    def group(self) -> str:
        """Name of the folder of its suite, such as "nope-cpu"; empty for a run that belongs to none."""
        parts = self.path.split("/")
        return parts[1] if parts[0] == "experiments" and len(parts) == 3 else ""


@dataclass(frozen=True)
class TrainedTokenizer:
    """A tokenizer trained on a text.

    Attributes:
        path: its folder inside `results/`.
        label: what the text is, as who trained it said.
        text_bytes: of the text.
        vocab_size: entries.
        seconds: of the training.
        peak_memory: in bytes, of the process.
        provenance: where it comes from.
    """

    path: str
    label: str
    text_bytes: int
    vocab_size: int
    seconds: float
    peak_memory: int
    provenance: Provenance


@dataclass(frozen=True)
class Measurement:
    """A measurement: a file, or one of the entries of a file that holds several.

    Attributes:
        path: its file inside `results/`.
        entry: name of the entry, empty if the file is one measurement.
        parts: names of what was measured.
        provenance: where it comes from.
    """

    path: str
    entry: str
    parts: tuple[str, ...]
    provenance: Provenance


@dataclass(frozen=True)
class Coverage:
    """How much of a plan is on record.

    Attributes:
        name: of the suite, or of the preset.
        scale: "quick", "cpu" or "full"; empty for a preset.
        planned: number of runs.
        finished: those that reached their last step.
        diverged: those whose loss grew past any bound, was not a number, or stayed above guessing; a result.
        thrown_out: those that their limit stopped before it was to be seen whether they diverge; a result as well.
        unfinished: those that were begun and are not over.
        devices: what they ran on.
        missing: names of the planned runs that have no record.
    """

    name: str
    scale: str
    planned: int
    finished: int
    diverged: int
    thrown_out: int
    unfinished: int
    devices: tuple[str, ...]
    missing: tuple[str, ...]

    @property
    def recorded(self) -> int:
        """Number of planned runs that are over and on record."""
        return self.finished + self.diverged + self.thrown_out

    @property
    def command(self) -> str:
        """What makes the runs that are missing."""
        if not self.scale:
            return f"cs336 train {self.name}"
        return f"cs336 experiment {self.name}" + ("" if self.scale == "quick" else f" --scale {self.scale}")


class Question(NamedTuple):
    """Which suite asks for a run, at which scale, and on which text if not on its own."""

    suite: str
    scale: str
    data: str | None


def training_runs(folder: Path | None = None) -> list[TrainingRun]:
    """Return every run below a folder, sorted by path.

    Args:
        folder: that of the records; the committed one when None.
    """
    home = folder or results.folder()
    return [_run(path.parent, home) for path in sorted(home.rglob(CONFIG))]


def tokenizers(folder: Path | None = None) -> list[TrainedTokenizer]:
    """Return every trained tokenizer below a folder that keeps how it was trained, sorted by path."""
    home = folder or results.folder()
    return [_tokenizer(path, home) for path in sorted(home.rglob(TOKENIZER))]


def _trained_on(label: str, size: int) -> str:
    """Return what a label says of the text of this size, where it lists several texts with their sizes.

    >>> _trained_on("samples: 16,391 stories (13.6 MB), 1,359 documents (6.4 MB)", 6_420_832)
    'a sample: 1,359 documents (6.4 MB)'
    """
    own = [part for part in re.findall(r"\d[^():]*\([\d.]+ MB\)", label) if f"({size / 1e6:.1f} MB)" in part]
    return f"a sample: {own[0]}" if len(own) == 1 and label.startswith("samples: ") else label


def measurements(folder: Path | None = None) -> list[Measurement]:
    """Return every measurement, sorted by path; a file that holds several gives one each."""
    home = folder or results.folder()
    files = sorted(path for name in MEASURED for path in (home / name).glob("*.json"))
    return [found for path in files for found in _measurements(path, home)]


def strays(folder: Path | None = None) -> list[str]:
    """Return the files that belong to no record and are no README, as paths inside the folder."""
    home = folder or results.folder()
    runs = training_runs(home)
    records = {home / run.path for run in runs} | {home / found.path for found in tokenizers(home)}
    listed = {home / found.path for found in measurements(home)}
    of_runs = {RunRecord(home / run.path).tokenizer_folder.name for run in runs}
    return [
        path.relative_to(home).as_posix()
        for path in sorted(home.rglob("*"))
        if path.is_file()
        and path not in listed
        and path != home / "README.md"
        and not any(parent in records for parent in path.parents)
        and not (path.parent.parent == home / SHARED and path.parent.name in of_runs)
    ]


def coverage(folder: Path | None = None) -> list[Coverage]:
    """Return one row per suite and scale, in the order of the book, then one per preset.

    Args:
        folder: that of the records; the committed one when None.
    """
    runs = training_runs(folder)
    by_path = {run.path: run for run in runs}
    rows = []
    for suite in SUITES.values():
        for scale in suite.scales:
            names = [planned.config.name for planned in suite.plan(scale)]
            paths = {name: f"experiments/{suite.name}-{scale}/{name}" for name in names}
            found = [by_path[path] for path in paths.values() if path in by_path]
            lacking = tuple(name for name, path in paths.items() if path not in by_path)
            rows.append(_coverage(suite.name, scale, len(names), found, lacking))
    for name, preset in TrainConfig.presets().items():
        found = [run for run in runs if not run.group and _same_run(run.config, preset)]
        rows.append(_coverage(name, "", 1, found[:1], () if found else (name,)))
    return rows


def asked_by(run: TrainingRun) -> Question | None:
    """Return what a run's folder says that it answers; None for one that belongs to no suite."""
    for suite in SUITES.values():
        for scale in suite.scales:
            for data in (None, run.config.data):
                if suite.folder(scale, data) == run.group:
                    return Question(suite.name, scale, data)
    return None


def unplanned(folder: Path | None = None) -> list[str]:
    """Return the runs in folders of suites that their plans do not ask for, or ask for with another config."""
    found, plans = [], {}
    for run in training_runs(folder):
        if run.group and run.group not in plans:
            question = asked_by(run)
            asked = [] if question is None else SUITES[question.suite].plan(question.scale, question.data)
            plans[run.group] = {planned.config.name: planned.config for planned in asked}
        if run.group and plans[run.group].get(run.path.rpartition("/")[2]) != run.config:
            found.append(run.path)
    return found


def _run(folder: Path, home: Path) -> TrainingRun:
    record = RunRecord(folder)
    status, config, lines = record.status, record.config, record.metrics()
    last = lines[-1] if lines else {}
    return TrainingRun(
        path=folder.relative_to(home).as_posix(),
        config=config,
        status=str(end) if (end := outcome(record)).is_over else status["status"],
        step=max(int(status["step"]), int(last.get("step", 0))),
        tokens=int(last.get("tokens", 0)),
        seconds=float(status.get("seconds") or last.get("seconds", 0.0)),
        tokens_per_second=status.get("tokens_per_second") or _last(lines, "tokens_per_second"),
        valid_loss=_last(lines, "valid_loss"),
        bits_per_byte=_last(lines, "valid_bits_per_byte"),
        provenance=Provenance.of(record.environment),
    )


def _last(lines: Sequence[Mapping[str, Any]], name: str) -> float | None:
    return next((line[name] for line in reversed(lines) if name in line), None)


def _tokenizer(path: Path, home: Path) -> TrainedTokenizer:
    record = read_json(path)
    return TrainedTokenizer(
        path=path.parent.relative_to(home).as_posix(),
        label=_trained_on(record.get("label", ""), record["text_bytes"]),
        text_bytes=record["text_bytes"],
        vocab_size=record["vocab_size"],
        seconds=record["seconds"]["total"],
        peak_memory=record["peak_memory_bytes"],
        provenance=Provenance.of(record),
    )


def _measurements(path: Path, home: Path) -> Iterator[Measurement]:
    record = read_json(path)
    inner = {name: value for name, value in record.items() if isinstance(value, dict) and name != "environment"}
    several = not Provenance.of(record).device and any("environment" in value for value in inner.values())
    for entry, content in inner.items() if several else [("", record)]:
        parts = tuple(name for name in content if isinstance(content[name], dict) and name != "environment")
        yield Measurement(path.relative_to(home).as_posix(), entry, parts, Provenance.of(content))


def _machine(facts: Mapping[str, Any]) -> str:
    """Return the device as `device_name` of the benchmarks says it, from system and cores."""
    system = str(facts.get("system", "")).split()
    return f"{facts['cores']}-core {system[-1]} CPU" if system and "cores" in facts else ""


def _same_run(config: TrainConfig, preset: TrainConfig) -> bool:
    return all(getattr(config, name) == getattr(preset, name) for name in SAME_RUN)


def _coverage(name: str, scale: str, planned: int, found: Sequence[TrainingRun], missing: tuple[str, ...]) -> Coverage:
    count = [run.status for run in found].count
    devices = tuple(dict.fromkeys(run.provenance.device for run in found))
    unfinished = sum(run.status not in DONE for run in found)
    ends = count("finished"), count("diverged"), count("thrown out")
    return Coverage(name, scale, planned, *ends, unfinished, devices, missing)
