"""Keep each notebook pair (NN_name.ipynb with outputs, NN_name.md for reviewers) executed, tidy and in step.

    python tools/notebooks.py --check              compare the cells of every pair
    python tools/notebooks.py --execute [STEM ...] sync, run and store outputs (all notebooks, or those named)

Of a pair that differs, the file edited last wins when executing. Stored notebooks hold nothing that changes from run to
run without a reason: cell ids come from the cells' text, and no execution times or kernel builds are kept.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import time
from pathlib import Path
from typing import Any

sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment]  # a grammar of addresses, for jsonschema: 2 s

import jupytext
import nbformat

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = ROOT / "notebooks"
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


def pairs() -> list[Path]:
    """Return the .ipynb of every pair, in reading order; a half without its partner counts too."""
    return sorted({path.with_suffix(".ipynb") for path in NOTEBOOKS.glob("[0-9]*") if path.suffix in (".ipynb", ".md")})


def cells(path: Path) -> list[tuple[str, str, tuple[str, ...]]]:
    """Return (type, source, tags) of each cell of an .ipynb or MyST .md file."""
    notebook = jupytext.read(path)
    return [(c.cell_type, c.source.strip(), tuple(c.metadata.get("tags", ()))) for c in notebook.cells]


def difference(ipynb: Path) -> str | None:
    """Say in one line how the two halves of a pair differ, or None when they agree."""
    markdown = ipynb.with_suffix(".md")
    for half in (ipynb, markdown):
        if not half.exists():
            return f"{half.name} is missing"
    left, right = cells(ipynb), cells(markdown)
    for number, (a, b) in enumerate(zip(left, right, strict=False), start=1):
        if a != b:
            return f"cell {number} differs: {a[1][:40]!r} in the .ipynb, {b[1][:40]!r} in the .md"
    if len(left) != len(right):
        return f"{len(left)} cells in the .ipynb, {len(right)} in the .md"
    return None


def check() -> int:
    """Print every pair that is out of step; return how many there are."""
    wrong = {path: text for path in pairs() if (text := difference(path))}
    for path, text in wrong.items():
        print(
            f"notebooks/{path.stem}: {text}. Mend: edit one half, then `make notebooks ONLY={path.stem}`",
            file=sys.stderr,
        )
    return len(wrong)


def newest(ipynb: Path) -> Any:
    """Read the half of the pair that was edited last, with the stored outputs where the code is the same."""
    markdown = ipynb.with_suffix(".md")
    if not markdown.exists():
        return jupytext.read(ipynb)
    if ipynb.exists() and ipynb.stat().st_mtime > markdown.stat().st_mtime and difference(ipynb):
        return jupytext.read(ipynb)
    return jupytext.read(markdown)


def tidy(notebook: Any) -> None:
    """Remove what differs between two equal runs; name cells by their text."""
    seen: dict[str, int] = {}
    for cell in notebook.cells:
        name = hashlib.sha256(cell.source.encode()).hexdigest()[:10]
        seen[name] = seen.get(name, -1) + 1
        cell["id"] = name if seen[name] == 0 else f"{name}-{seen[name]}"
        cell.metadata = {key: value for key, value in cell.metadata.items() if key == "tags"}
    notebook.metadata = {
        "kernelspec": KERNEL,
        "language_info": {"name": "python"},
        "jupytext": {"formats": "ipynb,md:myst"},
    }
    notebook.nbformat, notebook.nbformat_minor = 4, 5


def write_pair(notebook: Any, ipynb: Path) -> None:
    """Write both halves, each to a temporary name first."""
    for path, text in (
        (ipynb, nbformat.writes(notebook)),
        (ipynb.with_suffix(".md"), jupytext.writes(notebook, fmt="md:myst")),
    ):
        temporary = path.with_name(f".{path.name}.tmp")
        temporary.write_text(text if text.endswith("\n") else text + "\n", encoding="utf-8")
        temporary.replace(path)


def execute(ipynb: Path) -> float:
    """Sync, run and store one pair; return the seconds it took. The stored files stay as they are when a cell fails."""
    from nbclient import NotebookClient

    notebook = newest(ipynb)
    tidy(notebook)
    started = time.perf_counter()
    client = NotebookClient(
        notebook,
        timeout=600,
        kernel_name="python3",
        resources={"metadata": {"path": str(NOTEBOOKS)}},
        record_timing=False,
        extra_arguments=["--IPKernelApp.log_level=40"],
    )
    client.execute()
    seconds = time.perf_counter() - started
    tidy(notebook)
    write_pair(notebook, ipynb)
    return seconds


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--check", action="store_true", help="compare the halves of every pair")
    action.add_argument("--execute", nargs="*", metavar="STEM", help="run and store (default: every notebook)")
    arguments = parser.parse_args()
    if arguments.check:
        return min(check(), 1)
    # The models of the pages are small: a second thread of torch wins nothing, and waits by spinning on a busy machine.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("CS336_INSTRUMENTS", "static")  # what is stored is their place in the page
    known = {path.stem: path for path in pairs()}
    if unknown := [stem for stem in arguments.execute if stem not in known]:
        print(f"error: no notebook named {', '.join(unknown)}; there are: {', '.join(known)}", file=sys.stderr)
        return 1
    for stem in arguments.execute or known:
        print(f"{stem}: running ...", end=" ", flush=True)
        print(f"{execute(known[stem]):.1f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
