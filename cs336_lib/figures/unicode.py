"""The figures of chapter 1: what characters cost in bytes, how UTF-8 is built, what it survives, what it forbids."""

from collections.abc import Mapping, Sequence
from itertools import cycle

import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Patch

from cs336_lib.bpe.utf8 import Verdict, sequence_length
from cs336_lib.figures.style import COLORS, FAINT, INK, PAPER, new_figure, style

ENCODING_COLORS = {"UTF-8": COLORS["blue"], "UTF-16": COLORS["orange"], "UTF-32": COLORS["green"]}

VERDICT_COLORS = {
    Verdict.TEXT: "#7cc4a4",
    Verdict.TRUNCATED: "#f3e08c",
    Verdict.STRAY_CONTINUATION: "#b9bcc4",
    Verdict.MISSING_CONTINUATION: "#8fb8de",
    Verdict.OVERLONG: "#d55e00",
    Verdict.SURROGATE: "#aa4499",
    Verdict.BEYOND_UNICODE: "#222831",
    Verdict.UNUSED_BYTE: "#e3a18f",
}


def bytes_per_character(sizes: Mapping[str, Mapping[str, float]]) -> Figure:
    """Draw bytes per code point as grouped bars.

    Args:
        sizes: script -> encoding name ("UTF-8", "UTF-16", "UTF-32") -> bytes per code point.
    """
    with style():
        figure, (axes,) = new_figure(7.2, 4.6)
        scripts = list(sizes)
        rows = np.arange(len(scripts))
        for offset, (name, color) in enumerate(ENCODING_COLORS.items()):
            values = [sizes[script][name] for script in scripts]
            bars = axes.barh(rows + (offset - 1) * 0.27, values, height=0.25, color=color, label=name)
            axes.bar_label(bars, fmt="%.2f", padding=2, fontsize=7.5)
        axes.set_yticks(rows, scripts)
        axes.invert_yaxis()
        axes.set_xlim(0, 4.6)
        axes.set_xlabel("bytes per code point")
        axes.grid(axis="y", visible=False)
        axes.legend(loc="upper center", ncols=3, bbox_to_anchor=(0.5, 1.1))
        return figure


def utf8_bits(characters: Sequence[tuple[str, str]]) -> Figure:
    """Draw the bytes of each character as eight boxes: which bits mark the form, which carry the code point.

    Args:
        characters: (label, character) pairs, one row each. Labels are drawn, characters are not: fonts differ.
    """
    with style():
        figure, (axes,) = new_figure(7.2, 0.62 * len(characters) + 0.9)
        for row, (label, character) in enumerate(characters):
            encoded = character.encode()
            axes.text(-0.4, row, f"{label}\nU+{ord(character):04X}", ha="right", va="center", fontsize=9)
            for index, byte in enumerate(encoded):
                marker = 2 if index else {1: 1, 2: 3, 3: 4, 4: 5}[sequence_length(byte)]
                for bit in range(8):
                    is_marker = bit < marker
                    color = COLORS["orange"] if is_marker and not index else COLORS["sky"] if is_marker else "#ffffff"
                    left = index * 9.2 + bit
                    box = FancyBboxPatch(
                        (left + 0.06, row - 0.36),
                        0.88,
                        0.72,
                        boxstyle="round,pad=0,rounding_size=0.12",
                        fc=color,
                        ec=INK,
                        lw=0.7,
                    )
                    axes.add_patch(box)
                    axes.text(
                        left + 0.5,
                        row,
                        str(byte >> (7 - bit) & 1),
                        ha="center",
                        va="center",
                        fontsize=9,
                        family="monospace",
                    )
        axes.set_xlim(-5.2, 36.8)
        axes.set_ylim(len(characters) - 0.4, -0.6)
        axes.axis("off")
        handles = [
            Patch(fc=COLORS["orange"], ec=INK, label="lead byte: how many bytes"),
            Patch(fc=COLORS["sky"], ec=INK, label="continuation byte: 10"),
            Patch(fc="#ffffff", ec=INK, label="bits of the code point"),
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=9)
        return figure


def damage(survival: Mapping[str, Sequence[bool]]) -> Figure:
    """Draw which characters of a text still decode to themselves after one byte got lost.

    Args:
        survival: encoding name -> for each character, whether it survived.
    """
    with style():
        figure, (axes,) = new_figure(7.2, 0.5 * len(survival) + 0.9)
        grid = np.array([list(map(int, row)) for row in survival.values()])
        axes.imshow(grid, aspect="auto", cmap=ListedColormap([COLORS["red"], "#7cc4a4"]), vmin=0, vmax=1)
        axes.set_yticks(
            range(len(survival)), [f"{name}: {sum(row)} of {len(row)} left" for name, row in survival.items()]
        )
        axes.set_xticks(np.arange(-0.5, grid.shape[1]), minor=True)
        axes.set_yticks(np.arange(-0.5, grid.shape[0]), minor=True)
        axes.grid(visible=False)
        axes.grid(which="minor", color=PAPER, linewidth=1.5)
        axes.tick_params(which="both", length=0)
        axes.set_xlabel("character of the text, from left to right (green: survived, red: lost or changed)")
        axes.spines[:].set_visible(False)
        return figure


def two_byte_sequences(verdicts: np.ndarray) -> Figure:
    """Draw all 65,536 two-byte sequences, colored by what a UTF-8 decoder makes of them.

    Args:
        verdicts: (256, 256) array; entry [a, b] is the position in `list(Verdict)` of the verdict on bytes a, b.
    """
    members = list(Verdict)
    counts = np.bincount(verdicts.ravel(), minlength=len(members))
    with style():
        figure, (axes,) = new_figure(7.2, 5.9)
        axes.imshow(
            verdicts, cmap=ListedColormap([VERDICT_COLORS[m] for m in members]), vmin=-0.5, vmax=len(members) - 0.5
        )
        ticks = [0x00, 0x20, 0x40, 0x60, 0x80, 0xA0, 0xC0, 0xE0, 0xFF]
        axes.set_xticks(ticks, [f"{tick:02X}" for tick in ticks])
        axes.set_yticks(ticks, [f"{tick:02X}" for tick in ticks])
        axes.set_xlabel("second byte")
        axes.set_ylabel("first byte")
        axes.grid(visible=False)
        handles = [
            Patch(fc=VERDICT_COLORS[member], ec=FAINT, label=f"{count:,}  {member.value}")
            for member, count in zip(members, counts, strict=True)
            if count
        ]
        figure.legend(handles=handles, loc="outside lower center", fontsize=8.5, ncols=2)
        return figure


def alphabet_trade_off(points: Mapping[str, tuple[int, float]]) -> Figure:
    """Draw alphabet size against sequence length: what each choice of basic symbols costs.

    Args:
        points: name -> (number of symbols, symbols per character of the sample text).
    """
    with style():
        figure, (axes,) = new_figure(7.2, 3.4)
        for color, (name, (symbols, length)) in zip(cycle(COLORS.values()), points.items(), strict=False):
            axes.plot(symbols, length, "o", ms=9, color=color)
            axes.annotate(name, (symbols, length), xytext=(0, 10), textcoords="offset points", fontsize=9, ha="center")
        axes.set_xscale("log")
        axes.set_xlim(20, 1e7)
        longest = max(length for _, length in points.values())
        axes.set_ylim(0, longest * 1.25)
        axes.set_xlabel("symbols that the model must know (log scale)")
        axes.set_ylabel("symbols per character")
        return figure
