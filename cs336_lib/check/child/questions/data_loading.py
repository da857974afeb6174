"""Batches of random windows."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import numpy as np
import torch

from .. import limits
from ..case import Case, UnansweredError, check
from ..show import show

FILE = 1_000_000_000  # bytes; a hole on the disk
SHIFT = "each target is the id after its input"


# What makes a batch wrong, where the batch, or the error, shows it.
TARGETS = "a window that is one too short, or targets that are the inputs themselves"
LAST = "randint(0, n - m - 1), as if its end counted: the last window is never seen, and data of one window has none"
FIRST = "the first start is left out, as by randint(1, ...)"
ONE_START = "all rows of a batch have the same start: it is drawn once, not once for each row"
APART = "only starts that are multiples of context_length are drawn, so that most windows are never seen"
NEIGHBORS = "one start is drawn for the whole batch, and the other rows follow from it"
DEVICE = "the argument device is not used: tensors stay where they were made"
BEYOND = "starts beyond the last, as by randint(0, n - m + 1): the window or its targets end after the data"
NO_TENSOR = "arrays are returned as they are; torch.from_numpy, or torch.tensor, makes tensors of them"
WITHOUT = "starts drawn without replacement (random.sample, randperm)"
EXCHANGED = "inputs and targets are exchanged: each target is the id before its input"
SEEDED = "a seed set inside of the function, so that each batch is the same"
NOT_DRAWN = "starts that are counted up and not drawn at random"
TOO_FAR = "targets are more than one id further on than their inputs"
ERRORS = {
    WITHOUT: r"larger sample than|[Ss]ample larger|without replacement",
    BEYOND: r"same shape|equal size|inhomogeneous|out of bounds|out of range|sequence of length|must match the size",
    LAST: r"high <= 0|low >= high|empty range|greater than 0|'from' to be less than 'to'",
}


def batch(
    case: Case, ids: Any, rows: int, context: int, given: str, fewer: str = ""
) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw a batch and look at its shapes; `fewer` is why there may be fewer rows."""
    shape = (rows, context)
    case.say(given, f"two tensors of shape {shape}")
    try:
        x, y = case.run_get_batch(ids, rows, context, "cpu")
    except (ValueError, RuntimeError, IndexError) as error:
        case.cause = next((cause for cause, says in ERRORS.items() if re.search(says, str(error))), "")
        if case.cause == LAST:  # data of one window has no start when either end is left out
            case.cause = seen_apart(case)
        raise
    tensors = isinstance(x, torch.Tensor) and isinstance(y, torch.Tensor)
    case.true(tensors, f"{type(x).__name__}, {type(y).__name__}", NO_TENSOR)
    short = (rows, context - 1) in (x.shape, y.shape)
    cause = TARGETS if short else fewer if x.shape[:1] < (rows,) else ""
    case.true(x.shape == shape and y.shape == shape, f"shapes {tuple(x.shape)} and {tuple(y.shape)}", cause)
    return x, y


def seen_apart(case: Case) -> str:
    """Which starts are left out, or how those of a batch belong together, as many small batches show it."""
    ids, context, last = np.arange(17), 5, 11
    try:
        drawn = [case.run_get_batch(ids, 20, context, "cpu")[0][:, 0].tolist() for _ in range(60)]
    except Exception:
        return ""
    every = {start for starts in drawn for start in starts}
    if len(every) > 1 and all(len(set(starts)) == 1 for starts in drawn):
        return ONE_START
    if len(every) > 1 and not any(start % context for start in every):
        return APART
    return why_starts(every, last) or ""


def why_starts(drawn: set[int], last: int) -> str | None:
    """Which starts were drawn that should not, or were not, in words; None when nothing usual explains it.

    >>> why_starts({0, 1}, 2) == LAST, why_starts({1, 2}, 2) == FIRST, why_starts({0, 1, 2, 3}, 2) == BEYOND
    (True, True, True)
    """
    whole = set(range(last + 1))
    return {frozenset([last]): LAST, frozenset([0]): FIRST}.get(frozenset(whole - drawn)) or (
        BEYOND if max(drawn) > last else None
    )


@check(
    "data_loading.shift",
    "targets are the inputs, one id further on",
    cause=TARGETS,
    section="6.6",
    known=SHIFT,
    official=True,
)
def _(case: Case) -> None:
    case.seed()
    ids = np.arange(100, 200)
    x, y = batch(case, ids, 5, 7, "ids 100 to 199, batch_size 5, context_length 7")
    case.expected = "neighbors in the data, y one further than x"
    cause = TARGETS if torch.equal(x, y) else EXCHANGED if torch.equal(x, y + 1) else ""
    cause = TOO_FAR if bool((y > x + 1).all()) else cause
    case.true(bool((y == x + 1).all()), f"x {show(x[0])}, y {show(y[0])}", cause)
    case.true(bool((x[:, 1:] == x[:, :-1] + 1).all()), f"x {show(x[0])}", "")


@check(
    "data_loading.int64",
    "batches are int64, whatever the file holds",
    cause="torch.from_numpy of uint16 or int32 as it is, or torch.Tensor(...), which makes float32",
    section="6.6",
    known="the type that the handout asks for",
    errors=r"TypeError: can't convert|RuntimeError: .*(index|Long|Int)",
    after=("shift",),
)
def _(case: Case) -> None:
    case.seed()
    for dtype in (np.uint16, np.int32, np.int64):
        given = f"ids of type {np.dtype(dtype).name}, batch_size 2, context_length 3"
        x, y = batch(case, np.arange(50).astype(dtype), 2, 3, given)
        case.expected = "torch.int64 twice"
        case.true(x.dtype == y.dtype == torch.int64, f"{x.dtype} and {y.dtype}")


@check(
    "data_loading.large_ids",
    "ids above 32,767 stay what they are",
    cause="uint16 read as int16: the upper half of a large vocabulary turns negative",
    section="6.6",
    known="the ids themselves",
    kind="expect",
    after=("shift", "int64"),
)
def _(case: Case) -> None:
    case.seed()
    x, _ = batch(case, np.full(20, 65_000, dtype=np.uint16), 2, 3, "ids 65,000, of type uint16")
    case.expected = "65,000 everywhere"
    case.true(bool((x.long() == 65_000).all()), x)  # in int16 itself 65,000 is -536 as well


@check(
    "data_loading.both_ends",
    "every start from the first to the last can be drawn",
    cause=LAST,
    section="6.6",
    known="n - m starts",
    official=True,
    after=("shift", "replacement"),
)
def _(case: Case) -> None:
    case.seed()
    x, _ = batch(case, np.arange(10), 400, 7, "10 ids, context_length 7, batch_size 400")
    case.expected = "starts 0, 1 and 2"
    starts = sorted(set(x[:, 0].tolist()))
    if starts != [0, 1, 2]:
        case.true(False, f"starts {starts}", seen_apart(case) or why_starts(set(starts), 2) or "")


@check(
    "data_loading.uniform",
    "all starts are equally likely",
    cause="a random walk over blocks, a shuffle of a part, or the ends drawn twice as often",
    section="6.6",
    known="10,000 draws over ten starts; a count further than six deviations from 1,000 happens once in a billion",
    after=("shift", "replacement"),
)
def _(case: Case) -> None:
    case.seed()
    x, _ = batch(case, np.arange(15), 10_000, 5, "15 ids, context_length 5, batch_size 10,000")
    case.expected = "each of ten starts about 1,000 times"
    counts = Counter(x[:, 0].tolist())
    far = {start: counts[start] for start in range(10) if abs(counts[start] - 1000) > 190}
    near = not far and sum(counts[start] for start in range(10)) == 10_000
    if not near:
        others = "" if len(counts) < 10 else None  # where some are never drawn, they are not only drawn less often
        cause = seen_apart(case) or why_starts(set(counts), 9) or others
        case.true(near, f"counts {far or dict(counts)}", cause)


@check(
    "data_loading.independent",
    "the rows of a batch are drawn independently of each other",
    cause=NEIGHBORS,
    section="6.6",
    known="2,400 batches of two rows; a count further than six deviations from its mean happens once in a billion",
    kind="expect",
    after=("draws", "shift"),
)
def _(case: Case) -> None:
    case.seed()
    starts, times = 8, 2400
    given = f"ids 0 to {starts + 4}, context_length 5, batch_size 2, {times:,} times"
    drawn = [batch(case, np.arange(starts + 5), 2, 5, given)[0][:, 0].tolist() for _ in range(times)]
    case.expected = "each two of eight starts in about as many batches as any other two"
    # How often both are equal is left open: a draw without replacement is another question.
    pairs = Counter((min(one, two), max(one, two)) for one, two in drawn if one != two)
    equal = times - pairs.total()
    most = times / starts + 6 * (times / starts) ** 0.5
    case.true(equal < most, f"{equal:,} batches with one start twice", ONE_START if equal == times else "")
    each = pairs.total() / (starts * (starts - 1) / 2)
    apart = {two - one for one, two in pairs}
    cause = NEIGHBORS if apart <= {1, starts - 1} else ""
    for one in range(starts):
        for two in range(one + 1, starts):
            near = abs(pairs[one, two] - each) < 6 * each**0.5
            case.true(near, f"starts {one} and {two} in {pairs[one, two]} batches, not in about {each:.0f}", cause)


@check(
    "data_loading.device",
    "batches are on the device that was asked for",
    cause=DEVICE,
    section="6.6",
    known="torch's device meta, which every machine has",
    after=("shift",),
)
def _(case: Case) -> None:
    batch(case, np.arange(50), 2, 3, "the device 'cpu', batch_size 2, context_length 3")
    case.say("the device 'meta', batch_size 2, context_length 3", "two tensors on the device meta")
    try:
        x, y = case.run_get_batch(np.arange(50), 2, 3, "meta")
    except Exception as error:  # what takes no such device may well take the usual ones
        raise UnansweredError(f"it takes no device 'meta': {type(error).__name__}") from None
    where = [str(one.device) if isinstance(one, torch.Tensor) else type(one).__name__ for one in (x, y)]
    case.true(where == ["meta", "meta"], f"{where[0]} and {where[1]}", DEVICE if "cpu" in where else "")


@check(
    "data_loading.replacement",
    "a batch may be larger than the number of windows",
    cause=WITHOUT,
    section="6.6",
    known=SHIFT,
    kind="expect",
    after=("shift",),
)
def _(case: Case) -> None:
    case.seed()
    x, _ = batch(case, np.arange(6), 9, 4, "6 ids, context_length 4, batch_size 9", WITHOUT)
    case.true(bool((x[:, 1:] == x[:, :-1] + 1).all()), f"x {show(x[0])}", "")


@check(
    "data_loading.one_window",
    "data of exactly one window",
    cause=LAST,
    section="6.6",
    known=SHIFT,
    after=("shift", "replacement"),
)
def _(case: Case) -> None:
    x, y = batch(case, np.arange(6), 3, 5, "6 ids, context_length 5, batch_size 3")
    case.expected = "[0, 1, 2, 3, 4] and [1, 2, 3, 4, 5]"
    case.true(x.tolist() == [[0, 1, 2, 3, 4]] * 3, x[0], "")
    case.true(y.tolist() == [[1, 2, 3, 4, 5]] * 3, f"x {show(x[0])}, y {show(y[0])}", TARGETS)


@check(
    "data_loading.draws",
    "each call draws anew",
    cause=SEEDED,
    section="6.6",
    known="two calls",
    after=("shift",),
)
def _(case: Case) -> None:
    case.seed()
    ids = np.arange(10_000)
    one, _ = batch(case, ids, 8, 5, "two calls in a row")
    two, _ = batch(case, ids, 8, 5, "two calls in a row")
    case.expected = "two different batches"
    apart = one[:, 0].diff().unique()
    counted = apart.numel() == 1 and bool(apart != 0)
    got = f"the same batch twice, starts {show(one[:, 0])}"
    case.true(not torch.equal(one, two), got, NOT_DRAWN if counted else SEEDED)


@check(
    "data_loading.seed",
    "the same seeds give the same batch",
    cause="a generator of its own, beyond the seeds: made from the system's entropy, no run is repeated",
    section="6.6",
    known="two calls after seeding random, numpy and torch",
    kind="expect",
    after=("shift",),
)
def _(case: Case) -> None:
    ids = np.arange(10_000)
    case.seed(7)
    one, _ = batch(case, ids, 8, 5, "two calls, each after the same three seeds")
    case.seed(7)
    two, _ = batch(case, ids, 8, 5, "two calls, each after the same three seeds")
    case.expected = "the same batch"
    case.true(torch.equal(one, two), "two different batches")


@check(
    "data_loading.memmap",
    "a file of 1 GB is not read for a batch",
    cause="the whole file converted (.astype, torch.tensor(dataset)) or read (.max()), or a list of all starts",
    section="6.6",
    known="the memory that the process holds: a tenth of the file at most, where a batch needs a few pages",
    kind="expect",
    hangs=True,
    errors=r"MemoryError|.*(memory|allocate)",
    after=("shift",),
)
def _(case: Case) -> None:
    path = case.folder / "ids.bin"
    with path.open("wb") as file:
        file.truncate(FILE)
    ids = np.memmap(path, dtype=np.uint16, mode="r")
    batch(case, np.arange(50), 4, 16, "ids 0 to 49, batch_size 4, context_length 16")  # what it imports, it has
    before = limits.peak_of_memory(anew=True)
    x, y = batch(case, ids, 4, 16, f"a memory-mapped file of {FILE // 2:,} ids, batch_size 4, context_length 16")
    more = limits.peak_of_memory() - before
    case.true(not x.any() and not y.any(), x)
    case.expected = "a batch, and a few pages of the file in memory"
    case.true(more < FILE // 10, f"{more / 1e6:,.0f} MB more in memory than before")


@check(
    "data_loading.whole",
    "the data is left as it was",
    cause="operations in place on the caller's array",
    section="6.6",
    known="a copy, taken before",
    kind="expect",
    after=("shift",),
)
def _(case: Case) -> None:
    ids = np.arange(30)
    x, y = batch(case, ids, 2, 3, "ids 0 to 29; then the batch is set to zero")
    x.zero_()
    y.zero_()
    case.expected = "ids 0 to 29, still"
    case.true(ids.tolist() == list(range(30)), ids)
