"""One token at a time by `FastStep` and `NumpyStep`, against the whole forward pass."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from cs336_lib.generation import SamplingConfig
from cs336_lib.generation.decoding import decode
from cs336_lib.model import KVCache, ModelConfig, TransformerLM
from cs336_lib.model import numpy_step as module
from cs336_lib.model.fast_step import FastStep
from cs336_lib.model.numpy_step import NumpyStep


@pytest.fixture(autouse=True)
def inference():
    with torch.inference_mode():
        yield


def numpy_step(model, cache):
    assert NumpyStep.usable(model)
    step = NumpyStep(model)
    step.begin(cache)
    return step


STEPS = {"torch": FastStep, "numpy": numpy_step}
either = pytest.mark.parametrize("make", STEPS.values(), ids=STEPS)


def begun(config, rows, lengths, dtype=torch.float64, make=FastStep):
    """Return a model, and a step whose cache has seen the first `lengths` tokens of each row."""
    model = TransformerLM(config.replace(backend="fast"), dtype=dtype)
    cache = KVCache(config, len(rows), dtype=dtype)
    longest = max(lengths)
    padded = torch.stack(
        [torch.cat((row[:n], row.new_zeros(longest - n))) for row, n in zip(rows, lengths, strict=True)]
    )
    model(padded, cache=cache, token_positions=torch.arange(longest).expand(len(rows), longest))
    assert FastStep.usable(model)
    return model, make(model, cache)


@either
@pytest.mark.parametrize("lengths", [[5, 5], [2, 5]], ids=["in step", "apart"])
def test_each_step_is_the_full_forward_of_the_reference(ablation, lengths, make):
    rows = list(torch.randint(ablation.vocab_size, (2, ablation.context_length)))
    model, step = begun(ablation, rows, lengths, make=make)
    reference = TransformerLM(ablation, dtype=torch.float64)
    reference.load_state_dict(model.state_dict())
    for done in range(ablation.context_length - max(lengths)):
        places = [n + done for n in lengths]
        logits = step(torch.stack([row[place] for row, place in zip(rows, places, strict=True)]), places)
        for out, row, place in zip(logits, rows, places, strict=True):
            torch.testing.assert_close(out, reference(row[None, : place + 1])[0, -1])
    assert len(step.cache) == step.cache.capacity


@settings(max_examples=40, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 6), min_size=1, max_size=5),
    heads=st.sampled_from([1, 2, 4]),
    make=st.sampled_from([FastStep, numpy_step]),
)
def test_rows_of_any_lengths_go_side_by_side(lengths, heads, make):
    config = ModelConfig(41, 9, d_model=16, num_layers=1, num_heads=heads, d_ff=24)
    rows = list(torch.randint(41, (len(lengths), 9)))
    model, step = begun(config, rows, lengths, make=make)
    logits = step(torch.stack([row[n] for row, n in zip(rows, lengths, strict=True)]), lengths)
    for out, row, n in zip(logits, rows, lengths, strict=True):
        torch.testing.assert_close(out, model(row[None, : n + 1])[0, -1])


@pytest.mark.parametrize(
    ("dtype", "make"), [(torch.float32, FastStep), (torch.float32, numpy_step), (torch.bfloat16, FastStep)]
)
def test_other_types_are_as_near_as_they_can_be(tiny, dtype, make):
    rows = list(torch.randint(tiny.vocab_size, (2, 8)))
    model, step = begun(tiny.replace(qk_norm=True), rows, [6, 6], dtype, make)
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


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_numpy_steps_where_it_has_the_type_and_prepares_once(tiny, dtype, monkeypatch):
    """Also when the window slides, which fills the cache anew."""
    made = []
    for kind in (NumpyStep, FastStep):
        first = kind.__init__
        monkeypatch.setattr(
            kind, "__init__", lambda self, *given, first=first: (made.append(type(self)), first(self, *given))[1]
        )
    model = TransformerLM(tiny.replace(backend="fast"), dtype=dtype)
    sampling, prompts = SamplingConfig(max_tokens=3 * tiny.context_length, seed=1), [[1, 2, 3], [4]]
    cached = [(step.row, step.token) for step in decode(model, prompts, sampling)]
    assert len(cached) == 6 * tiny.context_length
    if dtype == torch.bfloat16:
        assert set(made) == {FastStep} and not NumpyStep.usable(model)
    else:
        assert made == [NumpyStep]
        assert cached == [(step.row, step.token) for step in decode(model, prompts, sampling, use_cache=False)]


@pytest.mark.parametrize("size", [1e2, 1e4, 1e30])
def test_gates_far_from_zero_make_no_infinity_and_no_warning(tiny, recwarn, size):
    ids = torch.randint(tiny.vocab_size, (2, 7))
    model, cache = TransformerLM(tiny.replace(backend="fast")), KVCache(tiny, 2)
    for layer in model.layers:
        layer.ffn.w1.weight *= size
    model(ids[:, :6], cache=cache)
    logits = numpy_step(model, cache)(ids[:, 6], [6, 6])
    assert logits.isfinite().all() and not [w for w in recwarn if issubclass(w.category, RuntimeWarning)]
    torch.testing.assert_close(logits, model(ids)[:, -1], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(("made", "given"), [(torch.float32, torch.float64), (torch.float64, torch.float32)])
def test_weights_of_another_type_than_the_table_of_turns(tiny, made, given):
    """`load_state_dict(assign=True)` puts tensors in place, and tells the table nothing."""
    model = TransformerLM(tiny.replace(backend="fast"), dtype=made)
    model.load_state_dict({name: value.to(given) for name, value in model.state_dict().items()}, assign=True)
    sampling = SamplingConfig(max_tokens=12, seed=2)
    cached, whole = ([s.token for s in decode(model, [[1, 2]], sampling, use_cache=cache)] for cache in (True, False))
    assert NumpyStep.usable(model) and cached == whole


def test_weights_that_overflow_are_named_without_a_warning(tiny, recwarn):
    model = TransformerLM(tiny.replace(backend="fast"))
    for layer in model.layers:
        layer.attn.q_proj.weight *= 1e25
        layer.attn.k_proj.weight *= 1e25
    with pytest.raises(ValueError, match="NaN or its sums overflow"):
        list(decode(model, [[1, 2, 3]], SamplingConfig(max_tokens=5)))
    assert not [w for w in recwarn if issubclass(w.category, RuntimeWarning)]


def test_a_step_without_a_cache_says_what_to_do(tiny):
    with pytest.raises(ValueError, match=r"no cache to go on from; call begin\(cache\)"):
        NumpyStep(TransformerLM(tiny.replace(backend="fast")))(torch.tensor([1]), [0])


def blas_threads():
    return [library["num_threads"] for library in module.ThreadpoolController().info() if library["user_api"] == "blas"]


@pytest.mark.parametrize("large", [False, True])
def test_the_main_thread_takes_one_thread_for_small_steps_and_gives_the_others_back(tiny, monkeypatch, large):
    _, step = begun(tiny, [torch.tensor([1, 2, 3])], [2], make=numpy_step)
    seen = []
    whole = module._Layer._units
    monkeypatch.setattr(
        module._Layer, "_units", lambda self, *given: (seen.append(blas_threads()), whole(self, *given))[1]
    )
    monkeypatch.setattr(module, "THREADS_FROM", step.weights if large else step.weights + 1)
    with module.ThreadpoolController().limit(limits=2, user_api="blas"):
        before = blas_threads()
        step(torch.tensor([3]), [2])
        assert blas_threads() == before
    if not any(count > 1 for count in before):
        pytest.skip("nothing here tells numpy's products how many threads to take")
    assert seen and all(threads == (before if large else [1] * len(before)) for threads in seen)


def test_a_thread_beside_the_main_one_leaves_the_number_of_threads_alone(tiny, monkeypatch):
    monkeypatch.setattr(module, "_libraries", lambda: 1 / 0)
    model, prompts, sampling = TransformerLM(tiny.replace(backend="fast")), [[1, 2]], SamplingConfig(max_tokens=4)
    with ThreadPoolExecutor(1) as pool:
        assert len(pool.submit(lambda: list(decode(model, prompts, sampling))).result()) == 4
    with pytest.raises(ZeroDivisionError):
        list(decode(model, prompts, sampling))


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
