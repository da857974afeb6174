"""The comparisons of chapters 8 to 10, as data.

Three scales: "quick" trains in seconds a run and is what the notebook does live; "cpu" takes minutes a run on two
cores; "full" is the assignment's model and budget, for a GPU. What a suite asks is the same at each. One suite is for a
GPU only: `leaderboard-124m`, of the size that entries of the leaderboard have.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from cs336_lib.experiments.suite import Scale, Suite, Variation
from cs336_lib.model.config import ModelConfig
from cs336_lib.training.config import TrainConfig

QUICK = TrainConfig(
    model=ModelConfig(
        vocab_size=512, context_length=64, d_model=64, num_layers=4, num_heads=4, d_ff=192, backend="fast"
    ),
    data="tales",
    data_bytes=2_000_000,
    batch_size=8,
    steps=120,
    lr=1e-2,
    min_lr=1e-4,
    warmup_steps=12,
    log_every=4,
    eval_every=0,
    eval_windows=128,
    sample_tokens=1,
    device="cpu",
)
CPU = TrainConfig.preset("tales-1m").replace(
    steps=800,  # half of the preset's: two minutes a run on two cores
    warmup_steps=50,
    sample_every=0,
    sample_tokens=1,
    checkpoint_every=0,
    device="cpu",
    decay_order="last",  # as the runs on record have it
)
FULL = TrainConfig.preset("tinystories-17m")
BASES = {"quick": QUICK, "cpu": CPU, "full": FULL}
QUICK_RATES = QUICK.replace(
    model=QUICK.model.replace(num_layers=2, d_ff=128),
    data_bytes=1_000_000,
    steps=80,
    warmup_steps=8,
    lr=3e-2,
    min_lr=3e-4,
    eval_windows=64,
)
"""Base of the quick sweeps: they need many runs, so each is small. Its rate is the sweep's best."""

BOLD = QUICK.replace(lr=3e-2, min_lr=3e-4)  # best for the plain model at so few steps, and past the edge of others
LEVEL = 1_000.0  # a model without norms starts at a loss of 20 or more: that is a bad start, and no divergence
ABLATED = {
    "quick": BOLD.replace(diverged_above=LEVEL),
    "cpu": CPU.replace(diverged_above=LEVEL),
    "full": FULL.replace(diverged_above=LEVEL),
}
SHALLOW = BOLD.replace(model=QUICK.model.replace(num_layers=2))


def learning_rate(lr: float, **changes: object) -> Variation:
    """Return the variation that only changes the learning rate; the ends of the schedule keep their ratio."""
    return Variation(f"lr {lr:g}", {"lr": lr, "min_lr": lr / 100, **changes})


def _rates(base: TrainConfig, factors: Sequence[float]) -> tuple[Variation, ...]:
    return tuple(learning_rate(float(f"{base.lr * factor:.1g}")) for factor in factors)


def _batches(base: TrainConfig, sizes: Sequence[int]) -> tuple[Variation, ...]:
    """Each batch size at three learning rates around the square-root rule."""
    found = []
    for size in sizes:
        for factor in (0.5, 1.0, 2.0):
            lr = float(f"{base.lr * math.sqrt(size / base.batch_size) * factor:.2g}")
            found.append(Variation(f"batch {size}, lr {lr:g}", {"batch_size": size, "lr": lr, "min_lr": lr / 100}))
    return tuple(found)


def _grid(rates: Mapping[int, Sequence[float]]) -> tuple[Variation, ...]:
    """Each batch size at rates of its own; sizes share most of them, so that they also compare at one rate."""
    return tuple(
        Variation(f"batch {size}, lr {lr:g}", {"batch_size": size, "lr": lr, "min_lr": lr / 100})
        for size, tried in rates.items()
        for lr in tried
    )


def _lower(changes: dict[str, object], name: str, base: TrainConfig) -> Variation:
    """Return a variation at a tenth of the base's learning rate."""
    lr = base.lr / 10
    return Variation(f"{name}, lr {lr:g}", {**changes, "lr": lr, "min_lr": lr / 100})


def _ablation(
    name: str,
    problem: str,
    question: str,
    sides: tuple[str, str],
    changes: dict[str, object],
    *,
    seeds: int,
    lower: bool = False,
    at_full: tuple[Variation, ...] = (),
) -> Suite:
    """Return the suite that compares the base model with a changed one.

    Args:
        name: of the suite.
        problem: the official one.
        question: what it asks.
        sides: names of the base and of the changed model.
        changes: what makes the one the other.
        seeds: runs of each at the quick scale; the scale "cpu" takes two, "full" one.
        lower: compare them at a tenth of the learning rate as well.
        at_full: further variations of the scale "full".
    """
    base, other = Variation(sides[0]), Variation(sides[1], changes)
    scales = {}
    for scale, config in ABLATED.items():
        low = (_lower({}, base.name, config), _lower(changes, other.name, config)) if lower else ()
        count = {"quick": seeds, "cpu": 2, "full": 1}[scale]
        scales[scale] = Scale(
            config, seeds=tuple(range(count)), variations=(base, other, *low, *(at_full if scale == "full" else ()))
        )
    return Suite(name, problem, question, (base, other), scales)


_PLAIN = Variation("AdamW, cosine")
_MUON = {"optimizer": "muon"}
_QK = {"model.qk_norm": True}
_TIED = {"model.tie_embeddings": True}


def _wsd(base: TrainConfig) -> dict[str, object]:
    return {"schedule": "wsd", "decay_steps": base.steps // 3}


def _leaderboard(base: TrainConfig) -> tuple[Variation, ...]:
    wsd = _wsd(base)
    return (
        _PLAIN,
        Variation("+ Muon", _MUON),
        Variation("+ QK-norm", _QK),
        Variation("+ tied embeddings", _TIED),
        Variation("+ WSD", wsd),
        Variation("all four", {**_MUON, **_QK, **_TIED, **wsd}),
        Variation("all but tied", {**_MUON, **_QK, **wsd}),
    )


def _entries(base: TrainConfig) -> tuple[Variation, ...]:
    """Return what an entry of the leaderboard may be made of; the base is tied already, as the entries' models are."""
    wsd = _wsd(base)
    return (
        _PLAIN,
        Variation("+ Muon", _MUON),
        Variation("+ QK-norm", _QK),
        Variation("+ WSD", wsd),
        Variation("all three", {**_MUON, **_QK, **wsd}),
        Variation("untied", {"model.tie_embeddings": False}),
    )


_SWEEP = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 1000.0)
_QUICK_LR = tuple(learning_rate(lr) for lr in (1e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1, 10.0))
_WIDE = (3e-3, 1e-2, 3e-2, 1e-1)
_QUICK_BATCHES = _grid({1: _WIDE[:3], 4: _WIDE, 16: _WIDE, 64: _WIDE})
# Each size up to a rate that is worse than one before it, and down to one likewise: the square-root rule misses both.
_CPU_BATCHES = _grid(
    {
        1: (0.0013, 0.0025, 0.005, 0.01),
        4: (0.0025, 0.005, 0.01, 0.02),
        16: (0.005, 0.01, 0.02),
        64: (0.005, 0.01, 0.02, 0.04),
    }
)

_ALL = [
    Suite(
        "lr-sweep",
        "learning_rate",
        "Which learning rate is best, and where does training diverge?",
        _QUICK_LR,
        {
            "quick": Scale(QUICK_RATES, variations=_QUICK_LR),
            "cpu": Scale(CPU, variations=_rates(CPU, _SWEEP)),
            "full": Scale(FULL, variations=_rates(FULL, _SWEEP)),
        },
    ),
    Suite(
        "batch-size",
        "batch_size_experiment",
        "At equally many tokens, which batch size is best once its learning rate is tuned?",
        _QUICK_BATCHES,
        {
            "quick": Scale(QUICK_RATES, variations=_QUICK_BATCHES),
            "cpu": Scale(CPU, variations=_CPU_BATCHES),
            "full": Scale(FULL, variations=_batches(FULL, (1, 16, 64, 128, 256, 1024))),
        },
    ),
    _ablation(
        "layer-norm",
        "layer_norm_ablation",
        "What happens without any normalisation?",
        ("pre-norm", "no norm"),
        {"model.norm": "none"},
        seeds=1,
        lower=True,
    ),
    _ablation(
        "post-norm",
        "pre_norm_ablation",
        "Is it better to normalise before a layer or after the sum?",
        ("pre-norm", "post-norm"),
        {"model.norm": "post"},
        seeds=1,
        lower=True,
    ),
    _ablation("nope", "no_pos_emb", "What do positions add?", ("RoPE", "NoPE"), {"model.position": "none"}, seeds=3),
    _ablation(
        "swiglu",
        "swiglu_ablation",
        "Does the gate help, at equally many parameters?",
        ("SwiGLU", "SiLU"),
        {"model.ffn": "silu"},
        seeds=2,
        # The handouts' own width, 4 d_model: 1.6 % more weights than SwiGLU's, where ours are exactly as many.
        at_full=(Variation("SiLU 2048", {"model.ffn": "silu", "model.d_ff": 4 * FULL.model.d_model}),),
    ),
    Suite(
        "main",
        "main_experiment",
        "The same model, another vocabulary or another text: which losses can be compared?",
        tuple(Variation(f"vocabulary {size}", {"model.vocab_size": size}) for size in (300, 512, 1_024)),
        {
            "quick": Scale(SHALLOW),
            "cpu": Scale(CPU),
            "full": Scale(
                FULL,
                variations=(
                    Variation("TinyStories"),
                    Variation("OpenWebText", {"data": "owt", "model.vocab_size": 32_000, "lr": 5e-3, "min_lr": 5e-5}),
                ),
            ),
        },
    ),
    Suite(
        "leaderboard",
        "leaderboard",
        "What does a modified model win, each change alone and all together?",
        _leaderboard(SHALLOW),
        {
            "quick": Scale(SHALLOW, seeds=(0, 1), variations=_leaderboard(SHALLOW)),
            "cpu": Scale(CPU, seeds=(0, 1), variations=_leaderboard(CPU)),
            "full": Scale(TrainConfig.preset("owt-17m"), variations=_leaderboard(TrainConfig.preset("owt-17m"))),
        },
    ),
    Suite(
        "leaderboard-124m",
        "leaderboard",
        "The same at the size and the context of a leaderboard's entry: what does each change win?",
        _entries(TrainConfig.preset("owt-124m")),
        {"full": Scale(TrainConfig.preset("owt-124m"))},
    ),
]

SUITES: dict[str, Suite] = {suite.name: suite for suite in _ALL}
"""Name -> suite."""
