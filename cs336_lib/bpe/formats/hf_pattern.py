r"""Patterns between two dialects: `regex`, which this library uses, and Oniguruma, which Hugging Face tokenizers use.

They read one thing differently that published patterns hold. A plus behind a count means, on "12345":

    \p{N}{1,3}+     regex, tiktoken: possessive, "123" is not given back          "123"
    \p{N}{1,3}+     Oniguruma: one or more times one to three numbers             "12345"

So it is written as an atomic group, which both read alike, and read as a repeated one. A question mark behind a fixed
count, which makes it optional there and nothing here, is left out or put into a group of its own.

What else they read differently, anchors, word characters, classes inside of classes, no published pattern needs: it is
refused by name.
"""

import re
from collections.abc import Callable

import regex

_COUNT = re.compile(r"\{(\d+(?:,\d*)?|,\d+)\}")
_CLASS = re.compile(r"\[\^?\]?(?:\[:\^?\w+:\]|\\.|[^\]\\])*\]", re.DOTALL)
_ESCAPE = re.compile(r"\\(?:[pPxNoug]\{[^}]*\}|[kg]<[^>]*>|.)", re.DOTALL)


_UNLIKE = re.compile(r"\\(?:[hHNRXAzZGbBwWKQE]|[pP](?!\{))")
"""Escapes that one of them lacks or takes for something else; \\w differs on joiners and marks, and \\pL without braces
is a property for one of them alone."""

_TRIED = ("", "a", "1", " ", "\n", ",", "'s", "\u00e9", "\u4f60")
"""Texts on which a pattern must not match nothing: behind an empty match the two go on at different places."""

_FLAGS = re.compile(r"\(\?[a-zA-Z-]+[:)]")


def check_alike(pattern: str) -> None:
    r"""Raise ValueError if a pattern holds what `regex` and Oniguruma read differently.

    >>> check_alike(r"\p{L}+|^\p{N}")
    Traceback (most recent call last):
    ValueError: the pattern '\\p{L}+|^\\p{N}' holds '^', which Python's regex and Hugging Face tokenizers read ...
    """
    at = 0
    while at < len(pattern):
        symbol = pattern[at]
        whole = _ESCAPE.match(pattern, at) if symbol == "\\" else _CLASS.match(pattern, at) if symbol == "[" else None
        piece = whole[0] if whole else symbol
        unlike = None
        if symbol == "[":
            escapes = _UNLIKE.search(piece)
            unlike = escapes[0] if escapes else next((odd for odd in ("&&", "--", "||", "~~") if odd in piece), None)
            inside = _ESCAPE.sub("", piece[1:])
            unlike = unlike or ("[" if "[" in inside else None)
        elif symbol == "\\":
            unlike = piece if _UNLIKE.fullmatch(piece) else None
        elif symbol in "^$":
            unlike = symbol
        elif (flags := _FLAGS.match(pattern, at)) and flags[0] != "(?i:":
            unlike = flags[0]
        if unlike:
            raise ValueError(
                f"the pattern {pattern!r} holds {unlike!r}, which Python's regex and Hugging Face tokenizers read "
                "differently: the ids could differ. Write it in other words"
            )
        at += len(piece)


def check_takes_something(pattern: str) -> None:
    r"""Raise ValueError if a pattern, as `regex` reads it, can match nothing at all.

    >>> check_takes_something(r"x?|\p{N}+")
    Traceback (most recent call last):
    ValueError: the pattern 'x?|\\p{N}+' can match nothing at all; behind such a match Python's regex and ...
    """
    try:
        compiled = regex.compile(pattern)
    except regex.error:  # whoever uses it is told
        return
    if any(not found[0] for text in _TRIED for found in compiled.finditer(text)):
        raise ValueError(
            f"the pattern {pattern!r} can match nothing at all; behind such a match Python's regex and Hugging Face "
            "tokenizers go on differently: the ids could differ. Write it so that it always takes a character"
        )


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
        whole = _ESCAPE.match(pattern, at) if symbol == "\\" else _CLASS.match(pattern, at) if symbol == "[" else None
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
