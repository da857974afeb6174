"""One look for every figure of the book: a paper-colored card that reads the same on a light and on a dark page.

The colors are those of Okabe and Ito, which stay apart for color-blind readers; `COLORS` names them by role.
"""

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import cycle, product
from typing import Any

import matplotlib as mpl
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.figure import Figure

PAPER = "#fcfbf7"
INK = "#222831"
FAINT = "#c9c7bf"
COLORS = {
    "blue": "#0072b2",
    "orange": "#e69f00",
    "green": "#009e73",
    "red": "#d55e00",
    "purple": "#aa4499",
    "sky": "#56b4e9",
    "grey": "#8a8f98",
    "yellow": "#f0e442",
}

DASHES = ("-", "--", ":", "-.")
"""Each with all colors, and then all over again: as many runs as there are get a line."""

STYLE: dict[str, Any] = {
    "figure.facecolor": PAPER,
    "savefig.facecolor": PAPER,
    "axes.facecolor": PAPER,
    "figure.dpi": 150,
    "savefig.dpi": 150,
    "figure.constrained_layout.use": True,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.titlesize": 12,
    "axes.titlelocation": "left",
    "axes.labelsize": 10.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "font.size": 10.5,
    "axes.prop_cycle": cycler(color=list(COLORS.values())),
}


def looks(names: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Return the dashes and the color of each name: all colors with solid lines, and then with the next dashes.

    >>> looks("ab")
    {'a': ('-', '#0072b2'), 'b': ('-', '#e69f00')}
    """
    return dict(zip(dict.fromkeys(names), cycle(product(DASHES, COLORS.values())), strict=False))


@contextmanager
def style() -> Iterator[None]:
    """Draw in the book's style inside a `with` block, whatever the caller's own settings are.

    >>> import matplotlib as mpl
    >>> with style():
    ...     mpl.rcParams["axes.spines.top"]
    False
    """
    with mpl.rc_context(STYLE):  # type: ignore[arg-type]
        yield


def new_figure(width: float = 7.2, height: float = 3.8, rows: int = 1, columns: int = 1) -> tuple[Figure, list[Axes]]:
    """Make a figure and its axes in the current style, known to pyplot so that `plt.show()` displays it.

    Args:
        width: in inches; 7.2 fills the text column.
        height: in inches.
        rows: rows of axes.
        columns: columns of axes.

    Returns:
        The figure and a flat list of its axes.
    """
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(rows, columns, figsize=(width, height), squeeze=False)
    return figure, list(axes.flat)


def legend_above(figure: Figure, axes: Axes, title: str = "", size: float = 10.5) -> None:
    """Explain the lines of `axes` above the figure, where no data can lie, and give the figure the height for it.

    Inside the axes a sample of a line, or a cross, may be taken for data.

    Args:
        figure: to put the legend on.
        axes: whose lines have labels.
        title: of the legend.
        size: of the letters, in points.
    """
    handles, labels = axes.get_legend_handles_labels()
    for columns in range(min(4, len(labels)), 0, -1):
        rows = math.ceil(len(labels) / columns)
        widest = [max(map(len, labels[first : first + rows])) for first in range(0, len(labels), rows)]
        inches = sum(0.75 + 0.073 * length for length in widest) * size / 10.5
        if len(widest) == columns and inches < figure.get_figwidth() - 0.1:
            break
    figure.set_figheight(figure.get_figheight() + 0.022 * size * (rows + bool(title)))
    figure.legend(handles, labels, loc="outside upper center", ncols=columns, title=title or None, fontsize=size)
