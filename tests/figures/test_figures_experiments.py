"""Runs and sweeps are drawn as they are; what diverged is marked, not left out."""

import math

from cs336_lib.figures import experiments


def test_runs_are_drawn_against_steps_and_against_time():
    figure = experiments.runs({"a": ([1, 2], [0.5, 1.0], [3.0, 2.0]), "b": ([1], [0.1], [4.0])}, "loss")
    by_step, by_time = figure.axes
    assert [list(line.get_xdata()) for line in by_step.lines] == [[1, 2], [1]]
    assert [list(line.get_xdata()) for line in by_time.lines] == [[0.5, 1.0], [0.1]]
    assert (by_step.get_xlabel(), by_time.get_xlabel()) == ("step", "seconds")


def test_seeds_of_one_run_share_colour_and_legend():
    figure = experiments.runs({f"a#{seed}": ([1], [1], [1.0]) for seed in range(2)}, "loss")
    assert len({line.get_color() for line in figure.axes[0].lines}) == 1
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a"]


def test_a_sweep_marks_what_diverged_at_the_upper_edge():
    axes = experiments.sweep({"a": [(0.1, 2.0), (0.01, 3.0), (1.0, math.nan)]}, "lr", "loss", top=5.0).axes[0]
    assert list(axes.lines[0].get_xdata()) == [0.01, 0.1]
    assert list(axes.lines[1].get_xdata()) == [1.0]
    assert "diverged" in [text.get_text() for text in axes.get_legend().get_texts()]


def test_a_run_that_diverges_leaves_the_axis_of_the_others_alone():
    curves = {"a": ([1, 2], [1, 2], [3.0, 1.0]), "b": ([1, 2], [1, 2], [5.0, 1e6])}
    for axes in experiments.runs(curves, "loss", top=11.0).axes:
        low, high = axes.get_ylim()
        assert (round(low, 6), high) == (0.5, 11.0)


def test_steps_are_drawn_one_after_another():
    axes = experiments.steps({"a": [3.0, 2.0]}, "loss").axes[0]
    assert list(axes.lines[0].get_ydata()) == [3.0, 2.0]
    assert axes.get_yscale() == "log"


def test_predictions_are_dotted_and_a_level_is_dashed():
    axes = experiments.steps({"a": [3.0, 2.0]}, "gap", every=10, dotted={"a": [4.0, 1.0]}, level=("edge", 1.0)).axes[0]
    measured, predicted, level = axes.lines
    assert list(measured.get_xdata()) == list(predicted.get_xdata()) == [10, 20]
    assert list(predicted.get_ydata()) == [4.0, 1.0] and predicted.get_linestyle() == ":"
    assert level.get_ydata()[0] == 1.0
