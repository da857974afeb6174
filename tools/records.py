"""Keep a finished run among the book's records: without its checkpoints, and its tokenizer once for all runs.

python tools/records.py --keep runs/tales-1m --as tales-1m-cpu
python tools/records.py --keep runs/experiments/nope-cpu/rope-seed0 --as experiments/nope-cpu/rope-seed0

What a GPU run brought back is filed by `cs336 records add FOLDER`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--keep", type=Path, required=True, metavar="RUN", help="folder of a run that is over")
    parser.add_argument("--as", dest="name", help="where it goes below results/ (default: the folder's own name)")
    arguments = parser.parse_args()
    from cs336_lib.experiments.filing import keep

    try:
        target = keep(arguments.keep, arguments.name or arguments.keep.name, ROOT / "results")
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
