"""The figures of chapter 5: where FLOPs go, when attention takes over, which batch fits, what waits for memory."""

import math
from collections.abc import Iterable, Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from cs336_lib.accounting import GB, GIB, Breakdown, Device, RooflinePoint, crossing_context, forward_flops
from cs336_lib.figures.style import COLORS, INK, PAPER, new_figure, style
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
    """Draw breakdowns as stacked bars of equal height, each part labelled with its percentage.

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


def shares_by_context(cfg: ModelConfig, context_lengths: Sequence[int]) -> Figure:
    """Draw the shares of a forward pass at several context lengths, and where scores overtake the FFN.

    Args:
        cfg: the model.
        context_lengths: S of each bar, in tokens.
    """
    with style():
        figure, (axes,) = new_figure(7.2, 4.2)
        flops = [forward_flops(cfg, context_length) for context_length in context_lengths]
        _stack(axes, [math.log2(length) for length in context_lengths], flops, width=0.44)
        axes.set_xticks([math.log2(length) for length in context_lengths], [f"{s:,}" for s in context_lengths])
        axes.tick_params(axis="x", labelsize=8.5)
        crossing = crossing_context(cfg)
        axes.axvline(math.log2(crossing), color=INK, ls="--", lw=1.3)
        axes.text(math.log2(crossing) + 0.08, 1.02, f"scores overtake the FFN at {crossing:,}", fontsize=9.5)
        axes.set_xlabel("context length, tokens")
        _legend(figure, flops)
        return figure


def _stack(axes: Axes, positions: Sequence[float], bars: Sequence[Breakdown], width: float) -> None:
    bottoms = [0.0] * len(bars)
    for component, color in COMPONENT_COLORS.items():
        shares = [bar.share(component) for bar in bars]
        axes.bar(positions, shares, width, bottoms, color=color, edgecolor=PAPER, lw=0.8)
        for x, share, bottom in zip(positions, shares, bottoms, strict=True):
            if share >= SMALLEST_LABEL:
                axes.text(x, bottom + share / 2, f"{100 * share:.1f}", ha="center", va="center", fontsize=8)
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
        for (label, values), color in zip(curves.items(), COLORS.values(), strict=False):
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
        axes.legend(loc="upper left")
        return figure


MARKERS = "osD^v"


def roofline(situations: Mapping[str, Sequence[RooflinePoint]], device: Device, dtype: str = "bfloat16") -> Figure:
    """Draw a device's roof, and each component of each situation at its intensity.

    Args:
        situations: label -> points; each label gets a marker, each component its colour.
        device: the one that the points were made for.
        dtype: theirs.
    """
    peak, ridge = device.peak(dtype) / 1e12, device.peak(dtype) / device.bandwidth
    points = [point for several in situations.values() for point in several]
    left = min(0.5, *(point.intensity / 2 for point in points))
    right = max(4 * ridge, *(2 * point.intensity for point in points))
    with style():
        figure, (axes,) = new_figure(7.2, 4.2)
        axes.plot([left, ridge, right], [peak * left / ridge, peak, peak], color=INK)
        axes.axvline(ridge, color=INK, ls=":", lw=1)
        axes.text(ridge, peak * left / ridge * 1.1, f" ridge: {ridge:.0f} FLOPs a byte", fontsize=9)
        for (label, several), marker in zip(situations.items(), MARKERS, strict=False):
            axes.plot([], [], marker, color=INK, mfc=PAPER, ms=8, label=label)
            for point in several:
                color = COMPONENT_COLORS[point.component]
                axes.plot(
                    point.intensity, point.attainable / 1e12, marker, color=color, ms=9, mec=INK, mew=0.7, zorder=3
                )
        for component in dict.fromkeys(point.component for point in points):
            axes.plot([], [], "s", color=COMPONENT_COLORS[component], label=component.replace("_", " "))
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlim(left, right)
        axes.set_xlabel("arithmetic intensity, FLOPs a byte")
        axes.set_ylabel(f"attainable, TFLOP/s ({dtype})")
        axes.set_title(device.name)
        axes.legend(loc="upper left", fontsize=8.5)
        return figure
