"""Options and fixtures that every test may use."""

from pathlib import Path

import matplotlib
import pytest

matplotlib.use("agg")

ROOT = Path(__file__).resolve().parent.parent


def pytest_addoption(parser):
    parser.addoption(
        "--built-book", type=Path, default=ROOT / "_build/html", help="the rendered book that tests/book reads"
    )


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT
