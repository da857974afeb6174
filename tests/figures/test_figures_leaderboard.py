"""Gains, units and spectra are drawn as they are."""

import math

from cs336_lib.figures import leaderboard


def test_each_unit_has_a_panel_with_losses_and_floors():
    figure = leaderboard.two_units({"nats": {"a": 2.0, "b": 3.0}}, {"nats": {"a": 0.5, "b": 0.7}})
    (axes,) = figure.axes
    assert [bar.get_height() for bar in axes.patches] == [2.0, 3.0]
    assert [line.get_ydata()[0] for line in axes.lines] == [0.5, 0.7]


def test_spectra_are_ordered_and_scaled_to_their_largest():
    axes = leaderboard.singular_values({"gradient": [1.0, 4.0, 2.0]}).axes[0]
    assert list(axes.lines[0].get_ydata()) == [1.0, 0.5, 0.25]


def test_a_gain_past_the_limit_is_cut_and_written():
    left, right = leaderboard.gains({"a": (0.1, 0.01), "b": (-3.0, math.nan)}, {"a": 1.0, "b": 2.0}, limit=0.5).axes
    assert [bar.get_width() for bar in left.patches] == [0.1, -0.5]
    assert [text.get_text() for text in left.texts] == ["-3.00"]
    assert [bar.get_width() for bar in right.patches] == [1.0, 2.0]
