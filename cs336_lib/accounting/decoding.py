"""The KV cache's size, and the time of a decoding step (chapter 5)."""

from __future__ import annotations

from dataclasses import dataclass

from cs336_lib.accounting.breakdown import check_config, check_count, check_sizes
from cs336_lib.accounting.devices import Device
from cs336_lib.accounting.devices import device as find_device
from cs336_lib.accounting.flops import forward_flops
from cs336_lib.accounting.intensity import BYTES
from cs336_lib.accounting.parameters import parameter_count
from cs336_lib.model.config import ModelConfig


def kv_cache_bytes(
    cfg: ModelConfig, context_length: int | None = None, batch_size: int = 1, *, bytes_per_value: int = 2
) -> int:
    """Return the bytes of a KV cache: 2 L B S D values, a key and a value for each layer and token.

    Args:
        cfg: the model.
        context_length: S, tokens kept; the model's context length when None.
        batch_size: B.
        bytes_per_value: 2 in half precision, 4 in float32.

    Returns:
        Bytes.

    Raises:
        ValueError: a size is not a positive whole number.

    >>> kv_cache_bytes(ModelConfig.preset("gpt2-xl"))                              # 307,200 bytes per token
    314572800
    """
    S, B = check_sizes(cfg, context_length, batch_size)
    return 2 * cfg.num_layers * B * S * cfg.d_model * check_count("bytes_per_value", bytes_per_value)


@dataclass(frozen=True)
class DecodingStep:
    """What one more token for each sequence of a batch costs.

    Attributes:
        flops: matrix products, with all keys and values so far.
        weight_bytes: parameters read; of the input embedding only the rows of the new tokens.
        cache_bytes: keys and values read.
        compute_seconds: FLOPs over the peak.
        memory_seconds: bytes over the bandwidth.
        batch_size: sequences side by side.
    """

    flops: int
    weight_bytes: int
    cache_bytes: int
    compute_seconds: float
    memory_seconds: float
    batch_size: int

    @property
    def seconds(self) -> float:
        """The least time a step can take, the longer of the two."""
        return max(self.compute_seconds, self.memory_seconds)

    @property
    def tokens_per_second(self) -> float:
        """New tokens per second over the whole batch, at most."""
        return self.batch_size / self.seconds


def decode_time(
    cfg: ModelConfig,
    device: str | Device,
    cached: int | None = None,
    batch_size: int = 1,
    *,
    dtype: str = "bfloat16",
) -> DecodingStep:
    """Estimate a decoding step from below: every weight and the cache are read once, launch times are nothing.

    At batch 1 each weight that is read serves two FLOPs, where a device needs hundreds to be busy: decoding waits for
    memory. Sequences side by side share the weights, though not their caches.

    Args:
        cfg: the model.
        device: a name of `DEVICES`, or a `Device`.
        cached: tokens that the cache holds before the step; a full context less the new token when None.
        batch_size: B.
        dtype: type of weights and cache.

    Returns:
        The step's FLOPs, bytes and least time.

    Raises:
        ValueError: a size is not a whole number in its range, or device or dtype is unknown.

    >>> step = decode_time(ModelConfig.preset("gpt2-xl"), "a100-80gb")
    >>> step.memory_seconds > 100 * step.compute_seconds, round(step.tokens_per_second)
    (True, 463)
    """
    check_config(cfg)
    batch_size = check_count("batch_size", batch_size)
    held = cfg.context_length - 1 if cached is None else check_count("cached", cached, least=0)
    where = find_device(device)
    peak, width = where.peak(dtype), BYTES[dtype]
    flops = forward_flops(cfg, 1, batch_size, cached=held).total
    parameters = parameter_count(cfg)
    read = parameters.total if cfg.tie_embeddings else parameters.total - parameters["embedding"]
    weights = (read + batch_size * cfg.d_model) * width
    cache = kv_cache_bytes(cfg, held + 1, batch_size, bytes_per_value=width)
    return DecodingStep(flops, weights, cache, flops / peak, (weights + cache) / where.bandwidth, batch_size)
