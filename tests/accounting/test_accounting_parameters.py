"""The parameter count is that of the real model, whatever its ablations."""

import pytest
from accounting_counts import GRID, SIZES, TINY, name

from cs336_lib.accounting import Breakdown, parameter_count
from cs336_lib.model import TransformerLM
from cs336_lib.model.config import PRESETS

COMPONENT_OF = {
    "token_embeddings": "embedding",
    "attn": "attention_projections",
    "ffn": "ffn",
    "ln1": "norms",
    "ln2": "norms",
    "ln_final": "norms",
    "lm_head": "lm_head",
}


def component(parameter):
    """Return the component that a state-dict key such as layers.0.attn.q_norm.weight belongs to."""
    if "q_norm" in parameter or "k_norm" in parameter:
        return "norms"
    return next(COMPONENT_OF[part] for part in parameter.split(".") if part in COMPONENT_OF)


@pytest.mark.parametrize("cfg", [*GRID, *SIZES, *PRESETS.values()], ids=name)
def test_each_component_has_as_many_parameters_as_the_model(cfg):
    counted = {}
    for key, parameter in TransformerLM(cfg, device="meta").named_parameters():
        counted[component(key)] = counted.get(component(key), 0) + parameter.numel()
    assert dict(parameter_count(cfg)) == counted


def test_components_that_do_not_apply_are_absent():
    assert list(parameter_count(TINY.replace(norm="none", tie_embeddings=True))) == [
        "embedding",
        "attention_projections",
        "ffn",
    ]


def test_backends_have_the_same_parameters():
    assert parameter_count(TINY) == parameter_count(TINY.replace(backend="fast"))


def test_breakdowns_are_read_only():
    with pytest.raises(TypeError):
        parameter_count(TINY)["ffn"] = 0


def test_empty_breakdown_has_no_shares():
    assert Breakdown({}).total == 0
    assert Breakdown({"ffn": 0}).shares() == {"ffn": 0.0}
