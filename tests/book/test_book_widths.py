"""Code and prints of all chapters fit the column of the page: 92 characters, as `book.css` sets the type."""

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
COLUMNS = 92
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))


def texts(cell):
    """Return a cell's code, and its outputs that have no form of their own, such as HTML."""
    yield "".join(cell["source"])
    for output in cell["outputs"]:
        data = output.get("data", {})
        if not {"text/html", "image/png"} & set(data):
            yield "".join(output.get("text", "") or data.get("text/plain", ""))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_line_of_code_or_output_is_cut_off(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    lines = [
        line for cell in cells if cell["cell_type"] == "code" for text in texts(cell) for line in text.splitlines()
    ]
    assert len(lines) > 100
    assert not [line for line in lines if len(line) > COLUMNS]
