"""Where does the time of encoding go, step by step, and how far is it from what the machine can do at best?

    python benchmarks/bpe_stages.py                                  # tales, and GPT-2's files as tiktoken has them
    python benchmarks/bpe_stages.py corpus.txt --gpt2 folder

One thread encodes the text once, knowing no word, and once more, knowing all. Between the steps of a batch of 1,024
words the kernel looks at the processor's clock: seven looks for each batch, less than a hundredth of its time.

    characters    a string beyond ASCII becomes UTF-8, in parts of 262,144 characters
    scan          bytes -> where words start; beside it, the scanner alone
    recent        words -> ids, from a table of 256 KB, for the words that it has
    hash          the other words -> their rows in the table of all words, which are fetched
    look up       rows -> ids
    merge         words that were never seen -> ids, by their merges
    grow          the table of all words is doubled, and moved
    write         ids -> the array

Needs an x86-64 processor, whose clock programs may read. Writes results/benchmarks/bpe_stages.json.
"""

import argparse
import platform
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
from bpe_encoders import find_files
from bpe_text import read_bandwidth, text_or_tales
from harness import device_name, write

from cs336_lib.bpe import Tokenizer
from cs336_lib.bpe.cutting.scan_state import BATCH_ROOM, SCAN_WORDS
from cs336_lib.bpe.cutting.symbol_classes import symbol_classes
from cs336_lib.bpe.encoding.layout import NEXT, TABLE_FULL, WRITTEN
from cs336_lib.bpe.encoding.wide_text import WideText
from cs336_lib.bpe.encoding.workspace import CHARACTERS, KERNELS, MergeTables, Workspace
from cs336_lib.bpe.vocabulary import Vocabulary
from cs336_lib.environment import environment
from cs336_lib.native.library import PADDING, KernelLibrary

RESULTS = Path(__file__).parents[1] / "results" / "benchmarks"
STEPS = ("scan", "recent", "hash", "look up", "merge", "write")
STAGES = KernelLibrary("stages", (*KERNELS.modules, "stages_kernel"))


class Encoder(Workspace):
    """A workspace that encodes in steps that are timed."""

    def passes(self, text: np.ndarray, size: int, count: int) -> dict[str, Any]:
        """Cycles of each step of one pass over a text that has `count` ids, and how many words of each kind it has."""
        ids = np.empty(count + 2, np.int32)  # of an answer two ids are written, and one of them may be none
        ids[:] = 0  # so that the system's pages are not part of it
        spent, grow = np.zeros(9, np.int64), 0
        self._progress[NEXT], self._progress[WRITTEN] = 0, 0
        run = STAGES.by_address("encode_in_stages")
        while stopped := run(text.ctypes.data, size, *self._addresses, ids.ctypes.data, spent.ctypes.data):
            if stopped != TABLE_FULL:
                raise SystemExit("error: the text has a word of thousands of bytes; take one of ordinary words")
            began = STAGES.count_cycles(spent)
            self._make_room()
            grow += STAGES.count_cycles(spent) - began
        found: dict[str, Any] = dict(zip(STEPS, spent.tolist(), strict=False))
        words, unknown, new = spent[6:].tolist()
        return found | {"grow": grow, "words": words, "not recent": unknown, "new": new, "ids": self.written}

    @property
    def written(self) -> int:
        """How many ids the last pass wrote."""
        return int(self._progress[WRITTEN])


def cycles_of(call: Any) -> int:
    began = STAGES.count_cycles(np.zeros(9, np.int64))
    call()
    return int(STAGES.count_cycles(np.zeros(9, np.int64)) - began)


def scanner_alone(text: np.ndarray, size: int) -> int:
    """Cycles of finding where all words start."""
    state, starts = np.zeros(SCAN_WORDS, np.uint64), np.empty(BATCH_ROOM + (1 << 20), np.int64)

    def scan() -> None:
        for first in range(0, size, 1 << 20):
            KERNELS.find_starts(text, first, min(size, first + (1 << 20)), symbol_classes(), state, starts, 1 << 20)

    return min(cycles_of(scan) for _ in range(3))


def characters_alone(text: str) -> int:
    """Cycles of making the UTF-8 form of a string in parts; 0 if it is ASCII, or the library can't read it in place."""
    wide = WideText.of(text)
    if wide is None:
        return 0
    out = np.zeros(wide.most_bytes(CHARACTERS) + PADDING, np.uint8)
    to_utf8 = getattr(KERNELS, f"utf8_from_{wide.width}")

    def convert() -> None:
        for first in range(0, len(wide), CHARACTERS):
            to_utf8(wide.address, first, min(len(wide), first + CHARACTERS), out)

    return min(cycles_of(convert) for _ in range(3))


def clock_rate() -> float:
    """Cycles per second of the clock that the kernel reads."""
    began, at = time.perf_counter(), STAGES.count_cycles(np.zeros(9, np.int64))
    time.sleep(0.2)
    return float((STAGES.count_cycles(np.zeros(9, np.int64)) - at) / (time.perf_counter() - began))


def measure(tokenizer: Tokenizer, raw: bytes, rounds: int) -> dict[str, Any]:
    """Medians over the rounds of the cycles of each step, in a first and in a second pass."""
    text = np.frombuffer(raw + bytes(PADDING), np.uint8)
    tables = MergeTables(Vocabulary(tokenizer.vocab, tokenizer.merges, tokenizer.special_tokens))
    expected = len(tokenizer.encode_to_array(raw))
    passes: dict[str, list[dict[str, Any]]] = {"first": [], "repeated": []}
    for _ in range(rounds):
        encoder = Encoder(tables)
        for found in passes.values():
            found.append(encoder.passes(text, len(raw), expected))
            assert encoder.written == expected, "the steps give other ids than the library"
    medians = {
        name: {step: statistics.median(one[step] for one in found) for step in found[0]}
        for name, found in passes.items()
    }
    return {
        "cycles": {
            name: {step: one[step] for step in (*STEPS[:-1], "grow", STEPS[-1])} for name, one in medians.items()
        },
        "words": {name: {kind: one[kind] for kind in ("words", "not recent", "new")} for name, one in medians.items()},
        "ids": expected,
        "scanner alone": scanner_alone(text, len(raw)),
        "characters": characters_alone(raw.decode()),
        "cycles_per_second": clock_rate(),
    }


def table(record: dict[str, Any]) -> str:
    """The cycles per byte of each step."""
    size, lines = record["bytes"], ["| step | first pass, cycles per byte | repeated |", "|---|---:|---:|"]
    for step in ("characters", "scan", "recent", "hash", "look up", "merge", "grow", "write"):
        cells = [
            (record["characters"] if step == "characters" else found[step]) / size
            for found in record["cycles"].values()
        ]
        lines.append(f"| {step} | {cells[0]:.2f} | {cells[1]:.2f} |")
    totals = [(record["characters"] + sum(found.values())) / size for found in record["cycles"].values()]
    lines.append(f"| all | {totals[0]:.2f} | {totals[1]:.2f} |")
    rate = record["cycles_per_second"]
    lines += [
        "",
        f"{rate / 1e9:.2f} billion cycles per second. At best, cycles per byte: the scanner alone "
        f"{record['scanner alone'] / size:.2f}, reading memory {rate / record['read_bandwidth']:.2f}",
    ]
    for name, found in record["words"].items():
        shares = (found[kind] / found["words"] for kind in ("not recent", "new"))
        lines.append("{}: of all words {:.1%} are not in the small table, {:.2%} in none".format(name, *shares))
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", nargs="?", help="a text file in UTF-8; tales if not given")
    parser.add_argument("--bytes", type=int, default=100_000_000, help="how much of the text to encode")
    parser.add_argument("--gpt2", help="folder with GPT-2's vocabulary and merges; tiktoken's copy if not given")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=Path, default=RESULTS / "bpe_stages.json")
    options = parser.parse_args()
    if platform.machine().lower() not in ("x86_64", "amd64"):
        raise SystemExit(f"error: {platform.machine()} lets no program read its clock; an x86-64 processor does")
    vocab, merges = find_files(options.gpt2)
    with text_or_tales(options.path, options.bytes) as path:
        raw = Path(path).read_bytes()[: options.bytes].decode("utf-8", "ignore").encode()
        record = {
            "file": Path(path).name,
            "bytes": len(raw),
            "rounds": options.rounds,
            "device": device_name(),
            "environment": environment("numba", "llvmlite"),
            "read_bandwidth": read_bandwidth(),
            **measure(Tokenizer.from_files(vocab, merges), raw, options.rounds),
        }
    print(f"{record['bytes'] / 1e6:.0f} MB of {record['file']}, GPT-2's vocabulary, {record['device']}")
    print(table(record))
    write(options.output, record)


if __name__ == "__main__":
    main()
