"""The assignment's checkpoint: model, optimizer and iteration in one file (chapter 6).

`run` is what the trainer uses; it keeps more, in files that need no unpickling at all.
"""

from __future__ import annotations

import io
import os
import zipfile
import zlib
from collections import OrderedDict
from pathlib import Path
from typing import IO, Any, BinaryIO

import torch
from torch import nn
from torch.optim import Optimizer

from cs336_lib.atomic import replacing
from cs336_lib.naming import check_whole
from cs336_lib.plain import number, said
from cs336_lib.textfile import foreign_kind
from cs336_lib.training.checkpoints.state_dicts import load_plain_state_dict, load_together, plain_state_dict


def save_checkpoint(
    model: nn.Module, optimizer: Optimizer, iteration: int, out: str | os.PathLike[str] | BinaryIO | IO[bytes]
) -> None:
    """Save all that training needs to go on.

    Args:
        model: its state dict is saved; a compiled model's under the names of the plain one.
        optimizer: its state dict is saved, with numpy's numbers as Python's.
        iteration: number of steps done.
        out: a path or an open binary file. At a path, an earlier file stays until the new one is complete.

    Raises:
        TypeError: something is neither a tensor nor a plain value, and `load_checkpoint` would refuse the file; or the
            iteration is no whole number. Nothing was written.
        FileNotFoundError: there is no folder for the file.

    Source: handout, problem (checkpointing).

    >>> import io
    >>> from cs336_lib.optim import AdamW
    >>> model = nn.Linear(2, 2)
    >>> file = io.BytesIO()
    >>> save_checkpoint(model, AdamW(model.parameters()), 7, file)
    >>> _ = file.seek(0)
    >>> load_checkpoint(file, model, AdamW(model.parameters()))
    7
    """
    content = {
        "model": _readable(plain_state_dict(model), "model"),
        "optimizer": _readable(optimizer.state_dict(), "optimizer"),
        "iteration": check_whole("iteration", iteration),
    }
    if not isinstance(out, str | os.PathLike):
        torch.save(content, out)
        return
    with replacing(out) as file:
        torch.save(content, file)


def load_checkpoint(
    src: str | os.PathLike[str] | BinaryIO | IO[bytes], model: nn.Module, optimizer: Optimizer | None = None
) -> int:
    """Load what `save_checkpoint` saved.

    Args:
        src: a path or an open binary file that can be read from any place, so no pipe. Only tensors and plain values
            are unpickled, never code.
        model: gets the saved weights; may be compiled or not, on any device.
        optimizer: gets the saved state; None to leave it out.

    Returns:
        The iteration that was saved.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no checkpoint of `save_checkpoint`, is damaged, or is of another model or optimizer. Model
            and optimizer are then left as they were.

    Source: handout, problem (checkpointing).
    """
    if isinstance(src, str | os.PathLike) and not Path(src).exists():
        raise FileNotFoundError(f"there is no file {str(src)!r} (looked from {Path.cwd()})")
    if isinstance(src, str | os.PathLike) and Path(src).is_file():
        with Path(src).open("rb") as file:
            head = file.read(512)
        if not head:
            raise ValueError(f"{src} is empty, and no checkpoint")
        if not head.startswith(b"PK") and (what := foreign_kind(head)):
            raise ValueError(f"{src} is {what}")
        _check_sums(Path(src))
    elif not isinstance(src, str | os.PathLike):
        _check_sums_here(src)
    try:
        content = torch.load(src, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, ValueError, OSError) as error:
        if isinstance(error, FileNotFoundError):
            raise
        why = "it ends where more should come" if isinstance(error, EOFError) else _first_line(error)
        raise ValueError(f"{_name(src)} is damaged or no checkpoint: {why}") from None
    except Exception:  # torch raises pickle.UnpicklingError for anything that would run code
        raise ValueError(
            f"{_name(src)} is no checkpoint that can be read safely: it holds something else than tensors and plain "
            "values, which save_checkpoint did not write"
        ) from None
    if not isinstance(content, dict) or not {"model", "optimizer", "iteration"} <= content.keys():
        raise ValueError(f"{_name(src)} holds no model, optimizer and iteration; save_checkpoint did not write it")
    try:
        iteration = int(content["iteration"])
    except (TypeError, ValueError, OverflowError, RuntimeError):
        raise ValueError(
            f"{_name(src)} has {content['iteration']!r:.60} for an iteration; it must be a number"
        ) from None
    if optimizer is None:
        load_plain_state_dict(model, content["model"])
    else:
        load_together(model, content["model"], optimizer, content["optimizer"])
    return iteration


def _readable(value: Any, where: str) -> Any:
    """Return what is to be saved as a safe load takes it: numpy's numbers as Python's, at any depth.

    Raises:
        TypeError: a safe load would refuse something in it; the error says what and where.
    """
    if type(value) in (torch.Tensor, nn.Parameter):
        return value
    if not isinstance(value, torch.Tensor):  # a tensor without dimensions stays one
        value = number(value)
    if type(value) in (dict, OrderedDict):
        return type(value)((number(key), _readable(inner, f"{where}.{key}")) for key, inner in value.items())
    if type(value) in (list, tuple):
        return type(value)(_readable(inner, f"{where}[{place}]") for place, inner in enumerate(value))
    if value is None or type(value) in (bool, int, float, str, bytes) or _loads(value):
        return value
    raise TypeError(
        f"{where} is {said(value)}, and load_checkpoint reads tensors and plain values alone: make it a tensor, a "
        "number, text, or a list, tuple or dict of them"
    )


def _loads(value: Any) -> bool:
    """Return whether a safe load takes a value, by trying."""
    file = io.BytesIO()
    try:
        torch.save(value, file)
        file.seek(0)
        torch.load(file, map_location="cpu", weights_only=True)
    except Exception:  # of torch, of pickle, or of the value's own methods
        return False
    return True


def _check_sums(src: Path | IO[bytes]) -> None:
    """Raise ValueError if a part of the file was altered: torch writes checksums and does not look at them."""
    if not zipfile.is_zipfile(src):
        return
    try:
        with zipfile.ZipFile(src) as archive:
            altered = archive.testzip()
    except (zipfile.BadZipFile, NotImplementedError, zlib.error, EOFError, OSError) as error:
        raise ValueError(f"{_name(src)} is damaged or no checkpoint: {error}") from None
    if altered:
        raise ValueError(f"{_name(src)} is damaged: {altered} does not match its checksum; load an earlier checkpoint")


def _check_sums_here(file: IO[bytes]) -> None:
    """Check the sums of an open file, and go back to where it was; torch says what is wrong with one that can't."""
    try:
        at = file.tell()
    except (AttributeError, OSError):
        return
    try:
        _check_sums(file)
    finally:
        file.seek(at)


def _first_line(error: Exception) -> str:
    """What an error of torch says first; the rest is advice to read files without a check."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[0].split(". In PyTorch")[0][:200] if lines else type(error).__name__


def _name(src: object) -> str:
    return str(src) if isinstance(src, str | os.PathLike) else "the file"
