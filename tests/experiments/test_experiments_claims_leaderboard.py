"""Two of the leaderboard's changes lose at the quick scale when they stand alone, held by the runs themselves."""

import pytest

from cs336_lib.experiments import SUITES, Scale, Suite, run_suite

ALONE = ("+ QK-norm", "+ WSD")


@pytest.fixture(scope="module")
def last(tmp_path_factory):
    """Return variation -> last validation loss of seed 0."""
    suite, size = SUITES["leaderboard"], SUITES["leaderboard"].scales["quick"]
    asked = tuple(v for v in size.variations if v.name in ("AdamW, cosine", *ALONE))
    small = Suite(suite.name, suite.problem, suite.question, asked, {"quick": Scale(size.base, variations=asked)})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        runs = run_suite(small, "quick", tmp_path_factory.mktemp("runs"), progress=False)
    return {run.variation: record.last("valid_loss") for run, record in runs}


@pytest.mark.parametrize("name", ALONE)
def test_qk_norm_and_wsd_lose_alone_at_few_steps(last, name):
    assert last[name] > last["AdamW, cosine"]
