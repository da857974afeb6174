"""Training the tokenizer: files that are cut into chunks, and counted in parts (problem train_bpe)."""

from __future__ import annotations

import random
from functools import cache, partial
from itertools import pairwise
from string import ascii_letters
from typing import Any

from .. import bpe_rules as rules
from ..case import Case, check
from .bpe_training import COUNTS, END, RECOUNT, TIES, TIES_OTHERWISE, learn


@check(
    "train_bpe.chunks",
    "cutting a file into chunks changes nothing",
    cause="chunks that end inside a word, between spaces, or inside a special token",
    section="2.6",
    known=RECOUNT,
    seconds=60,
    after=(*TIES, "leading_space", "no_specials", "special_letters", "special_boundary"),
)
def _(case: Case) -> None:
    # Each letter pair of the only word is as frequent as any other, so that a single word cut in two changes the order.
    word = "abcdefghijkl"
    text = f"\n{END}\n".join(" ".join([word] * (1 + number % 60)) for number in range(400))
    right = rules.train(f"{word} {word}", 269, [END])
    given = f"{text.count(word):,} times the word '{word}' in 400 documents, vocab_size 269, special_tokens ['{END}']"
    mistakes: dict[Any, Any] = {TIES_OTHERWISE: lambda _: _merges(case, f"{word} {word}", 269) != right}
    case.same(lambda: _merges(case, text, 269), right, given, mistakes=mistakes | {None: lambda _: True})


NOT_ADDED = (
    "counts of parts that are not added up: dict.update() replaces what was there, Counter.update() adds; or a "
    "document at the edge of a part that is lost, or counted twice"
)
EACH = 8000


@cache
def documents() -> tuple[str, list[rules.Pair]]:
    """A text of a million characters in which each count of a document counts, and its merges.

    Forty words of two letters, no pair in two of them, one of them 8,000 times, the next 8,001 times and so on,
    shuffled and cut into documents: any part has another order, and so has the text without one of its documents.
    """
    lexicon = sorted(f"{a}{b}" for a, b in pairwise(ascii_letters) if a != "Z")[:40]
    rng = random.Random(7)
    rng.shuffle(lexicon)
    words = [word for more, word in enumerate(lexicon) for _ in range(EACH + more)]
    rng.shuffle(words)
    cuts = [0, *sorted(rng.sample(range(1, len(words)), 4000)), len(words)]
    text = END.join("\n".join(words[one:two]) for one, two in pairwise(cuts))
    return text, [(word[:1].encode(), word[1:].encode()) for word in reversed(lexicon)]


@check(
    "train_bpe.documents",
    "all documents of 1 MB are counted, each of them once, in however many parts",
    cause=NOT_ADDED,
    section="2.6",
    known="words that were counted when the text was made",
    seconds=60,
    after=(
        "count",
        "example",
        "tie",
        "leading_space",
        "punctuation",
        "special_letters",
        "special_boundary",
        "chunks",
        "chunks_runs",
    ),
)
def _(case: Case) -> None:
    text, right = documents()
    size = 257 + len(right)
    given = (
        f"{len(text):,} characters in {text.count(END) + 1:,} documents: {len(right)} words of two letters, one "
        f"{EACH:,} times, the next once more, and so on; vocab_size {size}, special_tokens ['{END}']"
    )
    mistakes = {NOT_ADDED: lambda got: sorted(got) == sorted(right)}
    case.same(lambda: learn(case, text, size, [END])[1], right, given, mistakes=mistakes)


RUN = 66
SMALL, LARGE = 1_100_000, 17_000_000


def in_runs(space: str, characters: int) -> str:
    """A text of two letters between runs of one white space character, in which a single cut changes the merges.

    A run of 66 is a pre-token of 65, and the last character by itself or before the letters. The 65 become one token
    with a merge that one run more needs than there are pairs of letters: cut one of them, and the letters go first.
    """
    run = space * RUN
    return f"c{(run + 'ab') * (characters // (RUN + 2))}{run}d"


def cut_nowhere(case: Case, characters: int, most: str) -> None:
    """Train on runs of newlines, and on runs of spaces, that any cut within a file changes."""
    for space, name, size in (("\n", "newlines", 8), (" ", "spaces", 9)):
        right = rules.train(in_runs(space, 500), 257 + size, [END])
        given = (
            f"{characters:,} characters: 'ab' again and again, {RUN} {name} between (chunks of up to {most} show), "
            f"vocab_size {257 + size}, special_tokens ['{END}']"
        )
        text = in_runs(space, characters)
        case.same(partial(_merges, case, text, 257 + size), right, given)


def _merges(case: Case, text: str, vocab_size: int) -> list[Any]:
    return learn(case, text, vocab_size, [END])[1]


IN_A_RUN = (
    "chunks that end within a run of white space, or behind it: the last newline, or space, before a letter is another "
    "pre-token than the rest of its run, or belongs to the word"
)
BEFORE_RUNS = (*COUNTS, "punctuation", "no_specials", "chunks")


@check(
    "train_bpe.chunks_runs",
    "cutting a file of 1 MB anywhere, also within newlines or spaces, changes nothing",
    cause=IN_A_RUN,
    section="2.6",
    known=RECOUNT,
    seconds=60,
    after=BEFORE_RUNS,
)
def _(case: Case) -> None:
    cut_nowhere(case, SMALL, "1 MiB")


@check(
    "train_bpe.chunks_large",
    "cutting a file of 17 MB anywhere, also within newlines or spaces, changes nothing",
    cause=IN_A_RUN,
    section="2.6",
    known=RECOUNT,
    slow=True,
    seconds=240,
    after=(*BEFORE_RUNS, "chunks_runs"),
)
def _(case: Case) -> None:
    cut_nowhere(case, LARGE, "16 MiB")
