"""How long does training a tokenizer take, here and with what users would otherwise pick?

    python benchmarks/bpe_train.py corpus.txt --vocab-size 32000 --threads 2 --rounds 3
    python benchmarks/bpe_train.py corpus.txt --only ours,gigabpe --rounds 9

Every run is a process of its own, and the contenders take turns. Two times are given: the whole process, from its start
to its end, and the training call alone, called a second time in a process that has done it once. Memory is the most
that the process held. Before anything is timed, everybody's merges are compared with ours: they must be equal up to a
place where two pairs occur equally often, from which on the rules for ties decide. Hugging Face and gigabpe read a file
line by line and don't cut out special tokens, so theirs are compared with ours on a text that is cut in the same way.

The plain-Python trainer, which recounts every word in each step as minbpe does, would take days; it gets a piece of the
file and a small vocabulary, and ours the same beside it. What the machine can do at best stands below: the time to read
every byte of the file from memory once.
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
from pathlib import Path

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
    from cs336_lib.bpe import reference

    _, merges = reference.train(Path(path).read_bytes(), vocab_size, [SPECIAL])
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
    "rustbpe": train_rustbpe,
    "tokenizers": train_hugging_face,
    "bpeasy": train_bpeasy,
    "minbpe-like": train_minbpe_like,
}


READ_LINES = {"gigabpe", "tokenizers"}


def child(name: str, path: str, vocab_size: int, threads: int, times: int, merges_path: str | None) -> None:
    """What a measured process does: train, and print the seconds each call took."""
    from cs336_lib.bpe.peak_memory import peak_memory

    seconds = []
    for _ in range(times):
        started = time.perf_counter()
        merges = CONTENDERS[name](path, vocab_size, threads)
        seconds.append(time.perf_counter() - started)
    if merges_path:
        Path(merges_path).write_text(json.dumps([[part.hex() for part in pair] for pair in merges()]))
    print(json.dumps({"call": seconds[-1], "megabytes": (peak_memory() or 0) / 1e6}))


def run(name: str, path: str, vocab_size: int, threads: int, times: int, merges_path: str = "") -> dict[str, float]:
    """Run a contender in a process of its own; seconds of the process, of its last call, and its peak memory in MB."""
    command = [sys.executable, __file__, path, "--child", name, "--vocab-size", str(vocab_size)]
    command += ["--threads", str(threads), "--times", str(times), "--merges", merges_path]
    environment = {**os.environ, "RAYON_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": "true"}
    started = time.perf_counter()
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
    return {"whole": time.perf_counter() - started, **json.loads(done.stdout)}


def agreement(name: str, path: str, vocab_size: int, threads: int) -> str:
    """Compare a contender's merges with ours, and say from where on they differ and that a tie is why.

    Raises:
        AssertionError: they differ where no tie decides.
    """
    from cs336_lib.bpe import train_bpe

    with tempfile.TemporaryDirectory() as folder:
        merges_path = str(Path(folder) / "merges.json")
        run(name, path, vocab_size, threads, 1, merges_path)
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
            return f"all {size:,} merges equal"
        counts = [count_after(path, special, ours[:first], pair) for pair in (ours[first], theirs[first])]
    if counts[0] != counts[1]:
        raise AssertionError(
            f"{name} differs from merge {first:,} on: it takes {theirs[first]}, which occurs {counts[1]:,} times, "
            f"not {ours[first]}, which occurs {counts[0]:,} times"
        )
    common = len({left + right for left, right in ours} & {left + right for left, right in theirs})
    return f"{first:,} merges equal, then a tie at {counts[0]:,}; {common / len(ours):.1%} of the tokens in common"


def count_after(path: str, special: str, merges: Merges, pair: tuple[bytes, bytes]) -> int:
    """How often a pair of tokens occurs after the given merges of ours."""
    from cs336_lib.bpe.counting import count_file
    from cs336_lib.bpe.layout import LEFT, PAIRS, RIGHT, ROW
    from cs336_lib.bpe.merging import Merger

    merger = Merger(count_file(path, [special], 1), len(merges))
    assert merger.run() == merges
    ids = {bytes([byte]): byte for byte in range(256)}
    ids |= {left + right: 256 + at for at, (left, right) in enumerate(merges)}
    rows = merger.pairs[: ROW * int(merger.progress[PAIRS])].reshape(-1, ROW)
    if pair[0] not in ids or pair[1] not in ids:
        return 0
    found = (rows[:, LEFT] == ids[pair[0]]) & (rows[:, RIGHT] == ids[pair[1]])
    return int(merger.pair_counts[: len(rows)][found].sum())


def read_bandwidth() -> float:
    """Bytes a second at which one core reads memory: the best of several sums over 512 MB."""
    import numpy as np

    array = np.ones(64 << 20, np.int64)
    best = float("inf")
    for _ in range(5):
        started = time.perf_counter()
        array.sum()
        best = min(best, time.perf_counter() - started)
    return array.nbytes / best


def measure(names: list[str], path: str, vocab_size: int, threads: int, rounds: int) -> dict[str, dict[str, float]]:
    """Medians over rounds in which every contender runs once for each of the two times."""
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for round_index in range(rounds):
        for name in names[round_index % len(names) :] + names[: round_index % len(names)]:
            once = run(name, path, vocab_size, threads, 1)
            # A call of ten seconds and more isn't made any shorter by doing it again.
            again = run(name, path, vocab_size, threads, 2) if once["call"] < 10 else once
            runs[name].append({**once, "call": again["call"]})
    return {
        name: {key: statistics.median(one[key] for one in found) for key in found[0]} for name, found in runs.items()
    }


def table(results: dict[str, dict[str, float]], size: int) -> str:
    ours = results["ours"]
    lines = [
        "| trainer | call, s | MB/s | x ours | whole process, s | x ours | peak memory, MB |",
        "|---|" + "---:|" * 6,
    ]
    for name, one in results.items():
        lines.append(
            f"| {name} | {one['call']:.2f} | {size / one['call'] / 1e6:.1f} | {one['call'] / ours['call']:.1f} "
            f"| {one['whole']:.2f} | {one['whole'] / ours['whole']:.1f} | {one['megabytes']:.0f} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", help="a text file, documents separated by " + SPECIAL)
    parser.add_argument("--vocab-size", type=int, default=32_000)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default=",".join(CONTENDERS), help="contenders, separated by commas")
    parser.add_argument("--output", type=Path, help="folder for the JSON record, for instance results/benchmarks")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--times", type=int, default=1, help=argparse.SUPPRESS)
    parser.add_argument("--merges", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child, options.path, options.vocab_size, options.threads, options.times, options.merges)
        return

    names = ["ours"] + [name for name in options.only.split(",") if name != "ours"]
    fast = [name for name in names if name != "minbpe-like"]
    size = Path(options.path).stat().st_size
    print(f"{Path(options.path).name}, {size:,} bytes, vocabulary {options.vocab_size:,}, {options.threads} threads")
    print(f"python {platform.python_version()}, {platform.machine()}, {os.cpu_count()} processors\n")
    agreements = {
        name: agreement(name, options.path, options.vocab_size, options.threads) for name in fast if name != "ours"
    }
    for name, text in agreements.items():
        print(f"{name}: {text}")
    results = measure(fast, options.path, options.vocab_size, options.threads, options.rounds)
    print("\n" + table(results, size))
    bandwidth = read_bandwidth()
    print(f"\none core reads memory at {bandwidth / 1e9:.1f} GB/s: {size / bandwidth:.3f} s for the file")
    record = {"file": Path(options.path).name, "bytes": size, "vocab_size": options.vocab_size}
    record |= {"threads": options.threads, "rounds": options.rounds, "read_bandwidth": bandwidth}
    record |= {"merges": agreements, "medians": results}

    if "minbpe-like" in names:
        with tempfile.TemporaryDirectory() as folder:
            piece = Path(folder) / "piece.txt"
            piece.write_bytes(Path(options.path).read_bytes()[:MINBPE_BYTES].rpartition(b"\n")[0])
            small = measure(["ours", "minbpe-like"], str(piece), MINBPE_VOCAB, options.threads, 1)
            print(f"\nthe first {piece.stat().st_size:,} bytes, vocabulary {MINBPE_VOCAB}")
            print(table(small, piece.stat().st_size))
        record["minbpe-like"] = small
    if options.output:
        options.output.mkdir(parents=True, exist_ok=True)
        path = options.output / f"bpe_train-{Path(options.path).stem}-{options.vocab_size}.json"
        temporary = path.with_suffix(".tmp")
        temporary.write_text(json.dumps(record, indent=1) + "\n")
        temporary.replace(path)


if __name__ == "__main__":
    main()
