"""The sections of the book that checks point to."""

from __future__ import annotations

import re

BOOK = "https://cs336-book.github.io/cs336-book/notebooks"
CHAPTERS = {
    "1": "01_unicode",
    "2": "02_bpe_training",
    "3": "03_tokenizer",
    "4": "04_architecture",
    "5": "05_accounting",
    "6": "06_training",
    "7": "07_generation",
}
# Section -> its heading, as in the chapters; a test compares.
TITLES = {
    "1.3": "Three ways to write a number as bytes",
    "1.7": "Replacement characters, and a decoder that is wrong",
    "2.1": "The algorithm",
    "2.2": "Pre-tokens: what merges never cross",
    "2.4": "Why the definition is slow, and the index that fixes it",
    "2.5": "The trap: which neighbors does a new token have?",
    "2.6": "Where the time goes",
    "3.1": "Encoding: the merges again, in the same order",
    "3.3": "Decoding: any ids, even wrong ones",
    "3.4": "Special tokens",
    "3.5": "Streams: a cut anywhere must change nothing",
    "3.6": "Words without an end, and time that is not quadratic",
    "4.1": "Linear, and how large its first weights are",
    "4.2": "Embedding: a table of vectors",
    "4.3": "RMSNorm: only the direction counts",
    "4.4": "The feed-forward network: SiLU and SwiGLU",
    "4.5": "RoPE: positions as rotations",
    "4.6": "Softmax: from scores to shares",
    "4.7": "Scaled dot-product attention",
    "4.8": "Many heads",
    "4.9": "The block, and where to put the norm",
    "4.10": "The whole model",
    "5.1": "Parameters",
    "5.2": "FLOPs of a forward pass",
    "6.1": "The loss",
    "6.3": "AdamW",
    "6.4": "Schedules",
    "6.5": "Clipping",
    "6.6": "The loader",
    "6.7": "A run that is killed",
    "7.2": "One token",
}


def address(section: str) -> str:
    """Return the section's place in the published book.

    >>> address("4.1")
    'https://cs336-book.github.io/cs336-book/notebooks/04_architecture.html#linear-and-how-large-its-first-weights-are'
    """
    slug = re.sub(r"[^a-z0-9]+", "-", TITLES[section].lower()).strip("-")
    return f"{BOOK}/{CHAPTERS[section.split('.')[0]]}.html#{slug}"


def named(section: str) -> str:
    """Return a section as people name it.

    >>> named("4.2")
    '4.2 Embedding: a table of vectors'
    """
    return f"{section} {TITLES[section]}"
