"""The whole model: token ids in, one score for every possible next token out (chapter 4).

B batch, S sequence, D d_model, V vocab::

    ids -> token_embeddings -> layers.0 -> ... -> layers.L-1 -> ln_final -> lm_head -> logits
    B S                  B S D                               B S D               B S V
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from cs336_lib.model.backend import kernels
from cs336_lib.model.block import TransformerBlock
from cs336_lib.model.cache import KVCache
from cs336_lib.model.config import ModelConfig, check_config
from cs336_lib.model.layers import as_ids, check_vectors, outside, truncated_normal_
from cs336_lib.model.rope import RotaryEmbedding
from cs336_lib.model.shapes import Float, Int


class TransformerLM(nn.Module):
    """A decoder-only Transformer language model.

    With tied embeddings the head is the embedding matrix, and the state dict has no `lm_head.weight`. The matrix then
    starts as a head does, N(0, 2 / (V + D)). With an embedding of unit variance a token's own logit, its row times what
    the stream still holds of that row, would be of the order of D, and all others would have a standard deviation of
    sqrt(D): a fresh model would be sure that each token comes again, and its first loss of the order of D, not ln V.
    Rows as small as a head's would drown in what the blocks add to the residual stream (a norm repairs only what the
    next sub-layer reads), so a looked-up row is multiplied by sqrt(D), as in Vaswani et al., 2017, section 3.4, unless
    the config asks for `tied_lookup="plain"`.

    Args:
        config: sizes and ablations.
        device: where the weights live; "meta" counts parameters without allocating any.
        dtype: type of the weights.

    Attributes:
        half_residual: under autocast, keep the residual stream in half precision as well; float32 by default.

    Source: handout, problem (transformer_lm).

    >>> config = ModelConfig(vocab_size=100, context_length=16, d_model=32, num_layers=2, num_heads=4)
    >>> model = TransformerLM(config)
    >>> model(torch.tensor([[1, 2, 3]])).shape
    torch.Size([1, 3, 100])
    """

    def __init__(
        self, config: ModelConfig, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> None:
        super().__init__()
        check_config("config", config)
        self.config, self.half_residual = config, False
        use = kernels(config.backend)
        rope = None
        if config.position == "rope":
            rope = RotaryEmbedding(config.rope_theta, config.head_dim, config.context_length, device, dtype)
        self.token_embeddings = use.embedding(config.vocab_size, config.d_model, device=device, dtype=dtype)
        self.layers = nn.ModuleList(
            TransformerBlock(
                config.d_model,
                config.num_heads,
                config.d_ff,
                rope,
                norm=config.norm,
                ffn=config.ffn,
                qk_norm=config.qk_norm,
                norm_eps=config.norm_eps,
                backend=config.backend,
                device=device,
                dtype=dtype,
            )
            for _ in range(config.num_layers)
        )
        self.ln_final = (
            use.norm(config.d_model, config.norm_eps, device=device, dtype=dtype) if config.norm == "pre" else None
        )
        self.lm_head = (
            None if config.tie_embeddings else use.linear(config.d_model, config.vocab_size, device=device, dtype=dtype)
        )
        if config.tie_embeddings:
            truncated_normal_(self.token_embeddings.weight, std=math.sqrt(2 / (config.vocab_size + config.d_model)))

    def forward(
        self,
        ids: Int[Tensor, "B S"],
        cache: KVCache | None = None,
        token_positions: Int[Tensor, "... S"] | None = None,
    ) -> Float[Tensor, "B S V"]:
        """Return the logits of the token that follows each position.

        Args:
            ids: token ids, (B, S), of any integer type.
            cache: keys and values of earlier tokens; the new ones are added to it. Inference only.
            token_positions: (S,) or (B, S), of any integer type; by default they count up from 0, or from where the
                cache ends. With a cache, (B, S) decodes rows of unequal length side by side: see `LayerCache.append`.

        Returns:
            Unnormalized log-probabilities, (B, S, V).

        Raises:
            TypeError: ids or positions are no integers, or `cache` is no `KVCache`.
            ValueError: more tokens than the context length (or the cache) has room for, none at all, a cache of another
                model, ids that are not (B, S), positions of another shape, or (on the CPU, where looking is free) an id
                outside the vocabulary or positions that leave a gap in the cache.
        """
        return self.logits(self.hidden_states(ids, cache, token_positions))

    def hidden_states(
        self,
        ids: Int[Tensor, "B S"],
        cache: KVCache | None = None,
        token_positions: Int[Tensor, "... S"] | None = None,
    ) -> Float[Tensor, "B S D"]:
        """Return what the head reads: everything `forward` does but the last product.

        A loss that works in chunks takes these and `head_weight`, and never holds all (B, S, V) logits at once.
        """
        ids = as_ids("ids", ids)
        self._check(ids, cache)
        if token_positions is not None:
            token_positions = self._check_positions(token_positions, ids, cache)
        elif cache is not None:
            token_positions = torch.arange(len(cache), len(cache) + ids.shape[1], device=ids.device)
        x = self.token_embeddings(ids)
        if self.config.lookup_scale != 1:
            x = x * self.config.lookup_scale
        if self.half_residual and torch.is_autocast_enabled(x.device.type):
            x = x.to(torch.get_autocast_dtype(x.device.type))
        for index, layer in enumerate(self.layers):
            x = layer(x, token_positions, None if cache is None else cache.layer(index))
        if cache is not None:
            cache.advance(ids.shape[1])
        return x if self.ln_final is None else self.ln_final(x)

    def logits(self, hidden: Float[Tensor, "... D"]) -> Float[Tensor, "... V"]:
        """Apply the head to hidden states."""
        check_vectors("hidden", hidden, self.config.d_model)
        return hidden @ self.head_weight.T if self.lm_head is None else self.lm_head(hidden)

    @property
    def head_weight(self) -> Float[Tensor, "V D"]:
        """The matrix that turns hidden states to logits; with tied embeddings, the embedding matrix."""
        return self.token_embeddings.weight if self.lm_head is None else self.lm_head.weight

    def _check(self, ids: Tensor, cache: KVCache | None) -> None:
        if ids.ndim != 2 or ids.numel() == 0:
            raise ValueError(
                f"ids have shape {tuple(ids.shape)}; they must be (batch, sequence) with one token at least"
            )
        if cache is not None:
            if not hasattr(cache, "check_config"):
                raise TypeError(
                    f"cache must be a KVCache, got {type(cache).__name__}; give positions by name, token_positions="
                )
            cache.check_config(self.config)
        seen = 0 if cache is None else len(cache)
        if seen + ids.shape[1] > self.config.context_length:
            after = f" after {seen} in the cache" if seen else ""
            raise ValueError(
                f"{ids.shape[1]} tokens{after}, but context_length is {self.config.context_length}; keep the last "
                f"{self.config.context_length} tokens, or build the model with a longer context"
            )
        if cache is not None:
            cache.check_room(*ids.shape)
        if (bad := outside(ids, self.config.vocab_size)) is not None:
            raise ValueError(
                f"token id {bad} is outside the vocabulary: vocab_size is {self.config.vocab_size}, ids run from 0 to "
                f"{self.config.vocab_size - 1}"
            )

    @staticmethod
    def _check_positions(token_positions: Tensor, ids: Tensor, cache: KVCache | None) -> Tensor:
        places, (batch, length) = as_ids("token_positions", token_positions), ids.shape
        if tuple(places.shape) not in ((length,), (1, length), (batch, length)):
            raise ValueError(
                f"token_positions have shape {tuple(places.shape)} for ids of {tuple(ids.shape)}; they must be "
                f"({length},) or ({batch}, {length}), a position for each token"
            )
        if cache is not None:
            cache.check_positions(places)
        return places
