"""The files around the code agree with each other."""

import re
import subprocess
import tomllib
from fnmatch import fnmatch

import pytest
import yaml
from imports import ROOT

import cs336_lib

PRIVATE = re.compile(r"/(?:home|root|Users)/\w+|file:///\w")


def text(name):
    return (ROOT / name).read_text(encoding="utf-8")


def pyproject():
    return tomllib.loads(text("pyproject.toml"))


def constraints():
    return dict(line.split("==") for line in text("constraints.txt").splitlines() if not line.startswith("#"))


def test_one_version_everywhere():
    version = cs336_lib.__version__
    assert yaml.safe_load(text("CITATION.cff"))["version"] == version
    assert re.search(rf"^## {re.escape(version)}\b", text("CHANGELOG.md"), re.MULTILINE)


def test_torch_is_pinned_for_our_checks_and_for_nobody_else():
    dependencies = pyproject()["project"]["dependencies"]
    (torch,) = [requirement for requirement in dependencies if requirement.startswith("torch")]
    assert "==" not in torch and "<" not in torch
    assert constraints()["torch"].count(".") == 2 and "+" not in constraints()["torch"]


def test_every_direct_dependency_is_pinned_in_the_constraints():
    project = pyproject()["project"]
    extras = project["optional-dependencies"]
    wanted = project["dependencies"] + [name for extra in ("book", "test", "dist", "dev") for name in extras[extra]]
    names = {re.split(r"[\[<>=]", requirement)[0].lower().replace("_", "-") for requirement in wanted} - {"cs336-lib"}
    assert names <= constraints().keys()


def test_the_readme_names_only_targets_that_make_has():
    targets = set(re.findall(r"^([a-z]+):", text("Makefile"), re.MULTILINE))
    for name in ("README.md", "book/how-to-run.md", ".ci/run"):
        used = set(re.findall(r"\bmake ([a-z]{3,})\b(?! [a-z])", text(name)))
        assert used and used <= targets, name


def test_the_files_that_begin_exist_and_keep_their_place():
    names = re.findall(r'^    "([\w/]+\.py)",$', text("tests/conftest.py"), re.MULTILINE)
    assert names and all((ROOT / "tests" / name).is_file() for name in names)
    assert "--no-loadscope-reorder" in text("Makefile"), "without it, xdist begins with the files of most tests"


def test_every_page_of_the_contents_exists():
    contents = yaml.safe_load(text("_toc.yml"))
    pages = [contents["root"]] + [page["file"] for part in contents["parts"] for page in part["chapters"]]
    for page in pages:
        assert (ROOT / page).exists() or (ROOT / f"{page}.md").exists(), page
    chapters = [page for page in pages if page.startswith("notebooks/")]
    assert all(page.endswith(".ipynb") for page in chapters), "only then do the Colab buttons point at the right file"
    assert set(chapters) == {f"notebooks/{path.name}" for path in (ROOT / "notebooks").glob("[0-9]*.ipynb")}


def test_no_committed_file_names_a_home_folder():
    if not (ROOT / ".git").exists():
        pytest.skip("this is no checkout: nothing is committed")
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode()
    for name in listing.rstrip("\0").split("\0"):
        path = ROOT / name
        if path.is_file() and path.suffix in {".md", ".ipynb", ".json", ".jsonl", ".txt", ".yml", ".toml", ".cff"}:
            found = PRIVATE.search(path.read_text(encoding="utf-8"))
            assert not found, f"{name}: {found[0]}"


def test_no_folder_of_tests_has_a_name_that_pytest_passes_over(pytestconfig):
    """A folder named dist was once: nothing in it ran, and nothing said so."""
    folders = {path.parent for path in (ROOT / "tests").rglob("test_*.py")}
    parts = {part for folder in folders for part in folder.relative_to(ROOT / "tests").parts}
    skipped = [part for part in parts for name in pytestconfig.getini("norecursedirs") if fnmatch(part, name)]
    assert len(parts) > 8 and not skipped
