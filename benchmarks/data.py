"""What do tales, token files and batches cost, and how low can a loss on tales get?

    python benchmarks/data.py                                   # tales only; some minutes on two cores
    python benchmarks/data.py --text corpus.txt --rounds 3      # and a text of your own

- Generation: `tales.write` to a file, MB/s.
- Encoding: `encode_file` end to end - read, cut, encode, check sums, write - with 1 and 2 workers, beside what a user
  would write: tiktoken with the same vocabulary, document by document, ids to a raw file. Their ids must agree. Every
  run is a process of its own, and the contenders take turns; the clock runs around the call, while processor seconds
  and peak memory are those of the whole process, start and imports included.
- Kills: `kill -9` at ten random moments, each time resumed; the file must be that of an undisturbed run.
- Batches: `sample_batch` beside the usual loop over rows.
- Entropy: nats per story, bits per byte, nats per token for tokenizers trained on tales.

Writes results/benchmarks/data.json.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from harness import alternate, device_name, ratio, write

from cs336_lib.bpe import Tokenizer, train_bpe
from cs336_lib.data import TokenFile, encode_file, tales
from cs336_lib.peak_memory import peak_memory

RESULTS = Path(__file__).parents[1] / "results" / "benchmarks"
END = "<|endoftext|>"
KILLS = 10


def generate(workers: int, size: str, out: str) -> dict[str, Any]:
    tales.write(Path(out).with_name("warm-up"), 1_000_000, 0, workers=workers)
    began = time.perf_counter()
    corpus = tales.write(out, int(size), 0, workers=workers)
    return {"bytes": corpus.size_bytes, "seconds": time.perf_counter() - began}


def encode_ours(workers: int, tokenizer: str, text: str, out: str) -> dict[str, Any]:
    done = encode_file(Tokenizer.from_folder(tokenizer), text, out, workers=workers)
    return {"bytes": done.source_bytes, "tokens": done.tokens, "seconds": done.seconds}


def encode_tiktoken(workers: int, tokenizer: str, text: str, out: str) -> dict[str, Any]:
    peer = Tokenizer.from_folder(tokenizer).to_tiktoken()
    began = time.perf_counter()
    content = Path(text).read_text(encoding="utf-8")
    pieces = [piece + END for piece in content.split(END)]
    pieces[-1] = pieces[-1].removesuffix(END)
    ids = peer.encode_batch(pieces, num_threads=workers, allowed_special={END})
    flat = np.concatenate([np.array(some, dtype=np.uint16) for some in ids])
    flat.tofile(out)
    return {"bytes": len(content.encode()), "tokens": len(flat), "seconds": time.perf_counter() - began}


TASKS: dict[str, Callable[..., dict[str, Any]]] = {
    "generate": generate,
    "encode_file": encode_ours,
    "tiktoken": encode_tiktoken,
}


def run(task: str, workers: int, *arguments: str | Path) -> dict[str, Any]:
    """Run a task in a process of its own; what it returns, and its peak memory in MB."""
    command = [sys.executable, __file__, "--child", task, str(workers), *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, env=environment())
    return json.loads(done.stdout)


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}


def child(task: str, workers: str, *arguments: str) -> None:
    found = TASKS[task](int(workers), *arguments)
    print(json.dumps(found | {"cpu_seconds": time.process_time(), "peak_memory_mb": (peak_memory() or 0) / 1e6}))


def trained(text: Path, vocab_size: int, folder: Path) -> Path:
    """Train a tokenizer on a text and save it."""
    vocab, merges = train_bpe(text, vocab_size, [END])
    Tokenizer(vocab, merges, [END]).save(folder)
    return folder


def medians(runs: list[dict[str, Any]]) -> dict[str, Any]:
    seconds = statistics.median(one["seconds"] for one in runs)
    record = {"megabytes_per_second": runs[0]["bytes"] / 1e6 / seconds, "seconds": seconds}
    for name in ("cpu_seconds", "peak_memory_mb"):
        record[name] = statistics.median(one[name] for one in runs)
    if "tokens" in runs[0]:
        record["bytes_per_token"] = runs[0]["bytes"] / runs[0]["tokens"]
    return record


def show(title: str, table: dict[str, dict[str, Any]]) -> None:
    columns = list(next(iter(table.values())))
    print(f"\n{title}\n\n| | " + " | ".join(columns) + " |\n|---|" + "---:|" * len(columns))
    for name, row in table.items():
        print(f"| {name} | " + " | ".join(f"{row[c]:,.3f}" if c in row else "" for c in columns) + " |", flush=True)


def measure_generation(folder: Path, size: int, rounds: int) -> dict[str, Any]:
    runs: dict[str, list[dict[str, Any]]] = {"1 worker": [], "2 workers": []}
    for _ in range(rounds):
        for workers, found in enumerate(runs.values(), 1):
            found.append(run("generate", workers, size, folder / "generated.txt"))
    return {name: medians(found) for name, found in runs.items()}


def measure_encoding(text: Path, tokenizer: Path, folder: Path, rounds: int) -> dict[str, Any]:
    ours, theirs = folder / "ours.tokens", folder / "theirs.bin"
    runs: dict[str, list[dict[str, Any]]] = {"encode_file, 1 worker": [], "encode_file, 2 workers": []}
    for _ in range(rounds):
        for workers, found in enumerate(runs.values(), 1):
            ours.unlink(missing_ok=True)
            found.append(run("encode_file", workers, tokenizer, text, ours))
    runs["tiktoken, 2 threads"] = [run("tiktoken", 2, tokenizer, text, theirs)]
    same = np.array_equal(TokenFile.open(ours).ids, np.fromfile(theirs, dtype=np.uint16))
    assert same, "tiktoken gives other ids"
    theirs.unlink()
    return {name: medians(found) for name, found in runs.items()}


def measure_kills(text: Path, tokenizer: Path, folder: Path) -> dict[str, Any]:
    """Kill at random moments, resume, compare; the moments lie between the start of work and its usual end."""
    out = folder / "killed.tokens"
    began = time.perf_counter()
    run("encode_file", 2, tokenizer, text, out)
    usual = time.perf_counter() - began
    undisturbed = hashlib.sha256(out.read_bytes()).hexdigest()
    out.unlink()
    rng, kills, restarts = random.Random(0), 0, 0
    parts_seen = []
    while kills < KILLS:
        command = [sys.executable, __file__, "--child", "encode_file", "2", str(tokenizer), str(text), str(out)]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment())
        time.sleep(rng.uniform(0, usual))
        process.send_signal(signal.SIGKILL)
        kills += process.wait() == -signal.SIGKILL
        parts_seen.append(len(list(folder.glob("killed.tokens.parts/*.ids"))))
        if out.exists():
            TokenFile.open(out).verify()
            out.unlink()
            restarts += 1
    run("encode_file", 2, tokenizer, text, out)
    same = hashlib.sha256(out.read_bytes()).hexdigest() == undisturbed
    left = [path.name for path in folder.glob("killed.tokens*")]
    assert same and left == [out.name], left
    return {"kills": kills, "finished_parts_after_each": parts_seen, "begun_anew": restarts, "same_sha256": same}


def measure_batches(tokens: TokenFile, rounds: int) -> dict[str, Any]:
    import torch  # here, so that it does not count as memory of the encoder

    from cs336_lib.data import sample_batch

    B, S, ids = 64, 256, tokens.ids
    generator = torch.Generator().manual_seed(0)

    def rows() -> None:
        places = torch.randint(len(ids) - S, (B,), generator=generator).tolist()
        torch.stack([torch.from_numpy(ids[p : p + S].astype(np.int64)) for p in places])
        torch.stack([torch.from_numpy(ids[p + 1 : p + 1 + S].astype(np.int64)) for p in places])

    def ours() -> None:
        sample_batch(tokens, B, S, "cpu", generator)

    for contender in (rows, ours):
        contender()
    seconds = alternate({"loop over rows": rows, "sample_batch": ours}, 100 * rounds)
    table = {
        name: {"microseconds": 1e6 * statistics.median(found), "ratio": ratio(seconds, name, "loop over rows")}
        for name, found in seconds.items()
    }
    return {"batch_size": B, "context_length": S, **table}


def measure_entropy(text: Path, vocab_sizes: list[int], folder: Path) -> dict[str, Any]:
    exact = tales.entropy()
    table = {}
    for size in vocab_sizes:
        tokenizer = Tokenizer.from_folder(trained(text, size, folder / f"tales-{size}"))
        floor = tales.entropy(tokenizer)
        table[f"vocabulary {size:,}"] = {
            "entries": tokenizer.vocab_size,
            "nats_per_token": floor.nats_per_token,
            "standard_error": floor.nats_per_token_error,
            "tokens_per_story": floor.tokens_per_story,
            "bytes_per_token": floor.bytes_per_story / (floor.tokens_per_story or 1),
        }
    show("entropy of tales per token, for tokenizers trained on it", table)
    summary = {"nats_per_story": exact.nats_per_story, "bits_per_byte": exact.bits_per_byte}
    print(f"\n{exact.nats_per_story:.3f} nats per story, {exact.bits_per_byte:.4f} bits per byte")
    return summary | {"nats_per_byte": exact.nats_per_byte, "bytes_per_story": exact.bytes_per_story, "tokens": table}


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        child(*sys.argv[2:])
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", type=Path, help="a text file to encode besides tales, special tokens as in tales")
    parser.add_argument("--size", type=int, default=100_000_000, help="bytes of tales")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path, default=RESULTS / "data.json")
    options = parser.parse_args()
    record: dict[str, Any] = {"device": device_name(), "tales_bytes": options.size, "rounds": options.rounds}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        record["generation"] = measure_generation(folder, options.size, options.rounds)
        show(f"tales, {options.size:,} bytes", record["generation"])
        record["entropy"] = measure_entropy(folder / "generated.txt", [512, 1000, 2000, 10_000], folder)
        texts = {"tales": (folder / "generated.txt", folder / "tales-10000")}
        if options.text:
            texts[options.text.stem] = options.text, trained(options.text, 32_000, folder / "other")
        record["encoding"] = {}
        for title, (text, tokenizer) in texts.items():
            record["encoding"][title] = measure_encoding(text, tokenizer, folder, options.rounds)
            show(f"{title}, {text.stat().st_size:,} bytes", record["encoding"][title])
        record["batches"] = measure_batches(TokenFile.open(folder / "ours.tokens"), options.rounds)
        show("a batch", {k: v for k, v in record["batches"].items() if isinstance(v, dict)})
        record["kills"] = measure_kills(*texts["tales"], folder)
        print(f"\nkilled {KILLS} times: {record['kills']}")
    write(options.output, record)


if __name__ == "__main__":
    main()
