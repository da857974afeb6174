"""Every part of a bar, every panel and every point is drawn as it was given, however many there are."""

import numpy as np
import pytest
from figures_drawing import colors_of, drawn, legend, legends, pieces
from matplotlib.colors import to_hex

from cs336_lib.accounting import GB, RankMemory, training_scaling
from cs336_lib.figures import (
    ablations,
    accounting,
    bpe,
    generation,
    leaderboard,
    scaling,
    training,
    unicode,
)
from cs336_lib.model import ModelConfig

MANY = 12
"""More than there are colors."""
NAMES = [f"name {i}" for i in range(MANY)]
CONFIG = ModelConfig(vocab_size=300, context_length=16, d_model=16, num_layers=1, num_heads=2, d_ff=32)


def check_stacks(figure, rows, unit=1.0):
    """Assert that the pieces of each bar lie one behind the other, each in the color that the legend gives it."""
    colors, found = colors_of(figure), pieces(figure.axes[0])
    assert set(colors) == {part for parts in rows.values() for part in parts}
    for place, (label, parts) in enumerate(rows.items()):
        left, expected = 0.0, []
        for part in colors:
            if part in parts:
                expected.append((left, parts[part] / unit, colors[part]))
                left += parts[part] / unit
        drawn_here = [piece for piece in found[place] if piece[1]]
        assert [piece[2] for piece in drawn_here] == [piece[2] for piece in expected], label
        assert [piece[:2] for piece in drawn_here] == [pytest.approx(piece[:2]) for piece in expected], label
    assert [tick.get_text() for tick in figure.axes[0].get_yticklabels()] == list(rows)


@pytest.mark.parametrize("count", [2, 8])
def test_stages_lie_behind_each_other_in_the_colors_of_the_legend(count):
    rows = {f"run {k}": {f"stage {i}": 1.0 + i + k for i in range(k, count)} for k in range(2)}
    check_stacks(drawn(bpe.stages(rows)), rows)


@pytest.mark.parametrize("count", [2, MANY])
def test_what_fills_the_memory_in_a_step_is_drawn_to_the_last_part(count):
    rows = {f"run {k}": {f"part {i}": (1 + i + k) * GB for i in range(k, count)} for k in range(2)}
    check_stacks(drawn(accounting.memory_of_a_step(rows, 80)), rows, GB)


def test_parts_of_a_ranks_memory_have_the_colors_of_the_legend():
    bars = {name: RankMemory(*(round((k + i + 1) * GB) for k in range(5))) for i, name in enumerate(("one", "two"))}
    check_stacks(drawn(scaling.memory_parts(bars, 8 * GB)), {n: memory.parts() for n, memory in bars.items()}, GB)


def test_shares_have_the_colors_of_the_legend():
    from cs336_lib.accounting import Breakdown

    shares = Breakdown({name: place for place, name in enumerate(accounting.COMPONENT_COLORS, start=1)})
    figure = drawn(accounting.component_shares({"a": shares}, {"a": "21"}))
    shown = {name: handle.get_markerfacecolor() for name, handle in legends(figure)}
    bottom = 0.0
    for name, box in zip(shares, figure.axes[0].patches, strict=True):
        assert (box.get_y(), box.get_height()) == pytest.approx((bottom, shares.share(name)))
        assert to_hex(box.get_facecolor()) == to_hex(shown[name.replace("_", " ")])
        bottom += shares.share(name)


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_ladders_have_a_panel_for_each_trainer_with_the_first_token_at_one(count):
    series = {name: [2 + i, 3, 5] for i, name in enumerate(NAMES[:count])}
    figure = drawn(bpe.ladders(series, "token", "bytes"))
    for axes, (name, lengths) in zip(figure.axes, series.items(), strict=True):
        (line,) = axes.lines
        assert (list(line.get_xdata()), list(line.get_ydata())) == ([1, 2, 3], lengths)
        assert axes.get_title(loc="left") == name and axes.get_xlabel() == "token"
        assert [(text.get_text(), text.xy) for text in axes.texts] == [
            (str(length), (at, length)) for at, length in enumerate(lengths, start=1)
        ]
    assert figure.axes[0].get_ylabel() == "bytes"


def test_a_kind_of_text_that_the_first_tokenizer_has_not_is_in_the_legend():
    figure = drawn(bpe.compression({"A": {"x": [2.0, 4.0]}, "B": {"y": [3.0], "x": [1.0]}, "C": {"y": [5.0]}}))
    assert legend(figure) == ["x", "y"]
    dots = [line for line in figure.axes[0].lines if line.get_marker() == "o"]
    means = [line for line in figure.axes[0].lines if line.get_marker() != "o"]
    assert [list(line.get_ydata()) for line in dots] == [[2.0, 4.0], [1.0], [3.0], [5.0]]
    assert [line.get_ydata()[0] for line in means] == [3.0, 1.0, 3.0, 5.0]
    assert [round(float(np.mean(line.get_xdata()))) for line in dots] == [0, 1, 1, 2]
    assert len({line.get_color() for line in (dots[0], dots[1])}) == 1
    assert dots[2].get_color() == dots[3].get_color() != dots[0].get_color()


def test_every_choice_of_symbols_is_a_point_with_its_name():
    points = {name: (100 * (i + 1), 2.0 + i) for i, name in enumerate(NAMES)}
    axes = drawn(unicode.alphabet_trade_off(points)).axes[0]
    assert [tuple(line.get_xydata()[0]) for line in axes.lines] == list(points.values())
    assert [(text.get_text(), text.xy) for text in axes.texts] == list(points.items())


def test_every_process_of_an_interrupted_run_has_its_bar():
    parts = {name: (10 * i, 10 * i + 15) for i, name in enumerate(NAMES)}
    (axes,) = drawn(training.interrupted(parts, [])).axes
    bars = [(bar.get_x(), bar.get_width()) for bar in axes.patches if bar.get_hatch() is None]
    assert bars == [(begin, end - begin) for begin, end in parts.values()]
    assert [bar.get_width() for bar in axes.patches if bar.get_hatch()] == [5] * (MANY - 1)
    assert [tick.get_text() for tick in axes.get_yticklabels()] == NAMES


@pytest.mark.parametrize("gain", [3.0, -3.0])
def test_the_value_of_a_bar_that_is_cut_stands_inside_of_it(gain):
    axes = drawn(leaderboard.gains({"a": (gain, 0.1), "b": (0.1, 0.3)}, limit=0.5)).axes[0]
    (text,) = axes.texts
    inside, bar = text.get_window_extent(), axes.patches[0].get_window_extent()
    assert text.get_text() == f"{gain:+.2f}" and bar.x0 <= inside.x0 and inside.x1 <= bar.x1
    marks = [line for line in axes.lines if line.get_marker() == "|" and len(line.get_xdata())]
    assert [(list(line.get_xdata()), list(line.get_ydata())) for line in marks] == [
        ([-0.1, 0.1], [0, 0]),
        ([-0.3, 0.3], [1, 1]),
    ]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["a", "b"]


def test_every_setting_of_a_sampler_has_a_panel_with_its_title_and_all_tokens_in_one_order():
    rows = {name: [0.1 + 0.01 * i, 0.5 - 0.01 * i, 0.4] for i, name in enumerate(NAMES[:9])}
    panels = generation.next_token(rows, {0: b"a", 1: b"b", 2: b"c"}, "One").axes
    for axes, (name, row) in zip(panels, rows.items(), strict=True):
        assert axes.get_title(loc="left") == name
        assert [bar.get_width() for bar in axes.patches] == [row[1], row[2], row[0]]
    assert [label.get_text() for label in panels[0].get_yticklabels()] == ["b", "c", "a"]


def test_units_stand_over_the_same_runs_each_with_its_own_floor():
    losses = {unit: {n: (i + 1.0) * scale for i, n in enumerate("abc")} for unit, scale in (("u", 1), ("v", 10))}
    floors = {unit: {n: value / 4 for n, value in reversed(runs.items())} for unit, runs in losses.items()}
    for axes, unit in zip(drawn(leaderboard.two_units(losses, floors)).axes, losses, strict=True):
        assert axes.get_title(loc="left") == unit
        assert [bar.get_height() for bar in axes.patches] == list(losses[unit].values())
        assert [tick.get_text() for tick in axes.get_xticklabels()] == list("abc")
        for place, (line, name) in enumerate(zip(axes.lines, "abc", strict=True)):
            assert list(line.get_ydata()) == [floors[unit][name]] * 2
            assert np.mean(line.get_xdata()) == pytest.approx(place)


def test_panels_of_pairs_hold_their_own_runs():
    groups = {panel: {"x": [1.0 + k, 2.0 + k], "y": [3.0 + k, 5.0 + k]} for k, panel in enumerate(("first", "second"))}
    for k, axes in enumerate(drawn(ablations.pairs(groups, "loss")).axes):
        assert axes.get_title(loc="left") == list(groups)[k]
        assert {line.get_label(): list(line.get_ydata()) for line in axes.lines[:2]} == {
            "seed 0": [1.0 + k, 3.0 + k],
            "seed 1": [2.0 + k, 5.0 + k],
        }
        assert [(np.mean(line.get_xdata()), line.get_ydata()[0]) for line in axes.lines[2:]] == [
            (0, 1.5 + k),
            (1, 4.0 + k),
        ]


def test_scaling_names_every_curve_by_its_color():
    curves = {n: [training_scaling(CONFIG, w, 100.0, 8, 1e6 * (i + 1)) for w in (1, 2)] for i, n in enumerate("abc")}
    figure = drawn(scaling.scaling({"strong": curves}))
    colors = colors_of(figure)
    assert list(colors) == list("abc")
    for line, (name, points) in zip(figure.axes[0].lines, curves.items(), strict=True):
        assert line.get_color() == colors[name]
        assert [tuple(xy) for xy in line.get_xydata()] == [(p.workers, 100 * p.efficiency) for p in points]


def test_bars_stand_in_their_order_with_their_numbers():
    values = {name: 1.0 + i for i, name in enumerate(NAMES)}
    axes = drawn(accounting.bars(values, "seconds", "{:.1f}")).axes[0]
    assert [bar.get_width() for bar in axes.patches] == list(values.values())
    assert [tick.get_text() for tick in axes.get_yticklabels()] == NAMES
    assert [(text.get_text(), text.xy) for text in axes.texts] == [
        (f"{value:.1f}", (value, row)) for row, value in enumerate(values.values())
    ]
