"""Texts to train on, behind one function: `corpora.get(name | path)` (chapter 3).

::

    tales          made here, at any size, without a network; its exact entropy is known
    tinystories    TinyStoriesV2-GPT4: 2.2 GB of small stories by GPT-4 (Eldan and Li, 2023)
    owt            the assignment's sample of OpenWebText: 11.9 GB of web pages
    a path         a text file, or a folder with one of each split

In all of them documents end with `<|endoftext|>`. Downloads are checked against the sizes and hashes below, whatever
their source has become.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from cs336_lib.data import tales
from cs336_lib.data.downloads import (
    Contents,
    CorpusError,
    HubFile,
    corpora_folder,
    fetch,
    hash_file,
    known_hash,
    remember_hash,
)
from cs336_lib.naming import LARGEST, check_whole
from cs336_lib.plain import said
from cs336_lib.textfile import check_is_text

__all__ = ["get", "available", "peek", "Corpus", "Description", "CorpusError"]

SPLITS = tales.SPLITS
END_OF_TEXT = "<|endoftext|>"
TALES_BYTES = 20_000_000
_PEEK_BYTES = 1 << 20

_TINYSTORIES = "roneneldan/TinyStories", "f54c09fd23315a6f9c86f9dc80f725de7d8f9c64"
_OWT = "stanford-cs336/owt-sample", "main"

HUB = {
    "tinystories": {
        "train": HubFile(
            *_TINYSTORIES,
            "TinyStoriesV2-GPT4-train.txt",
            Contents(2_227_753_162, "6418d412de72888f52b5142c761ac21a582f7d1166f0bfbdb5f03ccfdec90443"),
        ),
        "valid": HubFile(
            *_TINYSTORIES,
            "TinyStoriesV2-GPT4-valid.txt",
            Contents(22_502_601, "6874bae9a4c1a4e7edcf0e53b86c17817e9cf881fc75ff2368da457b80c0585d"),
        ),
    },
    "owt": {
        "train": HubFile(
            *_OWT,
            "owt_train.txt.gz",
            Contents(4_591_240_837, "b19ae88cfbc4016b304c348522455fe38ebac48fffed955adcc7191a89e38ccf"),
            Contents(11_920_511_059, "bbeb7f291a981ecfd5cf44b84d0f654b9e96c53dff99f2556b7d2cccaf8c1918"),
        ),
        "valid": HubFile(
            *_OWT,
            "owt_valid.txt.gz",
            Contents(111_785_382, "bc73db5da2f19c360836b9c8a88094e13346ec83798c2f40060be39135768c80"),
            Contents(289_998_753, "2406f278e71829d273b315e9b403285baea7022b26a96d2728dd8b776ea40660"),
        ),
    },
}


@dataclass(frozen=True)
class Corpus:
    """A corpus on this machine.

    Attributes:
        name: as it was asked for.
        train: text file to train on.
        valid: text file to validate on; None for a path that has none.
    """

    name: str
    train: Path
    valid: Path | None


@dataclass(frozen=True)
class Description:
    """What `available` lists.

    Attributes:
        name: for `get`.
        about: one line.
        train_bytes: size of the text to train on; None if any.
        valid_bytes: size of the text to validate on; None if any.
        source: where it comes from.
        license: terms of use.
    """

    name: str
    about: str
    train_bytes: int | None
    valid_bytes: int | None
    source: str
    license: str


def available() -> list[Description]:
    """The corpora that `get` knows by name.

    >>> [corpus.name for corpus in available()]
    ['tales', 'tinystories', 'owt']
    """
    about = {
        "tinystories": ("small stories by GPT-4, about 2.7 million", "CDLA-Sharing-1.0"),
        "owt": ("web pages that were linked on Reddit, a sample", "as of the pages; for research"),
    }
    made = Description("tales", "small stories from a grammar, entropy known", None, None, "made here", "MIT")
    return [made] + [
        Description(name, about[name][0], files["train"].size, files["valid"].size, source, about[name][1])
        for name, files in HUB.items()
        for source in [files["train"].repository]
    ]


def get(name: str | Path, *, size_bytes: int | None = None, seed: int = 0, progress: bool = False) -> Corpus:
    """A corpus by its name, or a path as one; downloaded, unpacked or made if it isn't here yet.

    Args:
        name: "tales", "tinystories", "owt", or the path of a text file, or of a folder that holds a `*train*.txt` and a
            `*valid*.txt` (or `*val*.txt`). A name wins over a file of that name: write "./tales" for the file.
        size_bytes: of tales to train on, 20 MB if None; the text to validate on is a twentieth of that, from 100 kB to
            5 MB.
        seed: of tales.
        progress: show progress bars.

    Returns:
        Paths of the texts. Those of named corpora are shared with other programs: don't write to them.

    Raises:
        CorpusError: no network, or a file that isn't what it should be; one line that says what to do.
        FileNotFoundError: no such name and no such path.
        TypeError: no name and no path.
        ValueError: a size for a corpus that has its own.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "mine.txt"
    ...     _ = path.write_text("A story.")
    ...     corpus = get(path)
    >>> corpus.train.name, corpus.valid
    ('mine.txt', None)
    """
    _check_name(name)
    if name == "tales":
        train_bytes = TALES_BYTES if size_bytes is None else check_whole("size_bytes", size_bytes, least=-LARGEST)
        seed = check_whole("seed", seed, least=-LARGEST, most=1 << 64)  # `tales` tells its range
        train = _made_tales(train_bytes, seed, "train", progress)
        return Corpus("tales", train, _made_tales(_valid_bytes(train_bytes), seed, "valid", progress))
    if size_bytes is not None:
        raise ValueError(f'size_bytes={size_bytes}: only "tales" comes in any size, {str(name)!r} does not')
    if name in HUB:
        # The small one first: without a network or room on the disk one learns so at once.
        valid = fetch(HUB[str(name)]["valid"], progress)
        return Corpus(str(name), fetch(HUB[str(name)]["train"], progress), valid)
    return _from_path(Path(name))


def valid_text(name: str, *, progress: bool = False) -> Path:
    """The validation text of a corpus that has a name; its text to train on is not fetched.

    Args:
        name: "tales", "tinystories" or "owt".
        progress: show progress bars.

    Raises:
        CorpusError: as `get`, or no corpus has that name.
    """
    if name == "tales":
        return _made_tales(_valid_bytes(TALES_BYTES), 0, "valid", progress)
    if not isinstance(name, str) or name not in HUB:
        names = ", ".join(corpus.name for corpus in available())
        raise CorpusError(f"no corpus has the name {str(name)!r}; allowed: {names}. For the text of a path use get")
    return fetch(HUB[name]["valid"], progress)


def peek(name: str | Path, count: int = 3, *, split: str = "valid", seed: int = 0) -> list[str]:
    """The first documents of a corpus. Fetches no more than the split asked for, and makes no file of tales.

    Args:
        name: as for `get`.
        count: how many, at most; only the first MB of a file is looked at.
        split: "train" or "valid"; a path without texts to validate on gives those to train on.
        seed: of tales.

    Raises:
        CorpusError, FileNotFoundError, ValueError: as `get`.

    >>> len(peek("tales", 2)), peek("tales", 1)[0] == tales.story(0, 0, "valid").text
    (2, True)
    """
    if split not in SPLITS:
        raise ValueError(f"split={split!r} must be one of {', '.join(map(repr, SPLITS))}")
    count = check_whole("count", count, least=-LARGEST)
    if count < 1:
        raise ValueError(f"count={count} must be at least 1")
    _check_name(name)
    if name == "tales":
        return [tales.story(seed, index, split).text for index in range(count)]
    if name in HUB:
        path = fetch(HUB[str(name)][split])
    else:
        corpus = _from_path(Path(name))
        path = corpus.valid if split == "valid" and corpus.valid else corpus.train
    with path.open("rb") as file:
        start, more = file.read(_PEEK_BYTES), bool(file.read(1))
    documents = start.decode("utf-8", errors="replace").split(END_OF_TEXT)
    whole = documents[:-1] if more and len(documents) > 1 else documents
    return list(islice((text.strip() for text in whole if text.strip()), count))


def _check_name(name: object) -> None:
    if not isinstance(name, str | os.PathLike):
        raise TypeError(f"a corpus is a name or the path of a text file, got {said(name)}")


def _valid_bytes(train_bytes: int) -> int:
    return min(max(train_bytes // 20, 100_000), 5_000_000)


def _made_tales(size_bytes: int, seed: int, split: str, progress: bool) -> Path:
    """A file of tales: the one from last time if it has not been touched, else a new one."""
    name = f"tales-{tales.GRAMMAR_VERSION}-{seed}-{size_bytes}-{split}.txt"
    path = corpora_folder() / name
    if not path.is_file() or known_hash(path) is None:
        tales.write(path, size_bytes, seed, split, progress=progress)
        remember_hash(path, hash_file(path))
    return path


def _from_path(path: Path) -> Corpus:
    if path.is_file():
        check_is_text(path)
        return Corpus(str(path), path, None)
    if path.is_dir():
        train, valid = _only(path, ("*train*.txt",)), _only(path, ("*valid*.txt", "*val.txt", "*val[-_.]*.txt"))
        if train is None:
            raise FileNotFoundError(f"{path} has no *train*.txt; name the text file itself")
        return Corpus(str(path), train, valid)
    names = ", ".join(corpus.name for corpus in available())
    raise FileNotFoundError(
        f"no corpus {str(path)!r}: it must be one of {names}, or the path of a text file or a folder"
    )


def _only(folder: Path, patterns: tuple[str, ...]) -> Path | None:
    found = sorted({path for pattern in patterns for path in folder.glob(pattern)})
    if len(found) > 1:
        raise CorpusError(f"{folder} has both {found[0].name} and {found[1].name}; name the text file itself")
    return found[0] if found else None
