import copy
import math

import model_oracle
import pytest
import torch
import torch.nn.functional as F

from cs336_lib.model import ModelConfig, TransformerBlock, TransformerLM


def test_every_ablation_equals_the_oracle(ablation, ids):
    model = TransformerLM(ablation, dtype=torch.float64)
    for p in model.parameters():
        if p.ndim == 1:
            torch.nn.init.normal_(p, mean=1.0)  # gains of one would hide where they are applied
    torch.testing.assert_close(model(ids), model_oracle.logits(ablation, model.state_dict(), ids))


def test_no_ablation_sees_the_future(ablation, ids):
    model = TransformerLM(ablation, dtype=torch.float64)
    before = model(ids)
    for at in (1, 6, ids.shape[1] - 1):
        changed = ids.clone()
        changed[:, at:] = (changed[:, at:] + 1) % ablation.vocab_size
        after = model(changed)
        torch.testing.assert_close(after[:, :at], before[:, :at])
        assert not torch.isclose(after[:, at:], before[:, at:]).all(-1).any()


def test_sequences_of_a_batch_do_not_meet(tiny, ids):
    model = TransformerLM(tiny, dtype=torch.float64)
    torch.testing.assert_close(model(ids)[1:], model(ids[1:]))


def formula(c):
    """Count parameters from the config alone."""
    norms = {"pre": 2 * c.num_layers + 1, "post": 2 * c.num_layers, "none": 0}[c.norm]
    block = 4 * c.d_model**2 + (3 if c.ffn == "swiglu" else 2) * c.d_model * c.d_ff + 2 * c.head_dim * c.qk_norm
    return (2 - c.tie_embeddings) * c.vocab_size * c.d_model + c.num_layers * block + norms * c.d_model


def numel(config):
    return sum(p.numel() for p in TransformerLM(config, device="meta").parameters())


def test_parameters_of_every_ablation_follow_the_formula(ablation):
    assert numel(ablation) == formula(ablation)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("tales-1m", 1_016_960),
        ("tinystories-17m", 17_576_448 + 5_120_000),
        ("gpt2-small", 190_460_160),
        ("gpt2-medium", 505_629_696),
        ("gpt2-large", 1_072_469_760),
        ("gpt2-xl", 2_127_057_600),
    ],
)
def test_presets_have_the_verified_number_of_parameters(name, parameters):
    assert numel(ModelConfig.preset(name)) == formula(ModelConfig.preset(name)) == parameters


def test_the_silu_ablation_has_exactly_as_many_parameters():
    config = ModelConfig.preset("tinystories-17m")
    assert numel(config.replace(ffn="silu")) == numel(config)


def test_state_dict_has_the_assignments_keys_and_shapes(tiny):
    V, D, K = tiny.vocab_size, tiny.d_model, tiny.d_ff
    layer = {
        **{f"attn.{p}_proj.weight": (D, D) for p in ("q", "k", "v", "output")},
        "ln1.weight": (D,),
        "ln2.weight": (D,),
        "ffn.w1.weight": (K, D),
        "ffn.w2.weight": (D, K),
        "ffn.w3.weight": (K, D),
    }
    expected = {"token_embeddings.weight": (V, D), "ln_final.weight": (D,), "lm_head.weight": (V, D)}
    expected |= {f"layers.{n}.{key}": shape for n in range(tiny.num_layers) for key, shape in layer.items()}
    assert {key: tuple(value.shape) for key, value in TransformerLM(tiny).state_dict().items()} == expected


def test_a_block_takes_the_assignments_weights():
    block = TransformerBlock(24, 3, 40)
    keys = {key.removeprefix("layers.0.") for key in TransformerLM(ModelConfig(9, 4, 24, 1, 3, 40)).state_dict()}
    assert set(block.state_dict()) == {key for key in keys if key.startswith(("attn.", "ffn.", "ln1.", "ln2."))}


@pytest.mark.parametrize("changes", [{}, {"tie_embeddings": True}, {"norm": "post"}, {"qk_norm": True}])
def test_first_loss_is_near_that_of_guessing(changes):
    config = ModelConfig(vocab_size=1000, context_length=64, d_model=256, num_layers=3, num_heads=8).replace(**changes)
    ids = torch.randint(1000, (8, 65))
    with torch.no_grad():
        loss = F.cross_entropy(TransformerLM(config)(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten())
    # Logits of standard deviation s add about s^2 / 2, and s^2 = 2 D / (V + D) = 0.41.
    assert math.log(1000) - 0.1 < loss < math.log(1000) + 0.5


@pytest.mark.parametrize("backend", ["reference", "fast"])
def test_gradients_pass_gradcheck(ablation, backend):
    sizes = {"vocab_size": 5, "context_length": 3, "d_model": 8, "num_layers": 1, "num_heads": 2, "d_ff": 4}
    config = ablation.replace(**sizes, backend=backend)
    model, ids = TransformerLM(config, dtype=torch.float64), torch.tensor([[1, 4, 2]])
    names = [name for name, _ in model.named_parameters()]
    weights = [p.detach().clone().requires_grad_() for p in model.parameters()]

    def logits(*weights):
        return torch.func.functional_call(model, dict(zip(names, weights, strict=True)), (ids,))

    assert torch.autograd.gradcheck(logits, weights, fast_mode=True)


@pytest.mark.parametrize("backend", ["reference", "fast"])
def test_one_batch_is_learned_by_heart(tiny, backend):
    model = TransformerLM(tiny.replace(d_model=48, backend=backend))
    ids = torch.randint(tiny.vocab_size, (4, tiny.context_length + 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(80):
        loss = F.cross_entropy(model(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.02


def test_every_parameter_gets_a_gradient(ablation, ids):
    model = TransformerLM(ablation)
    F.cross_entropy(model(ids).flatten(0, 1), ids.flatten()).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


def test_logits_are_the_head_on_the_hidden_states(ablation, ids):
    model = TransformerLM(ablation)
    hidden = model.hidden_states(ids)
    assert hidden.shape == (*ids.shape, ablation.d_model)
    torch.testing.assert_close(hidden @ model.head_weight.T, model(ids))


def test_the_final_stream_is_normalized_where_the_config_says_so(ids, tiny):
    for norm, normalized in (("pre", True), ("post", True), ("none", False)):
        hidden = TransformerLM(tiny.replace(norm=norm)).hidden_states(ids)
        assert ((hidden.square().mean(-1) - 1).abs().max() < 1e-3) == normalized


def test_one_token_one_sequence(ablation):
    assert TransformerLM(ablation)(torch.tensor([[3]])).shape == (1, 1, ablation.vocab_size)


def test_same_seed_same_weights_and_same_logits(tiny, ids):
    torch.manual_seed(1)
    first = TransformerLM(tiny)
    torch.manual_seed(1)
    second = TransformerLM(tiny)
    assert torch.equal(first(ids), second(ids))


def test_a_copy_and_a_model_from_the_meta_device_compute_the_same(tiny, ids):
    model = TransformerLM(tiny)
    empty = TransformerLM(tiny, device="meta").to_empty(device="cpu")
    empty.load_state_dict(model.state_dict())
    assert torch.equal(empty(ids), model(ids))
    assert torch.equal(copy.deepcopy(model)(ids), model(ids))


@pytest.mark.parametrize("seq_len", [13, 300])
def test_a_sequence_longer_than_the_context_is_refused_with_both_numbers(tiny, seq_len):
    with pytest.raises(ValueError, match=f"{seq_len} tokens, but context_length is 12"):
        TransformerLM(tiny)(torch.zeros(1, seq_len, dtype=torch.long))


@pytest.mark.parametrize("shape", [(5,), (1, 0), (0, 3), (1, 2, 3)])
def test_ids_of_another_shape_are_refused(tiny, shape):
    with pytest.raises(ValueError, match=r"ids have shape \(.*\); they must be \(batch, sequence\)"):
        TransformerLM(tiny)(torch.zeros(shape, dtype=torch.long))


@pytest.mark.parametrize("bad", [-1, 37])
def test_an_id_outside_the_vocabulary_is_named(tiny, bad):
    with pytest.raises(ValueError, match=f"token id {bad} is outside the vocabulary: vocab_size is 37"):
        TransformerLM(tiny)(torch.tensor([[0, bad, 3]]))


def test_an_unknown_backend_is_refused():
    with pytest.raises(ValueError, match="backend is 'cuda'; allowed: 'reference', 'fast'"):
        TransformerBlock(8, 2, 8, backend="cuda")
