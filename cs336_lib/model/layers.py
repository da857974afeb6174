"""The three layers that every block is made of: Linear, Embedding and RMSNorm (chapter 4).

B batch, S sequence, D d_model, H heads, K head dim, F d_ff, V vocab; "..." stands for any leading dimensions.

Initialization follows the handout to the letter: a variance is not a standard deviation, and mixing up the two makes a
512 x 512 matrix start 23 times too small.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from cs336_lib.model.shapes import Float, Int
from cs336_lib.naming import check_positive, check_whole


class Linear(nn.Module):
    """A matrix product without bias: y = x W^T.

    The weight is stored as (out_features, in_features), so that each row is one output unit.

    Args:
        in_features: width of the input.
        out_features: width of the output.
        device: where the weight lives.
        dtype: type of the weight.

    Source: handout, problem (linear).

    >>> layer = Linear(3, 2)
    >>> _ = layer.weight.data.copy_(torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]]))
    >>> layer(torch.tensor([5.0, 6.0, 7.0])).tolist()
    [5.0, 13.0]
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        rows, columns = check_whole("out_features", out_features, 1), check_whole("in_features", in_features, 1)
        self.weight = nn.Parameter(torch.empty(rows, columns, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weight from N(0, 2 / (in + out)), cut at three standard deviations."""
        truncated_normal_(self.weight, std=math.sqrt(2 / sum(self.weight.shape)))

    def forward(self, x: Float[Tensor, "... d_in"]) -> Float[Tensor, "... d_out"]:
        """Multiply the last dimension of `x` by the weight."""
        check_vectors("x", x, self.weight.shape[1])
        return x @ self.weight.T

    def extra_repr(self) -> str:
        """Show the sizes when the module is printed."""
        return f"in_features={self.weight.shape[1]}, out_features={self.weight.shape[0]}"


class Embedding(nn.Module):
    """A table with one row for each token id.

    Args:
        num_embeddings: number of rows, V.
        embedding_dim: width of a row, D.
        device: where the table lives.
        dtype: type of the table.

    Source: handout, problem (embedding).

    >>> table = Embedding(4, 2)
    >>> table(torch.tensor([[3, 3, 0]])).shape
    torch.Size([1, 3, 2])
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        rows, columns = check_whole("num_embeddings", num_embeddings, 1), check_whole("embedding_dim", embedding_dim, 1)
        self.weight = nn.Parameter(torch.empty(rows, columns, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the table from N(0, 1), cut at three."""
        truncated_normal_(self.weight, std=1.0)

    def forward(self, token_ids: Int[Tensor, "..."]) -> Float[Tensor, "... D"]:
        """Look up the row of each id, of any integer type."""
        return self.weight[self.checked(token_ids)]

    def checked(self, token_ids: Int[Tensor, "..."]) -> Int[Tensor, "..."]:
        """Return ids as int64.

        Raises:
            TypeError: they are no integers.
            IndexError: the table has no such row (on the CPU, where looking is free). A negative id would count from
                the end without a word.
        """
        ids = as_ids("token_ids", token_ids)
        rows = self.weight.shape[0]
        if (bad := outside(ids, rows)) is not None:
            raise IndexError(f"token id {bad} is outside the table, whose rows are 0 to {rows - 1}")
        return ids

    def extra_repr(self) -> str:
        """Show the sizes when the module is printed."""
        return f"num_embeddings={self.weight.shape[0]}, embedding_dim={self.weight.shape[1]}"


class RMSNorm(nn.Module):
    """Divide each vector by its root mean square, then scale each channel by a learned gain.

    RMSNorm(a)_i = a_i / RMS(a) * g_i with RMS(a) = sqrt(mean(a^2) + eps). The squares are taken in float32 at least,
    since in bfloat16 their sum keeps only eight bits and in float16 it overflows at 256^2; the result has the input's
    type.

    Args:
        d_model: width of the vectors.
        eps: added under the root, so that a zero vector stays zero.
        device: where the gain lives.
        dtype: type of the gain.

    Source: Zhang and Sennrich, 2019, equation 4; handout, problem (rmsnorm).

    >>> norm = RMSNorm(2, eps=1e-12)
    >>> [round(v, 4) for v in norm(torch.tensor([3.0, 4.0])).tolist()]   # the root mean square of 3 and 4 is 3.5355
    [0.8485, 1.1314]
    """

    def __init__(
        self,
        d_model: int,
        eps: float = 1e-5,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.eps = check_positive("eps", eps, or_zero=True)
        self.weight = nn.Parameter(torch.empty(check_whole("d_model", d_model, 1), device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set every gain to one."""
        with torch.no_grad():
            self.weight.fill_(1.0)

    def forward(self, x: Float[Tensor, "... D"]) -> Float[Tensor, "... D"]:
        """Normalize the last dimension of `x`."""
        check_vectors("x", x, self.weight.shape[0])
        a = x.to(at_least_float32(x.dtype))
        inverse_rms = torch.rsqrt(a.pow(2).mean(dim=-1, keepdim=True) + self.eps)
        return (a * inverse_rms * self.weight).to(x.dtype)

    def extra_repr(self) -> str:
        """Show the sizes when the module is printed."""
        return f"{self.weight.shape[0]}, eps={self.eps}"


def truncated_normal_(weight: Tensor, std: float) -> None:
    """Fill `weight` from a normal distribution of mean 0, cut at three standard deviations on either side."""
    nn.init.trunc_normal_(weight, mean=0.0, std=std, a=-3 * std, b=3 * std)


def at_least_float32(dtype: torch.dtype) -> torch.dtype:
    """Return the type to do sums in: float32 for half-precision input, the input's own type otherwise.

    >>> at_least_float32(torch.bfloat16), at_least_float32(torch.float64)
    (torch.float32, torch.float64)
    """
    return torch.promote_types(dtype, torch.float32)


def check_floats(name: str, x: Tensor) -> None:
    """Raise TypeError unless a tensor is one of floats: results in the type of integers would be cut off to integers.

    >>> check_floats("x", torch.tensor([1, 2]))
    Traceback (most recent call last):
    TypeError: x must be a tensor of floats, got torch.int64; convert it with .float()
    """
    if isinstance(x, torch.fx.Proxy):  # what stands for a tensor while torch.fx records; nothing is known of it
        return
    if not isinstance(x, Tensor):
        raise TypeError(f"{name} must be a tensor of floats, got {type(x).__name__}; convert with torch.tensor")
    if not x.is_floating_point():
        raise TypeError(f"{name} must be a tensor of floats, got {x.dtype}; convert it with .float()")


def check_vectors(name: str, x: Tensor, width: int) -> None:
    """Raise an error unless a tensor holds vectors of one width; torch would repeat one number for all channels.

    Raises:
        TypeError: it is none of floats.
        ValueError: its last dimension is another.

    >>> check_vectors("x", torch.zeros(2, 1), 4)
    Traceback (most recent call last):
    ValueError: x has shape (2, 1); its last dimension must be 4
    """
    check_floats(name, x)
    if isinstance(x, Tensor) and (x.ndim == 0 or x.shape[-1] != width):
        raise ValueError(f"{name} has shape {tuple(x.shape)}; its last dimension must be {width}")


def as_ids(name: str, ids: Tensor) -> Tensor:
    """Return ids or positions of any integer type as int64, which all of torch looks up with.

    As they come, uint8 would be a mask where a table is indexed, int16 would be refused, and uint16 has no minimum.

    Raises:
        TypeError: they are no integers; True and False are none.

    >>> as_ids("ids", torch.tensor([3, 250], dtype=torch.uint8))
    tensor([  3, 250])
    """
    if isinstance(ids, torch.fx.Proxy):
        return ids.long()
    if not isinstance(ids, Tensor):
        raise TypeError(f"{name} must be a tensor of integers, got {type(ids).__name__}; convert with torch.tensor")
    if ids.dtype not in _INTEGERS:
        raise TypeError(f"{name} must be integers, got {ids.dtype}; convert them with .long()")
    return ids if ids.dtype == torch.int64 else ids.long()


def as_positions(token_positions: Tensor, tokens: int) -> Tensor:
    """Return positions, one for each token, as int64; a single one would be every token's without a word.

    Args:
        token_positions: (..., S), of any integer type.
        tokens: S.

    Raises:
        TypeError: they are no integers.
        ValueError: there is another number of them.

    >>> as_positions(torch.tensor([4, 5], dtype=torch.int32), 2)
    tensor([4, 5])
    """
    places = as_ids("token_positions", token_positions)
    if places.ndim == 0 or places.shape[-1] != tokens:
        raise ValueError(
            f"token_positions have shape {tuple(places.shape)} for {tokens} tokens; they must be (..., {tokens}), a "
            "position for each token"
        )
    return places


_INTEGERS = (
    *(torch.int64, torch.int32, torch.int16, torch.int8),
    *(torch.uint8, torch.uint16, torch.uint32, torch.uint64),
)


def outside(ids: Tensor, count: int) -> int | None:
    """Return an id that is not from 0 to `count` - 1, None if all are, or if looking is not free.

    On a GPU it would wait for all that was asked before, a compiler has no values to look at, and neither have fake
    tensors, those of `torch.func.vmap` and what `torch.fx` records with.

    >>> outside(torch.tensor([0, 4]), 4), outside(torch.tensor([-1, 2]), 4), outside(torch.tensor([0, 3]), 4)
    (4, -1, None)
    """
    if isinstance(ids, torch.fx.Proxy) or torch.compiler.is_compiling() or ids.device.type != "cpu" or ids.numel() == 0:
        return None
    try:
        low, high = (int(bound) for bound in ids.aminmax())
    except RuntimeError:
        return None
    return low if low < 0 else high if high >= count else None
