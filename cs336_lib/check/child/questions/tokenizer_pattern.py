r"""The tokenizer: the text as it is, cut by the pattern (problem tokenizer).

The vocabulary of each question has a token for every pre-token, and one for every two neighbors joined: so each
pre-token is one id, a place that is not cut is a token that should not be there, and one more cut is one more id.
"""

from __future__ import annotations

from functools import cache
from itertools import pairwise

from .. import bpe_rules as rules
from ..case import Case, check
from .bpe_text import CONTRACTIONS, KINDS, OTHER_CASES, OTHER_KINDS, RUNS
from .tokenizer import ACROSS, DEFINITION, ENCODES

PATTERN = "another pattern, or str.split: the last of several spaces belongs to the word that follows"


@cache
def joinable(text: str) -> list[rules.Pair]:
    """Merges that make every pre-token of a text one token, and then any two neighbors.

    >>> joinable("ab 1")
    [(b'a', b'b'), (b' ', b'1'), (b'ab', b' 1')]
    """
    merges = rules.train(text, 5000)
    known = {left + right for left, right in merges}
    for left, right in pairwise(word.encode() for word in rules.words_in(text)):
        if left + right not in known:
            known.add(left + right)
            merges.append((left, right))
    return merges


def pre_tokens(case: Case, text: str, cause: str) -> None:
    """Hold the ids of a text, one for each of its pre-tokens, against the definition's."""
    merges = joinable(text)
    vocab = rules.vocabulary(merges)
    right = rules.encode(text, vocab, merges)
    given = f"encode({text!r}), with a token for each pre-token, and for any two neighbors joined"
    ids = {token: number for number, token in vocab.items()}
    mistakes = {
        ACROSS: lambda got: list(got) == [ids[token] for token in rules.tokens_of(text, merges)],
        cause: lambda _: True,
    }
    case.same(lambda: case.get_tokenizer(dict(vocab), list(merges), None).encode(text), right, given, mistakes=mistakes)


@check(
    "tokenizer.pattern",
    "pre-tokens are those of the pattern",
    cause=PATTERN,
    section="3.1",
    known=DEFINITION,
    official=True,
    after=("two", "order", "example", "repeats"),
)
def _(case: Case) -> None:
    pre_tokens(case, "the cat's  hat   was\t 10 hats!?\n\n  the \n" + RUNS, PATTERN)


@check(
    "tokenizer.kinds",
    "letters, numbers and everything else are apart, and a number has any length",
    cause=OTHER_KINDS,
    section="3.1",
    known=DEFINITION,
    after=ENCODES,
)
def _(case: Case) -> None:
    pre_tokens(case, KINDS, OTHER_KINDS)


@check(
    "tokenizer.contractions",
    "the seven contractions are cut off in lower case, and no others",
    cause=OTHER_CASES,
    section="3.1",
    known=DEFINITION,
    after=ENCODES,
)
def _(case: Case) -> None:
    pre_tokens(case, CONTRACTIONS, OTHER_CASES)
