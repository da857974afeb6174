"""A state is loaded by the kind of optimizer that saved it, and refused by all others with a word on why."""

import pytest
import torch
from optim_parameters import make_params, set_grads
from torch import nn

from cs336_lib.optim import SGD, AdamW, Muon


def matrices():
    return [p for p in make_params() if p.ndim == 2]


MADE = {
    "SGD": lambda: SGD(matrices()),
    "AdamW": lambda: AdamW(matrices()),
    "Muon": lambda: Muon(matrices()),
    "Muon of AdamW groups": lambda: Muon([{"params": matrices(), "algorithm": "adamw"}]),
    "torch.SGD": lambda: torch.optim.SGD(matrices(), lr=0.1, momentum=0.9),
    "torch.AdamW": lambda: torch.optim.AdamW(matrices()),
    "torch.RMSprop": lambda: torch.optim.RMSprop(matrices()),
    "torch.Muon": lambda: torch.optim.Muon(matrices()),
}
FITS = {
    ("SGD", "SGD"),
    ("AdamW", "AdamW"),
    ("AdamW", "torch.AdamW"),
    ("Muon", "Muon"),
    ("Muon", "Muon of AdamW groups"),
}


def stepped(name):
    optimizer = MADE[name]()
    set_grads(0, [p for group in optimizer.param_groups for p in group["params"]])
    optimizer.step()
    return optimizer


@pytest.mark.parametrize("saved", MADE)
@pytest.mark.parametrize("loading", ["SGD", "AdamW", "Muon"])
def test_every_pair_of_kinds_is_loaded_or_refused(loading, saved):
    optimizer = MADE[loading]()
    state = stepped(saved).state_dict()
    if (loading, saved) not in FITS:
        with pytest.raises(ValueError, match=rf"{loading}|saved by"):
            optimizer.load_state_dict(state)
        return
    optimizer.load_state_dict(state)
    set_grads(1, [p for group in optimizer.param_groups for p in group["params"]])
    optimizer.step()


class Nano(nn.Module):
    """Names of nanoGPT."""

    def __init__(self):
        super().__init__()
        self.transformer = nn.ModuleDict({"wte": nn.Embedding(9, 4), "wpe": nn.Embedding(8, 4), "h": nn.Linear(4, 4)})
        self.lm_head = nn.Linear(4, 9, bias=False)


class Raschka(nn.Module):
    """Names of a well-known book."""

    def __init__(self):
        super().__init__()
        self.tok_emb, self.pos_emb = nn.Embedding(9, 4), nn.Embedding(8, 4)
        self.trf_blocks = nn.Linear(4, 4)
        self.out_head = nn.Linear(4, 9, bias=False)


class Titan(nn.Module):
    """A head called output, beside projections called so in part."""

    def __init__(self):
        super().__init__()
        self.tok_embeddings = nn.Embedding(9, 4)
        self.output_proj = nn.Linear(4, 4, bias=False)
        self.output = nn.Linear(4, 9, bias=False)


@pytest.mark.parametrize(
    ("model", "hidden"),
    [(Nano, {"transformer.h.weight"}), (Raschka, {"trf_blocks.weight"}), (Titan, {"output_proj.weight"})],
)
def test_embeddings_and_heads_of_other_names_are_left_to_adamw(model, hidden):
    built = model()
    names = {id(p): name for name, p in built.named_parameters()}
    groups = {
        group["algorithm"]: {names[id(p)] for p in group["params"]} for group in Muon.for_model(built).param_groups
    }
    assert groups["muon"] == hidden


@pytest.mark.parametrize("make", [AdamW, SGD])
def test_an_optimizer_loads_as_often_as_one_likes(make):
    parameter = torch.nn.Parameter(torch.ones(2))
    optimizer = make([parameter], lr=0.1)
    state = optimizer.state_dict()
    for _ in range(3):
        optimizer.load_state_dict(state)
