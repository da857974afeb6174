"""Shapes in signatures: `Float[Tensor, "B S D"]` is a tensor of floats with three named dimensions.

The letters are those of the book: B batch, S sequence, D d_model, H heads, K head dim, F d_ff, V vocab; T is a second
sequence length (keys), "..." any leading dimensions. With jaxtyping installed (the test extra) the annotations are
real types, and the tests check every call against them; without it they are documentation and cost nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jaxtyping import Bool, Float
    from jaxtyping import Integer as Int  # of any width, with a sign and without
else:
    try:
        from jaxtyping import Bool, Float
        from jaxtyping import Integer as Int
    except ImportError:

        class _Unchecked:
            """Stand-in for a jaxtyping type: `Float[Tensor, "B S"]` is then just `Tensor`."""

            def __class_getitem__(cls, item: tuple[type, str]) -> type:
                return item[0]

        Bool = Float = Int = _Unchecked

__all__ = ["Bool", "Float", "Int"]
