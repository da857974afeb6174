"""How fast are texts encoded with GPT-2's vocabulary, here and by what users would otherwise pick?

    python benchmarks/bpe_encode.py                                  # tales, and GPT-2's files as tiktoken has them
    python benchmarks/bpe_encode.py corpus.txt --gpt2 folder --rounds 5

Every measured run is a process of its own, and the contenders take turns; the tables show medians over the rounds, and
medians of the ratios to ours within a round. Before anything is timed, ids are compared: of the text, of the short
texts, and of the hard inputs.

    first pass    all of the text once, in a process that has encoded nothing but "hello world" before
    new string    the same text again, as strings that nobody has read before: what encoding a big corpus comes to,
                  whose words are known and whose strings are not
    repeated      the same strings again, of which CPython may have kept the UTF-8 form
    arrays        to one array of ids, which is what goes into a token file; lists: to Python lists
    short calls   different excerpts in turn, all of which were encoded before
    hard inputs   1 MB of one letter and the like; pre-tokens without an end made earlier encoders quadratic

Slower encoders get the first part of the text only (SHARE); rates are comparable all the same. What the machine can do
at best stands below: the rate at which one core reads memory.

Writes results/benchmarks/bpe_encode.json.
"""

import argparse
import hashlib
import json
import os
import random
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from bpe_encoders import ENCODERS, SPECIAL, Encoder, add_options, contenders, find_files
from bpe_text import read_bandwidth, text_or_tales
from harness import device_name, write

from cs336_lib.environment import environment

RESULTS = Path(__file__).parents[1] / "results" / "benchmarks"
SHARE = {"tiktoken": 0.25, "tokenizers": 0.05}
SHORT = (11, 200)
CALLS = 2_000
HARD_BYTES = 1_000_000
HARD_LIMIT = 60
PIECE = 1 << 18


def hard_inputs() -> dict[str, str]:
    letters = "".join(random.Random(0).choices("abcdefghijklmnopqrstuvwxyz", k=HARD_BYTES))
    return {"a": "a" * HARD_BYTES, "^": "^" * HARD_BYTES, "space": " " * HARD_BYTES, "random letters": letters}


def pieces(text: str) -> list[str]:
    """The text in pieces of some 256 KB that have the same ids: after a special token, or a line that is not empty."""
    cuts = [match.end() for match in re.finditer(re.escape(SPECIAL) + r"|\S\n(?=\S)", text)]
    found, start = [], 0
    for cut in [*cuts, len(text)]:
        if cut - start >= PIECE or cut == len(text) > start:
            found.append(text[start:cut])
            start = cut
    return found


def excerpts(text: str, size: int) -> list[str]:
    """Texts of `size` characters that begin at a space, from all over the text."""
    spaces = [match.start() for match in re.finditer(" ", text[: -size - 1])]
    return [text[at : at + size] for at in random.Random(0).choices(spaces, k=CALLS)]


def seconds(call: Callable[[], Any]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def digest(ids: Any) -> str:
    return hashlib.sha256(np.asarray(ids).astype(np.uint32).tobytes()).hexdigest()


def flat(ids: list) -> list[int]:
    return [one for found in ids for one in found] if ids and isinstance(ids[0], list) else ids


def compare(encoder: Encoder, part: str, threads: int) -> dict[str, str]:
    """Digests of the ids that must be equal in all contenders."""
    found = {
        "text": digest(encoder.to_array([part] if encoder.whole_text else pieces(part))),
        "list": digest(flat(encoder.to_list([part] if threads == 1 else pieces(part)))),
    }
    for size in SHORT:
        found[f"{size} characters"] = digest(flat([encoder.encode(one) for one in excerpts(part, size)]))
    return found


def throughput(encoder: Encoder, text: str, threads: int) -> dict[str, Any]:
    """Seconds of a first pass and of several more, to arrays and to lists."""
    documents = pieces(text)
    for_arrays = [text] if encoder.whole_text else documents
    for_lists = [text] if threads == 1 else documents
    encoder.to_array(["hello world " * 20_000])
    found: dict[str, Any] = {"first": seconds(lambda: encoder.to_array(for_arrays)), "bytes": len(text.encode())}
    for name, call, texts in (
        ("new", encoder.to_array, lambda: copies(for_arrays)),
        ("arrays", encoder.to_array, lambda: for_arrays),
        ("lists", encoder.to_list, lambda: for_lists),
    ):
        runs: list[float] = []
        while not runs or (len(runs) < 5 and sum(runs) < 2):
            given = texts()
            runs.append(seconds(lambda call=call, given=given: call(given)))
        found[name] = statistics.median(runs)
    return found


def copies(texts: list[str]) -> list[str]:
    """Equal strings of which CPython has no UTF-8 form."""
    return ["".join([text[:1], text[1:]]) for text in texts]


def short_calls(encoder: Encoder, text: str) -> dict[str, float]:
    """Seconds per call; the least of several rounds, as anything else that runs only adds to calls this short."""
    found = {}
    for size in SHORT:
        texts = excerpts(text, size)
        for name, call in (("encode", encoder.encode), ("encode_ordinary", encoder.encode_ordinary)):
            if call is not None:
                rounds = [seconds(lambda call=call, texts=texts: [call(one) for one in texts]) for _ in range(7)]
                found[f"{name}, {size} characters"] = min(rounds) / CALLS
    return found


def hard(encoder: Encoder, name: str) -> dict[str, Any]:
    text = hard_inputs()[name]
    encoder.encode("hello world " * 10_000)
    started = time.perf_counter()
    ids = encoder.encode(text)
    return {"seconds": time.perf_counter() - started, "ids": digest(ids)}


def child(options: argparse.Namespace) -> dict[str, Any]:
    """What a measured process does."""
    encoder = ENCODERS[options.child](Path(options.vocab), Path(options.merges), options.threads)
    if options.task == "hard":
        return hard(encoder, options.hard)
    text = Path(options.path).read_bytes()[: options.bytes].decode("utf-8", "ignore")
    if options.task == "compare":
        return compare(encoder, text[: int(len(text) * min(SHARE.values()))], options.threads)
    if options.task == "short":
        return short_calls(encoder, text[: len(text) // 20])
    return throughput(encoder, text[: int(len(text) * SHARE.get(options.child, 1))], options.threads)


class Runs:
    """Starts measured processes."""

    def __init__(self, path: str, size: int, vocab: Path, merges: Path) -> None:
        self._command = [sys.executable, __file__, path, "--bytes", str(size), "--vocab", str(vocab)]
        self._command += ["--merges", str(merges)]

    def run(self, name: str, task: str, threads: int = 1, hard_name: str = "", limit: float | None = None) -> Any:
        """One contender's task in a process of its own; None if it takes longer than the limit."""
        command = [*self._command, "--child", name, "--task", task, "--threads", str(threads), "--hard", hard_name]
        environ = {**os.environ, "RAYON_NUM_THREADS": str(threads)}
        environ["TOKENIZERS_PARALLELISM"] = "true" if threads > 1 else "false"
        try:
            done = subprocess.run(command, env=environ, stdout=subprocess.PIPE, check=True, timeout=limit)
        except subprocess.TimeoutExpired:
            return None
        return json.loads(done.stdout.splitlines()[-1])


def check_agreement(runs: Runs, names: list[str]) -> None:
    """Raise AssertionError if a contender's ids are not ours."""
    expected = runs.run("ours", "compare")
    for name in names:
        for threads in (1, 2):
            found = runs.run(name, "compare", threads)
            for what, ids in found.items():
                if ids != expected[what]:
                    raise AssertionError(f"{name} with {threads} threads gives other ids than ours: {what}")


def rounds_of(names: list[str], count: int, one: Callable[[str], dict[str, float]]) -> dict[str, list[dict]]:
    """Let the contenders take turns; whoever comes first changes."""
    found: dict[str, list[dict]] = {name: [] for name in names}
    for index in range(count):
        shift = index % len(names)
        for name in names[shift:] + names[:shift]:
            found[name].append(one(name))
    return found


def medians(found: dict[str, list[dict]], rate: bool) -> dict[str, dict[str, float]]:
    """Medians of each measure, and of the times that ours is ahead in a round."""
    result: dict[str, dict[str, float]] = {}
    for name, rounds in found.items():
        result[name] = {}
        for key in rounds[0]:
            if key == "bytes":
                continue
            values = [one["bytes"] / one[key] / 1e6 if rate else one[key] for one in rounds]
            result[name][key] = statistics.median(values)
            same = key.replace("_ordinary", "")
            mine = [one["bytes"] / one[same] / 1e6 if rate else one[same] for one in found["ours"]]
            ratios = [a / b if rate else b / a for a, b in zip(mine, values, strict=True)]
            result[name][f"ours ahead, {key}"] = statistics.median(ratios)
    return result


def throughput_table(results: dict[str, dict[str, dict[str, float]]]) -> str:
    lines = [
        "| encoder | threads | first pass, MB/s | ours x | new string, MB/s | ours x "
        "| repeated, MB/s | ours x | lists, MB/s | ours x |",
        "|---|" + "---:|" * 9,
    ]
    for threads, found in results.items():
        for name, one in found.items():
            cells = [f"{one[key]:.1f} | {one[f'ours ahead, {key}']:.2f}" for key in ("first", "new", "arrays", "lists")]
            lines.append(f"| {name} | {threads} | {' | '.join(cells)} |")
    return "\n".join(lines)


def short_table(results: dict[str, dict[str, float]]) -> str:
    lines = ["| encoder | call | us | ours ahead x |", "|---|---|---:|---:|"]
    for name, one in results.items():
        for key in (key for key in one if not key.startswith("ours")):
            lines.append(f"| {name} | {key} | {one[key] * 1e6:.2f} | {one[f'ours ahead, {key}']:.2f} |")
    return "\n".join(lines)


def hard_table(results: dict[str, dict[str, float | None]]) -> str:
    names = list(hard_inputs())
    lines = ["| encoder | " + " | ".join(f"{name}, s" for name in names) + " |", "|---|" + "---:|" * len(names)]
    for encoder, one in results.items():
        cells = [f"over {HARD_LIMIT}" if one[name] is None else f"{one[name]:.3f}" for name in names]
        lines.append(f"| {encoder} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def measure_hard(runs: Runs, names: list[str], count: int) -> dict[str, dict[str, float | None]]:
    """Medians of the seconds for each hard input; contenders take turns, and who took too long is not asked again."""
    result: dict[str, dict[str, float | None]] = {name: {} for name in names}
    for what in hard_inputs():
        expected = runs.run("ours", "hard", hard_name=what)["ids"]
        found: dict[str, list[dict[str, Any] | None]] = {name: [] for name in names}
        for index in range(count):
            shift = index % len(names)
            for name in names[shift:] + names[:shift]:
                if None not in found[name]:
                    found[name].append(runs.run(name, "hard", hard_name=what, limit=HARD_LIMIT))
        for name, several in found.items():
            done = [one for one in several if one is not None]
            if any(one["ids"] != expected for one in done):
                raise AssertionError(f"{name} gives other ids than ours for 1 MB of {what}")
            in_time = len(done) == len(several)
            result[name][what] = statistics.median(one["seconds"] for one in done) if in_time else None
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", nargs="?", help="a text file in UTF-8; tales if not given")
    parser.add_argument("--bytes", type=int, default=20_000_000, help="how much of the text to encode")
    parser.add_argument("--hard", help=argparse.SUPPRESS)
    add_options(parser, 5, RESULTS / "bpe_encode.json")
    options = parser.parse_args()
    if options.child:
        print(json.dumps(child(options)))
        return

    names = contenders(options.only)
    with text_or_tales(options.path, options.bytes) as path:
        size = min(options.bytes, Path(path).stat().st_size)
        print(f"{Path(path).name}, the first {size:,} bytes, GPT-2's vocabulary, {device_name()}")
        runs = Runs(path, options.bytes, *find_files(options.gpt2))
        check_agreement(runs, names)
        print("ids are equal\n")
        threaded = {}
        for threads in (1, 2):
            found = rounds_of(names, options.rounds, lambda name, n=threads: runs.run(name, "throughput", n))
            threaded[str(threads)] = medians(found, rate=True)
        print(throughput_table(threaded) + "\n")
        short = medians(rounds_of(names, options.rounds, lambda name: runs.run(name, "short")), rate=False)
        print(short_table(short) + "\n")
        hard_seconds = measure_hard(runs, names, min(options.rounds, 3))
        print(hard_table(hard_seconds))
        record = {"file": Path(path).name, "bytes": size, "rounds": options.rounds, "device": device_name()}
    bandwidth = read_bandwidth()
    print(f"\none core reads memory at {bandwidth / 1e9:.1f} GB/s: {size / bandwidth:.4f} s for the text")
    record |= {"environment": environment("numpy", "numba", "regex", *(name for name in names if name != "ours"))}
    record |= {"read_bandwidth": bandwidth, "share_of_text": {name: SHARE.get(name, 1) for name in names}}
    record |= {"megabytes_per_second": threaded, "seconds_per_short_call": short, "seconds_for_1_MB": hard_seconds}
    write(options.output, record)


if __name__ == "__main__":
    main()
