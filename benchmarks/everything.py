"""All benchmarks in one command, each with the settings of the record that the book shows; about an hour on two cores.

    python benchmarks/everything.py                                             # texts are made of tales
    python benchmarks/everything.py --text books.txt --documents stories.txt --gpt2 folder
    python benchmarks/everything.py --only generation,training --out results/benchmarks
    python benchmarks/everything.py --list

Each is a process of its own, and nothing else should run on the machine. Records go to a folder of their own, with what
was printed beside them, NAME.txt; into `results/benchmarks`, where the book reads them, with `--out`. A benchmark that
fails does not stop the others. Those of a GPU (gpu_run.py) and the training of the course's two tokenizers
(bpe_corpora.py) are commands of their own.
"""

import argparse
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bpe_text import text_or_tales
from tqdm import tqdm

HERE = Path(__file__).parent
TEXT_BYTES = 100_000_000
HALF_NEW = 1_000_000_000
RECENT = "ours,gigatoken,fastokens"
"""Encoders that are measured on a larger piece."""
LARGER = "--preset tinystories-17m --batch-size 4"

RUNS = (
    ("bpe_train", "bpe_train {text} --bytes {text_bytes}"),
    ("bpe_train", "bpe_train {text} --bytes 10000000 --rounds 5"),
    ("bpe_train", "bpe_train {documents} --vocab-size 10000 --only ours,gigabpe"),
    ("bpe_train", "bpe_train {half_new} --bytes {half_new_bytes} --only ours,gigabpe"),
    ("bpe_train_peers", "bpe_train {text} --bytes 10000000"),
    ("bpe_encode", "bpe_encode {text} {gpt2} --rounds 3"),
    ("bpe_encode_peers", f"bpe_encode {{text}} {{gpt2}} --bytes 30000000 --rounds 5 --only {RECENT}"),
    ("bpe_files", "bpe_files {text} --documents {documents} {gpt2} --rounds 5"),
    ("bpe_start", "bpe_scale {text} --only start,executors"),
    ("bpe_scale", "bpe_scale {text} --only scale --folder {folder}"),
    ("bpe_fuzz", "bpe_fuzz {gpt2} --seconds 90"),
    ("data", "data"),
    ("scaling", "scaling --text {text} --rounds 3"),
    ("model", "model --threads 1 --batch-size 4 --rounds 11"),
    ("generation", "generation"),
    ("training", "training"),
    ("training_compiled", "training --compile"),
    ("training_17m", f"training {LARGER} --steps 15"),
    ("training_17m_short", f"training {LARGER} --context-length 64 --steps 25 --rounds 5"),
)
"""The name of a record, and what makes it; several that have one name are kept in one file."""


def planned(only: str) -> list[tuple[str, str]]:
    """Return the runs of these records; all of them if none is named.

    Raises:
        SystemExit: a name that no record has.
    """
    names = list(dict.fromkeys(name for name, _ in RUNS))
    wanted = only.split(",") if only else names
    if unknown := sorted(set(wanted) - set(names)):
        raise SystemExit(f"error: no record {', '.join(unknown)}; allowed: {', '.join(names)}")
    return [(name, command) for name, command in RUNS if name in wanted]


def run(name: str, command: str, given: dict[str, object], out: Path) -> int:
    """Run one, with what it prints going to the screen and behind what it printed before; return its exit code."""
    filled = command.format(**given)
    script, *options = shlex.split(filled)
    line = [sys.executable, "-u", str(HERE / f"{script}.py"), *options, "--output", str(out / f"{name}.json")]
    with (out / f"{name}.txt").open("a") as log:
        log.write(f"$ python benchmarks/{script}.py {' '.join(options)}\n")
        with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
            assert process.stdout is not None
            for said in process.stdout:
                log.write(said.rsplit("\r", 1)[-1])
                tqdm.write(said.rsplit("\r", 1)[-1], end="")
    return process.returncode


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", help=f"a text file in UTF-8; {TEXT_BYTES // 1_000_000} MB of tales if not given")
    parser.add_argument("--documents", help="a text file of short documents; the text if not given")
    parser.add_argument("--gpt2", help="folder with GPT-2's vocabulary and merges; tiktoken's copy if not given")
    parser.add_argument("--only", default="", help="records, separated by commas (default: all)")
    parser.add_argument("--out", type=Path, default=Path("_build/benchmarks"), help="folder of the records")
    parser.add_argument("--list", action="store_true", help="only say what would be run")
    options = parser.parse_args()
    runs = planned(options.only)
    if options.list:
        for name, command in runs:
            print(f"{name:20} {command}")
        return 0
    for path in filter(None, (options.text, options.documents, options.gpt2)):
        if not Path(path).exists():
            raise SystemExit(f"error: there is no {path}")
    options.out.mkdir(parents=True, exist_ok=True)
    for name, _ in runs:
        (options.out / f"{name}.txt").unlink(missing_ok=True)
    ended: list[tuple[str, int, float]] = []
    with text_or_tales(options.text, TEXT_BYTES) as text, tempfile.TemporaryDirectory() as folder:
        half_new = Path(folder) / "half-new.txt"
        given: dict[str, object] = {
            "text": shlex.quote(str(text)),
            "text_bytes": TEXT_BYTES,
            "documents": shlex.quote(options.documents or str(text)),
            "gpt2": f"--gpt2 {shlex.quote(options.gpt2)}" if options.gpt2 else "",
            "half_new": half_new,
            "half_new_bytes": HALF_NEW,
            "folder": folder,
        }
        for name, command in tqdm(runs, desc="benchmarks", disable=None):
            if "{half_new}" in command and not half_new.exists():
                build = [str(HERE / "bpe_scale.py"), str(text), "--bytes", str(HALF_NEW), "--build", str(half_new)]
                subprocess.run([sys.executable, *build], check=True)
            began = time.perf_counter()
            ended.append((name, run(name, command, given, options.out), time.perf_counter() - began))
            if half_new.exists() and not any("{half_new}" in later for _, later in runs[len(ended) :]):
                half_new.unlink()
    print(f"\nrecords in {options.out}:")
    for name, code, seconds in ended:
        failed = f"  FAILED, exit code {code}: see {name}.txt" if code else ""
        print(f"  {name:20} {seconds / 60:6.1f} min{failed}")
    return int(any(code for _, code, _ in ended))


if __name__ == "__main__":
    sys.exit(main())
