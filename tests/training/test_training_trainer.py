"""The loop: it learns, it repeats, it survives, it says what it did."""

import math
import shutil
import signal
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from forked_ranks import start
from safetensors.torch import load_file
from training_setup import CONFIG, corpus, write_sample
from training_worker import work

from cs336_lib.training import Interrupted, RunRecord, Trainer
from cs336_lib.training.checkpoints.run import RunCheckpoints
from cs336_lib.training.evaluation import Evaluation
from cs336_lib.training.records import TIMINGS


def fit(folder, config=CONFIG, **options):
    return Trainer(config, folder, corpus(), write_sample=write_sample, progress=False, **options).fit()


def timeless(record):
    return [{name: value for name, value in line.items() if name not in TIMINGS} for line in record.metrics()]


def assert_same_run(a, b):
    assert timeless(a) == timeless(b)
    assert a.samples() == b.samples()
    steps = [RunCheckpoints(run.folder / "checkpoints").steps() for run in (a, b)]
    assert steps[0] == steps[1]
    for name in ("model", "optimizer"):
        path = Path("checkpoints") / f"step-{steps[0][-1]:08d}" / f"{name}.safetensors"
        ours, theirs = load_file(a.folder / path), load_file(b.folder / path)
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[key], theirs[key]) for key in ours)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that nothing disturbed."""
    return fit(tmp_path_factory.mktemp("whole") / "run")


def test_it_learns_and_tells(whole):
    steps, losses = whole.series("train_loss")
    assert steps == [4, 8, 12, 16, 20, 24, 28, 30]
    assert losses[0] > 4.5 and losses[-1] < 3.5
    assert whole.series("valid_loss")[0] == [10, 20, 30]
    assert whole.status["status"] == "finished"
    assert [step for step, _ in whole.samples()] == [15, 30]
    line = whole.metrics()[-2]
    assert line["tokens"] == 30 * 4 * 16 and line["lr"] == pytest.approx(1e-3)
    about = whole.environment
    assert about["data"] == {"name": "cats"} and about["precision"].startswith("fp32")
    assert about["evaluation"] == "the whole validation set" and about["parameters"] > 0


def test_the_record_holds_what_makes_text(whole):
    assert (whole.folder / "tokenizer" / "vocab.json").is_file()
    checkpoints = RunCheckpoints(whole.folder / "checkpoints")
    assert checkpoints.steps() == [28, 30] and len(checkpoints.steps("best")) == 1


def test_rates_leave_the_warm_up_out(whole):
    rates = [line["step"] for line in whole.metrics() if "tokens_per_second" in line]
    assert rates == [12, 16, 20, 24, 28, 30]
    assert not any("mfu" in line for line in whole.metrics()), "a CPU's peak is not known"


def test_mfu_is_measured_against_a_peak_that_is_stated(tmp_path):
    record = fit(tmp_path / "run", CONFIG.replace(peak_flops=1e12))
    assert record.environment["mfu_peak"] == "1 TFLOP/s, as given"
    assert 0 < record.last("mfu") < 1


def test_the_same_seed_gives_the_same_run_and_another_one_another(whole, tmp_path):
    assert_same_run(fit(tmp_path / "same"), whole)
    assert timeless(fit(tmp_path / "other", CONFIG.replace(seed=1))) != timeless(whole)


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """Make a copy of a run that was killed after a step; each is trained once."""
    home, made = tmp_path_factory.mktemp("killed"), {}

    def copy(step, folder):
        if step not in made:
            made[step] = start(work, home / str(step), step)
            made[step].join(200)
            assert made[step].exitcode == -signal.SIGKILL
        return shutil.copytree(home / str(step), folder)

    return copy


@pytest.mark.parametrize("killed_after", [pytest.param(5, marks=pytest.mark.slow), 26])
def test_killed_and_resumed_is_the_same_run_to_the_bit(whole, killed, tmp_path, killed_after):
    """Step 26 lies between a checkpoint and a line of metrics, 5 before the first checkpoint."""
    record = RunRecord(killed(killed_after, tmp_path / "run"))
    assert record.status["status"] == "interrupted"
    Trainer.resume(record.folder, corpus(), write_sample=write_sample, progress=False).fit()
    assert record.status["status"] == "finished"
    assert [resumed["step"] for resumed in record.environment["resumed"]] == [killed_after // 7 * 7]
    assert_same_run(record, whole)


def test_a_resumed_run_knows_its_best_checkpoint_and_its_time(killed, tmp_path):
    """Later ones are worse here, and the time of a session is not that of the run."""
    checkpoints = RunCheckpoints(killed(26, tmp_path / "run") / "checkpoints")
    trainer = Trainer.resume(tmp_path / "run", corpus(), progress=False)
    best, (_, before) = checkpoints.load("best"), trainer.record.series("seconds")
    worse = best.extra["valid_loss"] + 0.01
    trainer.evaluate = lambda: Evaluation(worse, tokens=16, windows=1, whole=False)
    record = trainer.fit()
    assert record.series("valid_loss")[1][-1] == worse and checkpoints.steps("best") == [best.step]
    seconds = record.series("seconds")[1]
    assert seconds == sorted(seconds) and seconds[: len(before)] == before and seconds[-1] > before[-1]


def test_a_damaged_checkpoint_costs_only_its_steps(whole, killed, tmp_path):
    checkpoints = RunCheckpoints(killed(26, tmp_path / "run") / "checkpoints")
    assert checkpoints.steps() == [14, 21]
    path = checkpoints.path(21) / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.warns(UserWarning, match="skipping a checkpoint"):
        trainer = Trainer.resume(tmp_path / "run", corpus(), write_sample=write_sample, progress=False)
    assert trainer.step == 14
    assert_same_run(trainer.fit(), whole)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_saves_and_says_how_to_go_on(whole, tmp_path, number):
    trainer = Trainer(CONFIG, tmp_path / "run", corpus(), write_sample=write_sample, progress=False)
    step = trainer._train_step

    def pressed():
        if trainer.step == 17:
            signal.raise_signal(number)
        return step()

    trainer._train_step = pressed
    with pytest.raises(Interrupted, match=r"stopped at step 18; go on with: cs336 resume .*run"):
        trainer.fit()
    assert trainer.record.status["status"] == "interrupted"
    record = Trainer.resume(tmp_path / "run", corpus(), write_sample=write_sample, progress=False).fit()
    assert_same_run(record, whole)


def test_a_finished_run_has_nothing_to_resume(whole):
    before = timeless(whole)
    again = Trainer.resume(whole.folder, corpus(), progress=False).fit()
    assert again.status["status"] == "finished" and timeless(again) == before


@pytest.mark.parametrize("log_every", [1, 4, 100])
def test_a_diverged_run_stops_and_keeps_its_records(tmp_path, log_every):
    config = CONFIG.replace(lr=1e6, grad_clip=0.0, log_every=log_every, weight_decay=0.0)
    record = fit(tmp_path / "run", config)
    status = record.status
    assert status["status"] == "diverged" and status["step"] <= 10
    assert "try a lower lr" in status["message"] and f"step {status['step']}" in status["message"]
    for step in RunCheckpoints(record.folder / "checkpoints").steps():
        weights = RunCheckpoints(record.folder / "checkpoints").load(step).weights
        assert all(weight.isfinite().all() for weight in weights.values())


def test_nan_is_a_divergence_even_on_the_step_of_a_line(tmp_path):
    trainer = Trainer(CONFIG, tmp_path / "run", corpus(), progress=False)
    with torch.no_grad():
        trainer.model.lm_head.weight[0, 0] = math.nan
    record = trainer.fit()
    assert record.status["status"] == "diverged" and "no number" in record.status["message"]
    assert math.isnan(record.last("train_loss"))


def test_a_full_disk_stops_the_run_and_keeps_the_last_good_checkpoint(whole, tmp_path, monkeypatch):
    from cs336_lib.training.checkpoints import files

    save = files.save_file

    def full(tensors, path):
        if "step-00000014" in str(path):
            raise OSError(28, "No space left on device")
        save(tensors, path)

    monkeypatch.setattr(files, "save_file", full)
    with pytest.raises(OSError, match=r"stopped at step 14: .*No space.*last good checkpoint: 7"):
        fit(tmp_path / "run")
    monkeypatch.undo()
    assert RunRecord(tmp_path / "run").status["status"] == "interrupted"
    trainer = Trainer.resume(tmp_path / "run", corpus(), write_sample=write_sample, progress=False)
    assert_same_run(trainer.fit(), whole)


@pytest.mark.parametrize("parts", [2, 4])
def test_accumulation_changes_the_memory_and_not_the_result(whole, tmp_path, parts):
    record = fit(tmp_path / "run", CONFIG.replace(accumulation=parts))
    torch.testing.assert_close(record.series("train_loss")[1], whole.series("train_loss")[1], rtol=1e-4, atol=1e-4)


def test_the_lean_loss_gives_the_same_curve(whole, tmp_path):
    record = fit(tmp_path / "run", CONFIG.replace(loss_chunk=10))
    torch.testing.assert_close(record.series("train_loss")[1], whole.series("train_loss")[1], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "changes",
    [
        {"optimizer": "muon"},
        {"optimizer": "sgd", "lr": 0.5},
        {"schedule": "wsd", "decay_steps": 10},
        {"schedule": "constant"},
        {"precision": "bf16"},
        {"resident": True},
        {"eval_windows": 3},
    ],
    ids=str,
)
def test_every_choice_trains_and_resumes(tmp_path, changes):
    config = CONFIG.replace(**changes)
    whole = fit(tmp_path / "whole", config)
    losses = whole.series("train_loss")[1]
    assert losses[-1] < losses[0]
    trainer = Trainer(config, tmp_path / "run", corpus(), write_sample=write_sample, progress=False)
    trainer._train_step = stop_after(trainer, 18)
    with pytest.raises(ZeroDivisionError):
        trainer.fit()
    resumed = Trainer.resume(tmp_path / "run", corpus(), write_sample=write_sample, progress=False).fit()
    assert_same_run(resumed, whole)


def stop_after(trainer, last):
    step = trainer._train_step
    return lambda: 1 / 0 if trainer.step == last else step()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # inside torch
@pytest.mark.parametrize("loss_chunk", [0, 20])
def test_compiled_training_gives_the_same_curve(whole, tmp_path, loss_chunk):
    record = fit(tmp_path / "run", CONFIG.replace(compile=True, loss_chunk=loss_chunk))
    assert record.environment["compile"] == "default"
    torch.testing.assert_close(record.series("train_loss")[1], whole.series("train_loss")[1], rtol=1e-4, atol=1e-4)


def test_a_folder_with_a_run_is_refused_at_once(whole):
    with pytest.raises(FileExistsError, match="holds a run already"):
        fit(whole.folder)


def test_a_second_writer_is_refused(whole):
    with whole.locked(), pytest.raises(RuntimeError, match="another process is running"):
        Trainer.resume(whole.folder, corpus(), progress=False)


def test_progress_shows_loss_rate_and_time_left(tmp_path, capsys):
    Trainer(CONFIG, tmp_path / "run", corpus()).fit()
    shown = capsys.readouterr().err
    assert "small: 100%" in shown and "loss=" in shown and "lr=" in shown and "tok/s=" in shown


def test_tensorboard_gets_every_metric(tmp_path, monkeypatch):
    written = []

    class SummaryWriter:
        def __init__(self, folder, purge_step):
            assert str(tmp_path) in folder and purge_step is None

        def add_scalar(self, *what):
            written.append(what)

        def close(self):
            written.append("closed")

    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", SimpleNamespace(SummaryWriter=SummaryWriter))
    record = fit(tmp_path / "run", CONFIG.replace(tensorboard=True))
    expected = [
        (name, value, line["step"]) for line in record.metrics() for name, value in line.items() if name != "step"
    ]
    assert written == [*expected, "closed"]


def test_mirrors_that_are_not_installed_say_how_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(ModuleNotFoundError, match="pip install wandb"):
        fit(tmp_path / "run", CONFIG.replace(wandb="project"))
