"""The notebook that adds a GPU's records runs what there is, and is committed without outputs."""

import ast
import json

from imports import ROOT

NOTEBOOK = json.loads((ROOT / "tools/gpu_records.ipynb").read_text(encoding="utf-8"))
CODE = ["".join(cell["source"]) for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]


def test_its_cells_are_short_whole_and_without_outputs():
    assert len(CODE) == 3 and all(len(code.splitlines()) <= 25 for code in CODE)
    for code in CODE:
        ast.parse(code)
    assert not any(cell.get("outputs") for cell in NOTEBOOK["cells"])
    assert NOTEBOOK["metadata"]["accelerator"] == "GPU"


def test_what_it_calls_is_there(capsys, monkeypatch):
    from cs336_lib.cli import COMMANDS

    words = [
        [part.value for part in call.elts if isinstance(part, ast.Constant)]
        for code in CODE
        for call in ast.walk(ast.parse(code))
        if isinstance(call, ast.List)
    ]
    run = next(call for call in words if call[0].startswith("benchmarks/"))
    text = (ROOT / run[0]).read_text(encoding="utf-8")
    assert run[1] == "all" and all(f'"{option}"' in text for option in run if option.startswith("--"))
    library = next(call for call in words if "cs336_lib" in call)
    assert library[2] in COMMANDS and library[3:] == ["add", "gpu"]
    needs = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    installed = next(call for call in words if "install" in call)
    assert all(f'"{name}' in needs for name in installed[4:]) and len(installed) > 5
