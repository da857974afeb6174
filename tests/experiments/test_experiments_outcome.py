"""Divergence has one definition, and a run that a limit stopped too early to tell is called something else."""

import json
import math

import pytest

from cs336_lib import results
from cs336_lib.experiments import Outcome, final_loss, outcome
from cs336_lib.model import ModelConfig
from cs336_lib.training import RunRecord, TrainConfig

MODEL = ModelConfig(vocab_size=300, context_length=16, d_model=16, num_layers=1, num_heads=2, d_ff=32)
GUESSING = math.log(300)
CONFIG = TrainConfig(MODEL, data_bytes=1, steps=100, warmup_steps=10)


def record_of(folder, losses, status="finished", config=CONFIG, **facts):
    """A run with a line at each of its steps, step -> loss."""
    record = RunRecord.create(folder / "run", config, {})
    for step, loss in losses.items():
        record.append({"step": step, "tokens": 1, "seconds": 1.0, "train_loss": loss})
    if status == "finished":
        record.append({"step": 100, "tokens": 1, "seconds": 1.0, "valid_loss": losses[max(losses)]})
    record.set_status(status, max(losses), **facts)
    return record


@pytest.mark.parametrize(
    ("losses", "status", "facts", "expected"),
    [
        ({50: 5.0, 100: 4.0}, "finished", {}, "finished"),
        ({5: 1e5, 50: 5.0, 100: 4.0}, "finished", {}, "finished"),  # the size of losses in a warm-up is not judged
        ({5: math.nan, 50: 5.0, 100: 4.0}, "finished", {}, "diverged"),  # what is no number is
        ({15: 30.0, 80: 6.0, 90: 5.0}, "finished", {}, "finished"),  # it came back
        ({15: 6.5, 80: 6.4, 100: 6.3}, "finished", {}, "finished"),  # above guessing still, for it is slow
        ({15: 30.0, 80: 11.0, 90: 12.0, 100: 12.0}, "finished", {}, "finished"),  # below twice guessing near its end
        ({15: 30.0, 70: 5.0, 80: 12.0, 100: 12.0}, "finished", {}, "diverged"),  # far above guessing to the end
        ({20: 1e3, 80: 5.0, 100: 4.0}, "finished", {}, "diverged"),  # grown past any bound
        ({10: 1e3, 80: 5.0, 100: 4.0}, "finished", {}, "finished"),  # at the last step of the warm-up
        ({11: 1e3, 80: 5.0, 100: 4.0}, "finished", {}, "diverged"),  # at the first step after it
        ({15: 30.0, 75: 5.0, 80: 12.0, 100: 12.0}, "finished", {}, "diverged"),  # low before the last quarter alone
        ({15: 30.0, 76: 5.0, 80: 12.0, 100: 12.0}, "finished", {}, "finished"),  # low at the first step of it
        ({20: 100 * GUESSING - 0.01, 80: 5.0, 100: 4.0}, "finished", {}, "finished"),
        ({20: 100 * GUESSING + 0.01, 80: 5.0, 100: 4.0}, "finished", {}, "diverged"),
        ({80: 2 * GUESSING - 0.01, 100: 12.0}, "finished", {}, "finished"),
        ({80: 2 * GUESSING + 0.01, 100: 12.0}, "finished", {}, "diverged"),
        ({20: 18.0}, "diverged", {"thrown_out": True}, "thrown out"),
        ({20: math.nan}, "diverged", {"thrown_out": False}, "diverged"),
        ({20: 5.0}, "diverged", {"thrown_out": False}, "diverged"),  # a weight was no number
        ({20: 5.0}, "diverged", {}, "diverged"),
        ({5: 28.0}, "diverged", {}, "thrown out"),  # an old record: it says only that the loss was above the limit
        ({11: 5.0, 20: 28.0}, "diverged", {}, "thrown out"),
        ({11: 28.0, 20: 5.0}, "diverged", {}, "diverged"),  # an old record that ended below its limit: a weight
        ({20: 1e4}, "diverged", {}, "diverged"),
        ({20: 5.0}, "interrupted", {}, "unfinished"),
    ],
)
def test_the_outcome_follows_from_losses_and_status(tmp_path, losses, status, facts, expected):
    record = record_of(tmp_path, losses, status, **facts)
    assert outcome(record) == expected
    assert math.isnan(final_loss(record)) == (expected != "finished")


def test_an_end_within_the_warm_up_is_not_the_end_that_counts(tmp_path):
    """The last quarter begins at step 76, the warm-up ends at step 90: what was low before tells of no return."""
    record = record_of(tmp_path, {80: 5.0, 95: 12.0, 100: 12.0}, config=CONFIG.replace(warmup_steps=90))
    assert outcome(record) == "diverged"


def test_the_trainer_says_which_rule_stopped_a_run_and_does_not_judge_its_warm_up(tmp_path):
    from cs336_lib.training.stopping import DivergedError, check_loss

    check_loss(CONFIG, 10, 1e6, 0.1, 1.0)
    for step, loss, thrown_out, words in ((11, 1e6, True, "thrown out at step 11"), (1, math.nan, False, "diverged")):
        with pytest.raises(DivergedError, match=words) as raised:
            check_loss(CONFIG, step, loss, 0.1, 1.0)
        assert raised.value.thrown_out == thrown_out


def test_every_record_of_the_book_can_be_judged_and_none_that_says_it_finished_is_called_stopped():
    for path in results.folder().rglob("status.json"):
        says = json.loads(path.read_text(encoding="utf-8"))["status"]
        end = outcome(RunRecord(path.parent))
        assert end.is_over and (says == "diverged" or end in (Outcome.FINISHED, Outcome.DIVERGED)), path
