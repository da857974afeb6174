import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from cs336_lib.model import MultiHeadSelfAttention, RotaryEmbedding, scaled_dot_product_attention
from cs336_lib.model.attention import causal_mask


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(1, 3), max_size=3),
    st.integers(1, 6),
    st.integers(1, 6),
    st.integers(1, 5),
    st.integers(1, 5),
    st.integers(0, 2**16),
)
def test_attention_equals_torchs_for_any_sizes_and_any_mask(leading, queries, keys, d_k, d_v, seed):
    generator = torch.Generator().manual_seed(seed)
    q = torch.randn(*leading, queries, d_k, dtype=torch.float64, generator=generator, requires_grad=True)
    k = torch.randn(*leading, keys, d_k, dtype=torch.float64, generator=generator, requires_grad=True)
    v = torch.randn(*leading, keys, d_v, dtype=torch.float64, generator=generator, requires_grad=True)
    mask = torch.rand(*leading, queries, keys, generator=generator) < 0.6  # now and then a whole row is False
    for m in (mask, None):
        ours, theirs = scaled_dot_product_attention(q, k, v, m), F.scaled_dot_product_attention(q, k, v, m)
        torch.testing.assert_close(ours, theirs)
        weight = torch.randn(ours.shape, dtype=torch.float64, generator=generator)
        ours, theirs = (torch.autograd.grad((out * weight).sum(), (q, k, v)) for out in (ours, theirs))
        torch.testing.assert_close(ours, theirs)


def test_a_mask_is_shared_over_leading_dimensions():
    q, k, v = torch.randn(3, 2, 4, 5, 8, dtype=torch.float64)
    each = scaled_dot_product_attention(q, k, v, causal_mask(5).expand(2, 4, 5, 5))
    torch.testing.assert_close(scaled_dot_product_attention(q, k, v, causal_mask(5)), each)


def test_a_query_that_may_attend_to_nothing_gets_zeros_and_no_nan_gradient():
    q, k, v = (torch.randn(2, 4, requires_grad=True) for _ in range(3))
    out = scaled_dot_product_attention(q, k, v, torch.tensor([[False, False], [True, True]]))
    assert out[0].tolist() == [0, 0, 0, 0]
    out.sum().backward()
    assert all(x.grad.isfinite().all() for x in (q, k, v))
    assert q.grad[0].tolist() == [0, 0, 0, 0]


def test_an_additive_mask_is_refused():
    q = torch.zeros(1, 2)
    with pytest.raises(ValueError, match=r"the mask is torch\.float32; it must be torch\.bool"):
        scaled_dot_product_attention(q, q, q, torch.zeros(1, 1))


def attention(**options):
    return MultiHeadSelfAttention(24, 3, dtype=torch.float64, **options)


def test_multi_head_attention_is_one_attention_per_head_on_its_rows():
    attn, x = attention(), torch.randn(2, 7, 24, dtype=torch.float64)
    heads = []
    for head in range(3):
        rows = slice(8 * head, 8 * head + 8)
        q, k, v = (x @ p.weight[rows].T for p in (attn.q_proj, attn.k_proj, attn.v_proj))
        scores = (q @ k.mT / math.sqrt(8)).masked_fill(torch.ones(7, 7).triu(1).bool(), -math.inf)
        heads.append(scores.softmax(-1) @ v)
    torch.testing.assert_close(attn(x), torch.cat(heads, -1) @ attn.output_proj.weight.T)


def test_any_leading_dimensions_go():
    attn = attention(rope=RotaryEmbedding(10_000.0, 8, 7, dtype=torch.float64))
    x = torch.randn(2, 3, 7, 24, dtype=torch.float64)
    torch.testing.assert_close(attn(x)[1, 2], attn(x[1, 2]))


def test_shifting_all_positions_changes_nothing():
    attn = attention(rope=RotaryEmbedding(10_000.0, 8, 50, dtype=torch.float64))
    x, positions = torch.randn(2, 7, 24, dtype=torch.float64), torch.arange(7)
    torch.testing.assert_close(attn(x, positions), attn(x))
    torch.testing.assert_close(attn(x, positions + 40), attn(x))
    torch.testing.assert_close(attn(x, torch.stack((positions + 9, positions))), attn(x))
    assert not torch.allclose(attn(x, positions * 2), attn(x))


def test_without_positions_the_past_is_a_bag_and_with_rope_it_is_a_sequence():
    x = torch.randn(1, 7, 24, dtype=torch.float64)
    shuffled = torch.cat((x[:, torch.tensor([3, 0, 5, 1, 4, 2])], x[:, -1:]), dim=1)
    bag, sequence = attention(), attention(rope=RotaryEmbedding(10_000.0, 8, 7, dtype=torch.float64))
    torch.testing.assert_close(bag(shuffled)[:, -1], bag(x)[:, -1])
    assert not torch.allclose(sequence(shuffled)[:, -1], sequence(x)[:, -1])


def test_qk_norm_makes_the_size_of_queries_and_keys_irrelevant():
    x = torch.randn(1, 5, 24, dtype=torch.float64)
    plain, normed = attention(), attention(qk_norm=True)
    for attn, same in ((plain, False), (normed, True)):
        before = attn(x)
        with torch.no_grad():
            attn.q_proj.weight *= 100
        assert torch.allclose(attn(x), before, atol=1e-3) == same


def test_bad_sizes_are_named():
    with pytest.raises(ValueError, match="num_heads is 5, which does not divide d_model = 24"):
        MultiHeadSelfAttention(24, 5)
    with pytest.raises(ValueError, match="rope turns vectors of width 24, the heads are 8 wide"):
        MultiHeadSelfAttention(24, 3, RotaryEmbedding(10_000.0, 24, 9))
