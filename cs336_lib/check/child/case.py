"""A check, the case it puts to the code under test, and what can come of it.

A check is data - a name, the official problem, who says so, the usual cause, the section that explains it - and one
short function. The function gets a `Case`, through which it reaches the adapters and says what it expects.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .errors import HERE, NONE_CAME, NOTHING, file_of, frames, is_library
from .show import difference, show

# Official problem -> the adapters that answer for it, in the order of the handout.
PROBLEMS: dict[str, tuple[str, ...]] = {
    "train_bpe": ("run_train_bpe",),
    "tokenizer": ("get_tokenizer",),
    "linear": ("run_linear",),
    "embedding": ("run_embedding",),
    "rmsnorm": ("run_rmsnorm",),
    "positionwise_feedforward": ("run_swiglu", "run_silu"),
    "rope": ("run_rope",),
    "softmax": ("run_softmax",),
    "scaled_dot_product_attention": ("run_scaled_dot_product_attention",),
    "multihead_self_attention": ("run_multihead_self_attention", "run_multihead_self_attention_with_rope"),
    "transformer_block": ("run_transformer_block",),
    "transformer_lm": ("run_transformer_lm",),
    "cross_entropy": ("run_cross_entropy",),
    "adamw": ("get_adamw_cls",),
    "learning_rate_schedule": ("run_get_lr_cosine_schedule",),
    "gradient_clipping": ("run_gradient_clipping",),
    "data_loading": ("run_get_batch",),
    "checkpointing": ("run_save_checkpoint", "run_load_checkpoint"),
}
ADAPTERS = tuple(name for names in PROBLEMS.values() for name in names)
# Problems that the official suite has no adapter for; asked in the chapters, of a function that the reader names.
NOTEBOOK_PROBLEMS: dict[str, tuple[str, ...]] = {
    "decode_utf8": ("decode_utf8",),
    "parameter_count": ("parameter_count",),
    "forward_flops": ("forward_flops",),
    "top_p": ("top_p",),
}

# Adapters that need not return anything, or one number, whose question says what is missing.
MAY_GIVE_NOTHING = ("run_gradient_clipping", "run_save_checkpoint", "run_load_checkpoint")

HANDOUT, EXPECT, CHOICE = "handout", "expect", "choice"
KINDS = {
    HANDOUT: "the handout says so",
    EXPECT: "a user may expect it",
    CHOICE: "a choice, reported only",
}


# Messages of Python's own ValueErrors, which are no refusal that somebody meant.
ACCIDENTS = ("max()", "min()", "not enough values", "empty range", "zero-size", "invalid literal", "cannot mmap")


@dataclass(frozen=True)
class Check:
    """One question to the code under test.

    Attributes:
        name: "problem.what".
        title: what holds when the answer is right, in a few words.
        cause: what usually makes it wrong, one sentence.
        section: the section of the book that explains it.
        known: how the right value is known.
        ask: puts the question.
        kind: who says so: "handout", "expect" or "choice".
        kind_2025: the kind under the edition of 2025, where it differs.
        official: the official tests look at this as well.
        slow: asked only with --slow.
        hangs: the cause is also why no answer comes in time.
        errors: what an exception that comes of the cause looks like, a pattern of "Type: message"; "" where none does.
        seconds: processor time allowed.
        needs: the adapters it calls; those of the problem's first when empty.
        after: checks that ask for a part of this: where one of them fails, this may fail for the same reason.
    """

    name: str
    title: str
    cause: str
    section: str
    known: str
    ask: Callable[[Case], None]
    kind: str = HANDOUT
    kind_2025: str = ""
    official: bool = False
    slow: bool = False
    hangs: bool = False
    errors: str = ""
    seconds: float = 10
    needs: tuple[str, ...] = ()
    after: tuple[str, ...] = ()

    @property
    def problem(self) -> str:
        """The official problem."""
        return self.name.split(".")[0]

    def kind_in(self, edition: str) -> str:
        """Who says so in an edition."""
        return self.kind_2025 if edition == "2025" and self.kind_2025 else self.kind


CHECKS: dict[str, Check] = {}


def check(
    name: str,
    title: str,
    *,
    cause: str,
    section: str,
    known: str,
    needs: Sequence[str] = (),
    after: Sequence[str] = (),
    **more: Any,
) -> Callable[[Callable[[Case], None]], Callable[[Case], None]]:
    """Register the function below as a check; names in `after` without a problem are of the same one."""

    def register(ask: Callable[[Case], None]) -> Callable[[Case], None]:
        problem = name.split(".")[0]
        adapters = tuple(needs) or (PROBLEMS | NOTEBOOK_PROBLEMS)[problem][:1]
        if name in CHECKS and CHECKS[name].ask.__code__.co_filename != ask.__code__.co_filename:
            raise ValueError(f"two checks are called {name!r}")
        earlier = tuple(other if "." in other else f"{problem}.{other}" for other in after)
        CHECKS[name] = Check(name, title, cause, section, known, ask, needs=adapters, after=earlier, **more)
        return ask

    return register


class WrongError(Exception):
    """The answer is wrong.

    Args:
        got: what came, as text.
        expected: what should have come, as text; what the case said when None.
        crash: an exception came instead of an answer.
        lists: expected and got as lists of lines, where a diff helps.
    """

    def __init__(
        self,
        got: str,
        expected: str | None = None,
        *,
        crash: bool = False,
        lists: tuple[list[str], list[str]] | None = None,
    ) -> None:
        super().__init__(got)
        self.got, self.expected, self.crash, self.lists = got, expected, crash, lists


class UnansweredError(Exception):
    """There is nothing to ask: no such adapter, or it is not written yet."""


class TimeUpError(BaseException):
    """The processor time of a check is used up; no `except Exception` of the code under test swallows it."""


@dataclass
class Case:
    """What a check function works with.

    Attributes:
        adapters: name -> function of the code under test.
        folder: an empty folder for files.
        given: the input, as a person would write it.
        expected: what should come, as text.
        choice: what a check that only reports has found.
        cause: what makes this answer wrong, where the check has seen it; "" where it has seen that its usual cause does
            not, and that is all it knows.
        missing: why an adapter is not there.
    """

    adapters: Mapping[str, Any]
    folder: Path
    given: str = ""
    expected: str = ""
    choice: str = ""
    cause: str | None = None
    missing: dict[str, str] = field(default_factory=dict)

    def __getattr__(self, name: str) -> Any:
        """Return an adapter of the code under test; where it is to give something back, None is wrong."""
        if name.startswith("__"):
            raise AttributeError(name)
        if name not in self.adapters:
            raise UnansweredError(self.missing.get(name) or f"there is no {name}")
        adapter = self.adapters[name]
        if name in MAY_GIVE_NOTHING:
            return adapter

        def answer(*given: Any, **more: Any) -> Any:
            got = adapter(*given, **more)
            if got is None:
                self.cause = NOTHING.format(name)
                raise WrongError(NONE_CAME)
            return got

        return answer

    def say(self, given: str, expected: str = "") -> None:
        """Say what is asked, before it is asked, so that a crash can be reported with its input."""
        self.given, self.expected = given, expected

    def same(
        self,
        ask: Callable[[], Any],
        expected: Any,
        given: str,
        *,
        tolerance: float = 1e-4,
        refusal: bool = False,
        mistakes: Mapping[str, Any] | None = None,
    ) -> Any:
        """Ask, and compare: shapes and values of numbers, everything else exactly.

        Args:
            ask: calls the code under test.
            expected: the right answer.
            given: the input, as text.
            tolerance: absolute and relative, of numbers with fractions.
            refusal: a ValueError that the code under test raises on purpose is an answer as well.
            mistakes: cause -> the wrong answer that comes of it, or a test of what came; if it is none of them, no
                cause is named. The check's usual cause is, where there are none.

        Returns:
            What came.
        """
        self.say(given, show(expected, typed=False))
        try:
            got = ask()
        except ValueError as error:
            if refusal and not str(error).startswith(ACCIDENTS):
                return None
            raise
        found = difference(got, expected, tolerance)
        if found and got is None:
            self.cause = self.cause or NOTHING.format("a function or a method")
            raise WrongError(NONE_CAME)
        if found:
            if mistakes is not None:
                causes = (cause for cause, wrong in mistakes.items() if _fits(got, wrong, tolerance))
                self.cause = self.cause or next(causes, "")
            lists = None
            if isinstance(expected, list) and len(expected) > 3 and isinstance(got, list):
                lists = [show(one, typed=False) for one in expected], [show(one, typed=False) for one in got]
            raise WrongError(found, lists=lists)
        return got

    def true(self, condition: Any, got: object, cause: str | None = None) -> None:
        """Complain, with what came and with its cause if that was seen, unless the condition holds."""
        if not condition:
            self.cause = cause if cause is not None else self.cause
            raise WrongError(got if isinstance(got, str) else show(got))

    def report(self, found: str) -> None:
        """Say which choice was made."""
        self.choice = found

    def attempt(self, ask: Callable[[], Any]) -> str:
        """Describe what comes, or the exception that comes, for checks that only report."""
        try:
            answer = ask()
            return answer if isinstance(answer, str) else show(answer)
        except (UnansweredError, NotImplementedError, NameError, ImportError):
            raise  # there is nothing yet that could be chosen
        except Exception as error:
            return f"raises {type(error).__name__}"

    def seed(self, number: int = 0) -> None:
        """Seed all three sources of randomness."""
        seed_everything(number)


def _fits(got: Any, wrong: Any, tolerance: float) -> bool:
    try:
        return bool(wrong(got)) if callable(wrong) else not difference(got, wrong, tolerance)
    except Exception:  # of another type or shape, so it is something else
        return False


def has_nan(got: Any) -> bool:
    """Whether there is a NaN in an answer.

    >>> has_nan(torch.tensor([1.0, float("nan")])), has_nan(2.0)
    (True, False)
    """
    return bool(torch.as_tensor(got).isnan().any())


def seed_everything(number: int) -> None:
    """Seed Python's, numpy's and torch's generators."""
    import random

    random.seed(number)
    np.random.seed(number)  # noqa: NPY002 - this is what the code under test may draw from
    torch.manual_seed(number)


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 4] + " ..."


def blame(error: BaseException, root: str = "") -> str:
    """Describe an exception and the line of the code under test that raised it, one line of text.

    Args:
        error: what was caught.
        root: the folder of the code under test; frames in it are preferred.
    """
    text = " ".join(str(error).split())
    text = f"{type(error).__name__}: {_cut(text, 300)}" if text else type(error).__name__
    missing = error.filename if isinstance(error, FileNotFoundError) else None
    if isinstance(missing, str) and not Path(missing).is_absolute():
        text += "; the check runs in an empty folder, so files need a place that does not depend on it"
    ours = found = None
    told = error.__cause__ if "generator raised" in text and error.__cause__ else error
    for step in frames(told):  # an endless recursion has millions
        file, line = file_of(step), step.tb_lineno
        if file.startswith(HERE) or is_library(file):
            continue
        if root and file.startswith(root) and "site-packages" not in file:
            ours = file, line
        if "<" not in file:
            found = file, line
    chosen = ours or found
    if chosen is None:
        return text
    file, line = chosen
    if "ipykernel_" in file:
        return f"{text} (line {line} of the cell)"
    try:
        name = str(Path(file).relative_to(root)) if ours else Path(file).name
    except ValueError:
        name = Path(file).name
    return f"{text} ({name}, line {line})"
