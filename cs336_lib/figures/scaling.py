"""The figures of chapter 11: a ring of ranks, runs that agree, memory, shards and their markers, scaling on paper."""

from collections.abc import Mapping, Sequence
from itertools import cycle

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from cs336_lib.accounting import GB, RankMemory, ScalingPoint
from cs336_lib.figures.style import COLORS, FAINT, INK, PAPER, legend_above, new_figure, style

PART_COLORS = {
    "parameters": COLORS["blue"],
    "gradients": COLORS["orange"],
    "optimizer": COLORS["green"],
    "buffers": COLORS["purple"],
    "activations": COLORS["grey"],
}
ON_PAPER = "on paper"


def ring(phases: Mapping[str, Sequence[Sequence[Sequence[int]]]]) -> Figure:
    """Draw how many ranks' numbers each chunk on each rank has in its sum, moment by moment.

    Args:
        phases: name of a phase -> its moments -> a row for each rank -> the summands of each of its chunks; all phases
            have equally many moments.
    """
    several = [(phase, moment, table) for phase, moments in phases.items() for moment, table in enumerate(moments)]
    ranks, columns = len(several[0][2]), len(several) // len(phases)
    with style():
        figure, axes_of = new_figure(7.2, 1.95 * len(phases), rows=len(phases), columns=columns)
        for axes, (phase, moment, table) in zip(axes_of, several, strict=True):
            for rank, row in enumerate(table):
                for chunk, summands in enumerate(row):
                    alpha = 0.12 if summands == 1 else 0.12 + 0.68 * (summands - 1) / (ranks - 1)
                    axes.add_patch(
                        Rectangle((chunk - 0.5, rank - 0.5), 1, 1, fc=COLORS["green"], ec=PAPER, lw=1.5, alpha=alpha)
                    )
                    axes.text(chunk, rank, str(summands), ha="center", va="center", fontsize=9)
            axes.set_xlim(-0.5, len(table[0]) - 0.5)
            axes.set_ylim(ranks - 0.5, -0.5)
            axes.set_aspect("equal")
            axes.set_xticks([])
            axes.set_yticks(
                range(ranks), [f"rank {rank}" for rank in range(ranks)] if moment == 0 else [], fontsize=8.5
            )
            axes.tick_params(length=0)
            axes.grid(visible=False)
            axes.spines[:].set_visible(False)
            axes.set_title(phase if moment == 0 else f"after {moment}", fontsize=9.5)
        return figure


def agreement(curves: Mapping[str, tuple[Sequence[int], Sequence[float]]]) -> Figure:
    """Draw losses of runs that should be one, and below how far they are from the first of them.

    Args:
        curves: label -> (steps, losses), with the same steps in all.
    """
    (first, (steps, reference)), *others = curves.items()
    with style():
        figure, (top, bottom) = new_figure(7.2, 4.6, rows=2)
        colors = dict(zip(curves, cycle(COLORS.values()), strict=False))
        for place, (label, (_, losses)) in enumerate(curves.items()):
            width = (6, 3.2, 1.2)[min(place, 2)]
            top.plot(steps, losses, color=colors[label], lw=width, label=label, solid_capstyle="round")
        for label, (_, losses) in others:
            apart = [abs(ours - theirs) for ours, theirs in zip(losses, reference, strict=True)]
            bottom.plot(steps, apart, "o-", ms=3.5, lw=1.1, color=colors[label], label=label)
        bottom.set_yscale("symlog", linthresh=1e-7)
        bottom.set_ylim(0, 1)
        top.set_ylabel("loss (nats per token)")
        bottom.set_ylabel(f"distance from\n{first} (nats)")
        bottom.set_xlabel("step")
        legend_above(figure, top)
        return figure


def memory_by_size(
    models: Mapping[str, int], curves: Mapping[str, Sequence[int]], devices: Mapping[str, int]
) -> Figure:
    """Draw the memory of a rank against the size of the model, for several ways to share the work.

    Points that fit into the largest device are full, those that do not are hollow.

    Args:
        models: label -> parameters, in ascending order.
        curves: way -> bytes on a rank, one for each model.
        devices: label -> bytes of its memory.
    """
    limit = max(devices.values())
    with style():
        figure, (axes,) = new_figure(7.2, 4.6)
        for (label, values), color in zip(curves.items(), cycle(COLORS.values()), strict=False):
            heights = [value / GB for value in values]
            axes.plot(list(models.values()), heights, color=color, label=label)
            faces = [color if value <= limit else PAPER for value in values]
            axes.scatter(list(models.values()), heights, 34, faces, edgecolors=color, zorder=3, lw=1.4)
        axes.set_xscale("log")
        axes.set_yscale("log")
        for label, size in devices.items():
            axes.axhline(size / GB, color=INK, ls="--", lw=1.1)
            axes.text(min(models.values()), size / GB * 1.06, label, fontsize=8.5)
        axes.set_xticks(list(models.values()), list(models), rotation=35, ha="right", fontsize=8.5)
        axes.minorticks_off()
        axes.set_ylabel("memory of a rank, GB")
        figure.legend(loc="outside lower center", ncols=3, fontsize=9)
        return figure


def memory_parts(bars: Mapping[str, RankMemory], limit: int) -> Figure:
    """Draw what fills the memory of a rank, as bars, with the memory of a device.

    Args:
        bars: way to share the work -> memory of the fullest rank.
        limit: bytes of a device's memory.
    """
    with style():
        figure, (axes,) = new_figure(7.2, 3.6)
        for y, memory in enumerate(bars.values()):
            left = 0.0
            for part, value in memory.parts().items():
                axes.barh(y, value / GB, 0.65, left, color=PART_COLORS[part], edgecolor=PAPER, lw=0.6)
                left += value / GB
            axes.text(left, y, f" {left:,.0f}", va="center", fontsize=9)
        axes.axvline(limit / GB, color=INK, ls="--", lw=1.2)
        axes.set_yticks(range(len(bars)), list(bars))
        axes.invert_yaxis()
        axes.grid(axis="y", visible=False)
        axes.margins(x=0.08)
        axes.set_xlabel(f"memory of a rank, GB; dashed: {limit / GB:,.0f}")
        handles = [Patch(color=color, label=part) for part, color in PART_COLORS.items()]
        figure.legend(handles=handles, loc="outside lower center", ncols=5, fontsize=9)
        return figure


def shards(moments: Mapping[str, Sequence[int]], size: int) -> Figure:
    """Draw a text as a row of shards, once for each moment, with those that are marked done filled.

    Args:
        moments: label -> for each shard 0 if it is not done, 1 or 2 for the color of one that is.
        size: bytes of the text.
    """
    with style():
        figure, (axes,) = new_figure(7.2, 0.9 + 0.55 * len(moments))
        for y, done in enumerate(moments.values()):
            width = size / 1e6 / len(done)
            for index, is_done in enumerate(done):
                color = (PAPER, COLORS["blue"], COLORS["orange"])[is_done]
                axes.barh(y, width, 0.6, index * width, color=color, edgecolor=INK if is_done else FAINT, lw=0.8)
        axes.set_yticks(range(len(moments)), list(moments))
        axes.invert_yaxis()
        axes.grid(visible=False)
        axes.set_xlim(0, size / 1e6)
        axes.set_xlabel("place in the text, MB; full: the shard is done")
        return figure


def throughput_by_workers(
    modelled: Mapping[str, Mapping[int, float]], measured: Mapping[str, Mapping[int, float]], unit: str = "MB/s"
) -> Figure:
    """Draw throughput against workers: hollow marks where it was measured, broken lines for a model.

    What a label says before a comma is its job, and a job has one color and one mark. Its first line is dashed, the
    next dotted; marks differ in size and lines in where they are broken, so that equal ones do not hide each other.

    Args:
        modelled: label -> workers -> throughput.
        measured: label -> workers -> throughput.
        unit: of the throughput.
    """
    with style():
        figure, (axes,) = new_figure(7.2, 4.0)
        jobs = list(dict.fromkeys(label.partition(",")[0] for label in [*modelled, *measured]))
        colors = dict(zip(jobs, cycle(COLORS.values()), strict=False))
        for place, job in enumerate(jobs):
            color = colors[job]
            lines = cycle([(4.0, 2.0), (1.0, 2.0)])
            for label, points in modelled.items():
                if label.partition(",")[0] == job:
                    dashes = next(lines)
                    look = (place * dashes[0] % sum(dashes), dashes)
                    axes.plot(list(points), list(points.values()), color=color, ls=look, label=f"{label}, {ON_PAPER}")
            for label, points in measured.items():
                if label.partition(",")[0] == job:
                    mark = "os^Dv"[place % 5]
                    (dots,) = axes.plot(list(points), list(points.values()), mark, label=f"{label}, measured")
                    dots.set(color=color, ms=6 + 4 * (place % 5), mfc="none", mew=1.6)
        _workers_axis(axes)
        axes.set_yscale("log")
        axes.set_ylabel(f"throughput, {unit}")
        legend_above(figure, axes, size=9)
        return figure


def scaling(panels: Mapping[str, Mapping[str, Sequence[ScalingPoint]]]) -> Figure:
    """Draw modeled efficiency against workers, a panel for each kind of scaling.

    Args:
        panels: title -> label -> points of the curve.
    """
    with style():
        figure, several = new_figure(7.2, 3.8, columns=len(panels))
        labels = {label: None for curves in panels.values() for label in curves}
        colors = dict(zip(labels, cycle(COLORS.values()), strict=False))
        for axes, (title, curves) in zip(several, panels.items(), strict=True):
            for label, points in curves.items():
                workers, efficiency = [p.workers for p in points], [100 * p.efficiency for p in points]
                axes.plot(workers, efficiency, "o--", ms=3.5, color=colors[label])
            _workers_axis(axes)
            axes.set_ylim(0, 104)
            axes.set_title(f"{title}, {ON_PAPER}", fontsize=10.5)
        several[0].set_ylabel("efficiency, %")
        handles = [Patch(color=color, label=label) for label, color in colors.items()]
        figure.legend(handles=handles, loc="outside lower center", ncols=2, fontsize=8.5)
        return figure


def _workers_axis(axes: Axes) -> None:
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.set_xlabel("workers")
