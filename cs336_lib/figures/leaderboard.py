"""The figures of chapter 10: losses in two units, singular values, and what each change wins."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from cs336_lib.figures.style import COLORS, INK, new_figure, style


def two_units(losses: Mapping[str, Mapping[str, float]], floors: Mapping[str, Mapping[str, float]]) -> Figure:
    """Draw the same runs' losses in several units side by side, with the lowest possible one.

    Args:
        losses: unit -> run -> loss.
        floors: unit -> run -> the loss that no model can beat.
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
        for color, (name, values) in zip(COLORS.values(), spectra.items(), strict=False):
            ordered = sorted(values, reverse=True)
            axes.plot(range(1, len(ordered) + 1), [value / ordered[0] for value in ordered], color=color, label=name)
        axes.set_yscale("log")
        axes.set_xlabel("singular value, from the largest")
        axes.set_ylabel("over the largest")
        axes.legend()
        return figure


def gains(found: Mapping[str, tuple[float, float]], seconds: Mapping[str, float], limit: float) -> Figure:
    """Draw what each change wins over the plain run, with its error, and what it costs in time.

    Args:
        found: change -> (how much lower the loss is, standard error of that).
        seconds: change -> training time over that of the plain run.
        limit: end of the axis on either side; longer bars are cut and their value written beside.
    """
    names = list(found)
    with style():
        figure, (left, right) = new_figure(7.2, 0.9 + 0.42 * len(names), columns=2)
        for place, name in enumerate(names):
            gain, error = found[name]
            shown = max(-limit, min(limit, gain))
            color = COLORS["green"] if gain > 0 else COLORS["red"]
            drawn = error if math.isfinite(error) and shown == gain else 0.0
            left.barh(place, shown, xerr=drawn, color=color, ecolor=INK, capsize=3, height=0.6)
            if shown != gain:
                left.text(shown * 0.96, place, f"{gain:+.2f}", color="white", va="center", ha="left", fontsize=9)
            right.barh(place, seconds[name], color=COLORS["blue"], height=0.6)
        left.axvline(0, color=INK, lw=1)
        right.axvline(1, color=INK, ls=":", lw=1.2)
        left.set_xlim(-1.05 * limit, 1.05 * limit)
        left.set_xlabel("lower loss (nats a token)")
        right.set_xlabel("time over that of the plain run")
        for axes in (left, right):
            axes.set_yticks(range(len(names)), names)
            axes.invert_yaxis()
            axes.grid(axis="y", visible=False)
        right.tick_params(labelleft=False)
        return figure
