"""The figures of chapter 9: blocks, the residual stream by depth, gradients, and pairs of runs that share a seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from cs336_lib.figures.experiments import Curve
from cs336_lib.figures.style import COLORS, INK, legend_above, new_figure, style

BLOCKS = {
    "pre-norm": ("norm", "attention", "+", "norm", "feed-forward", "+"),
    "post-norm": ("attention", "+", "norm", "feed-forward", "+", "norm"),
    "no norm": ("attention", "+", "feed-forward", "+"),
}
"""What a block is made of, from below; a "+" adds what is under it, from where the stream was last untouched."""


def blocks() -> Figure:
    """Draw a block with the norm before the layers, after the sums, and without one, side by side."""
    with style():
        figure, panels = new_figure(7.2, 4.4, columns=len(BLOCKS))
        for axes, (title, parts) in zip(panels, BLOCKS.items(), strict=True):
            _block(axes, parts)
            axes.set_title(title, fontsize=10.5, loc="center")
        return figure


def _block(axes: Axes, parts: Sequence[str]) -> None:
    """Draw the parts of a block from below, the stream in the middle, and each path around a layer at its right."""
    left_at, top = 0.0, len(parts) + 0.6
    axes.plot([0, 0], [0, top], color=INK, lw=1.4, zorder=1)
    for place, part in enumerate(parts, start=1):
        if part == "+":
            axes.plot([0, 0.85, 0.85, 0], [left_at + 0.3, left_at + 0.3, place, place], color=COLORS["blue"], lw=2)
            axes.plot([0], [place], "o", ms=17, color="white", mec=INK, zorder=3)
            axes.text(0, place, "+", ha="center", va="center", zorder=4, fontsize=12)
            left_at = place
            continue
        if part == "norm" and parts[0] != "norm":  # it stands in the stream itself
            left_at = place + 0.3
        color = COLORS["orange"] if part == "norm" else "white"
        box = FancyBboxPatch((-0.55, place - 0.28), 1.1, 0.56, boxstyle="round,pad=0.02", fc=color, ec=INK, zorder=3)
        axes.add_patch(box)
        axes.text(0, place, part, ha="center", va="center", zorder=4, fontsize=9)
    axes.annotate("", (0, top + 0.2), (0, top - 0.2), arrowprops={"arrowstyle": "->", "color": INK})
    axes.set_xlim(-1.0, 1.2)
    axes.set_ylim(-0.2, 7.0)
    axes.axis("off")


def by_depth(sizes: Mapping[str, Sequence[float]]) -> Figure:
    """Draw the size of the residual stream after the embedding and after each block, on a logarithmic axis.

    Args:
        sizes: name -> root mean square of the stream, from the embedding on.
    """
    with style():
        figure, (axes,) = new_figure(7.2, 3.4)
        for color, (name, values) in zip(cycle(COLORS.values()), sizes.items(), strict=False):
            axes.plot(range(len(values)), values, "o-", ms=4, lw=1.4, color=color, label=name)
        depth = max(len(values) for values in sizes.values())
        axes.set_xticks(range(depth), ["embedding", *(f"block {n}" for n in range(1, depth))])
        axes.set_yscale("log")
        axes.set_ylabel("root mean square of the stream")
        legend_above(figure, axes)
        return figure


def gradient_norms(curves: Mapping[str, Curve], clip: float) -> Figure:
    """Draw the norm of the gradient before clipping against steps, on a logarithmic axis.

    Args:
        curves: run -> (steps, seconds, norms), as `experiments.curves_of(found, "grad_norm")` gives them; runs of the
            same name before a "#" share color and legend entry.
        clip: the norm that the gradient is clipped to.
    """
    with style():
        figure, (axes,) = new_figure(7.2, 3.2)
        colors = dict(
            zip(dict.fromkeys(name.partition("#")[0] for name in curves), cycle(COLORS.values()), strict=False)
        )
        unnamed = set(colors)
        for name, (steps, _, norms) in curves.items():
            group = name.partition("#")[0]
            axes.plot(steps, norms, lw=1.4, color=colors[group], label=group if group in unnamed else None)
            unnamed.discard(group)
        axes.axhline(clip, color=INK, ls=":", lw=1.2, label=f"clipped to {clip:g}")
        axes.set_yscale("log")
        axes.set_xlabel("step")
        axes.set_ylabel("gradient norm")
        legend_above(figure, axes)
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
