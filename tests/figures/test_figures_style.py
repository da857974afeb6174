"""Every figure function draws, labels its axes, and leaves the caller's settings alone."""

import matplotlib as mpl
import numpy as np
from figures_drawing import drawn

from cs336_lib.bpe.utf8 import Verdict
from cs336_lib.figures import unicode as figures
from cs336_lib.figures.style import PAPER, style


def test_style_is_gone_after_the_block():
    before = dict(mpl.rcParams)
    with style():
        assert mpl.rcParams["figure.facecolor"] == PAPER
    assert dict(mpl.rcParams) == before


def test_bytes_per_character_shows_a_bar_for_each_script_and_encoding():
    sizes = {
        "English": {"UTF-8": 1.0, "UTF-16": 2.0, "UTF-32": 4.0},
        "Chinese": {"UTF-8": 3.0, "UTF-16": 2.0, "UTF-32": 4.0},
    }
    axes = drawn(figures.bytes_per_character(sizes)).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["English", "Chinese"]
    assert sorted(patch.get_width() for patch in axes.patches) == [1, 2, 2, 3, 4, 4]
    assert axes.get_xlabel()


def test_utf8_bits_draws_eight_boxes_per_byte():
    axes = drawn(figures.utf8_bits([("letter", "a"), ("accent", "é"), ("grin", "😀")])).axes[0]
    assert len(axes.patches) == 8 * (1 + 2 + 4)


def test_damage_counts_the_survivors():
    axes = drawn(figures.damage({"UTF-8": [True, False, True], "UTF-16": [True, False, False]})).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["UTF-8: 2 of 3 left", "UTF-16: 1 of 3 left"]


def test_two_byte_sequences_lists_only_the_verdicts_that_occur():
    figure = drawn(figures.two_byte_sequences(np.zeros((256, 256), dtype=np.int64)))
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [f"65,536  {Verdict.TEXT.value}"]


def test_alphabet_trade_off_names_each_point():
    axes = drawn(figures.alphabet_trade_off({"bytes": (256, 2.0), "code points": (1_112_064, 1.0)})).axes[0]
    assert [text.get_text() for text in axes.texts] == ["bytes", "code points"]
