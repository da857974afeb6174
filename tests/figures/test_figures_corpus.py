"""Figures of a corpus draw what was counted."""

import numpy as np
import pytest
from figures_drawing import drawn

from cs336_lib.figures import corpus as figures


def test_story_lengths_shows_shares_and_medians():
    axes = drawn(figures.story_lengths({"tales": [100, 110, 120, 200], "others": [50] * 6}, bins=10)).axes[0]
    labels = [text.get_text() for text in axes.figure.legends[0].get_texts()]
    assert labels == ["tales: 4 documents, median 115 words", "others: 6 documents, median 50 words"]
    assert [line.get_xdata()[0] for line in axes.lines] == [115, 50]
    shares = [patch.get_data().values for patch in axes.patches]
    assert all(share.sum() == pytest.approx(1) for share in shares)
    assert shares[2][0] == 1
    assert axes.get_xlabel() == "length of a document in words" and axes.get_ylabel()


def test_token_frequencies_are_ranked_and_zipfs_law_is_a_line_through_the_first():
    axes = drawn(figures.token_frequencies({"ours": np.array([3, 0, 12, 5, 0])})).axes[0]
    curve, law = axes.lines
    assert curve.get_xdata().tolist() == [1, 2, 3]
    assert curve.get_ydata() == pytest.approx([0.6, 0.25, 0.15])
    assert law.get_ydata() == pytest.approx([0.6, 0.2])
    assert curve.get_label() == "ours: 3 tokens, 2 more never occur"
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    low, high = axes.get_ylim()
    assert low < 0.15 and high > 0.6


def test_a_large_vocabulary_is_thinned_and_keeps_its_ends():
    counts = np.random.default_rng(0).permutation(np.arange(1, 50_001))
    curve = drawn(figures.token_frequencies({"large": counts})).axes[0].lines[0]
    assert len(curve.get_xdata()) <= 2000
    assert (curve.get_xdata()[0], curve.get_xdata()[-1]) == (1, 50_000)
    assert np.all(np.diff(curve.get_ydata()) < 0)


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: figures.story_lengths({"empty": []}), "'empty' has no documents"),
        (lambda: figures.token_frequencies({"silent": [0, 0]}), "no token of 'silent' occurs"),
    ],
)
def test_nothing_to_draw_is_an_error_that_names_the_corpus(draw, message):
    with pytest.raises(ValueError, match=message):
        draw()
