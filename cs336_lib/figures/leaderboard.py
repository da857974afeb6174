"""The figures of chapter 10: losses in two units, singular values, what each change gains, schedules."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import cycle

from matplotlib.figure import Figure

from cs336_lib.figures.style import COLORS, INK, legend_above, new_figure, style


def two_units(
    losses: Mapping[str, Mapping[str, float]], floors: Mapping[str, Mapping[str, float]], xlabel: str = ""
) -> Figure:
    """Draw the same runs' losses in several units side by side, with the lowest possible one.

    Args:
        losses: unit -> run -> loss.
        floors: unit -> run -> the loss that no model can beat.
        xlabel: what the names of the runs are.
    """
    with style():
        figure, panels = new_figure(7.2, 3.2, columns=len(losses))
        for axes, (unit, values) in zip(panels, losses.items(), strict=True):
            places = range(len(values))
            axes.bar(places, list(values.values()), width=0.6, color=COLORS["blue"])
            for place, name in enumerate(values):
                floor = floors[unit][name]
                label = "entropy of the text" if place == 0 and axes is panels[0] else None
                axes.plot([place - 0.38, place + 0.38], [floor, floor], color=COLORS["red"], lw=2.4, label=label)
            axes.set_xticks(places, list(values))
            axes.set_xlabel(xlabel)
            axes.set_title(unit, fontsize=10.5)
            axes.grid(axis="x", visible=False)
        figure.legend(loc="outside upper center")
        return figure


def singular_values(spectra: Mapping[str, Sequence[float]]) -> Figure:
    """Draw the singular values of matrices, each in falling order, over their largest.

    Args:
        spectra: name -> singular values.
    """
    with style():
        figure, (axes,) = new_figure(7.2, 3.0)
        for color, (name, values) in zip(cycle(COLORS.values()), spectra.items(), strict=False):
            ordered = sorted(values, reverse=True)
            axes.plot(range(1, len(ordered) + 1), [value / ordered[0] for value in ordered], color=color, label=name)
        axes.set_yscale("log")
        axes.set_xlabel("singular value, from the largest")
        axes.set_ylabel("over the largest")
        legend_above(figure, axes)
        return figure


def gains(found: Mapping[str, tuple[float, float]], limit: float) -> Figure:
    """Draw how much lower each change ends than the plain run, with the smallest difference that the runs can show.

    Args:
        found: change -> (how much lower the loss is, smallest difference that can be shown).
        limit: end of the axis on either side; longer bars are cut and their value written beside.
    """
    with style():
        figure, (axes,) = new_figure(7.2, 1.0 + 0.42 * len(found))
        for place, (gain, smallest) in enumerate(found.values()):
            shown = max(-limit, min(limit, gain))
            color = COLORS["grey"] if not abs(gain) > smallest else COLORS["green"] if gain > 0 else COLORS["red"]
            axes.barh(place, shown, color=color, height=0.6)
            if math.isfinite(smallest):
                axes.plot([-smallest, smallest], [place, place], "|", color=INK, ms=14, mew=1.2)
            if shown != gain:
                side = "left" if gain < 0 else "right"  # inside the bar, at its end
                axes.text(shown * 0.96, place, f"{gain:+.2f}", color="white", va="center", ha=side, fontsize=9)
        axes.plot([], [], "|", color=INK, ms=14, mew=1.2, label="smallest difference that the seeds can show")
        axes.axvline(0, color=INK, lw=1)
        axes.set_xlim(-1.05 * limit, 1.05 * limit)
        axes.set_xlabel("lower loss than the plain run (nats per token)")
        axes.set_yticks(range(len(found)), list(found))
        axes.invert_yaxis()
        axes.grid(axis="y", visible=False)
        figure.legend(loc="outside upper center")
        return figure


def loss_and_rate(runs: Mapping[str, Sequence[Mapping[str, float]]], top: float) -> Figure:
    """Draw training losses, and under them the learning rates that the runs had.

    Args:
        runs: name -> lines of metrics with "step", "train_loss" and "lr".
        top: upper end of the axis of losses.
    """
    with style():
        figure, (above, below) = new_figure(7.2, 4.8, rows=2)
        for color, (name, lines) in zip(cycle(COLORS.values()), runs.items(), strict=False):
            kept = [line for line in lines if "train_loss" in line]
            steps = [line["step"] for line in kept]
            above.plot(steps, [line["train_loss"] for line in kept], lw=1.4, color=color, label=name)
            below.plot(steps, [line["lr"] for line in kept], lw=1.4, color=color)
        above.set_ylim(top=top)
        above.set_ylabel("training loss (nats per token)")
        above.tick_params(labelbottom=False)
        below.set_ylabel("learning rate")
        below.set_xlabel("step")
        legend_above(figure, above)
        return figure
