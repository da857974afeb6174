"""A page with one instrument, opened in a browser."""


class Opened:
    """A page with an instrument, and everything that went wrong in it."""

    def __init__(self, browser, pages, name, theme="light", width=800, **context):
        self.kind = browser.browser_type.name
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

    def unfold(self, which):
        """Open a part that is folded away, by key: it moves what is below it, and a click could miss the next one.

        It is open at once; what stands in it may be drawn only when the page is told so, a moment later.
        """
        summary = self.page.locator("summary").nth(which)
        summary.press("Enter")
        summary.locator("xpath=..").and_(self.page.locator("details[open]:has(> summary + *)")).wait_for()

    def text(self, selector):
        return self.page.locator(selector).first.inner_text()

    def close(self):
        self.context.close()
        assert not self.troubles and not self.outside
