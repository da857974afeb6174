"""What the chapters claim about committed records is what the records say, whatever is added to them."""

import math
import statistics

import pytest

from cs336_lib import results
from cs336_lib.bpe import Tokenizer
from cs336_lib.data import tales
from cs336_lib.experiments import SUITES, load_suite
from cs336_lib.experiments.catalogue import training_runs
from cs336_lib.training import RunRecord

EXPERIMENTS = results.folder() / "experiments"


def losses(name, field="valid_loss"):
    """Return variation -> seed -> last loss of a suite at the scale cpu; nan where the run diverged."""
    found = {}
    for run, record in load_suite(SUITES[name], "cpu", EXPERIMENTS):
        loss = record.last(field) if record.status["status"] == "finished" else math.nan
        found.setdefault(run.variation, {})[run.seed] = loss
    return found


def gaps(found, other, base):
    """Return the last loss of one variation minus that of another, for each seed that both have."""
    shared = found[other].keys() & found[base].keys()
    assert shared, f"no seed has a record of both {other} and {base}"
    return [found[other][seed] - found[base][seed] for seed in sorted(shared)]


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
    by_rate = {
        run.config.lr: record.last("valid_loss") if record.status["status"] == "finished" else math.nan
        for run, record in load_suite(SUITES["lr-sweep"], "cpu", EXPERIMENTS)
    }
    finite = {rate: loss for rate, loss in sorted(by_rate.items()) if not math.isnan(loss)}
    best = min(finite, key=finite.get)
    left = [loss for rate, loss in finite.items() if rate <= best]
    right = [loss for rate, loss in finite.items() if rate >= best]
    assert left == sorted(left, reverse=True) and right == sorted(right)
    assert left[0] > finite[best] + 1 and right[-1] > finite[best] + 1
    diverged = [rate for rate in by_rate if rate not in finite]
    assert diverged and min(diverged) > best


def test_with_more_steps_and_a_lower_rate_neither_post_norm_nor_a_model_without_norms_fails():
    for name, other in (("layer-norm", "no norm"), ("post-norm", "post-norm")):
        found = losses(name)
        assert not any(math.isnan(loss) for seeds in found.values() for loss in seeds.values())
        assert all(abs(gap) < 0.2 for gap in gaps(found, other, "pre-norm"))


def test_positions_are_worth_more_with_more_steps():
    assert min(gaps(losses("nope"), "NoPE", "RoPE")) > 0.5


def test_the_gate_wins_for_every_seed_at_the_middle_scale_too():
    assert min(gaps(losses("swiglu"), "SiLU", "SwiGLU")) > 0


def test_the_order_of_three_vocabularies_turns_round_with_the_unit():
    nats, bits = losses("main"), losses("main", "valid_bits_per_byte")
    order = [f"vocabulary {size}" for size in (300, 512, 1024)]
    assert sorted(order, key=lambda name: statistics.mean(nats[name].values())) == order
    assert sorted(order, key=lambda name: statistics.mean(bits[name].values())) == order[::-1]


@pytest.mark.parametrize(("name", "sign"), [("+ Muon", -1), ("+ tied embeddings", 1), ("all but tied", -1)])
def test_what_wins_and_loses_at_few_steps_does_so_at_the_middle_scale(name, sign):
    found = losses("leaderboard")
    assert all(sign * gap > 0 for gap in gaps(found, name, "AdamW, cosine"))
    if name == "all but tied":
        assert all(gap < 0 for gap in gaps(found, name, "+ Muon"))


def test_at_the_middle_scale_a_batch_of_one_wants_a_lower_rate_and_large_ones_make_too_few_steps():
    by_size = {}
    for run, record in load_suite(SUITES["batch-size"], "cpu", EXPERIMENTS):
        loss = record.last("valid_loss") if record.status["status"] == "finished" else math.inf
        by_size.setdefault(run.config.batch_size, {})[run.config.lr] = loss
    best = {size: min(found, key=found.get) for size, found in by_size.items()}
    for size, found in by_size.items():
        assert min(found) < best[size] < max(found), f"the best rate of {size} has a worse one on either side"
    assert best[1] < min(best[size] for size in by_size if size > 1)
    assert by_size[1][best[1]] < by_size[4][best[4]] < by_size[16][best[16]] - 0.3
    assert by_size[16][best[16]] < by_size[64][best[64]] - 0.3
