"""Every benchmark still opens, and asks the library only for what it has: `make bench` is too long for each change."""

import ast
import importlib
import json
import re
import runpy
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import psutil
import pytest
from imports import ROOT

from cs336_lib.bpe import Tokenizer, train_bpe
from cs336_lib.data import tales

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


def test_each_record_is_made_by_one_command_with_its_settings_and_contenders(everything):
    records = {path.stem: json.loads(path.read_text()) for path in (ROOT / "results/benchmarks").glob("*.json")}
    on_cpus = {name for name, record in records.items() if "NVIDIA" not in str(record.get("device"))}
    runs = everything.planned("")
    assert on_cpus == {name for name, _ in runs} and len(on_cpus) < len(records)
    for name in on_cpus:
        commands = [command for made, command in runs if made == name]
        entries = list(records[name].values()) if name.startswith("bpe_train") else [records[name]]
        for command, entry in zip(commands, entries, strict=True):
            settings = {
                found[1].replace("-", "_"): found[2] for found in re.finditer(r"--([a-z-]+) (?!--)([\w,-]+)", command)
            }
            for setting in ("rounds", "batch_size", "context_length", "steps", "threads", "preset", "seconds"):
                if setting in settings:
                    assert str(entry[setting]).removesuffix(".0") == settings[setting], (name, setting)
            if "rounds" in entry and name != "bpe_start":
                assert "rounds" in settings, f"{name} has rounds that its command does not name"
            if name.startswith(("bpe_train", "bpe_encode")):
                measured = entry["medians"] if "medians" in entry else entry["megabytes_per_second"]["1"]
                alone = {"minbpe-like"} & entry.keys()  # beside ours, on a smaller text
                assert set(settings["only"].split(",")) == set(measured) | alone, name


SMALL = {
    "bpe_train": "{text} --bytes 200000 --vocab-size 300 --rounds 1",
    "bpe_encode": "{text} {gpt2} --bytes 200000 --rounds 1 --only gigatoken,tokenizers",
    "bpe_stages": "{text} {gpt2} --rounds 1",
    "bpe_files": "{text} {gpt2} --bytes 2000000 --rounds 2 --only gigatoken,tokenizers",
    "bpe_scale": "{text} --only start,executors",
    "data": "--size 500000 --rounds 1",
    "scaling": "--text {text} --rounds 1",
    "model": "--preset tales-1m --device cpu --batch-size 1 --rounds 1",
    "generation": "--device cpu --presets tales-1m --rows 1 --tokens 4 --rounds 1",
    "training": "--device cpu --batch-size 1 --steps 12 --rounds 1",
}
"""Options with which a benchmark measures nothing of worth, but does all that it does."""
ELSEWHERE = {"everything", "gpu_run", "bpe_corpora", "bpe_fuzz"}
"""Runs the others; needs a GPU; the course's two texts; GPT-2's own vocabulary, whose order of bytes tiktoken wants."""


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_each_runs_to_its_end_and_writes_a_record(tmp_path, name):
    assert {path.stem for path in SCRIPTS} == SMALL.keys() | ELSEWHERE
    tales.write(tmp_path / "text.txt", 400_000, seed=3)
    merges = train_bpe(tmp_path / "text.txt", 400, ["<|endoftext|>"])
    Tokenizer(merges.vocab, merges.merges, ["<|endoftext|>"]).save(tmp_path / "gpt2")
    options = SMALL[name].format(text=tmp_path / "text.txt", gpt2=f"--gpt2 {tmp_path / 'gpt2'}")
    command = [sys.executable, ROOT / f"benchmarks/{name}.py", *options.split(), "--output", tmp_path / "out.json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=500, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads((tmp_path / "out.json").read_text())


SCRIPT = """import os, pathlib, sys
print("measured", sys.argv[1])
sys.stderr.write("\\r 10%|#  |\\r100%|###|\\n")
sys.stdout.flush()
os.write(1, b"a byte \\xff that is no text\\n")
if {code}:
    sys.exit({code})
pathlib.Path(sys.argv[-1]).touch()
"""


@pytest.fixture
def small(everything, monkeypatch, tmp_path):
    """Three runs of two scripts that measure nothing; a function that runs them all."""
    (tmp_path / "a text.txt").write_text("One. Two.")
    monkeypatch.setattr(everything, "HERE", tmp_path)
    monkeypatch.setattr(everything, "RUNS", (("a", "first {text}"), ("a", "second {documents}"), ("b", "second 7")))

    def run(code=0, *more):
        for name, ending in (("first", code), ("second", 0)):
            (tmp_path / f"{name}.py").write_text(SCRIPT.replace("{code}", str(ending)))
        arguments = ["--text", str(tmp_path / "a text.txt"), "--out", str(tmp_path / "out"), *more]
        monkeypatch.setattr(sys, "argv", ["everything.py", *arguments])
        return everything.main()

    return run


@pytest.mark.parametrize("code", [0, 3])
def test_all_are_run_in_turn_and_a_failure_does_not_stop_the_others(small, tmp_path, capsys, code):
    assert small(code) == int(code > 0)
    said = capsys.readouterr().out
    assert [f"exit code {number}" in said for number in (0, 3)] == [False, code == 3]
    log = (tmp_path / "out/a.txt").read_text()
    assert log.count(f"measured {tmp_path / 'a text.txt'}") == 2 and "a byte \ufffd that" in log
    assert "10%" not in log.replace("100%", "") and log.count("100%") == 2, "the end of a bar is kept"
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"a.txt", "a.json", "b.txt", "b.json"}


def test_records_of_an_earlier_run_are_told_from_new_ones(small, everything, monkeypatch, capsys):
    small(3)
    assert "an earlier one" not in capsys.readouterr().out, "the second run made it"
    monkeypatch.setattr(everything, "RUNS", (("a", "first {text}"),))
    small(0)
    assert "an earlier one" not in capsys.readouterr().out
    small(3)
    assert "see a.txt; the record there is an earlier one" in capsys.readouterr().out


def test_a_text_that_cannot_be_built_fails_its_run_alone(small, everything, monkeypatch, tmp_path):
    (tmp_path / "bpe_scale.py").write_text("import sys; sys.exit(5)")
    monkeypatch.setattr(everything, "RUNS", (("a", "first {half_new}"), ("b", "second 7")))
    assert small() == 1 and (tmp_path / "out/b.json").exists() and not (tmp_path / "out/a.json").exists()


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_request_to_end_ends_the_benchmark_too_and_leaves_no_file(small, tmp_path, name):
    lines = ["import subprocess, tempfile, time", "left = tempfile.mkdtemp()"]
    lines += ["own = subprocess.Popen(['sleep', '60']).pid", "print('began', own, left, flush=True)"]
    (tmp_path / "sleeps.py").write_text("\n".join([*lines, "time.sleep(60)"]))
    driver = f"import sys; sys.path.insert(0, {str(ROOT / 'benchmarks')!r}); import everything, pathlib; "
    driver += f"everything.HERE = pathlib.Path({str(tmp_path)!r}); everything.RUNS = (('a', 'sleeps {{text}}'),); "
    driver += f"sys.argv = ['x', '--text', {str(tmp_path / 'a text.txt')!r}, '--out', {str(tmp_path / 'out')!r}]; "
    driver += "sys.exit(everything.main())"
    with subprocess.Popen([sys.executable, "-c", driver], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        line = next(line for line in process.stdout if line.startswith(b"began")).decode()
        process.send_signal(getattr(signal, name))
        assert process.wait(30) != 0
    _, own, left = line.strip().split(maxsplit=2)
    assert not Path(left).exists()
    for _ in range(50):
        if not psutil.pid_exists(int(own)) or psutil.Process(int(own)).status() == psutil.STATUS_ZOMBIE:
            break
        time.sleep(0.1)
    else:
        pytest.fail("what the benchmark began goes on")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--only", "bpe_tarin"], ["'bpe_tarin'", "bpe_train"]),
        (["--text", "nowhere.txt"], ["'nowhere.txt' is no file"]),
        (["--documents", "."], ["'.' is no file"]),
        (["--only", "bpe_fuzz", "--gpt2", "nowhere"], ["nowhere has neither", "--gpt2"]),
    ],
)
def test_what_is_wrong_is_told_before_anything_runs(everything, monkeypatch, tmp_path, arguments, words):
    monkeypatch.setattr(sys, "argv", ["everything.py", "--out", str(tmp_path / "out"), *arguments])
    with pytest.raises(SystemExit) as ended:
        everything.main()
    assert all(word in str(ended.value) for word in words) and not (tmp_path / "out").exists()


def test_names_may_have_blanks_between_them(everything):
    assert [name for name, _ in everything.planned(" data, model ,")] == ["data", "model"]


def test_too_small_a_disk_is_told(everything, monkeypatch, tmp_path):
    monkeypatch.setattr(everything, "DISK", 1 << 60)
    monkeypatch.setattr(sys, "argv", ["everything.py", "--only", "bpe_scale", "--out", str(tmp_path / "out")])
    with pytest.raises(SystemExit, match="GB left"):
        everything.main()


def test_the_gpu_run_wants_no_more_packages_than_it_and_the_page_say():
    """Its imports, and what they import, while every other package that the library depends on is missing."""
    source = (ROOT / "benchmarks/gpu_run.py").read_text()
    said = re.search(r"wants of packages no more than (.*?), and for its tests", source, re.DOTALL)[1]
    wanted = set(re.findall(r"\w+", said))
    page = (ROOT / "book/how-to-run.md").read_text()
    assert wanted <= set(re.findall(r"\w+", re.search(r"a checkout, (.*?) will do", page)[1]))
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    missing = {re.match(r"\w+", one)[0].lower() for one in listed} - wanted
    assert {"tyro", "matplotlib"} <= missing
    ours = sorted(set(re.findall(r"^ +(from cs336_lib[\w.]* import .+)$", source, re.MULTILINE)))
    code = f"import sys; sys.modules |= dict.fromkeys({sorted(missing)}); " + "; ".join(ours)
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
