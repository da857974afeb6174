"""`cs336 generate RUN`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from cs336_lib.cli.arguments import with_texts
from cs336_lib.cli.parsing import parse


@dataclass(frozen=True)
class Generate:
    """Write text with a run's model. Without a prompt, ask for one after the other.

    Examples:
      cs336 generate runs/tales-1m --prompt "Once upon a time"
      cs336 generate runs/tales-1m --temperature 0
      echo "The cat" | cs336 generate runs/tales-1m

    Attributes:
        run: the run's folder.
        prompt: what to continue; several are continued one after the other. "" begins a new document. One that is
            itself an option of this command is written --prompt=--seed.
        max_tokens: most tokens to add.
        temperature: below 1 more predictable, above 1 more surprising; 0 always takes the likeliest token.
        top_k: draw from the k likeliest tokens only; 0 for all.
        top_p: draw from the smallest set of tokens with this probability; 1 for all.
        repetition_penalty: above 1 makes what was said already less likely.
        seed: decides what is drawn; another text each time when left out.
        checkpoint: "best", "last" or a step.
        device: "auto" or a device of torch.
    """

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    prompt: tuple[str, ...] = ()
    max_tokens: int = 256
    temperature: float = 0.8
    top_k: int = 0
    top_p: float = 0.95
    repetition_penalty: float = 1.0
    seed: int | None = None
    checkpoint: str = "best"
    device: str = "auto"


def run(arguments: Sequence[str]) -> int:
    """Run the command."""
    asked = parse(Generate, "generate", with_texts(arguments, Generate, "--prompt"))
    from cs336_lib.generation import SamplingConfig, stream
    from cs336_lib.training.loading import load_run

    how = SamplingConfig(
        max_tokens=asked.max_tokens,
        temperature=asked.temperature,
        top_k=asked.top_k,
        top_p=asked.top_p,
        repetition_penalty=asked.repetition_penalty,
        seed=asked.seed,
    )
    loaded = load_run(asked.run, asked.checkpoint, asked.device)
    for prompt in asked.prompt or _asked():
        print(prompt, end="", flush=True)
        for piece in stream(loaded.model, loaded.tokenizer, prompt, how):
            print(piece, end="", flush=True)
        print("\n")
    return 0


def _asked() -> Iterable[str]:
    """Yield prompts from the terminal until its end, or lines of a pipe, which may end as Windows ends them."""
    if sys.stdin.isatty():
        print("A prompt begins a text, Enter alone begins a new one; Ctrl-D or Ctrl-C leaves.", file=sys.stderr)
    while True:
        try:
            line = input("> " if sys.stdin.isatty() else "")
        except (EOFError, KeyboardInterrupt):
            return
        yield line.removesuffix("\r")
