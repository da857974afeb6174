r"""The tokenizer: the text as it is, cut by the pattern (problem tokenizer).

The vocabulary of each question has a token for every pre-token, and one for every two neighbors joined: so each
pre-token is one id, a place that is not cut is a token that should not be there, and one more cut is one more id.
"""

from __future__ import annotations

from functools import cache
from itertools import pairwise

from .. import bpe_rules as rules
from ..case import Case, check
from .bpe_text import CONTRACTIONS, KINDS, RUNS
from .tokenizer import DEFINITION


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


def pre_tokens(case: Case, text: str) -> None:
    """Hold the ids of a text, one for each of its pre-tokens, against the definition's."""
    merges = joinable(text)
    vocab = rules.vocabulary(merges)
    right = rules.encode(text, vocab, merges)
    given = f"encode({text!r}), with a token for each pre-token, and for any two neighbors joined"
    case.same(lambda: case.get_tokenizer(dict(vocab), list(merges), None).encode(text), right, given)


@check(
    "tokenizer.pattern",
    "pre-tokens are those of the pattern",
    cause="another pattern, or str.split: the last of several spaces belongs to the word that follows",
    section="3.1",
    known=DEFINITION,
    official=True,
)
def _(case: Case) -> None:
    pre_tokens(case, "the cat's  hat   was\t 10 hats!?\n\n  the \n" + RUNS)


@check(
    "tokenizer.kinds",
    "letters, numbers and everything else are apart, and a number has any length",
    cause=r"\w and \d for \p{L} and \p{N}: \w takes digits and '_' as well, and \d does not take all numbers; "
    "or a later pattern, which cuts numbers after three digits or takes accents along with letters",
    section="3.1",
    known=DEFINITION,
)
def _(case: Case) -> None:
    pre_tokens(case, KINDS)


@check(
    "tokenizer.contractions",
    "the seven contractions are cut off in lower case, and no others",
    cause="a later pattern, which ignores case, so that IT'S is cut as it's; or some of the seven left out",
    section="3.1",
    known=DEFINITION,
)
def _(case: Case) -> None:
    pre_tokens(case, CONTRACTIONS)
