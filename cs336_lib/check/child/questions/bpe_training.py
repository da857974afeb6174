"""Training the tokenizer: which pairs are merged, in which order (problem train_bpe)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

from .. import bpe_rules as rules
from ..case import Case, WrongError, check
from ..show import show

# Questions that others follow from: those of the pair that is merged, and of the counts kept from merge to merge.
TIES = ("count", "example", "tie", "tie_bytes", "tie_pairs", "tie_space")
COUNTS = (*TIES, "overlap", "overlap_two", "stale", "leading_space")
RECOUNT = "a trainer that counts every pair again after every merge"
END = "<|endoftext|>"
DRIFTED = "counts kept from merge to merge drift from the words: a pair is merged that no longer occurs"
COUNTED_FIRST = "max() without a rule for ties takes the pair that was counted first"
PASSED_OVER = (
    "a pair is passed over although it is its turn: one whose count has fallen is not put into the queue again, or its "
    "count fell too far"
)
SHARED = "incremental counts that treat each occurrence of the pair by itself, although in 'aaaa' they share letters"
TOO_FEW = "it stops too early: the merges are right, and pairs are left when it ends"
PART_ONLY = (
    "only a part of the documents is counted: chunks that overwrite each other's counts, or that are read from another "
    "place than their own"
)
CUT_ANYWHERE = "the file is cut in equal parts, wherever that is: a word that is cut becomes two"
TOO_LONG = "it goes on too long"
TOO_MANY = f"{TOO_LONG}: the merges are right, and there are more of them than vocab_size leaves room for"
ONCE = "it stops where pairs are left that occur once; they are merged as well, until vocab_size is reached"
UNCOUNTED = "special tokens are not counted: the 256 bytes and they are part of vocab_size, merges fill what is left"
ONE_OFF = "the loop ends one merge off: vocab_size counts the 256 bytes, the special tokens and the merges"
RETURNED = "(vocab: dict[int, bytes], merges: list[tuple[bytes, bytes]])"
TIES_OTHERWISE = "ties are decided in another way: of the most frequent pairs, the greater one by its bytes is merged"
TIES_DECODED = "ties are decided by the decoded tokens: bytes that are no whole character are all alike then"
FEW = 7
PARTS = range(2, 17)
SHORT = 5000  # characters of a text that is counted anew for each way to cut it
# Words of one letter, which have no pairs: behind them the word in question is in the first of PARTS equal parts.
PADDING, PADDED = "\nx" * 100, "and 100 lines of one letter"
LAST_LEFT_OUT = "what comes behind the last special token is left out: the last document"
LEFT_OVER = "counts or caches kept in a global or in a mutable default argument: there are merges of an earlier text"


def learn(case: Case, text: str | bytes, vocab_size: int, specials: Sequence[str] = ()) -> tuple[Any, list[Any]]:
    """Run the trainer on a text in a file; merges of other types than asked for are a question of their own."""
    path = case.folder / "corpus.txt"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    answer = case.run_train_bpe(str(path), vocab_size, list(specials))
    try:
        vocab, merges = answer
        if isinstance(merges, set | frozenset):
            case.cause = "a set has no order, and the order of the merges is what is learned: a list is asked for"
            raise WrongError("a set of merges", RETURNED)
        merges = [(_bytes(left), _bytes(right)) for left, right in merges]
    except (TypeError, ValueError):
        raise WrongError(
            f"{type(answer).__name__}, which is no pair of a vocabulary and a list of pairs of bytes", RETURNED
        ) from None
    return vocab, merges


def _bytes(token: Any) -> bytes:
    """A token as bytes, unless it is a number, of which bytes() would make as many zeros."""
    if isinstance(token, int):
        raise TypeError
    return bytes(token)


def fewer(got: Sequence[Any], right: Sequence[Any]) -> bool:
    """Whether a list ends before another, and is the same up to there."""
    return len(got) < len(right) and list(got) == list(right[: len(got)])


def cut_anywhere(got: Sequence[Any], text: str, specials: Sequence[str], most: int) -> bool:
    """Whether merges are those of a text that was cut in equal parts of its bytes."""
    whole = text.encode()
    for parts in PARTS:
        for step in dict.fromkeys((len(whole) / parts, len(whole) // parts)):
            ends = [0, *(int(step * n) for n in range(1, parts)), len(whole)]
            pieces = [whole[one:two].decode("utf-8", "ignore") for one, two in pairwise(ends)]
            counted = sum((rules.words_of(piece, specials) for piece in pieces), Counter())
            if list(got) == rules.train_words(counted, most):
                return True
    return False


def part_only(got: Sequence[Any], text: str, specials: Sequence[str], most: int) -> bool:
    """Whether merges are those of some of a text's documents, one behind the other, and not of all."""
    documents = [piece for piece, special in rules.stretches(text, specials) if not special]
    runs = [documents[:n] for n in range(1, len(documents))] + [documents[n:] for n in range(1, len(documents))]
    counted = (sum((rules.words_of(piece) for piece in run), Counter()) for run in runs)
    return any(list(got) == rules.train_words(words, most) for words in counted)


def merges_of(
    case: Case,
    text: str,
    vocab_size: int,
    specials: Sequence[str] = (),
    about: str = "",
    *,
    refusal: bool = False,
    mistakes: Mapping[str, Any] | None = None,
    otherwise: str = "",
    drift: bool = False,
) -> None:
    """Hold the merges of a text against the definition's.

    A vocab_size for which the text has too few pairs is lowered to what it has: only those checks whose question that
    is (with `refusal`, and "exhausted") may fail for it. With `drift`, which is for texts of letters and spaces,
    merges of pairs that are not there tell their cause. What is none of the mistakes, where some are given, and no
    matter of ties, has the cause `otherwise`.
    """
    right = rules.train(text, vocab_size, specials)
    if drift:
        known = {*text.encode(), *"".join(specials).encode()}
        mistakes = {
            LEFT_OVER: lambda got: not {byte for pair in got for token in pair for byte in token} <= known,
            DRIFTED: lambda got: rules.first_absent(text, got, specials) is not None,
            **(mistakes or {}),
        }
    own = dict(mistakes or {})
    left_out: dict[str, Any] = {
        CUT_ANYWHERE: lambda got: len(got) > 1 and cut_anywhere(got, text, specials, len(right)),
        PART_ONLY: lambda got: got and part_only(got, text, specials, len(right)),
    }
    left_out = left_out if len(text) < SHORT else {}
    number = {TOO_FEW: lambda got: got and fewer(got, right), TOO_MANY: partial(fewer, right)}
    usual: Mapping[Any, Any] = {None if mistakes is None else otherwise: lambda _: True}
    causes = {**own, **left_out, **number, **ties(text, specials), **usual}
    if not refusal:
        vocab_size = 256 + len(specials) + len(right)
    given = f"text {about or repr(text)}, vocab_size {vocab_size}, special_tokens {list(specials)}"
    case.same(lambda: learn(case, text, vocab_size, specials)[1], right, given, refusal=refusal, mistakes=causes)


def ties(text: str, specials: Sequence[str] = ()) -> dict[str, Callable[[Any], bool]]:
    """Mistakes of ties: pairs as frequent as any are merged, and not the greater ones (a few may be so by chance)."""
    words = rules.words_of(text, specials)

    def shown(pair: rules.Pair) -> tuple[str, ...]:
        return tuple(token.decode("utf-8", "replace") for token in pair)

    def kept(pair: rules.Pair) -> tuple[str, ...]:
        return tuple(token.decode("utf-8", "ignore") for token in pair)

    return {
        TIES_DECODED: lambda got: any(got == rules.train_words(words, len(got), order) for order in (shown, kept)),
        TIES_OTHERWISE: lambda got: len(got) > FEW and rules.most_frequent(text, got, specials),
    }


def kept_counts(text: str, specials: Sequence[str] = ()) -> dict[str, Callable[[Any], bool]]:
    """Mistakes of counts that are kept from merge to merge, as the merges show them."""

    def passed_over(got: Any) -> bool:
        words, ours = rules.words_of(text, specials), rules.train(text, 256 + len(specials) + len(got), specials)
        for mine, right in zip(got, ours, strict=False):
            if mine != right:
                counts = rules.pairs_of(words)
                return 0 < counts[mine] <= counts[right]
            words = rules.after_merge(words, mine)
        return False

    return {
        SHARED: lambda got: got == rules.train_by_occurrence(rules.words_of(text, specials), len(got)),
        DRIFTED: lambda got: rules.first_absent(text, got, specials) is not None,
        PASSED_OVER: passed_over,
    }


@check(
    "train_bpe.count",
    "there are as many merges as vocab_size leaves room for",
    cause=ONE_OFF,
    section="2.1",
    known="vocab_size - 256 - the number of special tokens, as long as a pair is left",
    official=True,
    after=("types",),
)
def _(case: Case) -> None:
    text, specials = f"ab{END}cd<|pad|>ab efgh ijklmnop", [END, "<|pad|>"]
    for some, room in ((specials, 5), (specials, 12), (specials[:1], 5)):
        size = 256 + len(some) + room
        case.say(f"text {text!r}, vocab_size {size}, special_tokens {some}", f"{room} merges")
        got = len(learn(case, text, size, some)[1])
        causes = {
            1: ONCE,
            2: LAST_LEFT_OUT,
            room + len(some): UNCOUNTED,
            room - 1: ONE_OFF,
            room + 1: ONE_OFF,
        }  # one pair occurs twice
        case.true(got == room, f"{got} merges", causes.get(got, "it stops too early" if got < room else TOO_LONG))


@check(
    "train_bpe.example",
    "the merges of a small text",
    cause="counts that forget how often a word occurs, or words that lose their leading space",
    section="2.1",
    known=RECOUNT,
    official=True,
    after=("count", "tie", "tie_bytes", "tie_space"),
)
def _(case: Case) -> None:
    text = "low low low low low lower lower widest widest widest newest newest newest newest newest newest"
    once = rules.train("".join(dict.fromkeys(rules.words_in(text))), 266, [END])
    mistakes = {
        "each word is counted once, however often it occurs": once,
        "words lose their leading space": lambda got: not any(b" " in left + right for left, right in got),
    }
    merges_of(case, text, 266, [END], mistakes=mistakes, drift=True)


@check(
    "train_bpe.tie",
    "among equally frequent pairs the greater one is merged",
    cause=COUNTED_FIRST,
    section="2.1",
    known=RECOUNT,
    official=True,
    after=("count",),
)
def _(case: Case) -> None:
    mistakes = {  # the four pairs of the word, each of them once: the first, the greatest, the smallest, the last
        COUNTED_FIRST: [(b"b", b"c")],
        "the smaller pair is taken, as by min(), or by a rule for ties with the wrong sign": [(b"a", b"b")],
        "the pair that was counted last is taken, as by >= in place of > in a loop": [(b"b", b"d")],
    }
    merges_of(case, f"bcabd{PADDING}", 258, [END], f"'bcabd', {PADDED}", mistakes=mistakes, drift=True)


@check(
    "train_bpe.tie_bytes",
    "ties are decided by the bytes of the tokens",
    cause="ties decided by ids: a new token has a higher id than any byte, whatever its bytes are",
    section="2.1",
    known=RECOUNT,
    official=True,
    after=("count", "tie"),
)
def _(case: Case) -> None:
    ids = "ties decided by ids: a new token has a higher id than any byte, whatever its bytes are"
    as_ids = {ids: [(b"a", b"a"), (b"aa", b"a")]}
    merges_of(case, f"caaa{PADDING}", 259, [END], f"'caaa', {PADDED}", mistakes=as_ids, drift=True)
    text = "\u00e9\u00ed"
    case.say(f"text {text!r}, vocab_size 258, special_tokens ['{END}']", show(rules.train(text, 257)))
    got = learn(case, text, 258, [END])[1]
    if got and got != rules.train(text, 257):  # pairs that are not there are of other questions
        there = set(got) <= set(rules.pairs_of(rules.words_of(text)))
        case.true(not there, got, TIES_DECODED if ties(text)[TIES_DECODED](got) else TIES_OTHERWISE)


@check(
    "train_bpe.tie_pairs",
    "ties compare the first token, then the second, not the two joined",
    cause="the joined bytes of the pairs are compared, or their lengths",
    section="2.1",
    known=RECOUNT,
    after=("count", "tie", "overlap", "stale"),
)
def _(case: Case) -> None:
    joined = "the joined bytes of the pairs are compared, or their lengths"
    as_joined = {joined: [(b"a", b"a"), (b"a", b"b")]}
    merges_of(case, f"aaab{PADDING}", 259, [END], f"'aaab', {PADDED}", mistakes=as_joined, drift=True)


@check(
    "train_bpe.tie_space",
    "ties are decided by bytes, not by printable stand-ins",
    cause="GPT-2's printable characters are compared: a space becomes a letter-like character greater than any letter",
    section="2.1",
    known=RECOUNT,
    after=("count", "tie"),
)
def _(case: Case) -> None:
    printable = (
        "GPT-2's printable characters are compared: a space becomes a letter-like character greater than any letter"
    )
    as_printed = {printable: [(b" ", b"a")]}
    merges_of(case, f" ab{PADDING}", 258, [END], f"' ab', {PADDED}", mistakes=as_printed, drift=True)


@check(
    "train_bpe.overlap",
    "repeats are replaced left to right, and their new neighbors counted",
    cause=SHARED,
    section="2.5",
    known=RECOUNT,
    after=("count", "example", "tie", "tie_bytes", "tie_space"),
)
def _(case: Case) -> None:
    text = "aaaa aaa aaaaa aa"
    merges_of(case, text, 261, [END], mistakes=kept_counts(text, [END]))


@check(
    "train_bpe.overlap_two",
    "neighbors that are both merged are counted as one new pair",
    cause="in 'abab' the neighbor of a new token is a new token too; counts kept for 'ab'+'a' or 'b'+'ab' are stale",
    section="2.5",
    known=RECOUNT,
    after=("count", "example", "tie", "tie_bytes", "tie_space", "overlap"),
)
def _(case: Case) -> None:
    text = "abababab abab ababab babab"
    merges_of(case, text, 262, [END], mistakes=kept_counts(text, [END]))


@check(
    "train_bpe.stale",
    "a pair that no longer occurs is not merged",
    cause="counts that are not lowered where a merge has taken a neighbor away",
    section="2.4",
    known=RECOUNT,
    after=("count", "example", "tie", "tie_bytes", "tie_space", "overlap"),
)
def _(case: Case) -> None:
    text = "bac bac bac dd"
    merges_of(case, text, 262, [END], mistakes=kept_counts(text, [END]))


@check(
    "train_bpe.many",
    "a hundred merges of a text with many repeats",
    cause="counts kept from merge to merge that drift from the words: in long runs a small slip becomes a wrong merge",
    section="2.4",
    known=RECOUNT,
    seconds=20,
    after=(*COUNTS, "punctuation", "chunks", "chunks_runs"),
)
def _(case: Case) -> None:
    merges_of(case, rules.babble(3, 900, "aab"), 357, [END], "of 900 invented words of the letters a and b", drift=True)


@check(
    "train_bpe.more",
    "a thousand merges of 60,000 words",
    cause="counts kept from merge to merge that drift from the words, seen only in long runs",
    section="2.4",
    known=RECOUNT,
    slow=True,
    seconds=120,
    after=(*TIES, "many", "overlap", "overlap_two", "stale", "punctuation", "chunks", "chunks_runs"),
)
def _(case: Case) -> None:
    merges_of(case, rules.babble(4, 60_000, "aeilnst"), 1257, [END], "of 60,000 invented words")


@check(
    "train_bpe.leading_space",
    "each word keeps the space before it, also the last of a text",
    cause="the text is cut into chunks after a space, which takes it from the word that follows",
    section="2.6",
    known=RECOUNT,
    after=TIES,
)
def _(case: Case) -> None:
    merges_of(case, "x yz yz yz yz", 260, [END])
