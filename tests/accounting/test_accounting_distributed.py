"""Bytes held and sent by each rank are those of a real step, and behave as they must for any model and any N."""

from fractions import Fraction
from math import prod

import pytest
from accounting_counts import GRID, TINY, name
from distributed_step import MODELS, steps
from forked_ranks import launch
from hypothesis import given, settings
from hypothesis import strategies as st

from cs336_lib.accounting import parameter_count, rank_memory, step_traffic, training_memory
from cs336_lib.accounting.distributed import layer_shapes, root_shapes, shard_size
from cs336_lib.model import ModelConfig, TransformerLM

SEVEN = ModelConfig(vocab_size=7, context_length=3, d_model=4, num_layers=2, num_heads=2, d_ff=6)
DEEP = SEVEN.replace(num_layers=3)
WIDE = DEEP.replace(vocab_size=70)

models = st.builds(
    lambda heads, half, d_ff, layers, vocab, tied: ModelConfig(
        vocab, 5, 2 * half * heads, layers, heads, d_ff=d_ff, tie_embeddings=tied
    ),
    st.integers(1, 3),
    st.integers(1, 4),
    st.integers(1, 20),
    st.integers(1, 4),
    st.integers(2, 40),
    st.booleans(),
)


@pytest.mark.parametrize("cfg", [*GRID, ModelConfig.preset("gpt2-xl")], ids=name)
def test_shapes_are_those_of_the_real_model(cfg):
    real = sorted(tuple(p.shape) for p in TransformerLM(cfg, device="meta").parameters())
    assert sorted([*layer_shapes(cfg) * cfg.num_layers, *root_shapes(cfg)]) == real


def test_a_small_model_by_hand():
    # A layer: 4 x 16 + 2 x 24 + 24 + 2 x 4 = 144 numbers; the root: 2 x 28 + 4 = 60. N = 2: 28 of 7 rows become 16.
    memory = rank_memory(SEVEN, "fsdp", 2)
    assert memory.parameters == memory.gradients == 4 * (2 * 72 + 16 + 2 + 16)
    assert memory.optimizer == 2 * memory.parameters
    assert memory.buffers == 4 * (68 + 2 * 144 + 144)
    assert rank_memory(SEVEN, "fsdp", 2, reshard_after_forward=False).buffers == memory.buffers
    traffic = step_traffic(SEVEN, "fsdp", 2)
    assert dict(traffic.payload) == {"all_gather": 4 * (68 + 4 * 144), "reduce_scatter": 4 * (68 + 2 * 144)}
    assert traffic.sent == traffic.payload.total / 2
    assert dict(step_traffic(SEVEN, "ddp", 2).payload) == {"all_reduce": 4 * 348}
    assert step_traffic(SEVEN, "ddp", 2).sent == 4 * 348


@pytest.mark.parametrize(
    ("cfg", "reshard", "layers", "group"),
    [(SEVEN, True, 2, 144), (DEEP, True, 2, 144), (DEEP, False, 3, 144), (WIDE, True, 2, 564), (WIDE, False, 3, 564)],
)
def test_buffers_by_hand_where_a_layer_is_the_largest_group_and_where_the_root_is(cfg, reshard, layers, group):
    # A layer is 144 numbers; the root of SEVEN and DEEP is 68 with its padding, that of WIDE 2 x 280 + 4 = 564.
    root = 564 if cfg is WIDE else 68
    options = {"reshard_after_forward": reshard}
    assert rank_memory(cfg, "fsdp", 2, **options).buffers == 4 * (root + layers * 144 + group)
    in_parts = rank_memory(cfg, "fsdp", 2, accumulation=2, **options)
    whole = parameter_count(cfg).total
    assert in_parts.buffers == 4 * (root + layers * 144 + whole)
    assert in_parts == rank_memory(cfg, "fsdp", 2, accumulation=7, **options)


def test_parts_of_a_batch_cost_memory_with_fsdp_only():
    for arguments in (("single", 1), ("ddp", 2)):
        assert rank_memory(TINY, *arguments, accumulation=3) == rank_memory(TINY, *arguments)


def test_one_process_holds_what_chapter_5_counts_and_says_nothing():
    alone, counted = rank_memory(TINY, batch_size=3), training_memory(TINY, 3)
    assert (alone.fixed, alone.activations, alone.total) == (counted.fixed, counted.activations.total, counted.total)
    assert step_traffic(TINY, "single", 1).sent == step_traffic(TINY, "ddp", 1).sent == 0
    assert step_traffic(TINY, "fsdp", 1).sent == 0
    assert rank_memory(TINY, "fsdp", 1).fixed == alone.fixed


@settings(deadline=None)
@given(models, st.integers(1, 70))
def test_ranks_together_hold_the_model_and_less_than_a_row_of_padding_each(cfg, ranks):
    shapes = [*layer_shapes(cfg) * cfg.num_layers, *root_shapes(cfg)]
    whole = parameter_count(cfg).total
    held = rank_memory(cfg, "fsdp", ranks).parameters // 4
    assert held == shard_size(shapes, ranks)
    assert whole <= ranks * held <= whole + (ranks - 1) * sum(prod(shape[1:]) for shape in shapes)


@settings(deadline=None)
@given(models, st.integers(2, 70), st.integers(1, 4))
def test_what_traffic_costs_against_ddp(cfg, ranks, accumulation):
    ddp = step_traffic(cfg, "ddp", ranks, accumulation=accumulation)
    exact = Fraction(2 * (ranks - 1), ranks) * 4 * parameter_count(cfg).total
    assert exact <= ddp.sent < exact + 1
    kept, given_up = (
        step_traffic(cfg, "fsdp", ranks, accumulation=accumulation, reshard_after_forward=reshard)
        for reshard in (False, True)
    )
    assert ddp.sent <= kept.sent < given_up.sent
    if accumulation == 1:
        padded = Fraction(kept.payload["reduce_scatter"], ddp.payload["all_reduce"])
        assert given_up.sent <= Fraction(3, 2) * padded * ddp.sent + 1


@settings(deadline=None)
@given(models, st.integers(1, 30), st.integers(1, 3))
def test_giving_layers_up_never_takes_more_memory(cfg, ranks, accumulation):
    kept, given_up = (
        rank_memory(cfg, "fsdp", ranks, reshard_after_forward=reshard, accumulation=accumulation)
        for reshard in (False, True)
    )
    assert rank_memory(cfg, "fsdp", ranks).total <= given_up.total <= kept.total
    assert given_up.parts().total == given_up.total


def test_views_of_buckets_save_ddp_a_copy_of_the_gradients():
    copies, views = (rank_memory(TINY, "ddp", 2, gradient_as_bucket_view=view) for view in (False, True))
    assert (copies.buffers, views.buffers) == (copies.gradients, 0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("pipeline", 2), "strategy is 'pipeline'; allowed: 'single', 'ddp', 'fsdp'"),
        (("ddp", 0), "ranks is 0; it must be a whole number, 1 or more"),
        (("single", 2), 'ranks is 2, but strategy "single" has one; choose "ddp" or "fsdp"'),
    ],
)
def test_bad_arguments_name_what_is_allowed(arguments, message):
    for count in (rank_memory, step_traffic):
        with pytest.raises(ValueError, match=message):
            count(TINY, *arguments)
    for count in (rank_memory, step_traffic):
        with pytest.raises(ValueError, match="accumulation is 0"):
            count(TINY, "ddp", 2, accumulation=0)


@pytest.fixture(scope="module")
def counted(tmp_path_factory):
    """What rank 0 of two counted; see `distributed_step.py`."""
    folder = tmp_path_factory.mktemp("ranks")
    done, said = launch(steps, str(folder / "rendezvous"), logs=folder)
    assert done is not None, said[-4000:]
    return done[0]


@pytest.mark.dist
@pytest.mark.timeout(180)
@pytest.mark.parametrize("accumulation", [1, 3])
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("engine", ["ddp", "fsdp", "fsdp-kept"])
def test_formulas_equal_a_count_of_real_collectives_and_tensors(counted, engine, model, accumulation):
    strategy, cfg = engine.removesuffix("-kept"), MODELS[model]
    step = counted[f"{engine} {model} {accumulation}"]
    traffic = step_traffic(cfg, strategy, 2, accumulation=accumulation, reshard_after_forward=engine != "fsdp-kept")
    assert step["payload"] == dict(traffic.payload)
    assert sum(step["buckets"]) == traffic.payload.get("all_reduce", 0)
    whole = parameter_count(cfg).total
    assert step["waiting"] == (4 * whole if accumulation > 1 else 0), "gradients of a rank before the last part"
    memory = rank_memory(cfg, strategy, 2, accumulation=accumulation)
    assert {kind: step[kind] for kind in ("parameters", "gradients", "optimizer")} == {
        kind: getattr(memory, kind) for kind in ("parameters", "gradients", "optimizer")
    }
