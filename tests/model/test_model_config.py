import dataclasses
import json
import subprocess
import sys

import pytest

from cs336_lib.model import ModelConfig
from cs336_lib.model.config import PRESETS, default_d_ff

SIZES = {"vocab_size": 100, "context_length": 8, "d_model": 64, "num_layers": 2, "num_heads": 4}


def test_config_and_package_load_without_torch():
    program = (
        "import sys; from cs336_lib.model import ModelConfig; ModelConfig.preset('gpt2-xl');"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_package_names_are_found_and_others_are_not():
    import cs336_lib.model as room

    assert all(hasattr(room, name) and name in dir(room) for name in room.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Transformer'"):
        _ = room.Transformer


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_survives_json(name):
    config = ModelConfig.preset(name)
    assert ModelConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("tinystories-17m", (10_000, 256, 512, 4, 16, 1_344)),
        ("owt-17m", (32_000, 256, 512, 4, 16, 1_344)),
        ("gpt2-small", (50_257, 1_024, 768, 12, 12, 3_072)),
        ("gpt2-medium", (50_257, 1_024, 1_024, 24, 16, 4_096)),
        ("gpt2-large", (50_257, 1_024, 1_280, 36, 20, 5_120)),
        ("gpt2-xl", (50_257, 1_024, 1_600, 48, 25, 6_400)),
    ],
)
def test_presets_are_the_assignments(name, sizes):
    assert dataclasses.astuple(ModelConfig.preset(name))[:6] == sizes
    assert ModelConfig.preset(name).rope_theta == 10_000


def test_unknown_preset_is_named_with_all_others():
    with pytest.raises(
        ValueError, match=r"unknown preset 'gpt2-xxl' \(did you mean 'gpt2-xl'\?\); allowed: tales-1m, .*gpt2-xl-2026$"
    ):
        ModelConfig.preset("gpt2-xxl")


def test_unknown_key_is_named_with_the_nearest_and_all_allowed():
    with pytest.raises(
        ValueError, match=r"unknown key 'n_layers' \(did you mean 'num_layers'\?\); allowed: vocab_size, .*backend$"
    ):
        ModelConfig.from_dict({**SIZES, "n_layers": 3})
    with pytest.raises(ValueError, match="unknown key 'dropout'; allowed: "):
        ModelConfig(**SIZES).replace(dropout=0.1)


def test_missing_keys_are_all_named():
    with pytest.raises(ValueError, match="missing num_layers, num_heads; required: vocab_size"):
        ModelConfig.from_dict({"vocab_size": 1, "context_length": 1, "d_model": 2})


def test_config_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        ModelConfig(**SIZES).d_model = 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_layers": 0}, "num_layers is 0; it must be a positive whole number"),
        ({"vocab_size": 10.0}, "vocab_size is 10.0"),
        ({"d_model": True}, "d_model is True"),
        ({"d_ff": -1}, "d_ff is -1"),
        ({"num_heads": 5}, "num_heads is 5, which does not divide d_model = 64"),
        ({"num_heads": 64}, "64 / 64 = 1"),
        ({"norm": "layer"}, "norm is 'layer'; allowed: 'pre', 'post', 'none'"),
        ({"position": "alibi"}, "position is 'alibi'; allowed: 'rope', 'none'"),
        ({"ffn": "relu"}, "ffn is 'relu'; allowed: 'swiglu', 'silu'"),
        ({"backend": "cuda"}, "backend is 'cuda'; allowed: 'reference', 'fast'"),
        ({"tied_lookup": "big"}, "tied_lookup is 'big'; allowed: 'scaled', 'plain'"),
        ({"tie_embeddings": 1}, "tie_embeddings is 1; it must be true or false"),
        ({"rope_theta": float("inf")}, "rope_theta is inf; it must be a positive number, finite"),
        ({"norm_eps": "1e-5"}, "norm_eps is '1e-5'"),
    ],
)
def test_bad_value_is_named_with_what_is_allowed(changes, message):
    with pytest.raises(ValueError, match=message):
        ModelConfig(**{**SIZES, **changes})


def test_odd_heads_are_fine_without_rotation():
    assert ModelConfig(**{**SIZES, "num_heads": 64}, position="none").head_dim == 1


@pytest.mark.parametrize(
    ("d_model", "d_ff"), [(512, 1344), (768, 2048), (1024, 2752), (1280, 3392), (1600, 4288), (8, 64)]
)
def test_default_d_ff_is_eight_thirds_to_the_nearest_64(d_model, d_ff):
    assert default_d_ff(d_model) == d_ff
    assert d_ff == 64 or abs(d_ff - 8 / 3 * d_model) <= 32


def test_changing_the_ffn_keeps_its_parameters_unless_d_ff_is_given():
    config = ModelConfig(**SIZES, d_ff=128)
    assert config.replace(ffn="silu").d_ff == 192
    assert config.replace(ffn="silu").replace(ffn="swiglu") == config
    assert config.replace(ffn="silu", d_ff=128).d_ff == 128
    assert config.replace(ffn="swiglu", d_model=128).d_ff == 128
    with pytest.raises(ValueError, match=r"no d_ff for ffn='silu'.*d_ff = 65; give d_ff as well"):
        config.replace(d_ff=65).replace(ffn="silu")
    with pytest.raises(ValueError, match="ffn is 'relu'"):
        config.replace(ffn="relu")


def test_an_old_config_with_tied_embeddings_means_rows_as_they_are():
    old = {key: value for key, value in ModelConfig(**SIZES).to_dict().items() if key != "tied_lookup"}
    assert ModelConfig.from_dict({**old, "tie_embeddings": True}).tied_lookup == "plain"
    assert ModelConfig.from_dict(old) == ModelConfig(**SIZES), "an untied one is the same model as ever"
    assert ModelConfig(**SIZES, tie_embeddings=True).lookup_scale == SIZES["d_model"] ** 0.5
