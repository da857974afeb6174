"""`cs336 export RUN OUT`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from cs336_lib.cli.parsing import parse


@dataclass(frozen=True)
class Export:
    """Write a run's model and tokenizer for transformers: AutoModelForCausalLM.from_pretrained(OUT) opens it.

    Example:
      cs336 export runs/tales-1m exported

    Attributes:
        run: the run's folder.
        out: folder to write to.
        checkpoint: "best", "last" or a step.
    """

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    out: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="OUT")]
    checkpoint: str = "best"


def run(arguments: Sequence[str]) -> int:
    """Run the command."""
    asked = parse(Export, "export", arguments)
    from cs336_lib.cli.outputs import check_folder
    from cs336_lib.model.llama import to_hf_llama
    from cs336_lib.model.llama_folder import check_own_export
    from cs336_lib.training.loading import load_run

    check_folder(asked.out, "OUT")
    check_own_export(asked.out)
    loaded = load_run(asked.run, asked.checkpoint, "cpu")
    to_hf_llama(loaded.model, asked.out, loaded.tokenizer)
    print(f"step {loaded.step:,} is in {asked.out}")
    print(f"in Python: transformers.AutoModelForCausalLM.from_pretrained({str(asked.out)!r})")
    return 0
