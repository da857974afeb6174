"""All benchmarks in one command, each with the settings of the records that the book shows: half an hour or more.

    python benchmarks/everything.py                                             # texts are made of tales
    python benchmarks/everything.py --text books.txt --documents stories.txt --gpt2 folder
    python benchmarks/everything.py --only generation,training
    python benchmarks/everything.py --list

Each is a process of its own, on the CPU, and nothing else should run on the machine. Records go to a folder of their
own, with what was printed beside them, NAME.txt. A benchmark that fails does not stop the others. It takes 12 GB of the
folder for temporary files (TMPDIR names another), which are gone at the end, and without `--gpt2` a network: tiktoken
downloads GPT-2's vocabulary. `--out results/benchmarks` replaces the records of the book, whose pages name the texts
they were made with. Those of a GPU (gpu_run.py) and the training of the course's two tokenizers (bpe_corpora.py) are
commands of their own.
"""

import argparse
import io
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from bpe_encoders import find_files
from bpe_text import text_or_tales

from cs336_lib.environment import commit

HERE = Path(__file__).parent
TEXT_BYTES = 100_000_000
HALF_NEW = 1_000_000_000
DISK = 12_000_000_000
"""Bytes for temporary files: the text of 10 GB, and smaller ones."""
PATIENCE = 20.0
"""Seconds that a benchmark gets to tidy up after Ctrl-C."""
TRAINERS = "ours,gigabpe,gigatoken,rustbpe,tokenizers,bpeasy,minbpe-like"
LARGER = "--preset tinystories-17m --batch-size 4"

RUNS = (
    ("bpe_train", "bpe_train {text} --bytes {text_bytes} --rounds 3 --only TRAINERS"),
    ("bpe_train", "bpe_train {text} --bytes 10000000 --rounds 5 --only TRAINERS"),
    ("bpe_train", "bpe_train {documents} --vocab-size 10000 --rounds 3 --only ours,gigabpe"),
    ("bpe_train", "bpe_train {half_new} --bytes {all} --rounds 3 --only ours,gigabpe"),
    ("bpe_train_peers", "bpe_train {text} --bytes 10000000 --rounds 3 --only TRAINERS,minibperust"),
    ("bpe_encode", "bpe_encode {text} {gpt2} --bytes 20000000 --rounds 3 --only ours,fastokens,tiktoken,tokenizers"),
    ("bpe_encode_peers", "bpe_encode {text} {gpt2} --bytes 30000000 --rounds 5 --only ours,gigatoken,fastokens"),
    ("bpe_stages", "bpe_stages {text} {gpt2} --rounds 5"),
    ("bpe_files", "bpe_files {text} --documents {documents} {gpt2} --rounds 5"),
    ("bpe_start", "bpe_scale {text} --only start,executors"),
    ("bpe_scale", "bpe_scale {text} --only scale --folder {folder}"),
    ("bpe_fuzz", "bpe_fuzz {gpt2} --seconds 90"),
    ("data", "data --rounds 3"),
    ("scaling", "scaling --text {text} --rounds 3"),
    ("model", "model --device cpu --threads 1 --batch-size 4 --rounds 11"),
    ("generation", "generation --device cpu --rounds 7"),
    ("training", "training --device cpu --rounds 5"),
    ("training_compiled", "training --device cpu --compile --rounds 7"),
    ("training_17m", "training --device cpu LARGER --steps 15 --rounds 5"),
    ("training_17m_short", "training --device cpu LARGER --context-length 64 --steps 25 --rounds 5"),
)
"""The name of a record, and what makes it; several that have one name are kept in one file."""


def planned(only: str) -> list[tuple[str, str]]:
    """Return the runs of these records; all of them if none is named.

    Raises:
        SystemExit: a name that no record has.
    """
    names = list(dict.fromkeys(name for name, _ in RUNS))
    wanted = [name for name in only.replace(",", " ").split() if name] or names
    if unknown := sorted(set(wanted) - set(names)):
        raise SystemExit(f"error: no record {', '.join(map(repr, unknown))}; allowed: {', '.join(names)}")
    short = {"TRAINERS": TRAINERS, "LARGER": LARGER}
    runs = []
    for name, command in RUNS:
        if name in wanted:
            for word, written_out in short.items():
                command = command.replace(word, written_out)
            runs.append((name, command))
    return runs


def check(options: argparse.Namespace, runs: Sequence[tuple[str, str]]) -> None:
    """Say what would stop a benchmark in the middle before anything runs.

    Raises:
        SystemExit: a file or folder that is not there or can't be written, too small a disk, no vocabulary of GPT-2.
    """
    for path in filter(None, (options.text, options.documents)):
        if not Path(path).is_file():
            raise SystemExit(f"error: {path!r} is no file")
    commands = " ".join(command for _, command in runs)
    if "{folder}" in commands and (free := shutil.disk_usage(tempfile.gettempdir()).free) < DISK:
        raise SystemExit(
            f"error: {tempfile.gettempdir()} has {free / 1e9:.1f} GB left, and {DISK / 1e9:.0f} are needed; name "
            "another folder in TMPDIR, or leave bpe_scale out with --only"
        )
    if "{gpt2}" in commands:
        try:
            find_files(options.gpt2)
        except Exception as error:
            raise SystemExit(f"error: GPT-2's vocabulary: {error}; name a folder that has it with --gpt2") from None
    try:
        options.out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=options.out):
            pass
    except OSError as error:
        raise SystemExit(f"error: can't write in {str(options.out)!r} ({error.strerror}); name another --out") from None


def run(script: str, options: Sequence[str], log: Path, temporary: str) -> int:
    """Run one and return its exit code; what it prints goes to the screen and, but for progress bars, into a log.

    Args:
        script: name of the benchmark.
        options: its own.
        log: is added to.
        temporary: its folder for temporary files.
    """
    line = [sys.executable, "-u", str(HERE / f"{script}.py"), *options]
    variables = {**os.environ, "TMPDIR": temporary}
    with log.open("a", encoding="utf-8") as kept:
        kept.write(f"$ python benchmarks/{script}.py {shlex.join(options)}\n")
        kind: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "start_new_session": True}
        with subprocess.Popen(line, env=variables, **kind) as process:
            assert process.stdout is not None
            try:
                with io.TextIOWrapper(process.stdout, encoding="utf-8", errors="replace", newline="") as lines:
                    for said in lines:
                        whole = said.endswith("\n")  # and not a bar, which ends with a return
                        if whole:
                            kept.write(said)
                        if whole or sys.stdout.isatty():
                            print(said, end="", flush=True)
                return process.wait()
            except BaseException:
                # All of its group: it may have begun processes of its own.
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGINT)
                with suppress(subprocess.TimeoutExpired):
                    process.wait(PATIENCE)
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                raise


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Let a request to terminate end this process as Ctrl-C does, so that what it began is ended and tidied up."""

    def end(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    kinds = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {kind: signal.signal(kind, end) for kind in kinds}
    try:
        yield
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", help=f"a text file in UTF-8; {TEXT_BYTES // 1_000_000} MB of tales if not given")
    parser.add_argument("--documents", help="a text file of short documents; the text if not given")
    parser.add_argument("--gpt2", help="folder with GPT-2's vocabulary and merges; tiktoken's copy if not given")
    parser.add_argument("--only", default="", help="records, separated by commas (default: all)")
    parser.add_argument("--out", type=Path, default=Path("_build/benchmarks"), help="folder of the records")
    parser.add_argument("--list", action="store_true", help="only say which commands would be run")
    options = parser.parse_args()
    runs = planned(options.only)
    names = {"text": "TEXT", "documents": "DOCUMENTS", "gpt2": "--gpt2 FOLDER", "half_new": "half-new.txt"}
    names |= {"folder": "FOLDER", "text_bytes": str(TEXT_BYTES), "all": str(2 * HALF_NEW)}
    if options.list:
        for name, command in runs:
            print(f"{name:20} python benchmarks/{command.format(**names).replace(' ', '.py ', 1)}")
        return 0
    check(options, runs)
    os.environ.setdefault("CS336_COMMIT", commit() or "no checkout")  # an edit in the meantime is not what is measured
    if os.environ["CS336_COMMIT"].endswith("+changes"):
        print("files were edited since the last commit, and the records will say so; commit first to keep them")
    for name, _ in runs:
        (options.out / f"{name}.txt").unlink(missing_ok=True)
    started, ended = time.time(), []
    with ended_by_signals(), tempfile.TemporaryDirectory() as folder, text_or_tales(options.text, TEXT_BYTES) as text:
        half_new = Path(folder) / "half-new.txt"
        given = {name: shlex.quote(value) for name, value in names.items()}
        given |= {"text": shlex.quote(str(Path(text).absolute())), "half_new": shlex.quote(str(half_new))}
        given |= {"documents": shlex.quote(str(Path(options.documents or text).absolute()))}
        given |= {"gpt2": f"--gpt2 {shlex.quote(options.gpt2)}" if options.gpt2 else "", "folder": shlex.quote(folder)}
        for number, (name, command) in enumerate(runs):
            log, record = options.out / f"{name}.txt", options.out / f"{name}.json"
            print(f"\n== {number + 1} of {len(runs)}: {name}", flush=True)
            began, code = time.perf_counter(), 0
            if "{half_new}" in command and not half_new.exists():
                build = [str(text), "--bytes", str(HALF_NEW), "--build", str(half_new)]
                code = run("bpe_scale", build, log, folder)
            if code == 0:
                script, *rest = shlex.split(command.format(**given))
                code = run(script, [*rest, "--output", str(record)], log, folder)
            ended.append((name, code, time.perf_counter() - began))
            if not any("{half_new}" in later for _, later in runs[number + 1 :]):
                half_new.unlink(missing_ok=True)
    print(f"\nrecords in {options.out}:")
    for name, code, seconds in ended:
        record = options.out / f"{name}.json"
        old = code and record.exists() and record.stat().st_mtime < started
        kept = "; the record there is an earlier one" if old else ""
        failed = f"  FAILED, exit code {code}: see {name}.txt{kept}" if code else ""
        print(f"  {name:20} {seconds / 60:6.1f} min{failed}")
    return int(any(code for _, code, _ in ended))


if __name__ == "__main__":
    sys.exit(main())
