"""The runner of the course's tests: what it skips and why, and that it tells passed, failed and missing apart."""

import os
import subprocess
import sys

import pytest
from test_official_suites import ROOT, run_suite, why_not

SUITE = """
from pathlib import Path
import pytest
from .adapters import run_add

def test_right(): assert run_add(1, 2) == 3
def test_wrong(): assert run_add(1, 2) == 4
def test_large(): (Path(__file__).parent / "fixtures" / "model.pt").read_bytes()
@pytest.mark.skip(reason="no GPU")
def test_gpu(): pass
@pytest.mark.xfail
def test_memory(): assert run_add(1, 2) == 3
"""


@pytest.fixture
def checkout(tmp_path):
    """A small assignment with a test of each outcome, and adapters for it."""
    tests = tmp_path / "assignment" / "tests"
    tests.mkdir(parents=True)
    for name, text in {"__init__": "", "conftest": "", "test_add": SUITE, "adapters": "run_add = None\n"}.items():
        (tests / f"{name}.py").write_text(text)
    (tmp_path / "adapters.py").write_text("def run_add(a, b):\n    return a + b\n")
    return tests.parent


def test_outcomes_are_told_apart_and_the_checkout_is_left_alone(checkout, tmp_path):
    before = {path: path.read_text() for path in checkout.rglob("*.py")}
    found = run_suite(checkout, tmp_path / "copy", tmp_path / "adapters.py")
    by_name = {name.rpartition("::")[2]: outcome for name, outcome in found.items()}
    assert {name: outcome for name, (outcome, _) in by_name.items()} == {
        "test_right": "passed",
        "test_wrong": "failed",
        "test_large": "cannot run",
        "test_gpu": "skipped",
        "test_memory": "passed",
    }
    assert by_name["test_large"][1] == "model.pt is not in the checkout"
    assert {path: path.read_text() for path in checkout.rglob("*.py")} == before


def test_what_cannot_run_says_why(checkout, tmp_path):
    adapters = tmp_path / "adapters.py"
    assert why_not(checkout, adapters) == ""
    assert "no checkout of the assignment" in why_not(tmp_path, adapters)
    assert "joins the library to the course's tests" in why_not(checkout, tmp_path / "none.py")
    (checkout / "pyproject.toml").write_text('[project]\nrequires-python = ">=3.12,<3.14"\n')
    assert "for Python 3.12 or newer, this is 3.11" in why_not(checkout, adapters, (3, 11))
    assert why_not(checkout, adapters, (3, 12)) == ""


@pytest.mark.slow
def test_without_a_checkout_it_is_skipped_with_the_way_to_name_one():
    environment = {name: value for name, value in os.environ.items() if name != "CS336_OFFICIAL"}
    command = [sys.executable, "-m", "pytest", "-m", "official", "-rs", "-p", "no:cacheprovider", "tests/official"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stdout
    assert "set CS336_OFFICIAL=/path/to/assignment1-basics" in done.stdout
