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


def test_each_bar_of_shares_has_its_own_total_and_each_number_stands_in_its_part():
    bars = {name: Breakdown({"ffn": 3 + i, "lm_head": 2}) for i, name in enumerate("abc")}
    axes = drawn(figures.component_shares(bars, {"c": "7 in all", "a": "5 in all", "b": "6 in all"})).axes[0]
    above = {round(text.get_position()[0]): text.get_text() for text in axes.texts if "in all" in text.get_text()}
    assert above == {0: "5 in all", 1: "6 in all", 2: "7 in all"}
    inside = {(x, round(y, 6)): text.get_text() for text in axes.texts for x, y in [text.get_position()]}
    for x, bar in enumerate(bars.values()):
        assert inside[x, round(bar.share("ffn") / 2, 6)] == f"{100 * bar.share('ffn'):.1f}"


def test_shares_stand_over_their_context_and_the_marked_one_is_bold():
    lengths = [1024, 4096, 16384]
    axes = drawn(figures.shares_by_context(XL, lengths, marked=[4096])).axes[0]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["1,024", "4,096", "16,384"]
    assert [tick.get_fontweight() for tick in axes.get_xticklabels()] == ["normal", "bold", "normal"]
    assert [2**place for place in axes.get_xticks()] == pytest.approx(lengths)
    assert heights(axes, "ffn") == pytest.approx([forward_flops(XL, length).share("ffn") for length in lengths])


def test_a_roofline_names_each_component_with_its_speed_and_each_lane_in_its_middle():
    h100 = DEVICES["h100-sxm"]
    points = {"training": roofline(XL, h100, batch_size=8), "decoding": roofline(XL, h100, 1, cached=1023)[:2]}
    roof, lanes = drawn(figures.roofline(points, h100)).axes
    (line,) = [line for line in roof.lines if len(line.get_xdata()) == 3]
    for intensity, speed in zip(*line.get_data(), strict=True):
        assert speed == pytest.approx(min(h100.peak(), intensity * h100.bandwidth) / 1e12)
    assert line.get_xdata()[1] == h100.peak() / h100.bandwidth
    told = {text.xy: text.get_text() for text in lanes.texts if hasattr(text, "xy")}
    shown = [line for line in lanes.lines if line.get_marker() == "o"]
    every = [point for several in points.values() for point in several]
    for dot, point in zip(shown, every, strict=True):
        name = point.component.replace("_", " ")
        assert told[(dot.get_xdata()[0], dot.get_ydata()[0])] == f"{name}  {point.attainable / 1e12:,.1f}"
        assert to_hex(dot.get_color()) == figures.COMPONENT_COLORS[point.component]
    rows = [dot.get_ydata()[0] for dot in shown]
    count = len(points["training"])
    middles = [sum(part) / len(part) for part in (rows[:count], rows[count:])]
    assert list(lanes.get_yticks()) == pytest.approx(middles)
    assert [tick.get_text() for tick in lanes.get_yticklabels()] == ["training", "decoding"]
    low, high = roof.get_xlim()
    assert low < min(point.intensity for point in every) and max(point.intensity for point in every) < high


def test_a_devices_memory_is_a_line_at_its_gigabytes():
    (axes,) = drawn(figures.memory_of_a_step({"a": {"parameters": 10 * GB}}, 80)).axes
    assert [list(line.get_xdata()) for line in axes.lines] == [[80, 80]]
    assert axes.get_xlim()[1] > 80


def test_doubt_is_shaded_from_the_lowest_to_the_highest_of_repeated_measurements():
    (axes,) = drawn(figures.bars({"a": 2.0, "b": 3.0}, "s", doubt=(1.5, 2.5))).axes
    (band,) = [patch for patch in axes.patches if patch.get_alpha() == 0.35]
    assert (band.get_x(), band.get_x() + band.get_width()) == (1.5, 2.5)
