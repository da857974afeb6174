"""The instruments' pure halves say what the library says: vectors written by Python, run in node.

Each side alone can be wrong only if this fails: nothing is stored between the two.
"""

import json
import random
import shutil
import subprocess

import instrument_vectors as vectors
import pytest

from cs336_lib.figures.instruments.bundle import WEB
from cs336_lib.figures.instruments.data import PAYLOADS
from cs336_lib.model.config import default_d_ff

HERE = WEB.parents[3] / "tests/instruments"
NODE = shutil.which("node")
needs_node = pytest.mark.skipif(NODE is None, reason="node is not installed: the instruments' modules can't be run")
DATA = ("classes", "tales", "tinystories-10k", "owt-32k", "gpt2", "runs", "model", "accounting")


@pytest.fixture(scope="module")
def data_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("instruments") / "data.json"
    path.write_text(json.dumps({name: PAYLOADS[name]() for name in DATA}))
    return path


def run_node(tmp_path, data_file, **given):
    path = tmp_path / "vectors.json"
    path.write_text(json.dumps(given))
    done = subprocess.run(
        [NODE, HERE / "vectors.mjs", WEB, path, data_file], capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def agreed(report, least):
    """Every comparison holds, and there were as many as promised."""
    wrong = {name: entry for name, entry in report.items() if entry["wrong"]}
    assert not wrong, json.dumps(wrong, indent=1)[:4000]
    assert all(report[name]["checked"] >= count for name, count in least.items()), report
    return True


@needs_node
@pytest.mark.parametrize("count", [2_000, pytest.param(10_000, marks=pytest.mark.slow)])
def test_text_ids_and_verdicts_of_thousands_of_strings_and_as_many_byte_strings(tmp_path, data_file, count):
    report = run_node(tmp_path, data_file, text=vectors.text_vectors(count))
    least = {f"ids of {what}, {name}": count for what in ("strings", "bytes") for name in vectors.TOKENIZERS}
    assert agreed(report, {**least, "verdict on bytes": count, "replacement": count, "pre-tokens of bytes": count})


@needs_node
def test_merges_of_small_corpora_right_and_by_the_old_split(tmp_path, data_file):
    given = vectors.training_vectors(tmp_path)
    assert sum(each["merges"][:6] != each["old_split"] for each in given) > 10, "the trap must be among them"
    assert agreed(run_node(tmp_path, data_file, training=given), {"merges": 200, "pair counts kept right": 200})


@needs_node
def test_accounts_to_the_unit(tmp_path, data_file):
    rng = random.Random(1)
    values = [rng.choice((0.125, 0.375, 2.5, 1e-9, 12345.675)) * rng.choice((1, 3, 1e6)) for _ in range(50)]
    values += [10 ** rng.uniform(-8, 15) for _ in range(2_000)]
    report = run_node(
        tmp_path,
        data_file,
        accounting=vectors.accounting_vectors(),
        widths=[[width, default_d_ff(width), default_d_ff(width, "silu")] for width in range(1, 3_000, 7)],
        decimals=[[value, digits, f"{value:.{digits}f}"] for value in values for digits in (0, 2, 3)],
    )
    assert agreed(report, {"parameters": 400, "seconds": 400, "impossible configurations": 5})


@needs_node
def test_a_cluster_sends_waits_and_costs_what_the_library_says(tmp_path, data_file):
    report = run_node(tmp_path, data_file, cluster=vectors.cluster_vectors())
    names = ("bytes sent in a step", "a step on a cluster", "the bill of a cluster", "FLOPs of a token")
    assert agreed(report, dict.fromkeys(names, 300))


@needs_node
def test_schedules_to_the_last_bit(tmp_path, data_file, monkeypatch):
    report = run_node(tmp_path, data_file, schedule=vectors.schedule_vectors(monkeypatch))
    assert agreed(report, {"cosine, to the last bit": 4_000, "WSD schedule, to the last bit": 4_000, "the toy": 8})
    # The C library rounds its cosine wrongly now and then; the library follows it, the instrument does not.
    same = report["cosine schedule, equal to this platform's"]
    assert same["equal"] >= 0.99 * same["checked"]


@needs_node
def test_sampling_distributions_draws_and_rotations(tmp_path, data_file):
    report = run_node(tmp_path, data_file, sampling=vectors.sampling_vectors(), rope=vectors.rope_vectors())
    assert agreed(report, {"sampling distributions, to 1e-12": 300, "draws": 300, "RoPE": 200})


@needs_node
def test_logits_of_the_stored_model_are_the_librarys(tmp_path, data_file):
    assert agreed(run_node(tmp_path, data_file, model=vectors.model_vectors()), {"logits of the model": 15})


@needs_node
def test_lowest_losses_are_those_of_the_records(tmp_path, data_file):
    given = vectors.run_vectors()
    assert agreed(run_node(tmp_path, data_file, runs=given), {"lowest losses": len(given)})
    assert sum(each["lowest"] is not None for each in given) > 50


@needs_node
def test_the_comparison_notices_a_change_of_either_side(tmp_path, data_file):
    given = vectors.training_vectors(tmp_path, count=3)
    given[0]["merges"].reverse()
    report = run_node(
        tmp_path,
        data_file,
        training=given,
        rope=[{"x": [1.0, 0.0], "position": 1, "theta": 10.0, "turned": [0.5, 0.5]}],
    )
    assert report["merges"]["wrong"] and report["RoPE"]["wrong"]


@needs_node
def test_numbers_are_rounded_as_decimal_arithmetic_rounds_them(tmp_path, data_file):
    typed = [
        ["1,000", 1000],
        ["-1,234,567.5", -1234567.5],
        ["1 000", 1000],
        ["1_000", 1000],
        ["1e5", 1e5],
        [" .5 ", 0.5],
    ]
    report = run_node(tmp_path, data_file, numbers=vectors.number_vectors(), typed=typed)
    least = dict.fromkeys(("numbers in short", "numbers to six digits"), 6_000)
    assert agreed(report, {**least, "numbers typed in": len(typed)})
    # JSON has no NaN: what JavaScript writes as null is none.
    none = [[text, None] for text in ("0,5", "1,00", "1,000e", "", "x", "--1", "1e", "0x10", "1,0000")]
    assert agreed(run_node(tmp_path, data_file, typed=none), {"numbers typed in": len(none)})


@needs_node
def test_a_cut_goes_through_no_character(tmp_path, data_file):
    report = run_node(tmp_path, data_file, cuts=vectors.cut_vectors())
    names = (
        "bytes keep their kind where they are cut",
        "no more than a character is left out",
        "no pair is cut in two",
    )
    assert agreed(report, dict.fromkeys(names, 2_000))


@needs_node
def test_each_factor_of_the_toy_has_its_own_verdict(tmp_path, data_file):
    """The factor of the first step is that of the library's own SGD, and the words are true of it."""
    words = {
        0: "stays where it is",
        1e-9: "decays",
        10: "decays",
        50: "is 0 after one step",
        90: "oscillates and decays",
        100: "swings without loss at first",
        1000: "leaves at first",
    }
    given = [{"lr": lr, "verdict": words[lr], "factor": 1 - 2 * lr / 100} for lr in words]
    assert agreed(run_node(tmp_path, data_file, verdicts=given), {"verdicts on the toy": len(words)})
    for lr in words:
        first, second = vectors.toy(lr, steps=2)
        assert abs(second / first - (1 - 2 * lr / 100)) < 1e-9


@needs_node
def test_runs_are_told_apart_as_in_the_figures_of_the_library(tmp_path, data_file):
    suites = sorted({run["suite"] for run in PAYLOADS["runs"]()["runs"]})
    report = run_node(tmp_path, data_file, looks=vectors.look_vectors(), suites=suites)
    assert agreed(report, {"looks of runs": 1, "no two runs of a suite look the same": len(suites)})
