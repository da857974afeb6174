"""What an edition of the assignment is, and the two that there are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

DecayOrder = Literal["first", "last"]

ACCOUNTING_STEPS = 400_000
ACCOUNTING_BATCH = 1_024
ACCOUNTING_GB = 80
ACCOUNTING_MFU = 0.5
"""What both editions' last accounting problem asks about: steps, sequences of each, a device's memory, its use."""


@dataclass(frozen=True)
class Edition:
    """An edition of the assignment: facts that hold for all of its handouts, or for the last of them.

    Attributes:
        name: the year.
        label: as an answer's label says it.
        versions: of the handout, in order; the last one is what page numbers are from.
        device: accelerator that budgets are counted in, a name of `cs336_lib.accounting.DEVICES`.
        unicode: version of Unicode whose size the handout quotes.
        characters: of that version.
        scripts: of that version.
        tinystories_minutes: what the base run should take on `device`, least and most.
        target_loss: to reach on TinyStories, nats per token.
        laptop: machine of the staff's low-resource run.
        d_ff: of GPT-2 XL in the accounting problem.
        gated_list: whether the activations that are to be counted have the gate of SwiGLU among them.
        accounting_device: accelerator of the last accounting question.
        accounting_peak: its FLOP/s as the handout has them.
        accounting_unit: of the time that is asked for.
        decay_order: whether AdamW's algorithm decays the parameters first, before the update, or last.
        leaderboard_minutes: of an entry on `device`.
        leaderboard_context: tokens of context in the leaderboard's evaluation, 0 if it does not say.
        leaderboard_limit: the loss that an entry must beat.
        official_tests: tests in the assignment's repository.
        python: versions of Python that the repository is for.
    """

    name: str
    label: str
    versions: tuple[str, ...]
    device: str
    unicode: str
    characters: int
    scripts: int
    tinystories_minutes: tuple[int, int]
    target_loss: float
    laptop: str
    d_ff: int
    gated_list: bool
    accounting_device: str
    accounting_peak: float
    accounting_unit: str
    decay_order: DecayOrder
    leaderboard_minutes: int
    leaderboard_context: int
    leaderboard_limit: float
    official_tests: int
    python: str


EDITIONS: dict[str, Edition] = {
    "2025": Edition(
        name="2025",
        label="2025 (v1.0.2 to 1.0.6)",
        versions=("1.0.2", "1.0.3", "1.0.4", "1.0.5", "1.0.6"),
        device="h100-sxm",
        unicode="16.0",
        characters=154_998,
        scripts=168,
        tinystories_minutes=(30, 40),
        target_loss=1.45,
        laptop="M3 Max",
        d_ff=6_400,
        gated_list=False,
        accounting_device="a100-80gb",
        accounting_peak=19.5e12,
        accounting_unit="days",
        decay_order="last",
        leaderboard_minutes=90,
        leaderboard_context=0,
        leaderboard_limit=5.0,
        official_tests=45,
        python="3.11 or newer",
    ),
    "2026": Edition(
        name="2026",
        label="2026 (v26.0.x)",
        versions=("26.0.0", "26.0.1", "26.0.2", "26.0.3"),
        device="b200",
        unicode="17.0",
        characters=159_801,
        scripts=172,
        tinystories_minutes=(20, 30),
        target_loss=1.45,
        laptop="M4 Max",
        d_ff=4_288,
        gated_list=True,
        accounting_device="h100-sxm",
        accounting_peak=495e12,
        accounting_unit="hours",
        decay_order="first",
        leaderboard_minutes=45,
        leaderboard_context=512,
        leaderboard_limit=5.0,
        official_tests=48,
        python="3.12 or 3.13",
    ),
}
"""Year -> edition."""


def edition(name: str | int) -> Edition:
    """Return an edition by its year.

    Args:
        name: the year.

    Raises:
        ValueError: there is no such edition; the error names those there are.

    >>> edition(2026).d_ff, edition("2025").decay_order
    (4288, 'last')
    >>> edition("2024")
    Traceback (most recent call last):
    ValueError: unknown edition '2024'; there are '2025' and '2026'
    """
    if isinstance(name, bool) or str(name) not in EDITIONS:
        raise ValueError(f"unknown edition {name!r}; there are {' and '.join(map(repr, EDITIONS))}")
    return EDITIONS[str(name)]
