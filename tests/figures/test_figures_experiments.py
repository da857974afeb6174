"""Runs and sweeps are drawn as they are; what diverged is marked, not left out."""

import math
from dataclasses import replace
from itertools import pairwise

import pytest
from figures_drawing import drawn, legends

from cs336_lib.experiments import PlannedRun
from cs336_lib.figures import experiments
from cs336_lib.figures.style import COLORS
from cs336_lib.model import ModelConfig
from cs336_lib.training import RunRecord, TrainConfig

CONFIG = TrainConfig(ModelConfig.preset("tales-1m"), data_bytes=1, steps=200, warmup_steps=1)


def made(folder, name, losses, *, status="finished", device="CPU", lr=3e-3):
    """A run that left these training losses, the last of them as validation loss too."""
    config = CONFIG.replace(name=name, lr=lr)
    record = RunRecord.create(folder / name, config, {"device": device})
    for step, loss in enumerate(losses, start=1):
        record.append({"step": step, "seconds": step / 2, "train_loss": loss})
    if status == "finished":
        record.append({"step": len(losses), "seconds": len(losses) / 2, "valid_loss": losses[-1]})
    record.set_status(status, len(losses))
    return PlannedRun(name, 0, config), record


def test_runs_are_drawn_against_steps_and_against_time():
    figure = experiments.runs({"a": ([1, 2], [0.5, 1.0], [3.0, 2.0]), "b": ([1], [0.1], [4.0])}, "loss")
    by_step, by_time = figure.axes
    assert [list(line.get_xdata()) for line in by_step.lines] == [[1, 2], [1]]
    assert [list(line.get_xdata()) for line in by_time.lines] == [[0.5, 1.0], [0.1]]
    assert (by_step.get_xlabel(), by_time.get_xlabel()) == ("step", "seconds")


def test_seeds_of_one_run_share_color_and_legend():
    figure = experiments.runs({f"a#{seed}": ([1], [1], [1.0]) for seed in range(2)}, "loss")
    assert len({line.get_color() for line in figure.axes[0].lines}) == 1
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a"]


def test_no_number_of_runs_and_sides_is_too_many_for_a_picture():
    names = [f"run {i}" for i in range(40)]
    figure = experiments.runs({name: ([1, 2], [1, 2], [2.0, 1.0]) for name in names}, "loss", times=False)
    looks = [(line.get_color(), line.get_linestyle()) for line in figure.axes[0].lines]
    assert len(looks) == 40 and len(set(looks)) == 4 * len(COLORS)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == names
    swept = experiments.sweep({name: [(0.1, 2.0), (0.2, 1.0)] for name in names}, "lr", "loss")
    lines = [(line.get_color(), line.get_linestyle()) for line in swept.axes[0].lines if line.get_label() in names]
    assert len(lines) == 40 and len(set(lines)) == 4 * len(COLORS)
    assert {text.get_text() for text in swept.legends[0].get_texts()} >= set(names)
    assert len(experiments.steps({name: [1.0, 2.0] for name in names}, "loss").axes[0].lines) >= 40


def test_a_sweep_marks_what_diverged_at_the_upper_edge():
    axes = experiments.sweep({"a": [(0.1, 2.0), (0.01, 3.0), (1.0, math.nan)]}, "lr", "loss", top=5.0).axes[0]
    assert list(axes.lines[0].get_xdata()) == [0.01, 0.1]
    (cross,) = [line for line in axes.lines if line.get_marker() == "x" and len(line.get_xdata())]
    assert list(cross.get_xdata()) == [1.0]
    assert "diverged" in [text.get_text() for text in axes.figure.legends[0].get_texts()]


@pytest.mark.parametrize("series", [2, 12])
def test_no_cross_of_a_sweep_hides_another_or_lies_on_the_floor(series):
    points = {f"text {i}": [(0.1, 2.0), (5.0, math.nan)] for i in range(series)}
    axes = drawn(experiments.sweep(points, "lr", "loss", floor=("unigram", 2.3))).axes[0]
    crosses = [line for line in axes.lines if line.get_marker() == "x" and len(line.get_xdata())]
    places = [line.get_transform().transform(line.get_xydata())[0] for line in crosses]
    assert len({round(y) for _, y in places}) == series
    assert all(axes.transAxes.inverted().transform(place)[1] > 0.4 for place in places)
    (floor,) = [line for line in axes.lines if line.get_label() == "unigram"]
    (height,) = {y for _, y in floor.get_transform().transform(floor.get_xydata())}
    assert places[0][1] > height + 4


def test_a_sweep_with_seeds_has_a_dot_for_each_run_and_a_line_through_their_means():
    axes = experiments.sweep({"a": [(0.1, 2.0), (0.1, 3.0), (0.01, 4.0)]}, "lr", "loss", floor=("unigram", 5.2)).axes[0]
    line, dots, *_, floor = axes.lines
    assert (list(line.get_xdata()), list(line.get_ydata())) == ([0.01, 0.1], [4.0, 2.5])
    assert sorted(dots.get_ydata()) == [2.0, 3.0, 4.0] and floor.get_ydata()[0] == 5.2


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


@pytest.mark.parametrize(("last", "mark"), [(90.0, "+"), (1e6, "x"), (math.nan, "x")])
def test_a_suite_is_drawn_with_its_device_and_a_mark_where_a_run_diverged_or_was_thrown_out(tmp_path, last, mark):
    found = [made(tmp_path, "fine", [5.0, 4.0]), made(tmp_path, "wild", [6.0, 90.0, last], status="diverged")]
    by_step, by_time = experiments.of_suite(found, top=10.0, title="scale cpu").axes
    assert by_step.get_title(loc="left") == "scale cpu, on CPU"
    for axes, end in ((by_step, 3 - math.isnan(last)), (by_time, 1.5 - 0.5 * math.isnan(last))):
        (cross,) = [line for line in axes.lines if line.get_marker() == mark and len(line.get_xdata())]
        assert (list(cross.get_xdata()), list(cross.get_ydata())) == ([end], [10.0])


def test_the_mark_stands_at_the_seed_that_failed_and_the_legend_says_what_it_is(tmp_path):
    ends = {0: ([5.0, 4.0], "finished"), 1: ([6.0, 90.0, 1e6], "diverged"), 2: ([6.0, 7.0, 8.0, 90.0], "diverged")}
    found = []
    for seed, (losses, status) in ends.items():
        run, record = made(tmp_path, f"a-{seed}", losses, status=status)
        found.append((replace(run, variation="a", seed=seed), record))
    figure = experiments.of_suite(found, top=10.0)
    marks = {
        line.get_marker(): list(line.get_xdata())
        for line in figure.axes[0].lines
        if line.get_marker() in "x+" and len(line.get_xdata())
    }
    assert marks == {"x": [3], "+": [4]}
    entries = dict(legends(figure))
    assert {name: entries[name].get_marker() for name in ("diverged", "thrown out")} == {
        "diverged": "x",
        "thrown out": "+",
    }
    assert list(entries) == ["a", "diverged", "thrown out"]
    assert [text for text, _ in legends(experiments.of_suite(found[:1]))] == ["a"]


def test_a_cross_of_a_sweep_stands_for_what_it_is_said_to():
    figure = experiments.sweep({"a": [(0.1, 2.0), (1.0, math.nan)]}, "lr", "loss", failed="thrown out")
    assert [words for words, _ in legends(figure)] == ["a", "thrown out"]


def test_without_times_a_suite_is_drawn_against_steps_alone(tmp_path):
    (axes,) = experiments.of_suite([made(tmp_path, "a", [5.0, 4.0])], times=False).axes
    assert axes.get_xlabel() == "step" and list(axes.lines[0].get_ydata()) == [5.0, 4.0]


def test_a_suite_made_on_two_devices_says_so(tmp_path):
    found = [made(tmp_path, "a", [5.0]), made(tmp_path, "b", [5.0], device="GPU")]
    assert experiments.of_suite(found).axes[0].get_title(loc="left") == "on CPU and GPU"


def test_last_losses_are_nan_where_a_run_diverged(tmp_path):
    wild = made(tmp_path, "wild", [6.0, 90.0], status="diverged", lr=1.0)
    (lr, loss), (far, lost) = experiments.last_losses([made(tmp_path, "fine", [5.0, 4.0], lr=0.1), wild])
    assert (lr, loss, far) == (0.1, 4.0, 1.0)
    assert math.isnan(lost)


def test_the_tunings_of_a_side_are_one_series_and_a_variation_by_itself_is_its_own(tmp_path):
    found = [made(tmp_path, f"{name}, lr {lr}", [5.0, 2.0 + lr], lr=lr) for name in ("a", "b") for lr in (0.1, 0.2)]
    found = [(replace(run, side=run.variation.partition(",")[0]), record) for run, record in found]
    found += [
        made(tmp_path, "plain", [5.0, 4.0], lr=0.3),
        made(tmp_path, "lost", [math.nan], status="diverged", lr=1.0),
    ]
    points = experiments.by_side(found)
    assert list(points) == ["a", "b", "plain", "lost"]
    assert points["a"] == points["b"] == [(0.1, 2.1), (0.2, 2.2)] and points["plain"] == [(0.3, 4.0)]
    assert points["lost"][0][0] == 1.0 and math.isnan(points["lost"][0][1])


def test_a_sweep_over_less_than_two_decades_is_labeled_in_between_and_without_overlap():
    figure = experiments.sweep({"a": [(0.0013, 2.0), (0.005, 1.0), (0.04, 3.0)]}, "rate", "loss")
    figure.draw_without_rendering()
    (axes,) = figure.axes
    inside = [tick for tick in axes.xaxis.get_major_ticks() if 0.0013 <= tick.get_loc() <= 0.04]
    assert [tick.label1.get_text() for tick in inside] == ["0.002", "0.005", "0.01", "0.02"]
    boxes = [tick.label1.get_window_extent() for tick in inside]
    assert all(left.x1 < right.x0 for left, right in pairwise(boxes))
    assert not any(tick.label1.get_text() for tick in axes.xaxis.get_minor_ticks())
