"""What others published: losses and times of the assignment's runs, leaderboard entries, prices of GPU hours.

None of it was run by this book. Losses are their authors' claims, mostly of single runs; tokenizers, validation sets,
evaluation contexts and clocks differ from one to the next, so that differences of a few hundredths say nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

COURSE = "https://github.com/stanford-cs336/assignment1-basics-leaderboard"
SNAPSHOT = "19 April 2026"
"""Day of the leaderboard that `BOARD` was read from; its commit is f77557d."""


@dataclass(frozen=True)
class Report:
    """A run that somebody published.

    Attributes:
        text: "TinyStories" or "OpenWebText".
        loss: last validation loss as reported, nats per token; several if the author gives several.
        device: what it ran on, empty if it is not said.
        settings: what is known of it.
        source: where it stands.
        minutes: of training, 0 if it is not said.
        tokens_per_second: 0 if it is not said.
    """

    text: str
    loss: tuple[float, ...]
    device: str
    settings: str
    source: str
    minutes: float = 0
    tokens_per_second: int = 0


_BASE = "base model, 327.68 M tokens"
_REPOSITORY, _ARTICLE = "a public repository, 2026", "a public write-up, 2026"

REPORTS: tuple[Report, ...] = (
    Report(
        "TinyStories", (1.3637, 1.3696), "B200", f"{_BASE}, batch 128, lr 1.25e-3", _REPOSITORY, 1_454 / 60, 225_000
    ),
    Report("TinyStories", (1.366,), "RTX 5090", f"{_BASE}, lr 2e-3", _REPOSITORY, 1_901 / 60),
    Report("TinyStories", (1.344, 1.343), "RTX 5090", f"{_BASE}, batch 64 and 128", _REPOSITORY),
    Report("TinyStories", (1.34097,), "GPU of 80 GB", f"{_BASE}, batch 256", _ARTICLE, 25.9),
    Report("TinyStories", (1.3149, 1.3396), "RTX 4090", _BASE, _ARTICLE),
    Report("TinyStories", (1.3235,), "", f"{_BASE}, lr 5e-3, best of a sweep from 3e-4 to 9.6e-3 (NaN)", _REPOSITORY),
    Report("TinyStories", (1.3163,), "", _BASE, _REPOSITORY),
    Report("TinyStories", (1.343,), "A100", _BASE, _REPOSITORY),
    Report(
        "TinyStories",
        (1.31, 1.44),
        "",
        "37 reports, the usual range; below it, down to 1.23, with more tokens or other settings",
        "OpenMOSS/SummerQuest-2026",
    ),
    Report("TinyStories", (1.327,), "", f"{_BASE}, batch 256, lr 1e-2, beta2 0.95", "a public report, 2025"),
    Report("TinyStories", (1.80,), "M4 Max", "40.96 M tokens, batch 32, the staff's; CPU", "handout, 2026", 82),
    Report("TinyStories", (1.80,), "M4 Max", "40.96 M tokens, batch 32, the staff's; MPS", "handout, 2026", 36),
    Report("OpenWebText", (3.934,), "A100", "base model, as many steps", _REPOSITORY),
    Report("OpenWebText", (3.951,), "RTX 4090", "base model, as many steps", _ARTICLE),
    Report("OpenWebText", (4.028,), "RTX 5090", "base model, as many steps", _REPOSITORY, 2_604 / 60),
    Report("OpenWebText", (3.91, 4.4), "", "base model, as many steps: the range of all", "several"),
)
"""Runs of the base model."""


@dataclass(frozen=True)
class Comparison:
    """Runs of one author that differ in one thing, on TinyStories.

    Attributes:
        what: that thing.
        losses: setting -> last validation loss, nats per token, as reported or as the base model's and the reported
            difference make it; the base model's first where it is known.
        source: where it stands.
        settings: what the runs share.
    """

    what: str
    losses: dict[str, float]
    source: str
    settings: str = _BASE


_SWEEPS, _SMALL = "XLOverflow/CS336_Transformer_from_Scratch", "xiamishaonian111/cs336, note.md"

COMPARISONS: tuple[Comparison, ...] = (
    Comparison(
        "learning rate",
        {"5e-4": 1.493, "1e-3": 1.397, "2e-3": 1.357, "5e-3": 1.317, "1e-2": 1.300},
        _SWEEPS,
        f"{_BASE}, batch 256",
    ),
    Comparison("batch size", {"16": 1.326, "64": 1.332, "128": 1.356, "512": 1.481}, _SWEEPS, f"{_BASE}, lr 1e-3"),
    Comparison("learning rate", {"best, 3e-3": 1.61}, _SMALL, "40 M tokens, batch 32; it fails from 0.1 on"),
    Comparison(
        "one part, at the base model's rate",
        {"base": 1.397, "no norm": 1.440, "post-norm": 1.409, "NoPE": 1.471, "SiLU": 1.465},
        _SWEEPS,
        f"{_BASE}, lr 1e-3",
    ),
    Comparison(
        "one part",
        {"no norm, lr 1e-4": 1.701, "post-norm": 1.405, "NoPE": 1.409, "SiLU of 2,048": 1.355},
        "a public report, 2026",
    ),
    Comparison("positions", {"RoPE": 1.353, "NoPE": 1.414}, "a public report, 2025"),
    Comparison("positions", {"RoPE": 1.381, "NoPE": 1.483}, "a public report, 2025"),
)
"""Ablations and sweeps. One more report has no difference between RoPE and NoPE; of runs without norms others report
0.008 at 3e-4, 0.8, and many that diverge."""


@dataclass(frozen=True)
class BoardEntry:
    """An entry of a leaderboard.

    Attributes:
        edition: whose rules it follows.
        loss: validation loss on OpenWebText as entered, nats per token.
        entry: its pull request, or where it stands.
        made_of: what it changes.
        verified: whether the course marked it so.
        listed: whether it is an entry; False for a run outside of the board.
    """

    edition: str
    loss: float
    entry: str
    made_of: str
    verified: bool = False
    listed: bool = True


BOARD: tuple[BoardEntry, ...] = (
    BoardEntry(
        "2026",
        3.03543,
        "#160",
        "16 layers of 1,024, ReLU² of 4,096, QK-norm, gated value embeddings, U-net skips, soft cap, NorMuon, "
        "trapezoid with 80 % decay, batch 256, bf16",
    ),
    BoardEntry(
        "2026",
        3.10031,
        "#130",
        "16 layers of 1,024, ReLU² of 4,096, tied, QK-norm, Muon 9e-2 and AdamW 9e-3, batch 256 of 512 tokens",
    ),
    BoardEntry("2026", 3.1701, "#157", "12 layers of 1,024, d_ff 4,096, NorMuon"),
    BoardEntry("2026", 3.1828, "#145", "85 M parameters, Muon, QK-norm, tied, soft cap, context 1,024"),
    BoardEntry(
        "2026",
        3.2016,
        "#120",
        "plain AdamW, tied, 13 layers of 1,024, d_ff 2,752, lr 2e-3, batch 256: best without Muon",
    ),
    BoardEntry("2026", 3.5763, "#140", "the base model, context 512, lr 4e-3, batch 128, 42,000 steps"),
    BoardEntry("2026", 5.0, "baseline", "what an entry must beat", verified=True),
    BoardEntry("2025", 3.0781, "best of the class", "90 minutes on an H100", verified=True),
    BoardEntry("2025", 3.01172, "best from outside", "90 minutes on an H100"),
    BoardEntry(
        "2026",
        2.9571,
        "vincentzed/cs336-a1-sol",
        "B200; evaluated on all of the text at context 512, averaged weights. A ceiling, not an entry",
        listed=False,
    ),
    BoardEntry(
        "2026",
        3.2508,
        "vincentzed/cs336-a1-sol",
        "its plain AdamW at 124 M parameters: 2.02 B tokens at 765,000 tokens per second",
        listed=False,
    ),
)
"""Entries of both years and two runs outside of them. The board of 2026 had 52, none marked verified but the baseline;
those of the base model alone lie mostly between 3.77 and 4.13."""

EFFECTS: dict[str, tuple[float, float]] = {
    "size of the model": (0.3, 0.3),
    "a schedule that ends with the run": (0.05, 0.05),
    "optimizer": (0.05, 0.05),
    "architecture": (0.04, 0.04),
    "faster kernels": (0.02, 0.03),
    "a tokenizer chosen for the metric, at most": (0.0, 0.07),
}
"""What each is worth in nats per token, least and most, by the author of the outside run (vincentzed/cs336-a1-sol)."""

COURSE_PRICES: dict[str, float] = {"RunPod": 4.99, "Nebius": 5.50, "Modal": 6.25, "Lambda": 6.69, "Together": 7.49}
"""Dollars for an hour of one B200 that the course's page names, 28 March 2026."""

H100_PRICE = 2.0
"""Dollars for an hour of one H100, from `H100_PRICE_SOURCE`; the course names no price for it."""
H100_PRICE_SOURCE = "2 USD per GPU hour, as the DeepSeek-V3 report assumes"

OUTSIDE_RATE = 765_000
"""Tokens per second of the outside run's plain AdamW at 124 M parameters, on one B200."""
