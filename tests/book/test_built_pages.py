"""What a reader gets: checks of the rendered pages, run by `make book` after every build."""

import os
import re
import shutil
from collections import Counter
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlparse

import pytest

from cs336_lib.check import sections

pytestmark = pytest.mark.built
ROOT = Path(__file__).resolve().parents[2]


class Links(HTMLParser):
    """Collect what a page links to, loads, and defines as targets."""

    def __init__(self):
        super().__init__()
        self.links, self.loads, self.targets = [], [], set()

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        if attributes.get("id"):
            self.targets.add(attributes["id"])
        if tag == "a" and attributes.get("href"):
            self.links.append(attributes["href"])
        if tag in ("script", "img") and attributes.get("src"):
            self.loads.append(attributes["src"])
        if tag == "link" and attributes.get("href") and attributes.get("rel") in ("stylesheet", "preload", "icon"):
            self.loads.append(attributes["href"])


@pytest.fixture(scope="module")
def html(request):
    folder = request.config.getoption("--built-book")
    assert (folder / "index.html").exists(), f"no book in {folder}: run `make book`"
    return folder


@pytest.fixture(scope="module")
def pages(html):
    found = {}
    for path in [*html.glob("book/*.html"), *html.glob("notebooks/*.html")]:
        parser = Links()
        parser.feed(path.read_text(encoding="utf-8"))
        found[path] = parser
    assert found
    return found


def test_every_colab_link_points_to_a_notebook_that_exists(pages):
    pattern = re.compile(r"https://colab\.research\.google\.com/github/[\w-]+/[\w-]+/blob/main/(.+)")
    links = {match[1] for page in pages.values() for link in page.links if (match := pattern.match(link))}
    assert links == {f"notebooks/{path.name}" for path in (ROOT / "notebooks").glob("[0-9]*.ipynb")}


def test_every_chapter_has_the_colab_and_download_buttons(pages):
    for path, page in pages.items():
        if path.parent.name == "notebooks":
            assert sum("colab.research" in link for link in page.links) >= 2, "the button and the badge"
            assert any(link.endswith(f"{path.stem}.ipynb") for link in page.links)


def test_every_internal_link_leads_somewhere(pages):
    for path, page in pages.items():
        for link in page.links:
            address = urlparse(link)
            if address.scheme or not (address.path or address.fragment) or link.startswith("javascript"):
                continue
            target = (path.parent / address.path).resolve() if address.path else path
            assert target.exists(), f"{path.name}: {link}"
            if address.fragment and target in pages:
                assert address.fragment in pages[target].targets, f"{path.name}: {link}"


def test_links_lead_to_pages_and_not_to_an_example_of_an_address(pages):
    for path, page in pages.items():
        schemes = {urlparse(link).scheme for link in page.links}
        assert schemes <= {"", "http", "https", "javascript"}, f"{path.name}: {schemes}"


def test_pages_load_nothing_from_the_network(pages):
    for path, page in pages.items():
        outside = [load for load in page.loads if urlparse(load).netloc]
        assert not outside, f"{path.name} loads {outside}"


def test_no_page_declares_a_constant_twice(pages):
    """Which is a SyntaxError in the console of who reads it."""
    for path in pages:
        head = path.read_text(encoding="utf-8").partition("</head>")[0]
        scripts = "\n".join(re.findall(r"<script>(.*?)</script>", head, re.DOTALL))
        counts = Counter(re.findall(r"\bconst (\w+) ?=", scripts))
        assert "THEBE_JS_URL" in counts, "look for it another way"
        assert head.count("DOCUMENTATION_OPTIONS.pagename =") == 1, "the theme's script of this page is there"
        assert max(counts.values()) == 1, (path.name, counts)


def test_the_software_that_draws_formulas_is_in_the_book(html):
    assert (html / "_static/mathjax/tex-chtml.js").exists()
    assert "mathjax/tex-chtml.js" in (html / "book/notation.html").read_text(encoding="utf-8")


def test_no_page_shows_an_error_or_an_unresolved_reference(pages):
    # A docstring's example may end in the error it teaches; an executed cell may not.
    docstring_example = re.compile(r'<div class="doctest .*?</pre>', re.DOTALL)
    for path in pages:
        text = docstring_example.sub("", path.read_text(encoding="utf-8"))
        for trouble in ("Traceback (most recent call last)", "system-message", "{doc}`", "{ref}`"):
            assert trouble not in text, f"{path.name}: {trouble}"


def test_the_results_page_shows_tables_and_when_each_page_was_executed(html):
    text = (html / "book/results.html").read_text(encoding="utf-8")
    assert text.count('<div class="records">') >= 5
    for path in (ROOT / "notebooks").glob("[0-9]*.ipynb"):
        assert f">notebooks/{path.stem}</span>" in text, "the table of executions lists every page"
    assert "catalogue_page" not in text, "the cells are hidden, their tables are not"


def test_every_chapter_brings_its_instrument_with_all_that_it_loads(html, pages):
    from cs336_lib.figures.instruments import INSTRUMENTS
    from cs336_lib.figures.instruments.bundle import page_script

    folder = html / "_static/instruments"
    for name, instrument in INSTRUMENTS.items():
        page = html / f"notebooks/{instrument.notebook}.html"
        text = page.read_text(encoding="utf-8")
        assert f'data-instrument="{name}"' in text and instrument.tries[0][:20] in unescape(text)
        assert any("instruments/boot.js" in load for load in pages[page].loads)
        assert any("instruments/instruments.css" in load for load in pages[page].loads)
        assert (folder / f"{name}.js").read_text(encoding="utf-8") == page_script(name)
        assert all((folder / f"data-{each}.js").is_file() for each in instrument.data)
        assert "widget-view+json" not in text, "a stored output must not be a live widget"


def test_links_to_sections_lead_to_the_section(pages):
    """A link that is called 2.5 does not lead to the top of chapter 2."""
    for path in pages:
        text = path.read_text(encoding="utf-8")
        for address, name in re.findall(r'<a\b[^>]*href="([^"]*\d\d_\w+\.html[^"]*)"[^>]*>(.*?)</a>', text, re.DOTALL):
            if re.match(r"(?:[Ss]ection )?\d+\.\d+", re.sub(r"<[^>]+>", "", name).strip()):
                assert "#" in address, f"{path.name}: {name} leads to {address}"


def test_figures_have_words_for_those_who_do_not_see_them(pages):
    for path in pages:
        if path.parent.name == "notebooks":
            alternatives = re.findall(r'<img alt="([^"]*)"[^>]*_images', path.read_text(encoding="utf-8"))
            assert alternatives
            assert not [text for text in alternatives if text.endswith(".png") or len(text) < 10], path.name


@pytest.fixture(scope="module")
def chromium():
    """Return a started browser, whose pages a test measures as a reader sees them."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or os.environ.get("CHROMIUM")
    playwright = pytest.importorskip("playwright.sync_api")
    if not browser:
        pytest.skip("no Chromium here; CHROMIUM names one that is not on the PATH")
    with playwright.sync_playwright() as started:
        window = started.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        yield window
        window.close()


def opened(page, path):
    """Open a page of the book with all of its boxes."""
    page.goto(path.resolve().as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true })")


def test_code_and_prints_fit_the_column_in_a_browser(html, chromium):
    """In a window of 1,300 pixels; chapters 1 to 5."""
    cut_off = """() => [...document.querySelectorAll('.bd-content pre')]
        .filter(each => each.scrollWidth > each.clientWidth + 1).map(each => each.innerText.slice(0, 80))"""
    page = chromium.new_page(viewport={"width": 1300, "height": 900})
    for path in sorted(html.glob("notebooks/0[1-5]*.html")):
        opened(page, path)
        assert not page.evaluate(cut_off), path.name


def test_no_formula_in_a_line_is_wider_than_a_narrow_phone(html, chromium):
    """The theme cuts it off there, with its result; one on a line of its own scrolls."""
    cut_off = """() => [...document.querySelectorAll('span.math')].filter(
        each => each.firstElementChild.getBoundingClientRect().width > each.clientWidth + 1
    ).map(each => each.textContent)"""
    page = chromium.new_page(viewport={"width": 320, "height": 900})
    for path in [*html.glob("book/*.html"), *html.glob("notebooks/*.html")]:
        if '<span class="math' in path.read_text(encoding="utf-8"):
            opened(page, path)
            page.wait_for_function("document.querySelectorAll('span.math mjx-container').length")
            page.evaluate("MathJax.startup.promise")
            assert not page.evaluate(cut_off), path.name


def test_boxes_of_problems_have_a_name_that_a_link_can_use(pages):
    for path, page in pages.items():
        if path.parent.name == "notebooks":
            boxes = path.read_text(encoding="utf-8").count("<b>Official problem ")
            named = [target for target in page.targets if target.startswith("problem-")]
            assert len(named) == boxes, path.name


def test_every_section_that_the_checker_points_to_is_there(html, pages):
    for section in sections.TITLES:
        page, anchor = sections.address(section).removeprefix(sections.BOOK + "/").split("#")
        assert anchor in pages[html / "notebooks" / page].targets, section
