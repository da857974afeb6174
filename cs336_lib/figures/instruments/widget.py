"""An instrument in a notebook: an anywidget where the notebook is live, its place in the page where it is stored."""

from __future__ import annotations

import os
from typing import Any

from cs336_lib.figures.instruments.catalogue import INSTRUMENTS, Instrument

SETTING = "CS336_INSTRUMENTS"
"""Environment variable: "static" for outputs that are stored (tools and tests set it), unset for anywidget."""


class Place:
    """The output of a cell that shows an instrument: HTML that the book's script brings to life.

    Args:
        instrument: which one.
        html: its place in the page.
        hint: a line to add for the reader of a live notebook.
    """

    def __init__(self, instrument: Instrument, html: str, hint: str = "") -> None:
        self.instrument, self.html, self.hint = instrument, html, hint

    def __repr__(self) -> str:
        return f"<instrument: {self.instrument.title}>{self.hint and ' ' + self.hint}"

    def _repr_html_(self) -> str:
        return self.html + (f"<p>{self.hint}</p>" if self.hint else "")


def display(name: str, **options: str) -> Any:
    """Return an instrument to display: the last expression of a cell.

    Args:
        name: one of `INSTRUMENTS`.
        options: what is set at first, such as `suite="leaderboard"` for "runs".

    Returns:
        An anywidget in a live notebook; the place of the instrument in the page where outputs are stored, or where
        anywidget is not installed.

    Raises:
        ValueError: there is no such instrument or option; the error lists those there are.

    >>> display("unicorn")
    Traceback (most recent call last):
    ValueError: no instrument 'unicorn'; there are: unicode, bpe, tokenizer, rope, ..., runs, cluster
    """
    if name not in INSTRUMENTS:
        raise ValueError(f"no instrument {name!r}; there are: {', '.join(INSTRUMENTS)}")
    instrument = INSTRUMENTS[name]
    html = instrument.html(**options)
    if os.environ.get(SETTING) == "static" or not _in_notebook():
        return Place(instrument, html)
    try:
        return _live(instrument, html)
    except ImportError:
        return Place(instrument, html, "To bring it to life here: pip install anywidget, then run the cell again.")


def _in_notebook() -> bool:
    """Whether a kernel runs this code."""
    try:
        from IPython.core.getipython import get_ipython
    except ImportError:
        return False
    return getattr(get_ipython(), "kernel", None) is not None


def _live(instrument: Instrument, html: str) -> Any:
    """The instrument as an anywidget; data goes over when the page asks for it."""
    import anywidget
    import traitlets

    from cs336_lib.figures.instruments import bundle
    from cs336_lib.figures.instruments.data import PAYLOADS

    class InstrumentWidget(anywidget.AnyWidget):
        _esm = bundle.widget_module(instrument.name)
        _css = bundle.styles()
        place = traitlets.Unicode(html).tag(sync=True)

    def answer(widget: Any, content: Any, buffers: Any) -> None:
        wanted = content.get("load") if isinstance(content, dict) else None
        if wanted in instrument.data:
            widget.send({"loaded": wanted, "payload": PAYLOADS[wanted]()})

    widget = InstrumentWidget()
    widget.on_msg(answer)
    return widget
