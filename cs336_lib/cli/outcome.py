"""What a training command prints at its end, and its exit code."""

from __future__ import annotations

import mmap
import re
import sys
from pathlib import Path

import numpy as np

from cs336_lib.bpe import Tokenizer
from cs336_lib.cli import DIVERGED, OK
from cs336_lib.data.corpora import Corpus
from cs336_lib.training import RunRecord, TrainConfig
from cs336_lib.training.corpus import END_OF_TEXT, held_out
from cs336_lib.typed import command, option, place

PRESET = "tales-1m"
_SMALL = 1_000_000
"""Bytes of text that is encoded only to see whether it is enough; a longer one is."""


def next_step(text: str, found: Corpus, folder: Path, tokenizer: Tokenizer, ids: np.ndarray | None = None) -> str:
    """Return what to do with a text and a tokenizer: the command that trains a model, if it can, else what is wrong.

    Args:
        text: a path or a name, as it was given.
        found: what it names.
        folder: of the tokenizer, as it was given.
        tokenizer: what lies there.
        ids: of the text, if they are known.
    """
    config, train = TrainConfig.preset(PRESET), training_command(text, folder, tokenizer.vocab_size)
    if ids is None and found.train.stat().st_size <= _SMALL:
        ids = tokenizer.encode_to_array(found.train.read_bytes())
    if ids is not None:
        taught, valid = (ids, None) if found.valid else held_out(ids, tokenizer)
        most = min(len(part) for part in (taught, valid) if part is not None) - 1
        if most < config.model.context_length:
            held = "" if valid is None else f", {len(valid):,} of them to be judged by"
            shorter = f", or a shorter window: {train} --model.context-length {most}" if most > 0 else ""
            there = f"{len(ids):,} token{'s' * (len(ids) != 1)}{held}"
            return (
                f"too short to train {PRESET} on: the text has {there}, and a window takes "
                f"{config.model.context_length + 1}; take a longer text{shorter}"
            )
    return f"next: {train}"


def lacks_end(text: Path, tokenizer: Tokenizer) -> bool:
    """Say whether a text has documents that a tokenizer does not know the ends of: no command encodes it."""
    if END_OF_TEXT in tokenizer.special_tokens:
        return False
    with text.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        return mapped.find(END_OF_TEXT.encode()) >= 0


def training_command(text: str, tokenizer: Path, vocab_size: int) -> str:
    """Return the command that trains a small model on a text with a tokenizer, to be pasted.

    >>> training_command("my stories.txt", Path("tok"), 300)
    "cs336 train tales-1m --data 'my stories.txt' --tokenizer tok --model.vocab-size 300 --name my-stories"
    """
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", Path(text).stem).strip("-") or "mine"
    words: list[str | Path] = ["train", PRESET, "--data", place(text), "--tokenizer", tokenizer]
    return command(*words, "--model.vocab-size", str(vocab_size), "--name", name)


def report(record: RunRecord, rank: int = 0, began: int = 0) -> int:
    """Print, on rank 0, how a run ended and what to do next; return the exit code.

    Args:
        record: of the run.
        rank: of this process.
        began: the step at which this session began; the rate of an earlier one is not told.
    """
    status = record.status
    if status["status"] == "diverged":
        if rank == 0:
            print(f"error: {status['message']}; the record is in {record.shown}", file=sys.stderr)
        return DIVERGED
    if rank:
        return OK
    loss, bits = record.last("valid_loss"), record.last("valid_bits_per_byte")
    rates = [rate for step, rate in zip(*record.series("tokens_per_second"), strict=True) if step > began]
    facts = [f"step {status['step']:,}"]
    facts += [f"validation loss {loss:.4f} nats per token"] if loss is not None else []
    facts += [f"{bits:.4f} bits per byte"] if bits is not None else []
    facts += [f"{rates[-1]:,.0f} tokens/s"] if rates else []
    print(f"{status['status']}: {', '.join(facts)}")
    print(f"next: {command('generate', record.shown, *option('--prompt', record.config.sample_prompt))}")
    return OK
