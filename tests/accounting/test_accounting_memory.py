"""Activation bytes are those that autograd keeps, to the byte, and a training step's peak lies where they say."""

import inspect
from functools import partial

import pytest
import torch
from accounting_counts import GRID, SIZES, TINY, Peak, batch, loss, name, saved_bytes, saved_peak, transient_bytes

from cs336_lib import accounting
from cs336_lib.accounting import (
    GB,
    GIB,
    autograd_activations,
    handout_activations,
    max_batch_size,
    rank_memory,
    training_memory,
)
from cs336_lib.accounting.activations import own_list
from cs336_lib.editions import EDITIONS
from cs336_lib.model import ModelConfig, TransformerLM
from cs336_lib.model.config import PRESETS
from cs336_lib.optim import AdamW
from cs336_lib.training import loss as losses

SHAPES = [(1, 1), (1, 12), (3, 1), (2, 7), (3, 12)]  # batch, sequence


@pytest.mark.parametrize("backend", ["reference", "fast"])
@pytest.mark.parametrize("cfg", GRID, ids=name)
def test_activations_are_what_autograd_saves_to_the_byte(cfg, backend):
    cfg = cfg.replace(backend=backend)
    for batch_size, seq_len in SHAPES:
        counted = autograd_activations(cfg, seq_len, batch_size)
        assert saved_bytes(cfg, batch_size, seq_len) == counted.total, (batch_size, seq_len)


@pytest.mark.parametrize("backend", ["reference", "fast"])
@pytest.mark.parametrize("cfg", SIZES, ids=str)
def test_sizes_at_the_edge(cfg, backend):
    cfg = cfg.replace(backend=backend)
    assert saved_bytes(cfg, 2, cfg.context_length) == autograd_activations(cfg, batch_size=2).total


@pytest.mark.parametrize("backend", ["reference", "fast"])
def test_a_real_size_is_exact_too(backend):
    cfg = ModelConfig.preset("tales-1m").replace(backend=backend)
    assert saved_bytes(cfg, 2, 256) == autograd_activations(cfg, batch_size=2).total


def test_the_model_alone_keeps_all_but_the_losss_part():
    kept = autograd_activations(TINY, 7, 2)
    assert saved_bytes(TINY, 2, 7, with_loss=False) == kept.total - kept["loss"]


def test_layers_add_the_same_each():
    one, two, three = (saved_bytes(TINY.replace(num_layers=layers), 2, 7) for layers in (1, 2, 3))
    assert three - two == two - one


@pytest.mark.parametrize("vocab_size", [50, 400, 8_000])
def test_checkpointing_keeps_the_layers_inputs_and_the_larger_of_a_layers_set_and_what_comes_after(vocab_size):
    """What exercise 4 of chapter 5 says: what comes after the layers is let go before a layer is computed again."""
    cfg = ModelConfig(vocab_size, 64, 32, num_layers=6, num_heads=4, d_ff=128)
    whole, less = (autograd_activations(cfg.replace(num_layers=layers)).total for layers in (6, 5))
    layer = whole - less
    after, an_input, ids = whole - 6 * layer, 4 * 64 * 32, 8 * 64  # `after` counts the ids, which the embedding keeps
    assert saved_peak(cfg, checkpointed=False) == whole
    assert (layer > after) is (vocab_size < 8_000)
    at_work = 5 * an_input + layer + ids  # the layer's set begins with its input
    assert saved_peak(cfg, checkpointed=True) == max(6 * an_input + after, at_work) < whole


def live_step(cfg, batch_size, seq_len, foreach=False, held=False):
    """Return what is alive at the peak of a forward and backward pass, as `Peak` sees it, with AdamW's state made.

    With `held` the caller has the logits in a variable.
    """
    model = TransformerLM(cfg)
    optimizer = AdamW(model.parameters(), foreach=foreach)
    x, y = (t.clone() for t in batch(cfg, batch_size, seq_len))
    loss(model, x, y).backward()
    optimizer.step()
    optimizer.zero_grad(set_to_none=False)
    moments = [t for state in optimizer.state.values() for t in state.values() if isinstance(t, torch.Tensor)]
    gradients = [p.grad for p in model.parameters()]
    with Peak([*model.parameters(), *gradients, *moments, x, y]) as step:
        logits = model(x) if held else None
        loss(model if logits is None else lambda _: logits, x, y).backward()
    return step.peak


@pytest.mark.parametrize("cfg", GRID[::6], ids=name)
@pytest.mark.parametrize(("batch_size", "seq_len"), [(2, 7), (4, 12)])
def test_the_peak_is_the_formula_and_a_bounded_rest(cfg, batch_size, seq_len):
    formula = training_memory(cfg, batch_size, seq_len, activations="autograd").total
    peak = live_step(cfg, batch_size, seq_len)
    assert formula <= peak <= formula + transient_bytes(cfg, batch_size, seq_len)


@pytest.mark.parametrize("backend", ["reference", "fast"])
@pytest.mark.parametrize("vocab_size", [400, 2_000])
@pytest.mark.parametrize(("held", "tensors"), [(False, 2), (True, 3)])
def test_a_wide_losss_peak_is_two_gradients_and_the_logits_only_where_the_caller_holds_them(
    backend, vocab_size, held, tensors
):
    cfg = ModelConfig(vocab_size, 16, 16, num_layers=2, num_heads=2, d_ff=24, backend=backend)
    formula = training_memory(cfg, 4, activations="autograd").total
    a_tensor = 4 * 4 * cfg.context_length * vocab_size
    above = live_step(cfg, 4, cfg.context_length, held=held) - formula
    assert tensors * a_tensor <= above < (tensors + 0.01) * a_tensor


LOSSES = {
    "definition": (lambda x, w, y: losses.cross_entropy(x @ w.T, y), 256, 4),
    "torch's": (lambda x, w, y: torch.nn.functional.cross_entropy(x @ w.T, y), 256, 3),
    "fused": (lambda x, w, y: losses.fused_cross_entropy(x @ w.T, y), 256, 2),
    "in chunks": (lambda x, w, y: losses.chunked_cross_entropy(x, w, y, 64), 64, 3),
}
"""Name -> a loss, the rows that it computes at a time, how many tensors of these rows' logits are alive at its peak."""


@pytest.mark.parametrize(("function", "rows", "tensors"), LOSSES.values(), ids=LOSSES)
def test_a_loss_holds_several_tensors_of_the_logits_it_computes_at_a_time(function, rows, tensors):
    x, w, y = torch.randn(256, 8, requires_grad=True), torch.randn(4_000, 8, requires_grad=True), torch.arange(256)
    before = sum(t.untyped_storage().nbytes() for t in (x, w, y))
    with Peak([x, w, y]) as step:
        torch.autograd.grad(function(x, w, y), (x, w))
    gradients = 4 * (x.numel() + w.numel())
    a_tensor = 4 * rows * len(w)
    assert tensors * a_tensor <= step.peak - before <= (tensors + 0.01) * a_tensor + gradients


@pytest.mark.gpu
@pytest.mark.parametrize("batch_size", [4, 16])
def test_cuda_allocates_the_formula_and_a_bounded_rest(batch_size):
    cfg = ModelConfig.preset("tinystories-17m")
    model = TransformerLM(cfg, device="cuda")
    optimizer = AdamW(model.parameters(), foreach=False)
    x, y = (t.clone() for t in batch(cfg, batch_size, cfg.context_length, device="cuda"))
    for _ in range(2):  # the first makes moments and workspaces
        optimizer.zero_grad(set_to_none=False)
        torch.cuda.reset_peak_memory_stats()
        loss(model, x, y).backward()
        peak = torch.cuda.max_memory_allocated()
        optimizer.step()
    formula = training_memory(cfg, batch_size, activations="autograd").total
    # The allocator rounds each tensor up to 512 bytes, and cuBLAS holds a workspace of up to 32 MiB for each handle.
    assert formula <= peak <= formula + transient_bytes(cfg, batch_size, cfg.context_length) + 2**26


@pytest.mark.parametrize("activations", ["handout", "autograd"])
@pytest.mark.parametrize("memory_bytes", [1, 10**6, 2 * 10**6, 16 * 2**20, GB, GIB])
def test_the_largest_batch_fits_and_one_more_does_not(activations, memory_bytes):
    largest = max_batch_size(TINY, memory_bytes, activations=activations)
    if largest:
        assert training_memory(TINY, largest, activations=activations).total <= memory_bytes
    assert training_memory(TINY, largest + 1, activations=activations).total > memory_bytes


@pytest.mark.parametrize("activations", ["handout", "autograd"])
def test_memory_that_fits_exactly_is_enough(activations):
    total = training_memory(TINY, 5, activations=activations).total
    assert max_batch_size(TINY, total, activations=activations) == 5
    assert max_batch_size(TINY, total - 1, activations=activations) == 4


def test_handout_list_leaves_out_norms_that_are_not_there():
    full, without = handout_activations(TINY), handout_activations(TINY.replace(norm="none"))
    norms = (2 * TINY.num_layers + 1) * TINY.context_length * TINY.d_model
    assert full.total - without.total == norms
    assert "rms_norms" not in without


def test_a_gate_keeps_two_more_in_its_own_list_and_in_autograd_and_none_in_the_list_of_2025():
    swiglu, silu = TINY, TINY.replace(ffn="silu", d_ff=TINY.d_ff)
    more = 2 * TINY.num_layers * TINY.context_length * TINY.d_ff
    assert handout_activations(swiglu).total - handout_activations(silu).total == more
    assert autograd_activations(swiglu).total - autograd_activations(silu).total == 4 * more
    assert handout_activations(swiglu, edition="2025") == handout_activations(silu, edition="2025")


COUNTS = {
    "handout_activations": handout_activations,
    "training_memory": training_memory,
    "max_batch_size": partial(max_batch_size, memory_bytes=GB),
    "rank_memory": partial(rank_memory, strategy="ddp", ranks=2),
}
"""Everything that counts by a handout's list."""


@pytest.mark.parametrize("count", COUNTS.values(), ids=COUNTS)
def test_a_list_belongs_to_its_model_unless_a_year_is_named(count):
    for cfg in (*GRID, *PRESETS.values()):
        years = {year: count(cfg, edition=year) for year in EDITIONS}
        assert count(cfg) == years[own_list(cfg).name] == years["2026" if cfg.ffn == "swiglu" else "2025"], name(cfg)


def test_whatever_takes_a_list_takes_its_year_and_the_models_own_without_one():
    asked = {each: inspect.signature(getattr(accounting, each)).parameters for each in COUNTS}
    assert all(parameters["edition"].default is None for parameters in asked.values())
    functions = filter(inspect.isfunction, vars(accounting).values())
    taking = {f.__name__ for f in functions if {"activations", "edition"} & inspect.signature(f).parameters.keys()}
    assert taking == set(COUNTS)


def test_fused_attention_keeps_nothing_that_grows_with_the_square_of_the_context():
    sizes = [autograd_activations(TINY.replace(backend="fast"), seq_len).total for seq_len in (100, 200, 300)]
    assert sizes[2] - sizes[1] == sizes[1] - sizes[0]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: max_batch_size(TINY, 0), "memory_bytes is 0"),
        (lambda: max_batch_size(TINY, 80e9), "memory_bytes is 80000000000.0; it must be a whole number"),
        (lambda: training_memory(TINY, 0), "batch_size is 0"),
        (lambda: training_memory(TINY, activations="all"), "'all'; allowed: 'handout', 'autograd'"),
    ],
)
def test_wrong_arguments_are_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()
