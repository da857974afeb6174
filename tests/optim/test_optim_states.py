"""A state is loaded by the kind of optimizer that saved it, and refused by all others with a word on why."""

import numpy as np
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
    "torch.Adam": lambda: torch.optim.Adam(matrices()),  # which without decay is AdamW without
    "torch.Adam with decay": lambda: torch.optim.Adam(matrices(), weight_decay=0.1),
    "torch.NAdam": lambda: torch.optim.NAdam(matrices()),
    "torch.RAdam": lambda: torch.optim.RAdam(matrices()),
    "torch.RAdam with decay": lambda: torch.optim.RAdam(matrices(), weight_decay=0.1, decoupled_weight_decay=True),
    "torch.RMSprop": lambda: torch.optim.RMSprop(matrices()),
    "torch.Adamax": lambda: torch.optim.Adamax(matrices()),
    "torch.SGD without momentum": lambda: torch.optim.SGD(matrices(), lr=0.1),
    "torch.Muon": lambda: torch.optim.Muon(matrices()),
}
FITS = {
    ("SGD", "SGD"),
    ("AdamW", "AdamW"),
    ("AdamW", "torch.AdamW"),
    ("AdamW", "torch.Adam"),
    ("Muon", "Muon"),
    ("Muon", "Muon of AdamW groups"),
}


def stepped(name):
    optimizer = MADE[name]()
    set_grads(0, [p for group in optimizer.param_groups for p in group["params"]])
    optimizer.step()
    return optimizer


@pytest.mark.parametrize("made", [stepped, lambda name: MADE[name]()], ids=["stepped", "new"])
@pytest.mark.parametrize("saved", MADE)
@pytest.mark.parametrize("loading", ["SGD", "AdamW", "Muon"])
def test_every_pair_of_kinds_is_loaded_or_refused(loading, saved, made):
    optimizer = MADE[loading]()
    state = made(saved).state_dict()
    if (loading, saved) not in FITS:
        with pytest.raises(ValueError, match=rf"{loading}|saved by"):
            optimizer.load_state_dict(state)
        return
    optimizer.load_state_dict(state)
    set_grads(1, [p for group in optimizer.param_groups for p in group["params"]])
    optimizer.step()


def torchs():
    """Return a new optimizer of each kind that torch has and that takes these parameters."""
    for name in dir(torch.optim):
        kind = getattr(torch.optim, name)
        if isinstance(kind, type) and issubclass(kind, torch.optim.Optimizer) and kind is not torch.optim.Optimizer:
            yield name, kind(matrices()[:1], lr=0.1)


def test_the_new_state_of_each_of_torchs_optimizers_is_told_by_its_groups():
    found = dict(torchs())
    assert {"SGD", "Adagrad", "Adafactor", "ASGD", "Rprop", "LBFGS", "Adamax", "RMSprop"} <= found.keys()
    for loading in ("SGD", "AdamW", "Muon"):
        for name in found.keys() - ({"Adam", "AdamW"} if loading == "AdamW" else set()):
            with pytest.raises(ValueError, match=rf"{loading}|saved by"):
                type(MADE[loading]())(matrices()[:1]).load_state_dict(found[name].state_dict())


@pytest.mark.parametrize("loading", ["SGD", "AdamW", "Muon"])
def test_what_others_keep_in_a_group_is_no_hyperparameter(loading):
    """A schedule's numbers, a name, what torch adds by itself, and what the loading one's own groups have."""
    optimizer, other = MADE[loading](), MADE[loading]()
    torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)
    torch.optim.lr_scheduler.OneCycleLR(optimizer, 1.0, total_steps=5, cycle_momentum=False)
    optimizer.param_groups[0] |= {"name": "all", "mine": 3.0, "rho": 3.0}
    other.param_groups[0]["rho"] = 2.0
    for _ in range(2):
        other.load_state_dict(optimizer.state_dict())
    assert other.param_groups[0]["mine"] == 3.0 and other.param_groups[0]["name"] == "all"
    with pytest.raises(ValueError, match=rf"another optimizer than {loading}: its groups have rho, which {loading} "):
        MADE[loading]().load_state_dict(optimizer.state_dict())


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


GROUPS = {
    SGD: [("lr", -1.0), ("lr", float("nan"))],
    AdamW: [
        *(("lr", -1.0), ("betas", (1.5, 0.9)), ("betas", (0.9, -0.1)), ("eps", -1.0), ("weight_decay", -0.1)),
        ("decay_order", "before"),
    ],
    Muon: [
        *(("lr", -1.0), ("momentum", 3.0), ("ns_steps", 0), ("scale", "spectal"), ("betas", (1.0, 0.9))),
        *(("algorithm", "sgd"), ("decay_order", "before"), ("eps", -1.0), ("weight_decay", -0.1)),
    ],
}


@pytest.mark.parametrize(
    ("kind", "name", "value"), [(kind, name, value) for kind, pairs in GROUPS.items() for name, value in pairs]
)
def test_a_group_of_its_own_is_looked_at_as_all_are(kind, name, value):
    with pytest.raises(ValueError, match=name.removesuffix("s")):
        kind([{"params": matrices(), name: value}])
    with pytest.raises(ValueError, match=name.removesuffix("s")):
        kind(matrices()[:1]).add_param_group({"params": matrices()[1:], name: value})


def test_every_hyperparameter_has_a_value_that_is_refused():
    for kind, pairs in GROUPS.items():
        assert set(kind(matrices()).defaults) - {name for name, _ in pairs} <= {"nesterov", "differentiable"}


def test_muons_two_rates_are_both_looked_at():
    with pytest.raises(ValueError, match=r"lr is -0\.003"):
        Muon.for_model(nn.Sequential(nn.Linear(3, 3)), adamw_lr=-0.003)


@pytest.mark.parametrize("kind", [SGD, AdamW, Muon])
@pytest.mark.parametrize("number", [np.float64, np.float32, torch.tensor], ids=["double", "single", "tensor"])
def test_numbers_of_numpy_and_torch_become_pythons(kind, number):
    optimizer = kind(matrices(), lr=number(0.25))
    group = optimizer.param_groups[0]
    assert type(group["lr"]) is float and group["lr"] == 0.25
    state = optimizer.state_dict()
    state["param_groups"][0]["lr"] = number(0.5)
    optimizer.load_state_dict(state)
    set_grads(0, optimizer.param_groups[0]["params"])
    optimizer.step()
    assert float(optimizer.param_groups[0]["lr"]) == 0.5


def test_a_rate_that_torch_kept_as_a_tensor_goes_on():
    theirs = torch.optim.AdamW(matrices(), lr=torch.tensor(0.01), capturable=False, foreach=False)
    params = theirs.param_groups[0]["params"]
    set_grads(0, params)
    theirs.step()
    ours = AdamW(matrices())
    ours.load_state_dict(theirs.state_dict())
    set_grads(0, ours.param_groups[0]["params"])
    ours.step()
    assert ours.param_groups[0]["lr"] == pytest.approx(0.01)


@pytest.mark.parametrize("kind", [AdamW, Muon])
def test_a_state_for_parameters_of_other_shapes_is_refused(kind):
    def wide(n):
        return kind([nn.Parameter(torch.ones(3, 2)), nn.Parameter(torch.ones(n, 4))])

    saving, loading = wide(4), wide(5)
    set_grads(0, saving.param_groups[0]["params"])
    saving.step()
    before = loading.state_dict()
    with pytest.raises(ValueError, match=r"parameter 1 has shape \(4, 4\), and the parameter \(5, 4\)"):
        loading.load_state_dict(saving.state_dict())
    assert loading.state_dict() == before


@pytest.mark.parametrize("options", [{}, {"foreach": True}, {"foreach": False}, {"fused": True}], ids=str)
@pytest.mark.parametrize("kind", [AdamW, Muon])
@pytest.mark.parametrize(("first", "then"), [("float", "double"), ("double", "float"), ("bfloat16", "double")])
def test_moments_follow_parameters_that_change_their_type(kind, options, first, then):
    layer = getattr(nn.Linear(4, 4, bias=False), first)()
    optimizer = kind(layer.parameters(), **options)
    for seed, change in enumerate((first, then)):
        getattr(layer, change)()
        layer.weight.grad = None
        set_grads(seed, [layer.weight])
        optimizer.step()
    kept = [value for value in optimizer.state[layer.weight].values() if torch.is_tensor(value)]
    assert kept and {value.dtype for value in kept} == {layer.weight.dtype}
    assert layer.weight.isfinite().all()


@pytest.mark.parametrize("key", ["fused", "foreach", "maximize", "momentum", "rho"])
def test_groups_with_keys_of_other_optimizers_load_into_their_own_kind(key):
    def made():
        return AdamW([{"params": [torch.nn.Parameter(torch.ones(3))], key: 0}])

    one, two = made(), made()
    one.param_groups[0]["params"][0].grad = torch.ones(3)
    one.step()
    two.load_state_dict(one.state_dict())
    assert two.param_groups[0][key] == 0
