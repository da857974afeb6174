"""The tables of the book's pages on the editions, on the problems and on what others got, as HTML, made from data.

The data are those of `cs336_lib.editions`; what costs time or money is computed by `cs336_lib.accounting`. Nothing
about an edition is typed here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from pathlib import Path

from cs336_lib.accounting import DEVICES, Bill, Cluster, mfu, parameter_count, training_flops, training_time
from cs336_lib.editions import (
    BOARD,
    COMPARISONS,
    COURSE_PRICES,
    DIFFERENCES,
    EDITIONS,
    EFFECTS,
    PROBLEMS,
    REPORTS,
    SLIPS,
    BoardEntry,
    Edition,
    gpu_hours,
    points,
)
from cs336_lib.editions.problems import CHAPTERS
from cs336_lib.editions.reports import H100_PRICE, H100_PRICE_SOURCE, OUTSIDE_RATE
from cs336_lib.experiments.catalogue import TrainingRun, training_runs
from cs336_lib.experiments.catalogue_page import ABSENT, table
from cs336_lib.training.config import TrainConfig

TEXTS = {"TinyStories": "tinystories", "OpenWebText": "owt"}
"""Text -> what a run's config calls it; a file with "-sample" behind that holds a sample."""
ASSUMED_MFU = 0.3


def html(text: str) -> str:
    """Return text as HTML, with what stands between backticks as code that may break behind a dot.

    >>> html("`d_ff` < 4"), html("`a.b`")
    ('<code>d_ff</code> &lt; 4', '<code>a.<wbr>b</code>')
    """
    coded = re.sub(r"`(.+?)`", r"<code>\1</code>", escape(text, quote=False))
    return re.sub(r"<code>.+?</code>", lambda code: re.sub(r"(\w\.)(?=[A-Za-z])", r"\1<wbr>", code[0]), coded)


def where(sections: str) -> str:
    """Return a link to the chapter of some sections.

    >>> where("5.1 to 5.3")
    '<a href="../notebooks/05_accounting.html">5.1 to 5.3</a>'
    """
    return f'<a href="../notebooks/{CHAPTERS[int(sections.partition(".")[0])]}.html">{sections}</a>'


def number(value: float) -> str:
    """Return a number without a fraction of zero, a dash for 0."""
    return f"{value:g}" if value else ABSENT


def pair(values: Sequence[float]) -> str:
    """Return what both editions have, once where they agree.

    >>> pair([15, 15]), pair([0, 1]), pair([1, 0.5])
    ('15', '\N{EN DASH} / 1', '1 / 0.5')
    """
    return " / ".join(dict.fromkeys(number(value) for value in values))


def problem_table() -> str:
    """Return all problems: names, points and GPU hours in both editions, where they are answered, what each asks."""
    rows = []
    for one in PROBLEMS:
        asks = "; ".join(f"{year}: {what}" for year, what in one.asks.items())
        counts = pair([one.points[year] for year in EDITIONS]), pair([one.hours.get(year, 0) for year in EDITIONS])
        parts = f" ({'), ('.join(one.parts)})" if one.parts else ""
        rows.append([html(one.title) + parts, *counts, where(one.sections), html(one.short), html(asks)])
    totals = pair([points(year) for year in EDITIONS]), pair([gpu_hours(year) for year in EDITIONS])
    rows.append(["<b>sum</b>", *(f"<b>{total}</b>" for total in totals), "", "", ""])
    years = " / ".join(EDITIONS)
    titles = ["problem", f"points {years}", f"GPU hours {years}", "answered in", "in short", "asked by one alone"]
    return wrapped(titles, rows)


def wrapped(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table of sentences whose columns share the width of the page as far as it goes."""
    return f'<div class="sentences">{table(titles, rows, texts=titles)}</div>'


def edition_table() -> str:
    """Return the facts of the editions, side by side."""

    def device(name: str) -> str:
        return DEVICES[name].name.removeprefix("NVIDIA ")

    facts = {
        "handouts": lambda e: f"{e.versions[0]} to {e.versions[-1]}",
        "problems": lambda e: str(len(PROBLEMS)),
        "points": lambda e: str(points(e.name)),
        "GPU hours in all": lambda e: f"{gpu_hours(e.name):g} on {device(e.device)}",
        "TinyStories: validation loss to reach": lambda e: f"{e.target_loss}",
        "TinyStories: minutes of a run": lambda e: (
            f"{e.tinystories_minutes[0]} to {e.tinystories_minutes[1]} on one {device(e.device)}"
        ),
        "low-resource run of the staff on": lambda e: e.laptop,
        "<code>d_ff</code> of GPT-2 XL": lambda e: f"{e.d_ff:,}",
        "training time asked for": lambda e: (
            f"{e.accounting_unit}, {device(e.accounting_device)} at {e.accounting_peak / 1e12:g} TFLOP/s"
        ),
        "AdamW decays": lambda e: e.decay_order,
        "leaderboard": lambda e: f"{e.leaderboard_minutes} minutes on one {device(e.device)}",
        "leaderboard: context of the evaluation": lambda e: str(e.leaderboard_context or "not said"),
        "leaderboard: loss to beat": lambda e: f"{e.leaderboard_limit:g}",
        "Unicode quoted": lambda e: f"{e.unicode}: {e.characters:,} characters, {e.scripts} scripts",
        "official tests": lambda e: str(e.official_tests),
        "Python of the repository": lambda e: e.python,
    }
    rows = [[fact, *(say(edition) for edition in EDITIONS.values())] for fact, say in facts.items()]
    return wrapped(["", *(edition.label for edition in EDITIONS.values())], rows)


def difference_table(kind: str) -> str:
    """Return what differs between the editions, of one kind: "definition", "number" or "rule"."""
    rows = [[html(one.what), html(one.old), html(one.new), html(one.ours)] for one in DIFFERENCES if one.kind == kind]
    labels = [edition.label for edition in EDITIONS.values()]
    return wrapped(["what", *labels, "here"], rows)


def slip_table() -> str:
    """Return the handouts' own errors with the versions that have them."""
    rows = [
        [html(slip.where), html(slip.says), html(slip.right), slip.span, where(slip.section) if slip.section else ""]
        for slip in SLIPS
    ]
    return wrapped(["where", "the handout says", "right", "in versions", "shown in"], rows)


def is_on(text: str, run: TrainingRun) -> bool:
    """Return whether a run has a loss on a text or on a sample of it, by the data that its record names."""
    return run.valid_loss is not None and Path(run.config.data).stem.removesuffix("-sample") == TEXTS[text]


def our_row(text: str, run: TrainingRun) -> list[str]:
    """Return the row of a run of this book on a text."""
    is_whole = Path(run.config.data).stem == TEXTS[text]
    settings = f"{run.tokens / 1e6:.2f} M tokens, " + (
        "the whole text" if is_whole else "a sample of the text: not comparable with those above"
    )
    rate = f"{run.tokens_per_second:,.0f}" if run.tokens_per_second else ABSENT
    minutes = f"{run.seconds / 60:.0f}"
    return [f"{run.valid_loss:.3f}", run.provenance.device, minutes, rate, settings, f"ours: {run.path}"]


def report_table(text: str) -> str:
    """Return the runs of others on a text, and below them those that this book has on record on the same text."""
    rows = [
        [
            (" to " if "range" in one.settings else " and ").join(f"{loss:g}" for loss in one.loss),
            one.device or ABSENT,
            f"{one.minutes:.0f}" if one.minutes else ABSENT,
            f"{one.tokens_per_second:,}" if one.tokens_per_second else ABSENT,
            html(one.settings),
            html(one.source),
        ]
        for one in REPORTS
        if one.text == text
    ]
    rows += [our_row(text, run) for run in training_runs() if is_on(text, run) and not run.group]
    numbers = ["minutes", "tokens per second"]
    return table(["loss", "on", *numbers, "settings", "source"], rows, numbers=numbers, texts=["settings"])


def comparison_table() -> str:
    """Return others' sweeps and ablations, a row for each author and question."""
    rows = [
        [
            html(one.what),
            html(", ".join(f"{setting}: {loss:.3f}" for setting, loss in one.losses.items())),
            html(one.settings),
            html(one.source),
        ]
        for one in COMPARISONS
    ]
    return table(["what differs", "loss", "settings", "source"], rows, texts=["loss", "settings"])


def board_table(year: str) -> str:
    """Return the entries of an edition's leaderboard, and runs outside of it, by loss."""

    def status(entry: BoardEntry) -> str:
        return "no entry" if not entry.listed else "verified" if entry.verified else "as entered"

    rows = [
        [f"{entry.loss:g}", html(entry.entry), html(entry.made_of), status(entry)]
        for entry in sorted(BOARD, key=lambda entry: entry.loss)
        if entry.edition == year
    ]
    return table(["loss", "entry", "what it changes", "status"], rows, numbers=["loss"], texts=["what it changes"])


def effect_table() -> str:
    """Return what each kind of change is worth, by the author of the outside run."""
    rows = [[what, f"{low:g}" if low == high else f"{low:g} to {high:g}"] for what, (low, high) in EFFECTS.items()]
    return table(["change", "nats per token"], rows, numbers=["nats per token"])


def price_table() -> str:
    """Return what the GPU hours of the assignment of 2026 cost at the prices that the course names."""
    hours = gpu_hours("2026")
    rows = [[name, f"{price:.2f}", f"{price * hours:.0f}"] for name, price in COURSE_PRICES.items()]
    titles = ["USD per hour", f"USD for {hours:g} hours"]
    return table(["provider, one B200", *titles], rows, numbers=titles)


def entry_table(preset: str = "owt-124m") -> str:
    """Return what a run of an entry's size takes on an H100 and on a B200, on paper, at an assumed MFU.

    Args:
        preset: of the run.
    """
    run = TrainConfig.preset(preset)
    rows = []
    for key, price, source in (
        ("h100-sxm", H100_PRICE, H100_PRICE_SOURCE),
        ("b200", min(COURSE_PRICES.values()), "the lowest price that the course names"),
    ):
        for share in sorted({ASSUMED_MFU, round(mfu(OUTSIDE_RATE, run.model, "b200"), 2)}):
            seconds = training_time(run.model, run.steps, run.batch_size, key, mfu=share)
            bill = Bill(Cluster(key, 1, price, source), seconds)
            allowed = next(e.leaderboard_minutes for e in EDITIONS.values() if e.device == key)
            minutes = f"{seconds / 60:.0f}"
            cost = f"{bill.cost:.2f}"
            rows.append(
                [DEVICES[key].name, f"{share:.0%}", minutes, str(allowed), f"{run.tokens / seconds:,.0f}", cost]
            )
    titles = ["MFU, assumed", "minutes", "minutes allowed", "tokens per second", "USD per run"]
    return table(["on one", *titles], rows, numbers=titles)


def entry_facts(preset: str = "owt-124m") -> str:
    """Return what a run of an entry's size is made of, in a sentence."""
    run = TrainConfig.preset(preset)
    a_token = training_flops(run.model).total // run.model.context_length
    return (
        f"`{preset}`: {parameter_count(run.model).total:,} parameters, {run.model.num_layers} layers of "
        f"{run.model.d_model}, d_ff {run.model.d_ff:,}, {run.model.vocab_size:,} entries, tied; {run.steps:,} steps of "
        f"{run.batch_size} x {run.model.context_length} = {run.tokens:,} tokens, {a_token:,} FLOPs per "
        "token in training."
    )


def label(edition: Edition) -> str:
    """Return an edition's label as it stands in the boxes of the notebooks."""
    return f'<b class="edition">{edition.label}</b>'
