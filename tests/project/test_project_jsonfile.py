"""A file that is nested too deeply to be read is damaged as any other is, whoever reads it."""

import re

import pytest
from imports import ROOT

from cs336_lib.data.downloads import _note, known_hash
from cs336_lib.data.progress_log import milestones
from cs336_lib.experiments import catalogue, filing
from cs336_lib.jsonfile import parsed, read_json
from cs336_lib.training.checkpoints.reading import read_snapshot
from cs336_lib.training.record_files import first_torn, metrics_of, read_object
from cs336_lib.workshop import PLAN, workshop


def put(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def resumed(path):
    with workshop(path.parent, {}, finished=".ids"):
        return read_json(path)


def noted(path):
    put(_note(path), path.read_text())
    return known_hash(path)


REFUSED = object()
# name of the file: (read it, what that gives; REFUSED for a ValueError that names the file)
READERS = {
    "config.json": (read_json, REFUSED),
    "environment.json": (read_object, REFUSED),
    "benchmarks/state.json": (lambda path: catalogue.measurements(path.parents[1]), REFUSED),
    "t/record.json": (lambda path: catalogue.tokenizers(path.parents[1]), REFUSED),
    "state.json": (lambda path: read_snapshot(path.parent), REFUSED),
    "summary.json": (lambda path: filing._figures(path, path.parent), REFUSED),
    "metrics.jsonl": (metrics_of, []),
    "torn.jsonl": (first_torn, 1),
    "note": (noted, None),
    "1.log": (lambda path: list(milestones(path)), []),
    f"parts/{PLAN}": (resumed, {}),
}


@pytest.mark.parametrize("depth", [600, 100_000])
@pytest.mark.parametrize("name", READERS)
def test_a_file_that_is_nested_too_deeply_is_damaged(tmp_path, monkeypatch, name, depth):
    """At 600 Python still reads it, but no longer looks through it."""
    monkeypatch.setenv("CS336_CACHE_DIR", str(tmp_path / "cache"))
    read, expected = READERS[name]
    path = put(tmp_path / "home" / name, "[" * depth + "]" * depth)
    if expected is REFUSED:
        with pytest.raises(ValueError, match=re.escape(path.parent.name)):
            read(path)
    else:
        assert read(path) == expected


def test_a_text_that_is_nested_too_deeply_is_a_wrong_value():
    assert parsed(b'{"a": [1]}') == {"a": [1]}
    with pytest.raises(ValueError, match="nested too deeply"):
        parsed("[" * 100_000)


OWN = {
    "check/child/start.py",
    "check/processes.py",
    "figures/instruments/data.py",
    "model/llama.py",
    "native/background.py",
    "native/library.py",
    "results.py",
}
"""Modules that read JSON of no other hand than this library's: a process of its own, a file beside its code."""


def test_no_reader_of_files_forgets_it():
    reads = re.compile(r"\bjson\.loads?\(")
    code = ROOT / "cs336_lib"
    texts = {path.relative_to(code).as_posix(): path.read_text() for path in code.rglob("*.py")}
    readers = {name for name, text in texts.items() if reads.search(text.replace("json.loads(json.dumps", ""))}
    assert {name for name in readers if "RecursionError" not in texts[name]} == OWN
