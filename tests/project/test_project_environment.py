"""What a record says of where it ran: the commit, with changes or without, and the memory, however the system tells."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import cs336_lib
from cs336_lib import environment
from cs336_lib.peak_memory import peak_memory


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A checkout of a library of one file, and a function that calls git in it."""
    for name in ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"):
        monkeypatch.setenv(name, "/dev/null")
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "CS336_COMMIT"):
        monkeypatch.delenv(name, raising=False)
    module = tmp_path / "cs336_lib" / "__init__.py"
    module.parent.mkdir()
    module.write_text("one = 1\n")
    monkeypatch.setattr(cs336_lib, "__file__", str(module))

    def git(*arguments):
        named = ("-c", "user.name=a", "-c", "user.email=a@example.org")
        done = subprocess.run(["git", "-C", tmp_path, *named, *arguments], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "one")
    return module, git


def test_the_commit_is_named_with_changes_where_files_were_edited(checkout):
    module, git = checkout
    name = git("rev-parse", "HEAD")[:12]
    assert environment.commit() == name
    module.with_name("new.py").write_text("a file that is not tracked is no edit\n")
    assert environment.commit() == name
    module.write_text("one = 2\n")
    assert environment.commit() == f"{name}+changes"
    git("add", ".")
    assert environment.commit() == f"{name}+changes", "what is staged is no part of the commit"
    git("commit", "-qm", "two")
    git("tag", "-a", "v1", "-m", "v1")
    assert environment.commit() == git("rev-parse", "HEAD")[:12] != name, "and by no tag"


def test_a_variable_goes_before_the_checkout_and_without_either_there_is_no_commit(checkout, monkeypatch):
    module, _ = checkout
    monkeypatch.setenv("CS336_COMMIT", "0123456789ab")
    assert environment.commit() == "0123456789ab"
    monkeypatch.delenv("CS336_COMMIT")
    (module.parent.parent / ".git").rename(module.parent.parent / "git")
    assert environment.commit() is None


@pytest.mark.parametrize("failure", ["no git", "no history"])
def test_a_checkout_that_git_can_not_read_has_no_commit(checkout, monkeypatch, failure):
    module, _ = checkout
    if failure == "no git":
        monkeypatch.setenv("PATH", "")
    else:
        (module.parent.parent / ".git" / "HEAD").unlink()
    assert environment.commit() is None


@pytest.mark.parametrize("status", [None, "", "Name:\tpython\n", "VmHWM:\n"])
@pytest.mark.parametrize(("platform", "unit"), [("linux", 1024), ("freebsd14", 1024), ("darwin", 1)])
def test_where_proc_does_not_tell_the_c_library_does_in_its_unit(monkeypatch, status, platform, unit):
    resource = pytest.importorskip("resource")

    def read_text(path):
        if status is None:
            raise FileNotFoundError(path)
        return status

    monkeypatch.setattr(Path, "read_text", read_text)
    monkeypatch.setattr(resource, "getrusage", lambda who: SimpleNamespace(ru_maxrss=5_000))
    monkeypatch.setattr(sys, "platform", platform)
    assert peak_memory() == 5_000 * unit


def test_both_ways_to_ask_for_memory_tell_about_the_same(monkeypatch):
    told = peak_memory()
    if told is None:
        pytest.skip("this system does not tell")
    monkeypatch.setattr(Path, "read_text", lambda path: "")
    again = peak_memory()
    assert again is not None and told * 0.5 < again  # it may be a parent's, which held more


def test_what_proc_tells_is_in_kilobytes(monkeypatch):
    monkeypatch.setattr(Path, "read_text", lambda path: "VmPeak:\t  9 kB\nVmHWM:\t  12345 kB\nVmRSS:\t  7 kB\n")
    assert peak_memory() == 12_345 * 1024
