"""A Sphinx extension that finishes the pages of the book when they are written.

What it does, it does for every page alike, so that no author has to:

- a link whose text is a section, such as 2.5, and the words "section 2.5" lead to that section, not to its page's top;
- a figure's alternative text is the beginning of its caption, up to "What to see";
- a box of an official problem has an id, such as `problem-unicode2-c`, that links can use;
- the bar of a hidden solution says whose solution it is, and that of hidden checks what they are;
- links to the library's source, absolute in the notebooks, become relative;
- no script stands there twice.

And it draws the table of contents once for all pages of the library's source in a folder, not for each of them.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from functools import cache
from html import escape, unescape
from pathlib import Path
from typing import Any

from docutils.nodes import make_id

sys.path.insert(0, str(Path(__file__).resolve().parent))

from address import ROOT, Address

QUIET = {"a", "pre", "code", "h1", "h2", "h3", "h4", "title", "script", "style", "button", "summary"}
"""Elements in which no section is made a link."""
VOID = {"img", "br", "hr", "input", "wbr", "meta", "link", "source"}


@cache
def section_anchors() -> dict[str, tuple[str, str]]:
    """Return the chapters' sections: number -> name of the page, anchor on it.

    >>> section_anchors()["2.5"]
    ('02_bpe_training', 'the-trap-which-neighbors-does-a-new-token-have')
    """
    found = {}
    for path in sorted((ROOT / "notebooks").glob("[0-9]*.md")):
        for number, title in re.findall(r"^## (\d+\.\d+) (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE):
            found[number] = path.stem, make_id(f"{number} {title}")
    return found


def sections_linked(body: str, pagename: str) -> str:
    """Lead links and words that name a section to that section.

    >>> sections_linked('<a href="01_unicode.html">1.5 to 1.8</a>', "notebooks/02_bpe_training")
    '<a href="01_unicode.html#a-decoder-can-start-anywhere">1.5 to 1.8</a>'
    >>> sections_linked("<p>as section 1.5 says</p>", "notebooks/01_unicode")
    '<p>as <a href="#a-decoder-can-start-anywhere">section 1.5</a> says</p>'
    """
    anchors = section_anchors()

    def deepened(found: re.Match[str]) -> str:
        opening, page, closing, inner = found.groups()
        text = re.sub(r"<[^>]+>", "", inner).strip()
        named = re.match(r"(?:[Ss]ections? )?(\d+\.\d+)\b", text)
        if named and anchors.get(named[1], ("",))[0] == page:
            return f"{opening}#{anchors[named[1]][1]}{closing}{inner}</a>"
        return found[0]

    body = re.sub(r'(<a\b[^>]*href="[^"#]*?(\d\d_\w+)\.html)("[^>]*>)(.*?)</a>', deepened, body, flags=re.DOTALL)

    def linked(found: re.Match[str]) -> str:
        if found[1] not in anchors:
            return found[0]
        page, anchor = anchors[found[1]]
        here = f"notebooks/{page}" == pagename
        address = "" if here else f"{'' if pagename.startswith('notebooks/') else '../notebooks/'}{page}.html"
        return f'<a href="{address}#{anchor}">{found[0]}</a>'

    parts, quiet = re.split(r"(<[^>]+>)", body), 0
    for at, part in enumerate(parts):
        if part.startswith("<"):
            name = re.match(r"</?(\w*)", part)
            if name and name[1] in QUIET:
                quiet += -1 if part.startswith("</") else 1
        elif not quiet:
            parts[at] = re.sub(r"\b[Ss]ection (\d+\.\d+)\b", linked, part)
    return "".join(parts)


def figures_described(body: str) -> str:
    """Give figures the beginning of the caption below them as their alternative text.

    >>> figures_described('<img alt="x.png" src="x.png" /></div><p><em>Two lines. What to see: they cross.</em></p>')
    '<img alt="Two lines." src="x.png" /></div><p><em>Two lines. What to see: they cross.</em></p>'
    """

    def described(found: re.Match[str]) -> str:
        caption = unescape(re.sub(r"<[^>]+>", "", found[4]))
        says = " ".join(caption.partition("What to see:")[0].split())
        return f"{found[1]}{escape(says)}{found[2]}{found[3]}<p><em>{found[4]}</em></p>"

    pattern = r'(<img alt=")[^"]*\.png("[^>]*>)((?:(?!<img|<h2|<p><em>).)*)<p><em>((?:(?!</p>).)*)</em></p>'
    return re.sub(pattern, described, body, flags=re.DOTALL)


def boxes_named(body: str) -> str:
    r"""Give each box of an official problem an id.

    >>> boxes_named("<details>\n<summary><b>Official problem <code>rope</code> (a), (b): x</b></summary>")
    '<details id="problem-rope-a-b">\n<summary><b>Official problem <code>rope</code> (a), (b): x</b></summary>'
    """

    def named(found: re.Match[str]) -> str:
        letters = "".join(f"-{letter}" for letter in re.findall(r"\(([a-e])\)", found[3]))
        return f'<details id="problem-{found[2]}{letters}">{found[1]}<code>{found[2]}</code>{found[3]}</summary>'

    pattern = r"<details>(\s*<summary><b>Official problem )<code>(\w+)</code>(.*?)</summary>"
    return re.sub(pattern, named, body, flags=re.DOTALL)


def solutions_named(body: str) -> str:
    """Let the bar of a hidden cell say what it holds, where the cell's first line is "# Solution 3" or "# Checks".

    >>> bar = '<summary aria-label="Toggle hidden content"><p>Show code cell content</p></summary>'
    >>> solutions_named(bar + '<pre><span></span><span class="c1"># Solution 3</span>')[47:71]
    'Show solution 3 in code<'
    """

    def named(found: re.Match[str]) -> str:
        bar, between, solution = found.groups()
        if solution == "# Checks":
            bar = bar.replace("code cell content", "the checks")
        elif solution:
            bar = bar.replace("code cell content", f"{solution[2:].lower()} in code")
        return f"{bar}{between}{solution or ''}"

    pattern = (
        r'(<summary aria-label="Toggle hidden content">.*?</summary>)'
        r'(.*?<pre><span></span>(?:<span class="c1">)?)(# Solutions? \d+|# Checks)?'
    )
    return re.sub(pattern, named, body, flags=re.DOTALL)


def finished(body: str, pagename: str, pages: str) -> str:
    """Return the finished HTML of a page."""
    body = body.replace(f'href="{pages}/_modules/', 'href="../_modules/')
    for step in (figures_described, boxes_named, solutions_named):
        body = step(body)
    return sections_linked(body, pagename)


def drawn_once(draw: Callable[..., str], folder: str, drawn: dict[object, str]) -> Callable[..., str]:
    """Return `draw` for a page that is not in the contents itself: all pages of a folder have the same links then.

    Args:
        draw: makes the table of contents of a page.
        folder: of the page.
        drawn: what has been made already, by folder and options.

    >>> drawn = {}
    >>> [drawn_once(lambda **options: text, "_modules", drawn)(depth=1) for text in "ab"]
    ['a', 'a']
    """

    def toctree(**options: Any) -> str:
        key = folder, tuple(sorted(options.items()))
        if key not in drawn:
            drawn[key] = draw(**options)
        return drawn[key]

    return toctree


def each_once(scripts: list[Any]) -> list[Any]:
    """Return the scripts of a page without repetitions: Sphinx writes what is added late twice.

    >>> from types import SimpleNamespace
    >>> early, late = ({"filename": name, "attributes": {"body": "const a = 1"}} for name in ("", None))
    >>> len(each_once([SimpleNamespace(**script) for script in (early, late)] + ["a.js", "a.js", "b.js"]))
    3
    """
    found: dict[tuple[str, tuple[Any, ...]], Any] = {}
    for script in scripts:
        name, attributes = getattr(script, "filename", script), getattr(script, "attributes", {})
        found.setdefault((str(name or ""), tuple(sorted(attributes.items()))), script)
    return list(found.values())


def setup(app: Any) -> dict[str, bool]:
    """Register with Sphinx."""
    pages = Address.of().pages
    drawn: dict[object, str] = {}

    def write(app: Any, pagename: str, templatename: str, context: dict[str, Any], doctree: Any) -> None:
        if pagename.startswith(("notebooks/", "book/")) and "body" in context:
            context["body"] = finished(context["body"], pagename, pages)
        # In place: other extensions add scripts of single pages to this very list.
        context["script_files"][:] = each_once(context["script_files"])
        if pagename.startswith("_modules/"):
            context["toctree"] = drawn_once(context["toctree"], pagename.rpartition("/")[0], drawn)

    def updated(app: Any, env: Any) -> list[str]:
        """Write all pages again when a section got another name: any of them may have a link to it."""
        if getattr(env, "section_anchors", None) == section_anchors():
            return []
        env.section_anchors = section_anchors()
        return sorted(env.found_docs)

    app.connect("env-updated", updated)
    app.connect("html-page-context", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
