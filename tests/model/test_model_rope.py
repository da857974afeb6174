import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from model_oracle import rotate

from cs336_lib.model import RotaryEmbedding


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.integers(1, 3), max_size=3), st.integers(1, 6), st.integers(1, 8), st.sampled_from([100.0, 1e4, 5e5])
)
def test_rotation_equals_multiplication_by_complex_numbers(leading, half, length, theta):
    x = torch.randn(*leading, length, 2 * half, dtype=torch.float64)
    rope = RotaryEmbedding(theta, 2 * half, 16, dtype=torch.float64)
    torch.testing.assert_close(rope(x), rotate(x, torch.arange(length), theta))
    positions = torch.randint(16, (*leading, length))
    torch.testing.assert_close(rope(x, positions), rotate(x, positions, theta))


def test_inner_products_depend_on_the_distance_alone():
    rope = RotaryEmbedding(10_000.0, 8, 200, dtype=torch.float64)
    q, k = torch.randn(2, 1, 8, dtype=torch.float64)

    def at(x, i):
        return rope(x, torch.tensor([i]))

    for distance in (0, 1, 7, 50):
        products = torch.stack([(at(q, i + distance) * at(k, i)).sum() for i in (0, 3, 64, 149)])
        torch.testing.assert_close(products, products[:1].expand(4))
    assert not torch.isclose((at(q, 1) * at(k, 0)).sum(), (at(q, 0) * at(k, 1)).sum())


def test_rotation_keeps_lengths_and_leaves_position_zero_alone():
    rope, x = RotaryEmbedding(10_000.0, 16, 32), torch.randn(3, 32, 16)
    torch.testing.assert_close(rope(x).norm(dim=-1), x.norm(dim=-1))
    assert torch.equal(rope(x)[:, 0], x[:, 0])


def test_table_is_not_saved_and_never_rounded():
    rope = RotaryEmbedding(10_000.0, 8, 64)
    exact = rope.cos.clone()
    assert not rope.state_dict()
    assert torch.equal(rope.to(torch.bfloat16).cos, exact)
    assert rope(torch.randn(64, 8).bfloat16()).dtype == torch.bfloat16


def test_double_precision_table_is_computed_not_padded():
    fresh, cast = RotaryEmbedding(10_000.0, 8, 64, dtype=torch.float64), RotaryEmbedding(10_000.0, 8, 64).double()
    assert torch.equal(fresh.cos, cast.cos)


def test_table_is_there_after_coming_from_the_meta_device():
    rope = RotaryEmbedding(10_000.0, 8, 64, device="meta")
    assert rope.cos.device.type == "meta"
    assert torch.equal(rope.to_empty(device="cpu").sin, RotaryEmbedding(10_000.0, 8, 64).sin)


def test_angles_are_exact_at_far_positions():
    rope = RotaryEmbedding(10_000.0, 4, 100_001)
    angles = torch.tensor([100_000.0, 1_000.0], dtype=torch.float64)
    torch.testing.assert_close(rope.cos[100_000].double(), angles.cos(), rtol=0, atol=1e-7)


def test_bad_sizes_are_named():
    with pytest.raises(ValueError, match="d_k is 5; RoPE turns pairs"):
        RotaryEmbedding(10_000.0, 5, 8)
    with pytest.raises(ValueError, match="9 positions, RotaryEmbedding was made for 8"):
        RotaryEmbedding(10_000.0, 4, 8)(torch.zeros(9, 4))


@pytest.mark.parametrize("bad", [-1, 8])
def test_a_position_outside_the_table_is_named(bad):
    with pytest.raises(ValueError, match=f"position {bad} is outside the table.*0 to 7"):
        RotaryEmbedding(10_000.0, 4, 8)(torch.zeros(2, 4), torch.tensor([3, bad]))
