"""What do workers of a Dask cluster add to counting and to encoding, beside threads of one process?

    python benchmarks/scaling.py                                    # 100 MB of tales
    python benchmarks/scaling.py --text corpus.txt --rounds 5       # a text of your own

One and two threads, and one and two Dask workers (a process each, with one thread), take turns; medians over the rounds
are compared. Counting is that part of `train_bpe`, the merges left out; encoding is `encode_file` from the text to the
finished token file. All must give the same merges and the same token file. The load of the machine before and after
stands in the record: on a machine that is busy with other work, rates are lower than they could be.

Writes results/benchmarks/scaling.json. It needs Dask: pip install "cs336-lib[dist]".
"""

import argparse
import hashlib
import logging
import os
import statistics
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from bpe_text import text_or_tales
from harness import alternate, device_name, write

from cs336_lib.bpe import Tokenizer, train_bpe
from cs336_lib.data import encode_file
from cs336_lib.environment import environment

RESULTS = Path(__file__).parents[1] / "results" / "benchmarks"
SPECIAL = "<|endoftext|>"
SIZE = 100_000_000
VOCAB_SIZE = 10_000


@contextmanager
def dask_workers(count: int) -> Iterator[Executor]:
    """The executor of a cluster on this machine."""
    from dask.distributed import Client, LocalCluster

    quiet: dict[str, Any] = {"dashboard_address": ":0", "silence_logs": logging.CRITICAL}
    with LocalCluster(n_workers=count, threads_per_worker=1, **quiet) as cluster, Client(cluster) as client:
        yield client.get_executor()


def load_average() -> list[float]:
    """Of the last 1, 5 and 15 minutes."""
    return [round(one, 2) for one in os.getloadavg()]


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def summary(seconds: dict[str, list[float]], size: int) -> dict[str, dict[str, Any]]:
    """Medians and rates of each contender."""
    medians = {name: statistics.median(found) for name, found in seconds.items()}
    return {
        name: {"seconds": median, "megabytes_per_second": size / 1e6 / median, "rounds": seconds[name]}
        for name, median in medians.items()
    }


def measure(text: Path, folder: Path, rounds: int) -> dict[str, Any]:
    """Count and encode with each contender in turn."""
    size = text.stat().st_size
    with ExitStack() as held:
        options: dict[str, dict[str, Any]] = {"1 thread": {"workers": 1}, "2 threads": {"workers": 2}}
        for count in (1, 2):
            executor = held.enter_context(dask_workers(count))
            options[f"Dask, {count} worker{'s' * (count > 1)}"] = {"workers": count, "executor": executor}
        counting: dict[str, list[float]] = {name: [] for name in options}
        merges: dict[str, Any] = {}
        hashes: dict[str, str] = {}
        first = train_bpe(text, VOCAB_SIZE, [SPECIAL])
        tokenizer = Tokenizer(*first, [SPECIAL])

        def count_with(name: str) -> Callable[[], None]:
            def run() -> None:
                result = train_bpe(text, VOCAB_SIZE, [SPECIAL], **options[name])
                counting[name].append(result.stats.seconds["count"])
                merges[name] = result.merges

            return run

        def encode_with(name: str) -> Callable[[], None]:
            out = folder / f"{name}.tokens"

            def run() -> None:
                encode_file(tokenizer, text, out, resume=False, **options[name])

            return run

        counters = {name: count_with(name) for name in options}
        encoders = {name: encode_with(name) for name in options}
        for call in (*counters.values(), *encoders.values()):  # warm up: compile, start, read the text
            call()
        for found in counting.values():
            found.clear()
        alternate(counters, rounds)
        encoding = alternate(encoders, rounds)
        hashes = {name: sha256(folder / f"{name}.tokens") for name in options}
    assert all(found == first.merges for found in merges.values()), "other merges"
    assert len(set(hashes.values())) == 1, hashes
    return {
        "count": summary(counting, size),
        "encode": summary(encoding, size),
        "merge_seconds": first.stats.seconds["merge"],
    }


def table(record: dict[str, Any]) -> str:
    """Rates in MB/s."""
    lines = ["| MB/s | counting | encoding |", "|---|---:|---:|"]
    for name in record["count"]:
        rates = [f"{record[job][name]['megabytes_per_second']:.1f}" for job in ("count", "encode")]
        lines.append(f"| {name} | {' | '.join(rates)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", help="a text file in UTF-8; 100 MB of tales if not given")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=Path, default=RESULTS / "scaling.json")
    options = parser.parse_args()
    before = load_average()
    with text_or_tales(options.text, SIZE) as path, tempfile.TemporaryDirectory() as folder:
        text = Path(path)
        record = {
            "device": device_name(),
            "environment": environment("numpy", "numba", "dask"),
            "text": text.name,
            "bytes": text.stat().st_size,
            "vocab_size": VOCAB_SIZE,
            "rounds": options.rounds,
            **measure(text, Path(folder), options.rounds),
            "load_average": {"before": before, "after": load_average()},
        }
    print(table(record))
    print(f"load of the machine: {before} before, {record['load_average']['after']} after")
    write(options.output, record)


if __name__ == "__main__":
    main()
