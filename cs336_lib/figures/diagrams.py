"""Diagrams of chapter 4: the model and a block with the shapes that flow through them; heads as a split of columns."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle

from cs336_lib.figures.style import COLORS, INK, PAPER, new_figure, style

PALE = {"sky": "#d3e9f6", "orange": "#f9e3b4", "green": "#c3e6da", "grey": "#e4e2da", "purple": "#ecd4ea"}
"""Boxes that have something written in them."""
HEADS = ("#bcd9ea", "#f6dfa8", "#b9e0d0", "#f2c6ae")


def _box(axes: Axes, x: float, y: float, text: str, color: str, width: float = 2.6, height: float = 0.62) -> None:
    """Draw a labeled box around (x, y)."""
    corner = (x - width / 2, y - height / 2)
    look = "round,pad=0,rounding_size=0.12"
    axes.add_patch(FancyBboxPatch(corner, width, height, boxstyle=look, fc=PALE[color], ec=INK, lw=0.9, zorder=3))
    axes.text(x, y, text, ha="center", va="center", fontsize=9, zorder=4)


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], label: str = "", side: int = 1) -> None:
    """Draw an arrow with the shape of what flows along it."""
    axes.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "color": INK, "lw": 1.2, "shrinkA": 0, "shrinkB": 0})
    if label:
        middle = (start[0] + end[0]) / 2 + 0.12 * side, (start[1] + end[1]) / 2
        axes.text(*middle, label, fontsize=8, ha="left" if side > 0 else "right", va="center", color=COLORS["blue"])


def _plus(axes: Axes, x: float, y: float) -> None:
    axes.plot(x, y, "o", ms=14, mfc=PAPER, mec=INK, zorder=5)
    axes.text(x, y, "+", ha="center", va="center", fontsize=12, zorder=6)


def model_and_block() -> Figure:
    """Draw the model from ids to logits, and one pre-norm block of it, both from the bottom up, with all shapes."""
    with style():
        figure, (left, right) = new_figure(7.2, 5.6, columns=2)
        stops = [
            (0.4, "ids", "grey", "(B, S)"),
            (1.7, "embedding", "sky", "(B, S, D)"),
            (3.2, "L blocks", "orange", "(B, S, D)"),
            (4.7, "norm", "purple", "(B, S, D)"),
            (6.0, "head", "sky", "(B, S, V)"),
            (7.3, "logits", "grey", ""),
        ]
        for (y, text, color, shape), above in zip(stops, [*stops[1:], None], strict=True):
            _box(left, 1.6, y, text, color)
            if above:
                _arrow(left, (1.6, y + 0.31), (1.6, above[0] - 0.31), shape)
        left.set_title("the model", loc="center", fontsize=10.5)

        stream, part = 0.5, 2.9
        _arrow(right, (stream, 0), (stream, 7.6))
        right.text(stream + 0.12, 0.15, "x (B, S, D)", fontsize=8, ha="left", va="center", color=COLORS["blue"])
        for bottom, name, color, inner in (
            (0.8, "attention", "orange", "Q, K, V (B, H, S, K)\nscores (B, H, S, S)"),
            (4.4, "feed-forward", "green", "hidden (B, S, F)"),
        ):
            _arrow(right, (stream, bottom), (part - 1.3, bottom))
            _box(right, part, bottom, "norm", "purple")
            _arrow(right, (part, bottom + 0.31), (part, bottom + 0.85), "(B, S, D)")
            _box(right, part, bottom + 1.4, f"{name}\n{inner}", color, height=1.1)
            right.plot([part, part], [bottom + 1.95, bottom + 2.6], color=INK, lw=1.2)
            _arrow(right, (part, bottom + 2.6), (stream + 0.2, bottom + 2.6))
            right.text(part - 0.1, bottom + 2.3, "(B, S, D)", fontsize=8, ha="right", color=COLORS["blue"])
            _plus(right, stream, bottom + 2.6)
        right.set_title("a block: norm first, then add", loc="center", fontsize=10.5)
        for axes, limits in ((left, (0, 3.2)), (right, (0.1, 4.4))):
            axes.set_xlim(*limits)
            axes.set_ylim(-0.25, 7.8)
            axes.axis("off")
        return figure


def heads_as_columns(tokens: Sequence[str], heads: int, width: int) -> Figure:
    """Draw how the columns of a projection are shared out among heads, and laid side by side again.

    Args:
        tokens: names of the rows.
        heads: how many, H.
        width: columns of each, K.
    """
    rows, columns = len(tokens), heads * width
    with style():
        figure, (axes,) = new_figure(7.2, 3.1)
        gap, apart = 3.0, 1.2

        def grid(x: float, y: float, first: int, number: int) -> None:
            for row in range(rows):
                for column in range(first, first + number):
                    place = (x + column - first, y - row)
                    axes.add_patch(Rectangle(place, 1, -1, fc=HEADS[column // width % len(HEADS)], ec=PAPER, lw=0.6))

        grid(0, 0, 0, columns)
        for row, token in enumerate(tokens):
            axes.text(-0.4, -row - 0.5, token, ha="right", va="center", fontsize=8.5)
        middle = columns + gap
        for head in range(heads):
            y = (heads - 1) * (rows + apart) / 2 - head * (rows + apart)
            grid(middle, y, head * width, width)
            axes.text(middle + width + 0.4, y - rows / 2, f"head {head}", fontsize=8.5, va="center")
            start = ((head + 0.5) * width, -rows if head >= heads / 2 else 0)
            axes.annotate("", (middle - 0.2, y - rows / 2), start, arrowprops={"arrowstyle": "-|>", "color": INK})
        end = middle + width + gap + 3.4
        grid(end, 0, 0, columns)
        axes.annotate(
            "", (end - 0.3, -rows / 2), (end - 2.2, -rows / 2), arrowprops={"arrowstyle": "-|>", "color": INK}
        )
        for x, text in (
            (columns / 2, f"Q, K or V: (S, D)\nD = {columns} columns"),
            (middle + width / 2, f"{heads} times (S, K)\nK = {width}"),
            (end + columns / 2, "side by side: (S, D)\nthen the output matrix"),
        ):
            top = (heads - 1) * (rows + apart) / 2
            axes.text(x, top + 0.8, text, ha="center", va="bottom", fontsize=8.5)
        axes.set_xlim(-3.5, end + columns + 0.5)
        axes.set_ylim(-(heads - 1) * (rows + apart) / 2 - rows - 0.5, (heads - 1) * (rows + apart) / 2 + 4.5)
        axes.set_aspect("equal")
        axes.axis("off")
        return figure
