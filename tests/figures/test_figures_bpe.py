"""What the figures of chapters 2 and 3 draw is what they were given."""

import pytest
from figures_drawing import drawn

from cs336_lib.figures import bpe
from cs336_lib.figures.tokens import token_rows, visible


def texts(figure):
    return [text.get_text() for text in figure.axes[0].texts]


def test_every_token_has_a_box_and_its_text():
    figure = token_rows({"row": [b"a", b" b", b"\n"], "other": [b"\xff"]})
    assert len(figure.axes[0].patches) == 4
    assert texts(figure) == ["row", "a", "␣b", "⏎", "other", "<FF>"]


def test_a_long_row_goes_on_in_the_next_line_and_only_there_has_no_label():
    figure = token_rows({"row": [b"12345"] * 5}, width=10)
    labels = [text for text in texts(figure) if text in ("row", "")]
    assert labels == ["row", "", ""]
    assert max(patch.get_x() + patch.get_width() for patch in figure.axes[0].patches) <= 10


def test_dollar_signs_are_drawn_as_they_are_and_not_as_a_formula():
    figure = token_rows({"row": [b"$\\x$", b"$$"]})
    drawn(figure)
    assert texts(figure)[1:] == ["$\\x$", "$$"]


@pytest.mark.parametrize(
    ("token", "shown"),
    [
        (b" ", "␣"),
        (b"\t", "⇥"),
        (b"\r\n", "<0D>⏎"),
        (b"\xc2\x85", "<C2><85>"),
        (b"\xe4\xbd\xa0", "你"),
        (b"\xe4\xbd", "<E4><BD>"),
        (b"", ""),
    ],
)
def test_a_token_is_shown_so_that_nothing_of_it_is_invisible(token, shown):
    assert visible(token) == shown


def test_growth_draws_each_series_as_far_as_it_goes():
    axes = bpe.growth([1, 10, 100], {"short": [2, 3], "long": [1, 2, 4]}, "x", "y").axes[0]
    assert [list(line.get_xdata()) for line in axes.lines] == [[1, 10], [1, 10, 100]]
    assert axes.get_xscale() == axes.get_yscale() == "log"


def test_work_per_merge_names_the_sums():
    axes = bpe.work_per_merge({"a": [1_000, 2_000], "b": [1, 1]}).axes[0]
    assert [text.get_text() for text in axes.figure.legends[0].get_texts()] == ["a: 3,000 in all", "b: 2 in all"]


def test_a_flame_graph_puts_callees_on_their_caller_and_leaves_out_what_is_tiny():
    tiny = bpe.Frame("tiny", 0.001)
    short, long = bpe.Frame("short", 0.25, (bpe.Frame("leaf", 0.25),)), bpe.Frame("long", 0.5)
    root = bpe.Frame("root", 1.0, (short, tiny, long))
    boxes = [(box.get_x(), box.get_y(), box.get_width()) for box in bpe.flame_graph(root).axes[0].patches]
    assert boxes == [(0, 0, 1.0), (0, 1, 0.5), (0.5, 1, 0.25), (0.5, 2, 0.25)]


def test_calls_of_one_function_are_one_box_of_a_flame_graph():
    calls = tuple(bpe.Frame("f", 0.25, (bpe.Frame("g", 0.25),)) for _ in range(2))
    boxes = [
        (box.get_x(), box.get_y(), box.get_width())
        for box in bpe.flame_graph(bpe.Frame("root", 1.0, calls)).axes[0].patches
    ]
    assert boxes == [(0, 0, 1.0), (0, 1, 0.5), (0, 2, 0.5)]


def test_a_label_of_a_flame_graph_is_whole_or_absent():
    root = bpe.Frame("root", 1.0, (bpe.Frame("a_function_with_a_very_long_name", 0.1), bpe.Frame("f", 0.1)))
    assert texts(bpe.flame_graph(root)) == ["root 100%", "f 10%"]


@pytest.mark.parametrize("whole", [0.002, 1.0, 40.0])
def test_the_shares_of_a_flame_graph_are_parts_of_the_whole_however_long_it_took(whole):
    half = bpe.Frame("half", whole / 2, (bpe.Frame("quarter", whole / 4),))
    axes = bpe.flame_graph(bpe.Frame("root", whole, (half, bpe.Frame("tiny", whole / 200)))).axes[0]
    assert [text.get_text() for text in axes.texts] == ["root 100%", "half 50%", "quarter 25%"]
    assert axes.get_xlim() == (0, whole) and axes.get_xlabel() == "seconds"


def test_stages_stack_up_to_the_whole():
    axes = bpe.stages({"one": {"count": 1.0, "merge": 2.0}, "two": {"count": 3.0}}).axes[0]
    assert [bar.get_width() for bar in axes.patches] == [1.0, 3.0, 2.0, 0.0]
    assert max(bar.get_x() + bar.get_width() for bar in axes.patches) == 3.0


@pytest.mark.parametrize(("count", "columns"), [(5, 5), (6, 3), (8, 4)])
def test_every_stage_is_drawn_and_named_in_lines_that_fit(count, columns):
    axes = bpe.stages({"one": {f"stage {k}": 1.0 for k in range(count)}, "two": {}}, "cycles per byte").axes[0]
    legend = axes.get_legend()
    assert [text.get_text() for text in legend.get_texts()] == [f"stage {k}" for k in range(count)]
    with pytest.raises(ValueError, match="9 stages, but only 8 colors"):
        bpe.stages({"one": {f"stage {k}": 1.0 for k in range(9)}})
    assert legend._ncols == columns and axes.get_xlabel() == "cycles per byte"


def test_compression_marks_each_document_and_the_mean():
    axes = bpe.compression({"A": {"x": [2.0, 4.0], "y": [1.0]}, "B": {"x": [3.0]}}).axes[0]
    assert texts(bpe.compression({"A": {"x": [2.0, 4.0]}})) == ["3.00"]
    assert sorted(value for line in axes.lines[::2] for value in line.get_ydata()) == [1.0, 2.0, 3.0, 4.0]
