"""A training step of ours against the same architecture in torch.nn, and our optimizers' step against torch.optim's.

    python benchmarks/model.py                          # the assignment's TinyStories model; minutes on a CPU
    python benchmarks/model.py --preset gpt2-small --batch-size 16

The peer is what a PyTorch user would write: nn.Linear, nn.Embedding, nn.RMSNorm, F.scaled_dot_product_attention, and
torch.optim.AdamW(fused=True). It gets our weights, and must give our loss before anything is timed. All contenders run
in one process and take turns; the table shows medians, and medians of the ratios to the first contender within a round;
beside them the best times, which the rest of a busy machine disturbs least.
On CUDA both sides run under bfloat16 autocast, on a CPU in float32. With `--threads 1` on a CPU the clock counts the
process's own CPU time, so that other programs on the machine do not count.

Writes results/benchmarks/model.json.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from harness import alternate, device_name, ratio, write
from torch import Tensor, nn
from tqdm import tqdm

from cs336_lib.model import ModelConfig, TransformerLM
from cs336_lib.optim import AdamW, Muon

COLUMNS = (("median", "ratio"), ("best", "best_ratio"))
RESULTS = Path(__file__).parents[1] / "results" / "benchmarks"


class TorchBlock(nn.Module):
    """The pre-norm block in torch.nn, with our names."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        D, F_ = config.d_model, config.d_ff
        self.num_heads = config.num_heads
        self.attn = nn.ModuleDict({f"{name}_proj": nn.Linear(D, D, bias=False) for name in ("q", "k", "v", "output")})
        self.ffn = nn.ModuleDict(
            {
                "w1": nn.Linear(D, F_, bias=False),
                "w2": nn.Linear(F_, D, bias=False),
                "w3": nn.Linear(D, F_, bias=False),
            }
        )
        self.ln1, self.ln2 = nn.RMSNorm(D, eps=config.norm_eps), nn.RMSNorm(D, eps=config.norm_eps)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """Attention, then the feed-forward network."""
        batch, length, width = x.shape
        h = self.ln1(x)
        q, k, v = (
            self.attn[f"{name}_proj"](h).view(batch, length, self.num_heads, -1).transpose(1, 2) for name in "qkv"
        )
        mixed = F.scaled_dot_product_attention(rotate(q, cos, sin), rotate(k, cos, sin), v, is_causal=True)
        x = x + self.attn["output_proj"](mixed.transpose(1, 2).reshape(batch, length, width))
        h = self.ln2(x)
        return x + self.ffn["w2"](F.silu(self.ffn["w1"](h)) * self.ffn["w3"](h))


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1).flatten(-2).type_as(x)


class TorchModel(nn.Module):
    """The whole model in torch.nn; takes our state dict."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.token_embeddings = nn.Embedding(config.vocab_size, config.d_model)
        self.layers = nn.ModuleList(TorchBlock(config) for _ in range(config.num_layers))
        self.ln_final = nn.RMSNorm(config.d_model, eps=config.norm_eps)
        self.lm_head = nn.Linear(config.d_model, config.vocab_size, bias=False)
        frequencies = config.rope_theta ** (-torch.arange(0, config.head_dim, 2) / config.head_dim)
        angles = torch.arange(config.context_length)[:, None] * frequencies
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)

    def forward(self, ids: Tensor) -> Tensor:
        """Return logits."""
        x = self.token_embeddings(ids)
        cos, sin = self.cos[: ids.shape[1]], self.sin[: ids.shape[1]]
        for layer in self.layers:
            x = layer(x, cos, sin)
        return self.lm_head(self.ln_final(x))


def training_steps(config: ModelConfig, batch_size: int, device: str) -> dict[str, Callable[[], Tensor]]:
    """Return one training step for each contender, all from the same weights and on the same batch."""
    weights = TransformerLM(config).state_dict()
    ids = torch.randint(config.vocab_size, (batch_size, config.context_length + 1)).to(device)
    steps = {}
    for name in ("torch.nn", "reference", "fast"):
        for compiled in (True, False):
            model: nn.Module = (
                TorchModel(config) if name == "torch.nn" else TransformerLM(config.replace(backend=name))
            ).to(device)
            model.load_state_dict(weights)
            optimizer = (
                torch.optim.AdamW(model.parameters(), fused=True)
                if name == "torch.nn"
                else AdamW(model.parameters(), compile=compiled)
            )
            run = torch.compile(model, fullgraph=True) if compiled else model
            steps[f"{name}, {'compiled' if compiled else 'eager'}"] = step_of(run, optimizer, ids, device)
    return steps


def step_of(run: Callable[[Tensor], Tensor], optimizer: torch.optim.Optimizer, ids: Tensor, device: str) -> Any:
    """Return a function that takes one training step and gives its loss."""

    def step() -> Tensor:
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            loss = F.cross_entropy(run(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss.detach()

    return step


def optimizer_steps(config: ModelConfig, device: str) -> dict[str, Callable[[], Any]]:
    """Return one optimizer step for each contender, on parameters of the model's shapes."""
    shapes = [p.shape for p in TransformerLM(config, device="meta").parameters()]
    hidden = [s for s in shapes if len(s) == 2 and config.vocab_size not in s]

    def made_of(shapes: list[torch.Size]) -> list[nn.Parameter]:
        params = [nn.Parameter(torch.randn(shape, device=device)) for shape in shapes]
        for p in params:
            p.grad = torch.randn_like(p)
        return params

    contenders: dict[str, torch.optim.Optimizer] = {
        "torch AdamW, fused": torch.optim.AdamW(made_of(shapes), fused=True),
        "torch AdamW, foreach": torch.optim.AdamW(made_of(shapes), foreach=True),
        "AdamW, compiled": AdamW(made_of(shapes), compile=True),
        "AdamW, foreach": AdamW(made_of(shapes), foreach=True),
        "AdamW, loop": AdamW(made_of(shapes), foreach=False),
        "AdamW, as it comes": AdamW(made_of(shapes)),
    }
    if device == "cuda" and hasattr(torch.optim, "Muon"):  # on a CPU its bfloat16 products take many seconds
        contenders["torch Muon"] = torch.optim.Muon(made_of(hidden))
        contenders["Muon"] = Muon(made_of(hidden))
    return {name: optimizer.step for name, optimizer in contenders.items()}


def measure(
    contenders: dict[str, Callable[[], Any]],
    rounds: int,
    wait: Callable[[], Any] | None,
    clock: Callable[[], float],
    title: str,
) -> dict[str, dict[str, float]]:
    """Warm up, take turns, and print a table; ratios are to the first contender."""
    first = []
    warm_up = {}
    for name, step in (bar := tqdm(contenders.items(), desc=f"{title}: warm-up", mininterval=5)):
        bar.set_postfix_str(name)
        start = time.perf_counter()
        first.append(step())
        step()
        warm_up[name] = time.perf_counter() - start
    if isinstance(first[0], Tensor):
        losses = torch.stack(first).cpu()
        # bfloat16 has a relative precision of 0.4 %.
        torch.testing.assert_close(losses, losses[:1].expand_as(losses), rtol=1e-2 if wait else 1e-5, atol=0)
    with tqdm(total=rounds * len(contenders), desc=f"{title}: measuring", mininterval=5) as bar:
        seconds = alternate({name: ticking(step, bar) for name, step in contenders.items()}, rounds, wait, clock)
    peer = next(iter(contenders))
    table = {
        name: {
            "median_s": statistics.median(times),
            "ratio": ratio(seconds, name, peer),
            "best_s": min(times),
            "best_ratio": min(times) / min(seconds[peer]),
            "warm_up_s": warm_up[name],
        }
        for name, times in seconds.items()
    }
    print(f"\n{title}\n{'':26}{'median':>12}{'ratio':>8}{'best':>12}{'ratio':>8}{'warm-up':>10}")
    for name, row in table.items():
        median, best = (f"{row[key + '_s'] * 1e3:9.1f} ms{row[of]:8.3f}" for key, of in COLUMNS)
        print(f"{name:26}{median}{best}{row['warm_up_s']:8.1f} s")
    return table


def ticking(step: Callable[[], Any], bar: tqdm) -> Callable[[], Any]:
    def run() -> None:
        step()
        bar.update()

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="tinystories-17m")
    parser.add_argument("--batch-size", type=int, default=8, help="sequences of the preset's context length")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", choices=["cpu", "cuda"])
    parser.add_argument("--threads", type=int, default=None, help="CPU threads; torch's default if not given")
    parser.add_argument(
        "--output", type=Path, default=None, help="where the record goes; results/benchmarks if not given"
    )
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    if args.device == "cuda":
        torch.set_float32_matmul_precision("high")  # TF32, for what autocast leaves in float32
    torch.manual_seed(0)
    config = ModelConfig.preset(args.preset)
    wait = torch.cuda.synchronize if args.device == "cuda" else None
    alone = args.device == "cpu" and torch.get_num_threads() == 1
    clock = time.process_time if alone else time.perf_counter
    optimizers = measure(
        optimizer_steps(config, args.device),
        3 * args.rounds,
        wait,
        clock,
        f"optimizer step, parameters of {args.preset}",
    )
    training = measure(
        training_steps(config, args.batch_size, args.device),
        args.rounds,
        wait,
        clock,
        f"training step, {args.preset}, {args.batch_size} x {config.context_length} tokens",
    )
    for row in training.values():
        row["tokens_per_s"] = args.batch_size * config.context_length / row["median_s"]
    record = {
        "device": device_name(args.device),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "clock": "CPU time" if alone else "wall time",
        "precision": "bfloat16 autocast" if args.device == "cuda" else "float32",
        "preset": args.preset,
        "batch_size": args.batch_size,
        "context_length": config.context_length,
        "rounds": args.rounds,
        "training_step": training,
        "optimizer_step": optimizers,
    }
    output = args.output or RESULTS / ("model.json" if args.device == "cpu" else "model_cuda.json")
    write(output, record)
    print(f"\nwrote {output}")


if __name__ == "__main__":
    main()
