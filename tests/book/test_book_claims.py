"""Every claim of a chapter stands on the claims page, and is held by tests and asserts that are really there."""

import ast
import difflib
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = "book/claims.md"
CHAPTERS = sorted((ROOT / "notebooks").glob("[0-9]*.md"))
CELL = re.compile(r"^```\{code-cell\}.*?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
REFERENCE = re.compile(r" \(\d+\.\d+[^()]*\)\.?$|\.$")
REFUTED = " *Refuted by* "
SAY_WHAT_REFUTES_THEM = range(6, 12)
"""Chapters whose bullets name the observation that would refute them."""
SKIPPED_IN_CI = {"gpu", "network", "slow", "bench", "built"}


class Row(NamedTuple):
    """An entry of the page: the chapter's number, what it claims, what holds it, and what would refute it."""

    chapter: int
    claim: str
    holders: list[str]
    refuted_by: list[str]


def claims_of(path):
    """Return the bullets of "What we measured", and the labels of the lines that its cell prints."""
    section = re.split(r"^## ", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    (measured,) = [part for part in section if part.startswith("What we measured")]
    prose = CELL.sub("", measured).partition("\n")[2]
    bullets = re.findall(r"^- (.+?)(?=\n- |\n\n|\Z)", prose.strip(), re.MULTILINE | re.DOTALL)
    return [bare(bullet.partition(REFUTED)[0]) for bullet in bullets] + [
        label for cell in CELL.findall(measured) for label in labels(python(cell))
    ]


def bare(claim):
    """Return a claim without line breaks and without the section that it refers to at its end."""
    return REFERENCE.sub("", " ".join(claim.split()))


def python(cell):
    """Return a cell without its tags."""
    return re.sub(r"\A(?::.*\n)*", "", cell)


def labels(source):
    """Return what each print of an f-string says before its first value."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    strings = [call.args[0] for call in calls if getattr(call.func, "id", "") == "print" and call.args]
    return [
        string.values[0].value.strip()
        for string in strings
        if isinstance(string, ast.JoinedStr) and isinstance(string.values[0], ast.Constant)
    ]


def rows():
    """Return the entries of the page: one bullet per claim, and under it a bullet for each thing that holds it."""
    found, chapter = [], 0
    for line in (ROOT / PAGE).read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            number = re.match(r"## (\d+)\. ", line)
            chapter = int(number[1]) if number else 0
        elif line.startswith("- "):
            found.append(Row(chapter, line.removeprefix("- ").strip(), [], []))
        elif line.startswith("  - refuted by: "):
            found[-1].refuted_by.append(line.removeprefix("  - refuted by: ").strip())
        elif line.startswith("  - ") and not line.startswith("  - in ["):
            found[-1].holders.append(line.removeprefix("  - ").strip().strip("`"))
    return found


ROWS = rows()
each_row = pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.chapter}-{row.claim[:40]}")


@cache
def marks_in(name):
    """Return name -> marks of each test in a file; marks of its class and module count."""
    tree = ast.parse((ROOT / name).read_text(encoding="utf-8"))
    assigned = [node for node in tree.body if isinstance(node, ast.Assign)]
    module = [mark for node in assigned if ast.unparse(node.targets[0]) == "pytestmark" for mark in marks(node.value)]
    found = {}
    for node in tree.body:
        inner = node.body if isinstance(node, ast.ClassDef) else [node]
        outer = [mark for decorator in getattr(node, "decorator_list", []) for mark in marks(decorator)]
        for test in inner:
            if isinstance(test, ast.FunctionDef) and test.name.startswith("test_"):
                own = [mark for decorator in test.decorator_list for mark in marks(decorator)]
                found[test.name] = {*module, *outer, *own}
    return found


def marks(expression):
    """Return the marks that an expression puts on a whole test; those of single parameters don't count."""
    if isinstance(expression, ast.List | ast.Tuple):
        return [mark for element in expression.elts for mark in marks(element)]
    name = expression.func if isinstance(expression, ast.Call) else expression
    return [name.attr] if isinstance(name, ast.Attribute) and "mark" in ast.unparse(name) else []


def chapter_file(number):
    (path,) = [path for path in CHAPTERS if path.name.startswith(f"{number:02}_")]
    return path


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_the_page_lists_each_claim_of_the_chapter_and_no_other(path):
    number = int(path.name[:2])
    wanted = claims_of(path)
    there = [row.claim for row in ROWS if row.chapter == number]
    assert wanted, f"{path.name} claims nothing under 'What we measured'"
    lacking = [claim for claim in wanted if claim not in there]
    left = [claim for claim in there if claim not in wanted]
    advice = []
    for claim in lacking:
        near = difflib.get_close_matches(claim, left, n=1, cutoff=0.4)
        change = f"change {near[0]!r} to" if near else "add this, and under it what holds it:"
        advice.append(f"{PAGE}, under '## {number}. ...': {change}\n    {claim}")
    advice += [f"{PAGE}: {path.name} claims this no longer; delete it or change it:\n    {c}" for c in left]
    assert not advice, "\n".join(advice)
    assert len(there) == len(set(there)), "a claim stands there twice"


@pytest.mark.parametrize("number", SAY_WHAT_REFUTES_THEM)
def test_each_claim_of_a_chapter_and_its_entry_name_the_same_observation_that_would_refute_it(number):
    prose = CELL.sub("", chapter_file(number).read_text(encoding="utf-8").partition("## What we measured\n")[2])
    section = prose.partition("\n## ")[0]
    bullets = re.findall(r"^- (.+?)(?=\n- |\n\n|\Z)", section.strip(), re.MULTILINE | re.DOTALL)
    said = {bare(claim): bare(refuted) for claim, _, refuted in (bullet.partition(REFUTED) for bullet in bullets)}
    assert said and all(said.values()), "a claim that nothing could refute"
    assert said == {row.claim: "; ".join(row.refuted_by) for row in ROWS if row.chapter == number}


@each_row
def test_each_claim_is_held_by_a_test_or_an_assert_that_exists(row):
    assert row.holders, f"{PAGE}: nothing holds {row.claim!r}"
    cells = " ".join(" ".join(python(cell).split()) for cell in CELL.findall(chapter_file(row.chapter).read_text()))
    for holder in row.holders:
        name, _, test = holder.partition("::")
        if name.startswith("tests/"):
            assert (ROOT / name).is_file(), f"{PAGE}: there is no file {name}"
            assert test in marks_in(name), f"{PAGE}: {name} has no test {test}"
            skipped = marks_in(name)[test] & SKIPPED_IN_CI
            assert not skipped, f"{PAGE}: {test} is marked {', '.join(skipped)}, so it does not run for each change"
        else:
            assert re.match(r"assert\b|(?:torch\.testing\.)?assert_close\(", holder), f"{PAGE}: {holder} is no assert"
            snippet = " ".join(holder.split())
            assert snippet in cells, (
                f"{PAGE}: no cell of chapter {row.chapter} holds `{snippet}`; put the new one there"
            )


def test_what_a_section_claims_is_found(tmp_path):
    path = tmp_path / "01_x.md"
    path.write_text(
        "# 1. X\n\n## What we measured\n\nShort.\n\n- One thing,\n  over two lines (1.2).\n- More (1.3, asserted).\n\n"
        '```{code-cell}\n:tags: [x]\n\nprint(f"share of text   {share:>9.1%}")\n```\n\n## Exercises\n\n- no claim\n'
    )
    assert claims_of(path) == ["One thing, over two lines", "More", "share of text"]


def test_marks_of_a_test_are_found():
    assert marks(ast.parse("pytest.mark.slow").body[0].value) == ["slow"]
    assert marks(
        ast.parse("pytest.mark.parametrize('a', [pytest.param(1, marks=pytest.mark.slow)])").body[0].value
    ) == ["parametrize"]
    found = marks_in("tests/bpe/cutting/test_bpe_scanner.py")
    assert "slow" in found["test_every_code_point_in_every_context_is_cut_like_regex_does"]
