"""Write constraints.txt: every package of the running environment at its version, one tree for all supported Pythons.

    make lock

Local version labels ("2.13.0+cpu") are dropped, so that one file serves every platform.
"""

from __future__ import annotations

import argparse
import re
import sys
from importlib.metadata import distributions
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NOT_PINNED = {"cs336-lib", "pip", "setuptools", "wheel"}
HEADER = "# The tested tree, written by `make lock`. Used by make, CI and `pip install -c constraints.txt -e .[dev]`.\n"


def main() -> int:
    """Write the file."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    pins = {}
    for distribution in distributions():
        name = re.sub(r"[-_.]+", "-", distribution.metadata["Name"]).lower()
        if name not in NOT_PINNED and not name.startswith(("nvidia-", "triton")):
            pins[name] = distribution.version.split("+")[0]
    path = ROOT / "constraints.txt"
    temporary = path.with_suffix(".tmp")
    temporary.write_text(HEADER + "".join(f"{name}=={pins[name]}\n" for name in sorted(pins)), encoding="utf-8")
    temporary.replace(path)
    print(f"constraints.txt: {len(pins)} packages")
    return 0


if __name__ == "__main__":
    sys.exit(main())
