"""What `train_bpe` may be given: each argument checked, the error naming it, its value and what is allowed."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from cs336_lib.bpe.specials import in_order
from cs336_lib.naming import whole_number
from cs336_lib.textfile import check_is_text

BYTES = 256


def checked_path(input_path: str | os.PathLike[str]) -> tuple[Path, int]:
    """Return the path and the size of a text file to train on, or say what it is instead."""
    if not isinstance(input_path, str | os.PathLike):
        kind = type(input_path).__name__
        raise TypeError(f"input_path must be a path, one text file, got {kind}; join several files to one first")
    if len(str(input_path)) > 4_000 or "\n" in str(input_path):
        raise ValueError(
            f"input_path begins {str(input_path)[:30]!r}: this is the text itself; train_bpe takes the path of a file"
        )
    path = Path(input_path)
    if path.is_dir():
        raise IsADirectoryError(f"input_path {str(path)!r} is a folder; train_bpe wants one text file")
    if not path.is_file():
        if path.exists():
            raise ValueError(
                f"input_path {str(path)!r} is a pipe or a device; its text is read in pieces and must be in a file"
            )
        raise FileNotFoundError(f"input_path {str(path)!r} does not exist (looked from {Path.cwd()})")
    size = path.stat().st_size
    if size == 0:
        raise ValueError(f"input_path {str(path)!r} is empty: there is nothing to train on")
    check_is_text(path)
    return path, size


def checked_specials(special_tokens: Sequence[str] | None) -> list[str]:
    """Return the special tokens as a list, in the order in which they were given; None for none."""
    if isinstance(special_tokens, Mapping):
        raise TypeError(
            "special_tokens is a mapping to ids; train_bpe gives special tokens the ids behind the merges, in the "
            "order of a list: pass list(special_tokens)"
        )
    specials = in_order(() if special_tokens is None else special_tokens)
    seen: set[str] = set()
    for index, token in enumerate(specials):
        if not isinstance(token, str):
            raise TypeError(f"special_tokens[{index}] must be a string, got {token!r}")
        if not token:
            raise ValueError(f"special_tokens[{index}] is the empty string; leave it out")
        if token in seen:
            raise ValueError(f"special_tokens[{index}] {token!r} is given twice; give it once")
        try:
            token.encode()
        except UnicodeEncodeError:
            raise ValueError(f"special_tokens[{index}] {token!r} holds a lone surrogate, which UTF-8 can't") from None
        seen.add(token)
    return [str.__str__(token) for token in specials]  # of a subclass, too


def _integer(name: str, value: int, wanted: str = "an integer") -> int:
    """Return a whole number, numpy's included, as Python's own."""
    try:
        return whole_number(name, value)
    except TypeError:
        raise TypeError(f"{name} must be {wanted}, got {value!r}") from None


def checked_vocab_size(vocab_size: int, special_count: int) -> int:
    """Return the size of the vocabulary, which has room for the bytes and the special tokens."""
    vocab_size = _integer("vocab_size", vocab_size)
    least = BYTES + special_count
    if vocab_size < least:
        raise ValueError(
            f"vocab_size {vocab_size} is too small: the {BYTES} bytes and {special_count} special tokens take {least}"
        )
    return vocab_size


def checked_min_count(min_count: int) -> int:
    """Return a whole number, 1 or more."""
    min_count = _integer("min_count", min_count)
    if min_count < 1:
        raise ValueError(f"min_count must be 1 (all pre-tokens) or more, got {min_count}")
    return min_count


def checked_workers(workers: int | None) -> int:
    """Return the number of threads: as given, or one for each processor that this process may use."""
    if workers is None:
        usable = getattr(os, "sched_getaffinity", None)
        return len(usable(0)) if usable else os.cpu_count() or 1
    workers = _integer("workers", workers, "an integer or None")
    if workers < 1:
        raise ValueError(f"workers must be 1 or more, or None for all processors, got {workers}")
    return workers
