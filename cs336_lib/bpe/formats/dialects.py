r"""What `regex`, Oniguruma (Hugging Face tokenizers) and fancy-regex (tiktoken) read alike in a pattern.

A pattern is read by a small grammar of what published patterns are made of, each part of which was tried on every code
point in all three:

    abc . \. \n \u4e00          symbols; \xHH up to \x7f
    \s \S \d \D \p{L} \P{Han}   classes: general categories, scripts, and some more properties
    [^\s\p{L}a-z]               sets of these
    ( ) (?: ) (?> ) (?= ) (?! ) (?<= ) (?<! ) |
    (?i: )                      around ASCII letters and what has no case
    * + ? {2} {1,3}             each also with + or ? behind it

Whatever else stands in it is refused by name. What it guards against, beside syntax that one of them lacks: in (?i: )
`regex` takes i for U+0130, Oniguruma takes ss for U+00DF and leaves \p{Lu} alone; \w differs on marks and joiners; ^
and $ are ends of lines in one of them and of texts in another; `{e<=1}` is a fuzzy match for `regex` alone, which also
finds every symbol in [^\D\d], which holds none.
"""

import re
import unicodedata
from typing import NamedTuple

_CATEGORIES = "L LC Lu Ll Lt Lm Lo M Mn Mc Me N Nd Nl No P Pc Pd Ps Pe Pi Pf Po S Sm Sc Sk So Z Zs Zl Zp C Cc Cf Co"
_LONG = (
    "Letter Mark Number Punctuation Symbol Separator Uppercase_Letter Lowercase_Letter Titlecase_Letter "
    "Modifier_Letter Other_Letter Nonspacing_Mark Decimal_Number Letter_Number Other_Number Currency_Symbol "
    "Math_Symbol Control Format"
)
_SCRIPTS = (
    "Han Hani Hiragana Hira Katakana Hangul Bopomofo Latin Latn Greek Cyrillic Arabic Hebrew Thai Lao Khmer Myanmar "
    "Tibetan Mongolian Devanagari Bengali Gurmukhi Gujarati Oriya Tamil Telugu Kannada Malayalam Sinhala Armenian "
    "Georgian Ethiopic Cherokee Syriac Thaana Yi Common Inherited"
)
_MORE = "Any ASCII Alphabetic Alpha Uppercase Upper White_Space Space Punct Ideographic Emoji"
PROPERTIES = tuple(f"{_CATEGORIES} {_LONG} {_SCRIPTS} {_MORE}".split())
"""Names in \\p{...} that mean the same to all three, up to the version of Unicode that each knows."""

_CASED_NAMES = (
    "lc lu ll lt uppercase_letter lowercase_letter titlecase_letter uppercase upper ascii greek common inherited emoji "
    "m mn mark nonspacing_mark"
)
_CASED = frozenset(_CASED_NAMES.split())
_LETTERS, _MARKS = frozenset(("l", "letter")), frozenset(("m", "mn", "mark", "nonspacing_mark"))
_PROPERTIES = frozenset(name.lower() for name in PROPERTIES)
ESCAPE = re.compile(r"\\(?:[pPxNoug]\{[^}]*\}|[kg]<[^>]*>|u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|.)", re.DOTALL)
_PROPERTY = re.compile(r"\\[pP]\{([A-Za-z_]+)\}")
_ESCAPED_CLASS = re.compile(r"\\(?:[pP]\{[^}]*\}|[sSdDtnrfv])")
_GROUP = re.compile(r"\(\?(?:[a-zA-Z-]+[:)]|P?<\w+>|P=\w+\)|.)?")
_COUNT = re.compile(r"\{(?:(\d+)(?:,\d*)?|,\d+)\}")
_BRACES = re.compile(r"\{[^}]*\}?")
_OPENINGS = ("(?:", "(?>", "(?i:", "(?<=", "(?<!", "(?=", "(?!")
_LOOKING = _OPENINGS[3:]
_CLASSES = ("\\s", "\\S", "\\d", "\\D")
_CONTROLS = {"\\t": "\t", "\\n": "\n", "\\r": "\r", "\\f": "\f", "\\v": "\v"}
_MOST = 1_000
_LIGATURES = ("ss", "st", "ff", "fi", "fl")
"""Pairs of ASCII letters that Oniguruma takes for one letter, such as U+00DF, where case is ignored."""


def check_alike(pattern: str, reader: str = "Hugging Face tokenizers") -> None:
    r"""Raise ValueError if a pattern holds what `regex` and the other readers need not read alike.

    >>> check_alike(r"\p{L}+|^\p{N}")
    Traceback (most recent call last):
    ValueError: the pattern '\\p{L}+|^\\p{N}' holds '^', which Python's regex and Hugging Face tokenizers may read ...
    """
    _can_match_nothing(pattern, reader)


def check_takes_something(pattern: str, reader: str = "Hugging Face tokenizers") -> None:
    r"""Raise ValueError if a pattern can, as `regex` reads it, match nothing at all, or if `check_alike` would.

    >>> check_takes_something(r"x?|\p{N}+")
    Traceback (most recent call last):
    ValueError: the pattern 'x?|\\p{N}+' can match nothing at all; behind such a match Python's regex and ...
    """
    if _can_match_nothing(pattern, reader):
        raise ValueError(
            f"the pattern {pattern!r} can match nothing at all; behind such a match Python's regex and {reader} go on "
            "differently: the ids could differ. Write it so that it always takes a character"
        )


def _can_match_nothing(pattern: str, reader: str) -> bool:
    try:
        return _Reader(pattern).read()
    except _UnlikeError as found:
        raise ValueError(
            f"the pattern {pattern!r} holds {found.args[0]!r}{found.args[1]}, which Python's regex and {reader} may "
            "read differently: the ids could differ. Write it in other words"
        ) from None


class _UnlikeError(Exception):
    """What is not read alike, and where if that is why."""


class _Atom(NamedTuple):
    """One symbol, set or group.

    Attributes:
        text: as it is written.
        empty: whether it can match nothing.
    """

    text: str
    empty: bool = False


class _Reader:
    """Reads a pattern from left to right.

    Attributes:
        at: the place that was reached.
        any_case: whether that is inside of (?i: ).
        back: whether it is inside of (?<= ), where readers differ on all but plain symbols and sets.
        before: the letter before, where case is ignored.
        without_case: something that holds all but upper or lower case; `regex` overlooks it if (?i: ) stands anywhere.
    """

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self.at = 0
        self.any_case = self.back = False
        self.before = self.without_case = ""

    def read(self) -> bool:
        """Read the whole, and return whether it can match nothing."""
        empty = self._alternatives()
        if self.at < len(self.pattern):
            raise self._unlike(self.pattern[self.at])
        if self.without_case and "(?i:" in self.pattern:
            raise _UnlikeError(self.without_case, " beside (?i:...)")
        return empty

    def _unlike(self, what: str) -> _UnlikeError:
        return _UnlikeError(what, " inside of (?i:...)" if self.any_case else "")

    def _alternatives(self) -> bool:
        empty = self._sequence()
        while self.pattern.startswith("|", self.at):
            self.at += 1
            self.before = ""
            empty = self._sequence() or empty
        return empty

    def _sequence(self) -> bool:
        empty, last = True, ""
        while self.at < len(self.pattern) and self.pattern[self.at] not in "|)":
            start = self.at
            # Behind all white space the end of the text, of a line and of the text before its last newline are one.
            if self.pattern[start] == "$" and last in (r"\s++", r"\s*+"):
                self.at += 1
                continue
            atom = self._atom()
            can_be_left_out = self._repeat(atom)
            empty = empty and (atom.empty or can_be_left_out)
            last = self.pattern[start : self.at]
        return empty

    def _atom(self) -> _Atom:
        symbol = self.pattern[self.at]
        if symbol == "(":
            return self._group()
        start = self.at
        if symbol == "[":
            self._set()
        elif symbol == "\\":
            self._symbol(self._escape())
        elif symbol in "^$*+?{":
            braces = _BRACES.match(self.pattern, self.at)
            raise self._unlike(braces[0] if braces else symbol)
        else:
            self.at += 1
            self._symbol(symbol)
        return _Atom(self.pattern[start : self.at])

    def _group(self) -> _Atom:
        start = self.at
        opening = "("
        if self.pattern.startswith("(?", start):
            opening = next((known for known in _OPENINGS if self.pattern.startswith(known, start)), "")
            if not opening:
                named = _GROUP.match(self.pattern, start)
                raise self._unlike(named[0] if named else "(?")
        self.at += len(opening)
        outside = self.any_case, self.back
        if self.back:
            raise self._unlike(opening)
        self.any_case, self.back = self.any_case or opening == "(?i:", opening in ("(?<=", "(?<!")
        empty = self._alternatives()
        self.any_case, self.back = outside
        if not self.pattern.startswith(")", self.at):
            raise self._unlike(opening)
        self.at += 1
        return _Atom(self.pattern[start : self.at], empty or opening in _LOOKING)

    def _repeat(self, atom: _Atom) -> bool:
        """Read a count behind an atom, and return whether it lets the atom be left out."""
        start = self.at
        if start == len(self.pattern) or self.pattern[start] not in "*+?{":
            return False
        least = 0 if self.pattern[start] in "*?" else 1
        if self.pattern[start] == "{":
            count = _COUNT.match(self.pattern, start)
            if not count:
                return False  # a symbol of its own, which is refused next
            if any(int(number) > _MOST for number in re.findall(r"\d+", count[0])):
                raise self._unlike(count[0])
            least, self.at = int(count[1] or 0), count.end()
        else:
            self.at += 1
        if self.pattern[self.at : self.at + 1] in ("+", "?"):
            self.at += 1
        count_text = self.pattern[start : self.at]
        if count_text in ("{0}?", "{1}?"):  # Oniguruma makes more than once optional, and once only behind a symbol
            raise self._unlike(count_text)
        if self.pattern[self.at : self.at + 1] in ("*", "+", "?"):
            raise self._unlike(count_text + self.pattern[self.at])
        if atom.empty or self.back:
            raise self._unlike(atom.text + count_text)
        return least == 0

    def _escape(self) -> str:
        r"""Read an escape and return the symbol that it stands for, or "" for a class such as \s."""
        whole = ESCAPE.match(self.pattern, self.at)
        text = whole[0] if whole else "\\"
        self.at += len(text)
        if text in _CONTROLS:
            return _CONTROLS[text]
        if text in _CLASSES:
            return ""
        if text[1:2] in ("p", "P"):
            name = _PROPERTY.fullmatch(text)
            if not name or name[1].lower() not in _PROPERTIES or self.any_case:
                raise self._unlike(text)
            if text[1] == "P" and name[1].lower() in _CASED:
                self.without_case = text
            return ""
        symbol = text[1:2]
        if symbol in "xu" and len(text) > 3 and "{" not in text:
            symbol = chr(int(text[2:], 16))
            if "\ud800" <= symbol <= "\udfff" or (text[1] == "x" and symbol > "\x7f"):
                raise self._unlike(text)
        elif not symbol.isascii() or symbol.isalnum() or symbol in "<>" or len(text) != 2:
            raise self._unlike(text)
        return symbol

    def _symbol(self, symbol: str) -> None:
        """Refuse a symbol whose cases are not the same to all, where case is ignored; "" stands for a class."""
        if not self.any_case:
            return
        self._check_case(symbol)
        pair = (self.before + symbol).lower()
        if pair in _LIGATURES:
            raise self._unlike(pair)
        self.before = symbol

    def _check_case(self, symbol: str) -> None:
        if symbol in ("i", "I") or not (symbol.isascii() or _has_no_case(symbol)):
            raise self._unlike(symbol)

    def _set(self) -> None:
        start = self.at
        self.at += 2 if self.pattern.startswith("[^", start) else 1
        escapes: list[str] = []
        first = self.at
        while not self.pattern.startswith("]", self.at) or self.at == first:
            if self.at >= len(self.pattern):
                raise self._unlike("[")
            self._check_set_operators()
            begin = self.at
            low = self._member(escapes)
            if self.pattern.startswith("-", self.at) and self.pattern[self.at + 1 : self.at + 2] not in ("]", ""):
                self.at += 1
                self._check_set_operators()
                high = self._member(escapes)
                if not low or not high or low > high or not self._same_in_any_case(low, high):
                    raise self._unlike(self.pattern[begin : self.at])
        self.at += 1
        self.before = ""
        if self.pattern.startswith("[^", start):
            whole = self.pattern[start : self.at]
            if self.any_case or (len(escapes) > 1 and any(escape[1] in "SDP" for escape in escapes)):
                raise self._unlike(whole)
            names = {escape[3:-1].lower() for escape in escapes}
            cased = names & (_CASED - _MARKS if names & _LETTERS else _CASED)  # one mark, U+0345, has letters for cases
            if cased or any(symbol.isalpha() for symbol in _ESCAPED_CLASS.sub("", whole)):
                self.without_case = whole

    def _check_set_operators(self) -> None:
        if self.pattern[self.at] == "[":
            raise self._unlike("[")
        if (two := self.pattern[self.at : self.at + 2]) in ("&&", "--", "||", "~~"):
            raise self._unlike(two)

    def _member(self, escapes: list[str]) -> str:
        """Read one member of a set, and return the symbol, or "" for a class."""
        start = self.at
        if self.pattern[start] == "\\":
            symbol = self._escape()
            if not symbol:
                escapes.append(self.pattern[start : self.at])
        else:
            symbol = self.pattern[start]
            self.at += 1
        if symbol and self.any_case:
            self._check_case(symbol)
        return symbol

    def _same_in_any_case(self, low: str, high: str) -> bool:
        if not self.any_case:
            return True
        return high.isascii() and not any(low <= symbol <= high for symbol in "iI")


def _has_no_case(symbol: str) -> bool:
    """Whether ignoring case changes nothing: neither alone nor behind a letter, as combining marks may."""
    kind = unicodedata.category(symbol)
    return (kind[0] in "PSZN" or kind == "Lo") and symbol == symbol.lower() == symbol.upper()
