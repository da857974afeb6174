"""Every series that a figure is given is in it, at its places and under its own name, however many there are."""

import math

import pytest
from figures_drawing import drawn, legend, named

from cs336_lib.accounting import GB
from cs336_lib.figures import (
    ablations,
    accounting,
    architecture,
    bpe,
    corpus,
    experiments,
    leaderboard,
    scaling,
    training,
)
from cs336_lib.figures.runs import losses as losses_of_runs
from cs336_lib.model import ModelConfig
from cs336_lib.training import RunRecord, TrainConfig

MANY = 12
"""More than there are colors."""
NAMES = [f"name {i}" for i in range(MANY)]
RISING = {name: [2.0 + i, 3.0 + i, 5.0 + i] for i, name in enumerate(NAMES)}
CURVES = {name: ([4, 8, 16], [0.5, 1.0, 2.0], values) for name, values in RISING.items()}
CONFIG = ModelConfig(vocab_size=300, context_length=16, d_model=16, num_layers=1, num_heads=2, d_ff=32)


# Figure, which of its axes, and name -> (x, y) of every line in it.
LINES = {
    "growth": (
        lambda: bpe.growth([1, 10, 100, 1000], RISING, "x", "y"),
        {name: ([1, 10, 100], values) for name, values in RISING.items()},
    ),
    "work per merge": (
        lambda: bpe.work_per_merge({name: [1, 2, 1000 + i] for i, name in enumerate(NAMES)}),
        {f"{name}: {1003 + i:,} in all": ([1, 2, 3], [1, 2, 1000 + i]) for i, name in enumerate(NAMES)},
    ),
    "by depth": (
        lambda: ablations.by_depth(RISING),
        {name: ([0, 1, 2], values) for name, values in RISING.items()},
    ),
    "gradient norms": (
        lambda: ablations.gradient_norms({f"{name}#0": curve for name, curve in CURVES.items()}, 1.0),
        {name: ([4, 8, 16], values) for name, values in RISING.items()} | {"clipped to 1": ([0, 1], [1.0, 1.0])},
    ),
    "panels": (
        lambda: architecture.curves(architecture.Panel("t", "x", "y", [4, 8, 16, 32], RISING)),
        {name: ([4, 8, 16], values) for name, values in RISING.items()},
    ),
    "every step": (
        lambda: experiments.steps(RISING, "loss"),
        {name: ([0, 1, 2], values) for name, values in RISING.items()},
    ),
    "every fifth step": (
        lambda: experiments.steps(RISING, "loss", every=5, level=("level", 1.0)),
        {name: ([5, 10, 15], values) for name, values in RISING.items()} | {"level": ([0, 1], [1.0, 1.0])},
    ),
    "runs": (
        lambda: experiments.runs(CURVES, "loss", floor=("floor", 1.0)),
        {name: ([4, 8, 16], values) for name, values in RISING.items()} | {"floor": ([0, 1], [1.0, 1.0])},
    ),
    "singular values": (
        lambda: leaderboard.singular_values({name: [2.0, 1.0, 4.0 + i] for i, name in enumerate(NAMES)}),
        {name: ([1, 2, 3], [1.0, 2 / (4 + i), 1 / (4 + i)]) for i, name in enumerate(NAMES)},
    ),
    "loss and rate": (
        lambda: leaderboard.loss_and_rate(
            {
                n: [{"step": 4, "train_loss": v[0], "lr": 0.1}, {"step": 6, "valid_loss": 9.0}]
                for n, v in RISING.items()
            },
            30.0,
        ),
        {name: ([4], values[:1]) for name, values in RISING.items()},
    ),
    "training": (
        lambda: training.curves({n: ([4, 8, 16], v) for n, v in RISING.items()}, "x", "y", floor=("floor", 1.0)),
        {name: ([4, 8, 16], values) for name, values in RISING.items()} | {"floor": ([0, 1], [1.0, 1.0])},
    ),
    "agreement": (
        lambda: scaling.agreement({n: ([4, 8, 16], v) for n, v in RISING.items()}),
        {name: ([4, 8, 16], values) for name, values in RISING.items()},
    ),
    "memory by size": (
        lambda: scaling.memory_by_size(
            {"small": 4, "middle": 8, "large": 16},
            {n: [round(v * GB) for v in values] for n, values in RISING.items()},
            {"a device": 8 * GB},
        ),
        {name: ([4, 8, 16], values) for name, values in RISING.items()},
    ),
    "memory by batch": (
        lambda: accounting.memory_by_batch({n: [round(v * GB) for v in values] for n, values in RISING.items()}, 8),
        {name: ([0, 1, 2], values) for name, values in RISING.items()},
    ),
    "workers, modeled": (
        lambda: scaling.throughput_by_workers({n: dict(zip((1, 2, 4), v, strict=True)) for n, v in RISING.items()}, {}),
        {f"{name}, on paper": ([1, 2, 4], values) for name, values in RISING.items()},
    ),
    "workers, measured": (
        lambda: scaling.throughput_by_workers({}, {n: dict(zip((1, 2, 4), v, strict=True)) for n, v in RISING.items()}),
        {f"{name}, measured": ([1, 2, 4], values) for name, values in RISING.items()},
    ),
    "token frequencies": (
        lambda: corpus.token_frequencies({name: [1, 0, 2 + i] for i, name in enumerate(NAMES)}),
        {
            f"{name}: 2 tokens, 1 more never occur": ([1, 2], [(2 + i) / (3 + i), 1 / (3 + i)])
            for i, name in enumerate(NAMES)
        }
        | {"Zipf's law: share = c / rank": ([1, 2], [13 / 14, 13 / 28])},
    ),
}


@pytest.mark.parametrize("kind", LINES)
def test_every_series_is_a_line_at_its_places_under_its_name(kind):
    draw, expected = LINES[kind]
    figure = drawn(draw())
    found = named(figure.axes[0])
    assert list(found) == list(expected)
    for name, (x, y) in expected.items():
        assert found[name][0] == pytest.approx(x), name
        assert found[name][1] == pytest.approx(y), name
    assert legend(figure) == list(expected)


def test_the_second_panels_of_several_runs_hold_them_in_the_same_order():
    by_time = experiments.runs(CURVES, "loss").axes[1]
    assert [list(line.get_xdata()) for line in by_time.lines] == [[0.5, 1.0, 2.0]] * MANY
    assert [list(line.get_ydata()) for line in by_time.lines] == list(RISING.values())
    lines = {n: [{"step": 4, "train_loss": 5.0, "lr": 0.1 * (i + 1)}] for i, n in enumerate(NAMES)}
    above, below = leaderboard.loss_and_rate(lines, 30.0).axes
    assert [line.get_ydata()[0] for line in below.lines] == [line[0]["lr"] for line in lines.values()]
    assert [line.get_color() for line in below.lines] == [line.get_color() for line in above.lines]
    top, bottom = scaling.agreement({n: ([4, 8, 16], v) for n, v in RISING.items()}).axes
    assert list(named(bottom)) == NAMES[1:]
    assert [line.get_ydata()[0] for line in bottom.lines] == [*range(1, MANY)]
    assert [line.get_color() for line in bottom.lines] == [line.get_color() for line in top.lines[1:]]


def test_predictions_have_the_color_of_their_own_curve_and_its_places():
    dotted = {name: [value + 0.5 for value in values] for name, values in RISING.items()}
    axes = experiments.steps(RISING, "gap", every=3, dotted=dict(reversed(dotted.items()))).axes[0]
    for place, name in enumerate(NAMES):
        measured, predicted = axes.lines[2 * place : 2 * place + 2]
        assert (measured.get_label(), list(predicted.get_ydata())) == (name, dotted[name])
        assert list(measured.get_xdata()) == list(predicted.get_xdata()) == [3, 6, 9]
        assert measured.get_color() == predicted.get_color()


def test_seeds_of_one_run_share_color_and_name_in_a_figure_of_gradients():
    curves = {f"{name}#{seed}": ([1], [0.1], [1.0 + seed]) for name in ("a", "b") for seed in (0, 1)}
    figure = drawn(ablations.gradient_norms(curves, 1.0))
    colors = [line.get_color() for line in figure.axes[0].lines[:4]]
    assert colors[0] == colors[1] != colors[2] == colors[3]
    assert legend(figure) == ["a", "b", "clipped to 1"]


def test_a_sweep_draws_the_dots_the_means_and_the_crosses_of_each_series_in_its_look():
    points = {
        name: [(0.1, 2.0 + i), (0.1, 4.0 + i), (0.2, 1.0 + i), (0.4 + i, math.nan)] for i, name in enumerate(NAMES)
    }
    axes = experiments.sweep(points, "rate", "loss").axes[0]
    entries = {line.get_label(): line for line in axes.lines if line.get_label() in NAMES}
    assert list(entries) == NAMES
    crosses = [line for line in axes.lines if line.get_marker() == "x" and len(line.get_xdata())]
    for place, name in enumerate(NAMES):
        means, dots = [line for line in axes.lines if len(line.get_xdata()) in (2, 3)][2 * place : 2 * place + 2]
        assert (list(means.get_xdata()), list(means.get_ydata())) == ([0.1, 0.2], [3.0 + place, 1.0 + place])
        assert list(zip(*dots.get_data(), strict=True)) == [(0.1, 2.0 + place), (0.1, 4.0 + place), (0.2, 1.0 + place)]
        assert list(crosses[place].get_xdata()) == [0.4 + place]
        look = {(line.get_color(), line.get_linestyle()) for line in (means, entries[name])}
        assert len(look) == 1 and {dots.get_color(), crosses[place].get_color()} == {means.get_color()}


def test_losses_of_runs_are_drawn_against_what_was_asked_for(tmp_path):
    runs = {}
    for i, name in enumerate(NAMES):
        config = TrainConfig(CONFIG, data_bytes=1, steps=8, warmup_steps=1)
        runs[name] = RunRecord.create(tmp_path / name, config, {"device": "CPU"})
        for step in (2, 4):
            about = {"step": step, "tokens": 64 * step + i, "seconds": step / 8}
            runs[name].append({**about, "train_loss": 5.0 + i - step})
            runs[name].append({**about, "valid_loss": 6.0 + i - step})
    panels = losses_of_runs(runs, floor=0.5, x=("seconds", "tokens", "step")).axes
    along = {"seconds": [0.25, 0.5], "tokens": [128, 256], "step": [2, 4]}
    for axes, what in zip(panels, along, strict=True):
        for i, name in enumerate(NAMES):
            x = [place + i * (what == "tokens") for place in along[what]]
            thin, dotted = axes.lines[2 * i : 2 * i + 2]
            assert (list(thin.get_xdata()), list(thin.get_ydata())) == (x, [3.0 + i, 1.0 + i])
            assert (list(dotted.get_xdata()), list(dotted.get_ydata())) == (x, [4.0 + i, 2.0 + i])
            assert dotted.get_label() == name and thin.get_color() == dotted.get_color()
