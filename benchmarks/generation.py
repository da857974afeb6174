"""Writing text with the cache: ours against transformers' `generate` on the same model, exported, in tokens per second.

    python benchmarks/generation.py                          # the two small models; a minute or two on a CPU
    python benchmarks/generation.py --presets tales-1m --rows 1 --tokens 200

The model is exported (`to_hf_llama`) and opened by transformers, so both sides have the same weights; at temperature 0
both must write the same tokens before anything is timed. Then both draw with temperature 0.8 and top-p 0.95, as many
tokens as fit into the context, with their caches, from prompts of 8 tokens. Contenders take turns, and the table shows
medians over the rounds. The kernels are ready before the clock starts.

Writes results/benchmarks/generation.json.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from harness import alternate, device_name, write
from tqdm import tqdm

from cs336_lib.generation import SamplingConfig
from cs336_lib.generation.compiled_sampling import DRAW
from cs336_lib.generation.decoding import decode
from cs336_lib.model import ModelConfig, TransformerLM
from cs336_lib.model.compiled_step import STEP
from cs336_lib.model.llama import to_hf_llama

RESULTS = Path(__file__).parents[1] / "results" / "benchmarks"
PROMPT = 8


def writers(config: ModelConfig, rows: int, tokens: int, device: str) -> dict[str, Callable[[], Any]]:
    """Return a function for each contender that writes so many tokens in so many rows."""
    import transformers

    transformers.logging.set_verbosity_error()
    torch.manual_seed(0)
    model = TransformerLM(config.replace(backend="fast")).eval()
    with tempfile.TemporaryDirectory() as folder:
        peer = transformers.AutoModelForCausalLM.from_pretrained(to_hf_llama(model, folder)).eval().to(device)
    model.to(device)
    prompts = torch.randint(config.vocab_size, (rows, PROMPT))

    def ours(temperature: float = 0.8, count: int = tokens) -> list[list[int]]:
        sampling = SamplingConfig(max_tokens=count, temperature=temperature, top_p=0.95, seed=0)
        written: list[list[int]] = [[] for _ in range(rows)]
        for step in decode(model, prompts, sampling):
            written[step.row].append(step.token)
        return written

    def theirs(temperature: float = 0.8, count: int = tokens) -> list[list[int]]:
        how: dict[str, Any] = {"do_sample": False}
        if temperature:
            how = {"do_sample": True, "temperature": temperature, "top_p": 0.95, "top_k": 0}
        with torch.inference_mode():
            ids = peer.generate(
                prompts.to(device),
                attention_mask=torch.ones_like(prompts).to(device),
                max_new_tokens=count,
                min_new_tokens=count,
                pad_token_id=0,
                **how,
            )
        return [row[PROMPT:] for row in ids.tolist()]

    if ours(0.0, 32) != theirs(0.0, 32):
        raise AssertionError("the two do not write the same tokens, so there is nothing to compare")
    return {"transformers": theirs, "cs336_lib": ours}


def read_bytes(config: ModelConfig) -> int:
    """Return the bytes of weights that a step over one row must read: all but the table of embeddings, in float32."""
    model = TransformerLM(config, device="meta")
    table = 0 if config.tie_embeddings else model.token_embeddings.weight.numel()
    return 4 * (sum(weight.numel() for weight in model.parameters()) - table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--presets", nargs="+", default=["tales-1m", "tinystories-17m"])
    parser.add_argument("--rows", nargs="+", type=int, default=[1, 16], help="prompts side by side")
    parser.add_argument("--tokens", type=int, default=200, help="to write in each row")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", choices=["cpu", "cuda"])
    parser.add_argument(
        "--output", type=Path, default=None, help="where the record goes; results/benchmarks if not given"
    )
    args = parser.parse_args()
    for library in (STEP, DRAW):  # what is timed is not the first text on a new machine, which goes by numpy
        library.load()
    record: dict[str, Any] = {
        "device": device_name(args.device),
        "threads": torch.get_num_threads(),
        "tokens": args.tokens,
        "rounds": args.rounds,
        "settings": "temperature 0.8, top-p 0.95, cache, prompts of 8 tokens, float32",
        "cases": {},
    }
    for preset in args.presets:
        for rows in args.rows:
            config = ModelConfig.preset(preset)
            tokens = min(args.tokens, config.context_length - PROMPT)
            contenders = writers(config, rows, tokens, args.device)
            with tqdm(total=args.rounds, desc=f"{preset}, {rows} rows", disable=None) as bar:
                seconds: dict[str, list[float]] = {name: [] for name in contenders}
                for _ in range(args.rounds):
                    for name, took in alternate(contenders, 1).items():
                        seconds[name] += took
                    bar.update()
            rates = {name: rows * tokens / statistics.median(took) for name, took in seconds.items()}
            ratios = [b / a for a, b in zip(seconds["cs336_lib"], seconds["transformers"], strict=True)]
            record["cases"][f"{preset}, {rows} rows"] = {
                "tokens_per_second": rates,
                "gigabytes_per_second": {name: rate / rows * read_bytes(config) / 1e9 for name, rate in rates.items()},
                "ratio": statistics.median(ratios),
                "ratios": ratios,
            }
            print(
                f"{preset:16} {rows:3} rows  transformers {rates['transformers']:9,.0f}   cs336_lib"
                f" {rates['cs336_lib']:9,.0f} tokens/s   ratio {statistics.median(ratios):.2f}"
                f" ({min(ratios):.2f} to {max(ratios):.2f})"
            )
    write(args.output or RESULTS / f"generation{'' if args.device == 'cpu' else '_cuda'}.json", record)


if __name__ == "__main__":
    main()
