"""A comparison is fair: one thing changes, tokens are equal, schedules end with their run."""

from dataclasses import fields

import pytest

from cs336_lib import results
from cs336_lib.experiments import SUITES, Scale, Suite, Variation, load_suite
from cs336_lib.experiments.comparison import rate_of
from cs336_lib.experiments.suite import changed
from cs336_lib.model import ModelConfig
from cs336_lib.training import TrainConfig

BASE = TrainConfig(ModelConfig.preset("tales-1m"), data_bytes=1, batch_size=32, steps=100, warmup_steps=10)
EVERY = [(name, scale) for name, suite in SUITES.items() for scale in suite.scales]
OFFICIAL = {
    "learning_rate",
    "batch_size_experiment",
    "layer_norm_ablation",
    "pre_norm_ablation",
    "no_pos_emb",
    "swiglu_ablation",
    "main_experiment",
    "leaderboard",
}


def test_each_official_experiment_has_its_suite():
    assert {suite.problem for suite in SUITES.values()} == OFFICIAL
    assert all(name == suite.name for name, suite in SUITES.items())


@pytest.mark.parametrize(("name", "scale"), EVERY)
def test_every_run_of_a_suite_sees_equally_many_tokens_and_has_a_folder_of_its_own(name, scale):
    plan = SUITES[name].plan(scale)
    base = SUITES[name].scales[scale].base
    assert all(abs(run.config.tokens - base.tokens) < run.config.tokens / run.config.steps for run in plan)
    assert len({run.config.name for run in plan}) == len(plan)
    assert all(run.config.steps > run.config.warmup_steps + run.config.decay_steps for run in plan)


@pytest.mark.parametrize(("name", "scale"), EVERY)
def test_a_variation_changes_what_it_says_and_nothing_else(name, scale):
    suite, size = SUITES[name], SUITES[name].scales[scale]
    for variation in size.variations or suite.variations:
        run = next(run for run in suite.plan(scale) if run.variation == variation.name)
        base, config = size.base.to_dict(), run.config.to_dict()
        differs = {f"model.{k}" for k in base["model"] if base["model"][k] != config["model"][k]}
        differs |= {key for key in base if key not in ("model", "name", "seed") and base[key] != config[key]}
        follows = {"min_lr", "model.d_ff"} if "model.ffn" in variation.changes else {"min_lr"}
        if "batch_size" in variation.changes:
            follows |= {"steps", "warmup_steps", "log_every", "eval_every", "sample_every", "checkpoint_every"}
        assert differs <= set(variation.changes) | follows


@pytest.mark.parametrize(("name", "scale"), EVERY)
def test_every_schedule_falls_to_the_same_share_of_its_rate_and_decays_over_the_last_third_if_it_is_wsd(name, scale):
    size = SUITES[name].scales[scale]
    base, variations = size.base, size.variations or SUITES[name].variations
    longer = {variation.name for variation in variations if "warmup_steps" in variation.changes}
    for run in SUITES[name].plan(scale):
        config = run.config
        assert config.min_lr / config.lr == pytest.approx(base.min_lr / base.lr) == pytest.approx(0.01)
        assert config.decay_steps == (config.steps // 3 if config.schedule == "wsd" else 0)
        if run.variation not in longer:
            assert abs(config.warmup_steps - config.steps * base.warmup_steps / base.steps) < 1


def test_batches_at_full_scale_are_run_at_half_once_and_twice_the_rate_of_the_square_root_rule():
    base, grids = SUITES["batch-size"].scales["full"].base, {}
    for run in SUITES["batch-size"].plan("full"):
        grids.setdefault(run.config.batch_size, []).append(run.config.lr)
    for size, rates in grids.items():
        rule = base.lr * (size / base.batch_size) ** 0.5
        assert rates == pytest.approx([rule / 2, rule, 2 * rule], rel=0.05), size


@pytest.mark.parametrize(("name", "scale"), [(n, s) for n, s in EVERY if SUITES[n].compared])
def test_each_side_of_a_comparison_has_a_grid_of_rates_of_its_own(name, scale):
    grids = {}
    for run in SUITES[name].plan(scale):
        grids.setdefault(run.side, {}).setdefault(rate_of(run.config), set()).add(run.seed)
    compared = {side for pair in SUITES[name].compared for side in pair}
    quick_alone = {side for side in compared if "warm-up" in side} if scale != "quick" else set()
    assert compared - quick_alone <= set(grids) | {"batch 4"} and not quick_alone & set(grids)
    spare = {"SiLU, wider"} if scale != "full" else set()  # at the best rate of SiLU, beside it
    assert all(len(rates) >= 3 for side, rates in grids.items() if side not in spare)


def test_the_ablation_of_the_gate_keeps_the_number_of_parameters():
    from cs336_lib.accounting import parameter_count

    for scale in SUITES["swiglu"].scales:
        plan = {run.side: parameter_count(run.config.model) for run in SUITES["swiglu"].plan(scale)}
        assert plan["SwiGLU"].total == plan["SiLU"].total
        assert round(100 * (plan["SiLU, wider"]["ffn"] / plan["SwiGLU"]["ffn"] - 1), 1) in (1.6, 1.7), (
            "as 2,048 to 2,016"
        )
    assert {run.config.model.d_ff for run in SUITES["swiglu"].plan("full")} == {1_344, 2_016, 2_048}


def test_the_suite_of_an_entrys_size():
    from cs336_lib.accounting import parameter_count
    from cs336_lib.editions import edition

    suite = SUITES["leaderboard-124m"]
    base = suite.scales["full"].base
    assert set(suite.scales) == {"full"}
    assert (base.model.num_layers, base.model.d_model, base.batch_size) == (12, 768, 256)
    assert base.model.context_length == edition("2026").leaderboard_context
    assert base.model.vocab_size == 32_000 and base.model.tie_embeddings
    assert round(parameter_count(base.model).total / 1e6) == 124
    assert base.tokens < 2_700_000_000, "less than one pass over OpenWebText"
    tied = {run.variation: run.config.model.tie_embeddings for run in suite.plan("full")}
    assert [name for name, is_tied in tied.items() if not is_tied] == ["untied"]


COUNTED = sorted(field.name for field in fields(TrainConfig) if field.name.endswith(("steps", "_every")))
"""The fields of a config that count steps."""


@pytest.mark.parametrize("batch_size", [1, 8, 16, 64, 160])
def test_another_batch_size_keeps_tokens_and_every_share_of_the_run(batch_size):
    counts = {name: 20 * place for place, name in enumerate(COUNTED, start=1)} | {"steps": 400}
    base = BASE.replace(**counts)
    config = changed(base, {"batch_size": batch_size})
    assert {name: getattr(config, name) for name in COUNTED} == {
        name: count * 32 // batch_size for name, count in counts.items()
    }
    assert config.tokens == base.tokens
    assert config.replace(batch_size=32, **counts) == base


def test_what_a_run_does_only_at_its_end_stays_there_with_another_batch_size_and_what_is_given_stays():
    given = {"steps": 400, "warmup_steps": 3, "decay_steps": 7, "log_every": 9, "eval_every": 11}
    config = changed(BASE.replace(decay_steps=20), {"batch_size": 8, **given})
    assert {name: getattr(config, name) for name in given} == given
    at_end = ("decay_steps", "eval_every", "sample_every", "checkpoint_every")
    assert [getattr(changed(BASE, {"batch_size": 8}), name) for name in at_end] == [0] * 4


def test_a_variation_with_fewer_tokens_is_refused():
    unfair = Suite("x", "p", "q", (Variation("short", {"steps": 50}),), {"quick": Scale(BASE)})
    with pytest.raises(ValueError, match=r"'short' of 'x' trains on 409,600 tokens, the base on 819,200"):
        unfair.plan("quick")


def test_an_unknown_scale_is_named_with_those_there_are():
    with pytest.raises(ValueError, match=r"no scale 'huge'; it has quick, cpu, full"):
        SUITES["nope"].plan("huge")


def test_an_unknown_field_is_named():
    with pytest.raises(ValueError, match="norms"):
        changed(BASE, {"model.norms": "post"})


@pytest.mark.parametrize(("name", "scale"), EVERY)
def test_another_text_changes_the_text_and_nothing_else(name, scale):
    if (name, scale) == ("main", "full"):
        return
    plain, other = SUITES[name].plan(scale), SUITES[name].plan(scale, "letters.txt")
    assert [run.config for run in other] == [run.config.replace(data="letters.txt") for run in plain]


@pytest.mark.parametrize("changes", [{"data": "tales"}, {"valid_data": "x.txt"}, {"lr": 0.1, "valid_data": None}])
def test_a_variation_of_either_text_is_a_comparison_of_texts(changes):
    suite = Suite("x", "p", "q", (Variation("plain"), Variation("other", changes)), {"quick": Scale(BASE)})
    with pytest.raises(ValueError, match=r"suite 'x' compares texts at scale 'quick': it takes no other text"):
        suite.plan("quick", "letters.txt")


def test_runs_are_made_seed_by_seed_and_each_seed_in_the_order_of_the_variations():
    variations = (Variation("a", {}, seeds=(3, 1)), Variation("b"), Variation("c", {"lr": 0.1}, "side", (1, 9)))
    plan = Suite("x", "p", "q", variations, {"quick": Scale(BASE, (0, 3))}).plan("quick")
    assert [(run.seed, run.variation) for run in plan] == [
        *((3, "a"), (3, "b"), (1, "a"), (1, "c")),
        *((0, "b"), (9, "c")),
    ]
    assert [(run.config.seed, run.config.name) for run in plan] == [
        (run.seed, f"{run.variation}-seed{run.seed}") for run in plan
    ]
    assert [run.side for run in plan] == ["side" if run.variation == "c" else "" for run in plan]


def test_a_suite_that_compares_texts_takes_no_other():
    with pytest.raises(ValueError, match=r"suite 'main' compares texts at scale 'full': it takes no other text"):
        SUITES["main"].plan("full", "letters.txt")


@pytest.mark.parametrize(
    ("scale", "data", "folder"),
    [
        ("cpu", None, "nope-cpu"),
        ("cpu", "tales", "nope-cpu"),
        ("full", "tinystories", "nope-full"),
        ("full", "tales", "nope-full-tales"),
        ("cpu", "tinystories", "nope-cpu-tinystories"),
        ("cpu", "texts/letters.txt", "nope-cpu-letters"),
        ("cpu", "texts/my letters/", "nope-cpu-my-letters"),
        ("cpu", "/", "nope-cpu-text"),
    ],
)
def test_the_folder_of_a_suite_names_a_text_that_is_not_its_own(scale, data, folder):
    assert SUITES["nope"].folder(scale, data) == folder


def test_the_text_in_the_present_folder_has_the_name_of_the_folder(tmp_path, monkeypatch):
    (tmp_path / "letters" / "old").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "letters" / "old")
    assert SUITES["nope"].folder("cpu", ".") == "nope-cpu-old"
    assert SUITES["nope"].folder("cpu", "..") == "nope-cpu-letters"


def test_batch_sizes_at_full_scale_include_those_that_the_assignment_names():
    sizes = {run.config.batch_size for run in SUITES["batch-size"].plan("full")}
    assert {1, 64, 128} < sizes


def recorded():
    """Folder, suite, scale and text of each suite that the book keeps records of."""
    for folder in sorted((results.folder() / "experiments").iterdir()):
        config = TrainConfig.from_json(next(folder.glob("*/config.json")).read_text(encoding="utf-8"))
        for name, scale in EVERY:
            if folder.name.startswith(f"{name}-{scale}"):
                own = config.data == SUITES[name].scales[scale].base.data
                yield folder, SUITES[name], scale, None if own else config.data


@pytest.mark.parametrize(
    ("folder", "suite", "scale", "data"), [pytest.param(*found, id=found[0].name) for found in recorded()]
)
def test_the_records_that_the_book_keeps_are_of_the_runs_that_its_suites_ask_for(folder, suite, scale, data):
    found = load_suite(suite, scale, folder.parent, data=data)
    assert {record.folder for _, record in found} == {path.parent for path in folder.glob("*/config.json")}
    assert [record.config for _, record in found] == [run.config for run, _ in found]
    assert {record.status["status"] for _, record in found} <= {"finished", "diverged"}
