"""The loss against torch.nn.functional.cross_entropy, and its lean version against the plain one."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cs336_lib.bpe import Tokenizer
from cs336_lib.training import bits_per_byte, chunked_cross_entropy, cross_entropy, perplexity
from cs336_lib.training.loss import byte_count, fused_cross_entropy

oracle = torch.nn.functional.cross_entropy
either = pytest.mark.parametrize("loss_of", [cross_entropy, fused_cross_entropy])


@either
@pytest.mark.parametrize("shape", [(3,), (2, 5), (2, 3, 4), (1,)])
def test_any_leading_dimensions_agree_with_torch(shape, loss_of):
    logits = torch.randn(*shape, 11, dtype=torch.float64, requires_grad=True)
    targets = torch.randint(11, shape)
    loss = loss_of(logits, targets)
    expected = oracle(logits.reshape(-1, 11), targets.reshape(-1))
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(torch.autograd.grad(loss, logits), torch.autograd.grad(expected, logits))


@either
@pytest.mark.parametrize("size", [1e2, 1e4, 1e30, -1e30])
def test_large_logits_do_not_overflow(size, loss_of):
    logits = torch.tensor([[size, 0.0, size], [0.0, size, 1.0]])
    targets = torch.tensor([0, 2])
    assert loss_of(logits, targets).isfinite()
    torch.testing.assert_close(loss_of(logits, targets), oracle(logits, targets))


def lean(logits, targets):
    return chunked_cross_entropy(logits, torch.eye(logits.shape[-1]), targets, 1)


@pytest.mark.parametrize("loss_of", [cross_entropy, fused_cross_entropy, lean])
@pytest.mark.parametrize(
    ("logits", "expected"),
    [
        ([1e30, 1e30], math.log(2)),
        ([-1e30, -1e30], math.log(2)),
        ([1e4, 1e4], math.log(2)),
        ([1000.0, 992.0], math.log1p(math.exp(-8))),
        ([100.0, 90.0], math.log1p(math.exp(-10))),
    ],
)
def test_a_small_loss_does_not_drown_in_large_logits(loss_of, logits, expected):
    assert loss_of(torch.tensor([logits]), torch.tensor([0])).item() == pytest.approx(expected, rel=3e-3)


@either
def test_one_row_needs_no_leading_dimension(loss_of):
    assert loss_of(torch.zeros(5), torch.tensor(1)).item() == pytest.approx(math.log(5))


@either
def test_minus_infinity_forbids_a_token(loss_of):
    logits = torch.tensor([[0.0, -math.inf, 0.0]])
    assert loss_of(logits, torch.tensor([0])).item() == pytest.approx(math.log(2))
    assert loss_of(logits, torch.tensor([1])).item() == math.inf


@either
def test_nan_is_not_hidden(loss_of):
    assert loss_of(torch.tensor([[0.0, math.nan]]), torch.tensor([0])).isnan()


@either
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_summed_in_float32(dtype, loss_of):
    logits = torch.randn(7, 50_000, generator=torch.Generator().manual_seed(0)).to(dtype)
    targets = torch.randint(50_000, (7,))
    loss = loss_of(logits, targets)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, oracle(logits.float(), targets))


@either
def test_shapes_of_logits_that_do_not_fit_are_named(loss_of):
    with pytest.raises(ValueError, match=r"\(2, 3, 5\) and targets \(2, 4\)"):
        loss_of(torch.zeros(2, 3, 5), torch.zeros(2, 4, dtype=torch.int64))
    with pytest.raises(ValueError, match="one target at least"):
        loss_of(torch.zeros(0, 5), torch.zeros(0, dtype=torch.int64))


def test_shapes_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match=r"head_weight \(5, 4\)"):
        chunked_cross_entropy(torch.zeros(2, 3), torch.zeros(5, 4), torch.zeros(2, dtype=torch.int64))
    with pytest.raises(ValueError, match="chunk_size is 0"):
        chunked_cross_entropy(torch.zeros(2, 3), torch.zeros(5, 3), torch.zeros(2, dtype=torch.int64), 0)


@pytest.mark.parametrize("loss_of", [cross_entropy, fused_cross_entropy, lean])
@pytest.mark.parametrize("bad", [5, 300, 2**62, -1, -5, -100])
@pytest.mark.parametrize("place", [0, 2])
def test_a_target_outside_of_the_vocabulary_is_named_with_the_range(loss_of, bad, place):
    targets = torch.tensor([0, 4, 1])
    targets[place] = bad
    with pytest.raises(IndexError, match=f"^target {bad} is outside the vocabulary.* targets run from 0 to 4") as told:
        loss_of(torch.randn(3, 5), targets)
    assert ("no id that is ignored" in str(told.value)) is (bad < 0)


@pytest.mark.parametrize("entries", [2, 4, None])
@pytest.mark.parametrize("bad", [-1, 0])
def test_no_row_of_padding_is_a_target(entries, bad):
    """`bad` is so far beyond the last entry, or negative."""
    targets = torch.tensor([0, bad if bad < 0 else entries or 5])
    with pytest.raises(IndexError, match=f"^target {int(targets[1])} is outside the vocabulary"):
        chunked_cross_entropy(torch.randn(2, 3), torch.randn(5, 3), targets, entries=entries)


@pytest.mark.parametrize("size", [1.5, "8", True, None, torch.tensor(2.0)])
def test_a_chunk_has_a_whole_number_of_rows(size):
    with pytest.raises(TypeError, match="chunk_size must be a whole number"):
        chunked_cross_entropy(torch.zeros(2, 3), torch.zeros(5, 3), torch.zeros(2, dtype=torch.int64), size)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(1, 20),
    vocab=st.integers(1, 300),
    size=st.sampled_from([0.0, 1.0, 300.0, 1e30]),
    seed=st.integers(0, 2**31),
)
def test_the_fused_loss_and_its_gradient_are_those_of_the_definition(rows, vocab, size, seed):
    generator = torch.Generator().manual_seed(seed)
    logits = (torch.randn(rows, vocab, generator=generator, dtype=torch.float64) * size).requires_grad_()
    targets = torch.randint(vocab, (rows,), generator=generator)
    plain, fused = cross_entropy(logits, targets), fused_cross_entropy(logits, targets)
    torch.testing.assert_close(fused, plain, rtol=1e-12, atol=1e-12)
    for _ in range(2):  # a graph that is kept can be walked twice
        ours = torch.autograd.grad(3 * fused, logits, retain_graph=True)
        torch.testing.assert_close(
            ours, torch.autograd.grad(3 * plain, logits, retain_graph=True), rtol=1e-9, atol=1e-15
        )
    assert torch.equal(fused_cross_entropy(logits.detach(), targets), fused)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(1, 20),
    d=st.integers(1, 6),
    vocab=st.integers(1, 30),
    chunk=st.integers(1, 25),
    size=st.sampled_from([0.0, 1.0, 300.0]),
    seed=st.integers(0, 2**31),
)
def test_chunks_change_neither_loss_nor_gradients(rows, d, vocab, chunk, size, seed):
    generator = torch.Generator().manual_seed(seed)
    hidden = (torch.randn(rows, d, generator=generator, dtype=torch.float64) * size).requires_grad_()
    weight = torch.randn(vocab, d, generator=generator, dtype=torch.float64).requires_grad_()
    targets = torch.randint(vocab, (rows,), generator=generator)
    plain = cross_entropy(hidden @ weight.T, targets)
    lean = chunked_cross_entropy(hidden, weight, targets, chunk)
    torch.testing.assert_close(lean, plain)
    for ours, expected in zip(
        torch.autograd.grad(3 * lean, (hidden, weight)), torch.autograd.grad(3 * plain, (hidden, weight)), strict=True
    ):
        # where terms as large as `size` cancel, their rounding is what is left
        torch.testing.assert_close(ours, expected, atol=1e-12 * max(size, 1.0), rtol=1e-7)


def test_the_lean_gradient_is_that_of_finite_differences():
    hidden = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(7, 4, dtype=torch.float64, requires_grad=True)
    targets = torch.randint(7, (2, 3))
    assert torch.autograd.gradcheck(lambda h, w: chunked_cross_entropy(h, w, targets, 4), (hidden, weight))


def test_the_lean_loss_never_makes_a_tensor_of_all_logits():
    rows, vocab, chunk = 64, 1_000, 8
    hidden = torch.randn(rows, 4, requires_grad=True)
    weight = torch.randn(vocab, 4, requires_grad=True)
    sizes = []

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            result = function(*args, **(kwargs or {}))
            sizes.extend(x.numel() for x in torch.utils._pytree.tree_leaves(result) if isinstance(x, torch.Tensor))
            return result

    with Watch():
        chunked_cross_entropy(hidden, weight, torch.randint(vocab, (rows,)), chunk).backward()
    assert max(sizes) == chunk * vocab


def test_the_lean_loss_without_gradients_computes_none(monkeypatch):
    weight = torch.randn(9, 4, requires_grad=True)
    monkeypatch.setattr(torch.Tensor, "scatter_add_", lambda *_: pytest.fail("that is a step of the gradient"))
    with torch.no_grad():
        loss = chunked_cross_entropy(torch.randn(5, 4), weight, torch.randint(9, (5,)), 2)
    assert not loss.requires_grad and loss.isfinite()


def test_the_lean_loss_works_under_autocast():
    hidden = torch.randn(30, 16, requires_grad=True)
    weight = torch.randn(50, 16, requires_grad=True)
    targets = torch.randint(50, (30,))
    with torch.autocast("cpu", torch.bfloat16):
        lean = chunked_cross_entropy(hidden, weight, targets, 7)
    plain = cross_entropy(hidden @ weight.T, targets)
    assert lean.dtype == torch.float32
    torch.testing.assert_close(lean, plain, atol=0.05, rtol=0.02)
    ours, expected = (torch.autograd.grad(x, (hidden, weight)) for x in (lean, plain))
    for a, b in zip(ours, expected, strict=True):
        assert a.dtype == torch.float32
        torch.testing.assert_close(a, b, atol=0.02, rtol=0.1)


def test_the_lean_gradient_of_a_head_in_half_precision_is_summed_in_float32():
    """A sum in bfloat16 stands still when it is 256 times what is added."""
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randint(1, 4, (2_000, 4), generator=generator).bfloat16()
    weight = torch.zeros(4, 4, dtype=torch.bfloat16, requires_grad=True)  # each term can be said exactly
    targets = torch.randint(4, (2_000,), generator=generator)
    (ours,) = torch.autograd.grad(chunked_cross_entropy(hidden, weight, targets, 1), weight)
    exact = weight.detach().double().requires_grad_()
    (expected,) = torch.autograd.grad(cross_entropy(hidden.double() @ exact.T, targets), exact)
    assert ours.dtype == torch.bfloat16
    torch.testing.assert_close(ours.double(), expected, rtol=2**-8, atol=1e-5)


def test_perplexity_of_a_uniform_guess_is_the_number_of_tokens():
    assert perplexity(torch.tensor(math.log(50.0), dtype=torch.float64)) == pytest.approx(50)
    assert perplexity(1e4) == math.inf


def test_bits_per_byte_does_not_depend_on_how_the_text_is_cut():
    whole = Tokenizer({**{i: bytes([i]) for i in range(256)}, 256: b"th", 257: b"the"}, [(b"t", b"h"), (b"th", b"e")])
    single = Tokenizer({i: bytes([i]) for i in range(256)}, [])
    text = "the cat and the hat"
    nats = 40.0  # for the whole text
    results = {
        round(bits_per_byte(nats / len(ids), ids, tokenizer), 9)
        for tokenizer in (whole, single)
        for ids in (tokenizer.encode(text), tokenizer.encode_to_array(text))
    }
    assert results == {round(40 / math.log(2) / len(text), 9)}
    with pytest.raises(ValueError, match="no tokens"):
        bits_per_byte(1.0, np.array([], dtype=np.uint16), single)


@pytest.mark.parametrize(
    "make",
    [list, tuple, iter, np.array, torch.tensor, lambda ids: np.array(ids, np.uint16), lambda ids: np.array(ids, ">i4"),
     lambda ids: np.array(ids).reshape(2, 2), lambda ids: torch.tensor(ids).reshape(4, 1),
     lambda ids: [ids[:2], ids[2:]], lambda ids: np.repeat(np.array(ids), 2).reshape(2, 4)[:, ::2],
     lambda ids: [np.int64(i) for i in ids]],
)  # fmt: skip
def test_bits_per_byte_are_those_of_all_ids_in_any_shape(make):
    tokenizer = Tokenizer({i: bytes([i]) for i in range(256)} | {256: b"th", 257: b"the"}, [])
    ids = [1, 257, 256, 3]
    expected = 2.0 * 4 / (math.log(2) * sum(len(tokenizer.vocab[i]) for i in ids))
    assert bits_per_byte(2.0, make(ids), tokenizer) == pytest.approx(expected)
    assert byte_count(make(ids), tokenizer) == sum(len(tokenizer.vocab[i]) for i in ids)
