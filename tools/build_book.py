"""Execute every notebook and render the book, or say that nothing changed.

    python tools/build_book.py [--out .] [--builder html|linkcheck]

Execution is cached per notebook (jupyter-cache), which notices changed cells but not a changed library. So the cache is
thrown away when cs336_lib, results or the pinned packages differ from those that filled it. A notebook that is not in
the cache is taken from `make nbval` if that has just run it and found it right (`keep_executed.py`); otherwise it is
executed before Sphinx starts, which would take them one after the other: one notebook for each core at a time.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from pathlib import Path

sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment]  # a grammar of addresses, for jsonschema: 2 s

import nbformat
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn
from jupyter_cache.executors.utils import ExecutionResult, single_nb_execution

ROOT = Path(__file__).resolve().parent.parent
LIBRARY = ("cs336_lib", "results", "constraints.txt")
PAGES = (
    "book",
    "notebooks",
    "_config.yml",
    "_toc.yml",
    "CHANGELOG.md",
    "tools/build_book.py",
    "tools/book_links.py",
    "tools/book_pages.py",
)
SECONDS = "execution_seconds"
TIMEOUT = 600
"""Seconds for a cell, as in _config.yml."""
IN_THE_BROWSER = frozenset({".mjs", ".js", ".css"})
"""Suffixes of the instruments' sources, which no cell's output depends on."""
NOT_SOURCE = {"__pycache__", ".ipynb_checkpoints"}


def files(names: Iterable[str]) -> list[Path]:
    """Return every file below the named places of the repository, in a fixed order."""
    found: list[Path] = []
    for name in names:
        place = ROOT / name
        below = [place] if place.is_file() else [path for path in place.rglob("*") if path.is_file()]
        found += [path for path in below if not NOT_SOURCE & set(path.parts)]
    return sorted(found)


def digest(names: Iterable[str], without: frozenset[str] = frozenset()) -> str:
    """Digest of the names and contents of all files below `names`, of the scale, and of the reader's own text.

    Args:
        names: files and folders of the repository.
        without: suffixes of files to leave out.
    """
    settings = [os.environ.get("CS336_SCALE", "quick"), os.environ.get("CS336_TEXT", ""), sys.version]
    state = hashlib.sha256("\0".join(settings).encode())
    for path in files(names):
        if path.suffix in without:
            continue
        state.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes() + b"\0")
    return state.hexdigest()


def library_digest() -> str:
    """Digest of all that a cell's output depends on, beside the cell: what kept executions are known by."""
    return digest(LIBRARY, IN_THE_BROWSER)


def read(path: Path) -> str:
    """Return the text of `path`, or nothing when it is not there."""
    return path.read_text() if path.exists() else ""


def just_run(folder: Path, path: Path, notebook: nbformat.NotebookNode, library: str) -> ExecutionResult | None:
    """Return the run of a notebook that was kept by `make nbval`, None if there is none, or of something else.

    Args:
        folder: where they are kept.
        path: of the notebook in the checkout.
        notebook: its content now; gets the outputs.
        library: digest of what it would run with.
    """
    about, kept = folder / f"{path.stem}.json", folder / path.name
    if not (about.is_file() and kept.is_file()):
        return None
    facts = json.loads(about.read_text(encoding="utf-8"))
    now = [cell for cell in notebook.cells if cell.cell_type == "code"]
    then = [cell for cell in nbformat.read(kept, 4).cells if cell.cell_type == "code"]
    if facts["library"] != library or [cell.source for cell in now] != [cell.source for cell in then]:
        return None
    for cell, run in zip(now, then, strict=True):
        cell.outputs, cell.execution_count = run.outputs, run.execution_count
    return ExecutionResult(notebook, "", facts[SECONDS], None, None)


def execute(cache_folder: Path, kept: Path, library: str) -> None:
    """Execute the notebooks that are not in the cache; those that fail are left to Sphinx, which says why.

    Args:
        cache_folder: of jupyter-cache.
        kept: folder of notebooks that `make nbval` has run.
        library: digest of what they run with.
    """
    cache = get_cache(cache_folder)
    # The later a chapter, the longer it runs: so that the last ones don't run alone.
    todo = []
    for path in sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"), reverse=True):
        notebook = nbformat.read(path, 4)
        try:
            cache.match_cache_notebook(notebook)
        except KeyError:
            todo.append((path, notebook))

    def run(path: Path, notebook: nbformat.NotebookNode) -> ExecutionResult:
        if (found := just_run(kept, path, notebook, library)) is not None:
            return found
        quiet = ["--IPKernelApp.log_level=40"]  # it warns of its own way of listening
        return single_nb_execution(notebook, str(path.parent), TIMEOUT, allow_errors=False, extra_arguments=quiet)

    os.environ.setdefault("OMP_NUM_THREADS", "1")  # the kernels': one core each
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        futures = {pool.submit(run, *each): each for each in todo}
        for future in as_completed(futures):
            path, notebook = futures[future]
            said = "failed"
            with suppress(RuntimeError):  # a kernel that died
                result = future.result()
                if result.err is None:
                    bundle = CacheBundleIn(notebook, str(path), data={SECONDS: result.time})
                    cache.cache_notebook_bundle(bundle, check_validity=False, overwrite=True)
                    said = f"executed in {result.time:.0f} s" + (", by the tests" if result.cwd == "" else "")
            print(f"  {path.relative_to(ROOT)}: {said}", flush=True)


def write_instruments(folder: Path) -> None:
    """Put the instruments' scripts, styles and data beside the book's static files; no node is needed for it."""
    from cs336_lib.figures.instruments.bundle import write

    write(folder)


def sphinx(out: Path, builder: str) -> int:
    """Run jupyter-book with warnings as errors, showing one line per notebook and every warning."""
    command = [
        sys.executable,
        "-c",
        "import sys; sys.modules['rfc3987_syntax'] = None; from jupyter_book.cli.main import main; sys.exit(main())",
        "build",
        ".",
    ]
    command += ["--path-output", str(out), "--builder", builder, "--warningiserror", "--keep-going"]
    shown = ("Executing notebook", "WARNING", "ERROR", "Warning", "Error", "Traceback", "Exception", "broken", "(line")
    tail: list[str] = []
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            tail = [*tail[-40:], line]
            if any(word in line for word in shown) and "[IPKernelApp]" not in line:
                print("  " + line.rstrip().replace(f"{ROOT}{os.sep}", "").removesuffix("[mystnb]"), flush=True)
    if process.returncode != 0:
        print("".join(tail), file=sys.stderr)
        for report in sorted((out / "_build").glob("**/reports/**/*.err.log")):
            print(f"--- {report.name}\n{read(report)[-2000:]}", file=sys.stderr)
    return process.returncode


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT, help="the folder that gets _build (default: the repository)")
    parser.add_argument("--builder", choices=("html", "linkcheck"), default="html")
    arguments = parser.parse_args()
    out = arguments.out.absolute()
    build = out / "_build"
    try:
        build.mkdir(parents=True, exist_ok=True)
        (build / ".writable").touch()
    except OSError as error:
        print(
            f"error: cannot write in {build} ({error.strerror}); name another place: make book OUT=/some/folder",
            file=sys.stderr,
        )
        return 1
    index = build / "html" / "index.html"
    everything, library = digest(LIBRARY + PAGES), library_digest()
    if arguments.builder == "html" and index.exists() and read(build / ".book") == everything:
        print(f"The book is up to date: open {index} or run `make serve`")
        return 0
    if read(build / ".library") != library:
        shutil.rmtree(build / ".jupyter_cache", ignore_errors=True)
        shutil.rmtree(build / ".doctrees", ignore_errors=True)
    (build / ".book").unlink(missing_ok=True)
    (build / ".library").write_text(library)
    started = time.perf_counter()
    scale = os.environ.get("CS336_SCALE", "quick")
    print(f"Building the book at the {scale} scale; every changed notebook is executed", flush=True)
    os.environ.setdefault("CS336_INSTRUMENTS", "static")
    execute(build / ".jupyter_cache", build / "executed", library)
    if arguments.builder == "html":
        write_instruments(build / "html" / "_static" / "instruments")
    if status := sphinx(out, arguments.builder):
        print(
            f"error: the book did not build; the lines above say why ({time.perf_counter() - started:.0f} s)",
            file=sys.stderr,
        )
        return status
    (build / ".book").write_text(everything)
    print(f"Built in {time.perf_counter() - started:.0f} s: open {index} or run `make serve`")
    return 0


if __name__ == "__main__":
    sys.exit(main())
