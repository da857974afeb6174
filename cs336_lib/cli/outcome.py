"""What a training command prints at its end, and its exit code."""

from __future__ import annotations

import shlex
import sys

from cs336_lib.cli import DIVERGED, OK
from cs336_lib.training import RunRecord


def report(record: RunRecord, rank: int = 0) -> int:
    """Print, on rank 0, how a run ended and what to do next; return the exit code."""
    status = record.status
    if status["status"] == "diverged":
        if rank == 0:
            print(f"error: {status['message']}; the record is in {record.folder}", file=sys.stderr)
        return DIVERGED
    if rank:
        return OK
    loss, bits, rate = (record.last(name) for name in ("valid_loss", "valid_bits_per_byte", "tokens_per_second"))
    facts = [f"step {status['step']:,}"]
    facts += [f"validation loss {loss:.4f} nats per token"] if loss is not None else []
    facts += [f"{bits:.4f} bits per byte"] if bits is not None else []
    facts += [f"{rate:,.0f} tokens/s"] if rate is not None else []
    print(f"{status['status']}: {', '.join(facts)}")
    command = ["cs336", "generate", str(record.folder), "--prompt", record.config.sample_prompt]
    print(f"next: {shlex.join(command)}")
    return OK
