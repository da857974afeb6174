"""`cs336 records add PATH`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from cs336_lib.cli.parsing import parse


@dataclass(frozen=True)
class Records:
    """File what a GPU run brought back: its runs, its figures, its benchmark.

    In a checkout, python benchmarks/gpu_run.py all --out gpu measures a GPU in ten minutes and leaves a folder. This
    puts its runs that are over, without checkpoints, and its figures below results/, under the name of the device.
    Nothing that is there already is replaced, but for figures of the same device, which are brought up to date section
    by section.

    Examples:
      cs336 records add gpu
      cs336 records add gpu/records.tar.gz --home results

    Attributes:
        action: what to do.
        path: the folder, or one of its files: records.tar.gz, summary.json, training_cuda.json.
        home: the folder of all records.
    """

    action: tyro.conf.Positional[Literal["add"]]
    path: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="PATH")]
    home: Path = Path("results")


def run(arguments: Sequence[str]) -> int:
    """Run the command."""
    asked = parse(Records, "records", arguments)
    from cs336_lib.experiments.filing import add

    if not asked.path.exists():
        raise FileNotFoundError(f"there is no {str(asked.path)!r}; benchmarks/gpu_run.py --out makes such a folder")
    if not asked.home.is_dir():
        raise FileNotFoundError(f"there is no folder {str(asked.home)!r}; run this in a checkout, or name --home")
    done = add(asked.path, asked.home, say=lambda line: print(line, file=sys.stderr))
    for target in done:
        print(f"filed: {target}")
    if not done:
        print("nothing to file")
    return 0
