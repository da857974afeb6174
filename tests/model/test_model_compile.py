import pytest
import torch
import torch.nn.functional as F

from cs336_lib.model import KVCache, TransformerLM, fast


# torch's compiler imports a module of its own that torch deprecates.
@pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated:DeprecationWarning")
@pytest.mark.parametrize("compiler", ["aot_eager", pytest.param("inductor", marks=pytest.mark.slow)])
@pytest.mark.parametrize("backend", ["reference", "fast"])
def test_a_training_step_compiles_to_one_graph_without_breaks(tiny, ids, backend, compiler):
    model = TransformerLM(tiny.replace(backend=backend, qk_norm=True, num_layers=1))
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    compiled = torch.compile(model, fullgraph=True, backend=compiler)
    results = []
    for run in (model, compiled):
        model.zero_grad()
        logits = run(ids)
        F.cross_entropy(logits.flatten(0, 1), ids.flatten()).backward()
        results.append((logits, [p.grad.clone() for p in model.parameters()]))
    torch.testing.assert_close(results[0], results[1], rtol=1e-4, atol=1e-5)
    counters = torch._dynamo.utils.counters
    assert counters["stats"]["unique_graphs"] == 1
    assert not counters["graph_break"]


# torch's compiler imports a module of its own that torch deprecates.
@pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated:DeprecationWarning")
@pytest.mark.parametrize("in_order", [True, False])
def test_compiled_for_a_cpu_the_lookups_gradient_is_left_to_what_adds_in_one_order(tiny, ids, in_order):
    """Told from the operations that ran: torch's compiler would make `embedding_dense_backward` atomic additions."""
    torch._dynamo.reset()
    table = fast.FastEmbedding(tiny.vocab_size, tiny.d_model)
    table.in_order = in_order
    torch._dynamo.reset()
    compiled = torch.compile(lambda ids: table(ids).square().sum(), fullgraph=True, backend="aot_eager")
    with torch.profiler.profile() as seen:
        gradient = torch.autograd.grad(compiled(ids), table.weight)[0]
    assert ("cs336_lib::embedding_gradient" in {event.name for event in seen.events()}) is in_order
    assert torch.equal(gradient, torch.autograd.grad(table(ids).square().sum(), table.weight)[0])


@pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated:DeprecationWarning")
def test_a_model_that_was_trained_is_exported_with_torchs_own_operations(tiny, ids):
    table = fast.FastEmbedding(tiny.vocab_size, tiny.d_model)
    table.in_order = True
    graph = torch.export.export(table, (ids,)).graph
    assert [str(node.target) for node in graph.nodes if node.op == "call_function"] == ["aten.embedding.default"]


def test_the_lookup_can_be_differentiated_twice():
    table, ids = torch.randn(5, 3, dtype=torch.float64, requires_grad=True), torch.tensor([1, 1, 4])
    assert torch.autograd.gradgradcheck(lambda table: fast.embedding(table, ids).pow(3), table)


@pytest.mark.parametrize("shape", [(5,), (2, 3), (2, 1, 3)])
def test_the_lookup_and_its_gradient_are_operations_as_torch_wants_them(shape):
    torch.library.opcheck(fast.embedding_gradient, (torch.randn(*shape, 4), torch.randint(7, shape), 7))
    torch.library.opcheck(fast.embedding, (torch.randn(7, 4, requires_grad=True), torch.randint(7, shape)))


def test_a_second_batch_of_the_same_shape_does_not_compile_again(tiny, ids):
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    compiled = torch.compile(TransformerLM(tiny), fullgraph=True, backend="eager")
    for _ in range(3):
        compiled(ids)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1


def test_too_long_a_sequence_is_refused_while_compiling_too(tiny):
    torch._dynamo.reset()
    compiled = torch.compile(TransformerLM(tiny), backend="eager")
    with pytest.raises(ValueError, match="13 tokens, but context_length is 12"):
        compiled(torch.zeros(1, 13, dtype=torch.long))


def test_compiled_and_cached_do_not_exclude_each_other(tiny, ids):
    torch._dynamo.reset()
    model = TransformerLM(tiny)
    compiled = torch.compile(model, backend="eager")
    cache = KVCache(tiny, batch_size=2)
    with torch.no_grad():
        steps = [compiled(piece, cache=cache) for piece in ids.split(4, dim=1)]
        torch.testing.assert_close(torch.cat(steps, dim=1), model(ids))
