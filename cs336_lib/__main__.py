"""`python -m cs336_lib`, the same as `cs336`."""

import sys

from cs336_lib.cli import main

if __name__ == "__main__":
    sys.exit(main())
