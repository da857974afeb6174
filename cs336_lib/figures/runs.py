"""Loss curves of runs (chapters 6 and 10)."""

from collections.abc import Mapping, Sequence
from math import isfinite

from matplotlib.figure import Figure

from cs336_lib.figures.style import COLORS, legend_above, looks, new_figure, style
from cs336_lib.training.records import RunRecord

AXES = {"step": "step", "tokens": "tokens trained on", "seconds": "training time (s)"}


def losses(runs: Mapping[str, RunRecord], floor: float | None = None, x: str | Sequence[str] = "step") -> Figure:
    """Draw training losses as thin lines and validation losses as dots on a line of the same color.

    The title says what the runs were made on; where that differs, the legend says it of each.

    Args:
        runs: name -> record; a run that diverged ends where it did.
        floor: a loss that no model can beat, in nats per token; drawn dashed.
        x: what runs along the axis: "step", "tokens" or "seconds"; a panel each for several.

    Returns:
        The figure.
    """
    along = [x] if isinstance(x, str) else list(x)
    devices = {name: str(record.environment.get("device", "an unknown device")) for name, record in runs.items()}
    known = looks(runs)
    alike = len(set(devices.values())) == 1
    with style():
        figure, panels = new_figure(columns=len(along))
        for name, record in runs.items():
            dashes, color = known[name]
            label = name if alike else f"{name}, {devices[name]}"
            for metric, look in (
                ("train_loss", {"linewidth": 0.9, "alpha": 0.55}),
                ("valid_loss", {"marker": "o", "markersize": 4, "label": label}),
            ):
                lines = [line for line in record.metrics() if isfinite(line.get(metric, float("nan")))]
                for axes, what in zip(panels, along, strict=True):
                    axes.plot(
                        [line[what] for line in lines], [line[metric] for line in lines], dashes, color=color, **look
                    )
        for axes, what in zip(panels, along, strict=True):
            if floor is not None:
                axes.axhline(floor, color=COLORS["grey"], linestyle="--", linewidth=1.2, label="entropy of the text")
            axes.set_xlabel(AXES[what])
            axes.tick_params(labelleft=axes is panels[0])
        panels[0].set_ylabel("loss (nats per token)")
        legend_above(figure, panels[0])
        if alike:
            panels[0].set_title(f"on {next(iter(devices.values()))}", fontsize=10.5)
    return figure
