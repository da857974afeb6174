"""Functions that the chapters' cells define do what the pages say of them, for more cases than the pages have."""

import ast
import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cs336_lib import model
from cs336_lib.accounting import parameter_count, step_traffic
from cs336_lib.data import tales
from cs336_lib.model import ModelConfig
from cs336_lib.optim import AdamW, cosine_schedule
from cs336_lib.training import TrainConfig, Trainer

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
CELL = re.compile(r"^```\{code-cell\}\n(?::[^\n]*\n)*(.*?)^```$", re.MULTILINE | re.DOTALL)


def names_given(node):
    """The names that a statement at the top of a cell defines or assigns."""
    if isinstance(node, ast.FunctionDef):
        return {node.name}
    return {t.id for t in node.targets if isinstance(t, ast.Name)} if isinstance(node, ast.Assign) else set()


def defined(chapter, *names, **known):
    """Return what a chapter's cells call so, each as it is there first, with torch, numpy and what is given at hand.

    Args:
        chapter: stem of the notebook.
        names: of functions and values.
        known: further names that these use.
    """
    page = (NOTEBOOKS / f"{chapter}.md").read_text(encoding="utf-8")
    cells = [cell for cell in CELL.findall(page) if any(re.search(rf"^(def )?{name}\b", cell, re.M) for name in names)]
    first = {}
    for node in (node for cell in cells for node in ast.parse(cell).body):
        for name in names_given(node) & set(names):
            first.setdefault(name, node)
    there = {"torch": torch, "np": np, "math": math, **known}
    exec(compile(ast.Module([first[name] for name in names], []), chapter, "exec"), there)
    return [there[name] for name in names]


sharpness, _ = defined("08_learning_rate", "sharpness", "flat")
(ring_all_reduce,) = defined("11_scaling", "ring_all_reduce")


def quadratic(curvatures, seed):
    """Return a loss with these curvatures along directions at random, its weights, and its Hessian."""
    generator = torch.Generator().manual_seed(seed)
    n = len(curvatures)
    turn = torch.linalg.qr(torch.randn(n, n, generator=generator, dtype=torch.float64)).Q
    hessian = turn @ torch.diag(torch.tensor(curvatures, dtype=torch.float64)) @ turn.T
    hessian = (hessian + hessian.T) / 2
    weights = [torch.randn(k, generator=generator, dtype=torch.float64, requires_grad=True) for k in (1, n - 1)]
    return lambda: torch.cat(weights) @ hessian @ torch.cat(weights) / 2, weights, hessian


@settings(deadline=None)
@given(st.lists(st.floats(-100, 100).filter(lambda c: abs(c) > 1e-2), min_size=2, max_size=30), st.integers(0, 3))
def test_the_largest_curvature_is_that_of_the_whole_hessian(curvatures, seed):
    loss_of, weights, hessian = quadratic(curvatures, seed)
    measured, direction = sharpness(loss_of, weights, close=1e-6)
    largest = torch.linalg.eigvalsh(hessian)[-1].item()
    assert measured <= largest + 1e-9 * max(map(abs, curvatures))
    assert measured == pytest.approx(largest, rel=2e-2)
    along = torch.cat([part.flatten() for part in direction])
    assert along.norm().item() == pytest.approx(1)
    assert (hessian @ along - measured * along).norm() <= 1.01e-6 * abs(measured)
    assert [part.shape for part in direction] == [weight.shape for weight in weights]


@pytest.mark.parametrize(
    "curvatures",
    [(-6.0, 1.0), (1.0, -1.0), (5.0, 5.0, 4.999), (-3.0, -2.0, -1.0), (9.0, 8.9, *range(-40, 8)), (2.0,) * 5],
    ids=str,
)
def test_neither_a_larger_curvature_downward_nor_a_close_second_misleads_it(curvatures):
    measured, _ = sharpness(*quadratic([float(c) for c in curvatures], 0)[:2])
    assert measured == pytest.approx(max(curvatures), rel=2e-3)


def test_what_is_not_found_in_the_rounds_allowed_is_an_error():
    loss_of, weights, _ = quadratic([float(c) for c in range(1, 40)], 0)
    with pytest.raises(ArithmeticError, match="in 3 rounds"):
        sharpness(loss_of, weights, most=3)


@pytest.mark.parametrize("ranks", [2, 3, 4, 5, 8])
@pytest.mark.parametrize("vocab", [7, 8, 61])
def test_a_ring_sends_what_the_formula_of_traffic_counts(ranks, vocab):
    cfg = ModelConfig(vocab_size=vocab, context_length=3, d_model=4, num_layers=2, num_heads=2, d_ff=6)
    numbers = parameter_count(cfg).total
    chunk = math.ceil(numbers / ranks)  # the ring's chunks are equal: less than one number of padding in each
    values = np.random.default_rng(ranks).integers(-9, 9, (ranks, ranks, chunk))
    phases, sent = ring_all_reduce(values)
    assert all((rank == values.sum(axis=0)).all() for rank in phases["all-gather"][-1])
    assert sent * ranks == 2 * (ranks - 1) * ranks * chunk
    counted = step_traffic(cfg, "ddp", ranks).sent
    assert counted <= 4 * sent < counted + 4 * 2 * ranks
    if numbers % ranks == 0:
        assert counted == 4 * sent


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_wrong_first_weights_are_still_paid_for_after_400_steps(seed):
    (first_steps,) = defined(
        "04_architecture", "first_steps", lm=model, tales=tales, AdamW=AdamW, F=torch.nn.functional
    )
    where = {"right": (), "all": ("layers", "lm_head"), "blocks": ("layers",), "head": ("lm_head",)}
    losses = {name: first_steps(modules, steps=400, seed=seed) for name, modules in where.items()}
    first = {name: np.mean(found[5:15]) for name, found in losses.items()}
    early = {name: np.mean(found[35:40]) for name, found in losses.items()}
    late = {name: np.mean(found[-20:]) for name, found in losses.items()}
    assert first["right"] + 0.1 < first["head"] < first["blocks"] - 0.1
    assert abs(first["blocks"] - first["all"]) < 0.15
    assert early["right"] + 0.1 < early["blocks"] < early["head"] - 0.05
    assert abs(early["head"] - early["all"]) < 0.1
    assert late["all"] > late["right"] + 0.1
    assert abs(late["blocks"] - late["all"]) < 0.15
    assert late["right"] < late["head"] < (late["right"] + late["all"]) / 2


def copying():
    """Return what chapter 4 draws its rows with, and what learns to copy them."""
    known = {"lm": model, "AdamW": AdamW, "F": torch.nn.functional, "cosine_schedule": cosine_schedule}
    names = "S", "repeated_rows", "learn_to_copy", "by_place"
    return defined("04_architecture", *names, words=range(24), **known)[1:]


def right_on(learner, rows):
    """Return the share of right words among those that can be known."""
    ids, known = rows(200, torch.Generator().manual_seed(9))
    with torch.no_grad():
        return (learner(ids[:, :-1]).argmax(-1) == ids[:, 1:])[known].float().mean()


def test_a_guess_by_place_is_the_best_that_compares_no_words():
    """To move shares toward any one place costs; the loss is convex in them, so no others do better."""
    rows, _, by_place = copying()
    ids, known = rows(3_000, torch.Generator().manual_seed(0))
    shares = by_place(ids)
    torch.testing.assert_close(shares[known].sum(-1), torch.ones(int(known.sum())))
    share = shares.gather(-1, ids[:, 1:, None])[..., 0]  # of the right word
    for back in range(1, 33):
        moved, found = share.clone(), ids[:, : 33 - back] == ids[:, back:]
        moved[:, back - 1 :] = 0.9 * moved[:, back - 1 :] + 0.1 * found
        assert -share[known].log().mean() < -moved[known].log().mean()


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_small_models_copy_in_few_steps_with_two_layers_and_not_with_one(seed):
    rows, learn_to_copy, _ = copying()
    assert right_on(learn_to_copy(2, seed=seed)[0], rows) > 0.95
    assert all(right_on(learn_to_copy(1, steps=steps, seed=seed)[0], rows) < 0.4 for steps in (200, 400))


@pytest.mark.slow
def test_one_wider_layer_copies_part_of_the_words_in_many_steps():
    rows, learn_to_copy, _ = copying()
    learner, _ = learn_to_copy(1, steps=2_000, peak=3e-3, width=128, heads=4, d_ff=512)
    assert right_on(learner, rows) > 0.4


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("ffn", ["swiglu", "silu"])
def test_a_stream_is_said_to_overflow_where_it_does(ffn, seed):
    (stream_through,) = defined("04_architecture", "stream_through", lm=model, F=torch.nn.functional)
    sizes, _, _ = stream_through("none", ffn=ffn, seed=seed)
    torch.manual_seed(seed)
    fresh = model.TransformerLM(ModelConfig(1000, 64, 128, 24, 4, norm="none", ffn=ffn))
    ids = torch.randint(1000, (4, 65))[:, :-1]
    with torch.no_grad():
        stream = [fresh.token_embeddings(ids)]
        for block in fresh.layers:
            stream.append(block(stream[-1]))
    assert [math.isfinite(size) for size in sizes] == [bool(x.isfinite().all()) for x in stream]


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize(("lr", "ahead"), [(None, 1_000), (3e-2, 500)], ids=["base", "high rate"])
def test_which_of_a_planned_run_and_one_cut_off_is_ahead_hangs_on_the_rate(lr, ahead, seed, tmp_path):
    """Exercise 4 of chapter 6."""
    _, base = defined("06_training", "model", "base", TrainConfig=TrainConfig, ModelConfig=ModelConfig)
    base = base.replace(eval_every=500, checkpoint_every=0, seed=seed, **({} if lr is None else {"lr": lr}))
    at_500 = {}
    for planned in (500, 1_000):
        told = Trainer(base.replace(steps=planned), tmp_path / str(planned), progress=False).fit()
        at_500[planned] = dict(zip(*told.series("valid_loss"), strict=True))[500]
    assert min(at_500, key=at_500.get) == ahead
