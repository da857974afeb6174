"""Everything that decides a training run, in one frozen record that goes to and from JSON (chapter 6).

A run's `config.json` is this record. Whoever has it, the library's version and the corpus can repeat the run. It never
imports torch, so that the command line can show its help at once.
"""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args

from cs336_lib.jsonfile import read_json
from cs336_lib.model.config import ModelConfig
from cs336_lib.naming import LARGEST, did_you_mean, reject_unknown, unwrapped
from cs336_lib.training.presets import PRESETS

OptimizerName = Literal["adamw", "muon", "sgd"]
ScheduleName = Literal["cosine", "wsd", "constant"]
PrecisionName = Literal["auto", "fp32", "bf16", "fp16"]
DecayOrderName = Literal["first", "last"]
CompileMode = Literal["default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs"]
AttentionName = Literal["auto", "cudnn", "flash", "efficient", "math"]
ResidualName = Literal["fp32", "half"]


@dataclass(frozen=True)
class TrainConfig:
    """A training run.

    Attributes:
        model: sizes and ablations of the model; `vocab_size` is also that of a tokenizer trained for the run.
        name: the run's name, and that of its folder.
        data: "tales", "tinystories", "owt", or the path of a text file. A text alone gives its last twentieth as
            validation set.
        valid_data: path of a validation text, if `data` is a path.
        data_bytes: use at most so many bytes of training text; 0 for all of it (of the built-in tales, which have no
            end, 20 MB, or as much as the run reads, if it would read those more than four times).
        tokenizer: folder of a tokenizer; without one it is trained on the training text.
        batch_size: sequences of a step, all devices together.
        accumulation: parts that a step's batch is computed in, one after the other, to save memory; must divide
            batch_size.
        steps: optimizer steps.
        optimizer: "adamw", "muon" (AdamW for embeddings, head and norms) or "sgd".
        lr: highest learning rate; with "muon" that of embeddings, head and norms.
        min_lr: learning rate at the end.
        muon_lr: highest learning rate of Muon's matrices; it follows the same schedule.
        warmup_steps: steps of the linear warm-up.
        schedule: "cosine", "wsd" (warm-up, stable, decay) or "constant" (after the warm-up).
        decay_steps: steps of the decay of "wsd".
        beta1: decay rate of AdamW's first moment.
        beta2: decay rate of AdamW's second moment.
        eps: AdamW's epsilon.
        weight_decay: decoupled weight decay.
        decay_order: "first" decays before the update, as the assignment of 2026 and torch do; "last" after it, as that
            of 2025. Runs on record that do not say it are of the second kind.
        grad_clip: largest global norm of the gradient; 0 for no clipping.
        loss_chunk: rows of logits in memory at a time, 0 for all; leaner by far when V is large.
        log_every: steps between lines of metrics. The device is waited for only then.
        eval_every: steps between evaluations; 0 for one at the end.
        eval_windows: windows of the validation set to evaluate on; 0 for the whole set.
        sample_every: steps between samples; 0 for one at the end.
        sample_tokens: tokens of a sample.
        sample_prompt: what samples begin with.
        checkpoint_every: steps between checkpoints; 0 for one at the end.
        keep_checkpoints: how many of the last ones stay; the best by validation loss always does.
        diverged_above: after the warm-up a training loss above so many nats stops the run; 0 stands for 3 ln V. NaN and
            inf always do.
        seed: decides weights and order of the data.
        device: "auto" (CUDA, else MPS, else CPU) or a device of torch.
        precision: "auto" (what fits the device), "fp32", "bf16" or "fp16".
        tf32: let CUDA compute float32 products with TF32.
        compile: compile the model; None does so where it works and pays: on CUDA, and on a CPU in a run of ten minutes.
        compile_mode: torch.compile's mode; "reduce-overhead" is CUDA graphs.
        compile_optimizer: compile the update as well; None does so where the model is compiled on CUDA, in one process.
        attention: which of torch's kernels the fast backend tries first on CUDA; "auto" is cuDNN's from compute
            capability 9.0 on, else torch's own choice.
        pad_head: multiply with a head that has rows of zeros up to a multiple of 64; None does so with the fast backend
            on tensor cores that the size of the vocabulary would keep waiting. No checkpoint knows of them.
        residual: type of the residual stream under autocast, "fp32" or "half": half the bytes, and sums rounded to
            8 bits.
        resident: hold all tokens on the device; None does so on CUDA when they take a tenth of its memory at most.
        peak_flops: FLOP/s that MFU is measured against; 0 looks the device up.
        tensorboard: mirror the metrics to TensorBoard (needs tensorboard).
        wandb: mirror the metrics to the Weights & Biases project of this name (needs wandb).

    Raises:
        ValueError: a value is out of its range or does not fit another; the error names both.

    >>> config = TrainConfig.preset("tinystories-17m")
    >>> config.tokens, TrainConfig.from_dict(config.to_dict()) == config
    (327680000, True)
    >>> TrainConfig.from_dict({**config.to_dict(), "learning_rate": 1})
    Traceback (most recent call last):
    ValueError: unknown key 'learning_rate'; allowed: model, name, data, ...
    """

    model: ModelConfig
    name: str = "run"
    data: str = "tales"
    valid_data: str | None = None
    data_bytes: int = 0
    tokenizer: str | None = None
    batch_size: int = 32
    accumulation: int = 1
    steps: int = 1_000
    optimizer: OptimizerName = "adamw"
    lr: float = 3e-3
    min_lr: float = 3e-5
    muon_lr: float = 0.02
    warmup_steps: int = 100
    schedule: ScheduleName = "cosine"
    decay_steps: int = 0
    beta1: float = 0.9
    beta2: float = 0.95
    eps: float = 1e-8
    weight_decay: float = 0.1
    decay_order: DecayOrderName = "first"
    grad_clip: float = 1.0
    loss_chunk: int = 0
    log_every: int = 10
    eval_every: int = 0
    eval_windows: int = 0
    sample_every: int = 0
    sample_tokens: int = 256
    sample_prompt: str = "Once upon a time"
    checkpoint_every: int = 0
    keep_checkpoints: int = 2
    diverged_above: float = 0.0
    seed: int = 0
    device: str = "auto"
    precision: PrecisionName = "auto"
    tf32: bool = True
    compile: bool | None = None
    compile_mode: CompileMode = "default"
    compile_optimizer: bool | None = None
    attention: AttentionName = "auto"
    pad_head: bool | None = None
    residual: ResidualName = "fp32"
    resident: bool | None = None
    peak_flops: float = 0.0
    tensorboard: bool = False
    wandb: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.model, ModelConfig):
            raise ValueError(f"model is {self.model!r}; it must be a ModelConfig")
        for name in _FIELDS:
            object.__setattr__(self, name, unwrapped(getattr(self, name)))
        for name, allowed in _CHOICES.items():
            if not isinstance(getattr(self, name), str) or getattr(self, name) not in allowed:
                hint = did_you_mean(str(getattr(self, name)), allowed)
                raise ValueError(f"{name} is {getattr(self, name)!r}{hint}; allowed: {', '.join(map(repr, allowed))}")
        for name, least in _WHOLE.items():
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise ValueError(f"{name} is {value!r}; it must be a whole number, {least} or more")
            if value > LARGEST:
                raise ValueError(f"{name} is {value}; it must be less than 2**63")
        for name in _REAL:
            value = getattr(self, name)
            if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= sys.float_info.max:
                raise ValueError(f"{name} is {value!r}; it must be a number, 0 or more, and finite as a float")
        for names, kind, what in _PLAIN:
            for name in names:
                value = getattr(self, name)
                if not isinstance(value, kind) or value == "":
                    raise ValueError(f"{name} is {value!r}; it must be {what}")
        for name in ("beta1", "beta2"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)!r}; it must be at least 0 and less than 1")
        if not isinstance(self.sample_prompt, str):
            raise ValueError(f"sample_prompt is {self.sample_prompt!r}; it must be text")
        self._check_together()

    def _check_together(self) -> None:
        if self.batch_size % self.accumulation:
            raise ValueError(
                f"accumulation is {self.accumulation}, which does not divide batch_size = {self.batch_size}"
            )
        if self.accumulation > 1 and self.compile is not False and self.compile_mode in _GRAPH_MODES:
            raise ValueError(
                f"accumulation is {self.accumulation} and compile_mode {self.compile_mode!r}, which records CUDA "
                "graphs: the second part of a step would overwrite the gradients of the first. Use compile_mode "
                "'default' or 'max-autotune-no-cudagraphs', or accumulation 1"
            )
        if self.warmup_steps + self.decay_steps > self.steps:
            raise ValueError(
                f"warmup_steps + decay_steps = {self.warmup_steps} + {self.decay_steps} do not fit in "
                f"steps = {self.steps}; take fewer (warmup_steps = {self.steps // 10}), or more steps"
            )
        if self.min_lr > self.lr:
            raise ValueError(f"min_lr is {self.min_lr}, more than lr = {self.lr}")
        if not self.name or self.name.startswith(".") or any(c in self.name for c in '/\\:*?"<>|\0'):
            raise ValueError(f"name is {self.name!r}; it becomes the name of a folder: letters, digits, '-', '_', '.'")
        if self.valid_data and self.data in ("tales", "tinystories", "owt"):
            raise ValueError(f"data is {self.data!r}, which has its own validation set; leave valid_data out")

    @property
    def tokens(self) -> int:
        """Tokens that the whole run trains on."""
        return self.steps * self.batch_size * self.model.context_length

    @property
    def loss_limit(self) -> float:
        """The training loss in nats above which a run is stopped once its warm-up is over."""
        return self.diverged_above or 3 * math.log(self.model.vocab_size)

    def replace(self, **changes: Any) -> TrainConfig:
        """Return a copy with some fields changed.

        Raises:
            ValueError: a field is unknown or a value does not fit.
        """
        reject_unknown(changes, _FIELDS)
        return replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """Return all fields as plain JSON values; `from_dict` is the inverse."""
        return asdict(self)

    def to_json(self) -> str:
        """Return the text of a `config.json`; `from_json` is the inverse."""
        return json.dumps(self.to_dict(), indent=2) + "\n"

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TrainConfig:
        """Build a config from a mapping; `model` may be a mapping as well, or the name of a model's preset.

        Raises:
            ValueError: a key is unknown (the nearest one and all allowed ones are named) or a required one is missing.
        """
        reject_unknown(values, _FIELDS)
        required = [field.name for field in fields(cls) if field.default is MISSING]
        if missing := [name for name in required if name not in values]:
            raise ValueError(f"missing {', '.join(missing)}")
        model = values["model"]
        if isinstance(model, str):
            model = ModelConfig.preset(model)
        elif isinstance(model, Mapping):
            try:
                model = ModelConfig.from_dict(model)
            except ValueError as error:
                raise ValueError(f"in model: {error}") from None
        return cls(**{**values, "model": model})

    @classmethod
    def from_json(cls, text: str) -> TrainConfig:
        """Build a config from the text of a `config.json`.

        One that does not name `decay_order` is from before there was a choice and stands for "last", so that an old run
        goes on, or is repeated, as it was.

        Raises:
            ValueError: the text is not JSON, or as `from_dict`.
        """
        try:
            values = json.loads(text)
        except RecursionError:
            raise ValueError("this is no config: it is nested too deeply") from None
        except json.JSONDecodeError as error:
            raise ValueError(f"this is no JSON: {error}") from None
        if not isinstance(values, dict):
            raise ValueError(f"a config is a JSON object, this is {type(values).__name__}")
        return cls.from_dict({"decay_order": "last", **values})

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> TrainConfig:
        """Read a `config.json`, as `from_json` does.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: it is not JSON, or as `from_dict`; the error names the file.
        """
        if not Path(path).is_file():
            raise FileNotFoundError(f"there is no file {str(path)!r} (looked from {Path.cwd()})")
        values = read_json(path)
        try:
            return cls.from_dict({"decay_order": "last", **values})
        except (ValueError, TypeError) as error:
            raise ValueError(f"{path}: {error}") from None

    @classmethod
    def preset(cls, name: str) -> TrainConfig:
        """Return a named run.

        Args:
            name: "tales-1m", "tinystories-17m", "owt-17m", "owt-124m" or "tinystories-40m-tokens".

        Raises:
            ValueError: there is no such preset; the error lists all of them.
        """
        if not isinstance(name, str) or name not in PRESETS:
            raise ValueError(f"unknown preset {name!r}{did_you_mean(name, PRESETS)}; allowed: {', '.join(PRESETS)}")
        return cls(**PRESETS[name])

    @classmethod
    def presets(cls) -> dict[str, TrainConfig]:
        """Return all named runs."""
        return {name: cls.preset(name) for name in PRESETS}


_GRAPH_MODES = ("reduce-overhead", "max-autotune")
_CHOICES: dict[str, tuple[str, ...]] = {
    "optimizer": get_args(OptimizerName),
    "schedule": get_args(ScheduleName),
    "precision": get_args(PrecisionName),
    "compile_mode": get_args(CompileMode),
    "attention": get_args(AttentionName),
    "residual": get_args(ResidualName),
    "decay_order": get_args(DecayOrderName),
}
_WHOLE = {
    **dict.fromkeys(("batch_size", "accumulation", "steps", "log_every", "sample_tokens", "keep_checkpoints"), 1),
    **dict.fromkeys(("data_bytes", "warmup_steps", "decay_steps", "loss_chunk", "seed"), 0),
    **dict.fromkeys(("eval_every", "eval_windows", "sample_every", "checkpoint_every"), 0),
}
_PLAIN: tuple[tuple[tuple[str, ...], Any, str], ...] = (
    (("name", "data", "device"), str, "some text"),
    (("valid_data", "tokenizer", "wandb"), str | None, "some text, or null (None)"),
    (("tf32", "tensorboard"), bool, "true or false"),
    (("compile", "compile_optimizer", "pad_head", "resident"), bool | None, "true, false or null (None)"),
)
_REAL = (
    "beta1",
    "beta2",
    "lr",
    "min_lr",
    "muon_lr",
    "eps",
    "weight_decay",
    "grad_clip",
    "diverged_above",
    "peak_flops",
)
_FIELDS = [field.name for field in fields(TrainConfig)]
