"""The comparisons of chapters 8 to 10, as data.

Each names its question, its sides with a grid of rates of its own for each, and which side is compared with which;
`comparison` says what the runs show. A grid is extended until the best rate has a worse one on either side. Where a
scale is expensive, the best rate and what a sentence rests on get two seeds, other rates one; where differences are
small and runs take seconds, ten. One suite is for a GPU:
`leaderboard-124m`, of the size that entries of the leaderboard have.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from cs336_lib.experiments.bases import ABLATED, CPU, FULL, QUICK_RATES, SHALLOW
from cs336_lib.experiments.suite import Scale, Suite, Variation
from cs336_lib.experiments.tunings import (
    Rates,
    around,
    batch_grid,
    batches,
    learning_rate,
    tuned,
    tuned_muon,
    wsd,
)
from cs336_lib.training.config import TrainConfig

ONE, TWO, THREE, TEN = (0,), (0, 1), (0, 1, 2), tuple(range(10))

# Pre-norm with AdamW and a cosine is a side of most suites; its runs are made once and copied.
PLAIN_QUICK = {0.01: ONE, 0.02: THREE, 0.03: THREE, 0.05: ONE}
_TEN_QUICK = {0.01: TEN, 0.02: TEN, 0.03: TEN, 0.05: ONE}
PLAIN_CPU = {0.0025: ONE, 0.005: TWO, 0.01: TWO, 0.02: TWO}

_MUON = {"optimizer": "muon"}
_QK = {"model.qk_norm": True}
_TIED = {"model.tie_embeddings": True}
_ROWS_AS_THEY_ARE = {**_TIED, "model.tied_lookup": "plain"}


Changes = dict[str, Any] | Callable[[TrainConfig], dict[str, Any]]
"""What makes a side of the base: fields -> values, or a function of the scale's base that returns them."""


def _at(scale: str, changes: Changes) -> dict[str, Any]:
    return changes(ABLATED[scale]) if callable(changes) else changes


def _wider(base: TrainConfig) -> dict[str, Any]:
    """SiLU as much wider as the handouts' 4 d_model = 2,048 is than the 2,016 that give exactly as many weights."""
    return {"model.ffn": "silu", "model.d_ff": round(base.model.replace(ffn="silu").d_ff * 2_048 / 2_016)}


def _ablation(
    name: str,
    problem: str,
    question: str,
    base: str,
    sides: Mapping[str, tuple[Changes, Rates, Rates]],
    *,
    plain_quick: Rates = PLAIN_QUICK,
    plain_cpu: Rates = PLAIN_CPU,
    at_full: Mapping[str, tuple[float, ...]] | None = None,
) -> Suite:
    """Return the suite that compares the base model with changed ones.

    Args:
        name: of the suite.
        problem: the official one.
        question: what it asks.
        base: name of the plain side.
        sides: name of each changed side -> what makes it, its rates at quick and at cpu.
        plain_quick: rates of the plain side at quick.
        plain_cpu: likewise at cpu.
        at_full: side -> its rates at full; by default around the preset's.
    """
    rates_at_full: Mapping[str, Rates] = {side: around(FULL) for side in (base, *sides)} | dict(at_full or {})
    makes: dict[str, Changes] = {base: {}, **{side: changes for side, (changes, _, _) in sides.items()}}
    at: dict[str, Mapping[str, Rates]] = {
        "quick": {base: plain_quick, **{side: quick for side, (_, quick, _) in sides.items()}},
        "cpu": {base: plain_cpu, **{side: cpu for side, (_, _, cpu) in sides.items()}},
        "full": rates_at_full,
    }
    scales = {
        scale: Scale(
            ABLATED[scale],
            seeds=THREE if scale == "quick" else ONE,
            variations=tuple(v for side, rates in grids.items() for v in tuned(side, _at(scale, makes[side]), rates)),
        )
        for scale, grids in at.items()
    }
    compared = tuple((side, base) for side in sides)
    return Suite(name, problem, question, scales["quick"].variations, scales, compared=compared)


def _with_warmup(suite: Suite, steps: int, plain: Rates, changed: Rates) -> Suite:
    """Return a comparison of two sides that asks the same once more at quick, with a longer warm-up for both.

    Args:
        suite: of one changed side.
        steps: of the warm-up.
        plain: rates of the plain side.
        changed: rates of the changed one.
    """
    quick = suite.scales["quick"]
    ((side, base),) = suite.compared
    makes = next(v.changes for v in quick.variations if v.side == side)
    kept = {field: value for field, value in makes.items() if field not in ("lr", "min_lr")}
    longer = {name: f"{name}, warm-up {steps}" for name in (base, side)}
    variations = (
        *quick.variations,
        *tuned(longer[base], {"warmup_steps": steps}, plain),
        *tuned(longer[side], {**kept, "warmup_steps": steps}, changed),
    )
    scales = {**suite.scales, "quick": replace(quick, variations=variations)}
    compared = (*suite.compared, (longer[side], longer[base]))
    return replace(suite, variations=variations, scales=scales, compared=compared)


def _sweep(rates: Rates, side: str = "AdamW") -> tuple[Variation, ...]:
    with_seeds = rates.items() if isinstance(rates, Mapping) else [(lr, ()) for lr in rates]
    return tuple(learning_rate(lr, seeds, side) for lr, seeds in with_seeds)


def _leaderboard(base: TrainConfig, grids: Mapping[str, Rates]) -> tuple[Variation, ...]:
    """Return each change alone and all together, each at its own rates.

    Args:
        base: of the scale.
        grids: side -> rates; Muon's own where Muon is part of it.
    """
    changes: dict[str, dict[str, Any]] = {
        "AdamW, cosine": {},
        "+ Muon": _MUON,
        "+ QK-norm": _QK,
        "+ tied embeddings": _TIED,
        "tied, rows as they are": _ROWS_AS_THEY_ARE,
        "+ WSD": wsd(base),
        "Muon, QK-norm, WSD": {**_MUON, **_QK, **wsd(base)},
        "all four": {**_MUON, **_QK, **_TIED, **wsd(base)},
    }
    return tuple(
        variation
        for side, rates in grids.items()
        for variation in (tuned_muon if "optimizer" in changes[side] else tuned)(side, changes[side], rates)
    )


_QUICK_BOARD: dict[str, Rates] = {
    "AdamW, cosine": _TEN_QUICK,
    "+ Muon": {0.01: ONE, 0.02: TEN, 0.04: TEN, 0.08: TEN, 0.16: ONE},
    "+ QK-norm": _TEN_QUICK,
    "+ tied embeddings": _TEN_QUICK,
    "tied, rows as they are": {0.003: ONE, 0.01: THREE, 0.03: THREE, 0.05: THREE, 0.1: ONE},
    "+ WSD": {0.003: ONE, 0.006: TEN, 0.01: TEN, 0.02: TEN, 0.03: ONE, 0.05: ONE},
    "Muon, QK-norm, WSD": {0.01: TEN, 0.02: TEN, 0.04: TEN, 0.08: ONE},
    "all four": {0.01: ONE, 0.02: ONE, 0.04: TEN, 0.08: TEN, 0.16: TEN, 0.3: ONE},
}
_CPU_BOARD: dict[str, Rates] = {
    "AdamW, cosine": PLAIN_CPU,
    "+ Muon": {0.01: ONE, 0.02: TWO, 0.04: TWO, 0.08: ONE},
    "+ QK-norm": {0.005: TWO, 0.01: TWO, 0.02: ONE},
    "+ tied embeddings": {0.005: ONE, 0.01: TWO, 0.02: ONE},
    "tied, rows as they are": {0.0025: ONE, 0.005: TWO, 0.01: ONE},
    "+ WSD": {0.0025: ONE, 0.005: TWO, 0.01: ONE},
    "Muon, QK-norm, WSD": {0.01: ONE, 0.02: TWO, 0.04: ONE},
    "all four": {0.01: ONE, 0.02: TWO, 0.04: ONE},
}
_OWT = TrainConfig.preset("owt-17m")
_MUON_RATES = (0.01, 0.02, 0.04)
_FULL_BOARD: dict[str, Rates] = {
    side: _MUON_RATES if "Muon" in side or side == "all four" else around(_OWT, (0.4, 1.0, 2.0))
    for side in _QUICK_BOARD
}


def _entries(base: TrainConfig) -> tuple[Variation, ...]:
    """Return what an entry of the leaderboard may be made of; the base is tied already, as the entries' models are."""
    return (
        Variation("AdamW, cosine"),
        Variation("+ Muon", _MUON),
        Variation("+ QK-norm", _QK),
        Variation("+ WSD", wsd(base)),
        Variation("all three", {**_MUON, **_QK, **wsd(base)}),
        Variation("untied", {"model.tie_embeddings": False}),
    )


_QUICK_SWEEP = (
    *_sweep({1e-4: ONE, 1e-3: ONE, 3e-3: ONE, 1e-2: THREE, 2e-2: THREE, 3e-2: THREE, 5e-2: THREE, 1e-1: ONE}),
    *_sweep({0.3: THREE, 1.0: ONE, 3.0: ONE, 10.0: THREE}),
    *tuned("no norm, no clipping", {"model.norm": "none", "grad_clip": 0.0}, {0.01: ONE, 0.03: ONE, 0.1: THREE}),
)
_CPU_SWEEP = (
    *_sweep({5e-5: ONE, 1e-4: ONE, 5e-4: ONE, 2e-3: ONE, 5e-3: TWO, 1e-2: TWO, 2e-2: TWO, 5e-2: ONE, 1e-1: ONE}),
    *_sweep({0.5: ONE, 5.0: ONE}),
    *(
        Variation(f"lr {lr:g}, limit lifted", {"lr": lr, "min_lr": lr / 100, "diverged_above": 1_000.0}, "AdamW")
        for lr in (1.0, 5.0)
    ),
)
_QUICK_BATCHES = batch_grid(
    {
        1: {3e-3: ONE, 1e-2: THREE, 3e-2: THREE},
        4: {3e-3: ONE, 1e-2: THREE, 3e-2: THREE, 1e-1: ONE},
        16: {1e-2: THREE, 3e-2: THREE, 1e-1: ONE},
        64: {1e-2: ONE, 3e-2: THREE, 1e-1: ONE},
    }
)
_CPU_BATCHES = batch_grid(
    {
        1: {0.0013: ONE, 0.0025: ONE, 0.005: TWO, 0.01: TWO},
        4: {0.0025: ONE, 0.005: TWO, 0.01: TWO, 0.02: TWO},
        16: {0.005: ONE, 0.01: ONE, 0.02: ONE},
        64: {0.005: ONE, 0.01: ONE, 0.02: ONE, 0.04: ONE},
    }
)
_OTHERS = ("+ Muon", "+ QK-norm", "+ tied embeddings", "+ WSD", "Muon, QK-norm, WSD", "all four")

_ALL = [
    Suite(
        "lr-sweep",
        "learning_rate",
        "Which learning rate is best, and where does training fail?",
        _QUICK_SWEEP,
        {
            "quick": Scale(QUICK_RATES, seeds=THREE, variations=_QUICK_SWEEP),
            "cpu": Scale(CPU, variations=_CPU_SWEEP),
            "full": Scale(FULL, variations=_sweep(around(FULL, (0.01, 0.03, 0.1, 0.3, 1, 2, 3, 10, 30, 100, 1000)))),
        },
    ),
    Suite(
        "batch-size",
        "batch_size_experiment",
        "At equally many tokens, which batch size is best once its learning rate is tuned?",
        _QUICK_BATCHES,
        {
            "quick": Scale(QUICK_RATES, seeds=THREE, variations=_QUICK_BATCHES),
            "cpu": Scale(CPU, variations=_CPU_BATCHES),
            "full": Scale(FULL, variations=batches(FULL, (1, 16, 64, 128, 256, 1024))),
        },
        compared=(("batch 1", "batch 4"), ("batch 16", "batch 4"), ("batch 64", "batch 4")),
    ),
    _ablation(
        "layer-norm",
        "layer_norm_ablation",
        "What is lost without any normalization, each model at its own best rate?",
        "pre-norm",
        {
            "no norm": (
                {"model.norm": "none"},
                {0.003: ONE, 0.006: ONE, 0.01: THREE, 0.015: THREE, 0.02: TEN, 0.03: THREE},
                {0.0005: TWO, 0.0025: ONE, 0.005: TWO, 0.01: TWO, 0.02: ONE},
            )
        },
        plain_cpu={0.0005: TWO, **PLAIN_CPU},
        at_full={"no norm": (1e-3, 3e-3, 1e-2)},
    ),
    _with_warmup(
        _ablation(
            "post-norm",
            "pre_norm_ablation",
            "Is it better to normalize before a layer or after the sum, each at its own best rate?",
            "pre-norm",
            {
                "post-norm": (
                    {"model.norm": "post"},
                    {0.003: ONE, 0.006: TEN, 0.008: TEN, 0.01: TEN, 0.015: ONE, 0.03: THREE},
                    {0.0005: TWO, 0.0025: ONE, 0.005: TWO, 0.01: TWO, 0.02: ONE},
                )
            },
            plain_quick=_TEN_QUICK,
            plain_cpu={0.0005: TWO, **PLAIN_CPU},
            at_full={"post-norm": (1e-3, 3e-3, 1e-2)},
        ),
        40,
        plain={0.01: ONE, 0.02: TEN, 0.03: TEN, 0.05: ONE},
        changed={0.006: ONE, 0.01: TEN, 0.015: TEN, 0.02: THREE, 0.03: THREE},
    ),
    _ablation(
        "nope",
        "no_pos_emb",
        "What do positions add, each model at its own best rate?",
        "RoPE",
        {"NoPE": ({"model.position": "none"}, _TEN_QUICK, {0.0025: ONE, 0.005: TWO, 0.01: TWO, 0.02: ONE})},
        plain_quick=_TEN_QUICK,
    ),
    _ablation(
        "swiglu",
        "swiglu_ablation",
        "Does the gate help, at equally many parameters and each model at its own best rate?",
        "SwiGLU",
        {
            "SiLU": ({"model.ffn": "silu"}, PLAIN_QUICK, {0.005: TWO, 0.01: TWO, 0.02: ONE}),
            "SiLU, wider": (
                _wider,
                {0.01: ONE, 0.02: THREE, 0.03: THREE, 0.05: ONE},
                {0.005: ONE, 0.01: TWO, 0.02: ONE},
            ),
        },
    ),
    Suite(
        "main",
        "main_experiment",
        "The same architecture, another vocabulary or another text: which losses can be compared?",
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
        "How much does each change to the model gain, alone and all together, each at its own best rate?",
        _leaderboard(SHALLOW, _QUICK_BOARD),
        {
            "quick": Scale(SHALLOW, seeds=THREE, variations=_leaderboard(SHALLOW, _QUICK_BOARD)),
            "cpu": Scale(CPU, variations=_leaderboard(CPU, _CPU_BOARD)),
            "full": Scale(_OWT, variations=_leaderboard(_OWT, _FULL_BOARD)),
        },
        compared=(*((side, "AdamW, cosine") for side in _OTHERS), ("+ tied embeddings", "tied, rows as they are")),
    ),
    Suite(
        "leaderboard-124m",
        "leaderboard",
        "The same at the size and the context of a leaderboard's entry: how much does each change gain?",
        _entries(TrainConfig.preset("owt-124m")),
        {"full": Scale(TrainConfig.preset("owt-124m"))},
    ),
]

SUITES: dict[str, Suite] = {suite.name: suite for suite in _ALL}
"""Name -> suite."""
