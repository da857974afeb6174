"""Every benchmark still opens, and asks the library only for what it has: `make bench` is too long for each change."""

import ast
import importlib
import json
import re
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


@pytest.fixture
def everything(monkeypatch):
    """The script that runs all others."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("everything")


def test_each_record_is_made_by_one_command_with_its_settings(everything):
    records = {path.stem: json.loads(path.read_text()) for path in (ROOT / "results/benchmarks").glob("*.json")}
    on_cpus = {name for name, record in records.items() if "NVIDIA" not in str(record.get("device"))}
    assert on_cpus == {name for name, _ in everything.RUNS} and len(on_cpus) < len(records)
    for name, command in everything.RUNS:
        found = re.findall(r"--([a-z-]+) ([a-z0-9-]+)", command)
        settings = {setting.replace("-", "_"): value for setting, value in found}
        entries = list(records[name].values()) if name.startswith("bpe_train") else [records[name]]
        for setting in ("rounds", "batch_size", "context_length", "steps", "threads", "preset", "seconds"):
            if setting in settings:
                kept = {str(entry[setting]).removesuffix(".0") for entry in entries if setting in entry}
                assert settings[setting] in kept, (name, setting)


@pytest.mark.parametrize("code", [0, 3])
def test_all_are_run_in_turn_and_a_failure_does_not_stop_the_others(everything, monkeypatch, tmp_path, capsys, code):
    first = (
        f"import sys, pathlib\nprint('measured', sys.argv[1])\npathlib.Path(sys.argv[-1]).touch()\nsys.exit({code})\n"
    )
    (tmp_path / "first.py").write_text(first)
    (tmp_path / "second.py").write_text(first.replace(f"exit({code})", "exit(0)"))
    (tmp_path / "text.txt").write_text("One. Two.")
    monkeypatch.setattr(everything, "HERE", tmp_path)
    monkeypatch.setattr(everything, "RUNS", (("a", "first {text}"), ("a", "second {documents}"), ("b", "second 7")))
    text = str(tmp_path / "text.txt")
    monkeypatch.setattr(sys, "argv", ["everything.py", "--text", text, "--out", str(tmp_path / "out")])
    assert everything.main() == int(code > 0)
    said = capsys.readouterr().out
    assert [f"exit code {number}" in said for number in (0, 3)] == [False, code == 3]
    assert (tmp_path / "out/a.txt").read_text().count(f"measured {text}") == 2
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"a.txt", "a.json", "b.txt", "b.json"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(["--only", "bpe_tarin"], ["bpe_tarin", "bpe_train"]), (["--text", "nowhere.txt"], ["nowhere.txt"])],
)
def test_a_wrong_name_is_told_before_anything_runs(everything, monkeypatch, tmp_path, arguments, words):
    monkeypatch.setattr(sys, "argv", ["everything.py", "--out", str(tmp_path / "out"), *arguments])
    with pytest.raises(SystemExit) as ended:
        everything.main()
    assert all(word in str(ended.value) for word in words) and not (tmp_path / "out").exists()
