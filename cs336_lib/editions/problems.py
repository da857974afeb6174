"""The 38 official problems: names, parts, points, pages and GPU hours in both editions, and where they are answered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cs336_lib.editions.edition import EDITIONS, edition

CHAPTERS = {
    1: "01_unicode",
    2: "02_bpe_training",
    3: "03_tokenizer",
    4: "04_architecture",
    5: "05_accounting",
    6: "06_training",
    7: "07_generation",
    8: "08_learning_rate",
    9: "09_ablations",
    10: "10_leaderboard",
}
"""Chapter -> its notebook."""


@dataclass(frozen=True)
class Problem:
    """An official problem.

    Attributes:
        key: its name in the newest edition.
        sections: of the book that answer it, such as "5.1 to 5.3".
        short: what the answer is about.
        points: edition -> points; 0 where the handout prints none.
        pages: edition -> printed page of the edition's last handout (2025: of 1.0.2).
        parts: letters of its questions; empty for a problem of one question.
        older: edition -> name, where it was another one.
        hours: edition -> GPU hours of its device that the handout allows.
        asks: edition -> what it asks that the other edition does not.
    """

    key: str
    sections: str
    short: str
    points: Mapping[str, int]
    pages: Mapping[str, int]
    parts: str = ""
    older: Mapping[str, str] = field(default_factory=dict)
    hours: Mapping[str, float] = field(default_factory=dict)
    asks: Mapping[str, str] = field(default_factory=dict)

    @property
    def chapter(self) -> int:
        """Number of the chapter that answers it."""
        return int(self.sections.partition(".")[0])

    def name(self, year: str) -> str:
        """Return its name in an edition.

        >>> problem("adamw_accounting").name("2025")
        'adamwAccounting'
        """
        return self.older.get(edition(year).name, self.key)

    @property
    def names(self) -> tuple[str, ...]:
        """All of its names, the newest first."""
        return tuple(dict.fromkeys((self.key, *self.older.values())))

    @property
    def title(self) -> str:
        """The newest name, and in which edition it had another.

        >>> problem("adamw_accounting").title, problem("rope").title
        ('`adamw_accounting` (2025: `adamwAccounting`)', '`rope`')
        """
        older = ", ".join(f"{year}: `{name}`" for year, name in self.older.items())
        return f"`{self.key}`" + (f" ({older})" if older else "")


def _problem(
    key: str,
    points: int | tuple[int, int],
    pages: tuple[int, int],
    parts: str,
    sections: str,
    short: str,
    **more: object,
) -> Problem:
    """Return a problem from pairs in the order of `EDITIONS`."""
    both = (points, points) if isinstance(points, int) else points
    paired = {
        name: dict(zip(EDITIONS, value, strict=True)) if isinstance(value, tuple) else value
        for name, value in {"points": both, "pages": pages, **more}.items()
    }
    return Problem(key, sections, short, parts=parts, **paired)  # type: ignore[arg-type]


# key, points, page (2025, 2026), questions, sections, in short
PROBLEMS: tuple[Problem, ...] = (
    _problem("unicode1", 1, (4, 3), "abc", "1.1", "what `chr(0)` is"),
    _problem(
        "unicode2",
        3,
        (5, 4),
        "abc",
        "1.3, 1.6, 1.7",
        "why UTF-8; the function that decodes byte by byte; two bytes that never decode",
    ),
    _problem(
        "train_bpe",
        15,
        (8, 9),
        "",
        "2.1 to 2.7",
        "`cs336_lib.bpe.train_bpe`",
        asks={"2026": "special tokens are hard boundaries and are not counted; starter code that cuts a file"},
    ),
    _problem(
        "train_bpe_tinystories",
        2,
        (9, 9),
        "ab",
        "2.6, 2.7",
        "time, memory, longest token, profile",
        asks={"2025": "hours and memory", "2026": "time and memory"},
    ),
    _problem("train_bpe_expts_owt", 2, (10, 10), "ab", "2.7", "longest token, and what the two vocabularies share"),
    _problem(
        "tokenizer",
        15,
        (11, 11),
        "",
        "3.1 to 3.5",
        "`cs336_lib.bpe.Tokenizer`",
        asks={"2026": "malformed bytes must be replaced (2025: should); tests of line ends behind a special token"},
    ),
    _problem("tokenizer_experiments", 4, (12, 12), "abcd", "3.7, 3.8", "compression, throughput, the Pile, `uint16`"),
    _problem("linear", 1, (18, 18), "", "4.1", "`cs336_lib.model.Linear`"),
    _problem("embedding", 1, (18, 18), "", "4.2", "`cs336_lib.model.Embedding`"),
    _problem("rmsnorm", 1, (20, 20), "", "4.3", "`cs336_lib.model.RMSNorm`"),
    _problem("positionwise_feedforward", 2, (22, 22), "", "4.4", "`cs336_lib.model.SwiGLU`"),
    _problem("rope", 2, (23, 23), "", "4.5", "`cs336_lib.model.RotaryEmbedding`"),
    _problem("softmax", 1, (23, 24), "", "4.6", "`cs336_lib.model.softmax`"),
    _problem("scaled_dot_product_attention", 5, (24, 24), "", "4.7", "`cs336_lib.model.scaled_dot_product_attention`"),
    _problem("multihead_self_attention", 5, (25, 25), "", "4.8", "`cs336_lib.model.MultiHeadSelfAttention`"),
    _problem("transformer_block", 3, (25, 26), "", "4.9", "`cs336_lib.model.TransformerBlock`"),
    _problem(
        "transformer_lm",
        3,
        (26, 26),
        "",
        "4.10",
        "`cs336_lib.model.TransformerLM`",
        asks={"2026": "logits; `context_length` is for the tables of RoPE"},
    ),
    _problem(
        "transformer_accounting",
        5,
        (26, 27),
        "abcde",
        "5.1 to 5.3",
        "parameters, FLOPs, shares, sizes, long context",
        asks={"2025": "d_ff 6,400", "2026": "d_ff 4,288"},
    ),
    _problem("cross_entropy", (0, 1), (28, 29), "", "6.1", "`cs336_lib.training.cross_entropy`"),
    _problem("learning_rate_tuning", 1, (30, 31), "", "6.2", "1, 10, 100 and 1000, measured and predicted"),
    _problem(
        "adamw",
        2,
        (31, 32),
        "",
        "6.3",
        "`cs336_lib.optim.AdamW`",
        asks={"2025": "weight decay after the update", "2026": "weight decay before it"},
    ),
    _problem(
        "adamw_accounting",
        2,
        (31, 32),
        "abcd",
        "5.5 to 5.7",
        "memory, the largest batch, FLOPs of a step, days and hours",
        older={"2025": "adamwAccounting"},
        asks={
            "2025": "d_ff = 4 d_model, two matrices; days on an A100 at 19.5 TFLOP/s",
            "2026": "d_ff = 8/3 d_model, SwiGLU; hours on an H100 at 495 TFLOP/s",
        },
    ),
    _problem("learning_rate_schedule", (0, 1), (33, 33), "", "6.4", "`cs336_lib.optim.cosine_schedule`"),
    _problem("gradient_clipping", 1, (33, 34), "", "6.5", "`cs336_lib.optim.clip_grad_norm`"),
    _problem("data_loading", 2, (34, 34), "", "6.6", "`cs336_lib.data.sample_batch`"),
    _problem("checkpointing", 1, (35, 36), "", "6.7", "`save_checkpoint`, `load_checkpoint`"),
    _problem("training_together", 4, (36, 36), "", "6.8", "`Trainer`, `cs336 train`"),
    _problem("decoding", 3, (38, 38), "", "7.2, 7.3", "`cs336_lib.generation.generate`"),
    _problem("experiment_log", 3, (39, 38), "", "6.8", "`RunRecord`, `cs336 runs`"),
    _problem(
        "learning_rate",
        3,
        (40, 40),
        "ab",
        "8.2, 8.3",
        "the sweep, the best rate, divergence, and why there is an edge",
        hours=(4, 2),
    ),
    _problem(
        "batch_size_experiment",
        1,
        (41, 41),
        "",
        "8.4",
        "1 to 64 sequences at equal tokens, the rate tuned for each",
        hours=(2, 1),
    ),
    _problem("generate", 1, (42, 42), "", "7.3", "samples at four settings, and what shapes fluency"),
    _problem(
        "layer_norm_ablation",
        1,
        (42, 42),
        "",
        "9.1",
        "without norms: each model tuned, and the stream that grows",
        hours=(1, 0.5),
    ),
    _problem("pre_norm_ablation", 1, (43, 43), "", "9.2", "post-norm, each model at its own best rate", hours=(1, 0.5)),
    _problem("no_pos_emb", 1, (43, 43), "", "9.3", "RoPE against no positions", hours=(1, 0.5)),
    _problem(
        "swiglu_ablation",
        1,
        (43, 43),
        "",
        "9.4",
        "SwiGLU against SiLU at equal parameters, and at the handout's width",
        hours=(1, 0.5),
    ),
    _problem(
        "main_experiment",
        2,
        (44, 45),
        "",
        "10.1",
        "why losses cannot be compared, and bits per byte",
        hours=(3, 2),
    ),
    _problem(
        "leaderboard",
        6,
        (45, 45),
        "",
        "10.2",
        "Muon, QK-norm, tied embeddings and WSD, alone and together",
        hours=(10, 10),
        asks={"2025": "90 minutes on an H100", "2026": "45 minutes on a B200, evaluated at context 512"},
    ),
)
"""All problems, in the order of the handout."""

EXAMPLES = (
    "bpe_example",
    "bpe_encoding",
    "einstein_example1",
    "einstein_example2",
    "einstein_example3",
    "tinystories_example",
    "ts_generate_example",
    "owt_example",
)
"""Names of the handout's examples, the same in both editions; they have no points."""


def problem(name: str) -> Problem:
    """Return a problem by any of its names.

    Raises:
        ValueError: no edition has such a problem.

    >>> problem("adamwAccounting").key
    'adamw_accounting'
    """
    for one in PROBLEMS:
        if name in one.names:
            return one
    raise ValueError(f"no edition has a problem {name!r}")


def points(year: str | int) -> int:
    """Return the sum of the points of an edition."""
    return sum(one.points[edition(year).name] for one in PROBLEMS)


def gpu_hours(year: str | int) -> float:
    """Return the sum of the GPU hours that an edition allows, in hours of its own device."""
    return sum(one.hours.get(edition(year).name, 0) for one in PROBLEMS)
