"""Cross-entropy, perplexity and bits per byte (chapter 6).

D d_model, V vocab, N targets; "..." stands for any leading dimensions.

`cross_entropy` reads like its definition. `chunked_cross_entropy` computes the same number from what the head reads: it
goes through the head a few rows at a time, so that neither all (N, V) logits nor their gradient are ever in memory. For
a batch of 256 x 256 tokens and V = 10,000 these are 2.6 GB each in float32. `fused_cross_entropy` holds them, and
passes over them fewer times.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from cs336_lib.model.layers import as_ids, check_floats, outside
from cs336_lib.naming import check_whole
from cs336_lib.plain import whole_ids

_AT_A_TIME = 1 << 20
"""Ids that are looked at in one go."""


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the mean of -log softmax(logits)[target], in nats.

    ::

        -log (exp(x_y) / sum_v exp(x_v)) = log sum_v exp(x_v - m) - (x_y - m)        m = max_v x_v

    With the maximum taken out, no exponential overflows, whatever the size of the logits, and the logarithm is never
    that of a rounded probability.

    Args:
        logits: unnormalized log-probabilities, (..., V); half precision is computed in float32.
        targets: ids of the tokens that came, (...), of any integer type. Each counts: there is no id that is ignored.

    Returns:
        The mean over all targets, a tensor without dimensions.

    Raises:
        TypeError: the targets are no integers, or the logits no floats.
        ValueError: the shapes do not fit, or there is no target.
        IndexError: a target is outside the vocabulary (on a CPU, uncompiled).

    Source: handout, problem (cross_entropy).

    >>> round(cross_entropy(torch.zeros(2, 3, 8), torch.zeros(2, 3, dtype=torch.int64)).item(), 4)      # ln 8
    2.0794
    >>> cross_entropy(torch.tensor([[1e4, 0.0]]), torch.tensor([1])).item()
    10000.0
    """
    targets = _fitting(logits, targets)
    shifted = logits.to(torch.promote_types(logits.dtype, torch.float32))
    shifted = shifted - shifted.detach().amax(dim=-1, keepdim=True)
    return (shifted.exp().sum(dim=-1).log() - _at(shifted, targets)).mean()


def _fitting(logits: Tensor, targets: Tensor) -> Tensor:
    """Return targets as int64, once they are known to fit the logits."""
    check_floats("logits", logits)
    targets = as_ids("targets", targets)
    if logits.shape[:-1] != targets.shape or targets.numel() == 0:
        raise ValueError(
            f"logits have shape {tuple(logits.shape)} and targets {tuple(targets.shape)}; they must be (..., V) and "
            "(...), with one target at least"
        )
    _check_range(targets, logits.shape[-1])
    return targets


def _check_range(targets: Tensor, entries: int) -> None:
    if (bad := outside(targets, entries)) is not None:
        hint = "; there is no id that is ignored: leave such positions out of both" if bad < 0 else ""
        raise IndexError(
            f"target {bad} is outside the vocabulary, whose entries are {entries}: targets run from 0 to "
            f"{entries - 1}{hint}"
        )


def fused_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Return `cross_entropy(logits, targets)` from torch's softmax and a gradient written down.

    The definition makes a tensor of (..., V) at each of its operations, and on a CPU the time goes into reading and
    writing them. Here there are two: the probabilities, and the gradient, which is (softmax - onehot) / N. The
    logarithm is that of the largest probability, 1 / V at least; the target's own may have been rounded to 0.

    Args:
        logits: as for `cross_entropy`.
        targets: as for `cross_entropy`.

    Returns:
        The mean over all targets, a tensor without dimensions. Its gradient has no gradient, and torch.func does not
        go through it.

    Raises:
        TypeError: the targets are no integers, or the logits no floats.
        ValueError: the shapes do not fit, or there is no target.
        IndexError: a target is outside the vocabulary (on a CPU, uncompiled).

    >>> logits, targets = torch.randn(4, 9), torch.randint(9, (4,))
    >>> torch.allclose(fused_cross_entropy(logits, targets), cross_entropy(logits, targets))
    True
    >>> fused_cross_entropy(torch.tensor([[1e4, 0.0]]), torch.tensor([1])).item()
    10000.0
    """
    targets = _fitting(logits, targets)
    wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
    loss: Tensor = _FusedCrossEntropy.apply(wide.reshape(-1, wide.shape[-1]), targets.flatten())
    return loss


def _losses(logits: Tensor, p: Tensor, targets: Tensor) -> Tensor:
    """Return each row's loss, (N,), of logits and their softmax.

    Of the three terms the two that may be large are subtracted first, and what is left does not drown in them::

        log sum_v exp(x_v) - x_y = (max_v x_v - x_y) - log max_v p_v
    """
    return (logits.amax(dim=-1) - _at(logits, targets)) - p.amax(dim=-1).log()


class _FusedCrossEntropy(torch.autograd.Function):
    """The mean loss over N rows of logits, (N, V)."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, targets: Tensor) -> Tensor:
        p = logits.softmax(dim=-1)
        ctx.save_for_backward(p, targets)
        return _losses(logits, p, targets).mean()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_loss: Tensor) -> tuple[Tensor, None]:
        p, targets = ctx.saved_tensors
        scale = d_loss / len(targets)
        return (p * scale).scatter_add_(-1, targets[:, None], -scale.expand(len(targets), 1)), None


def _at(values: Tensor, targets: Tensor) -> Tensor:
    """Return the value of each row at its target, (...) of (..., V).

    Compiled, the backward pass of `gather` is a float32 buffer of (..., V) zeros, atomic additions and a pass over it;
    a comparison is fused into the kernels around it, both ways.
    """
    if torch.compiler.is_compiling():
        return torch.where(_is_target(values, targets), values, 0.0).sum(dim=-1)
    return values.gather(-1, targets.unsqueeze(-1)).squeeze(-1)


def _is_target(values: Tensor, targets: Tensor) -> Tensor:
    """Return which entries of (..., V) are the targets': a one-hot mask that a compiler never writes down."""
    return torch.arange(values.shape[-1], device=values.device) == targets.unsqueeze(-1)


def chunked_cross_entropy(
    hidden: Tensor, head_weight: Tensor, targets: Tensor, chunk_size: int = 4096, *, entries: int | None = None
) -> Tensor:
    """Return `cross_entropy(hidden @ head_weight.T, targets)` without holding all logits at once.

    The gradient of the logits is softmax - onehot, known as soon as the logits are. So the forward pass already turns
    each chunk's logits into gradients of `hidden` and `head_weight`, and the backward pass only scales them. The price
    is that the work is lost where no gradient is wanted; there only the loss is computed.

    Args:
        hidden: what the head reads, (..., D).
        head_weight: the head, (V, D).
        targets: as for `cross_entropy`.
        chunk_size: rows of logits in memory at a time.
        entries: how many of the head's rows are the vocabulary's, from the first on; the others are padding. None for
            all.

    Returns:
        The mean over all targets in nats, a tensor without dimensions.

    Raises:
        TypeError: the targets are no integers, hidden states or head no floats, or the chunk size or the entries no
            whole number.
        ValueError: the shapes do not fit, there is no target, or the chunk size or the entries are out of range.
        IndexError: a target is not among the entries (on a CPU, uncompiled).

    Source: Wijmans et al., 2024 (Cut your losses), and Hsu et al., 2024 (Liger), for the idea.

    >>> hidden, head = torch.randn(2, 3, 4), torch.randn(9, 4)
    >>> targets = torch.randint(9, (2, 3))
    >>> torch.allclose(chunked_cross_entropy(hidden, head, targets, 2), cross_entropy(hidden @ head.T, targets))
    True
    """
    check_floats("hidden", hidden)
    check_floats("head_weight", head_weight)
    targets = as_ids("targets", targets)
    if head_weight.ndim != 2 or hidden.ndim == 0:
        what, x = ("hidden", hidden) if hidden.ndim == 0 else ("head_weight", head_weight)
        raise ValueError(f"{what} has shape {tuple(x.shape)}; it must be {'(..., D)' if x is hidden else '(V, D)'}")
    if hidden.shape[:-1] != targets.shape or targets.numel() == 0 or hidden.shape[-1] != head_weight.shape[-1]:
        raise ValueError(
            f"hidden has shape {tuple(hidden.shape)}, head_weight {tuple(head_weight.shape)} and targets "
            f"{tuple(targets.shape)}; they must be (..., D), (V, D) and (...), with one target at least"
        )
    chunk_size = check_whole("chunk_size", chunk_size, least=1)
    entries = len(head_weight) if entries is None else check_whole("entries", entries, 1, len(head_weight))
    _check_range(targets, entries)
    if not torch.is_grad_enabled():
        hidden, head_weight = hidden.detach(), head_weight.detach()  # so that no gradient is asked for
    loss: Tensor = _ChunkedCrossEntropy.apply(
        hidden.reshape(-1, hidden.shape[-1]), head_weight, targets.flatten(), chunk_size, entries
    )
    return loss


class _ChunkedCrossEntropy(torch.autograd.Function):
    """The mean loss over N rows, with both gradients made in the forward pass."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, chunk_size: int, entries: int) -> Tensor:
        wide = torch.promote_types(hidden.dtype, torch.float32)
        wanted = ctx.needs_input_grad[0] or ctx.needs_input_grad[1]
        total = torch.zeros((), dtype=wide, device=hidden.device)
        # Not divided by N yet: in float16 that would push small gradients under the smallest number.
        d_hidden = torch.empty_like(hidden) if wanted else None
        d_weight = torch.zeros_like(weight, dtype=torch.promote_types(weight.dtype, wide)) if wanted else None
        for first in range(0, len(targets), chunk_size):
            chunk = slice(first, first + chunk_size)
            rows, answers = hidden[chunk], targets[chunk]
            product = rows @ weight.T  # under autocast in half precision
            if entries < len(weight):  # padding, whose probability and gradient are 0
                product[:, entries:] = -math.inf
            logits = product.to(wide)
            error = logits.softmax(dim=-1)
            total += _losses(logits, error, answers).sum()
            if d_hidden is None or d_weight is None:
                continue
            if torch.compiler.is_compiling():
                error = error - _is_target(error, answers).to(error.dtype)
            else:
                error.scatter_add_(-1, answers[:, None], torch.full_like(error[:, :1], -1.0))
            error = error.to(product.dtype)
            d_hidden[chunk] = error @ weight
            d_weight += error.T @ rows
        ctx.save_for_backward(d_hidden, d_weight)
        ctx.count, ctx.weight_dtype = len(targets), weight.dtype
        return total / len(targets)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_loss: Tensor) -> tuple[Tensor | None, Tensor | None, None, None, None]:
        d_hidden, d_weight = ctx.saved_tensors
        scale = d_loss / ctx.count
        return (d_hidden * scale).to(d_hidden.dtype), (d_weight * scale).to(ctx.weight_dtype), None, None, None


def perplexity(loss: float | Tensor) -> float:
    """Return exp(loss): between how many equally likely tokens the model is as undecided.

    Args:
        loss: mean cross-entropy in nats per token; it must be the mean over all tokens, not a mean of batches of
            unequal size.

    Returns:
        The perplexity, inf where it is too large for a float.

    Source: handout, section 4.1.

    >>> round(perplexity(math.log(10_000)), 6)
    10000.0
    """
    nats = float(loss)
    return math.inf if nats > 709 else math.exp(nats)


def bits_per_byte(loss: float | Tensor, ids: Iterable[int] | np.ndarray, tokenizer: Any) -> float:
    """Return a loss in a unit that does not depend on the tokenizer: bits for each byte of the text.

    ::

        loss * tokens / (ln 2 * bytes)

    Args:
        loss: mean cross-entropy in nats per token over `ids`.
        ids: the tokens that were predicted, all of them, in whatever shape.
        tokenizer: a `cs336_lib.bpe.Tokenizer`; its `vocab` says how many bytes each token is.

    Returns:
        Bits per byte.

    Raises:
        ValueError: there are no tokens or no bytes, or an id is none of the tokenizer's.
        TypeError: `ids` holds something else than whole numbers.

    >>> from cs336_lib.bpe import Tokenizer
    >>> bytes_only = Tokenizer({i: bytes([i]) for i in range(256)}, [])
    >>> round(bits_per_byte(math.log(256), bytes_only.encode("hello"), bytes_only), 6)      # a uniform guess
    8.0
    """
    array = whole_ids(ids, "ids")
    if array.size == 0:
        raise ValueError("there are no tokens to average over")
    if (count := byte_count(array, tokenizer)) == 0:
        raise ValueError("the tokens stand for no bytes, so there are none to average over")
    return float(loss) * array.size / (math.log(2) * count)


def byte_count(ids: Iterable[int] | np.ndarray, tokenizer: Any) -> int:
    """Return how many bytes of text the ids stand for, special tokens included.

    Args:
        ids: integers of any shape; memory stays bounded if they are mapped from a file.
        tokenizer: its `vocab` says how many bytes each token is.

    Raises:
        ValueError: an id is outside the vocabulary, or a gap in it.
        TypeError: `ids` holds something else than whole numbers.
    """
    flat = whole_ids(ids, "ids").reshape(-1)
    vocab = tokenizer.vocab
    lengths = np.full(max(vocab, default=-1) + 1, -1, dtype=np.int64)  # -1 where an id stands for nothing
    lengths[list(vocab)] = [len(token) for token in vocab.values()]
    total = 0
    for at in range(0, len(flat), _AT_A_TIME):
        some = flat[at : at + _AT_A_TIME]
        if int(some.max()) >= len(lengths) or int(some.min()) < 0:
            raise ValueError(
                f"the ids go from {some.min()} to {some.max()}, and the tokenizer's from 0 to {len(lengths) - 1}: was "
                "the text encoded by another one?"
            )
        found = lengths[some]
        if found.min() < 0:
            raise ValueError(
                f"the id {int(some[found.argmin()])} is a gap: the tokenizer has no token of that id; was the text "
                "encoded by another one?"
            )
        total += int(found.sum())
    return total
