"""Every notebook keeps the promises that the book makes about its pages."""

import ast
import importlib.util
import json
import re
from functools import cache
from itertools import pairwise

import pytest
from imports import ROOT

import cs336_lib

SPEC = importlib.util.spec_from_file_location("notebook_tools", ROOT / "tools/notebooks.py")
tools = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(tools)

NOTEBOOKS = tools.pairs()
PRIVATE = re.compile(r"/(?:home|root|Users|tmp|var|work|mnt|private)/\w|[A-Z]:\\\\?\w|\blocalhost\b(?!:)")
every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def load(path):
    return json.loads(path.read_text(encoding="utf-8"))


def code_cells(path):
    return [cell for cell in load(path)["cells"] if cell["cell_type"] == "code"]


def source(cell):
    return "".join(cell["source"])


def prose(path):
    return "\n".join(source(cell) for cell in load(path)["cells"] if cell["cell_type"] == "markdown")


def python(cell):
    """Return the cell without the lines that only IPython understands."""
    lines = source(cell).splitlines()
    return "\n".join(re.sub(r"^(\s*)[%!].*", r"\1pass", line) for line in lines)


@cache
def library_functions():
    names = set()
    # The questions of the checker are no library; a chapter may call a function of its own `scores`.
    for path in set((ROOT / "cs336_lib").rglob("*.py")) - set((ROOT / "cs336_lib/check/child").rglob("*.py")):
        names |= {
            node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef | ast.ClassDef)
        }
    return {name for name in names if not name.startswith("_")}


def test_there_are_notebooks():
    assert NOTEBOOKS


@every_notebook
def test_the_two_halves_of_the_pair_hold_the_same_cells(path):
    assert tools.difference(path) is None


def test_a_pair_out_of_step_is_noticed(tmp_path):
    path = tmp_path / NOTEBOOKS[0].name
    path.write_text(NOTEBOOKS[0].read_text())
    markdown = NOTEBOOKS[0].with_suffix(".md").read_text()
    path.with_suffix(".md").write_text(markdown.replace("plt.show()", "plt.show() ", 1) + "\nOne more line.\n")
    assert "differs" in tools.difference(path)
    path.with_suffix(".md").unlink()
    assert tools.difference(path) == f"{path.stem}.md is missing"


@every_notebook
def test_the_page_has_title_running_cost_problems_exercises_and_references(path):
    text = prose(path)
    assert re.match(r"# \d+\. \S", text), "the first line is the numbered title"
    assert f"/blob/main/notebooks/{path.name})" in text, "the badge opens this very notebook"
    assert re.search(r"^\*\*To run:\*\* .+\.$", text, re.MULTILINE), "what it takes to run"
    for heading in ("Exercises", "References", "What we measured"):
        assert f"## {heading}" in text
    announced = re.search(r"^\*\*Answers the official problems?\*\* (.+)\.$", text, re.MULTILINE)
    assert announced, "the official problems answered, or none"
    for problem in re.findall(r"`(\w+)`", announced[1]):
        box = rf"<summary><b>Official problem .*<code>{problem}</code>"  # an older name stands behind the newest
        assert re.search(box, text), f"{problem} is announced and not answered"


@every_notebook
def test_the_first_cell_installs_the_version_that_the_page_was_made_with(path):
    assert f"@v{cs336_lib.__version__}" in source(code_cells(path)[0])
    assert "about(" in source(code_cells(path)[1])


@every_notebook
def test_cells_are_short_and_hide_no_output_with_a_semicolon(path):
    for cell in code_cells(path):
        lines = source(cell).splitlines()
        assert len(lines) <= 25, lines[0]
        assert not lines[-1].rstrip().endswith(";"), lines[-1]


@every_notebook
def test_plots_end_with_show_and_have_a_caption(path):
    cells = load(path)["cells"]
    for cell, after in pairwise(cells):
        if cell["cell_type"] == "code" and any("image/png" in out.get("data", {}) for out in cell["outputs"]):
            assert source(cell).rstrip().endswith("plt.show()")
            assert source(after).startswith("*") and "What to see:" in source(after).replace("\n", " ")


@every_notebook
def test_no_cell_defines_what_the_library_has(path):
    taken = library_functions()
    for cell in code_cells(path):
        defined = {n.name for n in ast.walk(ast.parse(python(cell))) if isinstance(n, ast.FunctionDef | ast.ClassDef)}
        assert not defined & taken


@every_notebook
def test_no_link_goes_to_a_place_of_the_same_page(path):
    """In a notebook Sphinx knows no such name, and a build that takes warnings for errors stops there.

    "Section 9.5" becomes a link by itself when the book is rendered.
    """
    text = path.with_suffix(".md").read_text(encoding="utf-8")
    assert not re.findall(r"\]\(#[^)]*\)", text)


@every_notebook
def test_stored_outputs_are_complete_and_name_no_machine(path):
    for cell in code_cells(path):
        assert cell["execution_count"] is not None, source(cell)
        for output in cell["outputs"]:
            assert output["output_type"] != "error"
            texts = [output.get("text", ""), output.get("data", {}).get("text/plain", "")]
            assert not PRIVATE.search("".join(part for text in texts for part in text))


def test_the_search_for_machine_names_finds_them():
    for leak in ("/home/ann/x", "C:\\Users", "/var/run7"):
        assert PRIVATE.search(leak)
    assert not PRIVATE.search("a/b 3/4 and/or")
