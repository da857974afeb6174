"""A compiled step against the model, and against itself with other rows beside it."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cs336_lib.generation import SamplingConfig
from cs336_lib.generation.decoding import decode
from cs336_lib.model import KVCache, ModelConfig, TransformerLM, compiled_step
from cs336_lib.model.compiled_step import STEP, CompiledStep
from cs336_lib.model.fast_step import FastStep
from cs336_lib.model.numpy_step import NumpyStep
from cs336_lib.native.library import KernelLibrary

CONFIG = ModelConfig(37, 24, d_model=32, num_layers=2, num_heads=2, d_ff=41, backend="fast")


@pytest.fixture(autouse=True)
def inference():
    with torch.inference_mode():
        yield


def begun(model, rows, lengths):
    """Return a step whose cache has seen the first `lengths` tokens of each row."""
    cache, longest = KVCache(model.config, len(rows)), max(lengths)
    padded = torch.stack(
        [torch.cat((row[:n], row.new_zeros(longest - n))) for row, n in zip(rows, lengths, strict=True)]
    )
    model(padded, cache=cache, token_positions=torch.arange(longest).expand(len(rows), longest))
    assert FastStep.usable(model) and CompiledStep.usable(model)
    step = CompiledStep(model)
    step.begin(cache)
    return step


ABLATIONS = {
    "plain": {},
    "post": {"norm": "post"},
    "no norm": {"norm": "none"},
    "no positions": {"position": "none"},
    "no gate": {"ffn": "silu", "d_ff": 41},
    "tied": {"tie_embeddings": True},
    "tied as it is": {"tie_embeddings": True, "tied_lookup": "plain"},
    "norms of q and k": {"qk_norm": True},
    "one head": {"num_heads": 1},
    "another epsilon": {"norm_eps": 0.5},
    "sixteens": {"vocab_size": 48, "d_ff": 32},
}


@pytest.mark.parametrize("lengths", [[5], [5, 5], [2, 5, 1, 3, 4, 4, 2]], ids=["alone", "in step", "apart"])
@pytest.mark.parametrize("changes", ABLATIONS.values(), ids=ABLATIONS)
def test_each_step_is_the_full_forward_of_the_reference(changes, lengths):
    torch.manual_seed(0)
    config = CONFIG.replace(**changes)
    model = TransformerLM(config)
    for weight in model.parameters():  # gains of 1 would hide which one is taken
        weight.mul_(0.7 + 0.6 * torch.rand_like(weight))
    rows = list(torch.randint(config.vocab_size, (len(lengths), config.context_length)))
    step = begun(model, rows, lengths)
    reference = TransformerLM(config.replace(backend="reference"), dtype=torch.float64)
    reference.load_state_dict(model.state_dict())
    for done in range(config.context_length - max(lengths)):
        places = [n + done for n in lengths]
        logits = step(torch.stack([row[place] for row, place in zip(rows, places, strict=True)]), places)
        for out, row, place in zip(logits, rows, places, strict=True):
            expected = reference(row[None, : place + 1])[0, -1].float()
            torch.testing.assert_close(out, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))
    assert len(step.cache) == step.cache.capacity


@settings(max_examples=25, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 7), min_size=1, max_size=9),
    threads=st.integers(1, 4),
    heads=st.sampled_from([1, 2]),
    seed=st.integers(0, 99),
)
def test_no_row_knows_who_stands_beside_it_nor_how_many_threads_there_are(lengths, threads, heads, seed):
    torch.manual_seed(seed)
    model = TransformerLM(CONFIG.replace(num_heads=heads))
    rows = torch.randint(CONFIG.vocab_size, (len(lengths), 8))
    step = begun(model, list(rows), lengths)
    kept = step.cache.keys.clone(), step.cache.values.clone()
    before = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiled_step, "SHARED_FROM", 0)
        patch.setattr(compiled_step, "ROWS_EACH", 1)
        torch.set_num_threads(threads)
        try:
            together = step(rows[torch.arange(len(lengths)), lengths], lengths)
        finally:
            torch.set_num_threads(before)
    for row, length in enumerate(lengths):
        cache = KVCache(model.config, 1)
        cache.keys.copy_(kept[0][:, row : row + 1])
        cache.values.copy_(kept[1][:, row : row + 1])
        alone = CompiledStep(model)
        alone.begin(cache)
        assert torch.equal(alone(rows[row, length : length + 1], [length])[0], together[row])


def test_the_exponential_is_right_to_the_last_bits_and_at_the_ends():
    library = KernelLibrary(
        "of-tests", ("step_kernels", "cs336_lib.model.kernels", "cs336_lib.model.step_layout", "cs336_lib.native.lanes")
    )
    x = np.concatenate([np.linspace(-87, 88, 400_001), np.linspace(-1, 1, 100_001)]).astype(np.float32)
    found = x.copy()
    library.exponentials(found, len(found))
    exact = np.exp(x.astype(np.float64))
    assert np.abs(found / exact - 1).max() < 2.5e-7
    ends = np.array([-np.inf, -1e30, -87.5, 0, 88.8, 1e30, np.inf, np.nan], np.float32)
    library.exponentials(ends, len(ends))
    assert ends.tolist()[:7] == [0, 0, 0, 1, np.inf, np.inf, np.inf] and np.isnan(ends[7])


@pytest.mark.parametrize("size", [1e2, 1e4, 1e30])
def test_gates_far_from_zero_make_no_infinity(size):
    ids = torch.randint(CONFIG.vocab_size, (2, 7))
    model = TransformerLM(CONFIG)
    for layer in model.layers:
        layer.ffn.w1.weight *= size
    logits = begun(model, list(ids), [6, 6])(ids[:, 6], [6, 6])
    assert logits.isfinite().all()
    torch.testing.assert_close(logits, model(ids)[:, -1], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("parts", [["q_proj"], ["v_proj"], ["output_proj"], ["q_proj", "k_proj"]], ids="+".join)
def test_what_is_no_number_comes_out_as_none(parts):
    """NaN in any matrix, and scores that overflow."""
    model = TransformerLM(CONFIG)
    for part in parts:
        getattr(model.layers[1].attn, part).weight.fill_(float("nan") if len(parts) == 1 else 1e25)
    step = begun(model, [torch.tensor([1, 2, 3])], [2])
    assert step(torch.tensor([3]), [2]).isnan().any()


def steps_taken(monkeypatch):
    """Note which kinds of steps are made."""
    made = []
    for kind in (CompiledStep, NumpyStep, FastStep):
        first = kind.__init__
        monkeypatch.setattr(
            kind, "__init__", lambda self, *given, first=first: (made.append(type(self)), first(self, *given))[1]
        )
    return made


@pytest.mark.parametrize(
    ("changes", "dtype", "kind"),
    [
        ({}, torch.float32, CompiledStep),
        ({}, torch.float64, NumpyStep),
        ({"num_heads": 4}, torch.float32, NumpyStep),  # heads of eight
        ({}, torch.bfloat16, FastStep),
    ],
)
def test_decode_computes_compiled_what_is_known_and_prepares_once(changes, dtype, kind, monkeypatch):
    """Also when the window slides, which fills the cache anew, and when rows end."""
    STEP.load()
    monkeypatch.setattr(compiled_step, "WORTH_LOADING", 0)
    made = steps_taken(monkeypatch)
    model = TransformerLM(CONFIG.replace(**changes), dtype=dtype)
    sampling, prompts = SamplingConfig(max_tokens=3 * CONFIG.context_length, seed=1), [[1, 2, 3], [4]]
    cached = [(step.row, step.token) for step in decode(model, prompts, sampling)]
    assert len(cached) == 6 * CONFIG.context_length
    assert set(made) == {kind} and (kind is FastStep or len(made) == 1)
    if dtype != torch.bfloat16:
        assert cached == [(step.row, step.token) for step in decode(model, prompts, sampling, use_cache=False)]


def test_rows_that_end_leave_one_that_is_written_as_alone(monkeypatch):
    """To the last bit: in a batch its neighbors end, one after the other."""
    STEP.load()
    monkeypatch.setattr(compiled_step, "WORTH_LOADING", 0)
    model = TransformerLM(CONFIG)
    sampling, prompts = SamplingConfig(max_tokens=9, temperature=0), [[1, 2, 3], [4], [5, 6]]
    alone = [list(decode(model, [prompt], sampling)) for prompt in prompts]
    end = next(step.token for step in alone[0][2:])
    both = list(decode(model, prompts, sampling, end=end))
    for row, steps in enumerate(alone):
        tokens = [step.token for step in steps]
        tokens = tokens[: tokens.index(end)] if end in tokens else tokens
        assert [step.token for step in both if step.row == row] == tokens


def test_nobody_waits_for_the_compiler(monkeypatch):
    """What is short goes by numpy; what is longer does, too, while the kernel is missing, and has it prepared."""
    prepared, ready = [], [False]
    monkeypatch.setattr(compiled_step.STEP, "is_ready", lambda: ready[0], raising=False)
    monkeypatch.setattr(compiled_step.STEP, "prepare", lambda: prepared.append(1), raising=False)
    monkeypatch.setattr(compiled_step, "_by_numpy", 0)
    model = TransformerLM(CONFIG)
    size = sum(weight.numel() for weight in model.parameters())
    some = compiled_step.WORTH_LOADING // size // 2 + 1
    assert not CompiledStep.is_worth_it(model, 2, some // 2) and not CompiledStep.is_worth_it(model, 2, some)
    assert not prepared
    assert not CompiledStep.is_worth_it(model, 1, compiled_step.WORTH_COMPILING // size) and prepared
    ready[0] = True
    assert CompiledStep.is_worth_it(model, 2, some) and not CompiledStep.is_worth_it(model, 1, some)


@pytest.mark.parametrize(("threads", "rows", "expected"), [(1, 1, True), (2, 1, True), (4, 1, False), (4, 16, True)])
def test_few_rows_of_a_large_model_go_by_all_threads(monkeypatch, threads, rows, expected):
    monkeypatch.setattr(compiled_step.STEP, "is_ready", lambda: True, raising=False)
    monkeypatch.setattr(compiled_step, "THREADS_FROM", 1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    assert CompiledStep.is_worth_it(TransformerLM(CONFIG), rows, compiled_step.WORTH_LOADING) == expected


def test_wrong_tokens_and_places_never_reach_the_kernel():
    model = TransformerLM(CONFIG)
    with pytest.raises(ValueError, match=r"no cache to go on from; call begin\(cache\)"):
        CompiledStep(model)(torch.tensor([1]), [0])
    step = begun(model, [torch.tensor([1, 2, 3])] * 2, [2, 2])
    for ids, places, error, words in (
        ([1], [2, 2], ValueError, "2 rows, and there are 1 tokens"),
        ([1, 1], [2], ValueError, "and 1 places"),
        ([1, 37], [2, 2], IndexError, "below 37"),
        ([-1, 1], [2, 2], IndexError, "below 37"),
        ([1, 1], [2, 24], IndexError, "below 24"),
        ([1, 1], [-1, 2], IndexError, "below 24"),
    ):
        with pytest.raises(error, match=words):
            step(torch.tensor(ids), places)


OTHER_BLOCKS = {
    "a narrower feed-forward": {"d_ff": 16},
    "a wider feed-forward": {"d_ff": 200},
    "no gate": {"ffn": "silu", "d_ff": 41},
    "another place for norms": {"norm": "post"},
    "norms of q and k": {"qk_norm": True},
}


@pytest.mark.parametrize("changes", OTHER_BLOCKS.values(), ids=OTHER_BLOCKS)
def test_a_model_whose_blocks_differ_is_left_to_others(changes, monkeypatch):
    STEP.load()
    monkeypatch.setattr(compiled_step, "WORTH_LOADING", 0)
    model, other = TransformerLM(CONFIG), TransformerLM(CONFIG.replace(**changes))
    block = other.layers[1]
    block.attn.rope = model.layers[0].attn.rope
    assert CompiledStep.usable(model)
    model.layers[1] = block
    assert not CompiledStep.usable(model)
    sampling = SamplingConfig(max_tokens=15, temperature=0)
    cached, whole = ([s.token for s in decode(model, [[1]] * 3, sampling, use_cache=use)] for use in (True, False))
    assert cached == whole


def test_a_model_with_more_entries_or_fewer_layers_than_it_says_is_left_to_others():
    model = TransformerLM(CONFIG)
    model.lm_head.weight = torch.nn.Parameter(torch.zeros(48, CONFIG.d_model))
    assert not CompiledStep.usable(model)
    model = TransformerLM(CONFIG)
    del model.layers[1]
    assert not CompiledStep.usable(model)
