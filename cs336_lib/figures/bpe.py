"""The figures of chapters 2 and 3: what training costs, where its time goes, what vocabularies share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from cs336_lib.figures.style import COLORS, PAPER, legend_above, new_figure, style

_LEGEND = 5
"""The most stages that are explained in one line."""


def growth(sizes: Sequence[float], series: Mapping[str, Sequence[float]], xlabel: str, ylabel: str) -> Figure:
    """Draw quantities that grow with the input, on logarithmic axes, where a power law is a straight line.

    Args:
        sizes: of the input.
        series: name -> one value a size; shorter ones end earlier.
        xlabel: what `sizes` counts, with its unit.
        ylabel: what the series count, with its unit.
    """
    with style():
        figure, (axes,) = new_figure(7.2, 3.8)
        for name, values in series.items():
            axes.plot(sizes[: len(values)], values, "o-", ms=5, label=name)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlabel(xlabel)
        axes.set_ylabel(ylabel)
        legend_above(figure, axes)
        return figure


def work_per_merge(series: Mapping[str, Sequence[int]]) -> Figure:
    """Draw how many pairs each merge makes a trainer look at.

    Args:
        series: trainer -> pairs looked at, merge by merge.
    """
    with style():
        figure, (axes,) = new_figure(7.2, 3.4)
        for name, values in series.items():
            axes.plot(range(1, len(values) + 1), values, lw=1.2, label=f"{name}: {sum(values):,} in all")
        axes.set_yscale("log")
        axes.set_xlabel("merge")
        axes.set_ylabel("pairs looked at")
        legend_above(figure, axes)
        return figure


def ladders(series: Mapping[str, Sequence[int]], xlabel: str, ylabel: str) -> Figure:
    """Draw lengths in the order in which tokens were learned, each point with its number.

    Args:
        series: trainer -> length of each token.
        xlabel: what the order is of.
        ylabel: what the lengths count.
    """
    with style():
        figure, all_axes = new_figure(7.2, 3.2, columns=len(series))
        for axes, (name, lengths), color in zip(all_axes, series.items(), cycle(("blue", "red")), strict=False):
            axes.plot(range(1, len(lengths) + 1), lengths, "o-", color=COLORS[color], ms=5, lw=1)
            for at, length in enumerate(lengths, start=1):
                axes.annotate(str(length), (at, length), (0, 5), textcoords="offset points", ha="center", fontsize=8)
            axes.set_title(name, fontsize=10.5)
            axes.set_xlabel(xlabel)
            axes.set_ylim(0, 1.15 * max(map(max, series.values())))
        all_axes[0].set_ylabel(ylabel)
        return figure


@dataclass(frozen=True)
class Frame:
    """A function in a profile: its name, its seconds with all that it calls, and what it calls."""

    name: str
    seconds: float
    children: tuple["Frame", ...] = ()


def _together(frames: Sequence[Frame]) -> list[Frame]:
    """Make one frame of those with the same name, the longest first."""
    names = dict.fromkeys(frame.name for frame in frames)
    groups = [[frame for frame in frames if frame.name == name] for name in names]
    merged = [
        Frame(group[0].name, sum(f.seconds for f in group), tuple(child for f in group for child in f.children))
        for group in groups
    ]
    return sorted(merged, key=lambda frame: -frame.seconds)


def flame_graph(root: Frame, smallest: float = 0.01) -> Figure:
    """Draw a profile: width is time, and each function lies on the one that called it.

    Calls of one function by the same caller are one box; the longest stands left.

    Args:
        root: of the profile.
        smallest: parts of the whole below this are not drawn.
    """
    boxes: list[tuple[int, float, Frame]] = []

    def place(frame: Frame, depth: int, left: float) -> None:
        if frame.seconds < smallest * root.seconds:
            return
        boxes.append((depth, left, frame))
        for child in _together(frame.children):
            place(child, depth + 1, left)
            left += child.seconds

    place(root, 0, 0.0)
    palette = [COLORS[name] for name in ("orange", "yellow", "red", "sky", "green", "purple")]
    depth_of_all = max(depth for depth, _, _ in boxes)
    with style():
        figure, (axes,) = new_figure(7.2, 0.42 * depth_of_all + 1.2)
        for depth, left, frame in boxes:
            color = palette[sum(frame.name.encode()) % len(palette)]
            axes.add_patch(Rectangle((left, depth), frame.seconds, 0.94, fc=color, ec=PAPER, alpha=0.75))
            share = frame.seconds / root.seconds
            for label in (f"{frame.name} {share:.0%}", frame.name):
                if len(label) <= 90 * share:
                    axes.text(left + frame.seconds / 2, depth + 0.47, label, ha="center", va="center", fontsize=8)
                    break
        axes.set_xlim(0, root.seconds)
        axes.set_ylim(0, depth_of_all + 1)
        axes.set_xlabel("seconds")
        axes.set_yticks([])
        axes.grid(visible=False)
        return figure


def stages(series: Mapping[str, Mapping[str, float]], unit: str = "seconds") -> Figure:
    """Draw where the time of several runs goes, as stacked bars.

    Args:
        series: run -> stage -> time.
        unit: of the time.

    Raises:
        ValueError: there are more stages than colors.
    """
    names = list(dict.fromkeys(stage for run in series.values() for stage in run))
    if len(names) > len(COLORS):
        raise ValueError(f"{len(names)} stages, but only {len(COLORS)} colors that stay apart: put some together")
    with style():
        figure, (axes,) = new_figure(7.2, 0.55 * len(series) + 1.3)
        left = [0.0] * len(series)
        for color, name in zip(cycle(COLORS.values()), names, strict=False):
            widths = [run.get(name, 0.0) for run in series.values()]
            axes.barh(range(len(series)), widths, left=left, color=color, label=name, height=0.6)
            left = [a + b for a, b in zip(left, widths, strict=True)]
        axes.set_yticks(range(len(series)), list(series))
        axes.invert_yaxis()
        axes.set_xlabel(unit)
        axes.grid(axis="y", visible=False)
        columns = len(names) if len(names) <= _LEGEND else (len(names) + 1) // 2
        rows = -(-len(names) // columns)
        axes.legend(loc="upper center", ncols=columns, bbox_to_anchor=(0.5, 1.0 + 0.5 * rows / len(series)))
        return figure


def compression(ratios: Mapping[str, Mapping[str, Sequence[float]]]) -> Figure:
    """Draw bytes per token, document by document, with the mean of each group.

    Args:
        ratios: tokenizer -> kind of text -> bytes per token of each document.
    """
    kinds = list(dict.fromkeys(kind for groups in ratios.values() for kind in groups))
    named: set[str] = set()
    with style():
        figure, (axes,) = new_figure(7.2, 3.6)
        for place, groups in enumerate(ratios.values()):
            for color, kind in zip(cycle(COLORS.values()), kinds, strict=False):
                values = groups.get(kind, ())
                if not values:
                    continue
                left = place + (kinds.index(kind) - (len(kinds) - 1) / 2) * 0.42
                spread = [left + 0.09 * ((7 * i) % 11 / 5 - 1) for i in range(len(values))]
                axes.plot(spread, values, "o", ms=5, color=color, alpha=0.55, label=kind if kind not in named else None)
                named.add(kind)
                mean = sum(values) / len(values)
                axes.plot([left - 0.12, left + 0.12], [mean, mean], color=color, lw=3)
                axes.annotate(f"{mean:.2f}", (left + 0.14, mean), fontsize=8.5, va="center")
        axes.set_xticks(range(len(ratios)), [f"{name} tokenizer" for name in ratios])
        axes.set_xlim(-0.6, len(ratios) - 0.4)
        axes.set_ylim(bottom=0)
        axes.set_ylabel("bytes per token")
        axes.grid(axis="x", visible=False)
        legend_above(figure, axes, title="text")
        return figure
