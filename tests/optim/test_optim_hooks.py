"""Hooks on loading do what they do in torch: what a pre-hook returns is loaded, and post-hooks have the last word."""

import copy
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from optim_parameters import set_grads
from torch import nn

from cs336_lib.optim import SGD, AdamW, Muon

NAMES = ("first", "second", "third")
MADE = {
    "torch.AdamW": torch.optim.AdamW,
    "AdamW": AdamW,
    "fused AdamW": lambda named: AdamW(named, fused=True),
    "SGD": SGD,
    "Muon": Muon,
    "Muon of AdamW groups": lambda named: Muon([{"params": named, "algorithm": "adamw"}]),
}


def made(name, dtype=torch.float32, names=NAMES):
    return MADE[name]([(one, nn.Parameter(torch.ones(3, 3, dtype=dtype))) for one in names])


def stepped(name, dtype=torch.float32, steps=3):
    optimizer = made(name, dtype)
    for step in range(steps):
        set_grads(step, optimizer.param_groups[0]["params"])
        optimizer.step()
    return optimizer


def kept_of(optimizer):
    return copy.deepcopy(optimizer.state_dict())


def told(value):
    """A state as what can be compared: tensors by type and numbers."""
    if isinstance(value, torch.Tensor):
        return value.dtype, value.tolist()
    if isinstance(value, dict):
        return {key: told(inner) for key, inner in value.items()}
    return [told(inner) for inner in value] if isinstance(value, list | tuple) else value


def assert_same(one, other):
    assert told(one) == told(other)


def by_name(optimizer, state):
    """Reorder a state as torch's documentation shows it."""
    (group,), (own,) = state["param_groups"], optimizer.param_groups
    places = dict(zip(group["param_names"], group["params"], strict=True))
    kept = {place: state["state"][places[name]] for place, name in enumerate(own["param_names"])}
    return {"state": kept, "param_groups": [{**group, "param_names": own["param_names"]}]}


def changed(change):
    """Return a hook that gives back a state whose moments and counts are changed, without touching its own."""

    def hook(optimizer, state):
        kept = {at: {key: change(key, value) for key, value in one.items()} for at, one in state["state"].items()}
        return {**state, "state": kept}

    return hook


def in_place(optimizer, state):
    state["state"] = {}


def nothing_of(key, value):
    return value if key in ("step", "t") else torch.zeros_like(value)


def hundred(key, value):
    return value * 0 + 100 if key in ("step", "t") else value


BEFORE = {
    "by name": by_name,
    "no moments": changed(nothing_of),
    "other counts": changed(hundred),
    "another rate": lambda _, state: {**state, "param_groups": [{**state["param_groups"][0], "lr": 0.5}]},
    "in place": in_place,
    "another order of the keys": lambda _, state: {"param_groups": state["param_groups"], "state": state["state"]},
    "nothing": lambda optimizer, state: None,
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", MADE)
@pytest.mark.parametrize("hook", BEFORE)
def test_what_a_pre_hook_makes_of_a_state_is_what_is_loaded(hook, name, dtype):
    state = kept_of(stepped(name, dtype))
    hooked, plain = (made(name, dtype, NAMES[1:] + NAMES[:1]) for _ in range(2))
    given = copy.deepcopy(state)
    plain.load_state_dict(BEFORE[hook](plain, given) or given)
    hooked.register_load_state_dict_pre_hook(BEFORE[hook])
    hooked.load_state_dict(copy.deepcopy(state))
    assert_same(kept_of(hooked), kept_of(plain))
    set_grads(9, *(optimizer.param_groups[0]["params"] for optimizer in (hooked, plain)))
    hooked.step(), plain.step()
    assert_same(kept_of(hooked), kept_of(plain))


@pytest.mark.parametrize("hook", BEFORE)
def test_a_pre_hook_does_to_adamw_what_it_does_to_torchs(hook):
    found = []
    for name in ("AdamW", "torch.AdamW"):
        optimizer = made(name, names=NAMES[::-1])
        optimizer.register_load_state_dict_pre_hook(BEFORE[hook])
        optimizer.load_state_dict(kept_of(stepped(name)))
        kept = [optimizer.state[p] for p in optimizer.param_groups[0]["params"]]
        found.append([{key: torch.as_tensor(value).double() for key, value in one.items()} for one in kept])
    assert_same(*found)


@pytest.mark.parametrize("name", [name for name in MADE if "torch" not in name])
def test_pre_hooks_are_called_in_turn_and_the_last_ones_state_is_looked_at(name):
    saving, loading = stepped(name), made(name)
    loading.register_load_state_dict_pre_hook(lambda _, wrapped: wrapped["optimizer"])
    loading.register_load_state_dict_pre_hook(changed(nothing_of))
    loading.register_load_state_dict_pre_hook(changed(hundred))
    loading.load_state_dict({"model": 1, "optimizer": saving.state_dict()})
    for kept in loading.state.values():
        assert all(value == 100 if key in ("step", "t") else not value.any() for key, value in kept.items())
    before = kept_of(loading)
    loading.register_load_state_dict_pre_hook(changed(lambda key, value: "x"))
    with pytest.raises(ValueError, match="this state is damaged"):
        loading.load_state_dict({"optimizer": saving.state_dict()})
    assert_same(kept_of(loading), before)


def emptied(optimizer):
    for kept in optimizer.state.values():
        for key, value in kept.items():
            kept[key] = nothing_of(key, hundred(key, value))


def zeroed_in_place(optimizer):
    for kept in optimizer.state.values():
        for value in kept.values():
            if torch.is_tensor(value):
                value.zero_()


AFTER = {
    "other moments and counts": emptied,
    "moments in place": zeroed_in_place,
    "no state": lambda optimizer: optimizer.state.clear(),
    "another rate": lambda optimizer: optimizer.param_groups[0].update(lr=0.5),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", MADE)
@pytest.mark.parametrize("hook", AFTER)
def test_a_post_hook_finds_all_loaded_and_what_it_changes_stays(hook, name, dtype):
    state, hooked, plain = kept_of(stepped(name, dtype)), made(name, dtype), made(name, dtype)
    plain.load_state_dict(copy.deepcopy(state))
    loaded, seen = kept_of(plain), []
    AFTER[hook](plain)
    hooked.register_load_state_dict_post_hook(lambda optimizer: seen.append(kept_of(optimizer)))
    hooked.register_load_state_dict_post_hook(AFTER[hook])
    hooked.load_state_dict(copy.deepcopy(state))
    assert_same(seen, [loaded])
    assert_same(kept_of(hooked), kept_of(plain))


@pytest.mark.parametrize("name", [name for name in MADE if "torch" not in name])
def test_a_load_leaves_no_hooks_of_its_own_and_moments_as_they_were_saved(name):
    saving, loading = stepped(name, torch.bfloat16), made(name, torch.bfloat16)
    for _ in range(2):
        loading.load_state_dict(saving.state_dict())
        assert_same(kept_of(loading), kept_of(saving))
    with pytest.raises(ValueError, match="no optimizer's state dict"):
        loading.load_state_dict(None)
    with pytest.raises(ValueError, match="different number of parameter groups"):
        loading.load_state_dict({**saving.state_dict(), "param_groups": [*saving.state_dict()["param_groups"]] * 2})
    assert not loading._optimizer_load_state_dict_pre_hooks and not loading._optimizer_load_state_dict_post_hooks


def takes_itself_away(register, again):
    handles = []

    def hook(*given):
        if handles:
            handles.pop().remove()

    handles.append(register(hook))


def loads_inside(register, again):
    calls = []

    def hook(optimizer, *given):
        if not calls:
            calls.append(1)
            again(optimizer)

    register(hook)


def brings_another(register, again):
    brought = []
    register(lambda *given: None if brought else brought.append(register(lambda *given: None)))


CHANGES_THE_HOOKS = {"takes itself away": takes_itself_away, "loads inside": loads_inside, "brings": brings_another}


@pytest.mark.parametrize("name", [name for name in MADE if "torch" not in name])
@pytest.mark.parametrize("kind", ["pre", "post"])
@pytest.mark.parametrize("change", CHANGES_THE_HOOKS)
def test_hooks_may_change_the_hooks(change, kind, name):
    saving, loading = stepped(name), made(name)
    register = getattr(loading, f"register_load_state_dict_{kind}_hook")
    for _ in range(2):
        CHANGES_THE_HOOKS[change](register, lambda optimizer: optimizer.load_state_dict(saving.state_dict()))
    loading.load_state_dict(saving.state_dict())
    assert_same(kept_of(loading), kept_of(saving))


@pytest.mark.parametrize("name", [name for name in MADE if "torch" not in name])
def test_threads_may_load_into_one_optimizer(name):
    saving, loading = stepped(name), made(name)
    state = saving.state_dict()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: loading.load_state_dict(state), range(60)))
    assert_same(kept_of(loading), kept_of(saving))
