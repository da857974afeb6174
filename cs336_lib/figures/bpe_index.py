"""The index of an incremental trainer, written out state by state: words, pairs with their where-lists, and the queue.

Chapter 2 steps through it on a sentence. It is HTML and no picture, so that it wraps on a phone and can be copied.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from IPython.display import HTML

from cs336_lib.figures.style import COLORS, FAINT, INK
from cs336_lib.figures.tokens import card, spans, visible

Pair = tuple[bytes, bytes]
MARK = "#f6dfa8"
"""Behind what the last merge has changed."""


@dataclass(frozen=True)
class IndexState:
    """What a trainer knows between two merges.

    Attributes:
        title: which merge has just been made.
        words: the tokens of each word, and how often it occurs.
        pairs: pair -> how often it occurs, and the numbers of the words that it is in.
        queue: candidates as (count, pair), the next one first; those whose count is no longer true are still there.
    """

    title: str
    words: Sequence[tuple[Sequence[bytes], int]]
    pairs: Mapping[Pair, tuple[int, Sequence[int]]]
    queue: Sequence[tuple[int, Pair]]


def index_states(states: Sequence[IndexState], most: int = 6) -> HTML:
    """Write states one below the other; what changed since the one before is marked, stale candidates are struck out.

    Args:
        states: in order.
        most: pairs and candidates of each that are shown, the most frequent ones.

    >>> state = IndexState("start", [([b"a", b"b"], 2)], {(b"a", b"b"): (2, [0])}, [(2, (b"a", b"b"))])
    >>> index_states([state]).data.count("a + b")
    2
    """
    blocks = []
    for before, state in zip([None, *states], states, strict=False):
        columns = [_words(state, before), _pairs(state, before, most), _queue(state, most)]
        blocks.append(
            f'<div style="border-bottom:1px solid {FAINT};padding:.4rem 0"><b>{escape(state.title)}</b>'
            f'<div style="display:flex;flex-wrap:wrap;gap:.4rem 1.6rem">{"".join(columns)}</div></div>'
        )
    return card("".join(blocks))


def _column(title: str, rows: Sequence[Sequence[str]], marked: Sequence[bool]) -> str:
    """Return a small table under a title; marked rows stand out."""
    cell = "padding:0 .5rem 0 0;border:0;text-align:left;white-space:nowrap"
    lines = "".join(
        f'<tr style="background:{MARK if mark else "none"};color:{INK}">'
        + "".join(f'<td style="{cell}">{each}</td>' for each in row)
        + "</tr>"
        for row, mark in zip(rows, marked, strict=True)
    )
    return (
        f'<div><div style="font-size:.85em">{title}</div>'
        f'<table style="display:table;margin:0;width:auto;font-size:.82em;border:0">{lines}</table></div>'
    )


def _words(state: IndexState, before: IndexState | None) -> str:
    rows = [
        [str(number), f"{count}&nbsp;×", spans(tokens)]  # noqa: RUF001
        for number, (tokens, count) in enumerate(state.words)
    ]
    changed = [
        before is not None and list(before.words[at][0]) != list(tokens) for at, (tokens, _) in enumerate(state.words)
    ]
    return _column("words: number, times, tokens", rows, changed)


def _pairs(state: IndexState, before: IndexState | None, most: int) -> str:
    best = sorted(state.pairs, key=lambda pair: (state.pairs[pair][0], pair), reverse=True)
    best = [pair for pair in best if state.pairs[pair][0] > 0][:most]
    rows = [[_name(pair), f"<b>{state.pairs[pair][0]}</b>", f"in {_list(state.pairs[pair][1])}"] for pair in best]
    changed = [before is not None and before.pairs.get(pair) != state.pairs[pair] for pair in best]
    return _column("pairs: count, and where", rows, changed)


def _queue(state: IndexState, most: int) -> str:
    rows = []
    for count, pair in state.queue[:most]:
        said = f"{count} {_name(pair)}"
        stale = count != state.pairs.get(pair, (0, ()))[0]
        rows.append([f'<s style="color:{COLORS["red"]}">{said}</s>' if stale else said])
    return _column("queue, the next one first", rows, [False] * len(rows))


def _name(pair: Pair) -> str:
    return f'<span style="font-family:monospace">{escape(f"{visible(pair[0])} + {visible(pair[1])}")}</span>'


def _list(numbers: Sequence[int]) -> str:
    return "words " + ", ".join(map(str, sorted(numbers))) if len(numbers) != 1 else f"word {numbers[0]}"
