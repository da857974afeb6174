"""One token at a time by `FastStep`, against the whole forward pass."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from cs336_lib.generation import SamplingConfig
from cs336_lib.generation.decoding import decode
from cs336_lib.model import KVCache, ModelConfig, TransformerLM
from cs336_lib.model import fast_step as module
from cs336_lib.model.fast_step import FastStep


@pytest.fixture(autouse=True)
def inference():
    with torch.inference_mode():
        yield


def begun(config, rows, lengths, dtype=torch.float64):
    """Return a model, and a step whose cache has seen the first `lengths` tokens of each row."""
    model = TransformerLM(config.replace(backend="fast"), dtype=dtype)
    cache = KVCache(config, len(rows), dtype=dtype)
    longest = max(lengths)
    padded = torch.stack(
        [torch.cat((row[:n], row.new_zeros(longest - n))) for row, n in zip(rows, lengths, strict=True)]
    )
    model(padded, cache=cache, token_positions=torch.arange(longest).expand(len(rows), longest))
    assert FastStep.usable(model)
    return model, FastStep(model, cache)


@pytest.mark.parametrize("lengths", [[5, 5], [2, 5]], ids=["in step", "apart"])
def test_each_step_is_the_full_forward_of_the_reference(ablation, lengths):
    rows = list(torch.randint(ablation.vocab_size, (2, ablation.context_length)))
    model, step = begun(ablation, rows, lengths)
    reference = TransformerLM(ablation, dtype=torch.float64)
    reference.load_state_dict(model.state_dict())
    for done in range(ablation.context_length - max(lengths)):
        places = [n + done for n in lengths]
        logits = step(torch.stack([row[place] for row, place in zip(rows, places, strict=True)]), places)
        for out, row, place in zip(logits, rows, places, strict=True):
            torch.testing.assert_close(out, reference(row[None, : place + 1])[0, -1])
    assert len(step.cache) == step.cache.capacity


@settings(max_examples=25, deadline=None)
@given(lengths=st.lists(st.integers(1, 6), min_size=1, max_size=5), heads=st.sampled_from([1, 2, 4]))
def test_rows_of_any_lengths_go_side_by_side(lengths, heads):
    config = ModelConfig(41, 9, d_model=16, num_layers=1, num_heads=heads, d_ff=24)
    rows = list(torch.randint(41, (len(lengths), 9)))
    model, step = begun(config, rows, lengths)
    logits = step(torch.stack([row[n] for row, n in zip(rows, lengths, strict=True)]), lengths)
    for out, row, n in zip(logits, rows, lengths, strict=True):
        torch.testing.assert_close(out, model(row[None, : n + 1])[0, -1])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_other_types_are_as_near_as_they_can_be(tiny, dtype):
    rows = list(torch.randint(tiny.vocab_size, (2, 8)))
    model, step = begun(tiny.replace(qk_norm=True), rows, [6, 6], dtype)
    logits = step(torch.stack([row[6] for row in rows]), [6, 6])
    assert logits.dtype == dtype
    near = {"atol": 0.1, "rtol": 0.05} if dtype == torch.bfloat16 else {}
    torch.testing.assert_close(logits, model(torch.stack(rows)[:, :7])[:, -1], **near)


def test_a_model_that_is_not_all_its_own_is_left_to_itself(tiny):
    model = TransformerLM(tiny.replace(backend="fast"))
    assert FastStep.usable(model)
    assert not FastStep.usable(TransformerLM(tiny))
    hook = model.layers[0].register_forward_hook(lambda *_: None)
    assert not FastStep.usable(model), "a hook would not be called"
    hook.remove()
    with torch.autocast("cpu", torch.bfloat16):
        assert not FastStep.usable(model)


def of_its_own(part, **changes):
    """Make a part one of a subclass, which may do what it likes."""
    part.__class__ = type("Own", (type(part),), changes)


CHANGES = {
    "logits": lambda model: setattr(model, "logits", lambda hidden: -hidden @ model.head_weight.T),
    "a head with a bias": lambda model: setattr(model, "lm_head", torch.nn.Linear(16, 31).double()),
    "another last norm": lambda model: setattr(model, "ln_final", torch.nn.LayerNorm(16).double()),
    "no last norm": lambda model: setattr(model, "ln_final", torch.nn.Identity()),
    "a head of a subclass": lambda model: of_its_own(
        model.lm_head, forward=lambda self, x: -torch.nn.functional.linear(x, self.weight)
    ),
    "a feed-forward of a subclass": lambda model: of_its_own(model.layers[1].ffn, forward=lambda self, x: -x),
    "a block of a subclass": lambda model: of_its_own(
        model.layers[0],
        forward=lambda self, x, *more, **named: 2 * type(self).__bases__[0].forward(self, x, *more, **named),
    ),
    "a forward": lambda model: setattr(model.layers[0].ffn, "forward", lambda x: -x),
    "an epsilon": lambda model: setattr(model.layers[0].ln2, "eps", 1.0),
    "no positions in a layer": lambda model: setattr(model.layers[1].attn, "rope", None),
    "a compiled layer": lambda model: model.layers.__setitem__(0, torch.compile(model.layers[0], backend="eager")),
    "compiled layers": lambda model: [
        model.layers.__setitem__(i, torch.compile(layer, backend="eager")) for i, layer in enumerate(model.layers)
    ],
    "a hook": lambda model: model.layers[0].ffn.register_forward_hook(lambda part, given, out: -out),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_model_that_was_changed_writes_as_it_computes(change):
    torch.manual_seed(0)
    config = ModelConfig(31, 16, d_model=16, num_layers=2, num_heads=2, d_ff=24, backend="fast")
    model = TransformerLM(config, dtype=torch.float64)
    assert FastStep.usable(model)
    change(model)
    assert not FastStep.usable(model)
    sampling, prompts = SamplingConfig(max_tokens=9, seed=3), [[1, 2, 3], [4]]
    cached, whole = (list(decode(model, prompts, sampling, use_cache=cache)) for cache in (True, False))
    assert [(step.row, step.token) for step in cached] == [(step.row, step.token) for step in whole]


def test_a_hook_on_all_modules_and_weights_of_two_types_are_seen(tiny):
    model = TransformerLM(tiny.replace(backend="fast"))
    assert FastStep.usable(model)
    hook = torch.nn.modules.module.register_module_forward_hook(lambda *_: None)
    try:
        assert not FastStep.usable(model)
    finally:
        hook.remove()
    model.layers[0].ln1.bfloat16()
    assert not FastStep.usable(model)


def test_autocast_that_begins_midway_goes_by_the_model(tiny):
    steps = decode(TransformerLM(tiny.replace(backend="fast")), [[1, 2]], SamplingConfig(max_tokens=5, seed=0))
    first = [next(steps), next(steps)]
    with torch.autocast("cpu", torch.bfloat16):
        assert len(first + list(steps)) == 5


def test_a_thread_beside_the_main_one_leaves_the_number_of_threads_alone(tiny, monkeypatch):
    monkeypatch.setattr(module, "ONE_THREAD_BELOW", 10**9)
    monkeypatch.setattr(torch, "set_num_threads", lambda count: 1 / 0)
    model, prompts, sampling = TransformerLM(tiny.replace(backend="fast")), [[1, 2]], SamplingConfig(max_tokens=4)
    with ThreadPoolExecutor(1) as pool:
        assert len(pool.submit(lambda: list(decode(model, prompts, sampling))).result()) == 4


class Operations(TorchDispatchMode):
    """Counts what torch is asked for."""

    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += 1
        return func(*args, **(kwargs or {}))


def test_a_layer_asks_for_far_fewer_operations_than_the_whole_forward(tiny):
    asked = {}
    for layers in (2, 4):
        rows = [torch.tensor([1, 2, 3, 4])]
        model, step = begun(tiny.replace(num_layers=layers), rows, [2])
        with Operations() as by_step:
            step(rows[0][2:3], [2])
        with Operations() as by_forward:
            model(rows[0][None, 3:], step.cache, torch.tensor([[3]]))
        asked[layers] = by_step.count, by_forward.count
    by_step, by_forward = ((four - two) / 2 for two, four in zip(asked[2], asked[4], strict=True))
    assert 0 < by_step < 0.65 * by_forward


@pytest.mark.parametrize(("below", "used"), [(0, 2), (10**9, 1)])
def test_small_steps_take_one_thread_and_give_the_others_back(tiny, monkeypatch, below, used):
    monkeypatch.setattr(module, "ONE_THREAD_BELOW", below)
    _, step = begun(tiny, [torch.tensor([1, 2, 3])], [2])
    seen = []
    monkeypatch.setattr(module, "_by_rows", lambda *_: seen.append(torch.get_num_threads()) or 1 / 0)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with pytest.raises(ZeroDivisionError):
            step(torch.tensor([3]), [2])
        assert (seen, torch.get_num_threads()) == ([used], 2)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_large_steps_multiply_by_columns_and_get_the_same(ablation, monkeypatch, rows):
    ids = torch.randint(ablation.vocab_size, (rows, 4))
    model, step = begun(ablation, list(ids), [3] * rows)
    asked = []
    by_columns = module._by_columns
    monkeypatch.setattr(module, "_by_columns", lambda *given: asked.append(len(given[0])) or by_columns(*given))
    monkeypatch.setattr(module, "ONE_THREAD_BELOW", 0)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        for weights in (step.weights + 1, step.weights):  # one weight too few, and just enough
            monkeypatch.setattr(module, "BY_COLUMNS_FROM", weights)
            logits = step(ids[:, 3], [3] * rows)
            assert asked == ([] if weights > step.weights else [rows] * (4 * ablation.num_layers + 1))
            torch.testing.assert_close(logits, model(ids)[:, -1])
            assert logits.is_contiguous()
    finally:
        torch.set_num_threads(before)
