"""The book is built again exactly when something that it shows has changed."""

import importlib.util
import sys
from types import SimpleNamespace

import pytest
from imports import ROOT

SPEC = importlib.util.spec_from_file_location("build_book", ROOT / "tools/build_book.py")
build_book = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(build_book)


@pytest.fixture
def house(tmp_path, monkeypatch):
    """A repository of two files."""
    for name in ("cs336_lib/a.py", "book/index.md"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(name)
    monkeypatch.setattr(build_book, "ROOT", tmp_path)
    monkeypatch.delenv("CS336_SCALE", raising=False)
    return tmp_path


def test_the_digest_stays_when_nothing_changed(house):
    before = build_book.digest(["cs336_lib", "book"])
    (house / "cs336_lib/__pycache__").mkdir()
    (house / "cs336_lib/__pycache__/a.pyc").write_text("compiled")
    assert build_book.digest(["cs336_lib", "book"]) == before


@pytest.mark.parametrize("change", ["text", "name", "scale"])
def test_the_digest_notices(house, monkeypatch, change):
    before = build_book.digest(["cs336_lib"])
    if change == "text":
        (house / "cs336_lib/a.py").write_text("changed")
    elif change == "name":
        (house / "cs336_lib/a.py").rename(house / "cs336_lib/b.py")
    else:
        monkeypatch.setenv("CS336_SCALE", "full")
    assert build_book.digest(["cs336_lib"]) != before


def test_a_built_book_is_not_built_again_and_a_changed_library_empties_the_execution_cache(house, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["build_book.py", "--out", str(house)])
    cached = house / "_build/.jupyter_cache/entry"
    runs = []

    def built(out, builder):
        runs.append(cached.exists())
        (out / "_build/html").mkdir(exist_ok=True)
        (out / "_build/html/index.html").write_text("a page")
        cached.parent.mkdir(exist_ok=True)
        cached.write_text("outputs")
        return 0

    monkeypatch.setattr(build_book, "sphinx", built)
    assert build_book.main() == 0 and build_book.main() == 0
    assert runs == [False]
    assert "up to date" in capsys.readouterr().out
    (house / "book/index.md").write_text("another sentence")
    build_book.main()
    (house / "cs336_lib/a.py").write_text("another function")
    build_book.main()
    assert runs == [False, True, False]


def test_a_build_that_failed_is_tried_again(house, monkeypatch):
    monkeypatch.setattr("sys.argv", ["build_book.py", "--out", str(house)])
    outcomes = [1, 0]
    monkeypatch.setattr(build_book, "sphinx", lambda *_: outcomes.pop(0))
    assert build_book.main() == 1
    assert build_book.main() == 0


def test_the_build_knows_what_the_tests_have_run_by_the_same_digest(house, monkeypatch):
    """Also with files that no cell depends on; else every page would be executed twice, and nobody told."""
    (house / "cs336_lib/instrument.mjs").write_text("export const x = 1")
    monkeypatch.setitem(sys.modules, "build_book", build_book)
    spec = importlib.util.spec_from_file_location("keep_executed", ROOT / "tools/keep_executed.py")
    keep_executed = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(keep_executed)
    config = SimpleNamespace(getoption=lambda name: house, stash={})
    keep_executed.pytest_configure(config)
    asked = []
    monkeypatch.setattr(build_book, "execute", lambda cache, kept, library: asked.append(library))
    monkeypatch.setattr(build_book, "write_instruments", lambda folder: None)
    monkeypatch.setattr(build_book, "sphinx", lambda *_: 1)
    monkeypatch.setattr("sys.argv", ["build_book.py", "--out", str(house)])
    build_book.main()
    assert asked == list(config.stash.values())
