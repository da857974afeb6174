"""Where the committed records of runs and measurements are: beside the checkout, or inside the installed package."""

import json
from pathlib import Path
from typing import Any

_PACKAGE = Path(__file__).resolve().parent


def folder() -> Path:
    """The folder `results/`: the checkout's own, or the copy that travels in the wheel.

    Raises:
        FileNotFoundError: there is neither, because the package was copied by hand.
    """
    for candidate in (_PACKAGE / "_results", _PACKAGE.parent / "results"):
        if candidate.is_dir():
            return candidate
    raise FileNotFoundError(
        f"no run records beside {_PACKAGE}: install the package with pip, or work in a checkout that has results/"
    )


def read(name: str) -> Any:
    """A record of the folder, such as "benchmarks/bpe_train.json".

    Args:
        name: path of a JSON file inside `results/`.

    Raises:
        FileNotFoundError: there is no such record; the message lists those beside it.
    """
    path = folder() / name
    if not path.is_file():
        beside = sorted(other.name for other in path.parent.glob("*")) if path.parent.is_dir() else []
        raise FileNotFoundError(f"no record {name!r} in results/; beside it: {', '.join(beside) or 'nothing'}")
    return json.loads(path.read_text(encoding="utf-8"))
