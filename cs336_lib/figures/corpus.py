"""The figures of a corpus: how long its documents are, and how often each of its tokens occurs (chapter 3)."""

from collections.abc import Mapping, Sequence
from itertools import cycle

import numpy as np
from matplotlib.figure import Figure

from cs336_lib.figures.style import COLORS, INK, legend_above, new_figure, style


def story_lengths(lengths: Mapping[str, Sequence[int]], unit: str = "words", bins: int = 40) -> Figure:
    """Draw how the lengths of documents are spread, one outline a corpus, with its median.

    Args:
        lengths: corpus -> length of each of its documents.
        unit: what lengths are counted in.
        bins: number of bars between the shortest and the longest document of all.

    Raises:
        ValueError: a corpus has no documents.
    """
    for name, values in lengths.items():
        if len(values) == 0:
            raise ValueError(f"the corpus {name!r} has no documents to draw")
    everything = np.concatenate([np.asarray(values) for values in lengths.values()])
    edges = np.histogram_bin_edges(everything, bins)
    with style():
        figure, (axes,) = new_figure(7.2, 3.4)
        for color, (name, values) in zip(cycle(COLORS.values()), lengths.items(), strict=False):
            share = np.histogram(values, edges)[0] / len(values)
            median = float(np.median(values))
            label = f"{name}: {len(values):,} documents, median {median:,.0f} {unit}"
            axes.stairs(share, edges, fill=True, color=color, alpha=0.3)
            axes.stairs(share, edges, color=color, lw=1.6, label=label)
            axes.axvline(median, color=color, lw=1.2, ls="--")
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
        axes.set_xlabel(f"length of a document in {unit}")
        axes.set_ylabel("share of the documents")
        legend_above(figure, axes)
        return figure


def token_frequencies(counts: Mapping[str, Sequence[int] | np.ndarray]) -> Figure:
    """Draw each token's frequency against its rank, on logarithmic axes, where Zipf's law is a line of slope -1.

    Args:
        counts: name -> how often each token occurs, in any order, as `numpy.bincount` of the ids gives it. Tokens that
            never occur are not drawn, but counted in the legend.

    Raises:
        ValueError: no token occurs at all.
    """
    with style():
        figure, (axes,) = new_figure(7.2, 4.0)
        top, least, longest = 0.0, 1.0, 1
        for color, (name, values) in zip(cycle(COLORS.values()), counts.items(), strict=False):
            found = np.sort(np.asarray(values, dtype=np.int64))[::-1]
            seen = found[found > 0]
            if len(seen) == 0:
                raise ValueError(f"no token of {name!r} occurs")
            share = seen / seen.sum()
            ranks = np.arange(1, len(seen) + 1)
            kept = _evenly_on_a_logarithm(len(seen))
            never = len(found) - len(seen)
            label = f"{name}: {len(seen):,} tokens" + (f", {never:,} more never occur" if never else "")
            axes.plot(ranks[kept], share[kept], color=color, label=label)
            top = max(top, float(share[0]))
            longest, least = max(longest, len(seen)), min(least, float(share[-1]))
        law = [1, longest], [top, top / longest]
        axes.plot(*law, color=INK, lw=1, ls=":", label="Zipf's law: share = c / rank")
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_ylim(least / 2, top * 2)
        axes.set_xlabel("rank of the token")
        axes.set_ylabel("share of all tokens")
        legend_above(figure, axes)
        return figure


def _evenly_on_a_logarithm(size: int, points: int = 2000) -> np.ndarray:
    """Indices of a long curve that look the same on a logarithmic axis and keep the figure small.

    >>> _evenly_on_a_logarithm(5).tolist(), len(_evenly_on_a_logarithm(10**6)) <= 2000
    ([0, 1, 2, 3, 4], True)
    """
    if size <= points:
        return np.arange(size)
    return np.unique(np.geomspace(1, size, points).astype(np.int64)) - 1
