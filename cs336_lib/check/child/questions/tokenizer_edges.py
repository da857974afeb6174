"""The tokenizer: what the caller hands over, odd vocabularies, long words (problem tokenizer)."""

from __future__ import annotations

from functools import partial
from typing import Any

import regex

from .. import bpe_rules as rules
from ..case import Case, UnansweredError, WrongError, check
from ..errors import EMPTY
from ..show import show
from .bpe_text import ANY_CASE
from .tokenizer import BY_MERGES, DEFINITION, ENCODES, END, MERGES, ids_of, tokenizer_of
from .tokenizer_pattern import joinable


@check(
    "tokenizer.no_specials",
    "special_tokens may be an empty list",
    cause=f"{rules.EMPTY_PATTERN}; max() or [0] of an empty list",
    section="3.4",
    known=DEFINITION,
    errors=EMPTY,
)
def _(case: Case) -> None:
    text = "the cat's hat"
    try:
        ids_of(case, text, [], {rules.EMPTY_PATTERN: list(text.encode())})
    except WrongError:  # an error of the code under test is none of these
        wrong = case.given, case.expected, case.cause
        try:
            ids_of(case, text, [END])
        except Exception:
            raise UnansweredError("the ids are wrong with special tokens as well, which others ask") from None
        case.given, case.expected, case.cause = wrong
        raise


UNNAMED = "whatever looks like a special token in the vocabulary is taken for one; special_tokens names them"


@check(
    "tokenizer.special_unnamed",
    "what special_tokens does not name is ordinary text, be it in the vocabulary",
    cause=UNNAMED,
    section="3.4",
    known=DEFINITION,
    kind="expect",
    after=(*ENCODES, "kinds", "special", "special_several", "special_newlines", "no_specials"),
)
def _(case: Case) -> None:
    pad, named = "<|pad|>", regex.compile(f"({regex.escape(END)})", regex.IGNORECASE)
    merges = joinable(f"the!{END}! cat\nthe!{pad}!\n!<|EndOfText|>!")
    vocab = rules.vocabulary(merges, [END, pad])

    def ids(text: str, specials: list[str] | None) -> Any:
        return case.get_tokenizer(dict(vocab), list(merges), specials).encode(text)

    encoded = partial(rules.encode, vocab=vocab, merges=merges)
    for text, specials in ((f"the!{END}! cat", None), (f"the!{pad}!{END}!<|EndOfText|>!", [END])):
        in_any_case = [
            [i for piece in named.split(text) for i in encoded(piece, specials=[END])],  # cut out, and no token
            encoded(named.sub(END, text), specials=[END]),
        ]
        mistakes = {
            UNNAMED: encoded(text, specials=[END, pad]),
            ANY_CASE: lambda got, wrong=in_any_case: list(got) in wrong,
        }
        case.same(
            partial(ids, text, specials),
            encoded(text, specials=specials or ()),
            f"encode({text!r}), a vocabulary with '{END}' and '{pad}', special_tokens {specials}",
            mistakes=mistakes,
        )


APPENDED = "the special token is looked up and not found; the handout asks to append it"
SKIPPED = "decode() leaves special tokens out; the text that they stand for is asked for"
OVERWRITTEN = "len(vocab) is taken as the next free id, which a vocabulary with a gap has given to a token"
NO_GAP = "ids are taken for 0 to len(vocab) - 1; a vocabulary may leave some out"
AS_TEXT = "a special token that the vocabulary lacks is encoded as ordinary text; the handout asks to append it"


@check(
    "tokenizer.special_appended",
    "a special token that the vocabulary lacks is appended to it",
    cause=APPENDED,
    section="3.4",
    known="the next free id",
    after=("special", "two", "order", "vocab_order"),
    errors=r"KeyError: b?'<",
)
def _(case: Case) -> None:
    vocab = rules.vocabulary(MERGES)
    right = [*rules.encode("the", vocab, MERGES), len(vocab)]

    def both() -> list[object]:
        tokenizer = case.get_tokenizer(dict(vocab), list(MERGES), [END])
        ids = tokenizer.encode(f"the{END}")
        return [list(ids), tokenizer.decode(ids)]

    mistakes = {
        SKIPPED: lambda got: got[0] == right and got[1] == "the",
        APPENDED: lambda got: got[0] != right and END not in got[1],
        AS_TEXT: lambda got: got[0] == rules.encode(f"the{END}", vocab, MERGES),
    }
    given = f"encode('the{END}'), and decode of its ids, with '{END}' not in a vocabulary of {len(vocab)}"
    case.same(both, [right, f"the{END}"], given, mistakes=mistakes)


@check(
    "tokenizer.special_gap",
    "appending a special token overwrites nothing",
    cause=OVERWRITTEN,
    section="3.4",
    known="decoding gives the text back",
    kind="expect",
    after=("special_appended", "special", "vocab_order", "two"),
    errors=r"KeyError: b'",
)
def _(case: Case) -> None:
    vocab = rules.vocabulary(MERGES[:3])
    last = max(vocab)
    vocab[last + 1] = vocab.pop(last)  # the last merge moves up, an id is free below it
    word = vocab[last + 1].decode()

    def both() -> str:
        try:
            tokenizer = case.get_tokenizer(dict(vocab), list(MERGES[:3]), [END])
            return str(tokenizer.decode(tokenizer.encode(f"{word}{END}")))
        except KeyError as error:
            case.cause = NO_GAP if error.args == (last,) else None
            raise

    given = f"decode(encode({word + END!r})), {len(vocab)} tokens with ids up to {last + 1}, '{END}' not among them"
    lost = {OVERWRITTEN: lambda got: not got.startswith(word), SKIPPED: word}
    case.same(both, f"{word}{END}", given, refusal=True, mistakes=lost)


@check(
    "tokenizer.caller_vocab",
    "the caller's vocabulary is left as it was",
    cause="special tokens are appended to the caller's own dictionary; a copy is meant",
    section="3.4",
    known="a copy, taken before",
    kind="expect",
    after=("special_appended",),
)
def _(case: Case) -> None:
    vocab = rules.vocabulary(MERGES)
    before = len(vocab)
    case.say(f"a vocabulary of {before} tokens, special_tokens ['{END}']", f"still {before} tokens")
    case.get_tokenizer(vocab, list(MERGES), [END]).encode(f"a{END}")
    case.true(len(vocab) == before, f"{len(vocab)} tokens")


@check(
    "tokenizer.caller_list",
    "the caller's list of special tokens is left as it was",
    cause="list.sort() sorts the caller's own list; sorted() makes a new one",
    section="3.4",
    known="a copy, taken before",
    kind="expect",
)
def _(case: Case) -> None:
    specials = ["<s>", "<longer>", "<m>"]
    case.say(f"special_tokens {specials}", f"{specials}, still")
    case.get_tokenizer(rules.vocabulary(MERGES, specials), list(MERGES), specials).encode("a<s>b")
    case.true(specials == ["<s>", "<longer>", "<m>"], specials)


KEPT_IN_CLASS = "a cache or a vocabulary kept in the class or in a mutable default argument"


@check(
    "tokenizer.two",
    "two tokenizers don't share anything",
    cause=KEPT_IN_CLASS,
    section="3.1",
    known=DEFINITION,
    kind="expect",
    after=("no_specials",),
    errors=r"KeyError: b'(th|he)'",
)
def _(case: Case) -> None:
    first = rules.vocabulary([(b"t", b"h")])
    second = rules.vocabulary([(b"h", b"e")])

    def both() -> list[list[int]]:
        one = case.get_tokenizer(dict(first), [(b"t", b"h")], None)
        two = case.get_tokenizer(dict(second), [(b"h", b"e")], None)
        return [list(one.encode("the")), list(two.encode("the")), list(one.encode("the"))]

    def of_another(got: list[list[int]]) -> bool:
        """Whether some ids are no ids of the text, in the vocabulary that its tokenizer was given."""
        vocabs = (first, second, first)
        return any(b"".join(v.get(i, b"?") for i in ids) != b"the" for ids, v in zip(got, vocabs, strict=True))

    given = "encode('the') with merge 'th', with merge 'he', again"
    case.same(both, [[256, 101], [116, 256], [256, 101]], given, mistakes={KEPT_IN_CLASS: of_another})


BY_IDS = "the pair of the lowest id in the vocabulary goes first; the earliest in the list of merges does"


@check(
    "tokenizer.vocab_order",
    "ids come from the vocabulary, and which merge goes first from the list of merges",
    cause=BY_MERGES,
    section="3.1",
    known=DEFINITION,
    after=("two", "example", "order", "special"),
)
def _(case: Case) -> None:
    merges = [(b"h", b"e"), (b"t", b"he"), (b"b", b"c"), (b"a", b"b")]
    made = [b"he", b"the", b"ab", b"bc"]  # of the last two, the one that is learned last comes first
    vocab = dict(enumerate([END.encode(), *made, *(bytes([255 - i]) for i in range(256))]))
    text = f"the he abc{END}"
    by_ids = sorted(merges, key=lambda pair: made.index(b"".join(pair)))
    case.same(
        lambda: case.get_tokenizer(dict(vocab), list(merges), [END]).encode(text),
        rules.encode(text, vocab, merges, [END]),
        f"encode({text!r}), merges he, the, bc, ab, the vocabulary {END}, he, the, ab, bc, and the bytes backwards",
        mistakes={
            BY_MERGES: lambda got: list(got[:3]) == [257, ord(" "), 256],
            BY_IDS: rules.encode(text, vocab, by_ids, [END]),
        },
    )


def _long(case: Case, text: str, about: str) -> None:
    tokenizer, vocab = tokenizer_of(case)
    small = 240  # the definition is quadratic, and every repeat of a period adds the same ids
    right = len(text)
    case.say(f"encode of {about}", "its ids, within ten seconds of processor time")
    ids = [int(i) for i in tokenizer.encode(text)]
    head = rules.encode(text[:small], vocab, MERGES)[: small // 8]
    case.expected = f"ids that begin {show(head[:12])} and stand for {right:,} bytes"
    case.true(ids[: len(head)] == head, f"ids that begin {show(ids[:12])}", "")
    length = sum(len(vocab[i]) for i in ids)
    case.true(length == right, f"ids that stand for {length:,} bytes", "")


@check(
    "tokenizer.long_word",
    "a word of 100,000 letters gets its ids, and takes no ages",
    cause="each merge walks the whole word again, so that time grows with the square of its length",
    section="3.6",
    known="all its bytes, in ten seconds of processor time",
    kind="expect",
    hangs=True,
    after=("order", "example", "vocab_order"),
)
def _(case: Case) -> None:
    _long(case, "that" * 25_000, "'that' 25,000 times in one word")


@check(
    "tokenizer.long_spaces",
    "100,000 spaces get their ids, and take no ages",
    cause="white space without an end is one pre-token, merged in quadratic time",
    section="3.6",
    known="all its bytes, in ten seconds of processor time",
    kind="expect",
    hangs=True,
    after=("order", "example", "vocab_order", "pattern"),
)
def _(case: Case) -> None:
    _long(case, " " * 100_000, "100,000 spaces")


@check(
    "tokenizer.ids",
    "ids are a list of Python integers",
    cause="numpy or torch numbers, which json and most libraries refuse",
    section="3.1",
    known="the type that the handout names",
)
def _(case: Case) -> None:
    case.say("encode('the cat')", "list[int]")
    ids = tokenizer_of(case)[0].encode("the cat")
    if not isinstance(ids, list) or not all(type(i) is int for i in ids):
        inner = type(ids[0]).__name__ if len(ids) else "nothing"
        raise WrongError(f"{type(ids).__name__} of {inner}")
    if not ids:
        raise UnansweredError("encode gives no ids, so that their type can't be seen")


@check(
    "tokenizer.unknown_id",
    "decoding an id that is not in the vocabulary",
    cause="the handout is silent: an error and U+FFFD are both seen",
    section="3.3",
    known="reported only",
    kind="choice",
)
def _(case: Case) -> None:
    case.say("decode([97, 99999])")
    tokenizer, _ = tokenizer_of(case)
    case.report(case.attempt(lambda: tokenizer.decode([97, 99_999])))


@check(
    "tokenizer.from_files",
    "whether the class can be made from files",
    cause="the handout asks for from_files, in a format of your own, so only its presence can be seen",
    section="3.4",
    known="reported only",
    kind="choice",
)
def _(case: Case) -> None:
    case.say("type(tokenizer).from_files, of files that are not there")
    make = getattr(tokenizer_of(case)[0], "from_files", None)
    if not callable(make):
        case.report("not there")
        return
    try:
        made = make(str(case.folder / "vocabulary"), str(case.folder / "merges"), None)
    except NotImplementedError:
        raise  # a stub is no answer
    except Exception:  # the files are not there
        made = "an error"
    case.report("there" if made is not None else "it does nothing")
