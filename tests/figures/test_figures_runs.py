"""Loss curves name the device that each run was made on."""

import pytest

from cs336_lib.figures.runs import losses
from cs336_lib.figures.style import COLORS
from cs336_lib.model import ModelConfig
from cs336_lib.training import RunRecord, TrainConfig


@pytest.fixture
def record(tmp_path):
    def made(name, device):
        config = TrainConfig(ModelConfig.preset("tales-1m"), data_bytes=1, steps=200, name=name)
        run = RunRecord.create(tmp_path / name, config, {"device": device})
        run.append({"step": 1, "seconds": 0.5, "tokens": 8, "train_loss": 3.0})
        run.append({"step": 1, "seconds": 0.5, "tokens": 8, "valid_loss": 3.5})
        return run

    return made


def test_runs_of_one_device_have_it_in_the_title(record):
    axes = losses({"a": record("a", "CPU"), "b": record("b", "CPU")}).axes[0]
    assert axes.get_title(loc="left") == "on CPU"
    assert [text.get_text() for text in axes.figure.legends[0].get_texts()] == ["a", "b"]


def test_more_runs_than_colors_are_told_apart_by_dashes(record):
    names = [f"run {i}" for i in range(4 * len(COLORS))]
    axes = losses({name: record(name, "CPU") for name in names}).axes[0]
    looks = [(line.get_color(), line.get_linestyle()) for line in axes.lines if not line.get_label().startswith("_")]
    assert len(looks) == len(set(looks)) == len(names) and [dashes for _, dashes in looks[: len(COLORS)]] == ["-"] * 8


def test_runs_of_several_devices_have_theirs_in_the_legend(record):
    axes = losses({"a": record("a", "CPU"), "b": record("b", "GPU")}).axes[0]
    assert axes.get_title(loc="left") == ""
    assert [text.get_text() for text in axes.figure.legends[0].get_texts()] == ["a, CPU", "b, GPU"]


def test_several_axes_get_a_panel_each(record):
    by_step, by_time = losses({"a": record("a", "CPU")}, floor=1.0, x=("step", "seconds")).axes
    assert (by_step.get_xlabel(), by_time.get_xlabel()) == ("step", "training time (s)")
    assert [list(axes.lines[1].get_xdata()) for axes in (by_step, by_time)] == [[1], [0.5]]
    assert [axes.lines[2].get_ydata()[0] for axes in (by_step, by_time)] == [1.0, 1.0]
