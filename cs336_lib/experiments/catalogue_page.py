"""The tables of the book's results page, as HTML, made from `catalogue` while the page is built.

Wide tables stand in a box that scrolls by itself (`div.records` in the book's style sheet), so that a phone's page
stays as wide as the phone.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

from cs336_lib import results
from cs336_lib.experiments.catalogue import (
    Coverage,
    Provenance,
    TrainingRun,
    asked_by,
    coverage,
    measurements,
    tokenizers,
    training_runs,
)
from cs336_lib.experiments.comparison import differences
from cs336_lib.experiments.suite import Suite
from cs336_lib.experiments.suites import SUITES
from cs336_lib.experiments.summary import load_suite

CHAPTERS = {
    "lr-sweep": ("8.2", "08_learning_rate"),
    "batch-size": ("8.4", "08_learning_rate"),
    "layer-norm": ("9.1", "09_ablations"),
    "post-norm": ("9.2", "09_ablations"),
    "nope": ("9.3", "09_ablations"),
    "swiglu": ("9.4", "09_ablations"),
    "main": ("10.1", "10_leaderboard"),
    "leaderboard": ("10.2", "10_leaderboard"),
    "leaderboard-124m": ("10.2", "10_leaderboard"),
}
"""Suite -> section and page that ask its question."""

ABSENT = "–"  # noqa: RUF001, it is what a reader sees
WANTS = {"full": "none on record: it needs a GPU"}


def table(
    titles: Sequence[str],
    rows: Sequence[Sequence[str]],
    numbers: Sequence[str] = (),
    texts: Sequence[str] = (),
) -> str:
    """Return a table in a box that scrolls.

    Args:
        titles: of the columns.
        rows: cells as HTML, as many as titles each.
        numbers: titles of the columns that hold numbers and stand right.
        texts: titles of the columns that hold sentences and may take several lines.

    >>> print(table(["run", "steps"], [["a", "800"]], numbers=["steps"]))
    <div class="records"><table class="table">
    <thead><tr><th>run</th><th class="number">steps</th></tr></thead>
    <tbody>
    <tr><td>a</td><td class="number">800</td></tr>
    </tbody></table></div>
    """
    names = ["number" if title in numbers else "text" if title in texts else "" for title in titles]
    kinds = [f' class="{name}"' if name else "" for name in names]
    head = "".join(f"<th{kind}>{title}</th>" for title, kind in zip(titles, kinds, strict=True))
    body = [
        "<tr>" + "".join(f"<td{kind}>{cell}</td>" for cell, kind in zip(row, kinds, strict=True)) + "</tr>"
        for row in rows
    ]
    return "\n".join(
        [
            '<div class="records"><table class="table">',
            f"<thead><tr>{head}</tr></thead>",
            "<tbody>",
            *body,
            "</tbody></table></div>",
        ]
    )


def status_table(folder: Path | None = None) -> str:
    """Return how much of each suite is on record at each scale, and the commands that make the rest.

    Args:
        folder: that of the records; the committed one when None.
    """
    found = {(row.name, row.scale): _state(row) for row in coverage(folder) if row.scale}
    scales = list(dict.fromkeys(scale for _, scale in found))
    rows = [
        [_chapter(name), escape(suite.question), *(found.get((name, scale), ABSENT) for scale in scales)]
        for name, suite in SUITES.items()
    ]
    titles = ["suite", "what it answers", *scales]
    return f'<div class="sentences">{table(titles, rows, texts=titles[1:])}</div>'


def preset_table(folder: Path | None = None) -> str:
    """Return which of the named runs are on record, and the command that makes each that is not."""
    rows = [[f"<code>{row.name}</code>", _state(row)] for row in coverage(folder) if not row.scale]
    return table(["run", "on record"], rows)


def suite_tables(folder: Path | None = None) -> str:
    """Return the recorded runs of each suite and scale, each in a box that opens."""
    runs = training_runs(folder)
    parts = []
    for row in coverage(folder):
        here = _in_order(row, runs) if row.scale else []
        if here:
            lacking = f"<p>Not on record: {', '.join(map(escape, row.missing))}.</p>" if row.missing else ""
            shown = _shown(SUITES[row.name], row.scale, folder or results.folder())
            parts.append(_box(f"{row.name}, scale {row.scale}", SUITES[row.name].question, here, shown + lacking))
    known = {f"{name}-{scale}" for name, suite in SUITES.items() for scale in suite.scales}
    for group in dict.fromkeys(run.group for run in runs if run.group and run.group not in known):
        here = sorted((run for run in runs if run.group == group), key=lambda run: (run.config.lr, run.path))
        asked = asked_by(here[0])
        name = f"{asked.suite}, scale {asked.scale}, on {asked.data}" if asked else group
        says = SUITES[asked.suite].question if asked else "No suite of the library asks this."
        parts.append(_box(name, says, here, ""))
    return "\n".join(parts)


def _shown(suite: Suite, scale: str, home: Path) -> str:
    """Return what the comparisons of a suite show, as a list; nothing for one that compares no sides."""
    found = differences(suite, load_suite(suite, scale, home / "experiments"))
    lines = "".join(f"<li>{escape(difference.sentence())}</li>" for difference in found)
    return f"<p>What the runs show, each side at its own best rate:</p><ul>{lines}</ul>" if lines else ""


def single_runs(folder: Path | None = None) -> str:
    """Return the runs that belong to no suite."""
    return _runs([run for run in training_runs(folder) if not run.group])


def tokenizer_table(folder: Path | None = None) -> str:
    """Return the tokenizers with what their training took."""
    rows = [
        [
            f"<code>{escape(found.path)}</code>",
            escape(found.label),
            f"{found.text_bytes / 1e6:.1f} MB",
            f"{found.vocab_size:,}",
            f"{found.seconds:.2f} s",
            f"{found.peak_memory / 1e6:,.0f} MB",
            _origin(found.provenance, "python", "numba"),
        ]
        for found in tokenizers(folder)
    ]
    titles = ["tokenizer", "text", "size", "vocabulary", "time", "memory"]
    return table([*titles, ORIGIN], rows, numbers=titles[2:], texts=["text", ORIGIN])


def measurement_table(folder: Path | None = None) -> str:
    """Return the measurements: what, on what, when, with which versions."""
    rows = []
    for found in measurements(folder):
        name = f"<code>{escape(found.path)}</code>" + (f"<br>{escape(found.entry)}" if found.entry else "")
        versions = ", ".join(f"{package} {version}" for package, version in found.provenance.versions.items())
        origin = found.provenance
        facts = [origin.device, versions, origin.date, origin.commit]
        rows.append([name, escape(", ".join(found.parts)), *(escape(fact) or "not recorded" for fact in facts)])
    titles = ["record", "what it holds", "device", "versions", "date", "commit"]
    return table(titles, rows, texts=["what it holds", "versions"])


ORIGIN = "made on"
"""Title of the column that says where a record comes from."""


def _origin(origin: Provenance, *packages: str) -> str:
    """Return device, threads, versions, date and commit as one cell."""
    threads = f"{origin.threads} thread{'s' * (origin.threads > 1)}" if origin.threads else ""
    versions = [f"{name} {origin.versions[name]}" for name in packages if name in origin.versions]
    known = [origin.device, threads, *versions, origin.date, f"commit {origin.commit}" if origin.commit else ""]
    return escape(", ".join(fact for fact in known if fact)) or ABSENT


def _box(name: str, question: str, runs: Sequence[TrainingRun], after: str) -> str:
    states = [run.status for run in runs]
    said = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    summary = f"<summary><b>{escape(name)}</b>: {said}</summary>"
    return f"<details>\n{summary}\n<p>{escape(question)}</p>\n{after}\n{_runs(runs)}\n</details>"


def _runs(runs: Sequence[TrainingRun]) -> str:
    titles = ["run", "valid loss", "bits/byte", "status", "steps", "tokens", "time", "tokens/s"]  # results first
    rows = [
        [
            f"<code>{escape(_name(run))}</code>",
            _number(run.valid_loss, ".4f"),
            _number(run.bits_per_byte, ".4f"),
            run.status if run.status == "finished" else f"{run.status} at step {run.step:,} of {run.config.steps:,}",
            f"{run.step:,}",
            f"{run.tokens / 1e6:,.2f} M",
            f"{run.seconds:,.0f} s",
            _number(run.tokens_per_second, ",.0f"),
            _origin(run.provenance, "python", "torch"),
        ]
        for run in runs
    ]
    return table([*titles, ORIGIN], rows, numbers=[*titles[1:3], *titles[4:]], texts=[ORIGIN])


def _in_order(row: Coverage, runs: Sequence[TrainingRun]) -> list[TrainingRun]:
    """Return the runs of a suite in the order of its plan, then those that it does not ask for."""
    names = [planned.config.name for planned in SUITES[row.name].plan(row.scale)]
    here = {_name(run): run for run in runs if run.group == f"{row.name}-{row.scale}"}
    return [here[name] for name in dict.fromkeys([*names, *here]) if name in here]


def _name(run: TrainingRun) -> str:
    return run.path.rpartition("/")[2]


def _number(value: float | None, form: str) -> str:
    return ABSENT if value is None else format(value, form)


def _chapter(suite: str) -> str:
    section, page = CHAPTERS.get(suite, ("", ""))
    name = f"<code>{escape(suite)}</code>"
    return f'{name} (<a href="../notebooks/{page}.html">{section}</a>)' if page else name


def _state(row: Coverage) -> str:
    """Return in words how much of a plan is there, and the command that makes the rest."""
    if row.scale == "quick" and not row.recorded + row.unfinished:
        return f"{row.planned} runs, none on record<br><code>{escape(row.command)}</code>"
    made = f", made on {escape(' and '.join(row.devices))}" if row.recorded else ""
    lacks = f", {WANTS.get(row.scale, 'none on record')}" if len(row.missing) == row.planned else ""
    said = [f"{row.recorded} of {row.planned}{made}{lacks}"]
    if row.diverged:
        said.append(f"{row.diverged} of them diverged, which is a result")
    if row.thrown_out:
        said.append(f"{row.thrown_out} of them thrown out early")
    if row.unfinished:
        said.append(f"{row.unfinished} begun and not over")
    if row.recorded < row.planned:
        said.append(f"<code>{escape(row.command)}</code>")
    return "<br>".join(said)
