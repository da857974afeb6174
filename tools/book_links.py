"""A Sphinx extension: links to the book's own pages, absolute in the notebooks, become relative in the rendered book.

In Colab a notebook stands alone, so its links and its badge must name the whole address. The rendered book must work
from a folder without a network.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from address import Address

SUFFIX = {"notebooks": ".ipynb", "book": ".md"}


def relative(text: str, docname: str, pages: str) -> str:
    """Return the source of a page with relative links to other pages and to pictures of the book.

    Args:
        text: the source.
        docname: the page, "notebooks/01_unicode".
        pages: address of the rendered book.

    >>> relative("(https://x.io/b/notebooks/02_bpe.html#ties)", "notebooks/01_unicode", "https://x.io/b")
    '(02_bpe.ipynb#ties)'
    >>> relative("(https://x.io/b/_static/colab.svg)", "notebooks/01_unicode", "https://x.io/b")
    '(../book/_static/colab.svg)'
    """
    here = docname.split("/")[0]

    def page(found: re.Match[str]) -> str:
        folder, name = found[1], found[2]
        return (f"{name}" if folder == here else f"../{folder}/{name}") + SUFFIX[folder]

    text = re.sub(rf"{re.escape(pages)}/(notebooks|book)/([\w-]+)\.html", page, text)
    return text.replace(f"{pages}/_static/", "../book/_static/" if here != "book" else "_static/")


def setup(app: Any) -> dict[str, bool]:
    """Register with Sphinx."""
    pages = Address.of().pages

    def read(app: Any, docname: str, source: list[str]) -> None:
        source[0] = relative(source[0], docname, pages)

    app.connect("source-read", read)
    return {"parallel_read_safe": True}
