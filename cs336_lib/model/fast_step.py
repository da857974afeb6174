"""One new token a row, the fast way: what is the same for every token is done once, before the first (chapter 7).

B batch, T tokens so far, D d_model, H heads, K head dim, F d_ff, V vocab.

A step over one token reads every weight once and does little else, so reading them is its limit. A small model is far
from that limit: it waits for calls. Many of those of `hidden_states` prepare what has not changed since the last
token: the weights of Q, K and V side by side, sines and cosines, a mask. Here that is done beforehand, and a layer asks
torch for little more than half as many operations (tests count them).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cs336_lib.model import fast
from cs336_lib.model.block import TransformerBlock
from cs336_lib.model.cache import KVCache
from cs336_lib.model.ffn import SwiGLU
from cs336_lib.model.layers import Linear
from cs336_lib.model.rope import RotaryEmbedding
from cs336_lib.model.shapes import Bool, Float, Int
from cs336_lib.model.transformer import TransformerLM

OWN = {
    fast.FastEmbedding,
    fast.FastLinear,
    fast.FastRMSNorm,
    fast.FastSelfAttention,
    fast.FastSiLUFeedForward,
    fast.FastSwiGLU,
    Linear,
    RotaryEmbedding,
    TransformerBlock,
    nn.ModuleList,
}
"""What a model may be made of; a subclass of one of these is somebody else's."""


class FastStep:
    """`TransformerLM.forward` for one new token a row, on the fast backend.

    It keeps copies of the projections to queries, keys and values and of the first feed-forward matrices, side by side
    as it multiplies them, and looks at the other weights where they are: none may change while it is in use.

    Args:
        model: one that is `usable`.
        cache: what the rows have seen, filled by the model itself; steps add to it.

    >>> from cs336_lib.model import ModelConfig
    >>> model = TransformerLM(ModelConfig.preset("tales-1m").replace(backend="fast"))
    >>> cache = KVCache(model.config, batch_size=1)
    >>> with torch.no_grad():
    ...     prompt = model(torch.tensor([[5, 6, 7]]), cache=cache)
    ...     logits = FastStep(model, cache)(torch.tensor([8]), [3])
    ...     whole = model(torch.tensor([[5, 6, 7, 8]]))[:, -1]
    >>> logits.shape, torch.allclose(logits, whole, atol=1e-4)
    (torch.Size([1, 1024]), True)
    """

    def __init__(self, model: TransformerLM, cache: KVCache) -> None:
        self.model, self.cache = model, cache
        blocks = [block for block in model.layers if isinstance(block, TransformerBlock)]
        rope = blocks[0].attn.rope
        self.turns = None if rope is None else torch.view_as_complex(rope.turns)  # positions K/2
        self.layers = [_Layer(block, cache.keys[i], cache.values[i]) for i, block in enumerate(blocks)]
        final = model.ln_final
        self.table = model.token_embeddings.weight.detach()
        self.head = model.head_weight.detach().T  # D V
        self.final = None if final is None else final.weight.detach()
        self.eps = 0.0 if final is None else final.eps

    @staticmethod
    def usable(model: TransformerLM) -> bool:
        """Whether a step would do what the model does: all its parts are the fast backend's own, as it made them.

        Where a part was replaced, wrapped, compiled apart, given hooks, a `forward`, an epsilon or a type of its own,
        nothing of that would be seen here, and the model is left to itself.
        """
        layers = list(getattr(model, "layers", ()))
        parts = [part for part in model.modules() if part is not model]
        norms = {part.eps for part in parts if isinstance(part, fast.FastRMSNorm)}
        return (
            all(
                getattr(type(model), name, None) is getattr(TransformerLM, name) for name in ("hidden_states", "logits")
            )
            and not {"hidden_states", "logits"} & vars(model).keys()
            and all(type(part) in OWN and "forward" not in vars(part) for part in parts)
            and all(type(layer) is TransformerBlock for layer in layers)
            and len(norms) <= 1
            and len({id(layer.attn.rope) for layer in layers}) == 1
            and len({weight.dtype for weight in model.parameters()}) == 1
            and model.head_weight.device.type in ("cpu", "cuda")
            and not torch.is_autocast_enabled(model.head_weight.device.type)
            and not nn.modules.module._has_any_global_hook()
            and not any(part._forward_hooks or part._forward_pre_hooks for part in model.modules())
        )

    def __call__(self, ids: Int[Tensor, " B"], places: Sequence[int]) -> Float[Tensor, "B V"]:
        """Add one token to each row, and return the logits of the one that follows.

        Args:
            ids: the new tokens, (B,), each within the vocabulary.
            places: position of each token in its row, within the cache; what is kept behind it is not looked at.

        Returns:
            (B, V).
        """
        end = max(places) + 1
        where: Tensor | int = end - 1
        mask = None
        if min(places) != where:
            where = torch.tensor(places, device=ids.device)
            mask = (where[:, None] >= torch.arange(end, device=ids.device))[:, None, None]  # B T -> B 1 1 T
        turns = None if self.turns is None else self.turns[where].view(-1, 1, 1, self.turns.shape[1])  # B 1 1 K/2
        x = F.embedding(ids, self.table)  # B D
        if self.model.config.lookup_scale != 1:
            x = x * self.model.config.lookup_scale
        for layer in self.layers:
            x = layer(x, where, end, turns, mask)
        self.cache.advance(1)
        x = x if self.final is None else F.rms_norm(x, self.final.shape, self.final, self.eps)
        return torch.mm(x, self.head)


class _Layer:
    """One block, and its part of the cache: plain tensors, since even the call of a module shows at this size."""

    def __init__(self, block: TransformerBlock, keys: Float[Tensor, "B H T K"], values: Float[Tensor, "B H T K"]):
        attn, ffn = block.attn, block.ffn
        self.order, self.keys, self.values = block.norm, keys, values
        self.heads = (len(keys), 3, attn.num_heads, keys.shape[-1])
        self.ln1, self.ln2, self.q_norm, self.k_norm = (
            None if norm is None else norm.weight.detach() for norm in (block.ln1, block.ln2, attn.q_norm, attn.k_norm)
        )
        self.eps = next((norm.eps for norm in (block.ln1, attn.q_norm) if norm is not None), 0.0)
        self.qkv = torch.cat((attn.q_proj.weight, attn.k_proj.weight, attn.v_proj.weight)).detach().T  # D 3D
        self.output = attn.output_proj.weight.detach().T  # D D
        self.gated = isinstance(ffn, SwiGLU)
        first = (ffn.w1.weight, ffn.w3.weight) if isinstance(ffn, SwiGLU) else (ffn.w1.weight,)
        self.up = torch.cat(first).detach().T  # D 2F, without a gate D F
        self.down = ffn.w2.weight.detach().T  # F D
        self.rows = torch.arange(len(keys), device=keys.device)

    def __call__(
        self,
        x: Tensor,
        where: Tensor | int,
        end: int,
        turns: Tensor | None,
        mask: Tensor | None,
    ) -> Float[Tensor, "B D"]:
        if self.order == "pre":
            x = torch.addmm(x, self._mix(self._normed(x, self.ln1), where, end, turns, mask), self.output)
            return torch.addmm(x, self._hidden(self._normed(x, self.ln2)), self.down)
        x = torch.addmm(x, self._mix(x, where, end, turns, mask), self.output)
        if self.order == "post":
            x = self._normed(x, self.ln1)
        x = torch.addmm(x, self._hidden(x), self.down)
        return self._normed(x, self.ln2) if self.order == "post" else x

    def _normed(self, x: Tensor, gain: Tensor | None) -> Tensor:
        return x if gain is None else F.rms_norm(x, gain.shape, gain, self.eps)

    def _mix(
        self,
        x: Float[Tensor, "B D"],
        where: Int[Tensor, " B"] | int,
        end: int,
        turns: Float[Tensor, "B 1 1 half_K"] | None,
        mask: Bool[Tensor, "B 1 1 T"] | None,
    ) -> Float[Tensor, "B D"]:
        """Return the mixture of values that each row's new token attends to."""
        B, _, H, K = self.heads
        qkv = torch.mm(x, self.qkv).view(self.heads)  # B 3D -> B 3 H K
        qk = qkv[:, :2]
        if self.q_norm is not None and self.k_norm is not None:
            qk = torch.stack((self._normed(qk[:, 0], self.q_norm), self._normed(qk[:, 1], self.k_norm)), dim=1)
        if turns is not None:
            pairs = qk.to(turns.real.dtype).view(B, 2, H, K // 2, 2)
            qk = torch.view_as_real(torch.view_as_complex(pairs) * turns).view(B, 2, H, K).to(x.dtype)
        if isinstance(where, int):
            self.keys[:, :, where], self.values[:, :, where] = qk[:, 1], qkv[:, 2]
        else:
            self.keys[self.rows, :, where], self.values[self.rows, :, where] = qk[:, 1], qkv[:, 2]
        q = qk[:, 0].unsqueeze(2)  # B H 1 K
        mixed = F.scaled_dot_product_attention(q, self.keys[:, :, :end], self.values[:, :, :end], attn_mask=mask)
        return mixed.view(B, H * K)

    def _hidden(self, x: Float[Tensor, "B D"]) -> Float[Tensor, "B F"]:
        """Return the hidden units of the feed-forward network."""
        up = torch.mm(x, self.up)
        if not self.gated:
            return F.silu(up)
        units = len(self.down)
        return F.silu(up[:, :units]).mul_(up[:, units:])
