"""From a config to the things that it names: optimizer, learning rates, compiled loss, facts for the record."""

from __future__ import annotations

import hashlib
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from cs336_lib.accounting import parameter_count
from cs336_lib.amounts import size
from cs336_lib.bpe import Tokenizer
from cs336_lib.data.batches import EpochSampler, resident
from cs336_lib.environment import commit, environment
from cs336_lib.model import TransformerLM
from cs336_lib.optim import SGD, AdamW, Muon, cosine_schedule, wsd_schedule
from cs336_lib.training.attending import choose_attention
from cs336_lib.training.config import TrainConfig
from cs336_lib.training.corpus import PreparedCorpus
from cs336_lib.training.engines.single import SingleDevice
from cs336_lib.training.evaluation import flat_ids
from cs336_lib.training.heading import choose_head, padded
from cs336_lib.training.loss import chunked_cross_entropy, cross_entropy, fused_cross_entropy
from cs336_lib.training.ranks import Ranks
from cs336_lib.training.records import CONFIG, RunRecord


class LossModule(nn.Module):
    """A model with its loss, so that both are compiled, or wrapped by an engine, as one.

    With the model's fast backend and nothing compiled, the loss on a CPU is the fused one.

    Args:
        model: the language model.
        loss_chunk: rows of logits at a time; 0 for all.
        head_rows: of the head while it is multiplied with; 0 for as many as the vocabulary has entries.
    """

    def __init__(self, model: TransformerLM, loss_chunk: int = 0, head_rows: int = 0) -> None:
        super().__init__()
        self.model, self.loss_chunk, self.head_rows = model, loss_chunk, head_rows

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the mean loss of targets y, (B, S), after x, (B, S)."""
        head = self.model.head_weight
        entries, is_padded = len(head), self.head_rows > len(head)
        if is_padded:
            head = padded(head, self.head_rows)
        if self.loss_chunk:
            return chunked_cross_entropy(self.model.hidden_states(x), head, y, self.loss_chunk, entries=entries)
        logits = (self.model.hidden_states(x) @ head.T)[..., :entries] if is_padded else self.model(x)
        by_hand = self.model.config.backend == "fast" and x.device.type == "cpu" and not torch.compiler.is_compiling()
        return (fused_cross_entropy if by_hand else cross_entropy)(logits, y)


def make_optimizer(config: TrainConfig, model: nn.Module, compile: bool = False) -> Optimizer:
    """Return the optimizer that a config names, for the parameters of a model.

    With the model's fast backend, AdamW on a CPU is updated by torch's kernel too: it takes half the time of the
    operations one by one.

    Args:
        config: of the run.
        model: whose parameters are updated.
        compile: compile the update, of the optimizers that can be.
    """
    betas = config.beta1, config.beta2
    fused = not compile and config.model.backend == "fast" and next(model.parameters()).device.type == "cpu"
    if config.optimizer == "sgd":
        return SGD(model.parameters(), lr=config.lr)
    if config.optimizer == "muon":
        return Muon.for_model(
            model,
            lr=config.muon_lr,
            adamw_lr=config.lr,
            weight_decay=config.weight_decay,
            betas=betas,
            eps=config.eps,
            decay_order=config.decay_order,
            compile=compile,
            fused=fused,
        )
    decay: dict[str, Any] = {"weight_decay": config.weight_decay, "decay_order": config.decay_order}
    return AdamW(model.parameters(), config.lr, betas, config.eps, compile=compile, fused=fused, **decay)


def is_fused(optimizer: Optimizer) -> bool:
    """Whether an optimizer of this project leaves its updates to torch's kernel."""
    return getattr(optimizer, "path", None) == "fused"


def make_sampler(config: TrainConfig, ids: Any, ranks: Ranks) -> EpochSampler:
    """Return what draws this rank's batches, each a part of a step, from ids on the disk or on the device."""
    return EpochSampler(
        ids,
        config.batch_size // config.accumulation // ranks.world_size,
        config.model.context_length,
        seed=config.seed,
        rank=ranks.rank,
        world_size=ranks.world_size,
    )


def size_of(model: nn.Module) -> int:
    """Return the number of parameters, each counted once."""
    return sum(p.numel() for p in model.parameters())


def schedule_factor(config: TrainConfig, step: int) -> float:
    """Return the part of the highest learning rate that step number `step`, counted from 0, gets.

    The schedules are asked for step + 1, so that the first step moves and the last one gets `min_lr`.

    >>> from cs336_lib.model import ModelConfig
    >>> config = TrainConfig(ModelConfig.preset("tales-1m"), data_bytes=1, steps=10, warmup_steps=2, min_lr=3e-4)
    >>> [round(schedule_factor(config, step), 2) for step in (0, 1, 9)]
    [0.5, 1.0, 0.1]
    """
    low = config.min_lr / config.lr if config.lr else 0.0
    if config.schedule == "cosine":
        return cosine_schedule(step + 1, 1.0, low, config.warmup_steps, config.steps)
    if config.schedule == "wsd":
        return wsd_schedule(step + 1, 1.0, low, config.warmup_steps, config.decay_steps, config.steps)
    return min(1.0, (step + 1) / max(config.warmup_steps, 1))


def set_learning_rates(config: TrainConfig, optimizer: Optimizer, step: int) -> float:
    """Set every group's learning rate for a step and return that of the first rule, `config.lr` times the factor."""
    factor = schedule_factor(config, step)
    for group in optimizer.param_groups:
        group["lr"] = factor * (config.muon_lr if group.get("algorithm") == "muon" else config.lr)
    return factor * config.lr


def wants_resident(config: TrainConfig, device: torch.device, nbytes: int) -> bool:
    """Return whether to hold all tokens on the device: as the config says, otherwise on CUDA if they fit easily."""
    if config.resident is not None:
        return config.resident
    return device.type == "cuda" and nbytes <= torch.cuda.get_device_properties(device).total_memory / 10


def placed(config: TrainConfig, tokens: Any, device: torch.device) -> tuple[Any, bool]:
    """Return the ids to train on, on the device if that is wanted, and whether they are there."""
    is_resident = wants_resident(config, device, flat_ids(tokens).nbytes)
    return (resident(tokens, device) if is_resident else tokens), is_resident


def due(config: TrainConfig, step: int) -> dict[str, bool]:
    """Return what is to be done after a step: "log", "evaluate", "sample", "save"; after the last one, all."""
    every = {
        "log": config.log_every,
        "evaluate": config.eval_every,
        "sample": config.sample_every,
        "save": config.checkpoint_every,
    }
    return {name: step == config.steps or bool(steps and step % steps == 0) for name, steps in every.items()}


def check_batch(config: TrainConfig, world_size: int) -> None:
    """Raise ValueError unless each rank gets the same number of windows in each part of a step."""
    if config.batch_size % (config.accumulation * world_size):
        raise ValueError(
            f"batch_size is {config.batch_size}, which {world_size} processes with accumulation = "
            f"{config.accumulation} can't share evenly; use a multiple of {config.accumulation * world_size}"
        )


def check_fits(config: TrainConfig, device: torch.device, ranks: int, parallel: str | None) -> None:
    """Raise ValueError if a training step can't fit into memory, however little it kept.

    Counted are weights, gradients and moments in float32 and, for each token of a part of a step, its two ids and one
    activation per layer in half precision; what a step really keeps is several times as much.
    """
    have = memory_of(device)
    if have is None:
        return
    count = parameter_count(config.model).total
    copies = 2 + {"adamw": 2, "muon": 1, "sgd": 0}[config.optimizer]
    fixed = 4 * copies * count // (ranks if parallel == "fsdp" else 1)
    rows = config.batch_size // config.accumulation // ranks
    each = config.model.context_length * (2 * config.model.d_model * config.model.num_layers + 16)
    if fixed + rows * each > have:
        what = "memory" if device.type == "cpu" else f"memory of {device}"
        raise ValueError(
            f"this does not fit: {count:,} parameters take {size(fixed)} with gradients and moments, and "
            f"{rows:,} sequences of {config.model.context_length:,} tokens at a time at least "
            f"{size(rows * each)}; the {what} is {size(have)}. Use a smaller batch_size or model, or a larger "
            "accumulation"
        )


def memory_of(device: torch.device) -> int | None:
    """Return the bytes of memory that a device has; None where the system does not tell."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    try:
        whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows
        return None
    try:  # of a container
        return min(whole, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    except (OSError, ValueError):
        return whole


def check_prompt(config: TrainConfig, tokenizer: Tokenizer | None) -> None:
    """Raise ValueError if no sample can begin with the config's prompt: now, and not after hours."""
    if tokenizer is None:
        return
    try:
        config.sample_prompt.encode()  # a sample must be written to a file of UTF-8
        ids = tokenizer.encode(config.sample_prompt)
    except (ValueError, TypeError) as error:
        raise ValueError(f"sample_prompt is {config.sample_prompt!r}, which can't be encoded: {error}") from None
    if not ids and not tokenizer.special_tokens:
        raise ValueError("sample_prompt is empty, and the tokenizer has no <|endoftext|> to begin with; give some text")


def about_choices(
    config: TrainConfig, engine: SingleDevice, compiled: tuple[bool, str], resident: bool, stated_peak: str
) -> dict[str, Any]:
    """Return what was chosen by itself, and why, for a run's environment.json."""
    return {
        "precision": engine.precision.reason,
        "tf32": engine.precision.tf32,
        "attention": choose_attention(engine.device, config.attention)[1],
        "head": choose_head(config, engine.device, engine.precision)[1],
        "compile": config.compile_mode if compiled[0] else False,
        "compile_reason": compiled[1],
        "resident": resident,
        "mfu_peak": stated_peak,
        "evaluation": f"{config.eval_windows} windows" if config.eval_windows else "the whole validation set",
    }


def costs(device: torch.device, compile_seconds: float) -> dict[str, float]:
    """Return what a session took beside its steps: seconds of compiling, and on CUDA the most bytes of memory."""
    compiling = {"compile_seconds": round(compile_seconds, 2)} if compile_seconds else {}
    memory = {"peak_memory": torch.cuda.max_memory_allocated(device)} if device.type == "cuda" else {}
    return compiling | memory


def shown(loss: float, lr: float, rates: dict[str, float]) -> dict[str, str]:
    """Return what the progress bar shows.

    >>> shown(2.34567, 0.001, {"tokens_per_second": 12345.6})
    {'loss': '2.346', 'lr': '1.0e-03', 'tok/s': '12,346'}
    """
    rate = {"tok/s": f"{rates['tokens_per_second']:,.0f}"} if rates else {}
    return {"loss": f"{loss:.3f}", "lr": f"{lr:.1e}", **rate}


def about_data(corpus: PreparedCorpus) -> dict[str, Any]:
    """Return what must be the same for two ranks to read the same text."""
    sets = {"train": flat_ids(corpus.train), "valid": flat_ids(corpus.valid)}
    about: dict[str, Any] = {f"{name}_tokens": len(ids) for name, ids in sets.items()}
    starts = {f"{name}_start": hashlib.sha256(ids[: 1 << 20].tobytes()).hexdigest()[:16] for name, ids in sets.items()}
    return about | starts | {name: corpus.facts[name] for name in corpus.facts if name.endswith("_sha256")}


def about_ranks(parallel: str | None, world_size: int) -> dict[str, Any]:
    """Return how processes share a run, for its environment.json; nothing for one process."""
    launch = os.environ.get("TORCHELASTIC_RUN_ID", "none")
    return {"parallel": parallel, "world_size": world_size, "launch": launch} if parallel else {}


def started_anew(folder: Path, config: TrainConfig) -> bool:
    """Return whether torchrun has started the processes of a run again, after one of them died.

    Args:
        folder: of the run.
        config: what is asked for; a run of another one is not gone on with.
    """
    again = int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0
    launch = os.environ.get("TORCHELASTIC_RUN_ID", "none")
    if not (folder / CONFIG).is_file():
        return False
    record = RunRecord(folder)
    same = launch != "none" and record.environment.get("launch") == launch
    return (again or same) and record.config == config


def begin_record(
    folder: Path, config: TrainConfig, device: torch.device, tokenizer: Tokenizer | None, about: dict[str, Any]
) -> RunRecord:
    """Begin the record of a run, with the tokenizer that turns its ids into text."""
    record = RunRecord.create(folder, config, {**facts(device), **about})
    if tokenizer is not None:
        tokenizer.save(folder / "tokenizer")
    return record


def facts(device: torch.device) -> dict[str, Any]:
    """Return versions, device, threads, date and commit for a run's environment.json."""
    about: dict[str, Any] = dict(environment("torch", "numpy", "numba", "safetensors"))
    about["device"] = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type.upper()
    about["threads"] = torch.get_num_threads()
    about["date"] = datetime.now(UTC).strftime("%Y-%m-%d")
    if made_by := commit():
        about["commit"] = made_by
    return about
