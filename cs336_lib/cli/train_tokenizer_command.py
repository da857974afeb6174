"""`cs336 train-tokenizer TEXT --vocab-size N --out FOLDER`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from cs336_lib.amounts import elapsed, size
from cs336_lib.cli.arguments import with_texts
from cs336_lib.cli.parsing import parse
from cs336_lib.typed import command, place


@dataclass(frozen=True)
class TrainTokenizer:
    """Train a byte-level BPE tokenizer, and save it as vocab.json and merges.txt.

    Example:
      cs336 train-tokenizer tales --vocab-size 1024 --out tokenizers/tales

    Attributes:
        text: a text file, or "tales", "tinystories", "owt" for its training text.
        out: folder to save to; made if missing.
        vocab_size: entries of the vocabulary: the 256 bytes, the merges and the special tokens.
        special_tokens: strings that are one token wherever they stand.
        workers: threads; as many as processors when left out.
        dask: address of a Dask scheduler, such as tcp://host:8786: its workers count instead of threads. They must see
            the text under the same path, and write beside it.
    """

    text: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="TEXT")]
    out: Path
    vocab_size: int = 10_000
    special_tokens: tuple[str, ...] = ("<|endoftext|>",)
    workers: int | None = None
    dask: str | None = None


def run(arguments: Sequence[str]) -> int:
    """Run the command."""
    given = with_texts(arguments, TrainTokenizer, "--special-tokens")
    asked = parse(TrainTokenizer, "train-tokenizer", given)
    from cs336_lib.bpe import Tokenizer, train_bpe
    from cs336_lib.bpe.formats.folders import check_own_folder
    from cs336_lib.cli.cluster import executor_at
    from cs336_lib.cli.outcome import END_OF_TEXT, lacks_end, next_step
    from cs336_lib.cli.outputs import check_folder
    from cs336_lib.data import corpora

    check_folder(asked.out, "--out")
    check_own_folder(asked.out)
    with executor_at(asked.dask) as executor:
        found = corpora.get(asked.text, progress=True)
        result = train_bpe(
            found.train, asked.vocab_size, asked.special_tokens, workers=asked.workers, executor=executor, progress=True
        )
    tokenizer = Tokenizer(result.vocab, result.merges, asked.special_tokens)
    tokenizer.save(asked.out)
    specials = {token.encode() for token in tokenizer.special_tokens}
    longest = max((token for token in tokenizer.vocab.values() if token not in specials), key=len)
    print(
        f"{tokenizer.vocab_size:,} tokens from {size(result.stats.bytes)} in "
        f"{elapsed(result.stats.seconds['total'])}; the longest is {longest!r}"
    )
    if tokenizer.vocab_size < asked.vocab_size:
        print(f"no pair was left to merge: the text gives no more tokens, and {asked.vocab_size:,} were asked for")
    if lacks_end(found.train, tokenizer):
        print(f"saved to {asked.out}; it lacks {END_OF_TEXT}, which the text holds: no command takes the two")
        print(f"next, for one that they take: {_again(asked)}")
        return 0
    print(f"saved to {asked.out}; {next_step(asked.text, found, asked.out, tokenizer)}")
    print(f"or, for a file of ids: {command('encode', asked.out, place(asked.text), 'OUT.tokens')}")
    return 0


def _again(asked: TrainTokenizer) -> str:
    """Return the command that trains the tokenizer with ends of documents."""
    from cs336_lib.cli.outcome import END_OF_TEXT

    words: list[str | Path] = [
        "train-tokenizer",
        place(asked.text),
        "--out",
        asked.out,
        "--vocab-size",
        str(asked.vocab_size),
    ]
    return command(*words, "--special-tokens", *asked.special_tokens, END_OF_TEXT)
