"""What the figures of chapter 7 draw is what they were given."""

from cs336_lib.figures import generation

VOCAB = {0: b" a", 1: b"b", 2: b"\xff"}


def test_settings_stand_side_by_side_in_the_order_of_the_first():
    figure = generation.next_token({"all": [0.2, 0.5, 0.3], "top": [0.0, 1.0, 0.0]}, VOCAB, "One")
    left, right = figure.axes
    assert [label.get_text() for label in left.get_yticklabels()] == ["b", "<FF>", "␣a"]
    assert [bar.get_width() for bar in left.patches] == [0.5, 0.3, 0.2]
    assert [bar.get_width() for bar in right.patches] == [1.0, 0.0, 0.0]


def test_what_is_not_shown_is_summed_up():
    figure = generation.next_token({"all": [0.2, 0.5, 0.3]}, VOCAB, "One", most=2)
    assert [text.get_text() for text in figure.axes[0].texts] == ["others: 20%"]


def test_each_token_has_its_nucleus():
    axes = generation.nucleus_sizes([b" a", b"b"], [3, 10]).axes[0]
    assert [bar.get_height() for bar in axes.patches] == [3, 10]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["␣a", "b"]


def test_every_panel_sums_up_its_own_rest_on_an_axis_that_holds_every_bar():
    rows = {"all": [0.2, 0.5, 0.3], "top": [0.0, 0.9, 0.1], "flat": [0.4, 0.3, 0.3]}
    panels = generation.next_token(rows, VOCAB, "One", most=2).axes
    assert [axes.texts[0].get_text() for axes in panels] == ["others: 20%", "others: 0%", "others: 40%"]
    assert len({axes.get_xlim() for axes in panels}) == 1 and panels[0].get_xlim()[1] > 0.9
