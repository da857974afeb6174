"""What a model is: one frozen record of every size and every ablation.

Everything else in the library that needs to know a model's shape (the model itself, accounting, run records, export)
reads this one class. It never imports torch. Chapter 4 explains the fields, chapter 5 counts with them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields, replace
from typing import Any, Literal, get_args

from cs336_lib.naming import check_choice, check_positive, did_you_mean, reject_unknown, unwrapped, whole_number

Norm = Literal["pre", "post", "none"]
Position = Literal["rope", "none"]
FeedForward = Literal["swiglu", "silu"]
TiedLookup = Literal["scaled", "plain"]
Backend = Literal["reference", "fast"]

_SIZES = ("vocab_size", "context_length", "d_model", "num_layers", "num_heads")


def default_d_ff(d_model: int, ffn: FeedForward = "swiglu") -> int:
    """Return the feed-forward width that goes with `d_model` when none is given.

    For SwiGLU it is 8/3 d_model, rounded to the nearest multiple of 64 (and never 0). For the two-matrix SiLU network
    it is 3/2 of that, so that both variants have exactly the same number of parameters: 3 D F = 2 D (3/2 F).

    Args:
        d_model: width of the residual stream.
        ffn: which feed-forward network.

    Returns:
        The number of hidden units F.

    Source: handout, problem (positionwise_feedforward): "approximately 8/3 d_model", 1344 for 512.

    >>> default_d_ff(512), default_d_ff(768), default_d_ff(512, "silu")
    (1344, 2048, 2016)
    """
    check_choice("ffn", ffn, get_args(FeedForward))
    swiglu = 64 * max(1, (8 * whole_number("d_model", d_model) + 96) // 192)
    return swiglu if ffn == "swiglu" else swiglu * 3 // 2


@dataclass(frozen=True)
class ModelConfig:
    """The sizes and ablations of a `TransformerLM`.

    Attributes:
        vocab_size: V, number of token ids; ids run from 0 to V - 1.
        context_length: longest sequence in tokens.
        d_model: D, width of the residual stream.
        num_layers: L, number of Transformer blocks.
        num_heads: H, attention heads; each is K = D / H wide.
        d_ff: F, hidden units of the feed-forward network. 0 stands for `default_d_ff` and is replaced by it on
            construction.
        rope_theta: base of the rotary angles; not used when `position` is "none".
        norm: "pre" normalizes what each sub-layer reads, and the last block's output (`ln_final`); "post" normalizes
            the residual stream after each sub-layer is added, so that no `ln_final` is needed; "none" has no
            normalization.
        position: "rope" rotates queries and keys; "none" leaves order to the causal mask alone (NoPE).
        ffn: "swiglu" has three matrices, "silu" two.
        tie_embeddings: the output head is the embedding matrix; there is then no `lm_head`.
        tied_lookup: how a tied table is read: "scaled" multiplies each row by sqrt(D) (Vaswani et al., 2017, section
            3.4), "plain" takes it as it is. Without tied embeddings it means nothing.
        qk_norm: RMSNorm on each head's queries and keys before they are rotated.
        norm_eps: epsilon inside every RMSNorm.
        backend: "reference" reads like the paper, "fast" runs the same parameters on fused kernels.

    Raises:
        ValueError: a size is not a positive whole number, the heads do not divide d_model, a head of odd width is to be
            rotated, or a choice is not among the allowed ones.

    >>> config = ModelConfig(vocab_size=10_000, context_length=256, d_model=512, num_layers=4, num_heads=16)
    >>> config.d_ff, config.head_dim
    (1344, 32)
    >>> ModelConfig.from_dict({**config.to_dict(), "n_layers": 6})
    Traceback (most recent call last):
    ValueError: unknown key 'n_layers' (did you mean 'num_layers'?); allowed: vocab_size, context_length, ...
    """

    vocab_size: int
    context_length: int
    d_model: int
    num_layers: int
    num_heads: int
    d_ff: int = 0
    rope_theta: float = 10_000.0
    norm: Norm = "pre"
    position: Position = "rope"
    ffn: FeedForward = "swiglu"
    tie_embeddings: bool = False
    tied_lookup: TiedLookup = "scaled"
    qk_norm: bool = False
    norm_eps: float = 1e-5
    backend: Backend = "reference"

    def __post_init__(self) -> None:
        for name, allowed in _CHOICES.items():
            check_choice(name, getattr(self, name), allowed)
        for name in ("tie_embeddings", "qk_norm"):
            object.__setattr__(self, name, unwrapped(getattr(self, name)))
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name} is {getattr(self, name)!r}; it must be true or false")
        for name in (*_SIZES, "d_ff"):
            value = getattr(self, name)
            try:
                whole = whole_number(name, value)
            except TypeError:
                whole = -1
            if whole < (name != "d_ff"):
                raise ValueError(f"{name} is {value!r}; it must be a positive whole number")
            object.__setattr__(self, name, whole)
        for name in ("rope_theta", "norm_eps"):
            value = getattr(self, name)
            try:
                object.__setattr__(self, name, check_positive(name, value))
            except (TypeError, ValueError):
                raise ValueError(f"{name} is {value!r}; it must be a positive number, finite as a float") from None
        if self.d_model % self.num_heads:
            raise ValueError(f"num_heads is {self.num_heads}, which does not divide d_model = {self.d_model}")
        if self.position == "rope" and self.head_dim % 2:
            raise ValueError(
                f"RoPE turns pairs of channels, so each head must be of even width; d_model / num_heads is "
                f"{self.d_model} / {self.num_heads} = {self.head_dim}. Change num_heads, or set position='none'"
            )
        if self.d_ff == 0:
            object.__setattr__(self, "d_ff", default_d_ff(self.d_model, self.ffn))

    @property
    def head_dim(self) -> int:
        """K, the width of one attention head."""
        return self.d_model // self.num_heads

    @property
    def lookup_scale(self) -> float:
        """What a looked-up row is multiplied by: sqrt(D) for a tied table that is read scaled, else 1.

        >>> ModelConfig(10, 8, d_model=64, num_layers=1, num_heads=2, tie_embeddings=True).lookup_scale
        8.0
        """
        return math.sqrt(self.d_model) if self.tie_embeddings and self.tied_lookup == "scaled" else 1.0

    def to_dict(self) -> dict[str, Any]:
        """Return all fields as plain JSON values; `from_dict` is the inverse."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ModelConfig:
        """Build a config from a mapping, such as a parsed JSON file.

        A mapping with tied embeddings that does not name `tied_lookup` is from before there was a choice and stands for
        "plain", so that an old checkpoint computes what it computed.

        Raises:
            ValueError: a key is unknown (the nearest one and all allowed ones are named) or a required one is missing.
        """
        reject_unknown(values, _FIELDS)
        required = [field.name for field in fields(cls) if field.default is MISSING]
        if missing := [name for name in required if name not in values]:
            raise ValueError(f"missing {', '.join(missing)}; required: {', '.join(required)}")
        if values.get("tie_embeddings") and "tied_lookup" not in values:
            values = {**values, "tied_lookup": "plain"}
        return cls(**values)

    def replace(self, **changes: Any) -> ModelConfig:
        """Return a copy with some fields changed.

        `d_ff` is kept as it is, with one exception that keeps ablations fair: when `ffn` changes and `d_ff` is not
        given, the width changes by 3/2 (or 2/3), so that the feed-forward network keeps its number of parameters.

        Raises:
            ValueError: a field is unknown, or no whole `d_ff` keeps the number of parameters.

        >>> swiglu = ModelConfig.preset("tinystories-17m")
        >>> swiglu.replace(ffn="silu").d_ff, swiglu.replace(ffn="silu", d_ff=2048).d_ff
        (2016, 2048)
        """
        reject_unknown(changes, _FIELDS)
        if changes.get("ffn", self.ffn) != self.ffn and "d_ff" not in changes:
            matrices = {"swiglu": 3, "silu": 2}
            d_ff, rest = divmod(self.d_ff * matrices[self.ffn], matrices.get(changes["ffn"], 1))
            if rest:
                raise ValueError(
                    f"no d_ff for ffn={changes['ffn']!r} has as many parameters as ffn={self.ffn!r} "
                    f"with d_ff = {self.d_ff}; give d_ff as well"
                )
            changes["d_ff"] = d_ff
        return replace(self, **changes)

    @classmethod
    def preset(cls, name: str) -> ModelConfig:
        """Return a named configuration.

        Args:
            name: "tales-1m" (one million parameters, for a CPU), "tinystories-17m" and "owt-17m" (the assignment's),
                "owt-124m" (of the size of a leaderboard's entry; 2,560 hidden units, as with the assignment's 32,000
                entries of the vocabulary 8/3 d_model would make 110 million), or
                "gpt2-small", "gpt2-medium", "gpt2-large", "gpt2-xl" (GPT-2's sizes with d_ff = 4 d_model, as the
                assignment of 2025 has them); with "-2026" behind, d_ff is `default_d_ff`, as in the assignment of 2026.

        Raises:
            ValueError: there is no such preset; the error lists all of them.

        >>> ModelConfig.preset("gpt2-xl").d_ff, ModelConfig.preset("gpt2-xl-2026").d_ff
        (6400, 4288)
        """
        if not isinstance(name, str) or name not in PRESETS:
            raise ValueError(f"unknown preset {name!r}{did_you_mean(name, PRESETS)}; allowed: {', '.join(PRESETS)}")
        return PRESETS[name]


def check_config(name: str, config: object) -> None:
    """Raise TypeError if something else is given for a model's config, such as a preset's name."""
    if not isinstance(config, ModelConfig):
        raise TypeError(f"{name} must be a ModelConfig, got {config!r:.60}; by its name it is ModelConfig.preset(NAME)")


_CHOICES: dict[str, tuple[str, ...]] = {
    "norm": get_args(Norm),
    "position": get_args(Position),
    "ffn": get_args(FeedForward),
    "tied_lookup": get_args(TiedLookup),
    "backend": get_args(Backend),
}
_FIELDS = [field.name for field in fields(ModelConfig)]


def _gpt2(num_layers: int, d_model: int, num_heads: int, d_ff: int = 0) -> ModelConfig:
    return ModelConfig(50_257, 1_024, d_model, num_layers, num_heads, d_ff)


_GPT2 = {"small": (12, 768, 12), "medium": (24, 1_024, 16), "large": (36, 1_280, 20), "xl": (48, 1_600, 25)}

PRESETS: dict[str, ModelConfig] = {
    "tales-1m": ModelConfig(vocab_size=1_024, context_length=256, d_model=128, num_layers=4, num_heads=4, d_ff=320),
    "tinystories-17m": ModelConfig(10_000, 256, d_model=512, num_layers=4, num_heads=16, d_ff=1_344),
    "owt-17m": ModelConfig(32_000, 256, d_model=512, num_layers=4, num_heads=16, d_ff=1_344),
    "owt-124m": ModelConfig(32_000, 512, d_model=768, num_layers=12, num_heads=12, d_ff=2_560, tie_embeddings=True),
    **{f"gpt2-{size}": _gpt2(*sizes, d_ff=4 * sizes[1]) for size, sizes in _GPT2.items()},
    **{f"gpt2-{size}-2026": _gpt2(*sizes) for size, sizes in _GPT2.items()},
}
