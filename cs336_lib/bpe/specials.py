"""Special tokens: strings such as `<|endoftext|>` that are one id wherever they stand and never take part in merges.

A text is cut at them before anything else happens to it. At each place, left to right, the longest one that fits wins,
so with `<|x|>` and `<|x|><|x|>` in the list, two in a row are one token and three are two.
"""

import re
from collections.abc import Iterable, Iterator, KeysView
from collections.abc import Set as AbstractSet


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
        self.strings: tuple[str, ...] = tuple(dict.fromkeys(_checked(token) for token in in_order(tokens)))
        longest_first = sorted(self.strings, key=len, reverse=True)
        # (?!) matches nowhere.
        self._in_str = re.compile(f"({'|'.join(map(re.escape, longest_first)) or '(?!)'})")
        #: as UTF-8, longest first
        self.encoded: tuple[bytes, ...] = tuple(sorted((s.encode() for s in self.strings), key=len, reverse=True))
        #: characters of the longest one; 0 when there are none
        self.longest: int = max(map(len, self.strings), default=0)
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

    def may_cross(self, data: "bytes | memoryview", place: int) -> bool:
        """Whether the bytes of some special token lie on both sides of a place in a buffer.

        >>> [SpecialTokens(["<s>"]).may_cross(b"a<s>b", place) for place in range(6)]
        [False, False, True, True, False, False]
        """
        for token in self.encoded:
            reach = len(token) - 1
            if token in bytes(data[max(place - reach, 0) : place + reach]):
                return True
        return False


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
    if isinstance(tokens, AbstractSet) and not isinstance(tokens, KeysView):
        raise TypeError(
            f"special_tokens is a {type(tokens).__name__}, which has no order, and ids follow the order; pass a list"
        )
    return list(tokens)


def _checked(token: object) -> str:
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
    return token
