"""What a training command prints at its end, and its exit code."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

from cs336_lib.cli import DIVERGED, OK
from cs336_lib.training import RunRecord


def training_command(text: str, tokenizer: Path, vocab_size: int) -> str:
    """Return the command that trains a small model on a text with a tokenizer, to be pasted.

    >>> training_command("my stories.txt", Path("tok"), 300)
    "cs336 train tales-1m --data 'my stories.txt' --tokenizer tok --model.vocab-size 300 --name my-stories"
    """
    text, folder = (f"./{path}" if path.startswith("-") else path for path in (text, str(tokenizer)))
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", Path(text).stem).strip("-") or "mine"
    words = ["cs336", "train", "tales-1m", "--data", text, "--tokenizer", folder]
    return shlex.join([*words, "--model.vocab-size", str(vocab_size), "--name", name])


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
    command = ["cs336", "generate", str(record.shown), "--prompt", record.config.sample_prompt]
    print(f"next: {shlex.join(command)}")
    return OK
