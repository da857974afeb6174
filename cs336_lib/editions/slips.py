"""Errors of the handouts themselves, with the versions that have them."""

from __future__ import annotations

from dataclasses import dataclass

from cs336_lib.editions.edition import EDITIONS

ALL = tuple(version for edition in EDITIONS.values() for version in edition.versions)
OLD, NEW = EDITIONS["2025"].versions, EDITIONS["2026"].versions


@dataclass(frozen=True)
class Slip:
    """An error of a handout.

    Attributes:
        where: the problem or section.
        says: what it says.
        right: what is right.
        versions: of the handout that have it, out of `ALL`.
        section: of the book that shows it; empty if none does.
    """

    where: str
    says: str
    right: str
    versions: tuple[str, ...]
    section: str = ""

    @property
    def span(self) -> str:
        """The versions in words.

        >>> SLIPS[1].span, SLIPS[0].span
        ('1.0.2, 1.0.4, 1.0.5', '1.0.2 to 1.0.6')
        """
        if self.versions == ALL:
            return "all"
        places = [ALL.index(version) for version in self.versions]
        if len(places) > 2 and places == list(range(places[0], places[-1] + 1)):
            return f"{self.versions[0]} to {self.versions[-1]}"
        return ", ".join(self.versions)


SLIPS: tuple[Slip, ...] = (
    Slip("byte-level BPE", "byte values end at 225", "they end at 255", OLD, "1.8"),
    Slip(
        "`rope`",
        "with k counted from 1, the exponent is 2k/d (1.0.5: (2k - 1)/d)",
        "(2k - 2)/d; the tests want it",
        ("1.0.2", "1.0.4", "1.0.5"),
        "4.5",
    ),
    Slip("example of BPE", "`dict[tuple[bytes], int]`", "`dict[tuple[bytes, ...], int]`", OLD, "2.1"),
    Slip("`linear`", "store the transpose of W", "store W, of shape (out, in)", ("1.0.2",), "4.1"),
    Slip("attention", "QᵀK in a text whose vectors are rows", "Q Kᵀ", OLD, "4.7"),
    Slip("`scaled_dot_product_attention`", "the result is (batch, ..., d_v)", "(batch, ..., seq, d_v)", OLD, "4.7"),
    Slip("`softmax`", "two names for one vector, v and o", "v", OLD, "4.6"),
    Slip("`transformer_lm`", "the output is a distribution", "logits", OLD, "4.10"),
    Slip("cross-entropy", "sequences of length m", "length m + 1, for m targets", OLD, "6.1"),
    Slip(
        "`data_loading`",
        "windows begin at 1 <= i < n - m",
        "1 <= i <= n - m: the last place counts, and the test counts it",
        OLD,
        "6.6",
    ),
    Slip("`learning_rate_schedule`", "T_c is the number of annealing steps", "the step at which it ends", OLD, "6.4"),
    Slip(
        "TinyStories model",
        '"17M non-embedding parameters"',
        "17,576,448 count the output head; without it and the input table it has 12,456,448",
        ALL,
        "4.10",
    ),
    Slip("TinyStories model", '"about 17M total parameters"', "22,696,448 in all", NEW, "4.10"),
    Slip("`learning_rate_tuning`", "the sample makes `SGD(weights`", "`SGD([weights]`", ("26.0.0", "26.0.1"), "6.2"),
    Slip("`leaderboard`", "90 minutes on a B200", "45 minutes", ("26.0.0", "26.0.1", "26.0.2"), "10.2"),
    Slip("compiling on Apple's GPUs", "`torch.compile` with `mode=`", 'it raises; `backend="aot_eager"` works', OLD),
    Slip("the repository's README", "its title says Spring 2025", "the repository is that of 2026", NEW),
)
"""The slips, in the order of the handout."""
