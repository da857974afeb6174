"""How fast are many short documents encoded, and a large file from disk to disk? GPT-2's vocabulary, ids equal.

    python benchmarks/bpe_files.py                                    # made of tales
    python benchmarks/bpe_files.py books.txt --documents stories.txt --gpt2 folder --bytes 1000000000

    documents     a list of texts of about 200 bytes to a list of ids for each: what a data loader asks for
    file          a text file to a file of two-byte ids: read, cut, encode, write. Contenders are the libraries that
                  read files by themselves; ours also checks what it has written and can go on after a kill

Every measured run is a process of its own, on one thread and on two, and the contenders take turns; the tables show
medians over the rounds, and medians of the ratios to ours within a round. The file is read once before, so the disk is
not what is timed; for a large one the given text is repeated with a word per block that nobody has written. Beside the
file's times stands the most memory that the process held.

Writes results/benchmarks/bpe_files.json.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from bpe_encode import SHARE, digest
from bpe_encoders import ENCODERS, SPECIAL, add_options, contenders, find_files
from bpe_text import text_or_tales
from harness import device_name, write

from cs336_lib.environment import environment
from cs336_lib.peak_memory import peak_memory

RESULTS = Path(__file__).parents[1] / "results" / "benchmarks"
DOCUMENT = 200  # characters, about
BLOCK = 1 << 20
READ_FILES = ("ours", "gigatoken")
THREADS = (1, 2)


def short_documents(text: str) -> list[str]:
    """The text in pieces of about `DOCUMENT` characters, each ending with a line or before a space."""
    found, start = [], 0
    while start < len(text):
        end = min(start + DOCUMENT, len(text))
        if end < len(text):
            end = max(text.rfind(" ", start + 1, end), text.rfind("\n", start + 1, end) + 1, start) or end
            end = end if end > start else min(start + DOCUMENT, len(text))
        found.append(text[start:end])
        start = end
    return [document for document in found if SPECIAL not in document]


def large_file(source: Path, size: int, path: Path) -> None:
    """Write `size` bytes or a little more: the text again and again, with a new word before each block of lines."""
    lines = source.read_bytes().splitlines(keepends=True)
    written = since = number = 0
    with path.open("wb") as out:
        while written < size:
            for line in lines:
                written += out.write(line)
                since += len(line)
                if since >= BLOCK:
                    number, since = number + 1, 0
                    written += out.write(f"q{number:x}z ".encode())
                if written >= size:
                    break


def child(options: argparse.Namespace) -> dict[str, Any]:
    """What a measured process does."""
    encoder = ENCODERS[options.child](Path(options.vocab), Path(options.merges), options.threads)
    encoder.to_array(["hello world " * 20_000])
    if options.task == "file":
        out = Path(options.out)
        assert encoder.file is not None
        began = time.perf_counter()
        encoder.file(Path(options.path), out)
        seconds = time.perf_counter() - began
        memory = (peak_memory() or 0) / 1e6  # before the ids are read again
        ids = np.fromfile(out, np.uint16) if options.child != "ours" else _ids_of(out)
        return {"seconds": seconds, "ids": digest(ids), "memory_mb": memory}
    text = Path(options.path).read_bytes()[: options.bytes].decode("utf-8", "ignore")
    texts = short_documents(text[: int(len(text) * SHARE.get(options.child, 1))])
    size = sum(len(one.encode()) for one in texts)
    began = time.perf_counter()
    ids = encoder.documents(texts)
    first = time.perf_counter() - began
    again = []
    while (len(again) < 5 and sum(again) < 2) or not again:
        began = time.perf_counter()
        encoder.documents(texts)
        again.append(time.perf_counter() - began)
    shared = ids[: int(len(short_documents(text)) * min(SHARE.values()) / 2)]  # who gets least has these at least
    flat = [one for found in shared for one in found]
    return {"first": size / first / 1e6, "repeated": size / statistics.median(again) / 1e6, "ids": digest(flat)}


def _ids_of(path: Path) -> np.ndarray:
    from cs336_lib.data import TokenFile

    return np.asarray(TokenFile.open(path).ids)


def run(options: argparse.Namespace, files: tuple[Path, Path], name: str, task: str, threads: int, *more: str) -> Any:
    """One contender's task in a process of its own."""
    command = [sys.executable, __file__, *more, "--child", name, "--task", task, "--threads", str(threads)]
    command += ["--vocab", str(files[0]), "--merges", str(files[1])]
    environ = {**os.environ, "RAYON_NUM_THREADS": str(threads)}
    environ["TOKENIZERS_PARALLELISM"] = "true" if threads > 1 else "false"
    done = subprocess.run(command, env=environ, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def turns(names: list[str], rounds: int, one: Any) -> dict[str, list[dict[str, Any]]]:
    """Let the contenders take turns, and see that their ids are equal."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for index in range(rounds):
        shift = index % len(names)
        for name in names[shift:] + names[:shift]:
            found[name].append(one(name))
    ids = {name: {each.pop("ids") for each in runs} for name, runs in found.items()}
    for name, one_ids in ids.items():
        if one_ids != ids["ours"] or len(one_ids) != 1:
            raise AssertionError(f"{name} gives other ids than ours")
    return found


def medians(found: dict[str, list[dict[str, Any]]], larger_is_better: tuple[str, ...]) -> dict[str, dict[str, float]]:
    """Medians of each measure, and of the times that ours is ahead in a round."""
    result: dict[str, dict[str, float]] = {}
    for name, runs in found.items():
        result[name] = {key: statistics.median(one[key] for one in runs) for key in runs[0]}
        for key in runs[0]:
            pairs = [(mine[key], one[key]) for mine, one in zip(found["ours"], runs, strict=True)]
            ratios = [a / b if key in larger_is_better else b / a for a, b in pairs]
            result[name][f"ours ahead, {key}"] = statistics.median(ratios)
    return result


def table(title: str, found: dict[str, dict[str, dict[str, float]]]) -> str:
    """Everything measured, a line each."""
    lines = [title]
    for threads, peers in found.items():
        for name, one in peers.items():
            cells = [
                f"{key} {one[key]:.1f} ({one[f'ours ahead, {key}']:.2f})" for key in one if not key.startswith("ours")
            ]
            lines.append(f"  {threads} thread(s)  {name:12}" + "   ".join(cells))
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", nargs="?", help="a text file in UTF-8, for the large file; tales if not given")
    parser.add_argument("--documents", help="a text file whose pieces are the short documents; PATH if not given")
    parser.add_argument("--bytes", type=int, default=1_000_000_000, help="of the large file")
    parser.add_argument("--out", help=argparse.SUPPRESS)
    add_options(parser, 3, RESULTS / "bpe_files.json")
    options = parser.parse_args()
    if options.child:
        print(json.dumps(child(options)))
        return

    names, files = contenders(options.only), find_files(options.gpt2)
    record: dict[str, Any] = {
        "device": device_name(),
        "environment": environment("numpy", "numba", "regex", *(name for name in names if name != "ours")),
        "rounds": options.rounds,
        "documents": {},
        "file": {},
    }
    with text_or_tales(options.path, 20_000_000) as source, tempfile.TemporaryDirectory() as folder:
        stories = options.documents or source
        record["documents_of"], record["file_of"] = Path(stories).name, Path(source).name
        for threads in THREADS:
            found = turns(
                names, options.rounds, lambda name, t=threads: run(options, files, name, "documents", t, str(stories))
            )
            record["documents"][str(threads)] = medians(found, ("first", "repeated"))
        print(table("documents of 200 characters, MB/s (times that ours is ahead)", record["documents"]), flush=True)
        large = Path(folder) / "large.txt"
        large_file(Path(source), options.bytes, large)
        record["file_bytes"] = large.stat().st_size
        for threads in THREADS:
            record["file"][str(threads)] = medians(
                turns(
                    [name for name in names if name in READ_FILES],
                    options.rounds,
                    lambda name, t=threads: run(
                        options, files, name, "file", t, str(large), "--out", f"{folder}/{name}"
                    ),
                ),
                (),
            )
        print(table(f"{record['file_bytes'] / 1e6:,.0f} MB from file to file (times ours is ahead)", record["file"]))
    write(options.output, record)


if __name__ == "__main__":
    main()
