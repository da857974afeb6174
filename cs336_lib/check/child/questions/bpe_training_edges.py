"""Training the tokenizer: special tokens, small and empty texts, and what comes back (problem train_bpe)."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

from .. import bpe_rules as rules
from ..case import Case, UnansweredError, check
from ..errors import EMPTY
from ..show import show
from .bpe_training import COUNTS, END, LEFT_OVER, RECOUNT, RETURNED, TIES, fewer, learn, merges_of

JOINED = "the special token is removed, and its neighbors become one word"
FIXED = "a special token of another name than <|endoftext|> stays in the text: it is cut out by a fixed name"
STAYS = "the special token stays in the text, and its own letters are the most frequent pairs"


@check(
    "train_bpe.vocab",
    "the vocabulary holds the 256 bytes, each merge and each special token, once",
    cause="entries that overwrite each other, ids with gaps, or only the first of the special tokens",
    section="2.1",
    known="256 + merges + special tokens, counted",
    official=True,
    after=(*TIES, "types", "leading_space", "punctuation", "stale", "overlap"),
)
def _(case: Case) -> None:
    text = "the cat sat on the mat, the cat sat\n" * 3
    specials = [END, "<|pad|>", "<|fin\u00e9|>"]
    right = rules.train(text, 266, specials)
    tokens = rules.vocabulary(right, specials).values()
    case.say(f"text {text[:36]!r} three times, vocab_size 266, special_tokens {specials}", "ids 0 to 265, distinct")
    vocab, _ = learn(case, text, 266, specials)
    case.true(sorted(vocab) == list(range(266)), f"{len(vocab)} entries, ids from {min(vocab)} to {max(vocab)}")
    lacking = [token for token in tokens if token not in set(vocab.values())]
    case.true(not lacking, f"a vocabulary without {show(lacking[:3])}")


@check(
    "train_bpe.types",
    "a dictionary of int to bytes, and a list of pairs of bytes",
    cause="other types than those that the adapter names, which compare unequal or which json and pickle refuse",
    section="2.1",
    known="the types that the adapter names",
    official=True,
)
def _(case: Case) -> None:
    case.say(f"text 'low low', vocab_size 259, special_tokens ['{END}']", RETURNED)
    vocab, merges = case.run_train_bpe(str(_corpus(case, "low low")), 259, [END])
    case.true(
        isinstance(vocab, dict), f"a vocabulary of type {type(vocab).__name__}", "the vocabulary is no dictionary"
    )
    _all(case, vocab, "an id", int, "ids of another type than int, as numpy's")
    of_bytes = "tokens of another type than bytes"
    _all(case, vocab.values(), "an entry of the vocabulary", bytes, of_bytes)
    case.true(isinstance(merges, list), f"a {type(merges).__name__} of merges", "the merges are no list")
    _all(case, merges, "a merge", tuple, "merges of another type than tuple: (b'a', b'b') == [b'a', b'b'] is false")
    case.true(all(len(merge) == 2 for merge in merges), show(merges), "merges that are no pairs")
    _all(case, (token for merge in merges for token in merge), "a token of a merge", bytes, of_bytes)
    if not vocab or not merges:
        raise UnansweredError("the vocabulary or the list of merges is empty, so that its types can't be seen")


def _corpus(case: Case, text: str) -> Path:
    path = case.folder / "corpus.txt"
    path.write_text(text)
    return path


def _all(case: Case, values: Iterable[Any], name: str, kind: type, cause: str) -> None:
    """Hold the types of some values against one; a subclass of it is as good."""
    wrong = next((value for value in values if not isinstance(value, kind)), None)
    case.true(wrong is None, f"{name} is {show(wrong, 80)}, of type {type(wrong).__name__}", cause)


@check(
    "train_bpe.no_specials",
    "it trains without special tokens",
    cause=f"{rules.EMPTY_PATTERN}; max() or [0] of an empty list",
    section="2.2",
    known=RECOUNT,
    after=COUNTS,
    errors=EMPTY,
)
def _(case: Case) -> None:
    line, end = "slow lower lowest, the lowest of the lower hats\n", "the slower of the hats"
    given = f"{line!r} five times, and {end!r}"
    merges_of(case, line * 5 + end, 300, (), given, mistakes={rules.EMPTY_PATTERN: []})


@check(
    "train_bpe.special_boundary",
    "nothing is merged across a special token",
    cause=JOINED,
    section="2.2",
    known=RECOUNT,
    official=True,
    after=(*TIES, "special_letters"),
)
def _(case: Case) -> None:
    text, special = "ab<|s|>cd ab<|s|>cd", "<|s|>"
    right = rules.train(text, 262, [special])

    def of(changed: str, got: Any) -> bool:
        return got == rules.train(changed, 256 + len(got)) and not fewer(got, right)

    mistakes = {JOINED: partial(of, text.replace(special, "")), FIXED: partial(of, text)}
    merges_of(case, text, 262, [special], mistakes=mistakes)


@check(
    "train_bpe.special_letters",
    "the characters of special tokens are not counted",
    cause=STAYS,
    section="2.2",
    known=RECOUNT,
    official=True,
    after=TIES,
)
def _(case: Case) -> None:
    mistakes = {
        STAYS: lambda got: any(
            byte in END.encode() for pair in got for token in pair for byte in token if byte not in b"abcd"
        ),
        JOINED: lambda got: (b"ab", b"ab") in got,
    }
    merges_of(case, f"ab{END}" * 9 + "ab cd", 259, [END], mistakes=mistakes)


@check(
    "train_bpe.special_several",
    "each of several special tokens is cut out",
    cause="only one of the special tokens is cut out of the text",
    section="2.2",
    known=RECOUNT,
    after=(*TIES, "special_letters", "special_boundary"),
)
def _(case: Case) -> None:
    text, specials = "ab<one>cd<six>ef<two>gh" + "<one><six><two>" * 2, ["<one>", "<six>", "<two>"]
    only = {
        "only the first special token is cut out of the text": specials[:1],
        "only the last special token is cut out of the text": specials[-1:],
        "the last special token is not cut out of the text": specials[:-1],
        "the first special token is not cut out of the text": specials[1:],
    }
    count = len(rules.train(text, 300, specials))
    mistakes = {why: rules.train(text, 256 + len(some) + count, some) for why, some in only.items()}
    merges_of(case, text, 300, specials, mistakes=mistakes)


@check(
    "train_bpe.special_overlap",
    "of two special tokens that begin alike, the longer one is cut out",
    cause="alternatives in a pattern are tried in order; the shorter one, named first, wins",
    section="2.2",
    known=RECOUNT,
    kind="expect",
    after=(*TIES, "special_letters", "special_boundary", "special_several"),
)
def _(case: Case) -> None:
    merges_of(case, "ab<s>xcd<s>xcd<s>ab", 260, ["<s>", "<s>x"])


@check(
    "train_bpe.special_absent",
    "a special token need not occur in the file",
    cause="chunks are cut at the special token only, or its place in the file is expected",
    section="2.6",
    known=RECOUNT,
    after=(*TIES, "stale", "special_letters", "leading_space"),
    errors=rf"{EMPTY}|ValueError: .*not (found|in list)",
)
def _(case: Case) -> None:
    merges_of(case, "low lower lowest\n" * 40, 264, [END], "'low lower lowest\\n' 40 times")


@check(
    "train_bpe.exhausted",
    "it stops when no pair is left",
    cause="max() of no counts, or pairs with a count of zero merged on and on until the vocabulary is full",
    section="2.1",
    known=RECOUNT,
    hangs=True,
    after=("count", "example", "tie"),
    errors=EMPTY,
)
def _(case: Case) -> None:
    given = f"text 'ab ab', vocab_size 1000, special_tokens ['{END}']"
    case.same(lambda: learn(case, "ab ab", 1000, [END])[1], rules.train("ab ab", 1000), given)


@check(
    "train_bpe.empty",
    "an empty file gives no merges",
    cause="max() of no counts, or chunks of a file without bytes",
    section="2.1",
    known=RECOUNT,
    kind="expect",
    after=("exhausted",),
    errors=EMPTY,
)
def _(case: Case) -> None:
    merges_of(case, "", 300, [END], refusal=True)


@check(
    "train_bpe.only_specials",
    "a file of special tokens only gives no merges",
    cause="max() of no counts, or empty pieces between special tokens counted as words",
    section="2.1",
    known=RECOUNT,
    kind="expect",
    after=("exhausted", "special_letters"),
    errors=EMPTY,
)
def _(case: Case) -> None:
    merges_of(case, END * 3, 300, [END], refusal=True)


@check(
    "train_bpe.caller_list",
    "the caller's list of special tokens is left as it was",
    cause="the list is sorted or extended in place; a copy is meant",
    section="2.2",
    known="a copy, taken before",
    kind="expect",
)
def _(case: Case) -> None:
    path = _corpus(case, "a<s>b<longer>abcd abcd")
    specials = ["<s>", "<longer>", "<m>"]
    case.say(f"special_tokens {specials}", f"{specials}, still")
    case.run_train_bpe(str(path), 261, specials)
    case.true(specials == ["<s>", "<longer>", "<m>"], specials)


@check(
    "train_bpe.twice",
    "training again, on another text, starts anew",
    cause=LEFT_OVER,
    section="2.4",
    known=RECOUNT,
    kind="expect",
    after=TIES,
)
def _(case: Case) -> None:
    case.say("text 'xyxyxy', then text 'low low'", "merges of the second text")
    learn(case, "xyxyxy xyxy xy", 259, [END])
    merges_of(case, "low low", 259, [END], "'low low', after another one", drift=True)


@check(
    "train_bpe.invalid_utf8",
    "what happens to bytes that are no UTF-8",
    cause="the handout is silent: an error, U+FFFD, dropping them and keeping the bytes are all seen",
    section="2.2",
    known="reported only",
    kind="choice",
)
def _(case: Case) -> None:
    case.say(r"text b'\xff\xff \xff\xff', vocab_size 258")

    def kept() -> str:
        merges = show(learn(case, b"\xff\xff \xff\xff", 258, [END])[1])
        return "keeps the bytes" if r"b'\xff'" in merges else f"replaces or drops them: merges {merges}"

    case.report(case.attempt(kept))


@check(
    "train_bpe.too_small",
    "a vocab_size below 256 plus the special tokens",
    cause="the handout is silent: an error, and a vocabulary larger than asked for, are both seen",
    section="2.1",
    known="reported only",
    kind="choice",
)
def _(case: Case) -> None:
    case.say(f"vocab_size 100, special_tokens ['{END}']")
    case.report(case.attempt(lambda: f"gives {len(learn(case, 'low low', 100, [END])[0])} entries"))


@check(
    "train_bpe.special_ids",
    "whether special tokens come first or last in the vocabulary",
    cause="the handout leaves the order open",
    section="2.1",
    known="reported only",
    kind="choice",
)
def _(case: Case) -> None:
    case.say(f"text 'low low', vocab_size 258, special_tokens ['{END}']")
    vocab, _ = learn(case, "low low", 258, [END])
    place = next((number for number, token in vocab.items() if token == END.encode()), None)
    case.report("missing" if place is None else f"id {place} of {len(vocab)}")
