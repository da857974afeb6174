"""Run the command line in this process, on a model so small that it trains in a second."""

import sys
from pathlib import Path

from cs336_lib.cli import main

SMALL = [
    *("--model.d-model", "16", "--model.num-layers", "1", "--model.num-heads", "2", "--model.d-ff", "32"),
    *("--model.context-length", "32", "--model.vocab-size", "300", "--data-bytes", "30000"),
    *("--batch-size", "4", "--steps", "12", "--warmup-steps", "2", "--eval-every", "6", "--checkpoint-every", "4"),
    *("--sample-every", "0", "--sample-tokens", "20", "--device", "cpu", "--log-every", "2"),
]


def cs336(*arguments):
    """Return the exit code of `cs336 ARGUMENTS`."""
    return main([str(argument) for argument in arguments])


ROOT = Path(__file__).parents[2]
PYTHON = sys.executable
