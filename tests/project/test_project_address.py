"""The project has one address: whatever shows it agrees, one command moves it, and links work from anywhere."""

import importlib.util
import json
import re
import subprocess
import sys

import pytest
import yaml
from imports import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))


def tool(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / f"tools/{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


address = tool("address")
OURS = address.Address.of()


def test_everything_that_shows_the_address_agrees():
    wrong = {path.name: address.disagreements(path.read_text(encoding="utf-8"), OURS) for path in address.shown_in()}
    assert not {name: found for name, found in wrong.items() if found}
    config = yaml.safe_load((ROOT / "_config.yml").read_text())
    assert config["repository"]["url"] == f"https://github.com/{OURS.repository}"
    assert config["html"]["baseurl"] == OURS.pages
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["repository-code"] == f"https://github.com/{OURS.repository}"
    assert str(citation["version"]) == OURS.version


def test_the_changelog_has_a_date_for_the_version():
    heads = re.findall(r"^## ([\w.]+) - (.+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    dates = dict(heads)
    assert heads[0][0] == OURS.version and re.fullmatch(r"\d{4}-\d\d-\d\d", dates[OURS.version])


@pytest.mark.parametrize("moved_to", ["somebody/their-book", "cs336-book/other", "other/cs336-book"])
def test_the_project_moves_with_one_command_and_back(tmp_path, moved_to):
    new = OURS.moved(moved_to)
    for path in address.shown_in():
        before = path.read_text(encoding="utf-8")
        after = address.rewritten(before, OURS, new)
        assert not address.disagreements(after, new), path.name
        assert OURS.pages not in after
        if path.suffix == ".ipynb":
            json.loads(after)
        assert address.rewritten(after, new, OURS) == before, path.name


@pytest.mark.parametrize(
    "text",
    [
        "cs336-lib @ git+https://github.com/cs336-book/cs336-book@v0.0.1",
        "cs336-lib[dist] @ git+https://github.com/else/where@v" + OURS.version,
        "https://colab.research.google.com/github/else/where/blob/main/x.ipynb",
        "https://elsewhere.github.io/cs336-book/x.html",
        "https://github.com/elsewhere/cs336-book/blob/main/README.md",
    ],
)
def test_a_stale_address_is_found(text):
    assert address.disagreements(text, OURS)


def test_a_mistyped_name_is_refused():
    asked = [sys.executable, str(ROOT / "tools/address.py"), "--set", "https://github.com/a/b"]
    done = subprocess.run(asked, capture_output=True, text=True)
    assert done.returncode == 2 and "OWNER/NAME" in done.stderr


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_links_of_a_notebook_work_where_it_stands_alone(path):
    pages = {f"notebooks/{other.stem}" for other in NOTEBOOKS}
    pages |= {f"book/{other.stem}" for other in (ROOT / "book").glob("*.md")}
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] != "markdown":
            continue
        for target in re.findall(r"\]\(([^)\s]+)\)", "".join(cell["source"])):
            assert target.startswith(("https://", "http://", "#")), target
            if target.startswith(OURS.pages):
                place = target.removeprefix(OURS.pages + "/")
                name = place.partition("#")[0]
                if name.startswith("_modules/"):  # the page of a module's source
                    known = (ROOT / name.removeprefix("_modules/")).with_suffix(".py").is_file()
                elif name.endswith(".html"):
                    known = name.removesuffix(".html") in pages
                else:
                    known = (ROOT / "book" / name).is_file()
                assert known, target


def test_the_rendered_book_gets_relative_links():
    links = tool("book_links")
    for docname, text, expected in [
        ("notebooks/01_unicode", "notebooks/02_bpe_training.html#a", "02_bpe_training.ipynb#a"),
        ("notebooks/01_unicode", "book/notation.html", "../book/notation.md"),
        ("book/index", "notebooks/01_unicode.html", "../notebooks/01_unicode.ipynb"),
        ("book/index", "book/notation.html", "notation.md"),
        ("notebooks/01_unicode", "_static/colab.svg", "../book/_static/colab.svg"),
    ]:
        assert links.relative(f"]({OURS.pages}/{text})", docname, OURS.pages) == f"]({expected})"


def test_on_the_page_of_claims_sections_and_tests_are_links():
    links = tool("book_links")
    text = (ROOT / "book/claims.md").read_text(encoding="utf-8")
    made = links.linked(text, OURS.repository)
    assert re.findall(r"`tests/[^`]+`", made) == re.findall(r"`tests/[^`]+`", text)
    assert not re.findall(r"(?<!\[)`tests/\S+::", made), "tests without a link"
    assert not re.findall(r"\[\d+\.\d+[^]]*\]\([^)#]+\)", made), "sections without a heading"
    blob = rf"\(https://github\.com/{OURS.repository}/blob/main/([\w/]+\.py)#L(\d+)\)"
    places = re.findall(rf"::(\w+)(?:\[[^`]*\])?`\]{blob}", made)
    assert len(places) == len(re.findall(r"`tests/\S+::", text)) > 50
    for name, path, line in places:
        assert (ROOT / path).read_text(encoding="utf-8").splitlines()[int(line) - 1].startswith(f"def {name}(")
    with pytest.raises(ValueError, match=r"names section 1\.99 of 01_unicode\.ipynb"):
        links.linked("in [1.99](../notebooks/01_unicode.ipynb)", OURS.repository)
    with pytest.raises(KeyError, match="test_nothing"):
        links.linked("`tests/project/test_project_address.py::test_nothing`", OURS.repository)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_first_cell_takes_the_checkout_the_tag_or_the_main_branch(path, tmp_path, capsys, monkeypatch):
    """Run it where the library is missing, with a pip that knows the tag, and with one that does not."""
    cells = [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
    source = "".join(cells[0]["source"])
    assert "cs336_lib" in source
    for has_tag in (True, False):
        asked = []

        def pip(command, asked=asked, has_tag=has_tag, **options):
            asked.append(command[-1])
            failed = "@v" in command[-1] and not has_tag
            return subprocess.CompletedProcess(command, int(failed))

        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(subprocess, "run", pip)
        monkeypatch.setitem(sys.modules, "cs336_lib", None)  # an import raises ImportError
        exec(compile(source, path.name, "exec"), {})
        monkeypatch.undo()
        assert asked[0].endswith(f"{OURS.repository}@{OURS.tag}")
        assert len(asked) == 1 if has_tag else not asked[1].endswith(OURS.tag)
        assert ("taking the main branch" in capsys.readouterr().out) is not has_tag
