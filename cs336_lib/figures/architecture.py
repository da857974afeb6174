"""The figures of chapter 4: signals through depth, norms, gates, rotations, attention, where the parameters are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Rectangle
from matplotlib.ticker import MaxNLocator

from cs336_lib.figures.style import COLORS, FAINT, INK, PAPER, new_figure, style

SEQUENTIAL = LinearSegmentedColormap.from_list("paper to blue", [PAPER, COLORS["sky"], COLORS["blue"], "#00304d"])
DIVERGING = LinearSegmentedColormap.from_list(
    "orange to blue", ["#7a3500", COLORS["red"], PAPER, COLORS["blue"], "#00304d"]
)

MASKED = "#e4e2da"
PART_COLORS = {"embedding and head": COLORS["sky"], "attention": COLORS["orange"], "feed-forward": COLORS["green"]}


@dataclass(frozen=True)
class Panel:
    """One set of axes with curves in it.

    Attributes:
        title: of the panel.
        xlabel: what goes to the right, with its unit.
        ylabel: what goes up, with its unit.
        x: the places that the curves are given at.
        curves: name -> one value for each place; shorter ones end earlier.
        log: "" for plain axes, "y" or "xy" for logarithmic ones.
    """

    title: str
    xlabel: str
    ylabel: str
    x: Sequence[float]
    curves: Mapping[str, Sequence[float]]
    log: str = ""


def curves(*panels: Panel, height: float = 3.4) -> Figure:
    """Draw panels of curves side by side; a curve has the same color in all of them, and one legend for all.

    Args:
        *panels: from left to right.
        height: in inches.
    """
    names = list(dict.fromkeys(name for panel in panels for name in panel.curves))
    roles = cycle(COLORS[role] for role in ("blue", "red", "green", "purple", "orange", "grey"))
    palette = dict(zip(names, roles, strict=False))
    with style():
        figure, all_axes = new_figure(7.2, height, columns=len(panels))
        handles = {}
        for axes, panel in zip(all_axes, panels, strict=True):
            for name, values in panel.curves.items():
                (handles[name],) = axes.plot(panel.x[: len(values)], values, color=palette[name], label=name)
            axes.set_xscale("log" if "x" in panel.log else "linear")
            axes.set_yscale("log" if "y" in panel.log else "linear")
            if "x" not in panel.log and all(float(place).is_integer() for place in panel.x):
                axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
            axes.set_title(panel.title, fontsize=10.5)
            axes.set_xlabel(panel.xlabel)
            axes.set_ylabel(panel.ylabel)
        figure.legend(handles.values(), handles.keys(), loc="outside upper center", ncols=min(len(names), 4))
        return figure


def clouds(points: Mapping[str, np.ndarray], radius: float) -> Figure:
    """Draw clouds of points in the plane side by side, each with the circle that a norm would put them on.

    Args:
        points: title -> (points, 2) array.
        radius: of the circle.
    """
    with style():
        figure, all_axes = new_figure(7.2, 2.9, columns=len(points))
        for axes, (title, cloud) in zip(all_axes, points.items(), strict=True):
            axes.add_patch(Circle((0, 0), radius, fc="none", ec=COLORS["red"], lw=1.2, ls="--"))
            direction = np.arctan2(cloud[:, 1], cloud[:, 0])
            axes.scatter(cloud[:, 0], cloud[:, 1], s=7, c=direction, cmap="twilight_shifted", linewidths=0)
            limit = max(1.4 * radius, float(np.quantile(np.abs(cloud), 0.99)))
            axes.set_xlim(-limit, limit)
            axes.set_ylim(-limit, limit)
            axes.set_aspect("equal")
            axes.set_title(title, fontsize=10.5)
            axes.set_xlabel("channel 0")
        all_axes[0].set_ylabel("channel 1")
        return figure


def maps(
    grids: Mapping[str, np.ndarray],
    xlabel: str,
    ylabel: str,
    scale: str,
    *,
    columns: int = 3,
    labels: Sequence[str] | None = None,
    extent: tuple[float, float, float, float] | None = None,
    diverging: bool = False,
) -> Figure:
    """Draw matrices as maps on one common scale; NaN is gray.

    Args:
        grids: title -> matrix, row 0 at the top.
        xlabel: what the columns are.
        ylabel: what the rows are.
        scale: what the colors mean, with its unit.
        columns: maps in a row of the figure.
        labels: one for each row and column, such as words; their numbers when None.
        extent: (left, right, bottom, top) when rows and columns are places in the plane; then row 0 is at the bottom.
        diverging: the scale is symmetric about zero; otherwise it starts at the smallest value.
    """
    largest = max(float(np.nanmax(np.abs(grid))) for grid in grids.values())
    smallest = -largest if diverging else min(0.0, *(float(np.nanmin(grid)) for grid in grids.values()))
    rows = -(-len(grids) // columns)
    beside, below = (0.65, 1.05) if labels else (0.35, 0.6)  # inches that ticks and labels take
    side = (6.3 - columns * beside) / columns
    with style():
        figure, all_axes = new_figure(7.2, rows * (side + below) + 0.15, rows, columns)
        for number, (axes, (title, grid)) in enumerate(zip(all_axes, grids.items(), strict=False)):
            image = axes.imshow(
                grid,
                cmap=(DIVERGING if diverging else SEQUENTIAL).with_extremes(bad=MASKED),
                vmin=smallest,
                vmax=largest,
                extent=extent,
                origin="lower" if extent else "upper",
                interpolation="nearest",
            )
            axes.set_title(title, fontsize=9.5)
            axes.grid(visible=False)
            if labels:
                axes.set_xticks(range(len(labels)), labels, rotation=90, fontsize=6.5)
                axes.set_yticks(range(len(labels)), labels, fontsize=6.5)
                axes.tick_params(length=0, pad=1.5)
            if number % columns == 0:
                axes.set_ylabel(ylabel)
            if number + columns >= len(grids):
                axes.set_xlabel(xlabel)
        for axes in all_axes[len(grids) :]:
            axes.set_visible(False)
        figure.colorbar(image, ax=all_axes, label=scale, shrink=0.8, aspect=28, pad=0.02)
        return figure


def _labels(places: np.ndarray, room: float = 0.25) -> dict[int, str]:
    """Name positions so that no two names lie on each other: of a run of close ones, the first and the last.

    >>> turn = np.arange(4) * 0.1
    >>> _labels(np.stack((np.cos(turn), np.sin(turn)), axis=1))
    {0: '0', 3: '3'}
    >>> _labels(np.ones((4, 2)))
    {0: '0-3'}
    """
    angles = np.unwrap(np.arctan2(places[:, 1], places[:, 0]))
    breaks = np.flatnonzero(np.abs(np.diff(angles)) >= room) + 1
    labels: dict[int, str] = {}
    for run in np.split(np.arange(len(places)), breaks):
        first, last = int(run[0]), int(run[-1])
        if first < last and abs(angles[last] - angles[first]) < room:
            labels[first] = f"{first}-{last}"
        else:
            labels.update({first: str(first), last: str(last)})
    return labels


def rotations(pairs: Mapping[str, np.ndarray]) -> Figure:
    """Draw how pairs of channels turn from position to position.

    Args:
        pairs: title -> (positions, 2) array, the pair at position 0, 1, 2, ...
    """
    with style():
        figure, all_axes = new_figure(7.2, 2.5, columns=len(pairs))
        for axes, (title, places) in zip(all_axes, pairs.items(), strict=True):
            radius = float(np.hypot(*places[0]))
            axes.add_patch(Circle((0, 0), radius, fc="none", ec=FAINT, lw=1.2))
            for position, (x, y) in reversed(list(enumerate(places))):
                shade = SEQUENTIAL(1 - 0.75 * position / max(1, len(places) - 1))
                axes.annotate("", (x, y), (0, 0), arrowprops={"arrowstyle": "-|>", "color": shade, "lw": 1.3})
            for position, text in _labels(places).items():
                x, y = 1.17 * places[position]
                axes.text(x, y, text, ha="center", va="center", fontsize=7.5)
            axes.set_xlim(-1.35 * radius, 1.35 * radius)
            axes.set_ylim(-1.35 * radius, 1.35 * radius)
            axes.set_aspect("equal")
            axes.set_title(title, fontsize=9.5, loc="center")
            axes.axis("off")
        return figure


def _part(name: str) -> str:
    if ".attn." in name:
        return "attention"
    return "feed-forward" if ".ffn." in name else "embedding and head"


def parameter_map(counts: Mapping[str, int]) -> Figure:
    """Draw a model as a rectangle in which every parameter has the same area, from the input on the left to the output.

    Each layer is a column and each matrix a box in it. Vectors are far too thin to be seen.

    Args:
        counts: name as in the state dict -> number of parameters.
    """
    groups: dict[str, dict[str, int]] = {}
    for name, count in counts.items():
        column = ".".join(name.split(".")[:2]) if name.startswith("layers.") else name.split(".")[0]
        groups.setdefault(column, {})[name] = count
    total = sum(counts.values())
    seen: set[str] = set()
    with style():
        figure, (axes,) = new_figure(7.2, 4.0)
        left = 0.0
        for column, members in groups.items():
            size = sum(members.values())
            width = size / total
            top = 1.0
            for name, count in members.items():
                part, height = _part(name), count / size
                top -= height
                label = part if part not in seen else None
                seen.add(part)
                axes.add_patch(
                    Rectangle((left, top), width, height, fc=PART_COLORS[part], ec=PAPER, lw=0.8, label=label)
                )
                if width > 0.06 and height > 0.04:
                    short = name.removesuffix(".weight").split(".")[-1].replace("token_", "").replace("_proj", "")
                    text = f"{short}\n{count:,}" if height > 0.09 else f"{short} {count:,}"
                    axes.text(left + width / 2, top + height / 2, text, ha="center", va="center", fontsize=6.5)
            if width > 0.03:
                axes.text(left + width / 2, 1.02, column.replace("token_", ""), ha="center", fontsize=7.5, color=INK)
            left += width
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1.06)
        axes.axis("off")
        figure.legend(loc="outside lower center", ncols=3, fontsize=9)
        return figure
