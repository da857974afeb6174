"""A Sphinx extension: links to the book's own pages, absolute in the notebooks, become relative in the rendered book.

In Colab a notebook stands alone, so its links and its badge must name the whole address. The rendered book must work
from a folder without a network. On the page of claims each section becomes a link to its heading, and each test one to
its first line in the repository.
"""

from __future__ import annotations

import ast
import re
import sys
from functools import cache
from pathlib import Path
from typing import Any

from docutils.nodes import make_id

sys.path.insert(0, str(Path(__file__).resolve().parent))

from address import ROOT, Address

CLAIMS = "book/claims"
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


@cache
def lines(path: Path) -> dict[str, int]:
    """Return where each function of a file of tests begins."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name: node.lineno for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def heading(section: str, notebook: Path) -> str:
    """Return the anchor of the heading "## 1.4 ...", or of "### 1.4.2 ...", in the pair of a notebook.

    Raises:
        ValueError: there is no such heading.
    """
    source = notebook.with_suffix(".md").read_text(encoding="utf-8")
    found = re.search(rf"^##+ ({re.escape(section)}\b.*)$", source, re.MULTILINE)
    if found is None:
        raise ValueError(f"{CLAIMS}.md names section {section} of {notebook.name}, which has no such heading")
    return make_id(found[1].replace("`", ""))


def linked(text: str, repository: str, root: Path = ROOT) -> str:
    """Return the page of claims with a link for each section and each test.

    Args:
        text: its source.
        repository: "OWNER/NAME" on GitHub.
        root: where the notebooks and the tests are.

    Raises:
        ValueError: a section that is named is not there.
        KeyError: a test that is named is not there.
    """

    def sections(found: re.Match[str]) -> str:
        notebook = root / "notebooks" / Path(found[2]).name
        return ", ".join(f"[{one}]({found[2]}#{heading(one, notebook)})" for one in found[1].split(", "))

    def test(found: re.Match[str]) -> str:
        line = lines(root / found[1])[found[2]]
        return f"[{found[0]}](https://github.com/{repository}/blob/main/{found[1]}#L{line})"

    text = re.sub(r"\[(\d+\.\d+(?:, \d+\.\d+)*)\]\((\.\./notebooks/\w+\.ipynb)\)", sections, text)
    return re.sub(r"`(tests/[\w/]+\.py)::(\w+)(?:\[[^`]*\])?`", test, text)


def setup(app: Any) -> dict[str, bool]:
    """Register with Sphinx."""
    address = Address.of()

    def read(app: Any, docname: str, source: list[str]) -> None:
        source[0] = relative(source[0], docname, address.pages)
        if docname == CLAIMS:
            source[0] = linked(source[0], address.repository)

    app.connect("source-read", read)
    return {"parallel_read_safe": True}
