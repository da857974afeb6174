"""Every annotated call, checked against its shapes while a second copy of the package runs.

The copy is imported under jaxtyping's hook, which wraps each function in a run-time type check; the library itself
stays unwrapped, so that users (and torch.compile) pay nothing.
"""

import importlib
import sys
from contextlib import contextmanager

import jaxtyping
import pytest
import torch
from model_oracle import TINY

import cs336_lib.model

ROOM = "cs336_lib.model"


@contextmanager
def fresh_import():
    kept = {name: sys.modules.pop(name) for name in list(sys.modules) if name == ROOM or name.startswith(ROOM + ".")}
    try:
        yield
    finally:
        for name in [name for name in sys.modules if name == ROOM or name.startswith(ROOM + ".")]:
            del sys.modules[name]
        sys.modules.update(kept)
        cs336_lib.model = kept[ROOM]  # an import has put the copy there


@pytest.fixture(scope="module")
def checked():
    with fresh_import():
        with jaxtyping.install_import_hook(ROOM, "beartype.beartype"):
            room = importlib.import_module(ROOM)
            importlib.import_module(ROOM + ".fast")
            for name in room.__all__:
                getattr(room, name)
        yield room


@pytest.mark.parametrize("backend", ["reference", "fast"])
def test_all_calls_of_every_ablation_have_the_annotated_shapes(checked, ablation, backend, ids):
    config = checked.ModelConfig(**ablation.replace(backend=backend).to_dict())
    model = checked.TransformerLM(config)
    model(ids).sum().backward()
    with torch.no_grad():
        cache = checked.KVCache(config, batch_size=2)
        model(ids[:, :5], cache=cache)
        model(ids[:, 5:6], cache=cache)
        model(ids[:, 6:7], cache=cache, token_positions=torch.tensor([[6], [3]]))
    model.to(torch.bfloat16)(ids)
    assert model.head_weight.shape == (config.vocab_size, config.d_model)


def test_the_check_would_notice_a_wrong_shape(checked):
    with pytest.raises(jaxtyping.TypeCheckError):
        checked.scaled_dot_product_attention(torch.zeros(2, 3), torch.zeros(4, 3), torch.zeros(5, 3))
    with pytest.raises(jaxtyping.TypeCheckError):
        checked.Embedding(4, 2)(torch.zeros(3))  # floats are no ids
    with pytest.raises(jaxtyping.TypeCheckError):
        checked.TransformerLM(checked.ModelConfig(**TINY.to_dict())).layers[0].attn.split_heads(torch.zeros(24))


def test_without_jaxtyping_annotations_are_plain_tensors(monkeypatch):
    monkeypatch.setitem(sys.modules, "jaxtyping", None)  # importing it now fails
    with fresh_import():
        shapes = importlib.import_module(ROOM + ".shapes")
        assert shapes.Float[torch.Tensor, "B S"] is shapes.Int[torch.Tensor, "..."] is torch.Tensor
        assert importlib.import_module(ROOM).softmax(torch.zeros(2), 0).tolist() == [0.5, 0.5]
