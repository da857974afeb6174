"""Render a figure in a test, and read back what it shows."""

from matplotlib.colors import to_hex


def drawn(figure):
    """Render the figure; layout and font problems are warnings, and warnings are errors here."""
    figure.canvas.draw()
    return figure


def named(axes):
    """Return name -> (x, y) of the lines that have a name of their own, in the order in which they were drawn."""
    lines = [line for line in axes.lines if not line.get_label().startswith("_") and len(line.get_xdata())]
    assert len({line.get_label() for line in lines}) == len(lines), "two lines of one name"
    return {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in lines}


def legends(figure):
    """Return the entries of a figure's legends, in order: words and handle."""
    found = [*figure.legends, *filter(None, (axes.get_legend() for axes in figure.axes))]
    return [
        (text.get_text(), handle)
        for each in found
        for text, handle in zip(each.get_texts(), each.legend_handles, strict=True)
    ]


def legend(figure):
    """Return the words of a figure's legends, in order."""
    return [words for words, _ in legends(figure)]


def pieces(axes):
    """Return row -> left end, width and color of the pieces of horizontal bars."""
    rows = {}
    for box in axes.patches:
        row = round(box.get_y() + box.get_height() / 2)
        rows.setdefault(row, []).append((box.get_x(), box.get_width(), to_hex(box.get_facecolor())))
    return rows


def colors_of(figure):
    """Return name -> color in the legend that explains patches."""
    return {name: to_hex(handle.get_facecolor()) for name, handle in legends(figure)}
