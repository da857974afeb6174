"""The figures of chapter 7: what a sampler leaves of a row of probabilities."""

from collections.abc import Mapping, Sequence
from itertools import cycle

from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from cs336_lib.figures.style import COLORS, new_figure, style
from cs336_lib.figures.tokens import visible


def next_token(rows: Mapping[str, Sequence[float]], vocab: Mapping[int, bytes], prompt: str, most: int = 12) -> Figure:
    """Draw the likeliest next tokens under several settings, one panel each, in the order of the first.

    Args:
        rows: setting -> probability of each id.
        vocab: id -> bytes.
        prompt: what comes before; it is the title.
        most: tokens to show.
    """
    first = next(iter(rows.values()))
    ids = sorted(range(len(first)), key=lambda i: -first[i])[:most]
    top = max(max(row) for row in rows.values())
    with style():
        figure, panels = new_figure(7.2, 3.4, columns=len(rows))
        for axes, (name, row), color in zip(panels, rows.items(), cycle(COLORS.values()), strict=False):
            axes.barh(range(len(ids)), [row[i] for i in ids], color=color)
            rest = 1 - sum(row[i] for i in ids)
            axes.set_title(name, fontsize=9.5)
            axes.text(0.97, 0.03, f"others: {max(rest, 0):.0%}", transform=axes.transAxes, ha="right", fontsize=8)
            axes.set_yticks(range(len(ids)), [visible(vocab[i]) for i in ids], family="monospace", fontsize=8)
            axes.tick_params(labelleft=axes is panels[0], axis="y", length=0)
            axes.set_xlim(0, 1.05 * top)
            axes.invert_yaxis()
            axes.grid(axis="y", visible=False)
        figure.suptitle(f'after "{prompt}"', fontsize=10)
        figure.supxlabel("probability", fontsize=10)
        return figure


def nucleus_sizes(tokens: Sequence[bytes], sizes: Sequence[int]) -> Figure:
    """Draw how many tokens the nucleus has, under the token that came there.

    Args:
        tokens: the text, token by token.
        sizes: how many candidates there were for each.
    """
    with style():
        figure, (axes,) = new_figure(7.2, 3.0)
        axes.bar(range(len(sizes)), sizes, color=COLORS["blue"])
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 5.0)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.set_xticks(range(len(tokens)), [visible(token) for token in tokens], rotation=90, fontsize=6.5)
        axes.set_xlim(-1, len(tokens))
        axes.set_ylabel("tokens in the nucleus")
        axes.grid(axis="x", visible=False)
        return figure
