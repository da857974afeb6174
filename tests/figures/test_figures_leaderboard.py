"""Gains, units and spectra are drawn as they are."""

import math

from matplotlib.colors import to_hex

from cs336_lib.figures import leaderboard
from cs336_lib.figures.style import COLORS


def test_each_unit_has_a_panel_with_losses_and_floors():
    figure = leaderboard.two_units({"nats": {"a": 2.0, "b": 3.0}}, {"nats": {"a": 0.5, "b": 0.7}}, "vocabulary")
    (axes,) = figure.axes
    assert axes.get_xlabel() == "vocabulary"
    assert [bar.get_height() for bar in axes.patches] == [2.0, 3.0]
    assert [line.get_ydata()[0] for line in axes.lines] == [0.5, 0.7]


def test_spectra_are_ordered_and_scaled_to_their_largest():
    axes = leaderboard.singular_values({"gradient": [1.0, 4.0, 2.0]}).axes[0]
    assert list(axes.lines[0].get_ydata()) == [1.0, 0.5, 0.25]


def test_a_gain_past_the_limit_is_cut_and_written_and_one_within_the_noise_is_gray():
    found = {"a": (0.1, 0.01), "b": (-3.0, 0.1), "c": (0.05, 0.2), "d": (0.05, math.inf)}
    axes = leaderboard.gains(found, limit=0.5).axes[0]
    assert [bar.get_width() for bar in axes.patches] == [0.1, -0.5, 0.05, 0.05]
    assert [text.get_text() for text in axes.texts] == ["-3.00"]
    colors = [to_hex(bar.get_facecolor()) for bar in axes.patches]
    assert colors == [COLORS[name] for name in ("green", "red", "grey", "grey")]


def test_rates_stand_under_the_losses_of_the_same_steps():
    lines = [{"step": 4, "train_loss": 5.0, "lr": 0.1}, {"step": 8, "train_loss": 4.0, "lr": 0.05}, {"step": 8}]
    above, below = leaderboard.loss_and_rate({"cosine": lines}, top=6.0).axes
    assert list(above.lines[0].get_ydata()) == [5.0, 4.0] and above.get_ylim()[1] == 6.0
    assert list(below.lines[0].get_xdata()) == [4, 8] and list(below.lines[0].get_ydata()) == [0.1, 0.05]
