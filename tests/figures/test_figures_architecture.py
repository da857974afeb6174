"""The figures of chapter 4 show what they are given: curves, clouds, maps, rotations, parameters."""

import math

import numpy as np
import pytest
from figures_drawing import drawn

from cs336_lib.figures import architecture as figures
from cs336_lib.figures.architecture import Panel


def test_a_curve_has_one_color_in_all_panels_and_one_entry_in_the_legend():
    figure = drawn(
        figures.curves(
            Panel("left", "depth", "size", range(3), {"pre": [1, 2, 3], "none": [1, 9]}, "y"),
            Panel("right", "width", "share", [4, 8, 16], {"none": [1, 2, 3], "pre": [3, 2, 1]}, "x"),
        )
    )
    left, right = figure.axes
    colors = [{line.get_label(): line.get_color() for line in axes.lines} for axes in (left, right)]
    assert colors[0] == colors[1] and len(set(colors[0].values())) == 2
    assert [line.get_xydata().tolist() for line in left.lines][1] == [[0, 1], [1, 9]]
    assert (left.get_yscale(), left.get_xscale(), right.get_xscale()) == ("log", "linear", "log")
    assert (left.get_xlabel(), left.get_ylabel()) == ("depth", "size")
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["pre", "none"]
    assert all(tick.is_integer() for tick in left.get_xticks())


def test_clouds_draw_every_point_and_the_circle():
    points = np.random.default_rng(0).normal(size=(50, 2))
    figure = drawn(figures.clouds({"before": points, "after": points / 2}, radius=1.5))
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["before", "after"]
    for axes, expected in zip(figure.axes, (points, points / 2), strict=True):
        assert np.allclose(axes.collections[0].get_offsets(), expected)
        assert axes.patches[0].radius == 1.5


def test_maps_share_one_scale_and_leave_nan_out_of_it():
    grids = {"one": np.array([[0.1, math.nan], [0.2, 0.3]]), "two": np.array([[0.0, 0.5], [0.9, 0.1]])}
    figure = drawn(figures.maps(grids, "key", "query", "share", columns=2, labels=["owl", "lamp"]))
    first, second, bar = figure.axes
    assert first.images[0].get_clim() == second.images[0].get_clim() == (0, 0.9)
    assert first.images[0].get_array().mask.tolist() == [[False, True], [False, False]]
    assert [label.get_text() for label in first.get_xticklabels()] == ["owl", "lamp"]
    assert (first.get_ylabel(), second.get_ylabel(), second.get_xlabel()) == ("query", "", "key")
    assert bar.get_ylabel() == "share"


def test_a_diverging_map_has_zero_in_the_middle_and_empty_places_stay_empty():
    grids = {str(number): np.array([[-1.0, 3.0]]) for number in range(4)}
    figure = drawn(figures.maps(grids, "x", "y", "value", diverging=True, extent=(-1, 1, -1, 1)))
    shown = [axes for axes in figure.axes if axes.images]
    assert len(shown) == 4 and shown[0].images[0].get_clim() == (-3, 3)
    assert sum(not axes.get_visible() for axes in figure.axes) == 2


def test_rotations_draw_an_arrow_for_each_position():
    turn = np.arange(5.0)
    figure = drawn(figures.rotations({"fast": np.stack((np.cos(turn), np.sin(turn)), axis=1)}))
    arrows = [text for text in figure.axes[0].texts if getattr(text, "arrow_patch", None)]
    assert len(arrows) == 5
    assert [text.get_text() for text in figure.axes[0].texts if text.get_text()] == ["0", "1", "2", "3", "4"]


def test_every_parameter_has_the_same_area():
    counts = {
        "token_embeddings.weight": 600,
        "layers.0.attn.q_proj.weight": 100,
        "layers.0.ffn.w1.weight": 290,
        "layers.0.ln1.weight": 10,
        "ln_final.weight": 10,
        "lm_head.weight": 590,
    }
    axes = drawn(figures.parameter_map(counts)).axes[0]
    areas = [patch.get_width() * patch.get_height() for patch in axes.patches]
    assert np.allclose(areas, np.array(list(counts.values())) / 1600)
    (legend,) = axes.figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["embedding and head", "attention", "feed-forward"]
    assert "q\n100" in {text.get_text() for text in axes.texts}


def test_arrows_end_at_their_positions_and_grow_paler():
    turn = np.arange(4.0) * 0.9
    places = np.stack((np.cos(turn), np.sin(turn)), axis=1)
    axes = drawn(figures.rotations({"fast": places})).axes[0]
    arrows = [text for text in axes.texts if getattr(text, "arrow_patch", None)]
    assert np.allclose([arrow.xy for arrow in reversed(arrows)], places)
    light = [sum(arrow.arrow_patch.get_edgecolor()[:3]) for arrow in reversed(arrows)]
    assert light == sorted(light) and len(set(light)) == 4
    written = {text.get_text(): text.get_position() for text in axes.texts if text.get_text()}
    assert all(np.allclose(written[str(k)], 1.17 * places[k]) for k in range(4))


def test_a_map_of_the_plane_has_its_first_row_below_and_a_matrix_has_it_above():
    grid = {"a": np.array([[1.0, 2.0], [3.0, 4.0]])}
    plane = drawn(figures.maps(grid, "x", "y", "s", columns=1, extent=(-2, 2, -1, 1))).axes[0].images[0]
    matrix = drawn(figures.maps(grid, "x", "y", "s", columns=1)).axes[0].images[0]
    assert (plane.origin, plane.get_extent(), matrix.origin) == ("lower", [-2, 2, -1, 1], "upper")
    assert matrix.get_array().tolist() == plane.get_array().tolist() == [[1, 2], [3, 4]]


def test_boxes_of_parameters_fill_the_rectangle_without_lying_on_each_other():
    counts = {"token_embeddings.weight": 300, "layers.0.attn.q_proj.weight": 100, "layers.0.attn.k_proj.weight": 60}
    counts |= {"layers.0.ffn.w1.weight": 240, "layers.1.ffn.w1.weight": 200, "lm_head.weight": 300}
    axes = drawn(figures.parameter_map(counts)).axes[0]
    boxes = [(box.get_x(), box.get_y(), box.get_width(), box.get_height()) for box in axes.patches]
    columns = [[0], [1, 2, 3], [4], [5]]
    left = 0.0
    for column in columns:
        top = 1.0
        for place in column:
            x, y, width, height = boxes[place]
            assert (x, y + height) == (pytest.approx(left), pytest.approx(top))
            top = y
        assert top == pytest.approx(0, abs=1e-9)
        left += width
    assert left == pytest.approx(1)
    names = {text.get_text() for text in axes.texts}
    assert {"q\n100", "k\n60", "w1\n240", "w1\n200"} <= names
