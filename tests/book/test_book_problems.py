"""The page of official problems is made from the editions' data, and its links lead to pages that answer them."""

import re
from html import unescape
from pathlib import Path

import pytest

from cs336_lib.editions import DIFFERENCES, EDITIONS, PROBLEMS
from cs336_lib.editions.problems import CHAPTERS, EXAMPLES
from cs336_lib.experiments import SUITES, editions_page

ROOT = Path(__file__).resolve().parents[2]
BOX = re.compile(r"<summary><b>Official problem (.*?)</summary>\n(.*?)</details>", re.DOTALL)
LABELS = {year: editions_page.label(edition) for year, edition in EDITIONS.items()}
BOTH = '<b class="edition">Both editions</b>'
each_problem = pytest.mark.parametrize("one", PROBLEMS, ids=lambda one: one.key)


def notebook(chapter):
    return (ROOT / f"notebooks/{CHAPTERS[chapter]}.md").read_text(encoding="utf-8")


def boxes(name):
    """Return the boxes that answer a problem, title and text."""
    found = [box for chapter in CHAPTERS for box in BOX.findall(notebook(chapter))]
    return [(title, text) for title, text in found if re.match(rf"<code>{name}</code>", title)]


def test_the_page_is_made_from_the_data():
    page = (ROOT / "book/problems.md").read_text(encoding="utf-8")
    assert "editions_page.problem_table()" in page
    assert not re.search(r"`[a-z]+_[a-z_]+`", page.replace("`bpe_example`", "")), "no name of a problem is typed"
    rows = re.findall(r'^<tr><td class="text">(.+?)</tr>$', editions_page.problem_table(), re.MULTILINE)
    assert len(rows) == 38 + 1  # and their sum
    assert re.findall(r"<b>([\d /]+)</b>", rows[-1]) == ["107 / 109", "23 / 17"]
    for one, row in zip(PROBLEMS, rows, strict=False):
        assert row.startswith(f"<code>{one.key}</code>")
        assert all(f"<code>{name}</code>" in row for name in one.names)


@each_problem
def test_the_page_that_a_problem_links_to_answers_it_under_all_its_names(one):
    text = notebook(one.chapter)
    announced = text.split("**You will learn**")[0]
    assert boxes(one.key)
    for name in one.names:
        assert f"<code>{name}</code>" in text, f"no box for {name} in chapter {one.chapter}"
        assert f"`{name}`" in announced, f"chapter {one.chapter} does not say that it answers {name}"


@each_problem
def test_every_box_says_whose_answer_it_is(one):
    """Both labels where the answers differ, the older first; or one for both."""
    differs = any(one.key in difference.problems and difference.changes_answer for difference in DIFFERENCES)
    for title, text in boxes(one.key):
        old, new = (text.find(label) for label in LABELS.values())
        assert (old < 0) == (new < 0), f"{title}: one edition without the other"
        assert old < 0 or old < new, f"{title}: the older edition stands first"
        table = "| 2025 | 2026 |" in text
        assert old >= 0 or BOTH in text or table, f"{title}: says no edition"
        assert not differs or old >= 0 or table, f"{title}: the answers differ"


def test_labels_are_written_as_the_data_have_them():
    known = {*LABELS.values(), BOTH}
    for chapter in CHAPTERS:
        assert set(re.findall(r'<b class="edition">.*?</b>', notebook(chapter))) <= known
    page = (ROOT / "book/editions.md").read_text(encoding="utf-8")
    assert set(re.findall(r'<b class="edition">.*?</b>', page)) == known


def test_every_suite_belongs_to_a_problem():
    assert {suite.problem for suite in SUITES.values()} <= {one.key for one in PROBLEMS}


@each_problem
def test_each_section_that_is_named_exists(one):
    for section in re.findall(r"\d+\.\d+", one.sections):
        assert f"\n## {section} " in notebook(int(section.partition(".")[0])), f"{one.key}: no section {section}"


def test_the_only_example_with_a_box_is_one_of_the_handouts():
    titles = {re.match(r"<code>(\w+)", title)[1] for c in CHAPTERS for title, _ in BOX.findall(notebook(c))}
    assert titles - {one.key for one in PROBLEMS} <= set(EXAMPLES)


def test_nobody_counts_problems_without_saying_that_there_are_two_editions():
    """Pages and code that say "38" also say which editions, and an older name never stands alone."""
    for path in [
        *ROOT.glob("book/*.md"),
        *ROOT.glob("notebooks/*.md"),
        ROOT / "README.md",
        *ROOT.rglob("cs336_lib/**/*.py"),
    ]:
        text = unescape(path.read_text(encoding="utf-8"))
        if re.search(r"\b38 (official )?problems", text):
            assert "edition" in text, path
        if "adamwAccounting" in text:
            assert "adamw_accounting" in text, path
