"""Put a finished run, or all that a GPU run brought back, among the records.

A run is kept without its checkpoints, and its tokenizer once for all runs. `add` takes what `benchmarks/gpu_run.py`
leaves behind, also a stranger's: of a packed file it reads only the names that a record has, and nothing is executed.
"""

from __future__ import annotations

import errno
import json
import re
import shutil
import tarfile
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any

from cs336_lib.atomic import check_own, replacing
from cs336_lib.jsonfile import parsed, read_json
from cs336_lib.locks import make_folder
from cs336_lib.training.records import RunRecord
from cs336_lib.typed import command

KEPT = ("config.json", "environment.json", "metrics.jsonl", "samples.txt", "status.json")
TOKENIZER = ("tokenizer_config.json", "vocab.json", "merges.txt")
LARGEST = 1 << 26
"""Bytes of a file in a packed record, at most."""
GPU_RUN = ("summary.json", "training_cuda.json", "records.tar.gz")
"""What `benchmarks/gpu_run.py` leaves in its folder, apart from its log and pytest's report."""
ABOUT = ("device", "driver", "cuda", "torch", "triton", "python", "cores", "memory", "date", "commit")


def keep(run: Path, name: str, home: Path) -> Path:
    """Copy a run's record.

    Args:
        run: its folder.
        name: where it goes below `home`.
        home: the folder of all records.

    Returns:
        The folder of the record.

    Raises:
        FileExistsError: a record of that name is there.
        ValueError: the run is not over.
    """
    record = RunRecord(run)
    if record.status["status"] not in ("finished", "diverged"):
        raise ValueError(
            f"{run} is {record.status['status']}; only a run that is over is kept: {command('resume', run)}"
        )
    target = home / name
    if target.exists():
        raise FileExistsError(errno.EEXIST, "there is a record already", str(target))
    begun = target.with_name(f".{target.name}.partial")  # a kill leaves no half of a record under its name
    shutil.rmtree(begun, ignore_errors=True)
    make_folder(begun, parents=True)
    for file in KEPT:
        if (run / file).is_file():
            shutil.copyfile(run / file, begun / file)
    if record.tokenizer_folder.is_dir():
        shared = home / "tokenizers" / "of-runs" / record.tokenizer.fingerprint[:16]
        if not shared.is_dir():
            record.tokenizer.save(shared)
    begun.rename(target)
    return target


def add(source: Path, home: Path, say: Callable[[str], object] = lambda line: None) -> list[Path]:
    """File what a GPU run brought back.

    Args:
        source: the folder that `benchmarks/gpu_run.py --out` named, or one of its files.
        home: the folder of all records.
        say: called with a line about each thing that is left out: a run that is not over, or is there already, and a
            file that is too large for a record.

    Returns:
        The folders and files of the new records.

    Raises:
        FileNotFoundError: there is nothing of the kind.
        ValueError: the file is none of those.
    """
    files = [source / name for name in GPU_RUN if (source / name).is_file()] if source.is_dir() else [source]
    if not files:
        raise FileNotFoundError(f"{source} holds none of {', '.join(GPU_RUN)}: is it what --out named?")
    done: list[Path] = []
    for file in files:
        if not file.is_file():
            raise FileNotFoundError(f"there is no file {str(file)!r}")
        if file.name.endswith(".tar.gz"):
            done += _runs(file, home, say)
        elif file.suffix == ".json":
            done.append(_figures(file, home))
        else:
            raise ValueError(f"{file} is none of {', '.join(GPU_RUN)}")
    return done


def slug(device: str) -> str:
    """Return a device's name as a part of a file's name.

    >>> slug("NVIDIA H100 80GB HBM3"), slug("Tesla T4"), slug("2-core x86_64 CPU")
    ('h100-80gb-hbm3', 't4', '2-core-x86-64-cpu')
    """
    plain = re.sub(r"[^a-z0-9]+", "-", device.lower()).strip("-")
    return plain.removeprefix("nvidia-").removeprefix("tesla-") or "unknown"


def _runs(packed: Path, home: Path, say: Callable[[str], object]) -> list[Path]:
    done = []
    with tempfile.TemporaryDirectory() as folder:
        try:
            with tarfile.open(packed, "r:gz") as tar:
                for member in tar:
                    parts = PurePosixPath(member.name).parts
                    name = _wanted(parts)
                    if name is None or not member.isfile():
                        continue
                    if member.size > LARGEST:
                        say(f"left out: {member.name}: {member.size:,} bytes, more than {LARGEST:,}")
                        continue
                    target = Path(folder, *parts)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    content = tar.extractfile(member)
                    target.write_bytes(content.read() if content else b"")
        except (tarfile.TarError, EOFError, OSError) as error:
            raise ValueError(f"{packed} can't be unpacked: {error}") from None
        for config in sorted(Path(folder).glob("*/config.json")):
            run = config.parent
            try:
                device = str(RunRecord(run).environment.get("device", ""))
                done.append(keep(run, f"{run.name}-{slug(device)}", home))
            except FileExistsError as error:
                say(f"there already: {error.filename}")
            except (ValueError, KeyError, TypeError) as error:
                say(f"left out: {run.name}: {str(error).replace(folder + '/', '')}")
    return done


def _wanted(parts: tuple[str, ...]) -> str | None:
    """Return the name of a packed file if a record has such a one: RUN/config.json, RUN/tokenizer/vocab.json."""
    plain = all(re.fullmatch(r"[\w.,=+-]+", part) and not part.startswith(".") for part in parts)
    if plain and len(parts) == 2 and parts[1] in KEPT:
        return parts[1]
    if plain and len(parts) == 3 and parts[1] == "tokenizer" and parts[2] in TOKENIZER:
        return parts[2]
    return None


def _figures(file: Path, home: Path) -> Path:
    """File a summary, beside what an earlier one of the same device has measured, or a benchmark."""
    try:
        found = parsed(file.read_text(encoding="utf-8"))
        sections = {name: part for name, part in found.items() if isinstance(part, dict) and name != "sections"}
    except (ValueError, AttributeError) as error:
        raise ValueError(f"{file} is no summary of a GPU run: {error}") from None
    if "ratios" in found:
        target = home / "benchmarks" / f"training_{slug(str(found.get('device', '')))}.json"
        _before(target)
        record = found
    else:
        about = _about(sections)
        target = home / "benchmarks" / f"gpu_{slug(about.get('device', ''))}.json"
        before = _before(target)
        record = {**before, **about, "sections": {**before.get("sections", {}), **sections}}
    make_folder(target.parent, parents=True)
    with replacing(target) as file_of_bytes:
        file_of_bytes.write((json.dumps(record, indent=2) + "\n").encode())
    return target


def _before(target: Path) -> dict[str, Any]:
    """Return the figures of the same device that are there, an empty object if none are.

    Raises:
        FileExistsError: the file is there and holds something else, which would be lost.
    """
    found: dict[str, Any] = {}

    def is_own(path: Path) -> bool:
        with suppress(ValueError, AttributeError):
            found.update(read_json(path))
        return path.name.endswith(f"_{slug(str(found.get('device', '')))}.json") and bool(found.get("device"))

    check_own(target, is_own, "of no GPU run of this device")
    return found


def _about(sections: dict[str, Any]) -> dict[str, Any]:
    """Return what a summary says of the machine, wherever it does."""
    bench = sections.get("bench", {})
    told = {**bench.get("environment", {}), **bench, **sections.get("facts", {})}
    about = {name: told[name] for name in ABOUT if name in told}
    if not str(about.get("device", "")):
        raise ValueError("this summary does not name its device: it has neither a `facts` nor a `bench` section")
    return about
