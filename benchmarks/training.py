"""The whole training loop of ours against the loop a PyTorch user would write, in tokens per second.

    python benchmarks/training.py                               # tales-1m, minutes on a CPU
    python benchmarks/training.py --compile --output training_compiled.json
    python benchmarks/training.py --preset tinystories-17m --batch-size 4 --context-length 64 --output short.json
    python benchmarks/training.py --preset tinystories-17m --batch-size 256 --steps 200

Ours is `Trainer.fit` as `cs336 train` calls it: sampler, schedule, loss, clipping, AdamW, lines of metrics. The peer is
the same architecture in torch.nn from the same weights, on batches of the same shape, with F.cross_entropy,
torch.nn.utils.clip_grad_norm_, torch.optim.AdamW(fused=True) and a LambdaLR. It logs nothing. Both are timed over the
same number of steps after the same warm-up; contenders take turns, each turn starts from the same weights, and the
table shows medians over the rounds. On a CPU both are float32, eager unless --compile asks. On CUDA both run under
bfloat16 autocast, both hold all ids on the device, and the peer compiles its model and its loss as one, as nanoGPT
does.

Writes results/benchmarks/training.json, on CUDA training_cuda.json; name another file for another experiment.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from harness import device_name, write
from model import TorchModel
from torch import Tensor, nn
from tqdm import tqdm

from cs336_lib.data.batches import resident, sample_batch
from cs336_lib.model import TransformerLM
from cs336_lib.optim import cosine_schedule
from cs336_lib.training import PreparedCorpus, TrainConfig, Trainer
from cs336_lib.training.throughput import WARM_UP

RESULTS = Path(__file__).parents[1] / "results" / "benchmarks"


class WithLoss(nn.Module):
    """A model and its loss, so that both are compiled as one."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the mean loss of targets y after x."""
        return F.cross_entropy(self.model(x).flatten(0, 1), y.flatten())


def ours(config: TrainConfig, ids: np.ndarray) -> float:
    """Return the tokens per second that a run reports of itself."""
    with tempfile.TemporaryDirectory() as folder:
        corpus = PreparedCorpus(None, ids, ids[: 2 * config.model.context_length])
        record = Trainer(config, Path(folder) / "run", corpus, progress=False).fit()
        return float(record.status["tokens_per_second"])


def twin(config: TrainConfig, ids: np.ndarray) -> float:
    """Return the tokens per second of the same training in torch.nn."""
    device, length = config.device, config.model.context_length
    torch._dynamo.reset()  # as each run of ours begins
    torch.manual_seed(config.seed)
    model: nn.Module = TorchModel(config.model).to(device)
    model.load_state_dict(TransformerLM(config.model).state_dict())
    optimizer = torch.optim.AdamW(
        model.parameters(),
        lr=1.0,
        betas=(config.beta1, config.beta2),
        eps=config.eps,
        weight_decay=config.weight_decay,
        fused=True,
    )
    ends = (config.lr, config.min_lr, config.warmup_steps, config.steps)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: cosine_schedule(step, *ends))
    loss_of = WithLoss(model)
    run: Any = torch.compile(loss_of, dynamic=False) if config.compile else loss_of
    source: Any = resident(ids, device) if device == "cuda" else ids
    wait = torch.cuda.synchronize if device == "cuda" else (lambda: None)
    generator = torch.Generator().manual_seed(config.seed)
    for step in range(config.steps):
        if step == WARM_UP:
            wait()
            start = time.perf_counter()
        x, y = sample_batch(source, config.batch_size, length, device, generator)
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            loss = run(x, y)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), config.grad_clip)
        optimizer.step()
        schedule.step()
    wait()
    return (config.steps - WARM_UP) * config.batch_size * length / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="tales-1m")
    parser.add_argument("--batch-size", type=int, default=None, help="sequences; the preset's if not given")
    parser.add_argument(
        "--context-length", type=int, default=None, help="tokens per sequence; the preset's if not given"
    )
    parser.add_argument("--compile", action="store_true", help="both, as on a GPU they always are")
    parser.add_argument("--steps", type=int, default=45, help=f"of a turn; the first {WARM_UP} are not timed")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", choices=["cpu", "cuda"])
    parser.add_argument(
        "--output", type=Path, default=None, help="where the record goes; results/benchmarks if not given"
    )
    args = parser.parse_args()
    if args.steps <= WARM_UP:
        parser.error(
            f"--steps {args.steps} leaves none to time: the first {WARM_UP} are not; give {WARM_UP + 1} or more"
        )
    if args.device == "cuda":
        torch.set_float32_matmul_precision("high")  # TF32, for what autocast leaves in float32
    config = TrainConfig.preset(args.preset)
    length = args.context_length or config.model.context_length
    config = config.replace(
        model=config.model.replace(context_length=length),
        compile=True if args.compile or args.device == "cuda" else None,
        steps=args.steps,
        batch_size=args.batch_size or config.batch_size,
        warmup_steps=min(config.warmup_steps, args.steps - 1),
        log_every=WARM_UP,
        eval_every=0,
        eval_windows=1,
        sample_every=0,
        checkpoint_every=0,
        device=args.device,
    )
    ids = np.random.default_rng(0).integers(0, config.model.vocab_size, 2_000_000).astype(np.uint16)
    contenders = {"torch.nn": twin, "cs336_lib": ours}
    rates: dict[str, list[float]] = {name: [] for name in contenders}
    with tqdm(total=args.rounds * len(contenders), desc="training", mininterval=5) as bar:
        for turn in range(args.rounds):
            for name in sorted(contenders, reverse=bool(turn % 2)):
                rates[name].append(contenders[name](config, ids))
                bar.update()
    ratios = [a / b for a, b in zip(rates["cs336_lib"], rates["torch.nn"], strict=True)]
    medians = {name: statistics.median(found) for name, found in rates.items()}
    record: dict[str, Any] = {
        "device": device_name(args.device),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "precision": ("bfloat16 autocast" if args.device == "cuda" else "float32")
        + (", compiled" if config.compile else ", eager"),
        "preset": args.preset,
        "batch_size": config.batch_size,
        "context_length": config.model.context_length,
        "steps": args.steps,
        "rounds": args.rounds,
        "tokens_per_second": medians,
        "ratio": statistics.median(ratios),
        "ratios": ratios,
    }
    for name, rate in medians.items():
        print(f"{name:12}{rate:14,.0f} tokens/s")
    print(f"ratio       {record['ratio']:14.3f}   (rounds: {min(ratios):.3f} to {max(ratios):.3f})")
    write(args.output or RESULTS / ("training.json" if args.device == "cpu" else "training_cuda.json"), record)


if __name__ == "__main__":
    main()
