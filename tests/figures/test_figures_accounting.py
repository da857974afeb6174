"""The figures of chapter 5 show the counts they are given: heights, lines, markers."""

import pytest
from figures_drawing import drawn
from matplotlib.colors import to_hex

from cs336_lib.accounting import DEVICES, GB, GIB, Breakdown, forward_flops, roofline
from cs336_lib.figures import accounting as figures
from cs336_lib.figures.style import PAPER
from cs336_lib.model.config import ModelConfig

XL = ModelConfig.preset("gpt2-xl")


def heights(axes, component):
    color = figures.COMPONENT_COLORS[component]
    return [patch.get_height() for patch in axes.patches if to_hex(patch.get_facecolor()) == color]


def test_every_bar_of_shares_adds_up_to_one():
    bars = {"a": Breakdown({"ffn": 3, "lm_head": 1}), "b": Breakdown({"embedding": 2, "ffn": 2})}
    axes = drawn(figures.component_shares(bars, {"a": "4", "b": "four"})).axes[0]
    assert heights(axes, "ffn") == [0.75, 0.5]
    assert heights(axes, "lm_head") == [0.25, 0]
    tops = [
        max(p.get_y() + p.get_height() for p in axes.patches if round(p.get_x() + p.get_width() / 2) == x)
        for x in (0, 1)
    ]
    assert tops == [1, 1]
    assert {text.get_text() for text in axes.texts} == {"75.0", "25.0", "50.0", "4", "four"}


def test_parts_too_small_for_a_number_are_drawn_without():
    bars = {"a": Breakdown({"ffn": 99, "lm_head": 1})}
    axes = drawn(figures.component_shares(bars, {"a": "100"})).axes[0]
    assert heights(axes, "lm_head") == pytest.approx([0.01])
    assert {text.get_text() for text in axes.texts} == {"99.0", "100"}


def test_the_legend_names_the_components_that_occur():
    figure = drawn(figures.component_shares({"a": forward_flops(XL)}, {"a": ""}))
    (legend,) = figure.legends
    names = [text.get_text() for text in legend.get_texts()]
    assert names == ["attention projections", "attention scores", "ffn", "lm head"]


def test_the_crossing_lies_between_the_bars_where_scores_pass_the_ffn():
    lengths = [4096, 8192, 16384]
    axes = drawn(figures.shares_by_context(XL, lengths)).axes[0]
    (line,) = axes.lines
    assert 2 ** line.get_xdata()[0] == pytest.approx(9600)
    ahead = [s > f for s, f in zip(heights(axes, "attention_scores"), heights(axes, "ffn"), strict=True)]
    assert ahead == [False, False, True]


def test_points_that_do_not_fit_are_hollow():
    curves = {"model": [30 * GB, 50 * GB, 80 * GB, 85 * GB]}
    axes = drawn(figures.memory_by_batch(curves, 80)).axes[0]
    (points,) = axes.collections
    assert [to_hex(face) == PAPER for face in points.get_facecolors()] == [False, False, True]
    assert [tuple(row) for row in points.get_offsets()] == [(1, 50), (2, 80), (3, 85)]
    levels = [line.get_ydata()[0] for line in axes.lines if len(set(line.get_ydata())) == 1]
    assert levels == [80, 80 * GIB / GB]


def test_every_component_stands_at_its_intensity_on_its_side_of_the_ridge():
    h100 = DEVICES["h100-sxm"]
    points = {"training": roofline(XL, h100, batch_size=8), "decoding": roofline(XL, h100, 1, cached=1023)}
    roof, lanes = drawn(figures.roofline(points, h100)).axes
    (line,) = [line for line in roof.lines if len(line.get_xdata()) == 3]
    assert line.get_ydata()[1] == line.get_ydata()[2] == 989
    every = [point for several in points.values() for point in several]
    shown = [line for line in lanes.lines if line.get_marker() == "o"]
    assert [line.get_xdata()[0] for line in shown] == [point.intensity for point in every]
    ridge = h100.peak() / h100.bandwidth
    assert [line.get_xdata()[0] < ridge for line in shown] == [point.bound == "memory" for point in every]
    assert len({line.get_ydata()[0] for line in shown}) == len(every), "each has a line of its own"


def test_a_step_of_memory_adds_up():
    bars = {"a": {"parameters": 10 * GB, "activations": 20 * GB}, "b": {"parameters": 5 * GB}}
    axes = drawn(figures.memory_of_a_step(bars, 80)).axes[0]
    assert sorted(patch.get_x() + patch.get_width() for patch in axes.patches) == [5, 5, 10, 30]
    assert {text.get_text() for text in axes.texts} == {"10.0", "20.0", "5.0", "80 GB"}
