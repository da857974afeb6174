"""The page of official problems lists each of them, and its links lead to pages that answer them."""

import re
from pathlib import Path

import pytest

from cs336_lib.experiments import SUITES

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = (ROOT / "book/problems.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| `(\w+)` \| (.+?) \| (.+?) \|$", PAGE, re.MULTILINE)


def test_there_are_thirty_eight_problems_each_once():
    names = [name for name, _, _ in ROWS]
    assert len(names) == len(set(names)) == 38


@pytest.mark.parametrize(("name", "where"), [(name, where) for name, where, _ in ROWS])
def test_the_page_that_a_problem_links_to_answers_it(name, where):
    link = re.fullmatch(r"\[(\d+)\.[\d. to,]*\]\(\.\./(notebooks/(\d\d)_\w+)\.ipynb\)", where)
    assert link, where
    assert int(link[1]) == int(link[3]), "the section is one of the page"
    text = (ROOT / f"{link[2]}.md").read_text(encoding="utf-8")
    assert f"<code>{name}</code>" in text, f"no box for {name} in {link[2]}"
    assert f"`{name}`" in text.split("**You will learn**")[0], f"{link[2]} does not say that it answers {name}"


def test_every_suite_belongs_to_a_problem_of_the_page():
    assert {suite.problem for suite in SUITES.values()} <= {name for name, _, _ in ROWS}


def test_each_section_that_is_named_exists():
    for name, where, _ in ROWS:
        for section in re.findall(r"(?<![\w.])(\d+\.\d+)(?= |,|\])", where):
            name_of_page = f"{int(section.partition('.')[0]):02}_*.md"
            page = next((ROOT / "notebooks").glob(name_of_page)).read_text(encoding="utf-8")
            assert f"\n## {section} " in page, f"{name}: no section {section}"
