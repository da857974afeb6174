"""How long does training a tokenizer take, here and with what users would otherwise pick?

    python benchmarks/bpe_train.py                                                # 100 MB of tales
    python benchmarks/bpe_train.py corpus.txt --vocab-size 32000 --threads 2 --rounds 5
    python benchmarks/bpe_train.py corpus.txt --bytes 10000000 --only ours,gigabpe --rounds 9

Every run is a process of its own, and the contenders take turns. Two times are given: the whole process, from its start
to its end, and the training call alone, called a second time in a process that has done it once; beside the call, the
processor time it took, all threads together, which another load on the machine hardly changes. Memory is the most that
the process held. A trainer that takes over SLOW seconds runs once, and the run in which it is checked counts. Before
anything is timed, everybody's merges are compared with ours: they must be equal up to a place where two pairs occur
equally often, from which on the rules for ties decide. Hugging Face and gigabpe read a file line by line and don't cut
out special tokens, so theirs are compared with ours on a text that is cut in the same way.

The plain-Python trainer, which recounts every word in each step as minbpe does, would take days; it gets a piece of the
file and a small vocabulary, and ours the same beside it. What the machine can do at best stands below: the time to read
every byte of the file from memory once.

Writes results/benchmarks/bpe_train.json: a record for each file, others' are kept.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bpe_text import read_bandwidth, text_or_tales
from harness import device_name, stamped, write

from cs336_lib.environment import environment

RESULTS = Path(__file__).parents[1] / "results" / "benchmarks"
SLOW = 10
SPECIAL = "<|endoftext|>"
MINBPE_BYTES, MINBPE_VOCAB = 300_000, 300
Merges = list[tuple[bytes, bytes]]


def documents(path: str) -> Iterator[str]:
    """The texts between special tokens, for trainers that don't read files."""
    yield from Path(path).read_text(encoding="utf-8").split(SPECIAL)


def byte_of_letter() -> dict[str, int]:
    """GPT-2's letters for bytes, in which Hugging Face's file format and gigabpe write tokens."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + n): byte for n, byte in enumerate(others)}


def from_letters(pairs: list) -> Merges:
    letters = byte_of_letter()
    return [tuple(bytes(letters[letter] for letter in token) for token in pair) for pair in pairs]


def train_ours(path: str, vocab_size: int, threads: int) -> Callable[[], Merges]:
    from cs336_lib.bpe import train_bpe

    result = train_bpe(path, vocab_size, [SPECIAL], workers=threads)
    return lambda: result.merges


def train_gigabpe(path: str, vocab_size: int, threads: int) -> Callable[[], Merges]:
    import gigabpe

    _, merges = gigabpe.train_bpe(
        [path], vocab_size=vocab_size, pretokenizer="bytelevel", special_tokens=[SPECIAL], threads=threads
    )
    return lambda: from_letters(merges)


def train_hugging_face(path: str, vocab_size: int, threads: int) -> Callable[[], Merges]:
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, special_tokens=[SPECIAL], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train([path], trainer)
    return lambda: from_letters(json.loads(tokenizer.to_str())["model"]["merges"])


def train_gigatoken(path: str, vocab_size: int, threads: int) -> Callable[[], Merges]:
    import gigatoken

    # Its rule for ties is an argument; "assembled_bytes", the nearest to ours, takes it about three times as long.
    _, merges = gigatoken.train_bpe(Path(path), vocab_size, [SPECIAL], tie_breaking="huggingface")
    return lambda: merges


def train_minibperust(path: str, vocab_size: int, threads: int) -> Callable[[], Merges]:
    from MiniBpeRust import FastRegexTokenizer

    from cs336_lib.bpe import PAT

    tokenizer = FastRegexTokenizer(PAT)
    # It has no special tokens in training: for it they are text, so it gets a text without them.
    tokenizer.train(Path(path).read_text(encoding="utf-8").replace(SPECIAL, ""), vocab_size - 1)

    def merges() -> Merges:
        tokens = {byte: bytes([byte]) for byte in range(256)}
        for (left, right), token in tokenizer.merges.items():
            tokens[token] = tokens[left] + tokens[right]
        return [(tokens[left], tokens[right]) for left, right in tokenizer.merges]

    return merges


def train_rustbpe(path: str, vocab_size: int, threads: int) -> Callable[[], Merges]:
    import rustbpe

    from cs336_lib.bpe import PAT

    tokenizer = rustbpe.Tokenizer()
    tokenizer.train_from_iterator(documents(path), vocab_size - 1, pattern=PAT)
    return lambda: split_by_rank({bytes(token): rank for token, rank in tokenizer.get_mergeable_ranks()})


def train_bpeasy(path: str, vocab_size: int, threads: int) -> Callable[[], Merges]:
    import bpeasy

    from cs336_lib.bpe import PAT

    ranks = bpeasy.train_bpe(documents(path), PAT, 1 << 20, vocab_size - 1)
    return lambda: split_by_rank(ranks)


def train_minbpe_like(path: str, vocab_size: int, threads: int) -> Callable[[], Merges]:
    from cs336_lib.bpe.plain import definition

    _, merges = definition.train(Path(path).read_bytes(), vocab_size, [SPECIAL])
    return lambda: merges


def split_by_rank(ranks: dict[bytes, int]) -> Merges:
    """The merges of a vocabulary that tells ranks only: each token is split by the merges before it."""
    merges = []
    for token, rank in sorted(ranks.items(), key=lambda item: item[1]):
        parts = [token[at : at + 1] for at in range(len(token))]
        while len(parts) > 2:
            found = [ranks.get(parts[at] + parts[at + 1], rank) for at in range(len(parts) - 1)]
            at = found.index(min(found))
            parts[at : at + 2] = [parts[at] + parts[at + 1]]
        if len(parts) == 2:
            merges.append((parts[0], parts[1]))
    return merges


CONTENDERS = {
    "ours": train_ours,
    "gigabpe": train_gigabpe,
    "gigatoken": train_gigatoken,
    "minibperust": train_minibperust,
    "rustbpe": train_rustbpe,
    "tokenizers": train_hugging_face,
    "bpeasy": train_bpeasy,
    "minbpe-like": train_minbpe_like,
}


READ_LINES = {"gigabpe", "tokenizers"}
MODULES = {"ours": "cs336_lib", "minibperust": "MiniBpeRust", "minbpe-like": "cs336_lib"}
"""What to import for a contender, where that is not its name."""


def installed(names: list[str]) -> list[str]:
    """Return the contenders that are there, and say which are not."""
    there = [name for name in names if find_spec(MODULES.get(name, name))]
    if missing := sorted(set(names) - set(there)):
        print(f"not installed, so not measured: {', '.join(missing)}")
    return there


def child(name: str, path: str, vocab_size: int, threads: int, times: int, merges_path: str | None) -> None:
    """What a measured process does: train, and print the seconds each call took."""
    from cs336_lib.peak_memory import peak_memory

    seconds = []
    for _ in range(times):
        started, processor = time.perf_counter(), time.process_time()
        merges = CONTENDERS[name](path, vocab_size, threads)
        seconds.append(time.perf_counter() - started)
        processor = time.process_time() - processor
    if merges_path:
        Path(merges_path).write_text(json.dumps([[part.hex() for part in pair] for pair in merges()]))
    print(json.dumps({"call": seconds[-1], "processor": processor, "megabytes": (peak_memory() or 0) / 1e6}))


def run(name: str, path: str, vocab_size: int, threads: int, times: int, merges_path: str = "") -> dict[str, float]:
    """Run a contender in a process of its own; seconds of the process, of its last call, and its peak memory in MB."""
    command = [sys.executable, __file__, path, "--child", name, "--vocab-size", str(vocab_size)]
    command += ["--threads", str(threads), "--times", str(times), "--merges", merges_path]
    environment = {**os.environ, "RAYON_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": "true"}
    started = time.perf_counter()
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
    # gigatoken tells what it does, on the same pipe
    return {"whole": time.perf_counter() - started, **json.loads(done.stdout.splitlines()[-1])}


def agreement(name: str, path: str, vocab_size: int, threads: int) -> tuple[str, dict[str, float]]:
    """Compare a contender's merges with ours, and say from where on they differ and that a tie is why.

    Returns:
        That, and the times of the run.

    Raises:
        AssertionError: they differ where no tie decides.
    """
    from cs336_lib.bpe import train_bpe

    with tempfile.TemporaryDirectory() as folder:
        merges_path = str(Path(folder) / "merges.json")
        times = run(name, path, vocab_size, threads, 1, merges_path)
        theirs = [tuple(bytes.fromhex(part) for part in pair) for pair in json.loads(Path(merges_path).read_text())]
        special = SPECIAL
        if name in READ_LINES:
            special = "<|end of line|>"
            text = Path(path).read_bytes()
            path = str(Path(folder) / "lines.txt")
            Path(path).write_bytes(text.replace(b"\n", b"\n" + special.encode()))
        ours = train_bpe(path, vocab_size, [special], workers=threads).merges
        size = min(len(ours), len(theirs))
        first = next((at for at in range(size) if ours[at] != theirs[at]), size)
        if first == size:
            return f"all {size:,} merges equal", times
        counts = [count_after(path, special, ours[:first], pair) for pair in (ours[first], theirs[first])]
    if counts[0] != counts[1]:
        raise AssertionError(
            f"{name} differs from merge {first:,} on: it takes {theirs[first]}, which occurs {counts[1]:,} times, "
            f"not {ours[first]}, which occurs {counts[0]:,} times"
        )
    common = len({left + right for left, right in ours} & {left + right for left, right in theirs})
    said = f"{first:,} merges equal, then a tie at {counts[0]:,}; {common / len(ours):.1%} of the tokens in common"
    return said, times


def count_after(path: str, special: str, merges: Merges, pair: tuple[bytes, bytes]) -> int:
    """How often a pair of tokens occurs after the given merges of ours."""
    from cs336_lib.bpe.counting.threads import count_file
    from cs336_lib.bpe.merging.merger import Merger
    from cs336_lib.bpe.merging.rows import LEFT, PAIRS, RIGHT, ROW

    merger = Merger(count_file(path, [special], 1), len(merges))
    assert merger.run() == merges
    ids = {bytes([byte]): byte for byte in range(256)}
    ids |= {left + right: 256 + at for at, (left, right) in enumerate(merges)}
    rows = merger.pairs[: ROW * int(merger.progress[PAIRS])].reshape(-1, ROW)
    if pair[0] not in ids or pair[1] not in ids:
        return 0
    found = (rows[:, LEFT] == ids[pair[0]]) & (rows[:, RIGHT] == ids[pair[1]])
    return int(merger.pair_counts[: len(rows)][found].sum())


def measure(
    names: list[str], path: str, vocab_size: int, threads: int, rounds: int, slow: dict[str, dict[str, float]]
) -> dict[str, dict[str, float]]:
    """Medians over rounds in which every contender runs once for each of the two times, but the slow ones."""
    runs: dict[str, list[dict[str, float]]] = {name: [slow[name]] if name in slow else [] for name in names}
    quick = [name for name in names if name not in slow]
    for round_index in range(rounds):
        for name in quick[round_index % len(quick) :] + quick[: round_index % len(quick)]:
            once = run(name, path, vocab_size, threads, 1)
            # A call that takes so long isn't made any shorter by doing it again.
            again = run(name, path, vocab_size, threads, 2) if once["call"] < SLOW else once
            runs[name].append({**again, "whole": once["whole"], "megabytes": once["megabytes"]})
    results = {
        name: {key: statistics.median(one[key] for one in found) for key in found[0]} for name, found in runs.items()
    }
    for name, found in runs.items():
        for key in ("call", "whole", "processor"):
            if len(found) == rounds:
                ratios = [one[key] / mine[key] for one, mine in zip(found, runs["ours"], strict=True)]
                results[name][f"ours ahead, {key}"] = statistics.median(ratios)
            else:
                results[name][f"ours ahead, {key}"] = results[name][key] / results["ours"][key]
    return results


def table(results: dict[str, dict[str, float]], size: int) -> str:
    lines = [
        "| trainer | call, s | MB/s | ours x | whole process, s | ours x | processor, s | ours x | peak memory, MB |",
        "|---|" + "---:|" * 8,
    ]
    for name, one in results.items():
        lines.append(
            f"| {name} | {one['call']:.2f} | {size / one['call'] / 1e6:.1f} | {one['ours ahead, call']:.1f} "
            f"| {one['whole']:.2f} | {one['ours ahead, whole']:.1f} "
            f"| {one['processor']:.2f} | {one['ours ahead, processor']:.1f} | {one['megabytes']:.0f} |"
        )
    return "\n".join(lines)


def compare(path: str, names: list[str], options: argparse.Namespace) -> dict[str, Any]:
    """Check and measure all contenders on one file; the record."""
    fast = [name for name in names if name != "minbpe-like"]
    size = Path(path).stat().st_size
    print(f"{Path(path).name}, {size:,} bytes, vocabulary {options.vocab_size:,}, {options.threads} threads")
    print(f"python {platform.python_version()}, {device_name()}\n")
    agreements, slow = {}, {}
    for name in fast[1:]:
        agreements[name], times = agreement(name, path, options.vocab_size, options.threads)
        print(f"{name}: {agreements[name]}", flush=True)
        if times["call"] > SLOW:
            slow[name] = times
    results = measure(fast, path, options.vocab_size, options.threads, options.rounds, slow)
    print("\n" + table(results, size))
    bandwidth = read_bandwidth()
    print(f"\none core reads memory at {bandwidth / 1e9:.1f} GB/s: {size / bandwidth:.3f} s for the file")
    record = {"file": Path(path).name, "bytes": size, "vocab_size": options.vocab_size, "threads": options.threads}
    record |= {"rounds": options.rounds, "ran_once": list(slow), "device": device_name()}
    record |= {"environment": environment("numpy", "numba", "regex", *(name for name in fast if name != "ours"))}
    record |= {"read_bandwidth": bandwidth, "merges": agreements, "medians": results}
    if "minbpe-like" in names:
        with tempfile.TemporaryDirectory() as folder:
            piece = Path(folder) / "piece.txt"
            piece.write_bytes(Path(path).read_bytes()[:MINBPE_BYTES].rpartition(b"\n")[0])
            small = measure(["ours", "minbpe-like"], str(piece), MINBPE_VOCAB, options.threads, 1, {})
            print(f"\nthe first {piece.stat().st_size:,} bytes, vocabulary {MINBPE_VOCAB}")
            print(table(small, piece.stat().st_size))
        record["minbpe-like"] = small
    return record


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", nargs="?", help=f"a text file, documents separated by {SPECIAL}; tales if not given")
    parser.add_argument("--bytes", type=int, default=100_000_000, help="how much of the text to train on, at most")
    parser.add_argument("--vocab-size", type=int, default=32_000)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default=",".join(CONTENDERS), help="contenders, separated by commas")
    parser.add_argument("--output", type=Path, default=RESULTS / "bpe_train.json")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--times", type=int, default=1, help=argparse.SUPPRESS)
    parser.add_argument("--merges", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child, options.path, options.vocab_size, options.threads, options.times, options.merges)
        return

    names = ["ours"] + [name for name in options.only.split(",") if name != "ours"]
    names = installed(names)
    records = json.loads(options.output.read_text()) if options.output.exists() else {}
    with text_or_tales(options.path, options.bytes) as path, tempfile.TemporaryDirectory() as folder:
        if Path(path).stat().st_size > options.bytes:
            part = Path(folder) / f"{Path(path).stem}-{options.bytes // 1_000_000}mb.txt"
            part.write_bytes(Path(path).read_bytes()[: options.bytes].decode("utf-8", "ignore").encode())
            path = str(part)
        record = compare(path, names, options)
    records[f"{Path(path).stem}, {options.vocab_size}"] = stamped(record)
    write(options.output, records)


if __name__ == "__main__":
    main()
