r"""Train the assignment's two tokenizers, compare them, and keep what the book shows of them.

    python benchmarks/bpe_corpora.py --tinystories train.txt --tinystories-valid valid.txt --owt owt-train.txt \
        --owt-valid owt-valid.txt --label "whole corpora" --fresh books.txt

Writes `results/tokenizers/`: `tinystories-10k/` and `owt-32k/`, each a tokenizer with a `record.json` of what its
training took, and `comparison.json`: bytes per token of ten documents and of the whole held-out text under either
tokenizer, what the vocabularies share, how many tokens each corpus is under its own tokenizer, and how fast each
encodes a text that it was not trained on, the first time and again. Each training runs in a process of its own, so that
the peak memory is its own. Several training files are joined. With `--gpt2 FOLDER` GPT-2's tokenizer is compared too.
With `--compare-only` the tokenizers on record are compared, and none is trained.
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


def throughput(tokenizer: Tokenizer, data: bytes, rounds: int = 5) -> dict[str, float]:
    """Median rates, in MB/s, of encoding bytes to an array on one thread, by the processor's clock.

    That clock leaves out what other programs take from the thread, so a rate is that of an idle machine.

    A first pass is by a tokenizer that has encoded nothing else than a few words, so it meets each word of the text for
    the first time, as it would in a corpus; repeated passes find them all in its memory.
    """
    seconds: dict[str, list[float]] = {"first pass": [], "repeated": []}
    for _ in range(rounds):
        fresh = Tokenizer(tokenizer.vocab, tokenizer.merges, [EOT])
        fresh.encode_to_array(b"hello world " * 20_000)  # loads the kernels
        for pass_ in seconds:
            started = time.process_time()
            fresh.encode_to_array(data, workers=1)
            seconds[pass_].append(time.process_time() - started)
    return {pass_: round(len(data) / statistics.median(taken) / 1e6, 1) for pass_, taken in seconds.items()}


def encoded(tokenizer: Tokenizer, data: bytes) -> dict[str, int]:
    """How many tokens a text is, and the largest id among them."""
    ids = tokenizer.encode_to_array(data)
    return {"bytes": len(data), "tokens": len(ids), "largest_id": int(ids.max())}


def train_and_record(name: str, text: bytes, out: Path, provenance: dict[str, Any]) -> Tokenizer:
    """Train a tokenizer in a process of its own; save it, and what its training took."""
    with tempfile.TemporaryDirectory() as folder:
        joined = Path(folder) / "text.txt"
        joined.write_bytes(text)
        tokenizer, record = in_own_process(joined, SIZES[name])
    record["text_sha256"] = hashlib.sha256(text).hexdigest()
    tokenizer.save(out)
    write(out / "record.json", record | provenance)
    print(f"{name}: {record['text_bytes']:,} bytes in {record['seconds']['total']:.2f} s; longest tokens:")
    print("   ", ", ".join(map(repr, record["longest_tokens"][:5])))
    return tokenizer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tinystories", type=Path, nargs="+", required=True, help="training text, joined")
    parser.add_argument("--tinystories-valid", type=Path, required=True)
    parser.add_argument("--owt", type=Path, nargs="+", required=True, help="training text, joined")
    parser.add_argument("--owt-valid", type=Path, required=True)
    parser.add_argument("--label", required=True, help='what the texts are, such as "sample of 7,774 stories"')
    parser.add_argument("--gpt2", type=Path, help="folder with GPT-2's encoder.json and vocab.bpe")
    parser.add_argument("--fresh", type=Path, required=True, help="text that neither was trained on, to time encoding")
    parser.add_argument("--fresh-label", default="", help="what that text is; its name if not given")
    parser.add_argument("--compare-only", action="store_true", help="train nothing; compare what is on record")
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
    tokenizers, counts = {}, {}
    for (name, paths), (kind, held_out) in zip(
        texts.items(),
        {"TinyStories": options.tinystories_valid, "OpenWebText": options.owt_valid}.items(),
        strict=True,
    ):
        text = b"".join(path.read_bytes() for path in paths)
        if options.compare_only:
            tokenizer = Tokenizer.from_folder(options.out / name)
        else:
            tokenizer = train_and_record(name, text, options.out / name, provenance)
        tokenizers[name] = tokenizer
        counts[kind] = {"train": encoded(tokenizer, text), "valid": encoded(tokenizer, held_out.read_bytes())}
    fresh = options.fresh.read_bytes()
    rates = {name: throughput(tokenizer, fresh) for name, tokenizer in tokenizers.items()}
    if options.gpt2:
        tokenizers["gpt2-50k"] = Tokenizer.from_files(options.gpt2 / "encoder.json", options.gpt2 / "vocab.bpe", [EOT])
    sampled = {name: random.Random(0).sample(found, 10) for name, found in valid.items()}
    first, second = (set(tokenizers[name].vocab.values()) for name in SIZES)
    comparison = {
        "bytes_per_token": {
            name: {text: compression(tokenizer, valid[text], sampled[text]) for text in valid}
            for name, tokenizer in tokenizers.items()
        },
        "encoded_by_own_tokenizer": counts,
        "encode_MB_per_s_one_thread": {
            "text": options.fresh_label or options.fresh.name,
            "bytes": len(fresh),
            "rates": rates,
        },
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
