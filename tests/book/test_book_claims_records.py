"""What the chapters claim about committed records is what the records say, whatever is added to them."""

import math

from cs336_lib import results
from cs336_lib.bpe import Tokenizer
from cs336_lib.data import tales
from cs336_lib.experiments import SUITES, compare, load_suite, scale_spread, sides
from cs336_lib.experiments.catalogue import training_runs
from cs336_lib.training import RunRecord, TrainConfig

EXPERIMENTS = results.folder() / "experiments"


def found_in(name, scale="cpu"):
    """Return the sides of a suite's runs on record, without those whose limit was lifted."""
    runs = load_suite(SUITES[name], scale, EXPERIMENTS)
    return sides([pair for pair in runs if "limit" not in pair[0].variation])


def losses(name, field="valid_loss"):
    """Return variation -> last loss of seed 0 of a suite at the scale cpu."""
    return {run.variation: record.last(field) for run, record in load_suite(SUITES[name], "cpu", EXPERIMENTS)}


def test_the_longest_token_of_the_web_sample_is_sixty_four_dashes():
    tokens = results.read("tokenizers/owt-32k/record.json")["longest_tokens"]
    assert tokens[0] == "-" * 64
    rows = [len(token) for token in tokens if set(token) == {"-"}]
    assert rows and all(size & (size - 1) == 0 for size in rows)


def test_the_vocabularies_share_most_of_the_smaller_one():
    shared = results.read("tokenizers/comparison.json")["vocabularies"]
    small, large = (results.read(f"tokenizers/{n}/record.json")["vocab_size"] for n in ("tinystories-10k", "owt-32k"))
    assert shared["both"] + shared["only_tinystories"] == small
    assert shared["both"] + shared["only_owt"] == large
    assert shared["both"] > small / 2


def test_each_tokenizer_compresses_its_own_text_best_and_the_small_one_loses_a_quarter_on_web_text():
    found = results.read("tokenizers/comparison.json")["bytes_per_token"]
    whole = {(name, text): group["whole"] for name, groups in found.items() for text, group in groups.items()}
    assert whole["tinystories-10k", "TinyStories"] > whole["owt-32k", "TinyStories"]
    lost = 1 - whole["tinystories-10k", "OpenWebText"] / whole["owt-32k", "OpenWebText"]
    assert 0.2 < lost < 0.3


def test_the_reference_compiled_is_about_as_fast_as_torch_nn_compiled():
    found = results.read("benchmarks/model.json")["training_step"]
    assert 0.8 < found["reference, compiled"]["ratio"] < 1.25
    assert 0.8 < found["fast, compiled"]["ratio"] < 1.25


def test_no_recorded_run_on_tales_is_below_the_entropy_of_its_text():
    floors = {}
    runs = [run for run in training_runs() if run.config.data == "tales" and run.valid_loss is not None]
    for run in runs:
        folder = RunRecord(results.folder() / run.path).tokenizer_folder
        key = (folder / "merges.txt").read_bytes()
        if key not in floors:
            floors[key] = tales.entropy(Tokenizer.from_folder(folder), sampled_stories=200).nats_per_token
        assert run.valid_loss > floors[key], run.path
    assert runs


def test_at_the_middle_scale_the_loss_against_the_rate_is_a_valley_too():
    means = found_in("lr-sweep")["AdamW"].means
    best = min(means, key=means.get)
    left = [loss for rate, loss in means.items() if rate <= best]
    right = [loss for rate, loss in means.items() if rate >= best]
    assert left == sorted(left, reverse=True) and right == sorted(right)
    assert left[0] > means[best] + 1 and means[0.5] > means[best] + 1
    assert 10 * best <= 0.5 and means[5 * best] < means[best] + 1, "the edge is a factor of ten or more away"


def test_without_norms_the_middle_scale_diverges_at_the_best_rate_of_pre_norm():
    found = found_in("layer-norm")
    best = found["pre-norm"].best
    assert found["pre-norm"].is_tuned
    bare = found["no norm"].losses
    assert len(bare[best]) == 2 and all(math.isnan(loss) for loss in bare[best].values())
    assert all(math.isnan(loss) for rate, seeds in bare.items() if rate >= best for loss in seeds.values())
    assert found["no norm"].loss < found["pre-norm"].loss + 0.1, "and at a lower one it does about as well"


def test_with_more_steps_post_norm_is_nearly_level():
    few, many = found_in("post-norm", "quick"), found_in("post-norm")
    gaps = [found["post-norm"].loss - found["pre-norm"].loss for found in (few, many)]
    assert gaps[0] > 0.1 > gaps[1] > -0.1


def test_positions_are_worth_more_with_more_steps_whatever_the_rate():
    few, many = found_in("nope", "quick"), found_in("nope")
    assert few["NoPE"].loss - few["RoPE"].loss < 0.3
    assert len(many["NoPE"].losses) >= 2
    assert all(loss - many["RoPE"].loss > 0.5 for loss in many["NoPE"].means.values())


def test_the_order_of_three_vocabularies_turns_round_with_the_unit():
    nats, bits = losses("main"), losses("main", "valid_bits_per_byte")
    order = [f"vocabulary {size}" for size in (300, 512, 1024)]
    assert sorted(order, key=nats.get) == order
    assert sorted(order, key=bits.get) == order[::-1]


def test_web_text_comes_in_shorter_tokens_and_nats_per_token_hide_a_part_of_its_gap():
    stories, web = (RunRecord(results.folder() / f"{name}-sample-cpu") for name in ("tinystories", "owt"))
    assert stories.config.model == web.config.model
    data = [record.environment["data"] for record in (stories, web)]
    assert data[0]["train_bytes"] / data[0]["train_tokens"] > data[1]["train_bytes"] / data[1]["train_tokens"]
    ratios = [web.last(name) / stories.last(name) for name in ("valid_loss", "valid_bits_per_byte")]
    assert 1.5 < ratios[0] < ratios[1]


def test_muon_is_ahead_of_tuned_adamw_at_the_middle_scale():
    found = found_in("leaderboard")
    plain = found["AdamW, cosine"]
    assert plain.is_tuned and len(plain.at_best) == 2
    spread = scale_spread(SUITES.values(), "cpu", EXPERIMENTS)
    for side in ("+ Muon", "Muon, QK-norm, WSD"):
        difference = compare(found, side, "AdamW, cosine", spread)
        assert difference.is_shown and difference.value > 0.1, difference.sentence()
    added = compare(found, "Muon, QK-norm, WSD", "+ Muon", spread)
    assert abs(added.value) < compare(found, "+ Muon", "AdamW, cosine", spread).value / 3, added.sentence()


def test_scaling_a_tied_table_takes_back_its_loss_at_the_middle_scale():
    found = found_in("leaderboard")
    plain, scaled, bare = (
        found[name].loss for name in ("AdamW, cosine", "+ tied embeddings", "tied, rows as they are")
    )
    assert bare - plain > 0.1
    assert (bare - scaled) / (bare - plain) > 0.7


def test_at_the_middle_scale_large_batches_make_too_few_steps_whatever_their_rate():
    found = found_in("batch-size")
    assert all(side.is_tuned for side in found.values())
    small, medium, large = (found[f"batch {size}"].loss for size in (4, 16, 64))
    assert small < medium - 0.3 and medium < large - 0.3
    assert abs(found["batch 1"].loss - small) < 0.1


def test_text_is_written_faster_than_by_transformers():
    cases = results.read("benchmarks/generation.json")["cases"]
    ratios = {name: case["ratio"] for name, case in cases.items()}
    assert len(ratios) >= 4 and min(min(case["ratios"]) for case in cases.values()) > 1, cases
    assert max(ratios, key=ratios.get) == "tales-1m, 1 rows", ratios


def test_counting_takes_more_than_half_of_a_training_on_ten_gigabytes():
    runs = results.read("benchmarks/bpe_scale.json")["scale"].values()
    assert len(runs) == 2
    for run in runs:
        assert run["bytes"] > 9e9 and run["seconds"]["count"] / run["seconds"]["total"] > 0.5


def test_in_words_without_an_end_gigatoken_is_level_or_ahead_and_fastokens_far_ahead_with_spaces_alone():
    for name in ("bpe_encode", "bpe_encode_peers"):
        found = results.read(f"benchmarks/{name}.json")["seconds_for_1_MB"]
        for peer in found.keys() - {"ours"}:
            behind = {what: took / found["ours"][what] for what, took in found[peer].items()}
            if peer == "gigatoken":
                assert min(behind.values()) < 0.9 and max(behind.values()) < 1.1, behind
            else:
                assert [what for what in behind if behind[what] < 0.85] == ["space"] * (peer == "fastokens"), behind


def test_the_gates_lead_is_gone_with_more_steps():
    found = found_in("swiglu")
    gate = compare(found, "SiLU", "SwiGLU", scale_spread(SUITES.values(), "cpu", EXPERIMENTS))
    assert gate.value > 0 or not gate.is_shown, str(gate)
    assert "not tuned" not in str(gate), "each side at its own best rate"


def test_on_the_h100_large_batches_read_more_and_the_cache_pays_for_many_rows_only():
    """What chapters 7 and 8 say of a GPU."""
    gpu = results.read("benchmarks/gpu_h100-80gb-hbm3.json")["sections"]
    whole = gpu["full"]["tinystories-17m-tales-gpu"]["status"]["tokens_per_second"]
    assert TrainConfig.preset("tinystories-17m").batch_size == 256
    assert gpu["small"] and all(run["tokens_per_second"] < whole for run in gpu["small"].values())
    rates = gpu["generation"]
    assert rates["1 rows, cache"] < rates["1 rows, no cache"] and rates["64 rows, cache"] > rates["64 rows, no cache"]
