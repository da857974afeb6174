"""A pytest plugin: what nbval executes and finds right is kept for the book, so that each notebook runs once.

    PYTHONPATH=tools pytest -p keep_executed --nbval --keep-executed _build/executed notebooks

nbval compares each cell with its stored output; when all cells of a notebook have passed, the notebook with the outputs
of this very run is written to the folder. `build_book.py` renders it if it still is the notebook of the checkout, and
the library the one that it ran with.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment]  # a grammar of addresses, for jsonschema: 2 s

import nbformat
import pytest
from build_book import SECONDS, library_digest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option."""
    parser.addoption("--keep-executed", type=Path, help="folder for notebooks that ran and passed")


def pytest_configure(config: pytest.Config) -> None:
    """Remember what the notebooks run with, before they do."""
    if config.getoption("keep_executed"):
        config.stash[_BEFORE] = library_digest()


_BEFORE: pytest.StashKey[str] = pytest.StashKey()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[Any]) -> None:
    """Let the later chapters, which run longest, begin: so that none of them runs alone at the end."""
    if config.getoption("keep_executed"):
        items.sort(key=lambda item: str(item.path), reverse=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: Any, call: Any) -> Any:
    """Gather the outputs of each cell; write the notebook after its last one."""
    report = yield
    folder = item.config.getoption("keep_executed")
    if folder and call.when == "call" and hasattr(item, "test_outputs"):
        kept = item.parent.__dict__.setdefault("_kept", {})
        began = item.parent.__dict__.setdefault("_began", call.start)
        if report.passed:
            kept[item.cell_num] = item.test_outputs
        cells = [cell for cell in item.parent.nb.cells if cell.cell_type == "code"]
        if len(kept) == len(cells):
            _write(folder, item.parent.path, kept, time.time() - began, item.config.stash[_BEFORE])
    return report


def _write(folder: Path, path: Path, kept: dict[int, list[Any]], seconds: float, library: str) -> None:
    """Write the notebook of the checkout with other outputs."""
    notebook = nbformat.read(path, as_version=4)
    number = 0
    for cell in notebook.cells:
        if cell.cell_type == "code":
            outputs = [nbformat.from_dict(output) for output in kept[number]]
            number += 1
            cell.execution_count = number
            for output in outputs:
                if output.output_type == "execute_result":
                    output.execution_count = number
            cell.outputs = outputs
    nbformat.validate(notebook)
    folder.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, folder / path.name)
    about = {"library": library, SECONDS: round(seconds, 1)}
    (folder / f"{path.stem}.json").write_text(json.dumps(about), encoding="utf-8")
