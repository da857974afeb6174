"""Checkpoints: what comes back, and training that goes on as if it had not stopped."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch

from ..case import Case, UnansweredError, WrongError, check
from ..show import difference, show


def _fresh(seed: int, lr: float, scale: float = 1.0) -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    """A model with a buffer, which no optimizer knows and which belongs to its state, and an optimizer."""
    torch.manual_seed(seed)
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Linear(4, 2))
    model.register_buffer("scale", torch.tensor([scale]))
    return model, torch.optim.AdamW(model.parameters(), lr=lr)


def _trained(steps: int = 2) -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    return _train(*_fresh(1, lr=0.05, scale=3.0), steps)


def _train(
    model: torch.nn.Module, optimizer: torch.optim.Optimizer, steps: int
) -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    for step in range(steps):
        optimizer.zero_grad()
        model(torch.full((2, 3), float(step + 1))).square().sum().backward()
        optimizer.step()
    return model, optimizer


def _numbers(model: torch.nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def _equal(one: torch.Tensor, two: torch.Tensor) -> bool:
    return one.dtype == two.dtype and torch.equal(one, two)


ITERATION = "the iteration is not saved, or not returned"
OFF_BY_ONE = "off by one: the iteration that was saved comes back, neither the next one nor the one before"
BUFFERS = "buffers are left out, as by named_parameters(); state_dict() has them, and strict=False hides it"
STATE = "the optimizer's state is left out, or put back into other parameters"
AS_A_PATH = "open(out), or os.path of what is a file already; the handout names IO[bytes]"
CLOSED = "the caller's file is closed; whoever has opened it goes on with it"
EVALUATES = "model.eval() behind the loading: training goes on in the mode in which the model was"
TOUCHED = "moved to another device or type, or set to zero, for saving"


def _why_other(loaded: torch.Tensor, fresh: torch.Tensor, right: torch.Tensor) -> str:
    """What makes weights differ from those that were saved, as far as they show it."""
    if _equal(loaded, fresh):
        return "the model's weights are not loaded; strict=False hides that no name fits"
    near = not difference(loaded, right, 0.02)
    return "the weights are saved or loaded in another type, which rounds them" if near else ""


def _why_iteration(got: object, right: int) -> str:
    """What makes an iteration differ from the one that was saved, as far as it shows it."""
    if got is None or (type(got) is int and got == 0):
        return ITERATION
    if isinstance(got, int) and abs(got - right) == 1:
        return OFF_BY_ONE
    return "the iteration comes back as another type than int" if str(got) in (str(right), f"tensor({right})") else ""


def _there_and_back(case: Case, out: Any, src: Any, given: str) -> None:
    case.say(given, "iteration 37; weights, buffers and optimizer as they were saved")
    model, optimizer = _trained()
    saved = _numbers(model).clone()
    case.run_save_checkpoint(model, optimizer, 37, out)
    case.true(_equal(_numbers(model), saved), "a model that was changed by saving it", TOUCHED)
    if isinstance(out, io.BytesIO):
        out.seek(0)
    fresh, fresh_optimizer = _fresh(2, lr=0.01)
    first = _numbers(fresh).clone()
    iteration = case.run_load_checkpoint(src, fresh, fresh_optimizer)
    case.true(fresh.training, "a model that was put into eval mode by loading", EVALUATES)
    same = isinstance(iteration, int) and iteration == 37
    case.true(same, f"iteration {show(iteration)}", _why_iteration(iteration, 37))
    case.true(_equal(_numbers(fresh), saved), "other weights", _why_other(_numbers(fresh), first, saved))
    (buffer,) = fresh.buffers()
    case.true(_equal(buffer, torch.tensor([3.0])), f"a buffer {show(buffer)}, where [3] was saved", BUFFERS)
    _train(model, optimizer, 3)
    _train(fresh, fresh_optimizer, 3)
    goes_on = not difference(_numbers(fresh), _numbers(model), 1e-7)
    case.true(goes_on, "training that goes on otherwise: another state", STATE)


NEEDS = ("run_save_checkpoint", "run_load_checkpoint")


@check(
    "checkpointing.path",
    "a checkpoint brings back weights, buffers, optimizer and iteration",
    cause="the optimizer's state or the buffers left out, or the iteration not returned",
    section="6.7",
    known="training that was not stopped",
    needs=NEEDS,
    official=True,
)
def _(case: Case) -> None:
    path = str(case.folder / "checkpoint.pt")
    case.cause = ""  # an error has others
    _there_and_back(case, path, path, "save to a path, load into a fresh model and optimizer, go on training")


@check(
    "checkpointing.path_object",
    "a pathlib.Path is as good as a string",
    cause="string operations on the path",
    section="6.7",
    known="training that was not stopped",
    needs=NEEDS,
    errors=r"(TypeError|AttributeError): .*Path\b",
)
def _(case: Case) -> None:
    path = Path(case.folder) / "checkpoint.pt"
    _there_and_back(case, path, path, "save to a pathlib.Path and load from it")


@check(
    "checkpointing.file",
    "an open file is as good as a path",
    cause=AS_A_PATH,
    section="6.7",
    known="training that was not stopped",
    needs=NEEDS,
)
def _(case: Case) -> None:
    buffer = io.BytesIO()
    try:
        _there_and_back(case, buffer, buffer, "save to an io.BytesIO and load from it")
    except (TypeError, AttributeError) as error:
        case.cause = AS_A_PATH if "BytesIO" in str(error) else None
        raise
    except ValueError:
        case.cause = CLOSED if buffer.closed else None
        raise


@check(
    "checkpointing.again",
    "saving again replaces the old checkpoint",
    cause="opened for appending, or a refusal because the file is there",
    section="6.7",
    known="the second iteration",
    needs=NEEDS,
    kind="expect",
    errors=r"FileExistsError|.*([Zz]ip|[Pp]ickle)",
)
def _(case: Case) -> None:
    path = str(case.folder / "checkpoint.pt")
    model, optimizer = _trained()
    case.say("save with iteration 10, then with iteration 20, to the same path", "iteration 20")
    case.run_save_checkpoint(model, optimizer, 10, path)
    case.run_save_checkpoint(model, optimizer, 20, path)
    got = case.run_load_checkpoint(path, model, optimizer)
    case.true(got == 20, f"iteration {show(got)}", None if got == 10 else _why_iteration(got, 20))


@check(
    "checkpointing.untouched",
    "saving changes neither model nor optimizer",
    cause=TOUCHED,
    section="6.7",
    known="a copy, taken before",
    needs=NEEDS,
    kind="expect",
)
def _(case: Case) -> None:
    model, optimizer = _trained()
    before = _numbers(model).clone()
    modes = [m.training for m in model.modules()]
    case.say("save, then look at the model", "weights and mode, as they were")
    case.run_save_checkpoint(model, optimizer, 1, str(case.folder / "checkpoint.pt"))
    case.true(_equal(before, _numbers(model)), "other weights, or of another type", TOUCHED)
    mode = "model.eval() for saving, and no way back"
    case.true(modes == [m.training for m in model.modules()], "another mode (train or eval)", mode)


@check(
    "checkpointing.safe",
    "whether the file can be read without running code",
    cause="objects other than tensors and plain values in the file; torch.load(weights_only=True) refuses them",
    section="6.7",
    known="reported only",
    needs=NEEDS,
    kind="choice",
)
def _(case: Case) -> None:
    path = case.folder / "checkpoint.pt"
    case.say("torch.load(path, weights_only=True)")
    model, optimizer = _trained()
    case.run_save_checkpoint(model, optimizer, 1, str(path))
    try:
        torch.load(path, weights_only=True)
    except Exception:
        case.report("only with weights_only=False")
        return
    case.report("yes")


@check(
    "checkpointing.atomic",
    "whether the old checkpoint survives a save that fails",
    cause="written in place: a crash in the middle leaves neither the old nor the new one",
    section="6.7",
    known="reported only",
    needs=NEEDS,
    kind="choice",
)
def _(case: Case) -> None:
    path = case.folder / "checkpoint.pt"
    model, optimizer = _trained()
    case.run_save_checkpoint(model, optimizer, 5, str(path))
    case.say("a save that fails in the middle, then load")

    class Bomb:
        def __reduce__(self) -> Any:
            raise RuntimeError("the disk is full")

    real = model.state_dict

    def bad(*args: Any, **kwargs: Any) -> Any:
        return {**real(*args, **kwargs), "bomb": Bomb()}

    model.state_dict = bad  # type: ignore[method-assign]
    try:
        case.run_save_checkpoint(model, optimizer, 6, str(path))
    except Exception:
        model.state_dict = real  # type: ignore[method-assign]
    else:
        raise WrongError("a save that did not notice")
    try:
        case.report("kept" if case.run_load_checkpoint(str(path), model, optimizer) == 5 else "lost")
    except (NotImplementedError, UnansweredError):
        raise  # there is nothing yet that could read it
    except Exception:
        case.report("lost")
