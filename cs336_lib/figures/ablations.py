"""The figures of chapter 9: gradients of runs with and without norms, and pairs of runs that share a seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from cs336_lib.figures.experiments import Curve
from cs336_lib.figures.style import COLORS, INK, new_figure, style


def gradient_norms(curves: Mapping[str, Curve], clip: float) -> Figure:
    """Draw the norm of the gradient before clipping against steps, on a logarithmic axis.

    Args:
        curves: run -> (steps, seconds, norms), as `experiments.curves_of(found, "grad_norm")` gives them.
        clip: the norm that the gradient is clipped to.
    """
    with style():
        figure, (axes,) = new_figure(7.2, 3.2)
        for color, (name, (steps, _, norms)) in zip(COLORS.values(), curves.items(), strict=False):
            axes.plot(steps, norms, lw=1.4, color=color, label=name.partition("#")[0])
        axes.axhline(clip, color=INK, ls=":", lw=1.2, label=f"clipped to {clip:g}")
        axes.set_yscale("log")
        axes.set_xlabel("step")
        axes.set_ylabel("gradient norm")
        axes.legend()
        return figure


def pairs(groups: Mapping[str, Mapping[str, Sequence[float]]], ylabel: str) -> Figure:
    """Draw last losses of two or more variations, those of one seed joined by a line.

    Args:
        groups: panel -> variation -> loss by seed.
        ylabel: what the losses are, with their unit.
    """
    every = [loss for variations in groups.values() for losses in variations.values() for loss in losses]
    room = 0.08 * (max(every) - min(every))
    with style():
        figure, panels = new_figure(7.2, 3.2, columns=len(groups))
        for axes, (title, variations) in zip(panels, groups.items(), strict=True):
            names = list(variations)
            for seed, losses in enumerate(zip(*variations.values(), strict=True)):
                axes.plot(range(len(names)), losses, "o-", ms=5, lw=1, color=COLORS["blue"], label=f"seed {seed}")
            for place, name in enumerate(names):
                mean = sum(variations[name]) / len(variations[name])
                axes.plot([place - 0.18, place + 0.18], [mean, mean], color=COLORS["red"], lw=2.4)
            axes.set_xticks(range(len(names)), names)
            axes.set_xlim(-0.5, len(names) - 0.5)
            axes.set_ylim(min(every) - room, max(every) + room)  # panels are compared
            axes.tick_params(labelleft=axes is panels[0])
            axes.set_title(title, fontsize=10.5)
            axes.grid(axis="x", visible=False)
        panels[0].set_ylabel(ylabel)
        return figure
