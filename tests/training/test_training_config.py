"""TrainConfig: what a run is, to and from JSON, with errors that say what to do."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from cs336_lib.model import ModelConfig
from cs336_lib.training import TrainConfig
from cs336_lib.training.presets import PRESETS

SMALL = TrainConfig(ModelConfig.preset("tales-1m"), data_bytes=1_000)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_survive_json_and_are_named_after_themselves(name):
    config = TrainConfig.preset(name)
    assert TrainConfig.from_json(config.to_json()) == config
    assert config.name == name


def test_the_assignments_budgets():
    assert TrainConfig.preset("tinystories-17m").tokens == TrainConfig.preset("owt-17m").tokens == 327_680_000
    assert TrainConfig.preset("tinystories-40m-tokens").tokens == 40_960_000
    assert TrainConfig.preset("owt-17m").model.vocab_size == 32_000


def test_a_config_is_frozen_and_hashable():
    with pytest.raises(AttributeError):
        SMALL.lr = 1.0
    assert SMALL in {SMALL}


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"warmup_step": 3}, r"unknown key 'warmup_step' \(did you mean 'warmup_steps'\?\); allowed: model, "),
        ({"model": {"n_layers": 3}}, r"in model: unknown key 'n_layers' \(did you mean 'num_layers'\?\)"),
        ({"model": "tales-2m"}, r"unknown preset 'tales-2m' \(did you mean 'tales-1m'\?\)"),
        ({"optimizer": "adam"}, r"optimizer is 'adam' \(did you mean 'adamw'\?\); allowed: 'adamw', 'muon', 'sgd'"),
        ({"batch_size": 0}, "batch_size is 0; it must be a whole number, 1 or more"),
        ({"steps": 1.5}, "steps is 1.5"),
        ({"steps": True}, "steps is True"),
        ({"lr": -1}, "lr is -1"),
        ({"lr": float("nan")}, "lr is nan"),
        ({"beta2": 1.0}, "beta2 is 1.0"),
        ({"batch_size": 10, "accumulation": 4}, "accumulation is 4, which does not divide batch_size = 10"),
        ({"warmup_steps": 1_001}, "do not fit in steps = 1000"),
        ({"lr": 1e-3, "min_lr": 1e-2}, "min_lr is 0.01, more than lr = 0.001"),
        ({"name": "a/b"}, "becomes the name of a folder"),
        ({"name": "../up"}, "becomes the name of a folder"),
        ({"valid_data": "x.txt"}, "has its own validation set"),
    ],
)
def test_bad_values_are_named_with_the_way_out(values, says):
    with pytest.raises(ValueError, match=says):
        TrainConfig.from_dict({**SMALL.to_dict(), **values})


@pytest.mark.parametrize(("text", "says"), [("{", "no JSON"), ("[]", "this is list"), ("{}", "missing model")])
def test_a_broken_file_is_named(text, says):
    with pytest.raises(ValueError, match=says):
        TrainConfig.from_json(text)


def test_replace_checks_too():
    assert SMALL.replace(lr=1.0).lr == 1.0
    with pytest.raises(ValueError, match="did you mean 'lr'"):
        SMALL.replace(lrr=1.0)


def test_a_model_may_be_named():
    values = json.loads(SMALL.to_json()) | {"model": "gpt2-small"}
    assert TrainConfig.from_dict(values).model.num_layers == 12


def test_reading_a_config_needs_no_torch():
    code = "import cs336_lib.training as t, sys; t.TrainConfig.preset('tales-1m'); print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"


def test_numbers_of_numpy_and_torch_make_the_config_that_pythons_make():
    """Each field that holds a number or a truth, in each type that has room for it."""
    config = TrainConfig.preset("tales-1m").replace(compile=False, pad_head=True, resident=False, lr=0.5, min_lr=0.25)
    kinds = {
        int: (np.int64, np.int32, np.uint64, np.array, torch.tensor),
        float: (np.float64, np.array, lambda x: torch.tensor(x, dtype=torch.float64)),
        bool: (np.bool_, np.array, torch.tensor),
    }
    tried = set()
    for name, value in vars(config).items():
        for made in kinds.get(type(value), ()):
            again = config.replace(**{name: made(value)})
            assert again == config and type(getattr(again, name)) is type(value), (name, made)
            assert again.to_json() == config.to_json()
            tried.add(name)
    assert {"steps", "lr", "beta1", "seed", "tf32", "compile", "peak_flops", "tensorboard"} <= tried
    assert config.replace(lr=np.float32(0.5)) == config and config.replace(lr=np.int8(1)).lr == 1
    assert config.model.replace(qk_norm=np.True_, tie_embeddings=np.False_) == config.model.replace(qk_norm=True)
    for wrong in (np.float64(2), np.True_, np.array([2])):
        with pytest.raises(ValueError, match=r"steps is .*; it must be a whole number, 1 or more"):
            config.replace(steps=wrong)
