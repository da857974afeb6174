"""How long, and in how much memory, is a tokenizer trained on 10 GB? And how long does a first call take?

    python benchmarks/bpe_scale.py                                    # made of tales; needs 10 GB of disk
    python benchmarks/bpe_scale.py corpus.txt --bytes 10000000000 --folder /somewhere/big
    python benchmarks/bpe_scale.py corpus.txt --bytes 1000000000 --build half-new.txt  # for bpe_train.py

The file is made of the given text, cut into blocks of lines that are drawn by chance. Half of the blocks are new text:
into those a word that nobody has written is put every 700 bytes, so that in 10 GB there are about as many distinct
pre-tokens as in a real corpus (7 million; OpenWebText has 6.6). They grow in proportion to the text here, and more
slowly in a real one. It is trained on twice: as it is, and as
one line without an end, in which no special token and no line break helps to cut it. The time of reading the file, and
the processor time of all threads together, which another load on the machine hardly changes, stand beside.

Writes results/benchmarks/bpe_scale.json.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from bpe_text import read_bandwidth, text_or_tales
from harness import device_name, write
from tqdm import tqdm

from cs336_lib.environment import environment

RESULTS = Path(__file__).parents[1] / "results" / "benchmarks"
SPECIAL = "<|endoftext|>"
SEED_BYTES = 100_000_000
BLOCK = 1 << 16
NEW_WORD_EVERY = 700
VOCAB_SIZE = 32_000

# What a process that has just started measures, the import included.
CALLS = {
    "import": "import cs336_lib.bpe",
    "train 1 KB": "import cs336_lib.bpe as b; b.train_bpe({small!r}, 300)",
    "encode 1 KB": "import cs336_lib.bpe as b; t = b.Tokenizer(*FIXED); t.encode(open({small!r}).read())",
    "train 1 MB": "import cs336_lib.bpe as b; b.train_bpe({large!r}, 1000)",
    "encode 1 MB": "import cs336_lib.bpe as b; t = b.Tokenizer(*FIXED); t.encode(open({large!r}).read())",
}
TIMED = """
import time
FIXED = {{i: bytes([i]) for i in range(256)}}, []
started, processor = time.perf_counter(), time.process_time()
{call}
print(time.perf_counter() - started, time.process_time() - processor)
started, processor = time.perf_counter(), time.process_time()
{again}
print(time.perf_counter() - started, time.process_time() - processor)
"""


def blocks(text: bytes) -> list[bytes]:
    """The text in blocks of some 64 KB that end at line ends."""
    found, start = [], 0
    while start < len(text):
        end = text.find(b"\n", start + BLOCK) + 1 or len(text)
        found.append(text[start:end])
        start = end
    return found


def with_new_words(block: bytes, chance: random.Random, syllables: list[bytes]) -> bytes:
    """A block with a made-up word at the first space in every NEW_WORD_EVERY bytes."""
    parts, start = [], 0
    while (at := block.find(b" ", start + NEW_WORD_EVERY)) > 0:
        number = chance.getrandbits(30)
        word = syllables[number & 1023] + syllables[number >> 10 & 1023] + syllables[number >> 20]
        parts += [block[start:at], b" ", word]
        start = at
    return b"".join([*parts, block[start:]])


def build(path: Path, source: str, size: int, one_line: bool) -> None:
    """Write a file of `size` bytes or a little more."""
    chance = random.Random(336)
    letters = b"bcdfghjklmnprstvwxz", b"aeiou", b"bdgklmnprstx"
    syllables = [bytes([a, b, c]) for a in letters[0] for b in letters[1] for c in letters[2]][:1024]
    old = blocks(Path(source).read_bytes())
    written = 0
    with path.open("wb") as file, tqdm(total=size, unit="B", unit_scale=True, desc="writing") as bar:
        while written < size:
            block = chance.choice(old)
            if chance.random() < 0.5:
                block = with_new_words(block, chance, syllables)
            if one_line:
                block = block.replace(SPECIAL.encode(), b"").replace(b"\n", b" ")
            written += file.write(block)
            bar.update(len(block))


def read_seconds(path: Path) -> float:
    started = time.perf_counter()
    with path.open("rb", buffering=0) as file:
        while file.read(1 << 24):
            pass
    return time.perf_counter() - started


def train(path: str, workers: int, executor: bool) -> dict[str, Any]:
    """Train in this process; what it took."""
    from cs336_lib.bpe import Tokenizer, train_bpe

    if executor:
        with ProcessPoolExecutor(workers) as pool:
            vocab, merges = result = train_bpe(path, VOCAB_SIZE, [SPECIAL], executor=pool)
    else:
        vocab, merges = result = train_bpe(path, VOCAB_SIZE, [SPECIAL], workers=workers)
    stats = result.stats
    return {
        "bytes": stats.bytes,
        "pretokens": stats.words,
        "distinct_pretokens": stats.distinct_words,
        "workers": workers,
        "seconds": stats.seconds,
        "processor_seconds": time.process_time(),
        "peak_memory": stats.peak_memory,
        "fingerprint": Tokenizer(vocab, merges, [SPECIAL]).fingerprint,
    }


def in_own_process(*arguments: str, **environ: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], env={**os.environ, **environ}, stdout=subprocess.PIPE, check=True
    )
    return done.stdout.decode()


def trained(path: Path, workers: int, how: str) -> dict[str, Any]:
    started = time.perf_counter()
    found = json.loads(in_own_process(__file__, str(path), "--child", how, "--workers", str(workers)))
    found["whole_process_seconds"] = time.perf_counter() - started
    return found


def show(name: str, found: dict[str, Any]) -> None:
    seconds = found["seconds"]
    print(
        f"{name}: {found['bytes']:,} bytes, {found['pretokens']:,} pre-tokens, {found['distinct_pretokens']:,} "
        f"distinct; {seconds['total']:.1f} s (count {seconds['count']:.1f}, merge {seconds['merge']:.1f}), "
        f"whole process {found['whole_process_seconds']:.1f} s, {found['processor_seconds']:.1f} s of the processors, "
        f"{found['peak_memory'] / 1e6:,.0f} MB"
    )


def executors(path: str, workers: int) -> dict[str, Any]:
    """Train on the same text with threads and with processes; the tokenizers must be the same."""
    found = {how: trained(Path(path), workers, how) for how in ("threads", "processes")}
    if found["threads"]["fingerprint"] != found["processes"]["fingerprint"]:
        raise AssertionError("an executor of processes gives another tokenizer than threads")
    for how, one in found.items():
        show(how, one)
    print("the tokenizers are the same, byte for byte\n")
    return found


def scale(source: str, size: int, workers: int, folder: str | None) -> Iterator[tuple[str, dict[str, Any]]]:
    """Build each kind of big file, train on it, delete it."""
    for name, one_line in (("half new text", False), ("one line", True)):
        with tempfile.TemporaryDirectory(dir=folder) as temporary:
            path = Path(temporary) / "big.txt"
            build(path, source, size, one_line)
            found = {"read_seconds": read_seconds(path), **trained(path, workers, "threads")}
            show(name, found)
            print(f"{name}: reading the file takes {found['read_seconds']:.1f} s")
            yield name, found


def start_times(source: str, rounds: int) -> dict[str, Any]:
    """Times of the first call and of the second in a process, with an empty cache folder and with a full one."""
    result: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        data = Path(source).read_bytes()
        small, large = Path(folder) / "1kb.txt", Path(folder) / "1mb.txt"
        small.write_bytes(data[:1_000].decode("utf-8", "ignore").encode())
        large.write_bytes(data[:1_000_000].decode("utf-8", "ignore").encode())
        for name, code in CALLS.items():
            call = code.format(small=str(small), large=str(large))
            again = call.replace("t = b.Tokenizer(*FIXED); ", "")
            program = TIMED.format(call=call, again=again)
            cache = {"CS336_CACHE_DIR": str(Path(folder) / name)}
            runs = [in_own_process("-c", program, **cache).splitlines() for _ in range(rounds + 1)]
            found = [[tuple(map(float, line.split())) for line in run] for run in runs]
            times = {"fresh machine": found[0][0]}
            times |= {"first call": min(run[0] for run in found[1:]), "second call": min(run[1] for run in found[1:])}
            result[name] = {
                what: {"seconds": seconds, "processor_seconds": processor}
                for what, (seconds, processor) in times.items()
            }
    return result


def start_table(found: dict[str, dict[str, dict[str, float]]]) -> str:
    """Seconds, and in brackets those of the processor."""
    lines = ["| import and | fresh machine, s | first call, s | second call, s |", "|---|" + "---:|" * 3]
    for name, one in found.items():
        cells = [f"{times['seconds']:.3f} ({times['processor_seconds']:.3f})" for times in one.values()]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", nargs="?", help="a text file in UTF-8; 100 MB of tales if not given")
    parser.add_argument("--bytes", type=int, default=10_000_000_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5, help="of the start times")
    parser.add_argument("--folder", help="where to build the big file, one at a time")
    parser.add_argument("--build", type=Path, metavar="FILE", help="only write such a text, for other benchmarks")
    parser.add_argument("--only", default="start,executors,scale", help="parts to run")
    parser.add_argument("--output", type=Path, default=RESULTS / "bpe_scale.json")
    parser.add_argument("--child", choices=["threads", "processes"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(train(options.path, options.workers, options.child == "processes")))
        return

    if options.build:
        with text_or_tales(options.path, SEED_BYTES) as source:
            build(options.build, source, options.bytes, one_line=False)
        return

    wanted = options.only.split(",")
    record: dict[str, Any] = {"device": device_name(), "environment": environment("numpy", "numba", "regex")}
    with text_or_tales(options.path, SEED_BYTES) as source:
        record |= {"text": Path(source).name, "vocab_size": VOCAB_SIZE}
        parts: dict[str, Callable[[], Any]] = {
            "start": lambda: start_times(source, options.rounds),
            "executors": lambda: executors(source, options.workers),
            "scale": lambda: dict(scale(source, options.bytes, options.workers, options.folder)),
        }
        for name in wanted:
            record[name] = parts[name]()
            if name == "start":
                print(start_table(record[name]) + "\n")
            write(options.output, record)
    record["read_bandwidth"] = read_bandwidth()
    print(f"one core reads memory at {record['read_bandwidth'] / 1e9:.1f} GB/s")
    write(options.output, record)


if __name__ == "__main__":
    main()
