import itertools

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from cs336_lib.model import ModelConfig, TransformerLM, fast


def pair(config, dtype):
    """A reference model and a fast one with the same weights."""
    reference = TransformerLM(config, dtype=dtype)
    for p in reference.parameters():
        if p.ndim == 1:
            torch.nn.init.normal_(p, mean=1.0)
    fast = TransformerLM(config.replace(backend="fast"), dtype=dtype)
    fast.load_state_dict(reference.state_dict())
    return reference, fast


def loss_and_gradients(model, ids):
    logits = model(ids)
    loss = F.cross_entropy(logits.flatten(0, 1).double(), ids.flip(0, 1).flatten())
    names, weights = zip(*model.named_parameters(), strict=True)
    return logits, dict(zip(names, torch.autograd.grad(loss, weights), strict=True))


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-11), (torch.float32, 2e-5)])
def test_logits_and_every_gradient_equal_the_reference(ablation, ids, dtype, tolerance):
    (logits, grads), (fast_logits, fast_grads) = (loss_and_gradients(model, ids) for model in pair(ablation, dtype))
    torch.testing.assert_close(fast_logits, logits, rtol=tolerance, atol=tolerance)
    for name, grad in grads.items():
        assert (fast_grads[name] - grad).norm() <= tolerance * grad.norm(), name


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 3),
    st.integers(1, 9),
    st.integers(1, 4),
    st.integers(1, 9),
    st.booleans(),
    st.booleans(),
)
def test_fast_equals_reference_for_any_sizes(batch, seq_len, heads, half, qk_norm, rope):
    width = 2 * half if rope else 2 * half - 1  # odd heads, too
    config = ModelConfig(11, 9, heads * width, 1, heads, d_ff=5, qk_norm=qk_norm, position="rope" if rope else "none")
    reference, fast = pair(config, torch.float64)
    ids = torch.randint(11, (batch, seq_len))
    torch.testing.assert_close(fast(ids), reference(ids))


@pytest.mark.parametrize("shape", [(5,), (3, 5), (2, 3, 5)])
@pytest.mark.parametrize("reads", ["weights", "activations"])
def test_the_norms_gradient_by_hand_is_right_and_so_is_its_own(shape, reads):
    norm = fast.FastRMSNorm(5, eps=1e-2, dtype=torch.float64)
    torch.nn.init.normal_(norm.weight, mean=1.0)
    x = torch.randn(shape, dtype=torch.float64, requires_grad=reads == "activations")
    assert type(norm(x).grad_fn).__name__.startswith("_RMSNormByHand"), "or this tests torch"
    torch.testing.assert_close(norm(x), super(fast.FastRMSNorm, norm).forward(x))

    def of(x, weight):
        return torch.func.functional_call(norm, {"weight": weight}, (x,))

    assert torch.autograd.gradcheck(of, (x, norm.weight))
    assert torch.autograd.gradgradcheck(of, (x, norm.weight))


def relative_error(a, exact):
    return ((a.double() - exact).norm() / exact.norm()).item()


@pytest.mark.parametrize("cast", ["weights", "autocast"])
def test_half_precision_error_is_bounded_against_float64_on_both_backends(cast):
    config = ModelConfig(vocab_size=200, context_length=64, d_model=128, num_layers=3, num_heads=4)
    exact_model, _ = pair(config, torch.float64)
    ids = torch.randint(200, (2, 64))
    exact, exact_grads = loss_and_gradients(exact_model, ids)
    errors = {}
    for backend in ("reference", "fast"):
        half = TransformerLM(config.replace(backend=backend))
        half.load_state_dict(exact_model.state_dict())
        if cast == "weights":
            half.to(torch.bfloat16)
        with torch.autocast("cpu", torch.bfloat16, enabled=cast == "autocast"):
            logits, grads = loss_and_gradients(half, ids)
        # bfloat16 has 8 bits: each rounding is off by up to 0.4 %, and some thirty follow one another.
        errors[backend] = relative_error(logits, exact)
        assert errors[backend] < 0.02
        assert max(relative_error(grads[name], exact_grads[name]) for name in grads) < 0.08
    assert errors["fast"] < 1.2 * errors["reference"]


def test_state_dicts_are_interchangeable(ablation):
    reference, fast = TransformerLM(ablation), TransformerLM(ablation.replace(backend="fast"))
    assert [(k, v.shape) for k, v in reference.state_dict().items()] == [
        (k, v.shape) for k, v in fast.state_dict().items()
    ]
    reference.load_state_dict(fast.state_dict())


def test_both_backends_draw_the_same_weights_from_a_seed(tiny):
    models = []
    for backend in ("reference", "fast"):
        torch.manual_seed(3)
        models.append(TransformerLM(tiny.replace(backend=backend)))
    for a, b in zip(*(model.parameters() for model in models), strict=True):
        assert torch.equal(a, b)


def test_no_reference_layer_runs_in_a_fast_model_nor_the_other_way_round(ablation, ids):
    neutral = {"TransformerLM", "TransformerBlock", "RotaryEmbedding"}
    for backend in ("reference", "fast"):
        model, ran = TransformerLM(ablation.replace(backend=backend)), set()
        for module in model.modules():
            module.register_forward_pre_hook(lambda module, _: ran.add(type(module).__name__))  # noqa: B023
        model(ids)
        assert {name.startswith("Fast") for name in ran - neutral} == {backend == "fast"}


def test_positions_given_by_hand_mean_the_same(tiny, ids):
    reference, fast = pair(tiny, torch.float64)
    for positions in (torch.arange(12), torch.arange(12).flip(0), torch.randint(12, (2, 12))):
        expected = reference(ids, token_positions=positions)
        torch.testing.assert_close(fast(ids, token_positions=positions), expected)


def test_too_long_and_empty_sequences_are_refused_alike(tiny):
    for backend, (seq_len, message) in itertools.product(
        ("reference", "fast"), [(13, "13 tokens, but context_length is 12"), (0, "one token at least")]
    ):
        with pytest.raises(ValueError, match=message):
            TransformerLM(tiny.replace(backend=backend))(torch.zeros(1, seq_len, dtype=torch.long))
