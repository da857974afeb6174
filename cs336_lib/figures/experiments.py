"""The figures of chapter 8: runs side by side, and what a swept value does to the last loss."""

import math
import statistics
from collections.abc import Mapping, Sequence
from itertools import cycle
from types import MappingProxyType

from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from cs336_lib.experiments.comparison import rate_of
from cs336_lib.experiments.outcome import Outcome, final_loss, outcome
from cs336_lib.experiments.summary import Runs, devices
from cs336_lib.figures.style import COLORS, INK, legend_above, looks, new_figure, style

MARKS = {Outcome.DIVERGED: "x", Outcome.THROWN_OUT: "+"}
FAILED = tuple(MARKS)

Curve = tuple[Sequence[float], Sequence[float], Sequence[float]]


def curves_of(found: Runs, name: str = "train_loss") -> dict[str, Curve]:
    """Return the curves of a suite's runs, as `runs` takes them.

    Args:
        found: what `run_suite` or `load_suite` returned.
        name: of the metric.
    """
    curves = {}
    for run, record in found:
        lines = [line for line in record.metrics() if math.isfinite(line.get(name, math.nan))]
        points = [(line["step"], line["seconds"], line[name]) for line in lines]
        curves[f"{run.variation}#{run.seed}"] = tuple(zip(*points, strict=True)) if points else ((), (), ())
    return curves  # type: ignore[return-value]


def of_suite(
    found: Runs,
    *,
    floor: tuple[str, float] | None = None,
    top: float | None = None,
    times: bool = True,
    title: str = "",
) -> Figure:
    """Draw the training losses of a suite's runs with `runs`; the title says what they were made on.

    Args:
        found: what `run_suite` or `load_suite` returned.
        floor: as for `runs`.
        top: as for `runs`.
        times: as for `runs`.
        title: comes before the device.
    """
    failed = {f"{run.variation}#{run.seed}": end for run, record in found if (end := outcome(record)) in FAILED}
    return runs(
        curves_of(found),
        "training loss (nats per token)",
        floor=floor,
        top=top,
        failed=failed,
        times=times,
        title=f"{title}{', ' if title else ''}on {devices(found)}",
    )


def runs(
    curves: Mapping[str, Curve],
    ylabel: str,
    *,
    floor: tuple[str, float] | None = None,
    top: float | None = None,
    failed: Mapping[str, Outcome] = MappingProxyType({}),
    times: bool = True,
    title: str | None = None,
) -> Figure:
    """Draw runs against steps, and beside that against the time they took.

    Args:
        curves: run -> (steps, seconds, values). Runs of the same name before a "#" share color and legend entry.
        ylabel: what the values are, with their unit.
        floor: name and height of a dashed line that no run can go below.
        top: upper end of the axis, so that a run that diverges does not flatten the others.
        failed: runs that diverged or were thrown out -> which of the two. A mark stands where they end, at the upper
            edge if that is above it.
        times: draw the panel against time; runs made side by side with other work have times that compare nothing.
        title: of the figure.
    """
    names = list(dict.fromkeys(name.partition("#")[0] for name in curves))
    known = looks(names)
    with style():
        entries = len(names) + (floor is not None) + len(set(failed.values()))
        figure, panels = new_figure(7.2, 3.2 + 0.22 * math.ceil(entries / 3), columns=1 + times)
        by_step = panels[0]
        for name, (steps, seconds, values) in curves.items():
            group = name.partition("#")[0]
            label = group if group in names else None
            if label:
                names.remove(group)
            dashes, color = known[group]
            for axes, places in zip(panels, (steps, seconds), strict=False):
                named = label if axes is by_step else None
                axes.plot(places, values, dashes, lw=1.4, color=color, label=named)
            if name in failed and len(values):
                mark = MARKS[failed[name]]
                height = values[-1] if top is None else min(values[-1], top)
                for axes, place in zip(panels, (steps[-1], seconds[-1]), strict=False):
                    axes.plot([place], [height], mark, ms=8, mew=2, color=color, clip_on=False)
        for end in sorted(set(failed.values())):
            by_step.plot([], [], MARKS[end], ms=8, mew=2, color=INK, label=str(end))
        for axes, what in zip(panels, ("step", "seconds"), strict=False):
            axes.set_xlabel(what)
            if floor is not None:
                axes.axhline(floor[1], color=INK, ls=":", lw=1.2, label=floor[0] if axes is by_step else None)
            if top is not None:
                axes.set_ylim(_below(top, [value for _, _, values in curves.values() for value in values]), top)
        by_step.set_ylabel(ylabel)
        for axes in panels[1:]:
            axes.tick_params(labelleft=False)
        if title is not None:
            by_step.set_title(title, fontsize=10.5)
        figure.legend(loc="outside upper center", ncols=3)
        return figure


def steps(
    curves: Mapping[str, Sequence[float]],
    ylabel: str,
    *,
    every: int = 1,
    dotted: Mapping[str, Sequence[float]] | None = None,
    level: tuple[str, float] | None = None,
) -> Figure:
    """Draw values of one step after another, on a logarithmic axis.

    Args:
        curves: name -> a value for each `every` steps. With `every` above 1 the first stands at that step, not at 0.
        ylabel: what the values are, with their unit.
        every: steps between two values.
        dotted: name -> what was predicted for the curve of that name, drawn dotted in its color.
        level: name and height of a dashed line.
    """
    first = 0 if every == 1 else every
    with style():
        figure, (axes,) = new_figure(7.2, 3.4)
        for color, (name, values) in zip(cycle(COLORS.values()), curves.items(), strict=False):
            places = range(first, first + every * len(values), every)
            axes.plot(places, values, lw=1.4, color=color, label=name)
            if dotted is not None:
                axes.plot(places, dotted[name], lw=1.4, ls=":", color=color)
        if level is not None:
            axes.axhline(level[1], color=INK, ls="--", lw=1.2, label=level[0])
        axes.set_yscale("log")
        axes.set_xlabel("step")
        axes.set_ylabel(ylabel)
        legend_above(figure, axes)
        return figure


def last_losses(found: Runs) -> list[tuple[float, float]]:
    """Return rate and last validation loss of each run, as `sweep` takes them; nan where it failed."""
    return [(rate_of(run.config), final_loss(record)) for run, record in found]


def by_side(found: Runs) -> dict[str, list[tuple[float, float]]]:
    """Return rate and last validation loss of each run, for each side of a suite, as `sweep` takes them."""
    points: dict[str, list[tuple[float, float]]] = {}
    for pair in found:
        points.setdefault(pair[0].side or pair[0].variation, []).extend(last_losses([pair]))
    return points


def sweep(
    points: Mapping[str, Sequence[tuple[float, float]]],
    xlabel: str,
    ylabel: str,
    *,
    top: float | None = None,
    floor: tuple[str, float] | None = None,
    failed: str = "diverged",
    title: str | None = None,
) -> Figure:
    """Draw a last loss against a swept value: one dot per run, a line through the means over seeds.

    Args:
        points: series -> (value, loss), the loss nan where the run diverged or was thrown out; such a run stands as a
            cross near the upper edge, each series at a height of its own, so that no cross hides another.
        xlabel: what is swept.
        ylabel: what the loss is, with its unit.
        top: upper end of the axis; by default above the largest loss and the floor.
        floor: name and height of a dotted line, such as the unigram loss.
        failed: what a cross stands for.
        title: of the figure.
    """
    finite = [loss for series in points.values() for _, loss in series if math.isfinite(loss)]
    highest = max([*finite, *([floor[1]] if floor else [])], default=1.0)
    losers = [name for name, series in points.items() if not all(math.isfinite(y) for _, y in series)]
    edge = top if top is not None else (1.1 + 0.06 * min(8, max(0, len(losers) - 1))) * highest
    with style():
        figure, (axes,) = new_figure(7.2, 3.6)
        known = looks(points)
        for name, series in points.items():
            dashes, color = known[name]
            good = sorted((x, y) for x, y in series if math.isfinite(y))
            means = {x: statistics.mean(y for other, y in good if other == x) for x, _ in good}
            axes.plot(list(means), list(means.values()), dashes, lw=1.4, color=color)
            axes.plot([x for x, _ in good], [y for _, y in good], "o", ms=4, color=color)
            axes.plot([], [], dashes, marker="o", ms=4, lw=1.4, color=color, label=name)
            bad = [x for x, y in series if not math.isfinite(y)]
            if bad:
                height = 0.97 - 0.06 * losers.index(name) * min(1, 8 / len(losers))
                across = axes.get_xaxis_transform()  # heights are parts of the axis
                axes.plot(bad, [height] * len(bad), "x", ms=8, mew=2, color=color, transform=across)
        if losers:
            axes.plot([], [], "x", ms=8, mew=2, color=INK, label=failed)
        if floor is not None:
            axes.axhline(floor[1], color=INK, ls=":", lw=1.2, label=floor[0])
        axes.set_xscale("log")
        swept = [x for series in points.values() for x, _ in series]
        if max(swept) < 100 * min(swept):  # powers of ten alone would leave the axis without numbers
            axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_ylim(_below(edge, finite), edge)
        if title is not None:
            axes.set_title(title, fontsize=10.5)
        axes.set_xlabel(xlabel)
        axes.set_ylabel(ylabel)
        legend_above(figure, axes)
        return figure


def _below(top: float, values: Sequence[float]) -> float:
    """Return the lower end of an axis that ends at `top`, a little under the lowest value in it."""
    lowest = min((value for value in values if value < top), default=top - 1.0)
    return lowest - 0.05 * (top - lowest)
