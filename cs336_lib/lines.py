"""Text as wide as the terminal that shows it."""

from __future__ import annotations

import shutil
import sys
import textwrap

WIDEST = 112
"""Longer lines are hard to read, however wide the terminal is."""
CELL = 92
"""Columns of what a notebook's cell prints: the same for everybody, so that outputs can be compared."""


def width() -> int:
    """Return the columns of the terminal, 80 where there is none to ask; COLUMNS decides where it is set.

    In a notebook it is `CELL`, whatever terminal started the kernel.
    """
    return CELL if in_notebook() else max(40, min(WIDEST, shutil.get_terminal_size().columns))


def in_notebook() -> bool:
    """Say whether this is the kernel of a notebook."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")


def wrapped(text: str, first: str = "", later: str | None = None) -> str:
    """Return a paragraph in lines that fit; words stay whole, however long, so that paths can be copied.

    Args:
        text: one paragraph; its line breaks and runs of spaces become single spaces.
        first: what its first line begins with.
        later: what the others begin with; as many spaces as `first` has letters when None.

    >>> print(wrapped("one " * 12, "a list: ").replace(" one", "1", 1))
    a list:1 one one one one one one one one one one one
    """
    rest = " " * len(first) if later is None else later
    wrapper = textwrap.TextWrapper(
        width(), initial_indent=first, subsequent_indent=rest, break_long_words=False, break_on_hyphens=False
    )
    return wrapper.fill(" ".join(text.split()))


def laid_out(text: str) -> str:
    r"""Wrap the paragraphs of a text; lines that begin with a space, as examples do, stay as they are.

    >>> print(laid_out("Say\nit.\n\nExamples:\n  cs336 runs\n  cs336 runs a"))
    Say it.
    <BLANKLINE>
    Examples:
      cs336 runs
      cs336 runs a
    """
    blocks: list[str] = []
    joins = False
    for line in text.strip().split("\n"):
        is_prose = bool(line) and not line.startswith(" ")
        if is_prose and joins:
            blocks[-1] += " " + line
        else:
            blocks.append(line)
        joins = is_prose
    return "\n".join(wrapped(block) if block and not block.startswith(" ") else block for block in blocks)
