"""The figures of chapter 5: where FLOPs go, when attention takes over, which batch fits, what waits for memory."""

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import cycle

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from cs336_lib.accounting import GB, GIB, Breakdown, Device, RooflinePoint, crossing_context, forward_flops
from cs336_lib.figures.style import COLORS, FAINT, INK, PAPER, legend_above, new_figure, style
from cs336_lib.model.config import ModelConfig

COMPONENT_COLORS = {
    "embedding": COLORS["grey"],
    "attention_projections": COLORS["sky"],
    "attention_scores": COLORS["red"],
    "ffn": COLORS["green"],
    "norms": COLORS["purple"],
    "lm_head": COLORS["orange"],
}
SMALLEST_LABEL = 0.04
"""Shares below this are drawn without their number, which would not fit."""


def component_shares(bars: Mapping[str, Breakdown], totals: Mapping[str, str]) -> Figure:
    """Draw breakdowns as stacked bars of equal height, each part labeled with its percentage.

    Args:
        bars: label -> counts by component.
        totals: label -> what stands above the bar.
    """
    with style():
        figure, (axes,) = new_figure(7.2, 4.2)
        _stack(axes, list(range(len(bars))), list(bars.values()), width=0.7)
        axes.set_xticks(range(len(bars)), list(bars))
        for x, label in enumerate(bars):
            axes.text(x, 1.015, totals[label], ha="center", fontsize=9.5)
        _legend(figure, bars.values())
        return figure


def shares_by_context(cfg: ModelConfig, context_lengths: Sequence[int], marked: Sequence[int] = ()) -> Figure:
    """Draw the shares of a forward pass at several context lengths, and where scores overtake the FFN.

    Args:
        cfg: the model.
        context_lengths: S of each bar, in tokens.
        marked: those whose label stands out.
    """
    with style():
        figure, (axes,) = new_figure(7.2, 4.2)
        flops = [forward_flops(cfg, context_length) for context_length in context_lengths]
        _stack(axes, [math.log2(length) for length in context_lengths], flops, width=0.4, fontsize=7.5)
        axes.set_xticks([math.log2(length) for length in context_lengths], [f"{s:,}" for s in context_lengths])
        axes.tick_params(axis="x", labelsize=8.5)
        for length, tick in zip(context_lengths, axes.get_xticklabels(), strict=True):
            tick.set_fontweight("bold" if length in marked else "normal")
        crossing = crossing_context(cfg)
        axes.axvline(math.log2(crossing), color=INK, ls="--", lw=1.3)
        axes.text(math.log2(crossing) + 0.08, 1.02, f"scores overtake the FFN at {crossing:,}", fontsize=9.5)
        axes.set_xlabel("context length, tokens")
        _legend(figure, flops)
        return figure


def _stack(
    axes: Axes, positions: Sequence[float], bars: Sequence[Breakdown], width: float, fontsize: float = 8
) -> None:
    bottoms = [0.0] * len(bars)
    for component, color in COMPONENT_COLORS.items():
        shares = [bar.share(component) for bar in bars]
        axes.bar(positions, shares, width, bottoms, color=color, edgecolor=PAPER, lw=0.8)
        for x, share, bottom in zip(positions, shares, bottoms, strict=True):
            if share >= SMALLEST_LABEL:
                axes.text(x, bottom + share / 2, f"{100 * share:.1f}", ha="center", va="center", fontsize=fontsize)
        bottoms = [bottom + share for bottom, share in zip(bottoms, shares, strict=True)]
    axes.set_ylim(0, 1.08)
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", "25", "50", "75", "100"])
    axes.set_ylabel("share, %")
    axes.grid(axis="x", visible=False)


def _legend(figure: Figure, bars: Iterable[Breakdown]) -> None:
    present = {name for bar in bars for name in bar}
    shown = [name for name in COMPONENT_COLORS if name in present]
    handles = [Line2D([], [], ls="", marker="s", ms=8, color=COMPONENT_COLORS[name]) for name in shown]
    labels = [name.replace("_", " ") for name in shown]
    figure.legend(handles, labels, loc="outside lower center", ncols=min(len(shown), 5), fontsize=9)


def memory_by_batch(curves: Mapping[str, Sequence[int]], memory_gb: int) -> Figure:
    """Draw a training step's memory against the batch, with a device's memory in GB and in GiB.

    Points that fit in the memory's GB are full, those that do not are hollow.

    Args:
        curves: label -> bytes at batch 0, 1, 2, ...; batch 0 is what does not depend on the batch.
        memory_gb: the number on the device's label, such as 80.
    """
    with style():
        figure, (axes,) = new_figure(7.2, 4.0)
        last = max(map(len, curves.values())) - 1
        for (label, values), color in zip(curves.items(), cycle(COLORS.values()), strict=False):
            heights = [value / GB for value in values]
            axes.plot(range(len(heights)), heights, color=color, label=label)
            faces = [color if value <= memory_gb * GB else PAPER for value in values]
            axes.scatter(range(1, len(heights)), heights[1:], 45, faces[1:], edgecolors=color, zorder=3, lw=1.5)
        for name, size, above in (("GB", GB, False), ("GiB", GIB, True)):
            height = memory_gb * size / GB
            axes.axhline(height, color=INK, ls="-" if name == "GB" else ":", lw=1.2)
            where = "bottom" if above else "top"
            axes.text(0.05, height, f"{memory_gb} {name}", ha="left", va=where, fontsize=9)  # no curve passes there
        axes.set_xlim(0, last + 0.35)
        axes.set_ylim(bottom=0)
        axes.set_xlabel("batch, sequences")
        axes.set_ylabel("memory of a training step, GB")
        legend_above(figure, axes)
        return figure


def memory_of_a_step(bars: Mapping[str, Mapping[str, int]], memory_gb: int) -> Figure:
    """Draw what fills a device's memory in a training step, as stacked bars.

    Args:
        bars: label -> what is kept -> bytes.
        memory_gb: the number on the device's label, such as 80.
    """
    parts = list(dict.fromkeys(part for bar in bars.values() for part in bar))
    colors = [COLORS[name] for name in ("blue", "sky", "green", "orange", "red", "purple", "yellow", "grey")]
    with style():
        figure, (axes,) = new_figure(7.2, 0.7 * len(bars) + 1.9)
        lefts = [0.0] * len(bars)
        for part, color in zip(parts, cycle(colors), strict=False):
            widths = [bar.get(part, 0) / GB for bar in bars.values()]
            axes.barh(range(len(bars)), widths, 0.6, lefts, color=color, edgecolor=PAPER, lw=0.8, label=part)
            for row, (left, width) in enumerate(zip(lefts, widths, strict=True)):
                if width > 3.5:
                    axes.text(left + width / 2, row, f"{width:.1f}", ha="center", va="center", fontsize=8)
            lefts = [left + width for left, width in zip(lefts, widths, strict=True)]
        axes.axvline(memory_gb, color=INK, lw=1.2)
        axes.text(memory_gb + 0.6, 0, f"{memory_gb} GB", fontsize=9, va="center")
        axes.set_yticks(range(len(bars)), list(bars))
        axes.invert_yaxis()
        axes.set_xlim(0, 1.12 * max(*lefts, memory_gb))
        axes.set_xlabel("GB")
        axes.grid(axis="y", visible=False)
        figure.legend(loc="outside lower center", ncols=4, fontsize=9)
        return figure


def roofline(situations: Mapping[str, Sequence[RooflinePoint]], device: Device, dtype: str = "bfloat16") -> Figure:
    """Draw a device's roof, and below it where each component of each situation stands: left of the ridge it waits.

    Args:
        situations: label -> points; each label is a lane, each component has its color.
        device: the one that the points were made for.
        dtype: theirs.
    """
    peak, ridge = device.peak(dtype) / 1e12, device.peak(dtype) / device.bandwidth
    points = [point for several in situations.values() for point in several]
    left = min(0.5, *(point.intensity / 2 for point in points))
    right = max(4 * ridge, *(2 * point.intensity for point in points))
    lanes = [(label, point) for label, several in situations.items() for point in several]
    with style():
        figure, (roof, axes) = new_figure(7.2, 0.21 * len(lanes) + 3.2, rows=2)
        roof.plot([left, ridge, right], [peak * left / ridge, peak, peak], color=INK)
        roof.set_yscale("log")
        roof.set_ylabel("TFLOP/s")
        roof.set_title(f"{device.name}, {dtype}: the largest speed at each intensity", fontsize=10.5)
        if (grid := roof.get_gridspec()) is not None:
            grid.set_height_ratios([1.3, 0.21 * len(lanes) + 1])
        row, ticks = 0.0, []
        for label, several in situations.items():
            ticks.append((row + (len(several) - 1) / 2, label))
            for point in several:
                color = COMPONENT_COLORS[point.component]
                axes.plot(point.intensity, row, "o", color=color, ms=8, mec=INK, mew=0.7, zorder=3)
                name = f"{point.component.replace('_', ' ')}  {point.attainable / 1e12:,.1f}"
                far = point.intensity > ridge
                axes.annotate(
                    name, (point.intensity, row), (-8 if far else 8, 0), textcoords="offset points",
                    fontsize=8, va="center", ha="right" if far else "left",
                )  # fmt: skip
                row += 1
            axes.axhline(row - 0.25, color=FAINT, lw=0.8)
            row += 0.5
        axes.set_yticks([place for place, _ in ticks], [label.replace(", ", ",\n") for _, label in ticks], fontsize=8.5)
        axes.set_ylim(row - 0.5, -1.7)
        axes.text(ridge / 1.1, -1.1, "waits for memory", ha="right", fontsize=8.5, va="center", style="italic")
        axes.text(ridge * 1.1, -1.1, "computes", ha="left", fontsize=8.5, va="center", style="italic")
        axes.set_xlabel("arithmetic intensity, FLOPs per byte")
        axes.grid(axis="y", visible=False)
        for each in (roof, axes):
            each.axvline(ridge, color=INK, ls=":", lw=1)
            each.set_xscale("log")
            each.set_xlim(left, right)
        roof.text(ridge / 1.1, peak * left / ridge * 1.5, f"ridge: {ridge:.0f} FLOPs per byte", fontsize=9, ha="right")
        return figure


def bars(
    values: Mapping[str, float], xlabel: str, form: str = "{:.3g}", doubt: tuple[float, float] | None = None
) -> Figure:
    """Draw one bar for each value, from top to bottom, with its number.

    Args:
        values: label -> value.
        xlabel: what they are, with the unit.
        form: of the numbers.
        doubt: lowest and highest value of repeated measurements, shaded: what lies inside is no difference.
    """
    with style():
        figure, (axes,) = new_figure(7.2, 0.8 + 0.36 * len(values))
        rows = range(len(values))
        axes.barh(rows, list(values.values()), color=COLORS["sky"], height=0.66)
        if doubt is not None:
            axes.axvspan(*doubt, color=COLORS["orange"], alpha=0.35, lw=0)
        for row, value in zip(rows, values.values(), strict=True):
            axes.annotate(form.format(value), (value, row), (4, 0), textcoords="offset points", va="center", fontsize=9)
        axes.set_yticks(rows, list(values))
        axes.invert_yaxis()
        axes.set_xlim(0, 1.12 * max(values.values()))
        axes.set_xlabel(xlabel)
        axes.grid(axis="y", visible=False)
        return figure
