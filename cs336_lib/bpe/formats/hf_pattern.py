r"""Patterns between two dialects: `regex`, which this library uses, and Oniguruma, which Hugging Face tokenizers use.

They read one thing differently that published patterns hold. A plus behind a count means, on "12345":

    \p{N}{1,3}+     regex, tiktoken: possessive, "123" is not given back          "123"
    \p{N}{1,3}+     Oniguruma: one or more times one to three numbers             "12345"

So it is written as an atomic group, which both read alike, and read as a repeated one. A question mark behind a fixed
count, which makes it optional there and nothing here, is left out or put into a group of its own.

What else they read differently, `dialects` refuses by name.
"""

import re
from collections.abc import Callable

from cs336_lib.bpe.formats.dialects import ESCAPE

_COUNT = re.compile(r"\{(\d+(?:,\d*)?|,\d+)\}")
_CLASS = re.compile(r"\[\^?\]?(?:\[:\^?\w+:\]|\\.|[^\]\\])*\]", re.DOTALL)


def to_oniguruma(pattern: str) -> str:
    r"""A pattern of `regex` as Oniguruma must read it to mean the same.

    >>> to_oniguruma(r" ?\p{L}++|\p{N}{1,3}+|[ab]{2}?")
    ' ?\\p{L}++|(?>\\p{N}{1,3})|[ab]{2}'
    """

    def rewritten(atom: str, count: str, suffix: str) -> str:
        if suffix == "+":
            return f"(?>{atom}{{{count}}})"
        return f"{atom}{{{count}}}" if suffix == "?" and count.isdigit() else f"{atom}{{{count}}}{suffix}"

    return _with_counts(pattern, rewritten)


def from_oniguruma(pattern: str) -> str:
    r"""A pattern of a `tokenizer.json` as `regex` must read it to mean the same.

    >>> from_oniguruma(r"\p{N}{1,3}+| ?[ab]{2}?")
    '(?:\\p{N}{1,3})+| ?(?:[ab]{2})?'
    """

    def rewritten(atom: str, count: str, suffix: str) -> str:
        grouped = suffix == "+" or (suffix == "?" and count.isdigit())
        return f"(?:{atom}{{{count}}}){suffix}" if grouped else f"{atom}{{{count}}}{suffix}"

    return _with_counts(pattern, rewritten)


def _with_counts(pattern: str, rewritten: Callable[[str, str, str], str]) -> str:
    """Let each counted atom, with its count and the sign behind it, be written anew."""
    out, atom, groups, at = "", 0, [], 0  # what is written; where its last atom begins; where open groups begin
    while at < len(pattern):
        symbol = pattern[at]
        if symbol == "{" and (count := _COUNT.match(pattern, at)) and len(out) > atom:
            at = count.end()
            suffix = pattern[at] if at < len(pattern) and pattern[at] in "+?" else ""
            out = out[:atom] + rewritten(out[atom:], count[1], suffix)
            at += len(suffix)
            continue
        whole = ESCAPE.match(pattern, at) if symbol == "\\" else _CLASS.match(pattern, at) if symbol == "[" else None
        piece = whole[0] if whole else symbol
        if symbol == "(":
            groups.append(len(out))
        elif symbol == ")":
            atom = groups.pop() if groups else len(out)
        elif symbol not in "*+?":  # these belong to the atom before
            atom = len(out)
        out += piece
        at += len(piece)
    return out
