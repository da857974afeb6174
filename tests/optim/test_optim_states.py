"""A state is loaded by the kind of optimizer that saved it, and refused by all others with a word on why."""

import copy

import numpy as np
import pytest
import torch
from optim_parameters import make_params, set_grads
from torch import nn

from cs336_lib.optim import SGD, AdamW, Muon, clip_grad_norm


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


@pytest.mark.parametrize("steps", [0, 1, 3])
def test_each_of_torchs_optimizers_is_told_by_its_groups(steps):
    found = dict(torchs())
    assert {"SGD", "Adagrad", "Adafactor", "ASGD", "Rprop", "LBFGS", "Adamax", "RMSprop"} <= found.keys()
    for name, optimizer in found.items():
        params = optimizer.param_groups[0]["params"]
        for step in range(steps):
            set_grads(step, params)
            if name == "SparseAdam":
                params[0].grad = params[0].grad.to_sparse()
            optimizer.step(lambda params=params: params[0].sum())
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


@pytest.mark.parametrize("loading", ["SGD", "AdamW", "Muon"])
def test_what_the_owner_has_put_in_a_group_comes_back_with_the_state(loading):
    saved = stepped(loading)
    saved.param_groups[0] |= {"alpha": 0.5, "momentum": 0.9}
    other = MADE[loading]()
    other.load_state_dict(saved.state_dict())
    assert (
        other.param_groups[0]["alpha"] == 0.5
        and other.state_dict()["state"].keys() == saved.state_dict()["state"].keys()
    )


@pytest.mark.parametrize(("number", "flag"), [(0, False), (1, True)])
def test_a_flag_that_was_saved_as_a_number_is_one(number, flag):
    """As earlier versions took it."""
    saved = stepped("Muon").state_dict()
    saved["param_groups"][0]["nesterov"] = number
    optimizer = MADE["Muon"]()
    optimizer.load_state_dict(saved)
    assert optimizer.param_groups[0]["nesterov"] is flag
    saved["param_groups"][0]["nesterov"] = 2
    with pytest.raises(TypeError, match="nesterov must be True or False, got 2"):
        MADE["Muon"]().load_state_dict(saved)


@pytest.mark.parametrize("kind", [AdamW, Muon])
def test_a_path_may_be_left_open_as_in_torch(kind):
    assert kind(matrices(), fused=None, compile=None, foreach=None).path is None


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


@pytest.mark.parametrize(
    ("kind", "name", "value"), [(kind, name, value) for kind, pairs in GROUPS.items() for name, value in pairs]
)
def test_a_group_that_is_refused_is_not_in_the_optimizer(kind, name, value):
    params = matrices()
    optimizer = kind(params[:1])
    before = optimizer.state_dict()
    group = {"params": params[1:], name: value}
    with pytest.raises((ValueError, TypeError)):
        optimizer.add_param_group(group)
    assert optimizer.state_dict() == before
    optimizer.add_param_group({**group, name: optimizer.defaults[name]})
    assert len(optimizer.param_groups) == 2


def test_a_vector_that_muon_refuses_goes_to_adamw():
    optimizer, vector = Muon(matrices()), nn.Parameter(torch.ones(3))
    with pytest.raises(ValueError, match="no matrix; put it in a group with algorithm='adamw'"):
        optimizer.add_param_group({"params": [vector]})
    optimizer.add_param_group({"params": [vector], "algorithm": "adamw"})
    assert len(optimizer.param_groups) == 2


BETAS = {"tuple": tuple, "list": list, "array": np.array}


@pytest.mark.parametrize("kind", [AdamW, Muon])
@pytest.mark.parametrize("row", BETAS)
@pytest.mark.parametrize(
    "make", [float, np.float32, np.float64, torch.tensor], ids=["python", "single", "double", "torch"]
)
def test_betas_in_any_row_of_any_numbers_are_saved_plainly(kind, row, make, tmp_path):
    optimizer = kind([{"params": matrices(), "algorithm": "adamw"}], betas=BETAS[row]([make(0.5), make(0.75)]))
    set_grads(0, optimizer.param_groups[0]["params"])
    optimizer.step()
    torch.save(optimizer.state_dict(), tmp_path / "state.pt")
    (group,) = torch.load(tmp_path / "state.pt", weights_only=True)["param_groups"]
    assert tuple(group["betas"]) == (0.5, 0.75) and {type(beta) for beta in group["betas"]} == {float}


PATHS = [{}, {"foreach": True}, {"foreach": False}, {"fused": True}]


@pytest.mark.parametrize("make", [torch.tensor, np.array], ids=["torch", "numpy"])
@pytest.mark.parametrize(
    ("kind", "name", "options"),
    [
        *(
            (kind, name, path)
            for kind in (AdamW, Muon)
            for name in ("lr", "eps", "weight_decay", "betas")
            for path in PATHS
        ),
        *((Muon, name, {}) for name in ("momentum", "ns_steps")),
        (SGD, "lr", {}),
    ],
)
def test_a_number_that_is_set_later_as_a_tensor_does_what_it_does_as_a_number(kind, name, options, make):
    after = []
    for as_given in (lambda x: x, make):
        optimizer = kind(matrices(), **options)
        if kind is Muon:
            optimizer.add_param_group({"params": [nn.Parameter(torch.ones(3))], "algorithm": "adamw"})
        params = [p for group in optimizer.param_groups for p in group["params"]]
        for group in optimizer.param_groups:
            value = {"betas": (0.5, 0.75), "ns_steps": 3}.get(name, 0.25)
            group[name] = tuple(map(as_given, value)) if name == "betas" else as_given(value)
        for step in range(2):
            set_grads(step, params)
            optimizer.step()
        after.append([p.detach() for p in params])
    torch.testing.assert_close(*after)


@pytest.mark.parametrize("value", ["no", "False", 0, 1, 0.0, torch.ones(2)], ids=str)
@pytest.mark.parametrize(
    ("kind", "flag"),
    [*((kind, flag) for kind in (AdamW, Muon) for flag in ("fused", "compile", "foreach")), (Muon, "nesterov")],
)
def test_a_flag_is_true_or_false(kind, flag, value):
    with pytest.raises(TypeError, match=f"{flag} must be True or False, got"):
        kind(matrices(), **{flag: value})
    kind(matrices(), **{flag: np.bool_(False)})


@pytest.mark.parametrize("value", ["bfloat16", torch.int32, np.float32, True])
def test_the_type_of_muons_iteration_is_a_type_of_floats(value):
    with pytest.raises(TypeError, match=r"ns_dtype must be a torch\.dtype of floats"):
        Muon(matrices(), ns_dtype=value)


def snapshot(optimizer):
    state = optimizer.state_dict()
    kept = {index: {key: str(value) for key, value in one.items()} for index, one in state["state"].items()}
    return kept, state["param_groups"], [p.detach().clone().tolist() for p in optimizer.param_groups[0]["params"]]


DAMAGED = {
    **{
        f"{kind.__name__}: {name}={value}": (kind, "group", name, value)
        for kind, pairs in GROUPS.items()
        for name, value in [*pairs, ("lr", "x"), ("lr", None)]
    },
    **{
        f"{kind.__name__}: {name}={value}": (kind, "group", name, value)
        for kind in (AdamW, Muon)
        for name, value in [
            *(("betas", 0.9), ("betas", (2, 3)), ("betas", "ab"), ("betas", (0.9,)), ("eps", float("nan"))),
            *(("weight_decay", "x"), ("decay_order", "middle"), ("decay_order", None)),
        ]
    },
    "Muon: nesterov=False": (Muon, "group", "nesterov", "False"),
    **{
        f"{kind.__name__}: {key}={value!r}": (kind, "state", key, value)
        for kind, keys in ((SGD, "t"), (AdamW, "step"))
        for key in [keys]
        for value in ("x", None, True, 2.5, -1, float("nan"), float("inf"), torch.ones(2), [3])
    },
    **{
        f"{kind.__name__}: {key}={value!r}": (kind, "state", key, value)
        for kind, key in ((AdamW, "exp_avg"), (AdamW, "exp_avg_sq"), (Muon, "momentum_buffer"))
        for value in ("x", None, 0.5, np.ones(3), torch.ones(7), [1.0])
    },
    **{
        f"{kind.__name__}: {part}={value!r}": (kind, "whole", part, value)
        for kind in (SGD, AdamW, Muon)
        for part, value in [
            *(
                ("state", None),
                ("state", {0: 5}),
                ("param_groups", None),
                ("param_groups", [5]),
                ("param_groups", [{}]),
            ),
            *(("param_groups", [{"params": 5}]), ("param_groups", [])),
        ]
    },
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_state_that_can_not_be_used_is_refused_and_leaves_all_as_it_was(name):
    kind, where, key, value = DAMAGED[name]
    optimizer, other = kind(matrices()), kind(matrices(), lr=0.125)
    for one in (optimizer, other):
        set_grads(0, one.param_groups[0]["params"])
        one.step()
    state = copy.deepcopy(optimizer.state_dict())
    place = {"group": state["param_groups"][0], "state": state["state"].get(0), "whole": state}[where]
    assert key in place
    place[key] = value
    before = snapshot(other)
    with pytest.raises((TypeError, ValueError)) as caught:
        other.load_state_dict(state)
    assert snapshot(other) == before
    told = str(caught.value)
    assert "state" in told and "\n" not in told
    assert where == "whole" or key.removesuffix("s") in told


def test_a_rate_that_a_schedule_brought_a_rounding_below_zero_is_loaded():
    optimizer = AdamW(matrices())
    optimizer.param_groups[0]["lr"] = -3e-20
    AdamW(matrices()).load_state_dict(optimizer.state_dict())


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


COMPLEX = {
    "AdamW": lambda p: AdamW([p]),
    "AdamW, added": lambda p: AdamW(matrices()).add_param_group({"params": [p]}),
    "Muon": lambda p: Muon([p]),
    "Muon of AdamW groups": lambda p: Muon([{"params": [p], "algorithm": "adamw"}]),
}


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128], ids=str)
@pytest.mark.parametrize("name", COMPLEX)
def test_complex_parameters_have_no_moments(name, dtype):
    with pytest.raises(ValueError, match=rf"shape \(2, 2\) is of {dtype}, and moments .*view_as_real.*SGD"):
        COMPLEX[name](nn.Parameter(torch.ones(2, 2, dtype=dtype)))


@pytest.mark.parametrize("kind", [AdamW, Muon])
def test_a_parameter_that_becomes_complex_later_is_refused_by_the_step(kind):
    layer = nn.Linear(2, 2, bias=False)
    optimizer = kind(layer.parameters())
    layer.weight.data = layer.weight.data.to(torch.complex64)
    layer.weight.grad = torch.ones(2, 2, dtype=torch.complex64)
    with pytest.raises(ValueError, match="moments are of real numbers"):
        optimizer.step()
    assert torch.is_complex(layer.weight) and not optimizer.state


def test_sgd_and_clipping_take_complex_parameters_as_torch_does():
    ours, theirs = (nn.Parameter(torch.tensor([1 + 1j, 2], dtype=torch.complex64)) for _ in range(2))
    for p in (ours, theirs):
        p.grad = torch.tensor([3 - 4j, 5], dtype=torch.complex64)
    norms = clip_grad_norm([ours], 1.0), nn.utils.clip_grad_norm_([theirs], 1.0)
    SGD([ours], lr=0.1).step()
    torch.optim.SGD([theirs], lr=0.1).step()
    torch.testing.assert_close([ours, norms[0]], [theirs, norms[1]])


@pytest.mark.parametrize("kind", [AdamW, Muon.for_model])
def test_a_complex_parameter_that_is_not_trained_is_left_as_it_is(kind):
    model = nn.Linear(3, 3)
    model.turns = nn.Parameter(torch.polar(torch.ones(3), torch.arange(3.0)), requires_grad=False)
    before = model.turns.clone()
    optimizer = kind(model.parameters() if kind is AdamW else model, lr=0.1)
    model(torch.ones(2, 3)).sum().backward()
    optimizer.step()
    optimizer.load_state_dict(optimizer.state_dict())
    assert torch.equal(model.turns, before) and model.weight.grad is not None
