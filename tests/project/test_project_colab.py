"""The wheel in Colab's own sets of packages: nothing of them is replaced, first cells work, a whole page runs.

The versions are those of Colab's runtime since August 2026, and of the one of July that a notebook can be pinned to
(googlecolab/backend-info), downloaded when `-m slow` asks.
"""

import json
import os
import shutil
import subprocess
import sys

import pytest
from imports import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.network, pytest.mark.timeout(1_800)]

IN_BOTH = {
    "torch": "2.11.0",
    "ipython": "7.34.0",
    "ipywidgets": "7.7.1",
    "matplotlib": "3.10.0",
    "regex": "2025.11.3",
    "safetensors": "0.7.0",
    "tqdm": "4.67.3",
}
RUNTIMES = {
    "2026.08": {
        "python": "3.13",
        "numpy": "2.1.3",
        "numba": "0.61.2",
        "llvmlite": "0.44.0",
        "huggingface-hub": "1.10.0",
        "dask": "2025.5.0",
        "distributed": "2025.5.0",
    },
    "2026.07": {
        "python": "3.12",
        "numpy": "2.0.2",
        "numba": "0.60.0",
        "llvmlite": "0.43.0",
        "huggingface-hub": "1.17.0",
        "dask": "2026.1.1",
        "distributed": "2026.1.1",
        "threadpoolctl": "3.6.0",
    },
}
MAY_BE_ADDED = {
    "cs336-lib",
    "anywidget",
    "psygnal",
    "threadpoolctl",
    "tyro",
    "docstring-parser",
    "typeguard",
    "shtab",
    "rich",
    "markdown-it-py",
    "mdurl",
}
WALK = """
import json, sys, warnings
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
page, first_only = sys.argv[1], len(sys.argv) > 2
cells = ["".join(c["source"]) for c in json.load(open(page))["cells"] if c["cell_type"] == "code"]
for cell in cells[:1] if first_only else cells:
    done = shell.run_cell(cell)
    if not done.success:
        sys.exit(f"{page}: {cell[:200]}")
"""


@pytest.fixture(scope="module", params=RUNTIMES)
def colab(request, tmp_path_factory):
    """An environment with what Colab has, and the wheel on top; what pip added for it."""
    there = {**IN_BOTH, **RUNTIMES[request.param]}
    version = there.pop("python")
    python = shutil.which(f"python{version}")
    if python is None or subprocess.run([python, "--version"], capture_output=True).returncode:
        pytest.skip(f"there is no Python {version} here")
    folder = tmp_path_factory.mktemp("colab")
    subprocess.run([python, "-m", "venv", folder / "there"], check=True)
    mine = str(folder / "there/bin/python")
    constraints = folder / "constraints.txt"
    constraints.write_text("".join(f"{name}=={version}\n" for name, version in there.items()))
    pip = [mine, "-m", "pip", "install", "-q", "-c", str(constraints)]
    subprocess.run([*pip, *there, "setuptools", "wheel"], check=True)
    before = versions(mine)
    # Out of a copy: a build leaves folders beside the sources.
    names = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")
    for name in filter(None, names):
        (folder / "sources" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, folder / "sources" / name)
    wheel = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, folder / "sources"]
    subprocess.run(wheel, check=True)
    subprocess.run([*pip, *folder.glob("cs336_lib*.whl")], check=True)
    return mine, before, versions(mine), folder


def versions(python):
    done = subprocess.run([python, "-m", "pip", "list", "--format", "json"], capture_output=True, text=True, check=True)
    return {found["name"].lower().replace("_", "-"): found["version"] for found in json.loads(done.stdout)}


def walk(python, folder, page, *more):
    folder.mkdir()
    surroundings = {**os.environ, "MPLBACKEND": "agg", "CS336_CACHE_DIR": str(folder / "cache")}
    surroundings.pop("PYTHONPATH", None)
    return subprocess.run(
        [python, "-c", WALK, str(page), *more], cwd=folder, env=surroundings, capture_output=True, text=True
    )


def test_pip_adds_the_library_and_its_command_line_and_replaces_nothing(colab):
    _, before, after, _ = colab
    assert {name: after[name] for name in before} == before
    assert {"cs336-lib"} <= set(after) - set(before) <= MAY_BE_ADDED


@pytest.mark.parametrize("page", sorted((ROOT / "notebooks").glob("[0-9]*.ipynb")), ids=lambda page: page.stem)
def test_the_first_cell_of_each_page_works_from_the_wheel(colab, page, tmp_path):
    done = walk(colab[0], tmp_path / "here", page, "first")
    assert done.returncode == 0, done.stdout[-2_000:] + done.stderr[-2_000:]


def test_a_whole_page_runs_from_the_wheel_with_the_records_inside_it(colab, tmp_path):
    done = walk(colab[0], tmp_path / "here", ROOT / "notebooks/10_leaderboard.ipynb")
    assert done.returncode == 0, done.stdout[-2_000:] + done.stderr[-2_000:]
