"""`cs336 runs [FOLDER ...]`."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from cs336_lib.cli.parsing import parse
from cs336_lib.lines import wrapped
from cs336_lib.typed import command

if TYPE_CHECKING:
    from cs336_lib.training import RunRecord


@dataclass(frozen=True)
class Runs:
    """Show runs in a table, also while they run; draw their losses.

    Losses are in nats per token: the last on the training text, the last and the smallest on the validation text.

    Examples:
      cs336 runs
      cs336 runs runs results --plot losses.png

    Attributes:
        folders: folders of runs, or runs.
        plot: draw training and validation losses to this file (.png, .svg or .pdf).
    """

    folders: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="[FOLDER ...]")] = (Path("runs"),)
    plot: Path | None = None


def run(arguments: Sequence[str]) -> int:
    """Run the command."""
    asked = parse(Runs, "runs", arguments)
    from cs336_lib.cli.outputs import check_picture, save_picture
    from cs336_lib.training import find_runs

    if asked.plot:
        check_picture(asked.plot, "--plot")
    for folder in asked.folders:
        if not folder.is_dir():
            raise FileNotFoundError(f"there is no folder {str(folder)!r}; cs336 train makes runs/NAME")
    found = [record for folder in asked.folders for record in find_runs(folder)]
    records, damaged = [], []
    for record in found:
        try:
            _row(record)
            records.append(record)
            if (damage := record.damage()) is not None:
                damaged.append(damage)
        except (OSError, ValueError, TypeError, KeyError) as error:
            damaged.append(f"left out: {record.shown}: {' '.join(str(error).split())[:200]}")
    for line in damaged:
        print(line, file=sys.stderr)
    if not records:
        print(f"no runs in {', '.join(map(str, asked.folders))}; cs336 train tales-1m makes one")
        _tell_deeper(asked.folders)
        return 0
    print(table(records))
    _tell_deeper(asked.folders)
    if asked.plot:
        from cs336_lib.figures.runs import losses

        names = Counter(record.folder.name for record in records)
        figure = losses({str(r.folder) if names[r.folder.name] > 1 else r.folder.name: r for r in records})
        save_picture(figure, asked.plot)
        print(f"drawn to {asked.plot}")
    return 0


def _tell_deeper(folders: Sequence[Path]) -> None:
    """Name the folders of folders that hold runs, as experiments make them."""
    from cs336_lib.training import find_runs

    deeper = {
        below: len(find_runs(below))
        for folder in folders
        for below in sorted(folder.iterdir())
        if below.is_dir() and not any((place / "config.json").is_file() for place in (folder, below))
    }
    found = {below: count for below, count in deeper.items() if count}
    if found:
        total, first = sum(found.values()), next(iter(found))
        where = first if len(found) == 1 else f"{len(found)} folders below, such as {first}"
        print(wrapped(f"and {total} run{'s' * (total > 1)} in {where}: {command('runs', first)}", later="  "))


def table(records: Sequence[RunRecord]) -> str:
    """Return a line for each run under a line of titles."""
    titles = ["run", "status", "step", "of", "train", "valid", "best", "bits/byte", "tok/s", "MFU"]
    rows = [titles, *(_row(record) for record in records)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(titles))]
    lines = []
    for row in rows:
        cells = zip(row, widths, strict=True)
        lines.append("  ".join(c.ljust(w) if i < 2 else c.rjust(w) for i, (c, w) in enumerate(cells)).rstrip())
    return "\n".join(lines)


def _row(record: RunRecord) -> list[str]:
    def shown(value: float | None, form: str) -> str:
        return "-" if value is None else format(value, form)

    lines = record.metrics()
    return [
        record.folder.name,
        record.status["status"],
        f"{max([record.status['step'], *(line['step'] for line in lines[-1:])]):,}",
        f"{record.config.steps:,}",
        shown(record.last("train_loss"), ".4f"),
        shown(record.last("valid_loss"), ".4f"),
        shown(record.best(), ".4f"),
        shown(record.last("valid_bits_per_byte"), ".4f"),
        shown(record.last("tokens_per_second"), ",.0f"),
        shown(record.last("mfu"), ".1%"),
    ]
