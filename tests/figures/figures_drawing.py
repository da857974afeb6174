"""Render a figure in a test."""


def drawn(figure):
    """Render the figure; layout and font problems are warnings, and warnings are errors here."""
    figure.canvas.draw()
    return figure
