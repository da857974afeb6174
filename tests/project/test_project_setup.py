"""`make` on a machine where something is missing: one clear line, and nothing that breaks the next try."""

import importlib.util
import shutil
import subprocess

import pytest
from imports import ROOT

SPEC = importlib.util.spec_from_file_location("bootstrap", ROOT / "tools/bootstrap.py")
bootstrap = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(bootstrap)

needs_make = pytest.mark.skipif(shutil.which("make") is None, reason="no make here")


def make(*arguments):
    return subprocess.run(["make", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)


@needs_make
def test_make_alone_lists_the_targets():
    listing = make().stdout
    for target in ("book", "test", "lint", "serve", "notebooks", "bench", "clean"):
        assert f"\n  {target} " in listing


@needs_make
def test_a_missing_python_gets_one_line():
    done = make("setup", "PYTHON=/nowhere/python3.12")
    assert done.returncode != 0
    (line,) = [line for line in done.stderr.splitlines() if not line.startswith("make")]
    assert line.startswith("error: no Python 3.11, 3.12 or 3.13 found at /nowhere/python3.12")


@needs_make
def test_a_too_old_python_gets_one_line(tmp_path):
    old = tmp_path / "python with spaces"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo Python 3.8.1\nexit 1\n')
    old.chmod(0o755)
    done = make("setup", f"PYTHON={old}")
    assert done.returncode != 0 and "no Python 3.11, 3.12 or 3.13 found" in done.stderr


@pytest.mark.parametrize(
    ("log", "says"),
    [
        (
            "WARNING: Retrying ... NewConnectionError('...: Temporary failure in name resolution')\nERROR: x",
            "no network",
        ),
        ("ERROR: No matching distribution found for torch==2.13.0\n", "no torch==2.13.0 for Python 3"),
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device\n", "disk is full"),
        ("something\nERROR: a new kind of failure\n", "a new kind of failure"),
    ],
)
def test_pips_failures_become_one_clear_reason(log, says):
    assert says in bootstrap.explain(log)


def test_a_folder_that_refuses_files_is_named(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("a file where the folder should be")
    with pytest.raises(bootstrap.SetupError, match=f"cannot write in {blocked}"):
        bootstrap.check_writable(blocked)


def test_a_complete_environment_is_left_alone(tmp_path, monkeypatch):
    python = bootstrap.environment_python(tmp_path)
    python.parent.mkdir(parents=True)
    python.touch()
    (tmp_path / ".complete").write_text(bootstrap.digest("dev"))
    monkeypatch.setattr(bootstrap, "pip_install", lambda *_: pytest.fail("nothing had changed"))
    bootstrap.setup(tmp_path, "dev")


def test_an_interrupted_install_is_gone_on_with(tmp_path, monkeypatch):
    calls = []

    def interrupted(_, what, title):
        calls.append(title)
        if len(calls) == 2:
            raise bootstrap.SetupError("no network")

    monkeypatch.setattr(bootstrap, "pip_install", interrupted)
    monkeypatch.setattr(bootstrap, "uv_install", lambda *_: False)
    monkeypatch.setattr(bootstrap, "same_version", lambda _: True)
    (tmp_path / ".complete").write_text("of an older pyproject.toml")
    with pytest.raises(bootstrap.SetupError):
        bootstrap.setup(tmp_path, "dev")
    assert not (tmp_path / ".complete").exists()
    bootstrap.setup(tmp_path, "dev")
    assert (tmp_path / ".complete").read_text() == bootstrap.digest("dev")
    assert len(calls) == 4


@pytest.mark.parametrize(("works", "expected"), [(True, ["PyTorch"]), (False, ["PyTorch", "everything else"])])
def test_pip_installs_torch_and_what_uv_can_not(tmp_path, monkeypatch, works, expected):
    calls, asked = [], []
    monkeypatch.setattr(bootstrap, "pip_install", lambda python, what, title: calls.append(title))
    monkeypatch.setattr(bootstrap, "uv_install", lambda python, what, title: asked.append(what) or works)
    monkeypatch.setattr(bootstrap, "same_version", lambda _: True)
    bootstrap.setup(tmp_path, "dev")
    assert calls == expected and asked[0][-2:] == ["-e", ".[dev]"]


@pytest.mark.parametrize("fails_at", ["fetch", "install", None])
def test_uv_is_fetched_then_used_and_its_failure_is_told(monkeypatch, capsys, fails_at):
    commands = []

    def run(command, **options):
        commands.append(command)
        stage = "fetch" if "uv" not in command[:3] else "install"
        return subprocess.CompletedProcess(command, int(stage == fails_at), "", "error: no such package")

    monkeypatch.setattr(subprocess, "run", run)
    assert bootstrap.uv_install("python", ["-e", "."], "everything else") is (fails_at is None)
    assert len(commands) == (1 if fails_at == "fetch" else 2)
    assert ("pip takes over" in capsys.readouterr().out) is (fails_at == "install")
