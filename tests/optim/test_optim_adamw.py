import copy
import math

import pytest
import torch
from optim_parameters import make_params, set_grads
from torch.utils._python_dispatch import TorchDispatchMode

from cs336_lib.optim import AdamW, Muon

ORDERS = ("first", "last")
PATHS = {"loop": {"foreach": False}, "foreach": {"foreach": True}, "fused": {"fused": True}, "by itself": {}}
# torch's compiler imports a module of its own that torch deprecates.
COMPILER_WARNING = "ignore:`torch.jit.script_method` is deprecated:DeprecationWarning"


def run(optimizer, params, steps, skip=lambda step, index: False, start=0):
    for step in range(start, start + steps):
        set_grads(step, params, skip=skip)
        optimizer.step()
    return [p.detach() for p in params]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("path", PATHS)
def test_hundreds_of_steps_follow_torch_once_eps_and_decay_are_translated(path, order):
    """torch adds eps to the corrected denominator, so its eps is ours / sqrt(1 - beta2^t); it decays first.

    Each parameter has its own group on torch's side, since those without a gradient count their steps apart.
    """
    params, theirs = make_params(), make_params()
    ours = AdamW(
        [
            {"params": params[:2]},
            {"params": params[2:4], "lr": 3e-3, "betas": (0.8, 0.95)},
            {"params": params[4:], "eps": 1e-3},
        ],
        weight_decay=0.1,
        decay_order=order,
        **PATHS[path],
    )
    settings = [g for g in ours.param_groups for _ in g["params"]]
    torchs = torch.optim.AdamW(
        [{"params": [p], "lr": g["lr"], "betas": g["betas"]} for p, g in zip(theirs, settings, strict=True)],
        weight_decay=0.1 if order == "first" else 0.0,
    )
    seen = [0] * len(params)
    for step in range(400):
        set_grads(step, params, theirs, skip=lambda step, index: (step + index) % 7 == 0)
        ours.step()
        for i, group in enumerate(torchs.param_groups):
            seen[i] += theirs[i].grad is not None
            group["eps"] = settings[i]["eps"] / math.sqrt(1 - settings[i]["betas"][1] ** max(1, seen[i]))
        torchs.step()
        with torch.no_grad():
            for p, group in zip(theirs, settings, strict=True):
                if p.grad is not None and order == "last":
                    p.mul_(1 - group["lr"] * group["weight_decay"])
    torch.testing.assert_close(params, theirs, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("path", PATHS)
def test_torchs_own_algorithm_stays_within_the_order_of_lr_squared(path):
    params, theirs = make_params(), make_params()
    run(AdamW(params, lr=1e-3, weight_decay=0.1, decay_order="last", **PATHS[path]), params, 300)
    run(torch.optim.AdamW(theirs, lr=1e-3, weight_decay=0.1), theirs, 300)
    # 300 steps, each off by at most lr^2 weight_decay |update| / lr, and updates are of size lr.
    torch.testing.assert_close(params, theirs, rtol=0, atol=300 * 1e-3**2 * 0.1 * 2)
    assert not torch.equal(params[3], theirs[3])


def reference_steps(params, steps, lr=1e-2, betas=(0.9, 0.999), eps=1e-8, decay=0.01, rounded_to=None, order="first"):
    """The handout's algorithm in float64, parameters rounded after each step if asked."""
    theta = [p.detach().double() for p in params]
    m, v = [torch.zeros_like(t) for t in theta], [torch.zeros_like(t) for t in theta]
    for t in range(1, steps + 1):
        set_grads(t - 1, params)
        for i, p in enumerate(params):
            g = p.grad.double()
            if order == "first":
                theta[i] -= lr * decay * theta[i]
            m[i] = betas[0] * m[i] + (1 - betas[0]) * g
            v[i] = betas[1] * v[i] + (1 - betas[1]) * g**2
            theta[i] -= lr * math.sqrt(1 - betas[1] ** t) / (1 - betas[0] ** t) * m[i] / (v[i].sqrt() + eps)
            if order == "last":
                theta[i] -= lr * decay * theta[i]
            if rounded_to:
                theta[i] = theta[i].to(rounded_to).double()
    return theta


@pytest.mark.parametrize("grads_in_a_row", [True, False])
def test_large_parameters_are_updated_in_pieces_with_the_same_result(monkeypatch, grads_in_a_row):
    """Also where a gradient lies in memory in another order than its parameter, as that of a transposed use does."""
    whole, cut = make_params(torch.float32), make_params(torch.float32)
    outcomes = []
    for params, piece in ((whole, 10**9), (cut, 4)):
        monkeypatch.setattr("cs336_lib.optim.adamw.PIECE", piece)
        optimizer = AdamW(params, lr=1e-2, foreach=False)
        for step in range(20):
            set_grads(step, params)
            if not grads_in_a_row:
                params[3].grad = params[3].grad.T.contiguous().T
            optimizer.step()
        outcomes.append([p.detach() for p in params] + [optimizer.state[p]["exp_avg_sq"] for p in params])
    torch.testing.assert_close(*outcomes, rtol=1e-6, atol=1e-6)


class Kernels(TorchDispatchMode):
    """Counts calls of torch's fused kernel, and the parameters it was given."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.overloadpacket is torch.ops.aten._fused_adamw_:
            self.calls.append(len(args[0]))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("order", ORDERS)
def test_the_fused_path_is_one_call_and_leaves_to_others_what_does_not_lie_in_one_row(order):
    """Sizes beside a vector's and a thread's share; a transposed parameter, and a gradient in another order."""
    shapes = [(1,), (17,), (33, 31), (70_001,), (64, 48), (40, 24)]
    params, looped = (
        [torch.nn.Parameter(torch.linspace(-1, 1, math.prod(s)).reshape(s)) for s in shapes] for _ in range(2)
    )
    for same in (params, looped):
        same[4] = torch.nn.Parameter(same[4].detach().T)
    fused = AdamW(params, lr=1e-2, weight_decay=0.5, decay_order=order, fused=True)
    loop = AdamW(looped, lr=1e-2, weight_decay=0.5, decay_order=order, foreach=False)
    for step in range(30):
        set_grads(step, params, looped)
        params[5].grad = params[5].grad.T.contiguous().T
        with Kernels() as kernels:
            fused.step()
        loop.step()
        assert kernels.calls == [4]
    torch.testing.assert_close(params, looped, rtol=1e-5, atol=1e-6)
    with Kernels() as kernels:
        loop.step()
    assert not kernels.calls


@pytest.mark.parametrize("options", PATHS.values(), ids=PATHS)
def test_a_graph_that_needs_the_old_numbers_says_so(options):
    p = torch.nn.Parameter(torch.ones(3))
    optimizer, y = AdamW([p], **options), (p * p * p).sum()
    p.grad = torch.ones(3)
    optimizer.step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.backward()


@pytest.mark.parametrize("other", [{"foreach": True}, {"foreach": False}, {"compile": True}])
@pytest.mark.parametrize("make", [AdamW, Muon])
def test_two_paths_at_once_are_refused(make, other):
    with pytest.raises(ValueError, match="are two ways to do one update; give one of them"):
        make([torch.nn.Parameter(torch.ones(2, 2))], fused=True, **other)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_every_path_is_the_algorithm_of_each_edition(path, dtype, tolerance, order):
    params = make_params(dtype)
    expected = reference_steps(make_params(dtype), 200, order=order)
    out = run(AdamW(params, lr=1e-2, decay_order=order, **PATHS[path]), params, 200)
    torch.testing.assert_close([p.double() for p in out], expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("path", PATHS)
def test_bfloat16_parameters_are_only_rounded_when_stored(path):
    params, theirs = make_params(torch.bfloat16), make_params(torch.bfloat16)
    stored = reference_steps(make_params(torch.bfloat16), 200, rounded_to=torch.bfloat16)
    optimizer = AdamW(params, lr=1e-2, **PATHS[path])
    run(optimizer, params, 200)
    run(torch.optim.AdamW(theirs, lr=1e-2), theirs, 200)
    error = sum((a.double() - b).abs().sum() for a, b in zip(params, stored, strict=True))
    torchs_error = sum((a.double() - b).abs().sum() for a, b in zip(theirs, stored, strict=True))
    assert error < 0.1 * torchs_error
    assert {p.dtype for p in params} == {torch.bfloat16}
    assert {s[key].dtype for s in optimizer.state.values() for key in ("exp_avg", "exp_avg_sq")} == {torch.float32}


@pytest.mark.filterwarnings(COMPILER_WARNING)
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.slow
def test_the_compiled_path_equals_the_loop_and_compiles_once(dtype, order):
    params, looped = make_params(dtype), make_params(dtype)
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    compiled = AdamW(params, lr=1e-2, weight_decay=1.0, decay_order=order, compile=True)
    run(compiled, params, 20)
    compiled.param_groups[0]["lr"] = 3e-3
    run(compiled, params, 20, start=20)
    loop = AdamW(looped, lr=1e-2, weight_decay=1.0, decay_order=order, foreach=False)
    run(loop, looped, 20)
    loop.param_groups[0]["lr"] = 3e-3
    run(loop, looped, 20, start=20)
    torch.testing.assert_close(params, looped, rtol=1e-5 if dtype == torch.float32 else 2e-2, atol=1e-6)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    ("saved_by", "loaded_by"), [("loop", "foreach"), ("foreach", "loop"), ("loop", "fused"), ("fused", "loop")]
)
def test_state_loads_into_the_other_path_and_continues(dtype, saved_by, loaded_by, tmp_path):
    params, copies = make_params(dtype), make_params(dtype)
    first = AdamW(params, lr=1e-2, **PATHS[saved_by])
    run(first, params, 30)
    torch.save(first.state_dict(), tmp_path / "state.pt")
    with torch.no_grad():
        torch._foreach_copy_(copies, params)
    second = AdamW(copies, **PATHS[loaded_by])
    second.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    for p, q in zip(params, copies, strict=True):
        for key, value in first.state[p].items():
            assert torch.equal(torch.as_tensor(value), torch.as_tensor(second.state[q][key]))
            assert getattr(value, "dtype", None) == getattr(second.state[q][key], "dtype", None)
    assert second.path == loaded_by
    run(first, params, 30, start=30)
    run(second, copies, 30, start=30)
    torch.testing.assert_close(params, copies, rtol=1e-5 if dtype == torch.float32 else 2e-2, atol=1e-5)


def test_resuming_is_exact_to_the_bit_and_shares_no_memory():
    for dtype in (torch.float32, torch.bfloat16):
        params, copies = make_params(dtype), make_params(dtype)
        first, second = AdamW(params), AdamW(copies)
        run(first, params, 10)
        with torch.no_grad():
            torch._foreach_copy_(copies, params)
        second.load_state_dict(first.state_dict())
        run(first, params, 10, start=10)
        run(second, copies, 10, start=10)
        assert all(torch.equal(a, b) for a, b in zip(params, copies, strict=True))


@pytest.mark.parametrize("options", [{"foreach": True}, {"fused": True}, {}])
def test_state_exchanges_with_torch_both_ways(options):
    params, theirs = make_params(torch.float32), make_params(torch.float32)
    ours, torchs = AdamW(params, weight_decay=0.0), torch.optim.AdamW(theirs, weight_decay=0.0, **options)
    run(torchs, theirs, 20)
    ours.load_state_dict(torchs.state_dict())
    with torch.no_grad():
        torch._foreach_copy_(params, theirs)
    run(ours, params, 20, start=20)
    run(torchs, theirs, 20, start=20)
    torch.testing.assert_close(params, theirs, rtol=1e-4, atol=1e-5)  # torch's eps is scaled: see above
    fresh = torch.optim.AdamW(theirs, **options)
    fresh.load_state_dict(copy.deepcopy(ours.state_dict()))  # torch would share the moments
    run(fresh, theirs, 5, start=40)
    run(ours, params, 5, start=40)
    torch.testing.assert_close(params, theirs, rtol=1e-4, atol=1e-5)


def test_torchs_variants_that_have_no_counterpart_are_refused():
    theirs = torch.optim.AdamW(make_params(), amsgrad=True)
    with pytest.raises(ValueError, match="saved with amsgrad=True, which this AdamW does not have"):
        AdamW(make_params()).load_state_dict(theirs.state_dict())


def test_parameters_without_gradient_are_left_alone():
    params = make_params()
    before = [p.detach().clone() for p in params]
    optimizer = AdamW(params, weight_decay=0.5)
    optimizer.step()
    assert not optimizer.state
    out = run(optimizer, params, 5, skip=lambda step, index: index != 2)
    assert [torch.equal(a, b) for a, b in zip(out, before, strict=True)] == [True, True, False, True, True, True]


def test_copies_and_schedulers_work():
    params = make_params()
    optimizer = AdamW(params, lr=1.0, foreach=True)
    assert copy.deepcopy(optimizer).path == "foreach"
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.5**step)
    run(optimizer, params, 1)
    scheduler.step()
    assert optimizer.param_groups[0]["lr"] == 0.5


def test_sparse_gradients_are_refused():
    p = torch.nn.Parameter(torch.zeros(3, 2))
    p.grad = torch.eye(3, 2).to_sparse()
    with pytest.raises(ValueError, match=r"shape \(3, 2\) is sparse"):
        AdamW([p]).step()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lr": -1}, "lr is -1; it must be 0 or more"),
        ({"lr": float("inf")}, "lr is inf; it must be 0 or more, and finite"),
        ({"weight_decay": float("inf")}, "weight_decay is inf; it must be 0 or more, and finite"),
        ({"lr": float("nan")}, "lr is nan"),
        ({"eps": -1e-8}, "eps is -1e-08"),
        ({"weight_decay": -0.1}, "weight_decay is -0.1"),
        ({"betas": (1.0, 0.9)}, "beta1 is 1.0; it must be at least 0 and less than 1"),
        ({"betas": (0.9, -0.1)}, "beta2 is -0.1"),
        ({"decay_order": "before"}, "decay_order is 'before'; allowed: 'first', 'last'"),
    ],
)
def test_bad_hyperparameters_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        AdamW(make_params(), **options)


@pytest.mark.parametrize("lr", [1e-2, 1e-3])
def test_one_step_of_the_two_orders_differs_by_the_decay_of_the_update(lr):
    """(1 - a) (theta - u) against (1 - a) theta - u with a = lr weight_decay: a u apart."""
    results = {}
    for order in ORDERS:
        params = make_params()
        before = [p.detach().clone() for p in params]
        optimizer = AdamW(params, lr=lr, weight_decay=0.1, decay_order=order)
        results[order] = run(optimizer, params, 1)
    for first, last, old in zip(results["first"], results["last"], before, strict=True):
        update = (1 - lr * 0.1) * old - first
        torch.testing.assert_close(last - first, lr * 0.1 * update, rtol=1e-9, atol=1e-15)
        assert not torch.equal(first, last)


def test_the_order_is_said_in_every_group_and_kept_when_state_is_saved():
    groups = [{"params": make_params()[:1]}, {"params": make_params()[1:2], "decay_order": "last"}]
    saved = AdamW(groups).state_dict()
    assert [group["decay_order"] for group in saved["param_groups"]] == ["first", "last"]


def as_saved_before_there_was_a_choice(state):
    return {
        **state,
        "param_groups": [{k: v for k, v in g.items() if k != "decay_order"} for g in state["param_groups"]],
    }


@pytest.mark.parametrize("make", [AdamW, lambda params, **options: Muon(params_of_muon(params), **options)])
@pytest.mark.parametrize("old", [True, False])
def test_state_of_the_other_order_is_refused_in_one_line(make, old):
    theirs = make(make_params(), decay_order="last").state_dict()
    state = as_saved_before_there_was_a_choice(theirs) if old else theirs
    with pytest.raises(
        ValueError, match="saved with decay_order='last', the optimizer has 'first': make it with"
    ) as told:
        make(make_params()).load_state_dict(state)
    assert "\n" not in str(told.value)
    same = make(make_params(), decay_order="last")
    same.load_state_dict(state)
    assert {group["decay_order"] for group in same.param_groups} == {"last"}


def params_of_muon(params):
    matrices = [p for p in params if p.ndim == 2]
    return [{"params": matrices}, {"params": [p for p in params if p.ndim != 2], "algorithm": "adamw"}]


@pytest.mark.parametrize("order", ORDERS)
def test_without_decay_there_is_no_order_to_mix(order):
    state = AdamW(make_params(), weight_decay=0.0, decay_order="last").state_dict()
    optimizer = AdamW(make_params(), decay_order=order)
    optimizer.load_state_dict(state)
    assert optimizer.param_groups[0]["decay_order"] == order


def test_torchs_state_is_of_an_optimizer_that_decays_first():
    theirs = torch.optim.AdamW(make_params(), weight_decay=0.1).state_dict()
    ours = AdamW(make_params())
    ours.load_state_dict(theirs)
    assert ours.param_groups[0]["decay_order"] == "first"
    run(ours, ours.param_groups[0]["params"], 1)
    with pytest.raises(ValueError, match="saved with decay_order='first', the optimizer has 'last'"):
        AdamW(make_params(), decay_order="last").load_state_dict(theirs)


def test_hundreds_of_steps_of_the_two_orders_and_torch():
    """Far apart only where the learning rate and the decay are both large; torch goes with "first"."""

    def after(lr, decay, make):
        params = make_params()
        return run(make(params, lr=lr, weight_decay=decay), params, 300)

    def apart(lr, decay, other):
        first = after(lr, decay, AdamW)
        return max((a - b).abs().max().item() for a, b in zip(first, after(lr, decay, other), strict=True))

    def last(params, **options):
        return AdamW(params, decay_order="last", **options)

    mild, usual, strong = apart(1e-3, 0.1, last), apart(1e-2, 0.1, last), apart(1e-2, 1.0, last)
    assert mild < usual < strong < 0.05
    assert mild < 1e-4 < strong
    assert apart(1e-2, 0.1, torch.optim.AdamW) < usual / 3
