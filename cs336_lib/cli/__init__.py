"""The command line: `cs336 COMMAND ...`, one small module a command.

Importing this imports neither torch nor numba; a command imports what it needs when it runs.

Exit codes: 0 done; 1 something failed on the way (disk, network); 2 bad input, nothing was done; 3 the run diverged;
130 stopped by Ctrl-C.
"""

import os
import sys
import warnings
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path

from cs336_lib.cli.interrupts import Interrupts, is_interrupt

OK, FAILED, BAD_INPUT, DIVERGED, STOPPED = 0, 1, 2, 3, 130

COMMANDS = {
    "data": "list, get and look at texts to train on",
    "train-tokenizer": "train a byte-pair tokenizer on a text",
    "encode": "turn a text into a file of token ids",
    "train": "train a model; writes runs/NAME",
    "resume": "resume a run that was stopped",
    "eval": "measure a run's model on its validation set, or on a text",
    "generate": "write text with a run's model, or talk to it",
    "runs": "table and plot of run folders",
    "experiment": "run a comparison: learning rates, batch sizes, ablations",
    "records": "file what a GPU run brought back",
    "account": "parameters, FLOPs, memory and time of a model",
    "export": "write a run's model for transformers (Llama)",
    "check": "hold your own solutions against the definitions",
}

HELP = """usage: cs336 COMMAND ...

A language model from scratch, from bytes to text.

{commands}

In three lines, on any laptop, without a network:

  cs336 train tales-1m          # built-in stories, some minutes
  cs336 runs                    # how it went
  cs336 generate runs/tales-1m --prompt "Once upon a time"

Options:

  cs336 COMMAND --help          # what a command does, and its options
  cs336 train PRESET --help     # those of train, with a preset's values
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code; an error becomes one line on stderr (a traceback if CS336_DEBUG is set).

    Args:
        arguments: those of the process when None.

    >>> main(["trian"])
    2
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # the caller has closed it
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115 - as long as the process
    for stream in (sys.stdout, sys.stderr):
        # Not every terminal's encoding has every letter that a model writes.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    try:
        code = _answered(list(sys.argv[1:] if arguments is None else arguments))
    except BrokenPipeError:  # `cs336 runs | head`
        _let_nobody_read()
        return OK
    try:
        sys.stdout.flush()  # when Python ends it would be too late to say that it can't be written
    except OSError as error:
        _let_nobody_read()
        return OK if isinstance(error, BrokenPipeError) else _fail(_words(error), FAILED)
    return code


def _let_nobody_read() -> None:
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _answered(given: list[str]) -> int:
    if not given or given[0] in ("-h", "--help", "help"):
        from cs336_lib.lines import laid_out

        print(laid_out(HELP.format(commands="\n".join(f"  {name:<16} {about}" for name, about in COMMANDS.items()))))
        return OK
    if given[0] == "--version":
        import cs336_lib

        print(cs336_lib.__version__)
        return OK
    if given[0] not in COMMANDS:
        from difflib import get_close_matches

        near = get_close_matches(given[0], COMMANDS, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        return _fail(f"unknown command {given[0]!r}; {hint}commands: {', '.join(COMMANDS)}", BAD_INPUT)
    shown, warnings.formatwarning = warnings.formatwarning, _warning
    try:
        with Interrupts(STOPPED) as interrupts:
            with interrupts.held_back():
                module = import_module(f"cs336_lib.cli.{given[0].replace('-', '_')}_command")
            return int(module.run(given[1:]))
    except SystemExit as done:  # tyro has explained what was wrong
        return done.code if isinstance(done.code, int) else BAD_INPUT
    except KeyboardInterrupt as error:
        return _fail(str(error) or "stopped", STOPPED)
    except BrokenPipeError:
        raise
    except Exception as error:
        if is_interrupt(error):
            return _fail("stopped", STOPPED)
        if os.environ.get("CS336_DEBUG"):
            raise
        if getattr(error, "__notes__", None) == ["rank 0 tells this error"]:
            return BAD_INPUT if isinstance(error, ValueError | FileNotFoundError | FileExistsError) else FAILED
        if isinstance(error, ValueError | TypeError | FileNotFoundError | FileExistsError | IsADirectoryError):
            return _fail(_words(error), BAD_INPUT)
        known = isinstance(error, OSError | RuntimeError | ImportError)
        return _fail(_words(error) if known else f"{type(error).__name__}: {error} (CS336_DEBUG=1 shows where)", FAILED)
    finally:
        warnings.formatwarning = shown


def _warning(message: object, *where: object, **more: object) -> str:
    """A warning as one line, without the line of source that Python shows."""
    return f"warning: {message}\n"


def _words(error: Exception) -> str:
    """What an error says, without the number that Python puts before the system's."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)


def _fail(message: str, code: int) -> int:
    print("error: " + " ".join(message.split()), file=sys.stderr)
    return code
