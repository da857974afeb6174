"""`cs336 eval RUN`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from cs336_lib.cli.parsing import parse
from cs336_lib.naming import check_whole

ELSEWHERE = "put it back, or name a text to measure on with --text PATH"


@dataclass(frozen=True)
class Eval:
    """Measure a run's model: loss, perplexity and bits per byte, each token once.

    Examples:
      cs336 eval runs/tales-1m
      cs336 eval runs/tales-1m --text stories.txt --checkpoint last
      cs336 eval runs/tales-1m --text tales

    Attributes:
        run: the run's folder.
        text: measure on this text file, or on the validation text of "tales", "tinystories" or "owt"; on the run's
            validation set when left out.
        checkpoint: "best", "last" or a step.
        windows: how many windows of the context length, from the start; 0 for all.
        batch_size: windows at a time.
        device: "auto" or a device of torch.
    """

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    text: str | None = None
    checkpoint: str = "best"
    windows: int = 0
    batch_size: int = 32
    device: str = "auto"


def run(arguments: Sequence[str]) -> int:
    """Run the command."""
    asked = parse(Eval, "eval", arguments)
    from cs336_lib.bars import bar as progress_bar
    from cs336_lib.data import corpora, tales
    from cs336_lib.training import RunRecord, cross_entropy, evaluate, prepare
    from cs336_lib.training.corpus import NAMED, find_data, text_ids
    from cs336_lib.training.loading import load_run

    for name, value, least in (("--windows", asked.windows, 0), ("--batch-size", asked.batch_size, 1)):
        check_whole(name, value, least)
    if asked.text == "":
        raise ValueError(f"--text is empty; name a text file, or one of {', '.join(NAMED)}")
    loaded = load_run(asked.run, asked.checkpoint, asked.device)
    config, tokenizer = loaded.config, loaded.tokenizer
    record = RunRecord(asked.run)
    if asked.text is not None:
        named = asked.text in NAMED
        tokens = text_ids(tokenizer, corpora.valid_text(asked.text, progress=True) if named else Path(asked.text))
    else:
        config = find_data(config.replace(tokenizer=None), record.folder, ELSEWHERE)
        corpus = prepare(config.replace(tokenizer=str(record.tokenizer_folder)))
        tokens = corpus.valid
        then, now = record.environment.get("data", {}).get("valid_sha256"), corpus.facts["valid_sha256"]
        if then not in (None, now):
            print(
                "note: the validation text is not the one that this run was judged by; losses don't compare",
                file=sys.stderr,
            )
    context = config.model.context_length
    total = asked.windows or -(-(len(tokens) - 1) // context)
    with progress_bar(total=total, unit="window", leave=False) as bar:
        result = evaluate(
            lambda x, y: cross_entropy(loaded.model(x), y),
            tokens,
            context,
            batch_size=asked.batch_size,
            windows=asked.windows,
            device=loaded.model.head_weight.device,
            progress=bar.update,
        )
    part = "the whole set" if result.whole else f"the first {result.windows:,} window{'s' * (result.windows > 1)}"
    print(f"step {loaded.step:,} on {result.tokens:,} tokens ({part})")
    print(f"loss       {result.loss:.4f} nats per token")
    print(f"perplexity {result.perplexity:.3f}")
    print(f"bits       {result.bits_per_byte(tokens, tokenizer):.4f} per byte")
    if (asked.text or config.data) == "tales":
        floor = tales.entropy(tokenizer)
        print(
            f"floor      {floor.nats_per_token:.4f} nats per token, {floor.bits_per_byte:.4f} bits per byte: the "
            "entropy of the stories, which no model can beat on average"
        )
    return 0
