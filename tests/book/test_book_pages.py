"""What finishes the pages when they are written: links to sections, alternative texts, names of boxes and solutions."""

import doctest
import importlib
import re
import sys
from pathlib import Path

import pytest

from cs336_lib.check import sections

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def pages(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "tools")
    yield importlib.import_module("book_pages")
    for name in ("book_pages", "address"):
        sys.modules.pop(name, None)


def test_examples_of_the_docstrings(pages):
    found = doctest.testmod(pages)
    assert found.attempted >= 6 and not found.failed


def test_anchors_are_those_that_the_checker_points_to(pages):
    anchors = pages.section_anchors()
    for section in sections.TITLES:
        page, _, anchor = sections.address(section).rpartition("/")[2].partition("#")
        assert anchors[section] == (page.removesuffix(".html"), anchor)


def test_quiet_places_stay_as_they_are(pages):
    for text in ("<pre>section 2.5</pre>", "<h2>Section 2.5</h2>", "<code>section 2.5</code>", "<p>section 99.9</p>"):
        assert pages.sections_linked(text, "book/errata") == text
    twice = pages.sections_linked("<p>section 2.5</p>", "book/errata")
    assert pages.sections_linked(twice, "book/errata") == twice


def test_a_caption_describes_the_nearest_figure_only(pages):
    first, second = '<img alt="a.png" src="a.png" />', '<img alt="b.png" src="b.png" />'
    text = pages.figures_described(f"{first}<h2>x</h2>{second}</div><p><em>One. What to see: two.</em></p>")
    assert re.findall(r'alt="([^"]*)"', text) == ["a.png", "One."]


def test_links_to_the_librarys_source_name_what_is_there(pages):
    """In the notebooks they are absolute; the page that they name is made from the module of that name."""
    link = re.compile(re.escape(pages.Address.of().pages) + r"/_modules/([\w/]+)\.html#(\w+)")
    found = [link.findall(path.read_text(encoding="utf-8")) for path in (ROOT / "notebooks").glob("[0-9]*.md")]
    assert sum(map(len, found)) >= 14
    for module, name in {each for several in found for each in several}:
        text = (ROOT / f"{module}.py").read_text(encoding="utf-8")
        assert re.search(rf"^(?:class|def) {name}\b", text, re.MULTILINE), f"{module}.py has no {name}"
    body = f'<a href="{pages.Address.of().pages}/_modules/x.html#y">'
    assert pages.finished(body, "notebooks/01_unicode", pages.Address.of().pages) == '<a href="../_modules/x.html#y">'


def test_what_is_said_of_figures_is_said_of_dark_ones():
    """The theme has a rule of its own for these, which a rule for all figures does not outdo: letters stayed small."""
    css = re.sub(r"/\*.*?\*/", "", (ROOT / "book/_static/book.css").read_text(encoding="utf-8"), flags=re.DOTALL)
    figures = ".bd-content div.cell_output img"
    rules = [{one.strip() for one in rule.split(",")} for rule in re.findall(r"([^{}]+)\{", css)]
    of_figures = [rule for rule in rules if figures in rule]
    assert len(of_figures) >= 2 and all(f'html[data-theme="dark"] {figures}' in rule for rule in of_figures)
