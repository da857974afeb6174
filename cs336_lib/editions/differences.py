"""Definitions, numbers and rules that differ between the editions, and what this library does about each."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Difference:
    """Something that the editions say differently.

    Attributes:
        what: the subject.
        old: as 2025 has it (1.0.2 unless a version is named).
        new: as 2026 has it.
        ours: what this library does, or why one answer serves both.
        problems: names of the problems it bears on, as in the newest edition.
        kind: "definition", "number" or "rule".
        changes_answer: whether a right answer to one edition is wrong for the other.
    """

    what: str
    old: str
    new: str
    ours: str
    problems: tuple[str, ...] = ()
    kind: str = "definition"
    changes_answer: bool = False


DIFFERENCES: tuple[Difference, ...] = (
    Difference(
        "`d_ff` of GPT-2 XL",
        "6,400 = 4 d_model",
        "4,288, the multiple of 64 nearest to 8/3 d_model",
        "presets `gpt2-xl` and `gpt2-xl-2026`; `cs336 account gpt2-xl --edition 2026`",
        ("transformer_accounting", "adamw_accounting"),
        changes_answer=True,
    ),
    Difference(
        "activations to count",
        "a feed-forward network of two matrices: 16 SD + 2 HS² a layer for F = 4D",
        "SwiGLU, with the up projection and the product: 8 SD + 4 SF + 2 HS² a layer",
        "`handout_activations(config, edition=...)`",
        ("adamw_accounting",),
        changes_answer=True,
    ),
    Difference(
        "training time to compute",
        "an A100 at 19.5 TFLOP/s in float32, in days",
        "an H100 at 495 TFLOP/s in TF32, in hours",
        "`training_time` takes any device, or the peak itself; the data sheet's 989.4 halves to 494.7",
        ("adamw_accounting",),
        changes_answer=True,
    ),
    Difference(
        "AdamW, algorithm 1",
        "weight decay after the update",
        "weight decay before the moments and the update, as in the paper and in torch",
        '`AdamW(decay_order=...)`, "first" by default; no official test tells them apart',
        ("adamw", "adamw_accounting"),
        changes_answer=True,
    ),
    Difference(
        "exponent of RoPE, pairs counted from 1",
        "2k/d in 1.0.2 and 1.0.4, (2k-1)/d in 1.0.5, (2k-2)/d in 1.0.3 and 1.0.6",
        "(2k-2)/d",
        "(2k-2)/d, which the tests of both editions want",
        ("rope",),
    ),
    Difference(
        "vectors",
        "rows in code, columns in formulas; attention printed as QᵀK",
        "mostly columns, but attention with rows, Q Kᵀ",
        "rows everywhere; stored weights are (out, in), which is what both editions' tests load",
        ("linear", "scaled_dot_product_attention"),
    ),
    Difference(
        "what a linear layer stores",
        "Wᵀ in 1.0.2, W from 1.0.3 on",
        "W",
        "W, of shape (out, in)",
        ("linear",),
    ),
    Difference(
        "output of the model",
        "a distribution, in the text",
        "logits",
        "logits",
        ("transformer_lm",),
    ),
    Difference(
        "sequences of the loss",
        "of length m",
        "of length m + 1, which have m targets",
        "the mean over all targets either way",
        ("cross_entropy",),
    ),
    Difference(
        "where a window may begin, n tokens, length m",
        "1 <= i < n - m, which drops the last one",
        "1 <= i <= n - m",
        "all n - m places, as the tests count them",
        ("data_loading",),
    ),
    Difference(
        "T_c of the cosine",
        "the number of annealing steps",
        "the step at which it ends",
        "the step at which it ends; the formula is the same",
        ("learning_rate_schedule",),
    ),
    Difference(
        "special tokens in training",
        "do not otherwise affect training, which reads as if they stayed in the text",
        "hard boundaries: they cut the text before pre-tokenization and are not counted",
        "hard boundaries",
        ("train_bpe",),
    ),
    Difference(
        "malformed bytes in decoding",
        "should be replaced",
        "must be replaced",
        "replaced by U+FFFD",
        ("tokenizer", "decoding"),
    ),
    Difference(
        "SiLU ablation",
        "d_ff = 4 d_model = 2,048",
        "the same; parameters match approximately",
        "2,016, exactly equal parameters, and 2,048 as a second variation",
        ("swiglu_ablation",),
    ),
    Difference(
        "Unicode that is quoted",
        "16.0: 154,998 characters, 168 scripts",
        "17.0: 159,801 characters, 172 scripts",
        "not quoted in the book: it counts scalar values, which no version changes",
        ("unicode1",),
        kind="number",
    ),
    Difference(
        "TinyStories run",
        "30 to 40 minutes on an H100",
        "20 to 30 minutes on a B200",
        "the target, a validation loss of 1.45, is the same",
        ("learning_rate",),
        kind="number",
    ),
    Difference(
        "`train_bpe_tinystories` (a)",
        "how many hours and how much memory",
        "how much time and memory",
        "both are measured",
        ("train_bpe_tinystories",),
        kind="number",
    ),
    Difference(
        "leaderboard",
        "90 minutes on an H100",
        "45 minutes on a B200 (90 in 26.0.0 to 26.0.2), evaluated at context 512",
        "suite `leaderboard-124m` has context 512; a loss at another context cannot be compared",
        ("leaderboard",),
        kind="rule",
        changes_answer=True,
    ),
    Difference(
        "compiling on Apple's GPUs",
        "`torch.compile(model, mode=...)`, which raised an error",
        '`torch.compile(model, backend="aot_eager")`',
        "compiles on CUDA, and on a CPU in a run of ten minutes or more, unless told otherwise",
        ("training_together",),
        kind="rule",
    ),
    Difference(
        "agents and AI autocomplete",
        "not named",
        "forbidden for implementing; copied or generated code also disqualifies from the leaderboard",
        "read, compare and don't paste, if you take the course",
        ("leaderboard",),
        kind="rule",
    ),
    Difference(
        "environment of the repository",
        "Python 3.11 or newer",
        "Python 3.12 or 3.13, torch 2.11, numpy 2.4 or newer",
        "Python 3.11 to 3.13; its own tests run with the versions of `constraints.txt`",
        kind="rule",
    ),
)
"""What differs, in the order of the handout."""
