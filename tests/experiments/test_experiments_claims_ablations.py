"""What the ablations show at the quick scale, held by the runs themselves."""

import math

import pytest

from cs336_lib.experiments import SUITES, Scale, Suite, run_suite

VOCABULARY = 512


@pytest.fixture(scope="module")
def last(tmp_path_factory):
    """Return (suite, variation) -> last validation loss of seed 0, nan where the run diverged."""
    folder, found = tmp_path_factory.mktemp("runs"), {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        for name, skipped in (("layer-norm", ("pre-norm, lr 0.003",)), ("post-norm", ()), ("swiglu", ())):
            suite, size = SUITES[name], SUITES[name].scales["quick"]
            asked = tuple(v for v in size.variations if "lr" not in v.name or name == "layer-norm")
            asked = tuple(v for v in asked if v.name not in skipped)
            first = Scale(size.base, seeds=(0,), variations=asked)
            small = Suite(name, suite.problem, suite.question, suite.variations, {"quick": first})
            for run, record in run_suite(small, "quick", folder, progress=False):
                loss = record.last("valid_loss") if record.status["status"] == "finished" else None
                found[name, run.variation] = math.nan if loss is None else loss
    return found


def test_without_norms_training_diverges_at_the_rate_that_is_best_with_them(last):
    assert math.isnan(last["layer-norm", "no norm"])
    assert last["layer-norm", "pre-norm"] < 3.5


def test_without_norms_training_works_at_a_tenth_of_the_rate(last):
    assert last["layer-norm", "pre-norm"] < last["layer-norm", "no norm, lr 0.003"] < 0.7 * math.log(VOCABULARY)


def test_post_norm_learns_far_less_than_pre_norm_at_the_same_rate(last):
    assert last["post-norm", "post-norm"] > last["post-norm", "pre-norm"] + 0.5


def test_the_gate_helps_at_equally_many_parameters(last):
    assert last["swiglu", "SwiGLU"] < last["swiglu", "SiLU"] - 0.03


def test_suites_that_ask_about_the_same_model_share_its_run(last):
    assert last["layer-norm", "pre-norm"] == last["post-norm", "pre-norm"] == last["swiglu", "SwiGLU"]
