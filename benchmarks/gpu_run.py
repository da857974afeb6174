"""Everything that needs a GPU, in one command of minutes, in order of worth, with valid records wherever it is cut off.

    python benchmarks/gpu_run.py all --out gpu --seconds 570
    python benchmarks/gpu_run.py all --out gpu --seconds 300 --sections facts,tests,smoke,levers
    python benchmarks/gpu_run.py all --out gpu --sections full,points --set compile_mode=default

It runs from a checkout, installed or not, needs no network, and wants of packages no more than torch, numpy, numba,
regex, safetensors, threadpoolctl, tqdm, and for its tests pytest. Each section is a process of its own with a limit,
and writes what it finds as it finds it. What lies in the folder, at any moment:

    summary.json        every section: seconds, exit code, its own numbers
    log.txt             what the sections printed
    gpu-tests.xml       pytest's report
    records.tar.gz      the runs' records, without checkpoints
    training_cuda.json  the benchmark against torch.nn

`cs336 records add gpu` files all of it below results/.
In a copy without history, `CS336_COMMIT` says of which commit it is. `GPU_RUN_SMALL=1` rehearses everything on a CPU
at toy size.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import traceback
from contextlib import nullcontext, suppress
from datetime import date
from pathlib import Path
from typing import Any
from unittest import mock

ROOT = Path(__file__).resolve().parents[1]
_MEMORY = Path("/dev/shm")
_ROOMY = _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > 16e9  # there no file has to reach a disk
SCRATCH = Path(os.environ.get("GPU_RUN_SCRATCH") or (_MEMORY if _ROOMY else Path(tempfile.gettempdir())) / "gpu-run")
os.environ.setdefault("CS336_CACHE_DIR", str(SCRATCH / "cache"))
os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(SCRATCH / "inductor"))  # what one section compiles, all have
SMALL = bool(os.environ.get("GPU_RUN_SMALL"))
RUNS, PARTS = SCRATCH / "runs", SCRATCH / "parts"
SECTIONS = {
    "facts": 60,
    "tests": 150,
    "smoke": 120,
    "levers": 200,
    "full": 330,
    "bench": 150,
    "points": 200,
    "sweep": 240,
    "small": 120,
    "generation": 60,
}
"""Most seconds of each."""
NEED_TEXT = ("full", "points")
PRESET = "tinystories-17m"
TALES = 4_000_000 if SMALL else 1_360_000_000
"""Bytes: 330 M tokens, of which the preset reads 327.68 M, each of them once."""


# ---------------------------------------------------------------- sections, each in a process of its own


def note(section: str, **facts: Any) -> None:
    """Add facts to a section's file, which is whole at any moment."""
    path = PARTS / f"{section}.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    known.update(facts)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(known, indent=1, default=str))
    temporary.replace(path)


def base(changes: dict[str, Any]) -> Any:
    """Return the assignment's run on tales, with some fields changed."""
    from cs336_lib.training import TrainConfig

    config = TrainConfig.preset(PRESET).replace(data="tales", data_bytes=TALES)
    if SMALL:
        model = config.model.replace(vocab_size=512, context_length=32, d_model=32, num_layers=1, num_heads=2, d_ff=64)
        config = config.replace(model=model, batch_size=8, steps=60, warmup_steps=6, eval_every=20, eval_windows=8)
        config = config.replace(sample_every=30, checkpoint_every=30, sample_tokens=8, compile=False, device="cpu")
    return config.replace(**changes)


def prep(options: argparse.Namespace) -> None:
    """Make text, tokenizer and ids on the CPU, beside sections that need none; the others find them in the cache."""
    from cs336_lib.data import tales
    from cs336_lib.training import prepare

    started = time.perf_counter()
    corpus = prepare(base({}))
    note("prep", seconds=time.perf_counter() - started, facts=corpus.facts, entries=corpus.tokenizer.vocab_size)
    floor = tales.entropy(corpus.tokenizer)
    note("prep", floor_nats_per_token=floor.nats_per_token, floor_bits_per_byte=floor.bits_per_byte)


def facts(options: argparse.Namespace) -> None:
    """Versions, and the ceilings: bytes per second of a copy, products and attention in this model's shapes."""
    import torch

    from cs336_lib.environment import commit, environment

    note("facts", **environment("torch", "triton", "numpy", "numba"))
    note("facts", date=date.today().isoformat(), commit=commit())
    if not torch.cuda.is_available():
        return
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from triton.testing import do_bench

    properties = torch.cuda.get_device_properties(0)
    note("facts", memory=properties.total_memory, cuda=torch.version.cuda, driver=driver())

    def median(work: Any, **more: Any) -> float:
        return float(do_bench(work, warmup=10, rep=60, return_mode="median", **more))

    x = torch.empty(2**31, dtype=torch.uint8, device="cuda")
    y = torch.randint_like(x, 255)
    note("facts", copy_bytes_per_second=2 * x.nbytes / median(lambda x=x, y=y: x.copy_(y)) * 1e3)
    del x, y
    tokens, rates = 65_536, {}
    wide = [(tokens, 512, n) for n in (512, 1_344, 1_536, 2_688, 10_000, 10_112, 50_257, 50_304)]
    for m, k, n in [(8_192, 8_192, 8_192), *wide, (tokens, 1_344, 512), (10_000, tokens, 512), (10_112, tokens, 512)]:
        a, b = (torch.randn(shape, device="cuda", dtype=torch.bfloat16) for shape in ((m, k), (n, k)))
        ms = median(lambda a=a, b=b: a @ b.T)
        rates[f"{m}x{k}x{n}"] = round(2 * m * k * n / ms / 1e9, 1)
        del a, b
    note("facts", product_tflops=rates)
    attention: dict[str, Any] = {}
    for heads in (16, 8, 4):
        shape = 256, 256, heads, 512 // heads
        for kernel in (SDPBackend.CUDNN_ATTENTION, SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION):
            q, k, v = (
                torch.randn(shape, device="cuda", dtype=torch.bfloat16).transpose(1, 2).requires_grad_()
                for _ in range(3)
            )
            try:
                with sdpa_kernel(kernel):
                    times = attention_times(q, k, v, median)
            except Exception as error:
                times = {"error": str(error)[:200]}
            attention[f"{heads} heads, {kernel.name}"] = times
            note("facts", attention_256x256=attention)


def attention_times(q: Any, k: Any, v: Any, median: Any) -> dict[str, float]:
    """Return milliseconds of causal attention and of its gradient."""
    import torch
    import torch.nn.functional as F

    out = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    grad = torch.randn_like(out)
    return {
        "forward_ms": median(lambda: F.scaled_dot_product_attention(q, k, v, is_causal=True)),
        "backward_ms": median(lambda: out.backward(grad, retain_graph=True), grad_to_none=[q, k, v]),
    }


def driver() -> str:
    """Return the version of NVIDIA's driver, "unknown" where its tool does not say."""
    ask = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    with suppress(OSError, subprocess.SubprocessError, IndexError):
        return subprocess.run(ask, capture_output=True, text=True, timeout=10, check=True).stdout.split()[0]
    return "unknown"


def tests(options: argparse.Namespace) -> None:
    """Run the tests marked gpu, by file: collecting whole folders would fail on packages that are not here."""
    files = sorted(str(path) for path in (ROOT / "tests").rglob("test_*.py") if "mark.gpu" in path.read_text())
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-m",
        "gpu",
        "-q",
        "-p",
        "no:cacheprovider",
        "--tb=short",
        "--durations=8",
    ]
    command += [f"--junitxml={options.out / 'gpu-tests.xml'}", *files]
    note("tests", exit=subprocess.run(command, cwd=ROOT, check=False).returncode, files=len(files))


def measured(section: str, name: str, steps: int = 45, patch: Any = None, **changes: Any) -> dict[str, Any]:
    """Train a few steps on ids that need no text; note the rate, peak memory, and the time that compiling takes."""
    import numpy as np
    import torch

    from cs336_lib.accounting import training_memory
    from cs336_lib.training import PreparedCorpus, Trainer
    from cs336_lib.training.evaluation import Evaluation

    row: dict[str, Any] = {"changes": changes}
    try:
        quiet = {"log_every": 5, "eval_every": 0, "eval_windows": 1, "sample_every": 0, "checkpoint_every": 0}
        config = base({"steps": steps, "warmup_steps": 5, **quiet, **changes})
        ids = np.random.default_rng(0).integers(0, config.model.vocab_size, 4_000_000).astype(np.uint16)
        cuda = torch.cuda.is_available()
        if cuda:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        corpus = PreparedCorpus(None, ids, ids[: 2 * config.model.context_length])
        # Compiling an evaluation as well would take as long again, and nobody asks for its loss.
        nothing = mock.patch.object(Trainer, "evaluate", lambda self, windows=None: Evaluation(9.9, 1, 1, False))
        with patch or nullcontext(), nothing, tempfile.TemporaryDirectory() as folder:
            status = Trainer(config, Path(folder) / "run", corpus, progress=False).fit().status
        told = ("tokens_per_second", "mfu", "compile_seconds", "peak_memory")
        row |= {key: status[key] for key in told if key in status}
        rows = config.batch_size // config.accumulation
        row["accounting_memory"] = training_memory(config.model, rows, activations="autograd").total
        row["peak_reserved"] = torch.cuda.max_memory_reserved() if cuda else 0
    except Exception as error:  # the next configuration may do
        traceback.print_exc()
        row["error"] = f"{type(error).__name__}: {error}"[:1_000]
    note(section, **{name: row})
    print(section, name, row, flush=True)
    return row


def smoke(options: argparse.Namespace) -> None:
    """The preset as it is, or what works in its place; the full run needs to know the rate."""
    others = [("loss_chunk 8192", {"loss_chunk": 8_192}), ("plain update", {"compile_optimizer": False})]
    others += [("eager", {"compile": False}), ("batch 128", {"batch_size": 128})]
    for name, changes in [("preset", {}), *others]:
        if "error" not in measured("smoke", name, **options.set, **changes):
            note("smoke", use=changes)
            return


def gate_and_up_apart() -> Any:
    """Return a patch under which SwiGLU's two products are two."""
    import torch.nn.functional as F

    from cs336_lib.model.fast import FastSwiGLU

    def forward(self: Any, x: Any) -> Any:
        return F.linear(F.silu(F.linear(x, self.w1.weight)) * F.linear(x, self.w3.weight), self.w2.weight)

    return mock.patch.object(FastSwiGLU, "forward", forward)


def heads_first() -> Any:
    """Return a patch under which queries and keys are turned after the transposition, as the reference does."""
    import torch
    import torch.nn.functional as F

    from cs336_lib.model.fast import FastSelfAttention

    def forward(self: Any, x: Any, token_positions: Any = None, cache: Any = None) -> Any:
        weight = torch.cat((self.q_proj.weight, self.k_proj.weight, self.v_proj.weight))
        qkv = F.linear(x, weight).unflatten(-1, (3, self.num_heads, -1))
        q, k, v = qkv.movedim(-3, 0).transpose(-3, -2).unbind(0)
        mixed = F.scaled_dot_product_attention(self.rope(q), self.rope(k), v, is_causal=True)
        return F.linear(mixed.transpose(-3, -2).flatten(-2), self.output_proj.weight)

    return mock.patch.object(FastSelfAttention, "forward", forward)


def levers(options: argparse.Namespace) -> None:
    """What each choice of the step is worth: the same run with that one choice reversed. "as it is" comes twice."""
    measured("levers", "as it is", **options.set)
    for name, patch, changes in (
        ("flash attention", None, {"attention": "flash"}),
        ("half residual", None, {"residual": "half"}),
        ("plain update", None, {"compile_optimizer": False}),
        ("heads first", heads_first(), {}),
        ("gate and up apart", gate_and_up_apart(), {}),
        ("loss_chunk 8192", None, {"loss_chunk": 8_192}),
        ("as it is, again", None, {}),
        ("max-autotune-no-cudagraphs", None, {"compile_mode": "max-autotune-no-cudagraphs"}),
    ):
        measured("levers", name, patch=patch, **{**options.set, **changes})


def sweep(options: argparse.Namespace) -> None:
    """Other shapes and types of the same step, all large enough that the GPU is what is measured."""
    model = base({}).model
    for name, changes in (
        ("batch 512", {"batch_size": 512}),
        ("GPT-2's vocabulary, batch 64", {"batch_size": 64, "model": model.replace(vocab_size=50_257)}),
        ("the same, head as it is", {"batch_size": 64, "pad_head": False, "model": model.replace(vocab_size=50_257)}),
        ("50,304 entries, batch 64", {"batch_size": 64, "model": model.replace(vocab_size=50_304)}),
        ("half residual, CUDA graphs", {"residual": "half", "compile_mode": "reduce-overhead"}),
        ("eager", {"compile": False}),
        ("batch 256 as 2", {"accumulation": 2}),
        ("tf32", {"precision": "fp32"}),
        ("float32", {"precision": "fp32", "tf32": False}),
        ("GPT-2's vocabulary, eager", {"batch_size": 32, "compile": False, "model": model.replace(vocab_size=50_257)}),
        ("50,304 entries, eager", {"batch_size": 32, "compile": False, "model": model.replace(vocab_size=50_304)}),
    ):
        measured("sweep", name, steps=25, **{**options.set, **({} if SMALL else changes)})


def small(options: argparse.Namespace) -> None:
    """Batches so small that the host's launches are what is measured; nothing else should run beside it."""
    for name, changes in (
        ("batch 32", {"batch_size": 32}),
        ("batch 32, CUDA graphs", {"batch_size": 32, "compile_mode": "reduce-overhead"}),
        ("batch 128", {"batch_size": 128}),
        ("batch 64", {"batch_size": 64}),
        ("batch 8", {"batch_size": 8}),
        ("batch 8, CUDA graphs", {"batch_size": 8, "compile_mode": "reduce-overhead"}),
    ):
        measured("small", name, **{**options.set, **changes})


def train(section: str, name: str, **changes: Any) -> Any:
    """Make one recorded run on tales."""
    from cs336_lib.generation import training_sample
    from cs336_lib.training import Trainer, prepare

    config = base({"name": name, **changes})
    started = time.perf_counter()
    trainer = Trainer(config, RUNS / name, prepare(config), write_sample=training_sample, progress=False)
    record = trainer.fit()
    seconds = time.perf_counter() - started
    note(section, **{name: {"status": record.status, "valid_loss": record.last("valid_loss"), "wall_seconds": seconds}})
    return trainer


def full(options: argparse.Namespace) -> None:
    """Train on the preset's 327.68 M tokens, or on as many as fit into the time."""
    path = PARTS / "smoke.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    changes = {**options.set, **known.get("use", {})}
    rate = options.rate or max(
        (row.get("tokens_per_second", 0) for row in known.values() if "changes" in row), default=0
    )
    config = base(changes)
    room = (options.seconds - 75) * rate * 0.93  # start, compiling, evaluations, samples, checkpoints
    steps = config.steps if not rate or room >= config.tokens else int(config.steps * room / config.tokens) // 100 * 100
    note("full", planned_steps=steps, rate=rate)
    if steps < config.steps:
        changes |= {"steps": max(steps, 100), "warmup_steps": max(steps, 100) // 10}
    trainer = train("full", f"{PRESET}-tales-gpu", **({} if SMALL else {"checkpoint_every": 2_500}), **changes)
    if trainer.record.status["status"] == "finished":
        whole = trainer.evaluate(windows=0)
        note("full", whole_validation={"loss": whole.loss, "tokens": whole.tokens})


def points(options: argparse.Namespace) -> None:
    """Learning rates, batch sizes and a half residual stream at a tenth of the tokens, best known first."""
    steps = 20 if SMALL else 500
    short = {"eval_every": 0, "sample_every": 0, "checkpoint_every": 0, **options.set}
    half = {"residual": "half"}
    for rate, batch, more in (
        (1e-2, 256, {}),
        (1e-2, 256, half),
        (3e-3, 256, {}),
        (3e-2, 256, {}),
        (7e-3, 128, {}),
        (1e-2, 256, {"seed": 1}),
        (1e-2, 256, {"seed": 1, **half}),
        (1e-3, 256, {}),
        (5e-3, 64, {}),
    ):
        batch = 8 if SMALL else batch
        here = steps if SMALL else steps * 256 // batch
        changes = {"steps": here, "warmup_steps": here // 10, "batch_size": batch, "lr": rate, "min_lr": rate / 100}
        name = "-".join(["tales-33m-tokens", f"lr-{rate:g}", f"batch-{batch}", *(f"{k}-{v}" for k, v in more.items())])
        train("points", name, **{**short, **changes, **more})


def bench(options: argparse.Namespace) -> None:
    """Measure the whole loop against the loop that a PyTorch user would write."""
    command = [sys.executable, "benchmarks/training.py", "--preset", "tales-1m" if SMALL else PRESET]
    command += ["--rounds", "1", "--steps", "12", "--device", "cpu"] if SMALL else ["--rounds", "2", "--steps", "105"]
    target = options.out / "training_cuda.json"
    subprocess.run([*command, "--output", str(target)], cwd=ROOT, check=False)
    if target.exists():
        note("bench", **json.loads(target.read_text()))


def generation(options: argparse.Namespace) -> None:
    """Tokens per second out of the preset's model, with the cache and without, one prompt and many."""
    import torch

    from cs336_lib.generation import SamplingConfig
    from cs336_lib.generation.decoding import decode
    from cs336_lib.model import TransformerLM

    device = "cuda" if torch.cuda.is_available() else "cpu"
    config = base({}).model
    model = TransformerLM(config.replace(backend="fast"), device=device)
    for rows in (1, 64) if not SMALL else (1, 2):
        for use_cache in (True, False):
            count = config.context_length - 8 if use_cache else config.context_length // 4
            took = []
            for _ in range(2):
                started = time.perf_counter()
                steps = decode(model, [[1] * 8] * rows, SamplingConfig(max_tokens=count, seed=0), use_cache=use_cache)
                made = sum(1 for _ in steps)
                took.append(time.perf_counter() - started)
            note("generation", **{f"{rows} rows, {'cache' if use_cache else 'no cache'}": made / min(took)})


# ---------------------------------------------------------------- the process that hands out the time


class Conductor:
    """Runs sections one after the other and keeps the folder of results whole.

    Args:
        options: the command line's.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        self.out: Path = options.out
        self.began = time.monotonic()
        self.end = self.began + options.seconds
        self.arguments = [argument for pair in options.given for argument in ("--set", pair)]
        self.arguments += ["--rate", str(options.rate)]
        self.limits = SECTIONS | {name: float(value) for name, _, value in (x.partition("=") for x in options.limit)}
        self.rows: dict[str, Any] = {}
        self.log = (self.out / "log.txt").open("a")
        self.lock = threading.Lock()

    def left(self) -> float:
        """Seconds that are left."""
        return self.end - time.monotonic()

    def start(self, section: str, seconds: float, cuda: bool = True) -> subprocess.Popen[bytes]:
        """Start a section."""
        surroundings = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
        if not cuda:
            surroundings["CUDA_VISIBLE_DEVICES"] = ""
        command = [sys.executable, __file__, section, "--out", str(self.out), "--seconds", str(seconds)]
        self.rows[section] = {"began": round(time.monotonic() - self.began, 1), "state": "running"}
        self.save()
        return subprocess.Popen(
            [*command, *self.arguments],
            cwd=ROOT,
            env=surroundings,
            stdout=self.log,
            stderr=subprocess.STDOUT,
            process_group=0,
        )

    def finish(self, section: str, process: subprocess.Popen[bytes], limit: float) -> None:
        """Wait for a section to end, or end it."""
        try:
            code: int | str = process.wait(max(limit, 1))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGTERM)  # a trainer writes a checkpoint and says that it was interrupted
            try:
                process.wait(8)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            code = "stopped at its limit"
        now = round(time.monotonic() - self.began, 1)
        self.rows[section] |= {"state": "over", "exit": code, "seconds": round(now - self.rows[section]["began"], 1)}
        self.save()
        self.pack()
        print(f"{now:6.1f} s  {section}: {code}, {self.rows[section]['seconds']} s", flush=True)

    def save(self) -> None:
        """Write the summary."""
        with self.lock:
            parts = {path.stem: json.loads(path.read_text()) for path in sorted(PARTS.glob("*.json"))}
            temporary = self.out / "summary.json.tmp"
            temporary.write_text(json.dumps({"sections": self.rows, **parts}, indent=1, default=str))
            temporary.replace(self.out / "summary.json")

    def pack(self) -> None:
        """Pack the records of all runs, as far as they are."""
        with self.lock:
            temporary = self.out / "records.tar.gz.tmp"
            with tarfile.open(temporary, "w:gz", compresslevel=6) as tar:
                for path in sorted(RUNS.rglob("*")):
                    if path.is_file() and "checkpoints" not in path.parts and not path.name.startswith("."):
                        tar.add(path, path.relative_to(RUNS))
            temporary.replace(self.out / "records.tar.gz")

    def watch(self) -> None:
        """Keep both files up to date while sections run."""
        while self.left() > 0:
            time.sleep(15)
            try:
                self.save()
                self.pack()
            except OSError as error:
                print("not packed:", error, file=self.log, flush=True)

    def play(self, wanted: list[str]) -> None:
        """Run the sections in this order, as long as there is time."""
        threading.Thread(target=self.watch, daemon=True).start()
        prepared = None
        if set(wanted) & set(NEED_TEXT) and not (PARTS / "prep.json").exists():
            prepared = self.start("prep", self.left(), cuda=False)
        for section in wanted:
            if section in NEED_TEXT and prepared is not None:
                self.finish("prep", prepared, self.left() - 40)
                prepared = None
            if self.left() < 25:
                self.rows[section] = {"state": "no time left"}
                continue
            limit = min(self.limits[section], self.left() - 12)
            self.finish(section, self.start(section, limit), limit)
        self.save()
        self.pack()


def shown(summary: dict[str, Any]) -> str:
    """Return a summary in lines: what each section found, figures rounded."""
    lines = []
    for section, found in summary.items():
        for name, value in found.items():
            if isinstance(value, dict):
                value = " ".join(f"{k}={v:.5g}" if isinstance(v, float) else f"{k}={v}" for k, v in value.items())
            lines.append(f"{section:10} {name}: {value}"[:400])
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("section", choices=["all", "prep", *SECTIONS], help="all, or one that runs by itself")
    parser.add_argument("--out", type=Path, required=True, help="the folder of results")
    parser.add_argument("--seconds", type=float, default=570, help="time for everything (default: 570)")
    parser.add_argument("--sections", default=",".join(SECTIONS), help="which, in this order (default: all)")
    parser.add_argument(
        "--set", action="append", default=[], dest="given", metavar="FIELD=VALUE", help="of TrainConfig"
    )
    parser.add_argument("--limit", action="append", default=[], metavar="SECTION=SECONDS", help="in place of its own")
    parser.add_argument("--rate", type=float, default=0.0, help="tokens per second, where no smoke section found it")
    options = parser.parse_args()
    options.out = options.out.resolve()
    options.set = {}
    for pair in options.given:
        name, _, value = pair.partition("=")
        with suppress(json.JSONDecodeError):
            value = json.loads(value)
        options.set[name] = value
    unknown = [name for name in options.sections.split(",") if name not in SECTIONS]
    if unknown:
        parser.error(f"--sections names {', '.join(unknown)}; allowed: {', '.join(SECTIONS)}")
    for folder in (RUNS, PARTS, options.out):
        folder.mkdir(parents=True, exist_ok=True)
    if options.section == "all":
        Conductor(options).play(options.sections.split(","))
        print(shown(json.loads((options.out / "summary.json").read_text())))
        return
    sys.path.insert(0, str(ROOT))
    globals()[options.section](options)


if __name__ == "__main__":
    main()
