"""Gradient norms and pairs of seeds are drawn as they are."""

import pytest

from cs336_lib.figures import ablations


def test_gradient_norms_stand_on_a_logarithmic_axis_with_the_clip():
    axes = ablations.gradient_norms({"a#0": ([1, 2], [0.1, 0.2], [5.0, 500.0])}, clip=1.0).axes[0]
    assert axes.get_yscale() == "log"
    assert list(axes.lines[0].get_ydata()) == [5.0, 500.0]
    assert [text.get_text() for text in axes.figure.legends[0].get_texts()] == ["a", "clipped to 1"]


def test_runs_of_a_seed_are_joined_and_means_marked():
    axes = ablations.pairs({"gate": {"SwiGLU": [1.0, 2.0], "SiLU": [3.0, 5.0]}}, "loss").axes[0]
    assert [list(line.get_ydata()) for line in axes.lines] == [[1.0, 3.0], [2.0, 5.0], [1.5, 1.5], [4.0, 4.0]]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["SwiGLU", "SiLU"]


def test_blocks_show_each_kind_with_its_norms():
    for axes in ablations.blocks().axes:
        written = [text.get_text() for text in axes.texts]
        assert written.count("+") == 2
        assert written.count("norm") == (0 if axes.get_title() == "no norm" else 2)


def test_the_stream_is_drawn_from_the_embedding_on():
    axes = ablations.by_depth({"pre-norm": [1.0, 2.0], "no norm": [1.0, 50.0]}).axes[0]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["embedding", "block 1"]
    assert list(axes.lines[1].get_ydata()) == [1.0, 50.0]


@pytest.mark.parametrize(
    ("kind", "paths"), [("pre-norm", [(0, 3), (3, 6)]), ("post-norm", [(0, 2), (3, 5)]), ("no norm", [(0, 2), (2, 4)])]
)
def test_the_way_around_a_layer_begins_above_what_stands_in_the_stream_and_ends_at_its_sum(kind, paths):
    """Numbers are of the parts from below: a norm that stands in the stream is no part of what is added."""
    (axes,) = [axes for axes in ablations.blocks().axes if axes.get_title() == kind]
    around = [line.get_ydata() for line in axes.lines if len(line.get_xdata()) == 4]
    assert [(int(heights[0]), heights[-1]) for heights in around] == paths
    assert all(heights[0] == heights[1] and heights[2] == heights[3] for heights in around)
    assert [text.get_text() for text in axes.texts if text.get_text()] == list(ablations.BLOCKS[kind])
