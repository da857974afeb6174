"""Put one check to the code under test, in a state that earlier checks have not touched, and say what came of it."""

from __future__ import annotations

import importlib
import os
import re
import signal
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from .case import CHOICE, Case, Check, TimeUpError, UnansweredError, WrongError, blame, seed_everything
from .errors import (
    NONE,
    NONE_CAME,
    NOTHING,
    REFUSED,
    SIGNATURE,
    own_of_the_checker,
    raised_by_python,
    refused,
    wrong_call,
)
from .show import printable

RIGHT, WRONG, UNANSWERED, BROKEN, CHOSEN = "right", "wrong", "unanswered", "broken", "chosen"
DOES_NOT = re.compile(r", line \d+, does not (import|run): ")
# Seconds of processor time between the strikes of a clock whose first one was lost.
STRIKES_AGAIN = 0.25


@dataclass
class Answer:
    """What came of a check.

    Attributes:
        name: the check.
        status: "right", "wrong", "unanswered", "broken" (what it needs does not import) or "chosen" (only reported).
        seconds: how long it took.
        given: the input.
        expected: the right answer.
        got: what came instead; for a choice, what was chosen; for one unanswered, why.
        crash: an exception, a hang or a dead process came instead of an answer.
        lists: expected and got, line by line, where a diff helps.
        note: something global that the code under test has changed.
        cause: what makes it wrong, where the check has seen it; "" where it is not the check's usual cause.
    """

    name: str
    status: str
    seconds: float = 0.0
    given: str = ""
    expected: str = ""
    got: str = ""
    crash: bool = False
    lists: tuple[list[str], list[str]] | None = None
    note: str = ""
    cause: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)


def put(
    check: Check,
    adapters: Mapping[str, Any],
    *,
    missing: Mapping[str, str] | None = None,
    broken: Mapping[str, str] | None = None,
    root: str = "",
    limit: bool = True,
) -> Answer:
    """Put a check and return the answer; whatever the code under test raises becomes part of it.

    Args:
        check: the question.
        adapters: name -> function of the code under test.
        missing: why an adapter is not there.
        broken: name -> the line of the adapters that was to define it, and what went wrong there.
        root: the folder of the code under test.
        limit: stop it when its processor time is used up.
    """
    if check.problem not in ("train_bpe", "tokenizer"):
        import_what_torch_imports_later()
    case = Case(adapters, Path(), missing=dict(missing or {}))
    started = time.perf_counter()
    with clean_state() as folder:
        case.folder = folder
        answer = _put(check, case, dict(broken or {}), root, limit)
        if check.kind == CHOICE and answer.status == WRONG:  # what is only reported is never wrong
            answer.status = CHOSEN
        answer.note = changed_state()
        answer.cause = case.cause if answer.status == WRONG else None
    answer.seconds = round(time.perf_counter() - started, 3)
    answer.given, answer.got = printable(case.given), printable(answer.got)
    answer.expected = printable(answer.expected or case.expected)
    return answer


def _put(check: Check, case: Case, broken: dict[str, str], root: str, limit: bool) -> Answer:
    try:
        with processor_time(check.seconds if limit else 0):
            check.ask(case)
    except WrongError as wrong:
        return Answer(
            check.name, WRONG, got=wrong.got, expected=wrong.expected or "", crash=wrong.crash, lists=wrong.lists
        )
    except UnansweredError as error:
        return Answer(check.name, BROKEN if DOES_NOT.search(str(error)) else UNANSWERED, got=str(error))
    except NotImplementedError as error:
        if raised_by_python(error):  # torch raises it from below, for types that an operation does not take
            return Answer(check.name, UNANSWERED, got=str(error) or "not written yet (NotImplementedError)")
        return _crash(check, case, error, root)
    except TimeUpError:
        return Answer(check.name, WRONG, got=f"no end within {check.seconds:g} s of processor time", crash=True)
    except (Exception, SystemExit) as error:
        name = re.search(r"name '(\w+)' is not defined", str(error)) if isinstance(error, NameError) else None
        if name and name[1] in broken:
            return Answer(check.name, BROKEN, got=broken[name[1]])
        if isinstance(error, ImportError):
            return Answer(check.name, BROKEN, got=blame(error, root), crash=True)
        return _crash(check, case, error, root)
    if check.kind == CHOICE:
        return Answer(check.name, CHOSEN, got=case.choice or "nothing to report")
    return Answer(check.name, RIGHT)


def _crash(check: Check, case: Case, error: BaseException, root: str) -> Answer:
    """The answer that an error is, with its cause where who raised it shows one."""
    got = blame(error, root)
    if own_of_the_checker(error) and re.match(NONE, got):  # the checker's line, and nothing that a reader wrote
        case.cause = NOTHING.format("a function or a method")
        return Answer(check.name, WRONG, got=NONE_CAME)
    called = {getattr(adapter, "__qualname__", type(adapter).__qualname__) for adapter in case.adapters.values()}
    methods = ("", ".__init__", ".forward", ".__call__")
    if wrong_call(error, {name + method for name in called for method in methods}):
        case.cause = SIGNATURE
    elif refused(error):
        case.cause = REFUSED
    return Answer(check.name, WRONG, got=got, crash=True)


@cache
def import_what_torch_imports_later() -> None:
    """Import what optimizers, torch.save and deterministic algorithms import on their first call.

    It takes seconds that are not the code's under test, and an import that a limit cuts off stays broken there.
    """
    with suppress(Exception):
        importlib.import_module("torch._dynamo")
        importlib.import_module("torch._inductor.config")


def changed_state() -> str:
    """Name what is no longer as `clean_state` has made it, and would surprise whoever calls next."""
    changes = []
    if torch.get_default_dtype() != torch.float32:
        changes.append(f"torch's default type is now {torch.get_default_dtype()}")
    if _default_device() != "cpu":
        changes.append(f"torch's default device is now {_default_device()}")
    if not torch.is_grad_enabled():
        changes.append("gradients are now switched off")
    return ", ".join(changes)


def _default_device() -> str:
    """The device of new tensors; "cpu" where this torch has no way to ask."""
    return str(torch.get_default_device()) if hasattr(torch, "get_default_device") else "cpu"


@contextmanager
def clean_state() -> Iterator[Path]:
    """An empty working folder and fixed seeds; everything global is put back afterward."""
    import random

    import numpy as np

    before = os.getcwd()  # noqa: PTH109 - a string to go back to
    kept = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    dtype, grad, threads = torch.get_default_dtype(), torch.is_grad_enabled(), torch.get_num_threads()
    device = _default_device()
    if device != "cpu":
        torch.set_default_device(None)
    torch.set_default_dtype(torch.float32)
    torch.set_grad_enabled(True)
    torch.set_num_threads(1)
    seed_everything(0)
    try:
        with tempfile.TemporaryDirectory(prefix="cs336-check-", ignore_cleanup_errors=True) as folder:
            os.chdir(folder)
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    yield Path(folder)
            finally:
                os.chdir(before)
    finally:
        random.setstate(kept[0])
        np.random.set_state(kept[1])  # noqa: NPY002
        torch.set_rng_state(kept[2])
        torch.set_default_dtype(dtype)
        if _default_device() != device:
            torch.set_default_device(None if device == "cpu" else device)
        torch.set_grad_enabled(grad)
        torch.set_num_threads(threads)


@contextmanager
def processor_time(seconds: float) -> Iterator[None]:
    """Raise TimeUpError in this thread when the process has used so much processor time (0: never; not on Windows).

    Python drops what is raised in a finalizer or in a callback of its garbage collector, and code under test may catch
    everything: so the clock strikes again, every ``STRIKES_AGAIN`` seconds, until the block has ended.
    """
    usable = hasattr(signal, "SIGPROF") and threading.current_thread() is threading.main_thread()
    if not seconds or not usable:
        yield
        return

    struck = False

    def stop(_: int, __: FrameType | None) -> None:
        nonlocal struck
        struck = True
        raise TimeUpError

    def tell_of_others(dropped: sys.UnraisableHookArgs) -> None:
        if not isinstance(dropped.exc_value, TimeUpError):
            hook(dropped)

    before, hook = signal.signal(signal.SIGPROF, stop), sys.unraisablehook
    sys.unraisablehook = tell_of_others
    signal.setitimer(signal.ITIMER_PROF, seconds, STRIKES_AGAIN)
    try:
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
        if struck:  # and lost, and the block ended before the next
            raise TimeUpError
    finally:  # a strike on the way out raises in the block above, and the next is far away
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
        sys.unraisablehook = hook
