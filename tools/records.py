"""Keep a finished run among the book's records: without its checkpoints, and its tokenizer once for all runs.

python tools/records.py --keep runs/tales-1m --as tales-1m-cpu
python tools/records.py --keep runs/experiments/nope-cpu/rope-seed0 --as experiments/nope-cpu/rope-seed0
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
KEPT = ("config.json", "environment.json", "metrics.jsonl", "samples.txt", "status.json")


def keep(run: Path, name: str, home: Path = ROOT / "results") -> Path:
    """Copy a run's record.

    Args:
        run: its folder.
        name: where it goes below `home`.
        home: the folder of all records.

    Returns:
        The folder of the record.

    Raises:
        FileExistsError: a record of that name is there.
        ValueError: the run is not over.
    """
    from cs336_lib.training import RunRecord

    record = RunRecord(run)
    if record.status["status"] not in ("finished", "diverged"):
        raise ValueError(f"{run} is {record.status['status']}; only a run that is over is kept: cs336 resume {run}")
    target = home / name
    target.mkdir(parents=True, exist_ok=False)
    for file in KEPT:
        if (run / file).is_file():
            shutil.copyfile(run / file, target / file)
    if record.tokenizer_folder.is_dir():
        shared = home / "tokenizers" / "of-runs" / record.tokenizer.fingerprint[:16]
        if not shared.is_dir():
            record.tokenizer.save(shared)
    return target


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--keep", type=Path, required=True, metavar="RUN", help="folder of a run that is over")
    parser.add_argument("--as", dest="name", help="where it goes below results/ (default: the folder's own name)")
    arguments = parser.parse_args()
    try:
        target = keep(arguments.keep, arguments.name or arguments.keep.name)
    except FileExistsError as error:
        print(f"error: {error.filename} is there already; choose another name (--as), or remove it", file=sys.stderr)
        return 1
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"kept as {target.relative_to(ROOT)}; `make test` says what else must know of it")
    return 0


if __name__ == "__main__":
    sys.exit(main())
