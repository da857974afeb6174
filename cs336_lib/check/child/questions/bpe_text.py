r"""Training the tokenizer: the text as it is in the file, cut by the pattern (problem train_bpe).

Each text is merged until only spare pairs are left, so that every pre-token counts: one that is cut in another
place, or a character that was changed before, has other pairs.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import regex

from .. import bpe_rules as rules
from ..case import Case, check
from .bpe_training import COUNTS, END, RECOUNT, TIES, merges_of

# A word of control characters in which each pair occurs once, below all others. Some of them are merged last, where a
# text of more pairs has others; most are left, so that one of fewer does not run out, which is another question.
SPARE = "".join(
    (2 * one + "".join(two + one for two in map(chr, range(ord(one) + 1, 9))))[:-1] for one in map(chr, range(1, 9))
)
MERGED = 8
OTHER_PATTERN = (
    "another pattern, or str.split: contractions, digits, punctuation and runs of spaces have rules of their own"
)
OTHER_KINDS = (
    r"\w and \d for \p{L} and \p{N}: \w takes digits and '_' as well, and \d does not take all numbers; "
    "or a later pattern, which cuts numbers after three digits or takes accents along with letters"
)
OTHER_CASES = "a later pattern, which ignores case, so that IT'S is cut as it's; or some of the seven left out"
CHARACTERS = "characters merged instead of bytes, or letters matched as a-z only"
IN_CHARACTERS = (
    "words are split in characters; the first tokens are single bytes, of which a character may have several"
)
ASCII_ONLY = r"letters matched as [A-Za-z], or numbers as [0-9]; \p{L} and \p{N} are those of all scripts"
ASCII_PATTERNS = tuple(
    rules.PAT.replace(r" ?\p{L}", f" ?[{letters}]")
    .replace(r" ?\p{N}", f" ?[{numbers}]")
    .replace(r"\p{L}\p{N}", letters + numbers)
    for letters, numbers in (("A-Za-z", "0-9"), ("A-Za-z", r"\p{N}"), (r"\p{L}", "0-9"))
)
BY_LINES = "each line of the file is cut by itself: newlines in a row, and the spaces behind them, are one pre-token"
LINES: tuple[Callable[[str], list[str]], ...] = (
    lambda text: text.splitlines(keepends=True),
    lambda text: regex.findall(r"[^\n]*\n|[^\n]+", text),
    str.splitlines,
    lambda text: text.split("\n"),
)
ANY_CASE = "special tokens are looked for in any case of their letters (re.IGNORECASE)"
NO_MARK = "the mark at the beginning of the file is dropped, as utf-8-sig does"
STRIPPED = "strip() of the documents or of the whole file, or a newline that is taken for a part of the special token"
NOT_ESCAPED = "re.escape left out: '|' separates alternatives, so that '<', '>' and the bare word cut the text as well"
Change = Callable[[str], str]
DECODED: dict[str, Change] = {
    "the file is decoded byte by byte, as latin-1, not as UTF-8": lambda text: text.encode().decode("latin-1"),
    "whatever is not ASCII is dropped when the file is read": lambda text: text.encode("ascii", "ignore").decode(),
}

STRIPS: list[Change] = [
    *(lambda text, strip=strip: END.join(map(strip, text.split(END))) for strip in (str.strip, str.lstrip, str.rstrip)),
    *(lambda text, ends=ends: END.join(piece.strip(ends) for piece in text.split(END)) for ends in ("\n", " ")),
    *(lambda text, ends=ends: END.join(piece.lstrip(ends) for piece in text.split(END)) for ends in ("\n", " ")),
    *(lambda text, ends=ends: END.join(piece.rstrip(ends) for piece in text.split(END)) for ends in ("\n", " ")),
    *(str.strip, str.lstrip, str.rstrip),
    lambda text: text.replace(f"{END}\n", END),
    lambda text: text.replace(f"\n{END}", END),
    lambda text: text.replace(f"\n{END}\n", END),
]

# What each of them decides is written at the question that asks it of a trainer; the tokenizer is asked the same.
RUNS = (
    "it's 10 10s,  don't!! it's 10...\n\n\n  don't  stop, it's\t\tthe\tend (the end\t10\t!! [the\u00a0\u00a0end?!\n\n!"
    "\u300010 \u3000!!"
)
KINDS = (
    "ab12 12ab a_b _ab _12 1_2 x\u00b2 2\u00b2 \u00b2! \u2167a 2026 20262026 2026 1234567 "
    "\u0915\u094d\u0937 \u094dn caf\u00e9s ab12"
)
CONTRACTIONS = (
    "it's we'd I'm don't they'll we've you're IT'S WE'D I'M DON'T THEY'LL WE'VE YOU'RE it\u2019s 'tis 'll 'x o'clock"
)


def all_merges(
    case: Case,
    text: str,
    specials: Sequence[str] = (END,),
    changed: Mapping[str, Change | Sequence[Change]] | None = None,
    otherwise: str = "",
) -> None:
    """Hold all merges of a text, and then some of the spare ones, against the definition's.

    Args:
        case: of the question.
        text: with or without the word of spare pairs.
        specials: special tokens.
        changed: cause -> what it makes of the text before its merges are learned, or several ways.
        otherwise: the cause where it is none of these.
    """
    if SPARE not in text:
        text = f"{text} a{SPARE}"
    plain = text.replace(SPARE, "")
    size = 256 + len(specials) + len(rules.train(plain, 5000, specials)) + MERGED
    about = f"{plain!r}, and a word of control characters"
    mistakes = changed_before(text, size, specials, changed)
    merges_of(case, text, size, specials, about, mistakes=mistakes, otherwise=otherwise)


def changed_before(
    text: str,
    size: int,
    specials: Sequence[str],
    changed: Mapping[str, Change | Sequence[Change]] | None = None,
) -> dict[str, Callable[[Any], bool]]:
    """Causes by which a text is another one before its words are counted, or is cut in lines."""

    def of(changes: Change | Sequence[Change], got: object) -> bool:
        ways = [changes] if callable(changes) else changes
        return any(got == rules.train(change(text), size, specials) for change in ways)

    def by_lines(got: object) -> bool:
        counted = (sum((rules.words_of(line, specials) for line in cut(text)), Counter()) for cut in LINES)
        return any(got == rules.train_words(words, size - 256 - len(specials)) for words in counted)

    def in_characters(got: object) -> bool:
        words = (
            match
            for piece, special in rules.stretches(text, specials)
            if not special
            for match in rules.words_in(piece)
        )
        counted = Counter(tuple(character.encode() for character in word) for word in words)
        return not text.isascii() and got == rules.train_words(counted, size - 256 - len(specials))

    def in_ascii(got: object) -> bool:
        return any(
            got == rules.train_words(rules.words_of(text, specials, pattern), size - 256 - len(specials))
            for pattern in ASCII_PATTERNS
        )

    causes: dict[str, Callable[[Any], bool]] = {
        BY_LINES: by_lines,
        IN_CHARACTERS: in_characters,
        ASCII_ONLY: in_ascii,
    }
    return causes | {why: partial(of, changes) for why, changes in (DECODED | dict(changed or {})).items()}


@check(
    "train_bpe.punctuation",
    "pre-tokens are those of the pattern",
    cause=OTHER_PATTERN,
    section="2.2",
    known=RECOUNT,
    after=(*COUNTS, "special_letters"),
)
def _(case: Case) -> None:
    all_merges(case, RUNS, otherwise=OTHER_PATTERN)


@check(
    "train_bpe.kinds",
    "letters, numbers and everything else are apart, and a number has any length",
    cause=OTHER_KINDS,
    section="2.2",
    known=RECOUNT,
    after=(*COUNTS, "punctuation", "special_letters", "special_boundary", "as_it_is"),
)
def _(case: Case) -> None:
    all_merges(case, KINDS, otherwise=OTHER_KINDS)


@check(
    "train_bpe.contractions",
    "the seven contractions are cut off in lower case, and no others",
    cause=OTHER_CASES,
    section="2.2",
    known=RECOUNT,
    after=(*COUNTS, "punctuation", "special_letters", "special_boundary", "as_it_is"),
)
def _(case: Case) -> None:
    all_merges(case, CONTRACTIONS, otherwise=OTHER_CASES)


@check(
    "train_bpe.other_scripts",
    "merges are made of bytes, whatever the script",
    cause=CHARACTERS,
    section="2.2",
    known=RECOUNT,
    after=(*TIES, "leading_space", "punctuation"),
    errors=r"KeyError: '.'|ValueError: bytes must be in range",
)
def _(case: Case) -> None:
    text = "caf\u00e9 caf\u00e9s \u65e5\u672c \u65e5\u672c\u8a9e \U0001f600\U0001f600"
    merges_of(case, text, 268, [END], mistakes=changed_before(text, 268, [END]), otherwise=CHARACTERS)


@check(
    "train_bpe.as_it_is",
    "the text is learned as it is in the file: capitals, accents, control characters",
    cause="the text is lowercased, normalized (NFC, NFKC) or cleaned before its words are counted",
    section="2.2",
    known=RECOUNT,
    after=(*COUNTS, "punctuation", "special_letters", "special_boundary"),
)
def _(case: Case) -> None:
    text = "\ufeffThe the THE tHE \u00c9a \u00e9a \u212ba \u00c5a \ufb01x fix \u00dfs sss \x00x x\u00adx a  b\ta\t\tb"
    changed: dict[str, Change] = {
        NO_MARK: lambda text: text.removeprefix("\ufeff"),
        "the text is lowercased before its words are counted": str.lower,
        "the text is normalized (NFC) before its words are counted": partial(unicodedata.normalize, "NFC"),
        "the text is normalized (NFKC) before its words are counted": partial(unicodedata.normalize, "NFKC"),
        "control characters are removed before the words are counted": lambda text: "".join(
            c for c in text if c.isprintable() or c.isspace()
        ),
    }
    all_merges(case, text, changed=changed)


@check(
    "train_bpe.crlf",
    "bytes are learned as they are in the file: \\r\\n stays \\r\\n",
    cause='open(path, "r") turns \\r\\n into \\n; newline="" or "rb" keeps the file as it is',
    section="2.2",
    known=RECOUNT,
    kind="expect",
    after=(*TIES, "leading_space", "punctuation"),
)
def _(case: Case) -> None:
    merges_of(case, "a\r\n\r\nb\r\n\r\nc\r\n\r\nd xyz", 258, [END])


@check(
    "train_bpe.special_spaces",
    "white space beside a special token, and at both ends of the file, is text as well",
    cause=STRIPPED,
    section="2.2",
    known=RECOUNT,
    after=(*COUNTS, "punctuation", "special_letters", "special_boundary", "chunks", "chunks_runs"),
)
def _(case: Case) -> None:
    changed = {STRIPPED: STRIPS}
    all_merges(case, f"\n\n a{SPARE} b\n\n", changed=changed)
    text = f"  \t\nhi{END}  \n\nthe cat{SPARE}\n\n{END}\n\na\n{END}\nb {END} c{END}   {END}\n\n\n{END}\t\tx\t\t\t{END}"
    all_merges(case, f"{text}y\t\t\t\t", changed=changed)


@check(
    "train_bpe.special_literal",
    "special tokens are taken literally, not as patterns",
    cause=NOT_ESCAPED,
    section="2.2",
    known=RECOUNT,
    after=(
        *COUNTS,
        "punctuation",
        "special_letters",
        "special_boundary",
        "contractions",
        "as_it_is",
        "special_overlap",
    ),
)
def _(case: Case) -> None:
    for text, special in (
        (f"a<b a<b a|>b >a endoftextx endoftextx ab abc{END}x <|EndOfText|>x <|endoftext| >a", END),
        ("xy[PAD]PAD AD DA xy [pad]x", "[PAD]"),
        ("aba.cx abc abc", "a.c"),
    ):
        changed = {
            NOT_ESCAPED: partial(regex.compile(special).sub, special),
            ANY_CASE: partial(regex.compile(regex.escape(special), regex.IGNORECASE).sub, special),
        }
        all_merges(case, text, [special], changed=changed)
