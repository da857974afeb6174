"""Special tokens: strings such as `<|endoftext|>` that are one id wherever they stand and never take part in merges.

A text is cut at them before anything else happens to it. At each place, left to right, the longest one that fits wins,
so with `<|x|>` and `<|x|><|x|>` in the list, two in a row are one token and three are two.
"""

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, KeysView, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import lru_cache
from itertools import accumulate, groupby

from cs336_lib.naming import whole_number

_DEEPEST = 40
"""Forks of a pattern inside each other; Python compiles patterns by recursion."""


class SpecialTokens:
    """The special tokens of one tokenizer, ready to be found in a text.

    Args:
        tokens: the strings, in any order; repeats are dropped.

    Raises:
        TypeError: one is not a string.
        ValueError: one is empty, or holds a lone surrogate.

    >>> specials = SpecialTokens(["<|x|>", "<|x|><|x|>"])
    >>> specials.split("a<|x|><|x|><|x|>b")
    ['a', '<|x|><|x|>', '', '<|x|>', 'b']
    """

    def __init__(self, tokens: Iterable[str] = ()) -> None:
        self.strings: tuple[str, ...] = tuple(dict.fromkeys(map(checked_special, in_order(tokens))))
        self._in_str = re.compile(f"({any_of(self.strings)})")
        #: as UTF-8, longest first
        self.encoded: tuple[bytes, ...] = tuple(sorted((s.encode() for s in self.strings), key=len, reverse=True))
        #: characters of the longest one; 0 when there are none
        self.longest: int = max(map(len, self.strings), default=0)
        #: what all of them begin with, such as "<|"; a text without it has none of them
        self.beginning: str = _common(min(self.strings), max(self.strings)) if self.strings else ""
        #: cut a string: [text, special, text, special, ..., text]
        self.split = self._in_str.split

    def __bool__(self) -> bool:
        return bool(self.strings)

    def spans(self, text: str) -> Iterator[tuple[int, int]]:
        """Start and end, in characters, of each special token in a string.

        >>> list(SpecialTokens(["<s>"]).spans("a<s>b<s>"))
        [(1, 4), (5, 8)]
        """
        return (match.span() for match in self._in_str.finditer(text))


def any_of(tokens: Iterable[str]) -> str:
    r"""A regular expression for the longest of some strings that begins at a place.

    It forks where they differ, so that looking for thousands of them costs about what looking for one does.

    >>> any_of(["<|end|>", "<|endoftext|>", "<|pad|>"])
    '<\\|(?:end(?:oftext\\|>|\\|>)|pad\\|>)'
    """
    distinct = sorted(set(tokens))
    return _fork(distinct, 0) if distinct else "(?!)"  # which matches nowhere


def _fork(endings: Sequence[str], depth: int) -> str:
    """Sorted, distinct strings as one expression; one of them may be empty."""
    if depth > _DEEPEST:
        return f"(?:{'|'.join(re.escape(ending) for ending in reversed(endings))})"  # longer ones first
    branches = []
    for _, group in groupby(filter(None, endings), key=lambda ending: ending[0]):
        members = list(group)
        start = _common(members[0], members[-1])
        rest = [member[len(start) :] for member in members]
        branches.append(re.escape(start) + (_fork(rest, depth + 1) if len(rest) > 1 else ""))
    if len(branches) == 1 and endings[0]:
        return branches[0]
    return f"(?:{'|'.join(branches)}){'' if endings[0] else '?'}"


def _common(one: str, other: str) -> str:
    """What two strings begin with alike; of sorted strings, what all between the two begin with."""
    return one[: next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), len(one))]


def beginning_alike(tokens: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Pairs of special tokens of which the first is what the second begins with.

    >>> list(beginning_alike(["<s>", "<|x|>", "<s><s>"]))
    [('<s>', '<s><s>')]
    """
    known = set(tokens)
    for token in sorted(known):
        yield from ((token[:at], token) for at in range(1, len(token)) if token[:at] in known)


class Spans:
    """Where special tokens lie in a window of a text, those inside or across others included.

    Args:
        window: the bytes.
        tokens: encoded.

    >>> spans = Spans(b"a<s>b", [b"<s>"])
    >>> spans.ends, [spans.cross(place) for place in range(6)]
    ([4], [False, False, True, True, False, False])
    """

    def __init__(self, window: bytes, tokens: Sequence[bytes]) -> None:
        found = [match.span(1) for match in _everywhere(tuple(tokens)).finditer(window)] if tokens else []
        #: where the longest one at each place begins and ends, ascending
        self.starts, self.ends = [start for start, _ in found], [end for _, end in found]
        self._reach = list(accumulate(self.ends, max))

    def cross(self, place: int) -> bool:
        """Whether a special token lies on both sides of a place."""
        before = bisect_left(self.starts, place)
        return before > 0 and self._reach[before - 1] > place


@lru_cache(maxsize=16)
def _everywhere(tokens: tuple[bytes, ...]) -> "re.Pattern[bytes]":
    pattern = any_of(token.decode("latin-1") for token in tokens)
    return re.compile(f"(?=({pattern}))".encode("latin-1"))


def in_order(tokens: Iterable[str]) -> list[str]:
    """Return special tokens in the order that decides their ids.

    Raises:
        TypeError: they are one string, or have no order.

    >>> in_order(("<b>", "<a>"))
    ['<b>', '<a>']
    >>> in_order({"<a>"})
    Traceback (most recent call last):
    TypeError: special_tokens is a set, which has no order, and ids follow the order; pass a list
    """
    if isinstance(tokens, str | bytes):
        raise TypeError(
            f"special_tokens must be a list of strings, got the single value {tokens!r}; write [{tokens!r}]"
        )
    if not isinstance(tokens, Iterable):
        raise TypeError(f"special_tokens must be a list of strings, got {tokens!r}; write [] for none")
    if isinstance(tokens, AbstractSet) and not isinstance(tokens, KeysView) and tokens:
        raise TypeError(
            f"special_tokens is a {type(tokens).__name__}, which has no order, and ids follow the order; pass a list"
        )
    return list(tokens)


def named_specials(tokens: Iterable[str] | Mapping[str, int] | None) -> list[str] | dict[str, int]:
    """Return special tokens as a list, or with the ids that a mapping gives them, walked once and each looked at.

    Raises:
        TypeError: they are no strings in an order, or an id is no whole number.
        ValueError: one is empty, or holds a lone surrogate.

    >>> named_specials(("<b>", "<a>")), named_specials({"<a>": 300}), named_specials(None)
    (['<b>', '<a>'], {'<a>': 300}, [])
    """
    if not isinstance(tokens, Mapping):
        return list(map(checked_special, in_order(() if tokens is None else tokens)))
    names = {checked_special(token): i for token, i in tokens.items()}
    return {token: whole_number(f"the id special_tokens[{token!r}]", i) for token, i in names.items()}


def checked_special(token: object) -> str:
    """Return one special token as Python's own string, from a subclass too.

    Raises:
        TypeError: it is no string.
        ValueError: it is empty, or holds a lone surrogate.
    """
    if not isinstance(token, str):
        raise TypeError(f"a special token must be a string, got {token!r} of type {type(token).__name__}")
    if not token:
        raise ValueError("a special token is the empty string; remove it from special_tokens")
    try:
        token.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"the special token {token!r} holds a lone surrogate at character {error.start}, which is in no UTF-8 text"
        ) from None
    return str.__str__(token)  # what it is, whatever its class shows
