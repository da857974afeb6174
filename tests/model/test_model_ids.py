"""Ids and positions of every type that torch has, through all that looks up with them."""

import re

import pytest
import torch

from cs336_lib.generation import SamplingConfig, decode
from cs336_lib.model import Embedding, KVCache, MultiHeadSelfAttention, RotaryEmbedding, TransformerLM, fast
from cs336_lib.training import chunked_cross_entropy, cross_entropy
from cs336_lib.training.loss import fused_cross_entropy

INTEGERS = [getattr(torch, f"{sign}int{bits}") for sign in ("", "u") for bits in (8, 16, 32, 64)]
OTHERS = [torch.bool, torch.float32, torch.float64, torch.bfloat16, torch.complex64]
both = pytest.mark.parametrize("backend", ["reference", "fast"])


def turn(tiny, backend):
    rope, x = RotaryEmbedding(1e4, 8, 12), torch.randn(4, 8)
    return lambda places: rope(x, places)


def attend(tiny, backend, turned):
    kind = MultiHeadSelfAttention if backend == "reference" else fast.FastSelfAttention
    attention, x = kind(24, 3, RotaryEmbedding(1e4, 8, 12) if turned else None), torch.randn(2, 4, 24)
    return lambda places: attention(x, places)


def remember(tiny, backend, position):
    """Logits of tokens that are decoded with a cache, at places given row by row."""
    config = tiny.replace(backend=backend, position=position)
    model, ids = TransformerLM(config), torch.randint(37, (2, 3))

    def call(places):
        cache = KVCache(config, 2)
        model(ids, cache=cache)
        return model(ids[:, :1].to(places.dtype), cache=cache, token_positions=places)

    return call


def lean(logits, targets):
    return chunked_cross_entropy(logits, torch.eye(logits.shape[-1]), targets, 2)


def loss(loss_of):
    logits = torch.randn(4, 9)
    return lambda targets: loss_of(logits, targets)


# name: (what makes a function of ids from a config and a backend, the ids)
FLAT, PLACES = torch.tensor([3, 0, 1, 1]), torch.tensor([[3], [1]])
USES = {
    "embedding": (lambda tiny, b: (Embedding if b == "reference" else fast.FastEmbedding)(5, 2), FLAT),
    "rotation": (turn, FLAT),
    "attention": (lambda tiny, b: attend(tiny, b, turned=True), FLAT),
    "attention, unturned": (lambda tiny, b: attend(tiny, b, turned=False), FLAT),
    "model": (lambda tiny, b: TransformerLM(tiny.replace(backend=b)), FLAT[None]),
    "cache": (lambda tiny, b: remember(tiny, b, "rope"), PLACES),
    "cache, unturned": (lambda tiny, b: remember(tiny, b, "none"), PLACES),
    **{f.__name__: (lambda tiny, b, f=f: loss(f), FLAT) for f in (cross_entropy, fused_cross_entropy, lean)},
}


@pytest.mark.parametrize("use", USES)
@both
@torch.no_grad()
def test_any_integer_type_is_taken_for_what_it_says_and_no_other_is(use, backend, tiny):
    make, ids = USES[use]
    call = make(tiny, backend)
    expected = call(ids)
    for dtype in INTEGERS:
        assert torch.equal(call(ids.to(dtype)), expected), dtype
    for dtype in OTHERS:
        with pytest.raises(TypeError, match=rf"(ids|positions|targets) must be integers, got {dtype}; convert them"):
            call(ids.to(dtype))
    if not use.startswith("cache"):
        with pytest.raises(TypeError, match=r"must be a tensor of integers, got list; convert with torch\.tensor"):
            call(ids.tolist())


@both
@pytest.mark.parametrize("dtype", INTEGERS)
def test_gradients_and_written_text_are_the_same(backend, dtype, tiny, ids):
    model = TransformerLM(tiny.replace(backend=backend))
    expected = torch.autograd.grad(cross_entropy(model(ids), ids), list(model.parameters()))
    found = torch.autograd.grad(cross_entropy(model(ids.to(dtype)), ids.to(dtype)), list(model.parameters()))
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    config = SamplingConfig(max_tokens=3, seed=1)
    for cached in (True, False):
        written = [list(decode(model, p, config, use_cache=cached)) for p in (ids[:, :4], ids[:, :4].to(dtype))]
        assert written[0] == written[1]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # inside torch's compiler
@both
@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8, torch.int16])
def test_compiled_they_make_one_graph(backend, dtype, tiny, ids):
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    model = TransformerLM(tiny.replace(backend=backend, num_layers=1))

    def step(ids):
        hidden = model.hidden_states(ids, token_positions=torch.arange(12, dtype=torch.int32))
        losses = [chunked_cross_entropy(hidden, model.head_weight, ids, 5)]
        logits = model.logits(hidden)
        return sum([*losses, cross_entropy(logits, ids), fused_cross_entropy(logits, ids)])

    found = torch.compile(step, fullgraph=True, backend="aot_eager")(ids.to(dtype))
    torch.testing.assert_close(found, step(ids))
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1
    assert not torch._dynamo.utils.counters["graph_break"]


@pytest.mark.parametrize("table", [Embedding(5, 2), fast.FastEmbedding(5, 2)])
@pytest.mark.parametrize("bad", [-1, 5, -6])
def test_a_row_that_is_not_there_is_named(table, bad):
    with pytest.raises(IndexError, match=rf"token id {bad} is outside the table, whose rows are 0 to 4"):
        table(torch.tensor([0, bad]))
    assert table(torch.tensor([], dtype=torch.uint8)).shape == (0, 2)


def test_where_there_are_no_values_to_look_at_nobody_looks():
    logits, targets = torch.randn(3, 4, 9), torch.randint(9, (3, 4))
    each = torch.func.vmap(cross_entropy)(logits, targets)
    torch.testing.assert_close(each, torch.stack([cross_entropy(*one) for one in zip(logits, targets, strict=True)]))
    with torch._subclasses.fake_tensor.FakeTensorMode():
        assert cross_entropy(torch.zeros(2, 9), torch.zeros(2, dtype=torch.uint8)).shape == ()


def test_annotations_of_ids_admit_every_integer_type():
    from cs336_lib.model.shapes import Int

    for dtype in INTEGERS:
        assert isinstance(torch.zeros(2, dtype=dtype), Int[torch.Tensor, "S"])
    assert not isinstance(torch.zeros(2), Int[torch.Tensor, "S"])


S, B = 5, 3
SHAPES = [(), (1,), (S - 1,), (S + 1,), (B, 1), (B - 1, S), (B, S, 1), (1, B, S), (S, B)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("position", ["rope", "none"])
@pytest.mark.parametrize("cached", [False, True])
@both
@torch.no_grad()
def test_each_token_has_a_position_or_the_shape_is_named(shape, position, cached, backend, tiny):
    config = tiny.replace(backend=backend, position=position)
    model, ids = TransformerLM(config), torch.zeros(B, S, dtype=torch.long)
    cache = KVCache(config, B) if cached else None
    with pytest.raises(ValueError, match=re.escape(f"token_positions have shape {shape} for ids of (3, 5)")):
        model(ids, cache, torch.zeros(shape, dtype=torch.long))
    assert cache is None or len(cache) == 0


@pytest.mark.parametrize("shape", [(), (1,), (S - 1,), (S + 1,), (B, 1)])
def test_a_rotation_and_its_attention_want_a_position_for_each_token(shape):
    rope, places = RotaryEmbedding(1e4, 8, 12), torch.zeros(shape, dtype=torch.long)
    calls = [lambda: rope(torch.randn(B, S, 8), places)]
    for kind in (MultiHeadSelfAttention, fast.FastSelfAttention):
        calls.append(lambda kind=kind: kind(24, 3, rope)(torch.randn(B, S, 24), places))
    for call in calls:
        with pytest.raises(ValueError, match=r"they must be \(\.\.\., 5\), a position for each token"):
            call()


@pytest.mark.parametrize("places", [[0, 1], [4, 5], [3, 3], [4, 3], [3, 5], [-1, 0], [[4, 5]], [[-1, 3]], [[0, 5]]])
@both
@torch.no_grad()
def test_places_that_leave_a_gap_in_the_cache_are_refused_and_it_stays_as_it_was(places, backend, tiny):
    config = tiny.replace(backend=backend)
    model, cache, ids = TransformerLM(config), KVCache(config, 1), torch.randint(37, (1, 5))
    model(ids[:, :3], cache)
    with pytest.raises(ValueError, match=r"the cache holds 3 tokens|it holds 3 tokens, so with 2 more .* 0 to 4"):
        model(ids[:, 3:], cache, torch.tensor(places))
    torch.testing.assert_close(model(ids[:, 3:], cache, torch.tensor([3, 4])), model(ids)[:, 3:])
