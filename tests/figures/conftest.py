"""What every test of a figure needs."""

import matplotlib.pyplot as plt
import pytest


def on_data(figure):
    """Return the words of those legends of a figure that lie on its axes, where data may be."""
    figure.draw_without_rendering()
    inside = [legend for axes in figure.axes if (legend := axes.get_legend())]
    return [
        legend.get_texts()[0].get_text()
        for legend in [*figure.legends, *inside]
        if any(legend.get_window_extent().padded(-2).overlaps(axes.get_window_extent()) for axes in figure.axes)
    ]


@pytest.fixture(autouse=True)
def close_figures():
    """Leave no figure open behind a test, and none with a legend that a reader may take for data."""
    yield
    figures = [plt.figure(number) for number in plt.get_fignums()]
    covered = [words for figure in figures for words in on_data(figure)]
    plt.close("all")
    assert not covered, f"legends on data, put above by style.legend_above: {covered}"
