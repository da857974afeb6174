"""GPT-2's tokenizer in several libraries, behind the same calls; what `bpe_encode.py` and `bpe_files.py` measure.

Every call takes strings, finds special tokens, and uses a given number of threads. gigabpe, rustbpe and minibperust are
not among them: none can load a vocabulary that it has not trained itself.
"""

import argparse
import os
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import chain
from pathlib import Path

import numpy as np

SPECIAL = "<|endoftext|>"


@dataclass(frozen=True)
class Encoder:
    """One library's calls.

    Attributes:
        encode: a short text to a list of ids.
        to_array: a long text, given as documents that make it up, to an array of ids.
        to_list: the same to one list, or to a list for each document where threads share them.
        whole_text: whether `to_array` and, on one thread, `to_list` are given the text as one document.
        documents: many short texts to a list of ids for each.
        encode_ordinary: like `encode`, if the library has a quicker call that looks for no special tokens.
        file: a text file to a file of uint16 ids, if the library reads files.
    """

    encode: Callable[[str], list[int]]
    to_array: Callable[[Sequence[str]], np.ndarray]
    to_list: Callable[[Sequence[str]], list]
    whole_text: bool
    documents: Callable[[Sequence[str]], list[list[int]]]
    encode_ordinary: Callable[[str], list[int]] | None = None
    file: Callable[[Path, Path], object] | None = None


def find_files(folder: str | None) -> tuple[Path, Path]:
    """Paths of GPT-2's vocabulary and merges: in the folder, or written from what tiktoken has or downloads."""
    if folder is not None:
        for names in (("vocab.json", "merges.txt"), ("encoder.json", "vocab.bpe")):
            found = Path(folder) / names[0], Path(folder) / names[1]
            if all(path.exists() for path in found):
                return found
        raise FileNotFoundError(f"{folder} has neither vocab.json and merges.txt nor encoder.json and vocab.bpe")
    import tiktoken

    from cs336_lib.bpe import Tokenizer
    from cs336_lib.bpe.formats.tiktoken import merges_from_ranks

    encoding = tiktoken.get_encoding("gpt2")
    ranks = encoding._mergeable_ranks
    vocab = {rank: token for token, rank in ranks.items()}
    written = Path(tempfile.mkdtemp(prefix="gpt2-"))
    Tokenizer(vocab, merges_from_ranks(ranks), [SPECIAL]).save(written)
    return written / "vocab.json", written / "merges.txt"


def ours(vocab: Path, merges: Path, threads: int) -> Encoder:
    from cs336_lib.bpe import Tokenizer

    tokenizer = Tokenizer.from_files(vocab, merges, [SPECIAL])

    def to_list(texts: Sequence[str]) -> list:
        return tokenizer.encode(texts[0]) if threads == 1 else tokenizer.encode_batch(texts, workers=threads)

    def to_array(texts: Sequence[str]) -> np.ndarray:
        return tokenizer.encode_to_array(texts[0], workers=threads)

    def documents(texts: Sequence[str]) -> list[list[int]]:
        return tokenizer.encode_batch(texts, workers=threads)

    def file(text: Path, out: Path) -> object:
        from cs336_lib.data import encode_file

        return encode_file(tokenizer, text, out, workers=threads, resume=False)

    return Encoder(tokenizer.encode, to_array, to_list, True, documents, file=file)


def fastokens(vocab: Path, merges: Path, threads: int) -> Encoder:
    import fastokens

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tokenizer.json"
        _hugging_face(vocab, merges).save(str(path))
        tokenizer = fastokens.Tokenizer.from_file(str(path))

    def to_array(texts: Sequence[str]) -> np.ndarray:
        ids, _ = tokenizer.encode_batch_flat(texts)
        return np.frombuffer(ids, np.uint32)

    def to_list(texts: Sequence[str]) -> list:
        if threads == 1:
            return tokenizer.encode(texts[0]).ids
        return documents(texts)

    def documents(texts: Sequence[str]) -> list[list[int]]:
        return [found.ids for found in tokenizer.encode_batch(list(texts))]

    return Encoder(lambda text: tokenizer.encode(text).ids, to_array, to_list, threads == 1, documents)


def gigatoken(vocab: Path, merges: Path, threads: int) -> Encoder:
    import gigatoken as library

    from cs336_lib.bpe import Tokenizer

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tokenizer.json"
        Tokenizer.from_files(vocab, merges, [SPECIAL]).to_hf_json(path)
        tokenizer = library.Tokenizer(path)

    def to_array(texts: Sequence[str]) -> np.ndarray:
        if threads == 1:
            return tokenizer.encode(texts[0])
        return np.asarray(tokenizer.encode_batch(list(texts), parallel=True).layout.content.data)

    def to_list(texts: Sequence[str]) -> list:
        if threads == 1:
            return tokenizer.encode(texts[0]).tolist()
        return documents(texts)

    def documents(texts: Sequence[str]) -> list[list[int]]:
        return tokenizer.encode_batch_list(list(texts), parallel=threads > 1)

    def file(text: Path, out: Path) -> object:
        ids = tokenizer.encode_files(str(text), parallel=threads > 1).layout.content.data
        np.asarray(ids).astype(np.uint16).tofile(out)
        return out

    return Encoder(lambda text: tokenizer.encode(text).tolist(), to_array, to_list, threads == 1, documents, file=file)


def tiktoken(vocab: Path, merges: Path, threads: int) -> Encoder:
    import tiktoken
    from tiktoken.load import data_gym_to_mergeable_bpe_ranks
    from tiktoken_ext.openai_public import r50k_pat_str

    os.environ["TIKTOKEN_CACHE_DIR"] = ""  # local files need no copy in its cache
    ranks = data_gym_to_mergeable_bpe_ranks(str(merges), str(vocab))
    encoding = tiktoken.Encoding("gpt2", pat_str=r50k_pat_str, mergeable_ranks=ranks, special_tokens={SPECIAL: 50256})
    pool = ThreadPoolExecutor(threads)

    def to_array(texts: Sequence[str]) -> np.ndarray:
        return np.concatenate(list(pool.map(lambda text: encoding.encode_to_numpy(text, allowed_special="all"), texts)))

    def to_list(texts: Sequence[str]) -> list:
        if threads == 1:
            return encoding.encode(texts[0], allowed_special="all")
        return documents(texts)

    def documents(texts: Sequence[str]) -> list[list[int]]:
        return encoding.encode_batch(list(texts), num_threads=threads, allowed_special="all")

    def encode(text: str) -> list[int]:
        return encoding.encode(text, allowed_special="all")

    return Encoder(encode, to_array, to_list, threads == 1, documents, encode_ordinary=encoding.encode_ordinary)


def tokenizers(vocab: Path, merges: Path, threads: int) -> Encoder:
    tokenizer = _hugging_face(vocab, merges)

    def to_list(texts: Sequence[str]) -> list:
        if threads == 1:
            return tokenizer.encode(texts[0]).ids
        return documents(texts)

    def documents(texts: Sequence[str]) -> list[list[int]]:
        return [found.ids for found in tokenizer.encode_batch(list(texts))]

    def to_array(texts: Sequence[str]) -> np.ndarray:
        found = to_list(texts)
        return np.array(found if threads == 1 else list(chain.from_iterable(found)), np.uint32)

    return Encoder(lambda text: tokenizer.encode(text).ids, to_array, to_list, threads == 1, documents)


def _hugging_face(vocab: Path, merges: Path):
    from tokenizers import ByteLevelBPETokenizer

    tokenizer = ByteLevelBPETokenizer.from_file(str(vocab), str(merges))
    tokenizer.add_special_tokens([SPECIAL])
    return tokenizer


ENCODERS = {
    "ours": ours,
    "fastokens": fastokens,
    "gigatoken": gigatoken,
    "tiktoken": tiktoken,
    "tokenizers": tokenizers,
}


def add_options(parser: argparse.ArgumentParser, rounds: int, output: Path) -> None:
    """Add what the benchmarks of encoders have in common, and what they tell the processes that they measure."""
    parser.add_argument("--gpt2", help="folder with GPT-2's vocabulary and merges; tiktoken's copy if not given")
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--only", default=",".join(ENCODERS), help="contenders beside ours, separated by commas")
    parser.add_argument("--output", type=Path, default=output)
    for hidden in ("--child", "--task", "--vocab", "--merges"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    parser.add_argument("--threads", type=int, default=1, help=argparse.SUPPRESS)


def contenders(only: str) -> list[str]:
    """Return ours, which all are compared with, and those of `--only` that are installed; say which are not."""
    names = ["ours", *(name for name in only.split(",") if name != "ours")]
    if unknown := sorted(set(names) - ENCODERS.keys()):
        raise SystemExit(f"error: no encoder {', '.join(unknown)}; allowed: {', '.join(ENCODERS)}")
    there = [name for name in names if name == "ours" or find_spec(name)]
    if missing := sorted(set(names) - set(there)):
        print(f"not installed, so not measured: {', '.join(missing)}")
    return there
