r"""Train the assignment's two tokenizers, compare them, and keep what the book shows of them.

    python benchmarks/bpe_corpora.py --tinystories train.txt --tinystories-valid valid.txt --owt owt-train.txt \
        --owt-valid owt-valid.txt --label "whole corpora"

Writes `results/tokenizers/`: `tinystories-10k/` and `owt-32k/`, each a tokenizer with a `record.json` of what its
training took, and `comparison.json`: bytes per token of ten documents and of the whole held-out text under either
tokenizer, what the vocabularies share, how fast each encodes. Each training runs in a process of its own, so that the
peak memory is its own. Several training files are joined. With `--gpt2 FOLDER` GPT-2's tokenizer is compared too.
"""

import argparse
import hashlib
import random
import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from datetime import date
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from harness import device_name, write

from cs336_lib.bpe import Tokenizer, train_bpe
from cs336_lib.environment import environment

EOT = "<|endoftext|>"
SIZES = {"tinystories-10k": 10_000, "owt-32k": 32_000}
OUT = Path(__file__).resolve().parent.parent / "results" / "tokenizers"


def train(path: str, vocab_size: int) -> tuple[Tokenizer, dict[str, Any]]:
    """Train once to get the kernels ready and once for the record."""
    train_bpe(path, 300, [EOT])
    vocab, merges = result = train_bpe(path, vocab_size, [EOT])
    stats = result.stats
    longest = sorted(set(vocab.values()) - {EOT.encode()}, key=lambda token: (-len(token), token))[:20]
    record = {
        "vocab_size": len(vocab),
        "text_bytes": stats.bytes,
        "pretokens": stats.words,
        "distinct_pretokens": stats.distinct_words,
        "workers": stats.workers,
        "seconds": {stage: round(seconds, 4) for stage, seconds in stats.seconds.items()},
        "peak_memory_bytes": stats.peak_memory,
        "longest_tokens": [token.decode("utf-8", "backslashreplace") for token in longest if token != EOT.encode()][
            :20
        ],
    }
    return Tokenizer(vocab, merges, [EOT]), record


def in_own_process(path: Path, vocab_size: int) -> tuple[Tokenizer, dict[str, Any]]:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(train, str(path), vocab_size).result()


def documents(path: Path) -> list[str]:
    return [text.strip("\n") for text in path.read_text(encoding="utf-8").split(EOT) if text.strip()]


def compression(tokenizer: Tokenizer, texts: list[str], sampled: list[str]) -> dict[str, Any]:
    """Bytes per token of each sampled document, and of all documents together."""

    def ratio(text: str) -> float:
        return len(text.encode()) / len(tokenizer.encode(text))

    whole = "".join(text + "\n" + EOT + "\n" for text in texts).encode()
    return {
        "documents": [round(ratio(text), 4) for text in sampled],
        "whole": round(len(whole) / len(tokenizer.encode_to_array(whole)), 4),
        "whole_bytes": len(whole),
    }


def throughput(tokenizer: Tokenizer, data: bytes, rounds: int = 5) -> float:
    """Median rate, in MB/s, of encoding bytes to an array on one thread."""
    seconds = []
    for _ in range(rounds + 1):
        started = time.perf_counter()
        tokenizer.encode_to_array(data)
        seconds.append(time.perf_counter() - started)
    return round(len(data) / statistics.median(seconds[1:]) / 1e6, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tinystories", type=Path, nargs="+", required=True, help="training text, joined")
    parser.add_argument("--tinystories-valid", type=Path, required=True)
    parser.add_argument("--owt", type=Path, nargs="+", required=True, help="training text, joined")
    parser.add_argument("--owt-valid", type=Path, required=True)
    parser.add_argument("--label", required=True, help='what the texts are, such as "sample of 7,774 stories"')
    parser.add_argument("--gpt2", type=Path, help="folder with GPT-2's encoder.json and vocab.bpe")
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    texts = {"tinystories-10k": options.tinystories, "owt-32k": options.owt}
    valid = {"TinyStories": documents(options.tinystories_valid), "OpenWebText": documents(options.owt_valid)}
    provenance = {
        "label": options.label,
        "device": device_name(),
        "date": date.today().isoformat(),
        "environment": environment("numpy", "numba", "regex"),
    }
    tokenizers = {}
    rates = {}
    for name, paths in texts.items():
        with tempfile.TemporaryDirectory() as folder:
            joined = Path(folder) / "text.txt"
            joined.write_bytes(b"".join(path.read_bytes() for path in paths))
            tokenizer, record = in_own_process(joined, SIZES[name])
            rates[name] = throughput(tokenizer, joined.read_bytes())
            record["text_sha256"] = hashlib.sha256(joined.read_bytes()).hexdigest()
        tokenizer.save(options.out / name)
        write(options.out / name / "record.json", record | provenance)
        tokenizers[name] = tokenizer
        print(f"{name}: {record['text_bytes']:,} bytes in {record['seconds']['total']:.2f} s; longest tokens:")
        print("   ", ", ".join(map(repr, record["longest_tokens"][:5])))
    if options.gpt2:
        tokenizers["gpt2-50k"] = Tokenizer.from_files(options.gpt2 / "encoder.json", options.gpt2 / "vocab.bpe", [EOT])
    sampled = {name: random.Random(0).sample(found, 10) for name, found in valid.items()}
    first, second = (set(tokenizers[name].vocab.values()) for name in SIZES)
    comparison = {
        "bytes_per_token": {
            name: {text: compression(tokenizer, valid[text], sampled[text]) for text in valid}
            for name, tokenizer in tokenizers.items()
        },
        "encode_MB_per_s_one_thread": rates,
        "vocabularies": {
            "both": len(first & second),
            "only_tinystories": len(first - second),
            "only_owt": len(second - first),
            "examples_only_tinystories": examples(first - second),
            "examples_only_owt": examples(second - first),
        },
    }
    write(options.out / "comparison.json", comparison | provenance)
    for name, groups in comparison["bytes_per_token"].items():
        print(f"{name:16}", {text: found["whole"] for text, found in groups.items()})
    print("written to", options.out.relative_to(Path.cwd()) if options.out.is_relative_to(Path.cwd()) else options.out)


def examples(tokens: set[bytes]) -> list[str]:
    """Twelve words among the tokens, picked by chance but the same each time."""
    words = sorted(t.decode() for t in tokens if t.isascii() and t[:1] == b" " and t[1:].isalpha() and len(t) > 4)
    return random.Random(1).sample(words, min(12, len(words)))


if __name__ == "__main__":
    main()
