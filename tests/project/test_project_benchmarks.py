"""Every benchmark still opens, and asks the library only for what it has: `make bench` is too long for each change."""

import ast
import importlib
import runpy
import sys

import pytest
from imports import ROOT

SCRIPTS = sorted(path for path in (ROOT / "benchmarks").glob("*.py") if "__main__" in path.read_text(encoding="utf-8"))
FILES = [*sorted((ROOT / "benchmarks").glob("*.py")), *sorted((ROOT / "tools").glob("*.py"))]


def asked_of_the_library(source):
    """Return (module, name) for each import from the library, and for each attribute of a module so imported."""
    tree, asked, modules = ast.parse(source), [], {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "cs336_lib":
            for alias in node.names:
                asked.append((node.module, alias.name))
                modules[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules:
            asked.append((modules[node.value.id], node.attr))
    return asked


def is_there(module, name):
    """Whether a module has a name; True as well for an attribute of something that is no module."""
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError:
        return True
    if hasattr(found, name):
        return True
    try:
        importlib.import_module(f"{module}.{name}")
    except ModuleNotFoundError:
        return False
    return True


def test_a_name_that_is_gone_is_found():
    assert asked_of_the_library("from cs336_lib.bpe import training\ntraining.no_such(1)") == [
        ("cs336_lib.bpe", "training"),
        ("cs336_lib.bpe.training", "no_such"),
    ]
    assert is_there("cs336_lib.bpe", "training") and is_there("cs336_lib.bpe", "Tokenizer")
    assert not is_there("cs336_lib.bpe", "reference") and not is_there("cs336_lib.bpe.training", "no_such")


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_what_a_script_asks_of_the_library_is_there(path):
    gone = [
        f"{module}.{name}"
        for module, name in asked_of_the_library(path.read_text(encoding="utf-8"))
        if not is_there(module, name)
    ]
    assert not gone, f"{path.name} asks for {', '.join(gone)}"


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_a_benchmark_says_how_it_is_called(path, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", [str(path), "--help"])
    monkeypatch.syspath_prepend(str(path.parent))
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(path), run_name="__main__")
    assert ended.value.code == 0
    assert "usage:" in (shown := capsys.readouterr().out) and "--" in shown
