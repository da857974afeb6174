"""Keys and values of the tokens seen so far, so that decoding computes each of them once (chapter 7).

B batch, S new tokens, T tokens so far, L layers, H heads, K head dim.

Without a cache, the n-th token of a generation costs a forward pass over n tokens; with it, over one.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from cs336_lib.model.config import ModelConfig, check_config
from cs336_lib.model.layers import outside
from cs336_lib.model.shapes import Bool, Float, Int
from cs336_lib.naming import LARGEST, check_whole


@dataclass(frozen=True)
class LayerCache:
    """One layer's part of a `KVCache`: what its attention sees.

    Attributes:
        keys: (B, H, capacity, K), of which the first `length` are filled.
        values: the same for the values.
        length: tokens seen before this step.
    """

    keys: Tensor
    values: Tensor
    length: int

    def append(
        self, k: Float[Tensor, "B H S K"], v: Float[Tensor, "B H S K"], token_positions: Int[Tensor, "... S"] | None
    ) -> tuple[Float[Tensor, "B H T K"], Float[Tensor, "B H T K"], Bool[Tensor, "... S T"]]:
        """Keep new keys and values, and return all so far with the mask of who may attend to whom.

        Position p is kept in slot p, and a query at position p may attend to slots 0 ... p. That is all it takes for
        rows of unequal length: a shorter prompt is padded on the right, its padding is never in anybody's past, and
        the row's next real token overwrites it.

        Args:
            k: new keys, (B, H, S, K).
            v: new values, (B, H, S, K).
            token_positions: (S,) when all rows are in step: the positions that follow those in the cache; (B, S)
                otherwise.

        Returns:
            Keys (B, H, T, K), values (B, H, T, K) and a mask (S, T) or (B, 1, S, T), with T = length + S.
        """
        if token_positions is None:
            raise ValueError("a cache needs token_positions, which say where the keys and values are to be kept")
        if k.requires_grad and torch.is_grad_enabled():
            raise ValueError(
                "a KV cache is for inference: call the model under torch.no_grad() or torch.inference_mode()"
            )
        batch, heads, _, width = self.keys.shape
        for name, new in (("k", k), ("v", v)):
            if new.shape != (batch, heads, k.shape[-2], width):
                raise ValueError(
                    f"{name} has shape {tuple(new.shape)}; the cache holds (B, H, S, K) = "
                    f"({batch}, {heads}, S, {width})"
                )
        end = self.length + k.shape[-2]
        keys, values = self.keys[:, :, :end], self.values[:, :, :end]
        if token_positions.ndim == 1:
            keys[:, :, self.length :] = k
            values[:, :, self.length :] = v
        else:
            slots = token_positions[:, None, :, None].expand_as(k)  # B S -> B H S K
            keys.scatter_(2, slots, k.to(keys.dtype))
            values.scatter_(2, slots, v.to(values.dtype))
            token_positions = token_positions[:, None]  # B S -> B 1 S
        mask = token_positions[..., None] >= torch.arange(end, device=k.device)
        return keys.to(k.dtype), values.to(v.dtype), mask


def check_layer_cache(cache: LayerCache) -> LayerCache:
    """Return what one layer's attention reads, or say what was given in its place.

    Raises:
        TypeError: it is something else, such as the cache of the whole model.
    """
    if not hasattr(cache, "append") or isinstance(cache, list):
        raise TypeError(
            f"the cache of one layer must be a LayerCache, got {type(cache).__name__}; KVCache.layer(index) gives one"
        )
    return cache


class KVCache:
    """Room for the keys and values of every layer, allocated once.

    Pass it to `TransformerLM.forward`, which attends to what it holds and adds the new tokens to it.

    Args:
        config: the model's configuration.
        batch_size: B, number of sequences decoded side by side.
        capacity: most tokens a sequence may have; the context length when None.
        device: where the tensors live; use the model's.
        dtype: type of the tensors; use the model's (under autocast, the autocast type).

    Raises:
        TypeError: a number is no whole number.
        ValueError: the capacity is not between 1 and the context length, or the batch size below 1.

    >>> from cs336_lib.model import TransformerLM
    >>> config = ModelConfig.preset("tales-1m")
    >>> model, cache = TransformerLM(config), KVCache(config, batch_size=1)
    >>> with torch.no_grad():
    ...     prompt = model(torch.tensor([[5, 6, 7]]), cache=cache)     # (1, 3, V)
    ...     next_one = model(torch.tensor([[8]]), cache=cache)         # (1, 1, V), attends to all four
    >>> len(cache)
    4
    """

    def __init__(
        self,
        config: ModelConfig,
        batch_size: int,
        capacity: int | None = None,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        check_config("config", config)
        batch_size = check_whole("batch_size", batch_size, 1)
        capacity = config.context_length if capacity is None else check_whole("capacity", capacity, -LARGEST)
        if not 1 <= capacity <= config.context_length:
            raise ValueError(f"capacity is {capacity}; it must be from 1 to context_length = {config.context_length}")
        shape = (config.num_layers, batch_size, config.num_heads, capacity, config.head_dim)
        self.keys = torch.zeros(shape, device=device, dtype=dtype)  # L B H capacity K
        self.values = torch.zeros(shape, device=device, dtype=dtype)
        self.capacity = capacity
        self._length = 0

    def __len__(self) -> int:
        """Return the number of tokens seen, padding included."""
        return self._length

    def layer(self, index: int) -> LayerCache:
        """Return the part that belongs to one layer."""
        return LayerCache(self.keys[index], self.values[index], self._length)

    def check_config(self, config: ModelConfig) -> None:
        """Raise ValueError if the cache was made for a model of other layers or heads."""
        there, wanted = self.keys.shape, (config.num_layers, config.num_heads, config.head_dim)
        if (there[0], there[2], there[4]) != wanted:
            raise ValueError(
                f"the cache was made for {_sizes(there[0], there[2], there[4])}, the model has {_sizes(*wanted)}; make "
                "it with KVCache(model.config, batch_size)"
            )

    def check_room(self, batch_size: int, new_tokens: int) -> None:
        """Raise ValueError if so many tokens of so many sequences do not fit."""
        if batch_size != self.keys.shape[1]:
            raise ValueError(f"the batch has {batch_size} sequences, the cache was made for {self.keys.shape[1]}")
        if self._length + new_tokens > self.capacity:
            raise ValueError(
                f"the cache has room for {self.capacity} tokens and holds {self._length}; {new_tokens} more do not "
                "fit. Truncate it, or start a new one from the last tokens"
            )

    def check_positions(self, token_positions: Int[Tensor, "... S"]) -> None:
        """Raise ValueError, on the CPU, where looking is free, if new tokens at these positions would leave a gap.

        Args:
            token_positions: (S,): those that follow the cache's, in order; (B, S): up to where (S,) would end.
        """
        first, end = self._length, self._length + token_positions.shape[-1]
        if token_positions.ndim == 1:
            right = torch.arange(first, end, device=token_positions.device)
            if outside(token_positions - right, 1) is not None:
                raise ValueError(
                    f"the cache holds {first} tokens, so token_positions of {tuple(token_positions.shape)} must be "
                    f"{first} to {end - 1}, in order; leave them out, or give each row its own, (batch, {end - first})"
                )
        elif (bad := outside(token_positions, end)) is not None:
            raise ValueError(
                f"position {bad} is outside the cache: it holds {first} tokens, so with {end - first} more they run "
                f"from 0 to {end - 1}"
            )

    def advance(self, new_tokens: int) -> None:
        """Count tokens whose keys and values all layers have kept."""
        self._length += new_tokens

    def truncate(self, length: int) -> None:
        """Forget all but the first `length` tokens; 0 empties the cache.

        Raises:
            TypeError: the length is no whole number.
            ValueError: the cache holds fewer tokens.
        """
        length = check_whole("length", length, -LARGEST)
        if not 0 <= length <= self._length:
            raise ValueError(f"cannot truncate to {length} tokens: the cache holds {self._length}")
        self._length = length

    @property
    def nbytes(self) -> int:
        """Bytes allocated for keys and values."""
        return self.keys.nbytes + self.values.nbytes


def _sizes(layers: int, heads: int, width: int) -> str:
    return f"{layers} layer{'s' * (layers != 1)} of {heads} head{'s' * (heads != 1)}, {width} wide"
