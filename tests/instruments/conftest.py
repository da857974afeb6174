"""Pages with one instrument each, opened from a folder on disk, and the browsers that are installed."""

import os
import shutil
from pathlib import Path

import pytest

CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FIREFOX = ("firefox-esr", "firefox")

PAGE = """<!doctype html><html lang="en" data-theme="{theme}"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,"><link rel="stylesheet" href="_static/instruments/instruments.css">
<script src="_static/instruments/boot.js"></script>
<style>body {{ margin: 0 auto; max-width: 46rem; padding: 8px; background: {paper}; font-family: sans-serif; }}</style>
</head><body><main><h1 style="color: #808080">{title}</h1>{place}</main></body></html>"""


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


class Opened:
    """A page with an instrument, and everything that went wrong in it."""

    def __init__(self, browser, pages, name, theme="light", width=800, **context):
        self.context = browser.new_context(viewport={"width": width, "height": 900}, **context)
        self.page = self.context.new_page()
        self.troubles, self.outside = [], []
        self.page.on("pageerror", lambda error: self.troubles.append(str(error)))
        self.page.on("console", lambda m: self.troubles.append(m.text) if m.type in ("error", "warning") else None)
        self.page.on(
            "request", lambda r: None if r.url.startswith(("file:", "data:", "blob:")) else self.outside.append(r.url)
        )
        self.page.goto(f"file://{pages}/{name}-{theme}.html")
        self.page.wait_for_selector('.cs336-instrument[data-state="ready"]')
        self.page.wait_for_function(
            "!document.querySelector('.ci-status')?.textContent.startsWith('Loading')", timeout=30_000
        )

    def status(self, which=0):
        return self.page.locator(".ci-status").nth(which).inner_text()

    def says(self, text, which=0):
        """Wait until the status line holds a text."""
        self.page.wait_for_function(
            "([text, which]) => document.querySelectorAll('.ci-status')[which].textContent.includes(text)",
            arg=[text, which],
            timeout=10_000,
        )

    def fill(self, name, value):
        self.page.locator(f"[name='{name}']").fill(value)

    def choose(self, name, value):
        self.page.locator(f"select[name='{name}']").select_option(value)

    def slide(self, name, value):
        self.page.locator(f"input[name='{name}']").evaluate(
            "(box, value) => { box.value = value; box.dispatchEvent(new Event('input', {bubbles: true})); }", value
        )

    def set_text(self, name, script):
        """Set a field to what a JavaScript expression makes: half a surrogate can't be sent otherwise."""
        self.page.locator(f"[name='{name}']").evaluate(
            f"(box) => {{ box.value = {script}; box.dispatchEvent(new Event('input', {{bubbles: true}})); }}"
        )

    def press(self, name):
        self.page.get_by_role("button", name=name, exact=True).first.click()

    def text(self, selector):
        return self.page.locator(selector).first.inner_text()

    def close(self):
        self.context.close()
        assert not self.troubles and not self.outside


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
