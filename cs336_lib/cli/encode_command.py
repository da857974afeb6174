"""`cs336 encode TOKENIZER TEXT OUT`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from cs336_lib.cli.parsing import parse


@dataclass(frozen=True)
class Encode:
    """Encode a text to a file of token ids. If it is stopped, the same command goes on where it was.

    Such a file is for Python (cs336_lib.data.TokenFile). cs336 train needs none: it takes the text and the tokenizer,
    and encodes by itself.

    Example:
      cs336 encode tokenizers/tales stories.txt stories.tokens

    Attributes:
        tokenizer: folder of a tokenizer.
        text: a text file, or "tales", "tinystories", "owt" for its training text.
        out: the token file.
        workers: threads; as many as processors when left out.
        dask: address of a Dask scheduler, such as tcp://host:8786: its workers encode instead of threads. They must see
            the text and the folder of the token file under the same paths.
    """

    tokenizer: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="TOKENIZER")]
    text: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="TEXT")]
    out: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="OUT")]
    workers: int | None = None
    dask: str | None = None


def run(arguments: Sequence[str]) -> int:
    """Run the command."""
    asked = parse(Encode, "encode", arguments)
    from cs336_lib.bpe import Tokenizer
    from cs336_lib.cli.cluster import executor_at
    from cs336_lib.cli.outcome import next_step
    from cs336_lib.cli.outputs import check_file
    from cs336_lib.data import TokenFile, corpora, encode_file
    from cs336_lib.data.token_format import check_own_tokens

    if not asked.out.is_file():  # one that is there may be right; if not, nothing is encoded before its folder is tried
        check_file(asked.out, "OUT")
    check_own_tokens(asked.out)
    tokenizer = Tokenizer.from_folder(asked.tokenizer)
    with executor_at(asked.dask) as executor:
        found = corpora.get(asked.text, progress=True)
        done = encode_file(tokenizer, found.train, asked.out, workers=asked.workers, executor=executor, progress=True)
    what = f"{done.tokens:,} tokens, {done.bytes_per_token:.3f} bytes of text each"
    speed = f"{done.speed}, in" if done.encoded_bytes or not done.source_bytes else "there already, in"
    print(f"{what}, {speed} {asked.out}")
    print(f"in Python: cs336_lib.data.TokenFile.open({str(asked.out)!r}); training takes the text itself")
    print(next_step(asked.text, found, asked.tokenizer, tokenizer, TokenFile.open(asked.out).ids))
    return 0
