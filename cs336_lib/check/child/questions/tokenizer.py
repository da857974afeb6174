"""The tokenizer: ids of a text, special tokens, and text of ids (problem tokenizer)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import regex

from .. import bpe_rules as rules
from ..case import Case, check
from ..errors import EMPTY, NOT_UTF8

ACROSS, DROPPED = "merges applied across pre-tokens", "the spaces before words are dropped"
BY_MERGES = "ids computed as 256 plus the number of the merge; a vocabulary may number its tokens in any way"
# Questions of what a word becomes, which others follow from.
ENCODES = ("two", "order", "example", "vocab_order", "pattern")
DEFINITION = "an encoder that takes the earliest merge until none applies"
RAISES = 'bytes.decode() without errors="replace" raises on ids that a model may well produce'
WHOLE = "the pattern is run over the whole text: special tokens must be cut out before it"
BESIDE = "strip() of what is between special tokens, or a newline that is taken for a part of the special token"
END = "<|endoftext|>"
ALL_BYTES = (
    "all 256 single bytes are looked up in the vocabulary: the handout's has six; take them up when they are needed, "
    "or refuse such a vocabulary with a ValueError"
)
LOST = "letters are lost or doubled: a pair is replaced although one of its tokens has been merged since it was found"
FROM_LEFT = "the word is read from the left, and the first pair or the longest token that fits is taken"
FROM_RIGHT = "repeats are merged from the right"
# Learned from a small text, so that ids and merges are those of a trainer.
STRIPS = (str.strip, str.lstrip, str.rstrip)
TEXT = "the cat ate the hat, and the cat's hat  was\n\n\nnothing like    the other hats: 10 hats\n\n" * 2
MERGES = rules.train(TEXT, 300)


def tokenizer_of(case: Case, specials: Sequence[str] | None = None) -> tuple[Any, dict[int, bytes]]:
    """Make the reader's tokenizer for the small vocabulary, with special tokens that are in it."""
    vocab = rules.vocabulary(MERGES, specials or ())
    return case.get_tokenizer(dict(vocab), list(MERGES), None if specials is None else list(specials)), vocab


def ids_of(
    case: Case, text: str, specials: Sequence[str] | None = None, mistakes: Mapping[str, Any] | None = None
) -> None:
    """Hold the ids of a text against the definition's."""
    vocab = rules.vocabulary(MERGES, specials or ())
    right = rules.encode(text, vocab, MERGES, specials or ())
    shown = repr(text) if len(text) < 90 else f"{text[:60]!r} and more"
    given = f"encode({shown}), special_tokens {specials}"
    case.same(lambda: tokenizer_of(case, specials)[0].encode(text), right, given, mistakes=mistakes)


@check(
    "tokenizer.example",
    "the ids of the handout's example",
    cause="merges applied across pre-tokens, or spaces dropped",
    section="3.1",
    known="the handout's example",
    official=True,
    after=("two",),
)
def _(case: Case) -> None:
    tokens = [b" ", b"a", b"c", b"e", b"h", b"t", b"th", b" c", b" a", b"the", b" at"]
    merges = [(b"t", b"h"), (b" ", b"c"), (b" ", b"a"), (b"th", b"e"), (b" a", b"t")]

    def ids() -> Any:
        try:
            return case.get_tokenizer(dict(enumerate(tokens)), list(merges), None).encode("the cat ate")
        except KeyError as error:
            byte = error.args[0] if error.args else None
            case.cause = ALL_BYTES if isinstance(byte, bytes) and len(byte) == 1 and byte not in tokens else None
            raise

    case.same(
        ids,
        [9, 7, 1, 5, 10, 3],
        "encode('the cat ate') with the handout's vocabulary",
        mistakes={
            BY_MERGES: lambda got: any(i >= len(tokens) for i in got),
            DROPPED: lambda got: b"".join(tokens[i] for i in got) == b"thecatate",
        },
        refusal=True,  # a vocabulary without all single bytes may be refused
    )


@check(
    "tokenizer.order",
    "the earliest learned merge goes first, wherever it is in the word",
    cause=FROM_LEFT,
    section="3.1",
    known=DEFINITION,
    official=True,
    after=("two", "example"),
)
def _(case: Case) -> None:
    merges = [(b"b", b"c"), (b"a", b"b"), (b"ab", b"c")]
    vocab = rules.vocabulary(merges)
    text = "abc cabab"
    mistakes = {
        LOST: lambda got: b"".join(vocab[i] for i in got) != text.encode(),
        FROM_LEFT: [
            258,
            32,
            99,
            257,
            257,
        ],  # by the first pair as by the longest token
    }
    case.same(
        lambda: case.get_tokenizer(dict(vocab), list(merges), None).encode(text),
        rules.encode(text, vocab, merges),
        "encode('abc cabab'), merges bc, ab, abc",
        mistakes=mistakes,
    )


@check(
    "tokenizer.repeats",
    "repeats are merged left to right, without overlap",
    cause=LOST,
    section="3.1",
    known=DEFINITION,
    official=True,
    after=("two", "order", "example", "ids"),
)
def _(case: Case) -> None:
    merges = [(b"a", b"a"), (b"aa", b"aa"), (b"aa", b"a")]
    vocab = rules.vocabulary(merges)
    turned = [(right, left) for left, right in merges]  # a word of one letter reads the same from both ends
    mistakes = {
        LOST: lambda got: any(len(b"".join(vocab[i] for i in ids)) != n for n, ids in enumerate(got, 1)),
        FROM_RIGHT: [rules.encode("a" * n, vocab, turned)[::-1] for n in range(1, 10)],
    }
    case.same(
        lambda: [list(case.get_tokenizer(dict(vocab), list(merges), None).encode("a" * n)) for n in range(1, 10)],
        [rules.encode("a" * n, vocab, merges) for n in range(1, 10)],
        "encode('a'), encode('aa'), ... to nine letters, merges aa, aaaa, aaa",
        mistakes=mistakes,
    )


@check(
    "tokenizer.empty",
    "no text, no ids",
    cause="an empty list where a maximum or a first element is taken",
    section="3.1",
    known=DEFINITION,
    official=True,
    errors=EMPTY,
)
def _(case: Case) -> None:
    ids_of(case, "")


@check(
    "tokenizer.round_trip",
    "decoding gives the text back: white space, capitals, emoji, accents, NUL, \\r\\n",
    cause="characters outside of the vocabulary replaced, or text stripped, lowercased or normalized, before encoding",
    section="3.3",
    known="the text itself",
    official=True,
    after=("decode_joined", "example", "vocab_order"),
)
def _(case: Case) -> None:
    text = "\t A\r\nb \U0001f44b\U0001f3fd e\u0301 \uac01 \x00 \u200d x\ufeff\t\t  "

    def both() -> str:
        tokenizer, _ = tokenizer_of(case, [END])
        back = tokenizer.decode(tokenizer.encode(text))
        return str(back)

    case.same(both, text, f"decode(encode({text!r}))")


@check(
    "tokenizer.decode_joined",
    "bytes are joined before they are decoded",
    cause="each token decoded by itself: a character can be spread over several tokens",
    section="3.3",
    known="bytes.decode of the joined tokens",
    official=True,
    errors=NOT_UTF8,
)
def _(case: Case) -> None:
    case.same(
        lambda: tokenizer_of(case)[0].decode([0xF0, 0x9F, 0x98, 0x80]), "\U0001f600", "decode of an emoji's bytes"
    )


@check(
    "tokenizer.decode_malformed",
    "bytes that are no UTF-8 decode to U+FFFD",
    cause=RAISES,
    section="3.3",
    known="bytes.decode with errors='replace'",
    kind_2025="expect",
    after=("decode_joined",),
)
def _(case: Case) -> None:
    mistakes = {
        'errors="ignore" drops the bytes that are no UTF-8; the handout asks for errors="replace"': "ab",
        "each byte is taken for a character, as chr() or latin-1 do": "a\u00ffb",
    }

    def decoded() -> str:
        tokenizer, _ = tokenizer_of(case)
        try:
            return str(tokenizer.decode([97, 0xFF, 98]))
        except UnicodeDecodeError:
            case.cause = RAISES
            raise

    case.same(decoded, "a\ufffdb", "decode([97, 255, 98])", mistakes=mistakes)


@check(
    "tokenizer.special",
    "special tokens are one id each: at the ends, side by side, inside words",
    cause="a split that drops the separators, or empty pieces between them encoded",
    section="3.4",
    known=DEFINITION,
    official=True,
    after=("two", "order", "example", "pattern"),
    errors=EMPTY,
)
def _(case: Case) -> None:
    vocab, text = rules.vocabulary(MERGES, [END]), f"{END}the{END}{END} cat{END}"
    mistakes = {
        "a split that drops the separators": [i for part in ("the", " cat") for i in rules.encode(part, vocab, MERGES)],
        "special tokens are encoded as ordinary text: they are not cut out, or re.escape is left out": lambda got: (
            END.encode() not in {vocab.get(i) for i in got} and len(got) > len(END)
        ),
    }
    ids_of(case, text, [END], mistakes)


@check(
    "tokenizer.special_several",
    "each of several special tokens is one id",
    cause="only one of the special tokens is looked for in the text",
    section="3.4",
    known=DEFINITION,
    after=(*ENCODES, "special"),
)
def _(case: Case) -> None:
    specials = ["<one>", "<six>", "<two>"]
    vocab, text = rules.vocabulary(MERGES, specials), "the<one>cat<six><two> hat<one>"
    only = {
        "only the first special token is looked for in the text": specials[:1],
        "only the last special token is looked for in the text": specials[-1:],
        "the last special token is not looked for in the text": specials[:-1],
        "the first special token is not looked for in the text": specials[1:],
    }
    ids_of(case, text, specials, {why: rules.encode(text, vocab, MERGES, some) for why, some in only.items()})


@check(
    "tokenizer.special_longest",
    "of two special tokens that begin alike, the longer one wins",
    cause="alternatives in a pattern are tried in order; sort them by length first",
    section="3.4",
    known=DEFINITION,
    official=True,
    after=(*ENCODES, "special", "special_several", "special_newlines"),
)
def _(case: Case) -> None:
    ids_of(case, f"the {END}{END} cat {END}", [END, END + END])


@check(
    "tokenizer.special_newlines",
    "white space beside a special token is a stretch of its own",
    cause=WHOLE,
    section="3.4",
    known=DEFINITION,
    after=(*ENCODES, "special"),
)
def _(case: Case) -> None:
    text = f"the cat  {END}\n\n\nthe hat \n{END} \n"
    vocab = rules.vocabulary(MERGES, [END])

    def ids(pieces: Iterable[str]) -> list[int]:
        return [i for piece in pieces for i in rules.encode(piece, vocab, MERGES, [END])]

    pieces = [piece for piece, _ in rules.stretches(text, [END])]
    changed = [[strip(piece, some) for piece in pieces] for strip in STRIPS for some in (None, "\n", " ")]
    changed += [[text.replace(END + "\n", END)], [text.replace(f" \n{END}", f" {END}")]]
    whole = regex.findall(f"{regex.escape(END)}|{rules.PAT}", text)
    mistakes = {
        WHOLE: [i for word in whole for i in ids([word])],
        BESIDE: lambda got: any(list(got) == ids(each) for each in changed),
    }
    ids_of(case, text, [END], mistakes)
