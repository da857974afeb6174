"""Configs of others, key by key: a folder opens with transformers' logits, or the error names its file and its key."""

import json
import re
import shutil
import warnings

import pytest
import torch
import transformers

from cs336_lib.model import ModelConfig, TransformerLM
from cs336_lib.model.llama import from_hf_llama, to_hf_llama

CONFIG = ModelConfig(64, context_length=16, d_model=16, num_layers=2, num_heads=2, d_ff=24, rope_theta=5_000.0)
IDS = torch.arange(3, 15).remainder(64)[None]


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """An export whose attention is far from uniform, so that masks and rotations show in the logits."""
    torch.manual_seed(0)
    model = TransformerLM(CONFIG)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.mul_(6.0 if "q_proj" in name or "k_proj" in name else 1.0)
    return to_hf_llama(model, tmp_path_factory.mktemp("good") / "export")


@pytest.fixture
def changed(good, tmp_path):
    """Give a copy of the export with keys changed; `...` takes one away."""

    def change(**keys):
        folder = tmp_path / "changed"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(good, folder)
        config = {**json.loads((good / "config.json").read_text()), **keys}
        kept = {key: value for key, value in config.items() if value is not ...}
        (folder / "config.json").write_text(json.dumps(kept))
        return folder

    return change


def theirs(folder):
    """Logits of transformers, in one go and token by token with a cache; None where it can't open the folder."""
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        try:
            model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
            at_once, cache, steps = model(IDS, use_cache=False).logits, None, []
            for n in range(IDS.shape[1]):
                out = model(IDS[:, n : n + 1], past_key_values=cache, use_cache=True)
                cache = out.past_key_values
                steps.append(out.logits)
        except Exception:
            return None
    return torch.stack((at_once, torch.cat(steps, dim=1)))


def ours(folder):
    """Logits of this library; None where it refuses the folder, by a line that names it and the config."""
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        try:
            model = from_hf_llama(folder)
        except ValueError as error:
            assert str(folder) in str(error) and "config.json" in str(error) and "\n" not in str(error)
            return error
        return model(IDS[:, : model.config.context_length])


def check(folder, keys):
    found = ours(folder)
    if isinstance(found, ValueError):
        assert any(key in str(found) for key in keys), found
        return False
    wanted = theirs(folder)
    if wanted is None:
        return True
    wanted = wanted[:, :, : found.shape[1]]
    # nan where a norm's epsilon or a base is beyond float32, in both
    torch.testing.assert_close(found.expand_as(wanted), wanted, rtol=1e-3, atol=1e-4, equal_nan=True)
    return True


def keys_read():
    """Keys of a config that the installed transformers looks at when it opens a Llama and computes with it."""
    read = set()
    get = transformers.LlamaConfig.__getattribute__

    def spy(self, key):
        read.add(key)
        return get(self, key)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transformers.LlamaConfig, "__getattribute__", spy)
        config = transformers.LlamaConfig(
            vocab_size=64, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2
        )
        with torch.no_grad():
            transformers.LlamaForCausalLM(config)(IDS, use_cache=True)
    names = (key for key in read if re.fullmatch("[a-z][a-z_0-9]*", key))
    return sorted(key for key in names if not callable(getattr(config, key, None)))


ODD = (False, True, 0, 1, 3, 0.25, "other", ["sliding_attention"] * 2, {"0": {"num_attention_heads": 1}})


@pytest.mark.parametrize("key", keys_read())
def test_each_key_that_transformers_reads_is_honored_or_refused(changed, key):
    for value in ODD:
        check(changed(**{key: value}), {key})


KEYS = [
    *("vocab_size", "max_position_embeddings", "hidden_size", "num_hidden_layers", "num_attention_heads"),
    *("intermediate_size", "num_key_value_heads", "head_dim", "rms_norm_eps", "rope_theta", "rope_parameters"),
    *("rope_scaling", "tie_word_embeddings", "hidden_act", "attention_bias", "mlp_bias", "is_causal", "model_type"),
    *("layer_types", "sliding_window", "partial_rotary_factor"),
]
NASTY = [
    *(..., None, True, False, 0, 1, -1, 2, 17, 10**9, 10**10, 10**20, 10**30, 10**400, 1.5, 1e-300, 1e300),
    *(float("nan"), float("inf"), "", "false", "8", [], [1], {}, {"rope_type": "default", "rope_theta": [1]}),
    *({"rope_type": "default", "rope_theta": 10**400}, {"rope_type": [1]}, {"rope_theta": None}, {"a": {"b": 1}}),
]


@pytest.mark.parametrize("key", KEYS)
def test_nasty_values_open_as_in_transformers_or_are_refused_by_name(changed, key):
    opened = sum(check(changed(**{key: value}), {key}) for value in NASTY)
    assert opened < len(NASTY)


MODELS = ({}, {"rope_theta": 777.0}, {"rope_theta": ...}, {"rope_theta": 3})
ROPES = (..., None, {}, {"rope_type": "default"}, {"type": "default"}, {"rope_type": "default", "rope_theta": 90.0})


@pytest.mark.parametrize("scaling", ROPES, ids=str)
@pytest.mark.parametrize("top", MODELS, ids=str)
def test_the_base_of_the_rotations_is_taken_where_transformers_takes_it(changed, scaling, top):
    opened = [
        check(changed(rope_scaling=scaling, rope_parameters=parameters, **top), {"rope_theta"})
        for parameters in (*ROPES, {"rope_type": "default", "rope_theta": 10_000.0})
    ]
    assert sum(opened) >= 6


@pytest.mark.parametrize("scaling", ROPES, ids=str)
@pytest.mark.parametrize("parameters", ROPES, ids=str)
def test_null_beside_an_object_that_names_the_base_is_no_base(changed, parameters, scaling):
    opened = check(changed(rope_scaling=scaling, rope_parameters=parameters, rope_theta=None), {"rope_theta"})
    first = next((rope for rope in (scaling, parameters) if rope and rope is not ...), {})
    assert opened == ("rope_theta" in first)


@pytest.mark.parametrize("name", ["silu", "swish"])
def test_the_gate_goes_by_both_of_its_names(changed, name):
    folder = changed(hidden_act=name)
    assert check(folder, ()) and theirs(folder) is not None


def test_the_base_beside_rope_scaling_goes_before_that_of_rope_parameters(changed):
    folder = changed(
        rope_parameters={"rope_theta": 10000.0, "rope_type": "default"},
        rope_scaling={"type": "default"},
        rope_theta=777.0,
    )
    assert from_hf_llama(folder).config.rope_theta == 777


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"is_causal": False}, "is_causal=False; this model has True and nothing else"),
        ({"sliding_window": 4}, "sliding_window=4; this model has None"),
        ({"vocab_size": 10**9}, r"shape \(64, 16\), and its config.json makes that \(1000000000, 16\): vocab_size"),
        ({"num_hidden_layers": 10**9}, r"num_hidden_layers=1000000000.*missing \['model.layers.2.input"),
        ({"max_position_embeddings": 10**10}, r"max_position_embeddings=10000000000.*the most is 16,777,216"),
        ({"num_key_value_heads": 0}, "num_key_value_heads=0; this model has 2"),
        ({"tie_word_embeddings": "false"}, "tie_word_embeddings='false'; it must be true or false"),
        ({"rms_norm_eps": 10**400}, r"rms_norm_eps=10000000000000000000\.\.\.; it must be a number above 0"),
    ],
)
def test_what_is_refused_is_said_with_what_is_allowed(changed, changes, message):
    with pytest.raises(ValueError, match=message) as told:
        from_hf_llama(changed(**changes))
    assert len(str(told.value)) < 900


def test_a_number_of_thousands_of_digits_is_told_with_its_file(changed):
    path = changed() / "config.json"
    path.write_text(path.read_text().replace('"rope_theta": 5000.0', f'"rope_theta": {"9" * 5_000}', 1))
    with pytest.raises(ValueError, match=r"config\.json holds a number that is too long to be read"):
        from_hf_llama(path.parent)
