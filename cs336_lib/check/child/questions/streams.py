"""encode_iterable: a stream of strings, cut anywhere, gives the ids of the joined text (problem tokenizer)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice, zip_longest
from typing import Any

from .. import bpe_rules as rules
from ..case import Case, WrongError, check
from ..errors import EMPTY
from .bpe_text import CONTRACTIONS, RUNS
from .tokenizer import DEFINITION, ENCODES, END, MERGES, tokenizer_of
from .tokenizer_pattern import joinable

BY_ITSELF = (
    "each string of the stream is encoded by itself; a pre-token that goes on in the next string must be held back"
)
SHORTER = "the shorter special token is yielded at once, although the longer one ends in the next string"
AT_NEWLINES = "what was read is cut at its last newline, although newlines in a row are one pre-token"
PARTS = ["the cat ate the h", "at and the cat"], ["nothing like the oth", "er hats"]
TEXTS = ["".join(part).encode() for part in PARTS]
TAIL_DROPPED = "white space at the end of the stream is dropped, as by `if held.strip():`"
AS_LISTS = "the ids of each string are yielded as a list"
AS_A_FILE = "the stream is used as an open file, with read() or the like; it is any iterable of strings"
NEXT = 'next() of a stream without strings, or at its end; next(strings, "") has an answer there'
READ_FIRST = "the stream is read to its end, or joined, first; the handout asks for constant memory"
MOST_READ = 40_000_000  # bytes of a stream without an end, without an id; who collects less at a time is right
ONE_HELD = "only the last pre-token is held back; a contraction that the end of a string cuts is two of them, ' and l"


def stream(
    case: Case,
    chunks: list[str],
    specials: Sequence[str] | None = None,
    merges: Sequence[rules.Pair] = MERGES,
    about: str = "",
    by_itself: str = BY_ITSELF,
) -> None:
    """Hold the ids of a stream against those of its joined text; say what gives those of its strings, one by one."""
    vocab, given = rules.vocabulary(merges, specials or ()), about or f"iter({chunks})"
    mistakes = {
        cause: [i for part in parts for i in rules.encode(part, vocab, merges, specials or ())]
        for cause, parts in _parts(chunks, by_itself).items()
    }

    def ids() -> list[int]:
        tokenizer = case.get_tokenizer(dict(vocab), list(merges), None if specials is None else list(specials))
        return ids_from(case, tokenizer, iter(chunks))

    right = rules.encode("".join(chunks), vocab, merges, specials or ())
    case.same(ids, right, f"list(encode_iterable({given})), special_tokens {specials}", mistakes=mistakes)


def ids_from(case: Case, tokenizer: Any, chunks: Iterator[str]) -> list[int]:
    """The ids of a stream; errors of two mistakes tell what they come of."""
    try:
        got = list(tokenizer.encode_iterable(chunks))
    except AttributeError as error:
        case.cause = AS_A_FILE if type(chunks).__name__ in str(error) else case.cause
        raise
    except (StopIteration, RuntimeError) as error:
        case.cause = NEXT if "StopIteration" in repr(error) else case.cause
        raise
    if got and all(isinstance(part, list | tuple) for part in got):
        case.true(False, got, AS_LISTS)
    return [int(i) for i in got]


def _parts(chunks: Sequence[str], by_itself: str = BY_ITSELF) -> dict[str, Sequence[str]]:
    """Cause -> what is encoded at a time because of it."""
    text = "".join(chunks)
    lines = text.splitlines(keepends=True)
    return {TAIL_DROPPED: [text.rstrip()], by_itself: chunks, AT_NEWLINES: lines, ONE_HELD: _one_held(chunks)}


def _one_held(chunks: Sequence[str]) -> list[str]:
    """What is encoded at a time by a stream that holds back the last pre-token, and nothing before it.

    >>> _one_held(["I'l", "l go"])
    ['I', "'", 'll', ' go']
    """
    parts, held = [], ""
    for chunk in chunks:
        *settled, held = rules.words_in(held + chunk) or [""]
        parts += settled
    return [*parts, held]


@check(
    "tokenizer.stream",
    "a stream cut between words",
    cause=AS_LISTS,
    section="3.5",
    known=DEFINITION,
    official=True,
    after=(*ENCODES, "empty"),
)
def _(case: Case) -> None:
    stream(case, ["the cat", " ate", " the hat"])


@check(
    "tokenizer.stream_lines",
    "blank lines of a file: newlines in a row are one pre-token",
    cause=BY_ITSELF,
    section="3.5",
    known=DEFINITION,
    after=(*ENCODES, "stream", "special", "special_newlines"),
)
def _(case: Case) -> None:
    stream(case, ["\n"])
    stream(case, [f"a{END}", "\n"], [END])
    stream(case, ["a\n", "\n", "\nth", "e"])
    stream(case, ["the cat ate the hat\n"] * 12, about="a line, twelve times")


@check(
    "tokenizer.stream_file",
    "an open file with blank lines",
    cause=BY_ITSELF,
    section="3.5",
    known=DEFINITION,
    after=(*ENCODES, "stream", "stream_word", "stream_lines"),
)
def _(case: Case) -> None:
    text = "the hat was\n\n\nnothing like\n\n  the other\n\n"
    path = case.folder / "lines.txt"
    path.write_text(text, encoding="utf-8", newline="")
    right = rules.encode(text, rules.vocabulary(MERGES), MERGES)

    def read() -> list[int]:
        with path.open(encoding="utf-8", newline="") as lines:
            return ids_from(case, tokenizer_of(case)[0], lines)

    lines = text.splitlines(keepends=True)
    mistakes = {
        cause: [i for part in parts for i in rules.encode(part, rules.vocabulary(MERGES), MERGES)]
        for cause, parts in _parts(lines).items()
    }
    case.same(read, right, f"list(encode_iterable(file)), a file that holds {text!r}", mistakes=mistakes)


@check(
    "tokenizer.stream_word",
    "a cut inside a word changes nothing",
    cause=BY_ITSELF,
    section="3.5",
    known=DEFINITION,
    after=(*ENCODES, "stream"),
)
def _(case: Case) -> None:
    stream(case, ["th", "e c", "at", "'", "s  ", " hat"])


@check(
    "tokenizer.stream_contraction",
    "a cut inside a contraction changes nothing",
    cause=ONE_HELD,
    section="3.5",
    known=DEFINITION,
    after=(*ENCODES, "stream", "contractions", "stream_word"),
)
def _(case: Case) -> None:
    merges = joinable("I'll we're they've")
    for chunks in (["I'l", "l go"], ["we'r", "e there"], ["they'v", "e gone"], [*"I'll we're they've"]):
        stream(case, chunks, merges=merges)


@check(
    "tokenizer.stream_characters",
    "a stream of single characters",
    cause=BY_ITSELF,
    section="3.5",
    known=DEFINITION,
    after=(
        *ENCODES,
        "stream",
        "kinds",
        "contractions",
        "repeats",
        "special",
        "special_newlines",
        "stream_word",
        "stream_lines",
        "stream_special",
        "stream_contraction",
    ),
)
def _(case: Case) -> None:
    text = f"{RUNS}{END}\n\n  {CONTRACTIONS} \n{END}"
    about = f"the characters of {text!r}"
    stream(case, list(text), [END], joinable(f"{RUNS}\n\n  {CONTRACTIONS} \n"), about)


@check(
    "tokenizer.stream_special",
    "a cut inside a special token changes nothing",
    cause=BY_ITSELF,
    section="3.5",
    known=DEFINITION,
    after=(*ENCODES, "stream", "special"),
)
def _(case: Case) -> None:
    stream(case, ["the<|endof", "text|>c", "at<|", "endoftext|>"], [END])


@check(
    "tokenizer.stream_special_longest",
    "a special token that may still grow into a longer one is waited for",
    cause=SHORTER,
    section="3.5",
    known=DEFINITION,
    kind="expect",
    after=(*ENCODES, "stream_special", "special_longest", "stream", "special"),
)
def _(case: Case) -> None:
    stream(case, [f"the{END}", f"{END} cat"], [END, END + END], by_itself=SHORTER)


@check(
    "tokenizer.stream_empty",
    "empty strings, and no strings",
    cause="the first or last character of an empty string is looked at",
    section="3.5",
    known=DEFINITION,
    after=(*ENCODES, "stream", "empty"),
    errors=EMPTY,
)
def _(case: Case) -> None:
    stream(case, [])
    stream(case, ["", "the", "", " cat", ""])


@check(
    "tokenizer.stream_lazy",
    "ids come before the stream has ended",
    cause=READ_FIRST,
    section="3.5",
    known="a stream without an end",
    hangs=True,
    seconds=30,
    after=(*ENCODES, "stream"),
)
def _(case: Case) -> None:
    taken = 0

    def endless() -> Iterator[str]:
        nonlocal taken
        while True:
            taken += 1
            if taken * len(lines) > MOST_READ:
                case.cause = READ_FIRST
                raise WrongError(f"{MOST_READ // 10**6} MB were read, and no id has come")
            yield lines

    lines = "the cat ate the hat\n" * 100
    given = f"islice(encode_iterable(an endless stream of {len(lines):,} characters a string), 40)"
    case.say(given, f"40 ids, before {MOST_READ // 10**6} MB are read")
    tokenizer, _ = tokenizer_of(case)
    # Which ids they are is what other questions ask.
    ids = list(islice(iter(tokenizer.encode_iterable(endless())), 40))
    case.true(len(ids) == 40, f"{len(ids)} ids, and the end", "the stream is left before its end")


OF_BEFORE = (
    "what is held back is kept in the tokenizer (self.buffer); it belongs to one stream, as a local variable does"
)


@check(
    "tokenizer.stream_state",
    "a stream knows nothing of an earlier one that was left, or of one that runs beside it",
    cause=OF_BEFORE,
    section="3.5",
    known=DEFINITION,
    kind="expect",
    after=(*ENCODES, "stream", "stream_word"),
)
def _(case: Case) -> None:
    case.say("a stream of ['the cat ate the h', 'at'], left after its first id; then one of ['like', ' the other']")
    tokenizer, vocab = tokenizer_of(case)
    next(iter(tokenizer.encode_iterable(iter(["the cat ate the h", "at"]))), None)
    right = rules.encode("like the other", vocab, MERGES)
    another: dict[str, Any] = {OF_BEFORE: lambda got: b"".join(vocab[i] for i in got) != b"like the other"}
    ask = partial(tokenizer.encode_iterable, ["like", " the other"])
    case.same(lambda: [int(i) for i in ask()], right, case.given, mistakes=another)

    def in_turn() -> list[list[int]]:
        one, two = (iter(tokenizer.encode_iterable(iter(part))) for part in PARTS)
        pairs = list(zip_longest(one, two))
        return [[int(i) for i in ids if i is not None] for ids in zip(*pairs, strict=True)]

    both = [rules.encode("".join(one), vocab, MERGES) for one in PARTS]
    another = {OF_BEFORE: lambda got: [b"".join(vocab[i] for i in ids) for ids in got] != TEXTS}
    case.same(in_turn, both, f"the streams {PARTS[0]} and {PARTS[1]}, an id of each in turn", mistakes=another)


WORD, TIMES, AT_A_TIME = "abcdefghijklmnopqrs", 1060, 40
HELD = "what is held back is encoded when it has grown to some size, wherever that cuts it"


@check(
    "tokenizer.stream_long_word",
    "a word of 20,000 letters, cut over many strings, stays one",
    cause=HELD,
    section="3.5",
    known=DEFINITION,
    kind="expect",
    after=(*ENCODES, "stream", "stream_word", "long_word"),
    seconds=30,
)
def _(case: Case) -> None:
    merges = [(WORD[:n].encode(), WORD[n : n + 1].encode()) for n in range(1, len(WORD))]
    vocab, word = rules.vocabulary(merges), WORD * TIMES
    strings = [word[at : at + AT_A_TIME] for at in range(0, len(word), AT_A_TIME)]
    given = f"'{WORD}', a token, {TIMES:,} times in one word, in strings of {AT_A_TIME} letters"
    case.same(
        lambda: ids_from(case, case.get_tokenizer(dict(vocab), list(merges), None), iter(strings)),
        [len(vocab) - 1] * TIMES,
        given,
        mistakes={
            BY_ITSELF: lambda got: len(got) > 2 * TIMES,
            HELD: lambda got: b"".join(vocab[i] for i in got) == word.encode(),
        },
    )


PERIODS, IN_STRINGS_OF = 1950, 31
OF_PIECES = "<|0|1|2|3|4|5|>"  # the beginnings of this special token are several pre-tokens


@check(
    "tokenizer.stream_large",
    "a stream of 140,000 characters is cut nowhere, whatever size is encoded at a time",
    cause=HELD,
    section="3.5",
    known=DEFINITION,
    after=(*ENCODES, "stream", "special", "stream_word", "stream_special", "stream_lines", "stream_long_word"),
    seconds=30,
)
def _(case: Case) -> None:
    merges = [(WORD[:n].encode(), WORD[n : n + 1].encode()) for n in range(1, len(WORD))]
    period = f"{WORD}\n{WORD} {WORD}{OF_PIECES}"  # almost every string ends in a word or in the special token
    vocab, text = rules.vocabulary(merges, [OF_PIECES]), period * PERIODS
    strings = [text[at : at + IN_STRINGS_OF] for at in range(0, len(text), IN_STRINGS_OF)]
    right = rules.encode(period, vocab, merges, [OF_PIECES]) * PERIODS
    case.same(
        lambda: ids_from(case, case.get_tokenizer(dict(vocab), list(merges), [OF_PIECES]), iter(strings)),
        right,
        f"{period!r} {PERIODS:,} times, '{WORD}' a token, in strings of {IN_STRINGS_OF} characters",
        mistakes={
            BY_ITSELF: lambda got: len(got) > 1.5 * len(right),
            HELD: lambda got: b"".join(vocab[i] for i in got) == text.encode(),
        },
    )
