"""Nine instruments that a reader can operate: the same modules in the rendered book and in a live notebook.

`display` puts one into a page. In a live notebook (JupyterLab, Colab) it is an anywidget; in the book's stored outputs
it is an empty place with a name, which `_static/instruments/boot.js` brings to life, from any folder and offline.

    web/       ES modules without a build step: a pure half (no page, run in node by the tests) and a drawing half
    bundle     modules -> one classic script for pages (file:// allows no imports) or one module for anywidget
    data       what instruments show, made by the library: tokenizers, accounting presets, run records
    data/      what can't be made again in a moment: GPT-2's merges and the weights of a small model
    widget     the anywidget

Nothing is counted twice: the numbers of the pure halves are held to the library's by tests/instruments.
"""

from __future__ import annotations

from cs336_lib.figures.instruments.catalogue import INSTRUMENTS, Instrument
from cs336_lib.figures.instruments.widget import display

__all__ = ["INSTRUMENTS", "Instrument", "display"]
