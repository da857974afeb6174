"""`cs336 train PRESET [--option value ...]`."""

from __future__ import annotations

import io
import os
import re
import shlex
import sys
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from cs336_lib.cli.arguments import misread, options_of, with_texts
from cs336_lib.cli.parsing import HERE, printed, words_of
from cs336_lib.model.config import ModelConfig
from cs336_lib.naming import did_you_mean
from cs336_lib.training.config import TrainConfig

FILE = "FILE.json"


@dataclass(frozen=True)
class Train:
    """Train a model.

    Attributes:
        config: the run.
        runs: folder that the run's own folder is made in.
        quiet: no progress bar.
        parallel: how the processes that torchrun started share the work: "ddp" (each has the whole model) or "fsdp"
            (each has a part).
        timeout: seconds that the processes wait for each other before one counts as lost.
    """

    config: Annotated[TrainConfig, tyro.conf.arg(name="")]
    runs: Path = Path("runs")
    quiet: bool = False
    parallel: Literal["ddp", "fsdp"] | None = None
    timeout: float = 600.0


ABOUT = """Train a model and keep a record of it in runs/NAME.

Choose a preset (or a config.json of an earlier run), and change what you like.
cs336 train PRESET --help lists all options with the preset's values.

Examples:
  cs336 train tales-1m --help
  cs336 train tales-1m
  cs336 train tales-1m --name wide --model.d-model 256 --steps 2000
  cs336 train tinystories-17m --data my_text.txt --batch-size 64
  cs336 train runs/tales-1m/config.json --name again --seed 1

With several processes, and a restart from the last checkpoint when one dies:

  torchrun --nproc-per-node=2 --max-restarts=3 -m cs336_lib \\
    train tales-1m --parallel ddp

Ctrl-C saves a checkpoint; cs336 resume runs/NAME goes on. Exit code 3 says that the loss diverged.
"""


def run(arguments: Sequence[str]) -> int:
    """Run the command."""
    asked = parse(arguments)
    from cs336_lib.cli.outcome import report
    from cs336_lib.cli.outputs import check_folder
    from cs336_lib.generation import training_sample
    from cs336_lib.training.corpus import absolute_places
    from cs336_lib.training.ranks import started
    from cs336_lib.training.setup import started_anew
    from cs336_lib.training.trainer import Trainer

    config, folder = absolute_places(asked.config), asked.runs / asked.config.name
    check_folder(folder, "--runs")
    with started(asked.parallel, config.device, asked.timeout) as ranks:
        options: Any = {
            "write_sample": training_sample,
            "progress": not asked.quiet,
            "parallel": asked.parallel,
            "ranks": ranks,
        }
        again = ranks.share(lambda: started_anew(folder, config))
        trainer = Trainer.resume(folder, **options) if again else Trainer(config, folder, **options)
        began = trainer.step
        return report(trainer.fit(), ranks.rank, began)


def parse(arguments: Sequence[str]) -> Train:
    """Return what was asked for.

    >>> parse(["tales-1m", "--steps", "700", "--model.num-layers", "2"]).config.model.num_layers
    2
    """
    given = with_texts(arguments, TrainConfig, "--sample-prompt")
    presets = {name: (_about(config), Train(config)) for name, config in TrainConfig.presets().items()}
    _check_words(given, presets)
    if given and given[0].endswith(".json"):
        config = TrainConfig.from_file(given[0])
        presets[FILE] = (f"as in {given[0]}", Train(config))
        given[0] = FILE
    help_of = "cs336 train --help", f"cs336 train {preset_of(arguments, presets)} --help"
    full_help = help_of if given and not given[0].startswith("-") else None
    options = options_of(Train) | options_of(TrainConfig) | options_of(ModelConfig, "model.")
    with _plain_errors(), printed(ABOUT, full_help, misread(given, options)):
        asked: Train = tyro.extras.overridable_config_cli(
            presets, prog="cs336 train", description=HERE, args=given, config=(tyro.conf.AvoidSubcommands,)
        )
    return replace(asked, config=_with_default_width(asked.config, given))


def _check_words(given: Sequence[str], presets: Collection[str]) -> None:
    """Raise ValueError for a preset or an option that there is not; the parser's own words name commands there are not.

    >>> _check_words(["tales-1m", "--stepz", "3"], ["tales-1m"])
    Traceback (most recent call last):
    ValueError: unknown option --stepz (did you mean '--steps'?); cs336 train tales-1m --help lists all
    """
    help_of = f"cs336 train {preset_of(given, presets)} --help"
    known = {f"--{name.replace('_', '-')}" for name in ("help", *_names())}
    for word in given:
        option = word.split("=")[0].replace("_", "-")
        if os.path.lexists(word):
            continue  # a file, whatever its name looks like
        if option.startswith("--") and option not in known and option.replace("--no-", "--", 1) not in known:
            raise ValueError(f"unknown option {option}{did_you_mean(option, known)}; {help_of} lists all")
    if given and not given[0].startswith("-") and given[0] not in presets and not given[0].endswith(".json"):
        allowed = f"{', '.join(presets)}, or the config.json of an earlier run"
        raise ValueError(f"unknown preset {given[0]!r}{did_you_mean(given[0], presets)}; allowed: {allowed}")


def preset_of(given: Sequence[str], presets: Collection[str]) -> str:
    """Return the preset that a command line begins with, for a command to show; PRESET if it begins with none.

    >>> preset_of(["tales-1m", "--lr", "abc"], ["tales-1m"]), preset_of(["--lr", "abc"], ["tales-1m"])
    ('tales-1m', 'PRESET')
    """
    is_one = bool(given) and (given[0] in presets or given[0].endswith(".json"))
    return shlex.quote(given[0]) if is_one else "PRESET"


def _names() -> Iterator[str]:
    """Options of the command: its own, the config's, and under "model." the model's."""
    yield from (field.name for field in fields(Train) if field.name != "config")
    yield from (field.name for field in fields(TrainConfig) if field.name != "model")
    yield from (f"model.{field.name}" for field in fields(ModelConfig))


@contextmanager
def _plain_errors() -> Iterator[None]:
    """Turn the parser's box around an error of the config into the error itself."""
    told = io.StringIO()
    try:
        with redirect_stderr(told):
            yield
    except SystemExit:
        found = re.search(r"Error parsing \S*config\S*: (.*?)(?: For full helptext|$)", words_of(told.getvalue()))
        if found is None:
            raise
        told = io.StringIO()
        raise ValueError(found[1]) from None
    finally:
        sys.stderr.write(told.getvalue())


def _with_default_width(config: TrainConfig, given: list[str]) -> TrainConfig:
    """Let the feed-forward width follow d_model where only that was changed."""
    changed = {argument.split("=")[0].replace("_", "-") for argument in given}
    if "--model.d-model" in changed and "--model.d-ff" not in changed:
        return config.replace(model=replace(config.model, d_ff=0))
    return config


def _about(config: TrainConfig) -> str:
    return f"{config.data}, {config.tokens / 1e6:,.2f} M tokens, {config.steps:,} steps of {config.batch_size} windows"
