"""The course's own tests, run against this library.

    CS336_OFFICIAL=/path/to/assignment1-basics pytest -m official

The path is a checkout of the assignment, of either year. Its `tests/` folder is copied, the adapters beside this file
take the place of its empty ones, and it runs in a process of its own. Several checkouts may be named, with the system's
separator of paths between them. Without one, everything here is skipped.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from cs336_lib.data import tales

ROOT = Path(__file__).resolve().parents[2]
ADAPTERS = Path(__file__).with_name("adapters.py")
NAMED = [Path(name) for name in os.environ.get("CS336_OFFICIAL", "").split(os.pathsep) if name]
HOW = "set CS336_OFFICIAL=/path/to/assignment1-basics, a checkout of the course's assignment"
UNCLEAR = ("cannot run", "skipped")
MISSING = re.compile(r"FileNotFoundError: .*?'([^']*(?:fixtures|_snapshots)[^']*)'")


def needed_python(checkout: Path) -> tuple[int, ...]:
    """Return the Python that a checkout asks for, which is what its conftest is written in."""
    project = checkout / "pyproject.toml"
    found = re.search(r'requires-python\s*=\s*"[^"]*>=\s*(\d+)\.(\d+)', project.read_text() if project.exists() else "")
    return tuple(map(int, found.groups())) if found else (3, 11)


def why_not(checkout: Path, adapters: Path = ADAPTERS, python: tuple[int, ...] = sys.version_info[:2]) -> str:
    """Return why a checkout's tests cannot run, empty if they can."""
    if not (checkout / "tests" / "conftest.py").is_file():
        return f"{checkout} is no checkout of the assignment: it has no tests/conftest.py. {HOW[0].upper()}{HOW[1:]}"
    if not adapters.is_file():
        return f"{adapters.name} is not there, which joins the library to the course's tests"
    if python < needed_python(checkout):
        needed, here = (".".join(map(str, version)) for version in (needed_python(checkout), python))
        return f"the tests of {checkout} are for Python {needed} or newer, this is {here}"
    return ""


def outcomes(report: Path) -> dict[str, tuple[str, str]]:
    """Return test -> (outcome, message) from a report in JUnit's form.

    A test that fails because a file of its own suite is missing, as in a checkout without the large ones, "cannot run".
    """
    found = {}
    for case in ElementTree.parse(report).iter("testcase"):
        bad = next((child for child in case if child.tag in ("failure", "error")), None)
        skipped = next((child for child in case if child.tag == "skipped"), None)
        text = "" if bad is None else f"{bad.get('message', '')}\n{bad.text or ''}"
        lacking = MISSING.search(text)
        outcome = "passed"
        if lacking:
            outcome, text = "cannot run", f"{Path(lacking[1]).name} is not in the checkout"
        elif bad is not None:
            outcome = "failed"
        elif skipped is not None:
            outcome, text = "skipped", skipped.get("message", "")
        found[f"{case.get('classname')}::{case.get('name')}"] = outcome, text
    return found


def run_suite(checkout: Path, folder: Path, adapters: Path = ADAPTERS) -> dict[str, tuple[str, str]]:
    """Run the tests of a checkout against the adapters, in a copy, and return their outcomes."""
    shutil.copytree(checkout / "tests", folder / "tests")
    shutil.copyfile(adapters, folder / "tests" / "adapters.py")
    (folder / "pytest.ini").write_text("[pytest]\n")
    paths = os.pathsep.join([str(folder), str(ROOT)])
    environment = {**os.environ, "PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--junitxml=report.xml", "tests"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=1_500)
    assert (folder / "report.xml").exists(), (done.stdout + done.stderr)[-3_000:]
    return outcomes(folder / "report.xml")


def warm_kernels(path: Path) -> None:
    """Compile what the trainer needs before a test with a clock runs; a first call takes some seconds for it."""
    tales.write(path, 500_000, seed=0)
    code = f"from cs336_lib.bpe import train_bpe; train_bpe({str(path)!r}, 300, ['<|endoftext|>'])"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=300)


@pytest.mark.official
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("checkout", NAMED or [None], ids=lambda path: path.name if path else "none")
def test_the_courses_own_tests_pass(checkout, tmp_path, capsys):
    if reason := HOW if checkout is None else why_not(checkout):
        pytest.skip(reason)
    warm_kernels(tmp_path / "tales.txt")
    found = run_suite(checkout, tmp_path)
    counts = {kind: [name for name, (outcome, _) in found.items() if outcome == kind] for kind in ("passed", "failed")}
    others = [f"  {name}: {kind}: {text.splitlines()[0]}" for name, (kind, text) in found.items() if kind in UNCLEAR]
    with capsys.disabled():
        print(
            f"\n{checkout}: {len(counts['passed'])} passed, {len(counts['failed'])} failed, {len(others)} did not run"
        )
        print("\n".join(others))
    assert counts["passed"], "no test of the suite ran"
    assert not counts["failed"], "\n".join(f"{name}: {found[name][1][:600]}" for name in counts["failed"])
