"""The figures of chapter 11 show the memory, markers and rates they are given, and say what is on paper."""

import math

import pytest
from figures_drawing import drawn
from matplotlib.colors import to_hex

from cs336_lib.accounting import GB, rank_memory, training_scaling
from cs336_lib.figures import scaling as figures
from cs336_lib.figures.style import COLORS, PAPER
from cs336_lib.model.config import ModelConfig

XL = ModelConfig.preset("gpt2-xl")


def test_a_ring_shows_each_chunk_of_each_rank_and_darkens_with_its_summands():
    moments = [[[1, 1], [1, 1]], [[1, 2], [2, 1]]]
    figure = drawn(figures.ring({"reduce-scatter": moments, "all-gather": moments}))
    assert [axes.get_title(loc="left") for axes in figure.axes] == [
        *("reduce-scatter", "after 1"),
        *("all-gather", "after 1"),
    ]
    axes = figure.axes[1]
    assert [text.get_text() for text in axes.texts] == ["1", "2", "2", "1"]
    assert [(text.get_position()) for text in axes.texts] == [(0, 0), (1, 0), (0, 1), (1, 1)]
    alphas = [patch.get_alpha() for patch in axes.patches]
    assert alphas[1] == alphas[2] > alphas[0] == alphas[3]


def test_agreement_shows_the_losses_and_the_distances_from_the_first_run():
    curves = {"one": ([1, 2], [3.0, 2.0]), "two": ([1, 2], [3.0, 2.25]), "three": ([1, 2], [2.5, 2.0])}
    top, bottom = drawn(figures.agreement(curves)).axes
    assert [list(line.get_ydata()) for line in top.lines] == [[3, 2], [3, 2.25], [2.5, 2]]
    assert [list(line.get_ydata()) for line in bottom.lines] == [[0, 0.25], [0.5, 0]]
    assert [line.get_color() for line in bottom.lines] == [line.get_color() for line in top.lines[1:]]
    assert "one" in bottom.get_ylabel()


def test_models_that_fit_no_device_are_hollow():
    curves = {"alone": [20 * GB, 100 * GB], "shared": [10 * GB, 80 * GB]}
    axes = drawn(figures.memory_by_size({"small": 10, "large": 100}, curves, {"24": 24 * GB, "80": 80 * GB})).axes[0]
    hollow = [[to_hex(face) == PAPER for face in points.get_facecolors()] for points in axes.collections]
    assert hollow == [[False, True], [False, False]]
    assert [line.get_ydata()[0] for line in axes.lines if len(set(line.get_ydata())) == 1] == [24, 80]
    assert [list(line.get_xdata()) for line in axes.lines[:2]] == [[10, 100], [10, 100]]


def test_parts_of_a_bar_add_up_to_the_rank():
    bars = {"one": rank_memory(XL), "eight": rank_memory(XL, "fsdp", 8)}
    axes = drawn(figures.memory_parts(bars, 80 * GB)).axes[0]
    for y, memory in enumerate(bars.values()):
        parts = [patch for patch in axes.patches if round(patch.get_y() + patch.get_height() / 2) == y]
        assert sum(patch.get_width() for patch in parts) == pytest.approx(memory.total / GB)
        assert parts[0].get_width() == memory.parameters / GB
    assert axes.lines[0].get_xdata()[0] == 80


def test_shards_cover_the_text_and_only_those_done_are_full():
    axes = drawn(figures.shards({"killed": [1, 0, 1], "after": [1, 2, 1]}, 6_000_000)).axes[0]
    colors = [to_hex(patch.get_facecolor()) for patch in axes.patches]
    first, later = COLORS["blue"], COLORS["orange"]
    assert [color in (first, later) for color in colors] == [True, False, True, True, True, True]
    assert colors[3:] == [first, later, first]
    assert [(p.get_x(), p.get_width()) for p in axes.patches[:3]] == [(0, 2), (2, 2), (4, 2)]


def test_what_was_measured_is_a_dot_and_what_was_modeled_a_dashed_line_of_its_color():
    axes = drawn(figures.throughput_by_workers({"encode": {1: 5, 2: 10, 4: 20}}, {"encode": {1: 5, 2: 9}})).axes[0]
    model, dots = axes.lines
    assert (model.get_linestyle(), dots.get_linestyle(), dots.get_marker()) == ("--", "None", "o")
    assert model.get_color() == dots.get_color()
    assert list(dots.get_ydata()) == [5, 9]
    assert [text.get_text() for text in axes.figure.legends[0].get_texts()] == ["encode, on paper", "encode, measured"]


def test_jobs_have_one_color_each_and_neither_lines_nor_marks_hide_each_other():
    modeled = {name: {2: 5, 4: 10} for name in ("count", "count, slower", "encode", "encode, slower")}
    axes = drawn(figures.throughput_by_workers(modeled, {"count": {1: 5}, "encode": {1: 5}})).axes[0]
    count, encode = axes.lines[:3], axes.lines[3:]
    for job, lines in (("count", count), ("encode", encode)):
        assert len({line.get_color() for line in lines}) == 1
        assert [line.get_label() for line in lines] == [
            f"{job}, on paper",
            f"{job}, slower, on paper",
            f"{job}, measured",
        ]
    assert count[0].get_color() != encode[0].get_color()
    patterns = [str(line._unscaled_dash_pattern) for line in [*count[:2], *encode[:2]]]
    assert len(set(patterns)) == 4
    assert {job[2].get_markerfacecolor() for job in (count, encode)} == {"none"}
    assert count[2].get_markersize() != encode[2].get_markersize()


def test_each_panel_of_scaling_shows_efficiency_and_is_labeled_as_paper():
    points = {"endless": [training_scaling(XL, n, 100.0, 8, math.inf) for n in (1, 2, 4)]}
    slow = {"slow": [training_scaling(XL, n, 100.0, 8, 1e9, scaling="weak") for n in (1, 2)]}
    strong, weak = drawn(figures.scaling({"strong": points, "weak": {**points, **slow}})).axes
    assert list(strong.lines[0].get_ydata()) == pytest.approx([100, 100, 100])
    assert list(weak.lines[1].get_ydata()) == [100 * point.efficiency for point in slow["slow"]]
    assert strong.lines[0].get_color() == weak.lines[0].get_color() != weak.lines[1].get_color()
    assert [axes.get_title(loc="left") for axes in (strong, weak)] == ["strong, on paper", "weak, on paper"]


def test_each_device_is_named_at_its_own_line():
    devices = {"24 GB": 24 * GB, "80 GB": 80 * GB}
    axes = drawn(figures.memory_by_size({"small": 10, "large": 100}, {"a": [GB, 2 * GB]}, devices)).axes[0]
    named = {text.get_text(): text.get_position()[1] for text in axes.texts}
    assert named == {name: pytest.approx(1.06 * size / GB) for name, size in devices.items()}


@pytest.mark.parametrize("ranks", [2, 4])
def test_a_chunk_that_all_ranks_have_added_to_is_as_dark_as_with_any_number_of_ranks(ranks):
    axes = figures.ring({"phase": [[[1, ranks] * ranks] * ranks]}).axes[0]
    assert {patch.get_alpha() for patch in axes.patches} == {0.12, 0.8}


def test_the_limit_of_a_ranks_memory_is_named_and_each_bar_ends_with_its_sum():
    bars = {"one": rank_memory(XL), "eight": rank_memory(XL, "fsdp", 8)}
    axes = drawn(figures.memory_parts(bars, 24 * GB)).axes[0]
    assert axes.get_xlabel() == "memory of a rank, GB; dashed: 24"
    assert [text.get_text().strip() for text in axes.texts] == [f"{memory.total / GB:,.0f}" for memory in bars.values()]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == list(bars)
