"""The figures of chapter 6: losses, learning rates, an optimizer's moments, runs against the entropy floor."""

from collections.abc import Mapping, Sequence
from itertools import cycle

from matplotlib.figure import Figure

from cs336_lib.figures.style import COLORS, INK, PAPER, legend_above, new_figure, style


def curves(
    series: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    xlabel: str,
    ylabel: str,
    *,
    log_x: bool = False,
    log_y: bool = False,
    floor: tuple[str, float] | None = None,
    markers: bool = False,
) -> Figure:
    """Draw quantities against a common axis.

    Args:
        series: name -> (x values, y values).
        xlabel: what the x values are, with their unit.
        ylabel: what the y values are, with their unit.
        log_x: whether the x axis is logarithmic.
        log_y: whether the y axis is logarithmic.
        floor: name and height of a dashed line that nothing can go below.
        markers: whether each value gets a dot.
    """
    with style():
        figure, (axes,) = new_figure(7.2, 3.6)
        for name, (xs, ys) in series.items():
            axes.plot(xs, ys, "o-" if markers else "-", ms=4, label=name)
        if floor is not None:
            axes.axhline(floor[1], color=INK, ls="--", lw=1.2, label=floor[0])
        axes.set_xscale("log" if log_x else "linear")
        axes.set_yscale("log" if log_y else "linear")
        axes.set_xlabel(xlabel)
        axes.set_ylabel(ylabel)
        if len(series) > 1 or floor is not None:
            legend_above(figure, axes)
        return figure


def moments(
    gradients: Sequence[float], first: Sequence[float], second: Sequence[float], updates: Sequence[float]
) -> Figure:
    """Draw what Adam makes of a gradient: its two moments, and the step they give.

    Args:
        gradients: of one parameter, step by step.
        first: the first moment m after each step, corrected for its start at zero.
        second: the second moment v after each step, likewise.
        updates: how far the parameter moved in each step, in units of the learning rate.
    """
    steps = range(1, len(gradients) + 1)
    with style():
        figure, (above, below) = new_figure(7.2, 4.8, rows=2)
        above.plot(steps, gradients, ".", ms=3.5, color=COLORS["grey"], label="gradient $g$")
        above.plot(steps, first, color=COLORS["blue"], label="first moment $m$")
        above.plot(steps, [value**0.5 for value in second], color=COLORS["orange"], label=r"$\sqrt{v}$")
        above.set_ylabel("gradient")
        above.legend(ncols=3, loc="upper center", bbox_to_anchor=(0.5, 1.22))
        below.plot(steps, updates, color=COLORS["green"])
        below.axhline(0, color=INK, lw=0.8)
        below.set_xlabel("step")
        below.set_ylabel("movement / learning rate")
        return figure


def interrupted(parts: Mapping[str, tuple[int, int]], checkpoints: Sequence[int]) -> Figure:
    """Draw which steps each process of a run did; those that an earlier one had done already are hatched.

    Args:
        parts: process -> the step it began at and the last that it did, in the order of time.
        checkpoints: steps at which the run was saved.
    """
    with style():
        figure, (axes,) = new_figure(7.2, 0.9 + 0.5 * len(parts))
        reached = 0
        for y, ((begin, end), color) in enumerate(zip(parts.values(), cycle(COLORS.values()), strict=False)):
            axes.barh(y, end - begin, 0.5, begin, color=color)
            if begin < reached and begin:  # done twice
                axes.barh(y, min(reached, end) - begin, 0.5, begin, color="none", edgecolor=PAPER, hatch="///", lw=0)
            reached = max(reached, end)
        for step in checkpoints:
            axes.axvline(step, color=INK, ls=":", lw=1.0)
        axes.plot([], [], color=INK, ls=":", lw=1.0, label="checkpoint")
        axes.set_yticks(range(len(parts)), list(parts))
        axes.invert_yaxis()
        axes.grid(visible=False)
        axes.set_xlim(0, max(end for _, end in parts.values()))
        axes.set_xlabel("step; hatched: done for the second time")
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0))
        return figure
