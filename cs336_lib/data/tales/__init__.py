"""tales: an endless book of small children's stories whose exact entropy is known (chapter 3).

A stochastic grammar writes stories of about 60 to 280 words: a child with a name, a pronoun and a trait, a friend, a
grown-up; an object, a place, a problem, an attempt, a resolution; feelings that follow. What is said early - a color,
a hat, a count of steps, a hiding place - comes back later, so a model has long-distance agreement to learn. And
because every story's probability is known exactly, so is the lowest loss that any model can reach: its entropy.

::

    lexicon, grammar   the text formats of tables and rules; `world/` holds the built-in ones
    program            rules flattened to a graph of steps
    walk, parser       one walk, three drivers: generate, enumerate, parse
    information        exact entropy and mean lengths, by a pass backward through the graph
    ambiguity          proof that a text determines its derivation
    kernel, writer     the compiled generator and the streamed corpus

The two splits are disjoint by construction, and a text tells which one it belongs to: number the alternatives of every
choice from zero; the sum of the indices taken is even in train and odd in valid. The last choice of a story is bent to
make it so, after a choice that makes both parities equally likely; apart from that the splits have the same
distribution. Probabilities and entropies are those within a split. A model that cannot see the parity of some eighty
choices pays ln 2 nats more per story.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from math import log, sqrt
from pathlib import Path
from typing import Any

import numpy as np

from cs336_lib.data.tales import walk, world
from cs336_lib.data.tales.information import Means, means
from cs336_lib.data.tales.lexicon import GrammarError
from cs336_lib.data.tales.parser import NotATaleError, parse
from cs336_lib.data.tales.world import GRAMMAR_VERSION
from cs336_lib.naming import LARGEST, check_whole

__all__ = [
    "story", "log_prob", "split_of", "entropy", "write", "Story", "Entropy", "SEPARATOR", "SPLITS", "GRAMMAR_VERSION",
    "GrammarError", "NotATaleError",
]  # fmt: skip

SPLITS = ("train", "valid")
SEPARATOR = "\n<|endoftext|>\n"
_SAMPLE_SEED = 0x7A1E5  # stories that entropy(tokenizer) counts tokens in; any corpus seed may be the same


@dataclass(frozen=True)
class Story:
    """A story and the natural logarithm of its probability among the stories of its split."""

    text: str
    log_prob: float


@dataclass(frozen=True)
class Entropy:
    r"""How many nats the stories carry: a floor under the mean loss of any model.

    A corpus is story, separator, story, separator, ... The separator `"\n<|endoftext|>\n"` is certain once the story
    is known to end, so it adds no entropy, but its bytes and tokens count in the means: the entropy per token is the
    floor of the usual loss over a token file.

    Attributes:
        nats_per_story: exact (floating-point rounding apart).
        nats_per_byte: exact; divide by ln 2 for bits.
        nats_per_token: nats_per_story over tokens_per_story; None without a tokenizer.
        bytes_per_story: exact mean length with the separator.
        tokens_per_story: mean number of tokens with the separator, estimated on `sampled_stories` stories with the
            exact mean length in bytes as control variate; None without a tokenizer.
        nats_per_token_error: standard error of nats_per_token that comes from this estimate; None without a tokenizer.
        sampled_stories: 0 without a tokenizer.
    """

    nats_per_story: float
    nats_per_byte: float
    nats_per_token: float | None
    bytes_per_story: float
    tokens_per_story: float | None = None
    nats_per_token_error: float | None = None
    sampled_stories: int = 0

    @property
    def bits_per_byte(self) -> float:
        """nats_per_byte in bits."""
        return self.nats_per_byte / log(2)


def story(seed: int, index: int, split: str = "train") -> Story:
    """Story number `index` of a seed: a function of (seed, index, split) alone, the same on every machine.

    Args:
        seed: from 0 to 2**64 - 1.
        index: from 0 up.
        split: "train" or "valid".

    Raises:
        ValueError: naming the value that is out of range.
        TypeError: naming the one that is no whole number.

    >>> tale = story(0, 12)
    >>> print(tale.text)  # doctest: +SKIP
    >>> tale.log_prob == log_prob(tale.text)
    True
    """
    text, derivation = walk.generate(world.program(), _seed(seed), _split(split), _index(index))
    return Story(text, derivation.log_prob)


def log_prob(text: str) -> float:
    """The exact natural log-probability of a text among the stories of its split, by parsing its derivation back.

    Args:
        text: one story without the separator.

    Raises:
        NotATaleError: a ValueError that names the byte where the text leaves the grammar and what the grammar has
        there.

    >>> log_prob("Once upon a time, there was a kind zebra.")
    Traceback (most recent call last):
    cs336_lib.data.tales.parser.NotATaleError: the text leaves the grammar at byte 35, ... 'boy named ', 'girl named '
    """
    return parse(world.program(), text).log_prob


def split_of(text: str) -> str:
    """The split that a story belongs to; its text alone decides.

    Raises:
        NotATaleError: as `log_prob`.

    >>> split_of(story(3, 1, "valid").text)
    'valid'
    """
    return SPLITS[parse(world.program(), text).parity]


def entropy(tokenizer: Any = None, sampled_stories: int = 4096) -> Entropy:
    """The entropy of the stories: per story and per byte exactly, per token for a given tokenizer.

    Args:
        tokenizer: anything with `encode_to_array(str)` or `encode(str)`; special tokens on, as `encode_file` has them.
        sampled_stories: how many stories its tokens are counted in.

    >>> floor = entropy()
    >>> floor.nats_per_token is None, floor.nats_per_story > 80
    (True, True)
    """
    exact = _means()
    size = exact.bytes + len(SEPARATOR)
    if tokenizer is None:
        return Entropy(exact.nats, exact.nats / size, None, size)
    sampled_stories = check_whole("sampled_stories", sampled_stories, least=-LARGEST)
    if sampled_stories < 2:
        raise ValueError(f"sampled_stories={sampled_stories}: a standard error needs at least 2")
    mean, error = _tokens_per_story(tokenizer, size, sampled_stories)
    per_token = exact.nats / mean
    return Entropy(exact.nats, exact.nats / size, per_token, size, mean, per_token * error / mean, sampled_stories)


def write(
    path: str | Path,
    size_bytes: int,
    seed: int,
    split: str = "train",
    workers: int | None = None,
    progress: bool = False,
) -> Any:
    """Write stories 0, 1, 2, ... of a seed to a text file, each followed by `SEPARATOR`: as many whole ones as fit.

    The file appears under its name only when it is complete. Any number of workers writes the same bytes.

    Args:
        path: the file; replaced if it exists.
        size_bytes: the most bytes to write; the file is shorter by less than one story.
        seed: from 0 to 2**64 - 1.
        split: "train" or "valid".
        workers: threads; None for one per core.
        progress: whether to show a progress bar.

    Returns:
        A `writer.Corpus`: path, stories, size_bytes.

    Raises:
        ValueError: naming the value that is out of range.
        TypeError: naming the one that is no whole number.
    """
    from cs336_lib.data.tales import writer  # here, so that scoring stories does not load numba

    size_bytes = check_whole("size_bytes", size_bytes, least=-LARGEST)
    if size_bytes <= 0:
        raise ValueError(f"size_bytes={size_bytes} must be positive")
    workers = None if workers is None else check_whole("workers", workers, least=-LARGEST)
    if workers is not None and workers < 1:
        raise ValueError(f"workers={workers} must be at least 1, or None for one per core")
    return writer.write(path, size_bytes, _seed(seed), _split(split), workers, progress)


@cache
def _means() -> Means:
    return means(world.program())


def _tokens_per_story(tokenizer: Any, mean_bytes: float, count: int) -> tuple[float, float]:
    """Mean tokens of a story with its separator, and its standard error.

    Tokens follow bytes closely, and the mean of the bytes is known: regressing on them removes most of the sampling
    error.
    """
    from cs336_lib.data.tales import writer

    encode = tokenizer.encode_to_array if hasattr(tokenizer, "encode_to_array") else tokenizer.encode
    text, ends = writer.block(_SAMPLE_SEED, 0, 0, count)
    starts = np.concatenate([[0], ends[:-1]])
    sizes = (ends - starts).astype(np.float64)
    tokens = np.array(
        [len(encode(text[a:b].tobytes().decode())) for a, b in zip(starts, ends, strict=True)], dtype=np.float64
    )
    slope = float(np.cov(tokens, sizes)[0, 1] / max(sizes.var(ddof=1), 1e-12))
    adjusted = tokens + slope * (mean_bytes - sizes)
    return float(adjusted.mean()), float(adjusted.std(ddof=1)) / sqrt(count)


def _split(split: str) -> int:
    if split not in SPLITS:
        raise ValueError(f"split={split!r} must be one of {', '.join(map(repr, SPLITS))}")
    return SPLITS.index(split)


def _seed(seed: int) -> int:
    return _below("seed", seed, 64)


def _index(index: int) -> int:
    return _below("index", index, 62)


def _below(name: str, value: int, bits: int) -> int:
    """Return a whole number that takes no more than so many bits."""
    wide = 1 << 80  # so that the range is told below
    number = check_whole(name, value, least=-wide, most=wide)
    if not 0 <= number < 1 << bits:
        raise ValueError(f"{name}={number} must be from 0 to 2**{bits} - 1")
    return number
