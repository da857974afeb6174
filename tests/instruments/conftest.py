"""Pages with one instrument each, opened from a folder on disk, and the browsers that are installed."""

import os
import shutil
from pathlib import Path

import pytest
from instruments_pages import Opened

CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FIREFOX = ("firefox-esr", "firefox")

PAGE = """<!doctype html><html lang="en" data-theme="{theme}"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,"><link rel="stylesheet" href="_static/instruments/instruments.css">
<script src="_static/instruments/boot.js"></script>
<style>body {{ margin: 0 auto; max-width: 46rem; padding: 8px; background: {paper}; font-family: sans-serif; }}</style>
</head><body><main><h1 style="color: #808080">{title}</h1>{place}</main></body></html>"""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Leave what Firefox repeats to `-m slow`: by default it compares ids and figures, on two of the pages.

    Chromium does everything, every time; the two share all scripts, so that what only one of them gets wrong is in
    starting up, in its regular expressions and in its arithmetic.
    """
    for item in items:
        kind = getattr(getattr(item, "callspec", None), "params", {}).get("browser")
        if kind == "firefox" and item.get_closest_marker("both_browsers") is None:
            item.add_marker(pytest.mark.slow)


def executable(setting, names):
    """Where a browser is, None if it is not installed."""
    named = os.environ.get(setting)
    return named or next((found for name in names if (found := shutil.which(name))), None)


@pytest.fixture(scope="session")
def pages(tmp_path_factory) -> Path:
    """A folder with NAME-light.html and NAME-dark.html for each instrument."""
    from cs336_lib.figures.instruments import INSTRUMENTS
    from cs336_lib.figures.instruments.bundle import write

    folder = tmp_path_factory.mktemp("pages")
    write(folder / "_static/instruments")
    for name, instrument in INSTRUMENTS.items():
        for theme, paper in (("light", "#ffffff"), ("dark", "#121212")):
            page = PAGE.format(theme=theme, paper=paper, title=name, place=instrument.html())
            (folder / f"{name}-{theme}.html").write_text(page, encoding="utf-8")
    return folder


def playwright_error():
    from playwright.sync_api import Error

    return Error


def launch(playwright, kind):
    """Start an installed browser, or skip with the reason."""
    path = executable(kind.upper(), CHROMIUM if kind == "chromium" else FIREFOX)
    if path is None:
        pytest.skip(f"no {kind} is installed; set {kind.upper()} to the path of one")
    if kind == "chromium":
        return playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
    # An installed Firefox speaks WebDriver BiDi, not the protocol of Playwright's own build, and may be too old for
    # this Playwright's dialect of it.
    running = playwright.firefox.launch(executable_path=path, channel="moz-firefox")
    try:
        running.new_context().close()
    except playwright_error() as error:
        running.close()
        pytest.skip(f"{path} does not understand this version of Playwright: {str(error).splitlines()[0]}")
    return running


@pytest.fixture(scope="session")
def playwright():
    """Playwright, which drives the installed browsers; it downloads none."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: the browser tests can't run")
    with api.sync_playwright() as running:
        yield running


# One worker of pytest-xdist has one browser.
@pytest.fixture(
    scope="session",
    params=[pytest.param(kind, marks=pytest.mark.xdist_group(kind)) for kind in ("chromium", "firefox")],
)
def browser(playwright, request):
    """Each of the two browsers."""
    running = launch(playwright, request.param)
    running.kind = request.param
    yield running
    running.close()


@pytest.fixture(scope="session")
def chromium(playwright):
    """Chromium alone, for what only its tools can do."""
    running = launch(playwright, "chromium")
    yield running
    running.close()


@pytest.fixture
def open_page(browser, pages):
    """Open an instrument's page; at the end nothing may have gone wrong in it, and nothing come from another host."""
    opened = []

    def open_it(name, *arguments, **options):
        opened.append(Opened(browser, pages, name, *arguments, **options))
        return opened[-1]

    yield open_it
    for each in opened:
        each.close()
