"""Texts as rows of colored boxes, one per token: what a tokenizer makes of them.

`token_rows` draws a picture; `token_spans` writes the same as text, which wraps on a phone and can be copied.
"""

import unicodedata
from collections.abc import Mapping, Sequence
from html import escape
from types import MappingProxyType

from IPython.display import HTML
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from cs336_lib.figures.style import FAINT, INK, PAPER, new_figure, style

SHADES = ("#bcd9ea", "#f6dfa8", "#b9e0d0", "#f2c6ae", "#e0c3de", "#d8dbe0")
_CHARACTER = 0.098
"""Width of a character of the monospaced font, in inches."""


def visible(token: bytes) -> str:
    r"""Write a token so that spaces, line ends, other control characters and bytes that are no text can be seen.

    >>> visible(b" cat"), visible(b"\r\n"), visible(b"\xe4\xbd")
    ('␣cat', '<0D>⏎', '<E4><BD>')
    """
    try:
        text = token.decode()
    except UnicodeDecodeError:
        return _in_hex(token)
    signs = {" ": "␣", "\n": "⏎", "\t": "⇥"}
    return "".join(signs.get(c) or (_in_hex(c.encode()) if unicodedata.category(c) == "Cc" else c) for c in text)


def _in_hex(data: bytes) -> str:
    return "".join(f"<{byte:02X}>" for byte in data)


def spans(tokens: Sequence[bytes]) -> str:
    """Write tokens as boxes in HTML.

    >>> spans([b" a"]).count("␣a</span>")
    1
    """
    look = "display:inline-block;font-family:monospace;line-height:1.5;border-radius:4px;margin:1px 0;padding:0 1px"
    return "<wbr>".join(
        f'<span style="{look};background:{SHADES[number % len(SHADES)]};border:1px solid {INK}">'
        f"{escape(visible(token))}</span>"
        for number, token in enumerate(tokens)
    )


def card(content: str) -> HTML:
    """Lay HTML on the paper-colored card that figures have, light pages and dark ones alike."""
    look = f"background:{PAPER};color:{INK};border-radius:8px;padding:.5rem .8rem;overflow-x:auto"
    return HTML(f'<div class="tokens" style="{look}">{content}</div>')


def token_spans(rows: Mapping[str, Sequence[bytes]]) -> HTML:
    """Write each row's tokens as boxes that wrap where the page ends.

    Args:
        rows: label -> the tokens of a text.

    >>> token_spans({"two tokens": [b"a", b" b"]}).data.count("<wbr>")
    1
    """
    look = f"border-bottom:1px solid {FAINT};padding:.3rem 0"
    return card(
        "".join(
            f'<div style="{look}"><div style="font-size:.85em">{escape(label)}</div>{spans(tokens)}</div>'
            for label, tokens in rows.items()
        )
    )


def token_rows(
    rows: Mapping[str, Sequence[bytes]],
    width: int = 78,
    *,
    offset: Mapping[str, bytes] = MappingProxyType({}),
    by_token: bool = False,
) -> Figure:
    """Draw each row's tokens as boxes; rows longer than the page go on in the next line.

    Args:
        rows: label -> the tokens of a text.
        width: characters in a line.
        offset: label -> a token whose width is left free before the row.
        by_token: give equal tokens equal colors; otherwise colors alternate along a row.
    """
    colors: dict[bytes, int] = {}
    lines: list[tuple[str, list[tuple[int, str, int]]]] = []
    for label, tokens in rows.items():
        line: list[tuple[int, str, int]] = []
        at = len(visible(offset[label])) if label in offset else 0
        for place, token in enumerate(tokens):
            number = colors.setdefault(token, len(colors)) if by_token else place
            text = visible(token)
            if at + len(text) > width and line:
                lines.append((label, line))
                label, line, at = "", [], 0
            line.append((at, text, number))
            at += len(text)
        lines.append((label, line))
    margin = max(len(label) for label in rows) + 2
    width = max(at + len(text) for _, line in lines for at, text, _ in line[-1:])
    with style():
        figure, (axes,) = new_figure((width + margin) * _CHARACTER, 0.3 * len(lines) + 0.1)
        for row, (label, line) in enumerate(lines):
            axes.text(-1, row, label, ha="right", va="center", fontsize=9)
            for at, text, number in line:
                shade = SHADES[number % len(SHADES)]
                look = "round,pad=0,rounding_size=0.2"
                axes.add_patch(
                    FancyBboxPatch(
                        (at + 0.06, row - 0.36), len(text) - 0.12, 0.72, boxstyle=look, fc=shade, ec=INK, lw=0.4
                    )
                )
                written = axes.text(at + len(text) / 2, row, text, family="monospace", fontsize=8.5)
                written.set(ha="center", va="center", parse_math=False)  # "$$" is a token, not a formula
        axes.set_xlim(-margin, width)
        axes.set_ylim(len(lines) - 0.4, -0.6)
        axes.axis("off")
        return figure
