"""Entry of the process that runs the reader's code: `python start.py`, with a job as JSON on its standard input.

It answers in JSON lines on the descriptor that the job names: what is being loaded or asked, and what came of it. The
parent watches these lines, and ends the process when one takes too long.
"""

import importlib.util
import json
import os
import sys
from pathlib import Path

PACKAGE = "cs336_check_child"


def _package() -> None:
    """Make this folder a package under a name that no project of a reader's has."""
    here = Path(__file__).resolve().parent
    spec = importlib.util.spec_from_file_location(PACKAGE, here / "__init__.py", submodule_search_locations=[str(here)])
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[PACKAGE] = module
    spec.loader.exec_module(module)
    sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != here]


def main() -> None:
    """Read the job and do it."""
    job = json.loads(sys.stdin.readline())
    _package()
    jobs = importlib.import_module(f"{PACKAGE}.jobs")
    jobs.work(job, os.fdopen(job["answers"], "w", encoding="utf-8", buffering=1))
    os._exit(0)  # threads and children of the reader's code don't keep the process


if __name__ == "__main__":
    main()
