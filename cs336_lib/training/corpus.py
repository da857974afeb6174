"""What a run reads: a tokenizer, ids to train on, ids to be judged by (chapter 6).

`prepare` follows a config from text to ids and keeps what it makes in the user's cache folder, under a name that says
what it was made from; the next run with the same text and vocabulary starts at once.
"""

from __future__ import annotations

import hashlib
import mmap
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cs336_lib.atomic import replacing
from cs336_lib.bpe import Tokenizer, train_bpe
from cs336_lib.bpe.cutting.cuts import FileChangedError
from cs336_lib.data import TokenFile, corpora, encode_file
from cs336_lib.data.downloads import content_hash
from cs336_lib.data.own_text import whole_documents
from cs336_lib.data.token_format import smallest_dtype
from cs336_lib.data.tokens import TokenFileError
from cs336_lib.locks import held
from cs336_lib.native.cache import cache_subfolder
from cs336_lib.textfile import check_is_text
from cs336_lib.training.config import TrainConfig

END_OF_TEXT = "<|endoftext|>"
_VALID_PART = 20  # of a text without validation set, one in so many tokens is held out
_BLOCK = 1 << 24

NAMED = ("tales", "tinystories", "owt")

Say = Callable[[str], object]


@dataclass(frozen=True)
class PreparedCorpus:
    """What a run reads.

    Attributes:
        tokenizer: text <-> ids; None if nobody gave one, and then there are no samples.
        train: ids to train on: a `TokenFile` or a flat array.
        valid: ids to be judged by.
        facts: where they are from, for the record.
    """

    tokenizer: Tokenizer | None
    train: Any
    valid: Any
    facts: dict[str, Any] = field(default_factory=dict)


class TooShortError(ValueError):
    """A text is too short for one window."""

    def __init__(self, fact: str, advice: str = "") -> None:
        super().__init__(fact + advice)
        self.fact = fact


def prepare(config: TrainConfig, *, progress: bool = False, say: Say = lambda line: None) -> PreparedCorpus:
    """Get text, train a tokenizer if none is given, and encode.

    Args:
        config: its `data`, `valid_data`, `data_bytes`, `tokenizer` and `model.vocab_size` decide.
        progress: show progress bars.
        say: called with a line about each step that takes time.

    Returns:
        The corpus.

    Raises:
        FileNotFoundError: a text or tokenizer is missing.
        ValueError: the tokenizer has more ids than the model, or the text is too short for one window.
    """
    home = cache_subfolder("prepared")
    text, valid_text, source = _texts(config, home, progress)
    tokenizer = _tokenizer(config, text, home, progress, say)
    if tokenizer.vocab_size > config.model.vocab_size:
        raise ValueError(
            f"the tokenizer has {tokenizer.vocab_size} ids, the model's vocab_size is {config.model.vocab_size}; "
            f"set vocab_size to that (--model.vocab-size {tokenizer.vocab_size})"
        )
    train: Any
    valid: Any
    train = _encoded(tokenizer, text, home, progress, say)
    if valid_text is None:
        train, valid = held_out(train.ids, tokenizer)
    else:
        valid = _encoded(tokenizer, valid_text, home, progress, say)
    for name, tokens in (("training", train), ("validation", valid)):
        if len(tokens) <= config.model.context_length:
            is_cut = config.data_bytes and (config.data == "tales" or text.parent == home)
            raise TooShortError(
                f"the {name} set of {source} has {len(tokens)} tokens; a window of context_length = "
                f"{config.model.context_length} takes one more",
                f": take {'more bytes of it (data_bytes)' if is_cut else 'a longer text'}, or a shorter context_length",
            )
    about = {
        "name": source,
        "train_tokens": len(train),
        "valid_tokens": len(valid),
        "train_bytes": text.stat().st_size,
        "tokenizer": tokenizer.fingerprint[:16],
        "train_sha256": _ids_hash(train),
        "valid_sha256": _ids_hash(valid),
    }
    return PreparedCorpus(tokenizer, train, valid, about)


_BYTES_A_TALES_TOKEN = 4.2
"""A little more than a token of any vocabulary from 3,388 entries, where the trainer finds no pair left, takes."""
_MOST_EPOCHS = 4
"""Passes over the same tales that cost a small model little; after that it learns them by heart."""


def find_data(config: TrainConfig, folder: Path, advice: str = "say where it lies now with {} PATH") -> TrainConfig:
    """Return the config of a run with the places where its texts and its tokenizer lie now.

    A path that is not there from here is looked for from the run's folder up; the tokenizer is that in the folder.

    Args:
        config: of the run.
        folder: of the run.
        advice: what to do about a text that is nowhere; {} stands for the option of its place.

    Raises:
        FileNotFoundError: a text is nowhere; the error ends with the advice.
    """
    places = {name: _found(config, name, folder.resolve(), advice) for name in ("data", "valid_data")}
    own = folder / "tokenizer"
    tokenizer = (
        str(own) if config.tokenizer and not Path(config.tokenizer).is_dir() and own.is_dir() else config.tokenizer
    )
    return config.replace(**places, tokenizer=tokenizer)


def _found(config: TrainConfig, name: str, folder: Path, advice: str) -> str | None:
    given: str | None = getattr(config, name)
    if given is None or given in NAMED or Path(given).exists():
        return given
    for above in folder.parents:
        if (above / given).exists():
            return str(above / given)
    option = f"--{name.replace('_', '-')}"
    raise FileNotFoundError(
        f"{folder.name} was trained with {name} = {given!r}, which is not there (looked from {Path.cwd()} and from the "
        f"run's folder up): {advice.format(option)}"
    )


def absolute_places(config: TrainConfig) -> TrainConfig:
    """Return a config whose texts and tokenizer are found from any folder."""
    places = {
        name: str(Path(given).absolute())
        for name in ("data", "valid_data", "tokenizer")
        if (given := getattr(config, name)) and given not in NAMED and Path(given).exists()
    }
    return config.replace(**places)


def _texts(config: TrainConfig, home: Path, progress: bool) -> tuple[Path, Path | None, str]:
    """Return the training text, the validation text, and what to call them."""
    if config.data == "tales":
        made = corpora.get("tales", size_bytes=config.data_bytes or _bytes_of_tales(config), progress=progress)
        return made.train, made.valid, "tales, seed 0"
    found = corpora.get(config.data, progress=progress)
    valid = Path(config.valid_data) if config.valid_data else found.valid
    if valid is not None and not valid.is_file():
        raise FileNotFoundError(f"valid_data is {str(valid)!r}, and there is no such file")
    return _prefix(found.train, config.data_bytes, home), valid, Path(found.name).name


def _bytes_of_tales(config: TrainConfig) -> int | None:
    """Return how much of the endless tales a run gets: None for the usual size, the run's own need if that is large."""
    wanted = round(_BYTES_A_TALES_TOKEN * config.tokens)
    return wanted if wanted > _MOST_EPOCHS * corpora.TALES_BYTES else None


def _prefix(text: Path, size: int, home: Path) -> Path:
    """Return a file with the first whole documents of a text, up to `size` bytes; the text itself for 0."""
    if not size or size >= text.stat().st_size:
        return text
    path = home / f"{_name_of(text)}-first-{size}.txt"
    if not path.exists():
        with text.open("rb") as source, replacing(path) as file:
            left = whole_documents(source, size)
            source.seek(0)
            while left:
                block = source.read(min(left, _BLOCK))
                if not block:
                    raise FileChangedError(f"{text} became shorter while its beginning was copied; run this again")
                left -= len(block)
                file.write(block)
    return path


def _tokenizer(config: TrainConfig, text: Path, home: Path, progress: bool, say: Say) -> Tokenizer:
    if config.tokenizer:
        return Tokenizer.from_folder(config.tokenizer)
    folder = home / f"{_name_of(text)}-bpe-{config.model.vocab_size}"
    if (kept := _kept_tokenizer(folder)) is not None:
        return kept
    with held(folder.with_suffix(".lock"), f"another process is training a tokenizer on {text.name}", wait=say):
        if (kept := _kept_tokenizer(folder)) is None:
            say(f"training a tokenizer of {config.model.vocab_size:,} tokens on {text.name}")
            vocab, merges = train_bpe(text, config.model.vocab_size, [END_OF_TEXT], progress=progress)
            kept = Tokenizer(vocab, merges, [END_OF_TEXT])
            shutil.rmtree(folder, ignore_errors=True)  # what is left of a damaged one
            kept.save(folder)
        return kept


def _kept_tokenizer(folder: Path) -> Tokenizer | None:
    """Return the tokenizer of a cache folder; None if it is not there or was only half written."""
    try:
        return Tokenizer.from_folder(folder)
    except (OSError, ValueError):
        return None


def _encoded(tokenizer: Tokenizer, text: Path, home: Path, progress: bool, say: Say) -> TokenFile:
    path = home / f"{_name_of(text)}-{tokenizer.fingerprint[:12]}.tokens"
    if path.exists():
        try:
            return TokenFile.open(path, tokenizer=tokenizer)
        except TokenFileError as error:
            say(f"{error}; doing so")
            path.unlink(missing_ok=True)
    say(f"encoding {text.name}")
    encode_file(tokenizer, text, path, progress=progress, wait=say)
    return TokenFile.open(path, tokenizer=tokenizer)


def text_ids(tokenizer: Tokenizer, text: Path) -> np.ndarray:
    """Return the ids of a text file, in the smallest type that holds them; the text itself is mapped, not read.

    Args:
        tokenizer: of the run.
        text: the file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is empty, or no text.
    """
    if not text.is_file():
        what = "a folder" if text.is_dir() else "not there"
        raise FileNotFoundError(f"{text} is {what}; name a text file")
    check_is_text(text)
    if not text.stat().st_size:
        raise ValueError(f"{text} is empty: there is nothing to measure on")
    dtype = smallest_dtype(tokenizer.vocab_size)
    with text.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        view = memoryview(mapped)
        try:
            return np.concatenate([ids.astype(dtype) for ids in tokenizer.encode_blocks(view)])
        finally:
            view.release()


def held_out(ids: np.ndarray, tokenizer: Tokenizer) -> tuple[np.ndarray, np.ndarray]:
    """Return a text's ids to train on, and the last part that is held out: whole documents if it has documents."""
    cut = len(ids) - max(len(ids) // _VALID_PART, 1)
    if END_OF_TEXT in tokenizer.special_tokens:
        (end,) = tokenizer.encode(END_OF_TEXT)
        later = np.flatnonzero(ids[cut:] == end)
        if len(later) > 1:
            cut += int(later[0]) + 1
    return ids[:cut], ids[cut:]


def _name_of(text: Path) -> str:
    """Return a name that says what the file holds."""
    return f"{text.stem[:40]}-{content_hash(text)[:12]}"


def _ids_hash(tokens: Any) -> str:
    header = getattr(tokens, "header", None)
    digest = header.payload_sha256 if header else hashlib.sha256(np.ascontiguousarray(tokens).data).hexdigest()
    return str(digest[:16])
