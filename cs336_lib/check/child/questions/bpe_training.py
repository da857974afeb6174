"""Training the tokenizer: which pairs are merged, in which order (problem train_bpe)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from .. import bpe_rules as rules
from ..case import Case, WrongError, check

RECOUNT = "a trainer that counts every pair again after every merge"
END = "<|endoftext|>"
DRIFTED = "counts kept from merge to merge drift from the words: a pair is merged that no longer occurs"
COUNTED_FIRST = "max() without a rule for ties takes the pair that was counted first"
LEFT_OVER = "counts or caches kept in a global or in a mutable default argument: there are merges of an earlier text"


def learn(case: Case, text: str | bytes, vocab_size: int, specials: Sequence[str] = ()) -> tuple[Any, list[Any]]:
    """Run the trainer on a text in a file."""
    path = case.folder / "corpus.txt"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    answer = case.run_train_bpe(str(path), vocab_size, list(specials))
    try:
        vocab, merges = answer
        merges = [(bytes(left), bytes(right)) for left, right in merges]
    except (TypeError, ValueError):
        raise WrongError(
            f"{type(answer).__name__}, which is no pair of a vocabulary and a list of pairs of bytes",
            "(vocab: dict[int, bytes], merges: list[tuple[bytes, bytes]])",
        ) from None
    return vocab, merges


def merges_of(
    case: Case,
    text: str,
    vocab_size: int,
    specials: Sequence[str] = (),
    about: str = "",
    *,
    refusal: bool = False,
    mistakes: Mapping[str, Any] | None = None,
    drift: bool = False,
) -> None:
    """Hold the merges of a text against the definition's.

    A vocab_size for which the text has too few pairs is lowered to what it has: only those checks whose question that
    is (with `refusal`, and "exhausted") may fail for it. With `drift`, which is for texts of letters and spaces,
    merges of pairs that are not there tell their cause.
    """
    right = rules.train(text, vocab_size, specials)
    if drift:
        known = {*text.encode(), *"".join(specials).encode()}
        mistakes = {
            LEFT_OVER: lambda got: not {byte for pair in got for token in pair for byte in token} <= known,
            DRIFTED: lambda got: rules.first_absent(text, got, specials) is not None,
            **(mistakes or {}),
        }
    if not refusal:
        vocab_size = 256 + len(specials) + len(right)
    given = f"text {about or repr(text)}, vocab_size {vocab_size}, special_tokens {list(specials)}"
    case.same(lambda: learn(case, text, vocab_size, specials)[1], right, given, refusal=refusal, mistakes=mistakes)


@check(
    "train_bpe.example",
    "the merges of a small text",
    cause="counts that forget how often a word occurs, or words that lose their leading space",
    section="2.1",
    known=RECOUNT,
    official=True,
    after=("tie", "tie_bytes", "tie_space"),
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
)
def _(case: Case) -> None:
    mistakes = {  # the four pairs of the word, each of them once: the first, the greatest, the smallest, the last
        COUNTED_FIRST: [(b"b", b"c")],
        "the smaller pair is taken, as by min(), or by a rule for ties with the wrong sign": [(b"a", b"b")],
        "the pair that was counted last is taken, as by >= in place of > in a loop": [(b"b", b"d")],
    }
    merges_of(case, "bcabd", 258, [END], mistakes=mistakes, drift=True)


@check(
    "train_bpe.tie_bytes",
    "ties are decided by the bytes of the tokens",
    cause="ties decided by ids: a new token has a higher id than any byte, whatever its bytes are",
    section="2.1",
    known=RECOUNT,
    official=True,
    after=("tie",),
)
def _(case: Case) -> None:
    ids = "ties decided by ids: a new token has a higher id than any byte, whatever its bytes are"
    merges_of(case, "caaa", 259, [END], mistakes={ids: [(b"a", b"a"), (b"aa", b"a")]}, drift=True)


@check(
    "train_bpe.tie_pairs",
    "ties compare the first token, then the second, not the two joined",
    cause="the joined bytes of the pairs are compared, or their lengths",
    section="2.1",
    known=RECOUNT,
    after=("tie", "overlap", "stale"),
)
def _(case: Case) -> None:
    joined = "the joined bytes of the pairs are compared, or their lengths"
    merges_of(case, "aaab", 259, [END], mistakes={joined: [(b"a", b"a"), (b"a", b"b")]}, drift=True)


@check(
    "train_bpe.tie_space",
    "ties are decided by bytes, not by printable stand-ins",
    cause="GPT-2's printable characters are compared: a space becomes a letter-like character greater than any letter",
    section="2.1",
    known=RECOUNT,
    after=("tie",),
)
def _(case: Case) -> None:
    printable = (
        "GPT-2's printable characters are compared: a space becomes a letter-like character greater than any letter"
    )
    merges_of(case, " ab", 258, [END], mistakes={printable: [(b" ", b"a")]}, drift=True)


@check(
    "train_bpe.overlap",
    "repeats are replaced left to right, and their new neighbors counted",
    cause="incremental counts that treat each occurrence of the pair by itself, although in 'aaaa' they share letters",
    section="2.5",
    known=RECOUNT,
    after=("example", "tie", "tie_bytes", "tie_space"),
)
def _(case: Case) -> None:
    merges_of(case, "aaaa aaa aaaaa aa", 261, [END])


@check(
    "train_bpe.overlap_two",
    "neighbors that are both merged are counted as one new pair",
    cause="in 'abab' the neighbor of a new token is a new token too; counts kept for 'ab'+'a' or 'b'+'ab' are stale",
    section="2.5",
    known=RECOUNT,
    after=("example", "tie", "tie_bytes", "tie_space", "overlap"),
)
def _(case: Case) -> None:
    merges_of(case, "abababab abab ababab babab", 262, [END])


@check(
    "train_bpe.stale",
    "a pair that no longer occurs is not merged",
    cause="counts that are not lowered where a merge has taken a neighbor away",
    section="2.4",
    known=RECOUNT,
    after=("example", "tie", "tie_bytes", "tie_space", "overlap"),
)
def _(case: Case) -> None:
    merges_of(case, "bac bac bac dd", 262, [END])


@check(
    "train_bpe.many",
    "a hundred merges of a text with many repeats",
    cause="counts kept from merge to merge that drift from the words: in long runs a small slip becomes a wrong merge",
    section="2.4",
    known=RECOUNT,
    seconds=20,
    after=(
        "example",
        "tie",
        "tie_bytes",
        "tie_pairs",
        "tie_space",
        "overlap",
        "overlap_two",
        "stale",
        "punctuation",
        "leading_space",
        "chunks",
        "chunks_runs",
    ),
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
    after=(
        "example",
        "tie",
        "tie_bytes",
        "tie_pairs",
        "tie_space",
        "many",
        "overlap",
        "overlap_two",
        "stale",
        "punctuation",
        "chunks",
        "chunks_runs",
    ),
)
def _(case: Case) -> None:
    merges_of(case, rules.babble(4, 60_000, "aeilnst"), 1257, [END], "of 60,000 invented words")


@check(
    "train_bpe.leading_space",
    "each word keeps the space before it, also the last of a text",
    cause="the text is cut into chunks after a space, which takes it from the word that follows",
    section="2.6",
    known=RECOUNT,
    after=("example", "tie", "tie_bytes", "tie_pairs", "tie_space"),
)
def _(case: Case) -> None:
    merges_of(case, "x yz yz yz yz", 260, [END])


@check(
    "train_bpe.chunks",
    "cutting a file into chunks changes nothing",
    cause="chunks that end inside a word, between spaces, or inside a special token",
    section="2.6",
    known=RECOUNT,
    seconds=60,
    after=("example", "tie", "tie_bytes", "tie_pairs", "tie_space", "leading_space", "no_specials"),
)
def _(case: Case) -> None:
    # Each letter pair of the only word is as frequent as any other, so that a single word cut in two changes the order.
    word = "abcdefghijkl"
    text = f"\n{END}\n".join(" ".join([word] * (1 + number % 60)) for number in range(400))
    right = rules.train(f"{word} {word}", 269, [END])
    given = f"{text.count(word):,} times the word '{word}' in 400 documents, vocab_size 269, special_tokens ['{END}']"
    case.same(lambda: learn(case, text, 269, [END])[1], right, given)


RUN = 66
SMALL, LARGE = 1_100_000, 17_000_000


def in_runs(space: str, characters: int) -> str:
    """A text of two letters between runs of one white space character, in which a single cut changes the merges.

    A run of 66 is a pre-token of 65, and the last character by itself or before the letters. The 65 become one token
    with a merge that one run more needs than there are pairs of letters: cut one of them, and the letters go first.
    """
    run = space * RUN
    return f"c{(run + 'ab') * (characters // (RUN + 2))}{run}d"


def cut_nowhere(case: Case, characters: int, most: str) -> None:
    """Train on runs of newlines, and on runs of spaces, that any cut within a file changes."""
    for space, name, size in (("\n", "newlines", 8), (" ", "spaces", 9)):
        right = rules.train(in_runs(space, 500), 257 + size, [END])
        given = (
            f"{characters:,} characters: 'ab' again and again, {RUN} {name} between (chunks of up to {most} show), "
            f"vocab_size {257 + size}, special_tokens ['{END}']"
        )
        text = in_runs(space, characters)
        case.same(partial(_merges, case, text, 257 + size), right, given)


def _merges(case: Case, text: str, vocab_size: int) -> list[Any]:
    return learn(case, text, vocab_size, [END])[1]


IN_A_RUN = (
    "chunks that end within a run of white space, or behind it: the last newline, or space, before a letter is another "
    "pre-token than the rest of its run, or belongs to the word"
)
BEFORE_RUNS = (
    "example",
    "tie",
    "tie_bytes",
    "tie_pairs",
    "tie_space",
    "overlap",
    "overlap_two",
    "stale",
    "leading_space",
    "punctuation",
    "no_specials",
    "chunks",
)


@check(
    "train_bpe.chunks_runs",
    "cutting a file of 1 MB anywhere, also within newlines or spaces, changes nothing",
    cause=IN_A_RUN,
    section="2.6",
    known=RECOUNT,
    seconds=60,
    after=BEFORE_RUNS,
)
def _(case: Case) -> None:
    cut_nowhere(case, SMALL, "1 MiB")


@check(
    "train_bpe.chunks_large",
    "cutting a file of 17 MB anywhere, also within newlines or spaces, changes nothing",
    cause=IN_A_RUN,
    section="2.6",
    known=RECOUNT,
    slow=True,
    seconds=240,
    after=(*BEFORE_RUNS, "chunks_runs"),
)
def _(case: Case) -> None:
    cut_nowhere(case, LARGE, "16 MiB")
