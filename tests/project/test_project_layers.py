"""Low layers never import high ones, and importing the tokenizer never costs a torch import."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from imports import ROOT, imported_modules, module_name

# Top-level modules that any room may use; they know no room.
BASE = {"scale", "environment", "results", "atomic", "workshop"}

# What each room may use besides itself and BASE. A room that is not listed here fails the test.
ALLOWED: dict[str, set[str]] = {
    "bpe": set(),
    "data": {"bpe"},
    "model": set(),
    "accounting": {"model.config"},
    "optim": set(),
    "training": {"data", "model", "optim", "bpe", "accounting"},
    "generation": {"bpe", "model"},
    "experiments": {"bpe", "data", "model", "accounting", "optim", "training", "generation"},
    "figures": {"bpe", "data", "model.config", "accounting", "training", "experiments"},
    # Its child folder runs in the reader's own Python and imports no other room; a test of its own holds that.
    "check": {"bpe", "model", "optim", "training.loss", "data.tales"},
    "cli": {
        *("bpe", "data", "model", "accounting", "optim", "training", "generation", "experiments", "figures", "check"),
    },
    "__main__": {"cli"},
}

FILES = sorted((ROOT / "cs336_lib").rglob("*.py"))


def room(module: str) -> str:
    """Return "bpe" for "cs336_lib.bpe.utf8"."""
    return module.split(".")[1]


def violations(module: str, imports: list[str]) -> list[str]:
    """Return the imports that `module` may not have."""
    here = room(module)
    allowed = {f"cs336_lib.{name}" for name in ALLOWED.get(here, set()) | BASE | {here}} | {"cs336_lib.__version__"}
    ours = [name for name in imports if name.startswith("cs336_lib.")]
    return [name for name in ours if not any(name == good or name.startswith(good + ".") for good in allowed)]


@pytest.mark.parametrize("path", FILES, ids=lambda path: module_name(path))
def test_a_room_imports_only_what_lies_below_it(path: Path):
    module = module_name(path)
    if module == "cs336_lib":
        assert not [
            name for name in imported_modules(ast.parse(path.read_text()), path) if name.startswith("cs336_lib")
        ]
        return
    assert room(module) in ALLOWED.keys() | BASE, f"{module} is in no room that DESIGN knows"
    assert not violations(module, list(imported_modules(ast.parse(path.read_text()), path)))


def test_the_rule_catches_what_it_should():
    assert violations("cs336_lib.bpe.x", ["cs336_lib.data.y"]) == ["cs336_lib.data.y"]
    assert violations("cs336_lib.accounting.x", ["cs336_lib.model.attention"]) == ["cs336_lib.model.attention"]
    assert not violations("cs336_lib.accounting.x", ["cs336_lib.model.config.ModelConfig", "torch.nn"])
    relative = ast.parse("from ..training import loop")
    path = ROOT / "cs336_lib/model/x.py"
    assert violations("cs336_lib.model.x", list(imported_modules(relative, path))) == ["cs336_lib.training.loop"]


def modules_after(statement: str) -> set[str]:
    """Return the top-level modules that a fresh interpreter holds after `statement`."""
    code = f"{statement}; import sys; print(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return {name.split(".")[0] for name in done.stdout.split()}


def test_importing_bpe_imports_no_torch():
    assert "torch" not in modules_after("import cs336_lib.bpe")


def test_importing_the_package_imports_none_of_its_dependencies():
    assert not {"torch", "numpy", "numba", "matplotlib"} & modules_after("import cs336_lib")
