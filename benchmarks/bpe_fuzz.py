"""Random strings through every encoder of ours and every oracle, until the time is up; a difference ends it.

    python benchmarks/bpe_fuzz.py --seconds 300 --gpt2 folder

The oracles: tiktoken and Hugging Face tokenizers with GPT-2's vocabulary, and the definition in plain Python with
`regex` (`cs336_lib.bpe.plain.definition`, which also trains). Strings are made of code points that Unicode 14 assigned,
on which everybody's tables agree, of special tokens and pieces of them, of runs, of contractions and of letters; for
the definition of bytes that are not UTF-8, too. Encoding at once, in a batch, in memory that threads share, compiled
and in plain Python must all give the oracle's ids.

Writes results/benchmarks/bpe_fuzz.json: how many strings, bytes and trainings were compared with whom.
"""

import argparse
import random
import tempfile
import time
import unicodedata
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from bpe_encoders import SPECIAL, find_files, tiktoken, tokenizers
from harness import write
from tqdm import tqdm

from cs336_lib.bpe import Tokenizer, training
from cs336_lib.bpe.encoding.compiled import CompiledEncoder
from cs336_lib.bpe.plain import definition
from cs336_lib.bpe.plain.definition_encoder import encode_word, split_on_special_tokens
from cs336_lib.bpe.plain.encoder import PlainEncoder
from cs336_lib.bpe.vocabulary import Vocabulary
from cs336_lib.environment import environment

RESULTS = Path(__file__).parents[1] / "results" / "benchmarks"
BATCH = 500
REFERENCE_EVERY = 20
BATCHES_PER_TRAINING = 4
ATOMS = [
    *(" ", "  ", "\n", "\r\n", "\t", "\u00a0", "\u3000", "\u0085", "\x1c", "\0", "'", "'s", "'ll", "'ve", "'RE", "'"),
    *("the", " the", "ing", "12", "3", "!", "...", "^^", "<|", "|>", SPECIAL, SPECIAL[:-1], "endoftext"),
    *(
        "\u00e9",
        "e\u0301",
        "\u4f60\u597d",
        "\ud55c",
        "\u0e01\u0e33",
        "\u05d0",
        "\U0001f600",
        "\U0001f468\u200d\U0001f469",
    ),
]
BROKEN = [
    b"\x80",
    b"\xc0\x80",
    b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80",
    b"\xff",
    b"\xe4\xbd",
    b"\xf0\x9f\x98",
    b"\xc1\x81",
]
assigned = [chr(c) for c in range(0x110000) if unicodedata.category(chr(c)) not in {"Cn", "Cs", "Co"}]


def random_string(chance: random.Random) -> str:
    """A string of up to some hundred characters, of one of five kinds or of several."""
    kind = chance.randrange(6)
    if kind == 0:
        return "".join(chance.choices(assigned, k=chance.randrange(60)))
    if kind == 1:
        return "".join(chance.choices(ATOMS, k=chance.randrange(40)))
    if kind == 2:
        return "".join(chance.choices("aeiou nrst", k=chance.randrange(300)))
    if kind == 3:
        return chance.choice([*ATOMS, *chance.sample(assigned, 3)]) * chance.randrange(300)
    if kind == 4:
        return "".join(chance.choices("ab'\n 1s", k=chance.randrange(40)))
    return "".join(random_string(chance) for _ in range(chance.randrange(5)))


def broken_bytes(chance: random.Random, text: str) -> bytes:
    """The string's bytes with rubbish between them."""
    data = text.encode()
    for _ in range(chance.randrange(1, 6)):
        at = chance.randrange(len(data) + 1)
        data = data[:at] + chance.choice(BROKEN) + data[at:]
    return data


class Fuzz:
    """One tokenizer in all its forms, the oracles, and the counts."""

    def __init__(self, gpt2: str | None) -> None:
        vocab, merges = find_files(gpt2)
        self.tokenizer = Tokenizer.from_files(vocab, merges, [SPECIAL])
        self.parts = self.tokenizer.vocab, self.tokenizer.merges, [SPECIAL]
        self.compiled = CompiledEncoder(Vocabulary(*self.parts))
        self.plain = PlainEncoder(Vocabulary(*self.parts))
        self.oracles: dict[str, Callable[[str], list[int]]] = {
            "tiktoken": tiktoken(vocab, merges, 1).encode,
            "tokenizers": tokenizers(vocab, merges, 1).encode,
        }
        self.ids = {token: number for number, token in self.parts[0].items()}
        self.ranks = {pair: rank for rank, pair in enumerate(self.parts[1])}
        self.strings: Counter[str] = Counter()
        self.bytes: Counter[str] = Counter()
        self.trainings = 0

    def definition(self, data: bytes) -> list[int]:
        """`encode_reference`, with its dictionaries made once."""
        ids = []
        for part, is_special in split_on_special_tokens(data.decode("utf-8", "surrogateescape"), [SPECIAL]):
            if is_special:
                ids.append(self.ids[part.encode()])
                continue
            for word in definition.pretokenize(part.encode("utf-8", "surrogateescape")):
                ids += [self.ids[token] for token in encode_word(word, self.ranks)]
        return ids

    def expect(self, oracle: str, text: "str | bytes", expected: list[int], found: list[int], where: str) -> None:
        """Raise AssertionError if the ids differ."""
        if expected != found:
            raise AssertionError(f"{where} gives {found} where {oracle} gives {expected} for {text!r}")

    def encode_batch(self, chance: random.Random) -> None:
        """Encode BATCH strings by every way and every oracle."""
        texts = [random_string(chance) for _ in range(BATCH)]
        batch = self.tokenizer.encode_batch(texts)
        for index, text in enumerate(texts):
            data = text.encode()
            ours = {
                "the plain encoder": self.plain.encode(text),
                "the compiled encoder": self.compiled.encode(data).tolist(),
                "encode": self.tokenizer.encode(text),
                "encode_batch": batch[index],
            }
            oracles = dict(self.oracles)
            if index % REFERENCE_EVERY == 0:
                oracles["definition"] = lambda text: self.definition(text.encode())
            for name, oracle in oracles.items():
                expected = oracle(text)
                for where, found in ours.items():
                    self.expect(name, text, expected, found, where)
                self.strings[name] += 1
                self.bytes[name] += len(data)
            if index % REFERENCE_EVERY == 1:
                broken = broken_bytes(chance, text)
                expected = self.definition(broken)
                self.expect("definition", broken, expected, self.compiled.encode(broken).tolist(), "the encoder")
                self.strings["definition, not UTF-8"] += 1
                self.bytes["definition, not UTF-8"] += len(broken)
        joined = "".join(texts)
        expected = self.oracles["tiktoken"](joined)
        streamed = list(self.tokenizer.encode_iterable(texts))
        self.expect("tiktoken", joined, expected, streamed, "encode_iterable")
        threaded = self.tokenizer.encode_to_array(joined, workers=2).tolist()
        self.expect("tiktoken", joined, expected, threaded, "encode_to_array")
        if self.tokenizer.decode(expected) != joined:
            raise AssertionError(f"decoding does not give back {joined!r}")

    def train(self, chance: random.Random) -> None:
        """Train by the compiled kernels and by the definition on a text of random strings."""
        text = b"".join(broken_bytes(chance, random_string(chance)) for _ in range(12))
        merges = chance.randrange(60)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "text"
            path.write_bytes(text)
            order = training._Order(path, len(text), merges, [SPECIAL], 2, None, None, 1, False)
            found, _ = training._train_compiled(order)
        _, expected = definition.train(text, 257 + merges, [SPECIAL])
        if found != expected:
            raise AssertionError(f"training on {text!r} gives {found}, by the definition {expected}")
        self.trainings += 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=336)
    parser.add_argument("--gpt2", help="folder with GPT-2's vocabulary and merges; tiktoken's copy if not given")
    parser.add_argument("--output", type=Path, default=RESULTS / "bpe_fuzz.json")
    options = parser.parse_args()
    chance = random.Random(options.seed)
    fuzz = Fuzz(options.gpt2)
    started = time.monotonic()
    with tqdm(desc="strings", unit="") as bar:
        while time.monotonic() - started < options.seconds:
            for _ in range(BATCHES_PER_TRAINING):
                fuzz.encode_batch(chance)
                bar.update(BATCH)
            fuzz.train(chance)
    for name, count in fuzz.strings.items():
        print(f"{count:,} strings, {fuzz.bytes[name]:,} bytes: the same ids as {name}")
    print(f"{fuzz.trainings:,} trainings: the same merges as the definition's")
    record = {"seed": options.seed, "seconds": options.seconds, "strings": dict(fuzz.strings)}
    record |= {"bytes": dict(fuzz.bytes), "trainings": fuzz.trainings}
    write(options.output, record | {"environment": environment("regex", "tiktoken", "tokenizers")})


if __name__ == "__main__":
    main()
