"""Loss curves of runs (chapters 6 and 8)."""

from collections.abc import Mapping
from math import isfinite

from matplotlib.figure import Figure

from cs336_lib.figures.style import COLORS, new_figure, style
from cs336_lib.training.records import RunRecord


def losses(runs: Mapping[str, RunRecord], floor: float | None = None, x: str = "step") -> Figure:
    """Draw training losses as thin lines and validation losses as dots on a line of the same colour.

    Args:
        runs: name -> record; a run that diverged ends where it did.
        floor: a loss that no model can beat, in nats a token; drawn dashed.
        x: what runs along the axis: "step", "tokens" or "seconds".

    Returns:
        The figure.
    """
    with style():
        figure, (axes,) = new_figure()
        for (name, record), color in zip(runs.items(), list(COLORS.values()) * len(runs), strict=False):
            for metric, look in (
                ("train_loss", {"linewidth": 0.9, "alpha": 0.55}),
                ("valid_loss", {"marker": "o", "markersize": 4, "label": name}),
            ):
                lines = [line for line in record.metrics() if isfinite(line.get(metric, float("nan")))]
                axes.plot([line[x] for line in lines], [line[metric] for line in lines], color=color, **look)
        if floor is not None:
            axes.axhline(floor, color=COLORS["grey"], linestyle="--", linewidth=1.2, label="entropy of the text")
        axes.set_xlabel({"step": "step", "tokens": "tokens trained on", "seconds": "training time (s)"}[x])
        axes.set_ylabel("loss (nats a token)")
        axes.legend()
    return figure
