"""Options and fixtures that every test may use."""

import os
import tempfile
from pathlib import Path

import matplotlib
import pytest

# Doctest collection would import them a second time, under clashing names.
collect_ignore_glob = ["conftest.py", "*/conftest.py"]

matplotlib.use("agg")
# Hypothesis keeps its examples outside of the checkout, which may be read-only.
os.environ.setdefault("HYPOTHESIS_STORAGE_DIRECTORY", str(Path(tempfile.gettempdir()) / "cs336-hypothesis"))

ROOT = Path(__file__).resolve().parent.parent


def pytest_addoption(parser):
    parser.addoption(
        "--built-book", type=Path, default=ROOT / "_build/html", help="the rendered book that tests/book reads"
    )


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT
