"""Suites are run, resumed and summed up; what is finished is left alone."""

import math
import re

import numpy as np
import pytest

from cs336_lib.cli import experiment_command, main
from cs336_lib.experiments import (
    SUITES,
    Scale,
    Suite,
    Variation,
    load_suite,
    loss_after,
    rows,
    run_suite,
    runner,
    table,
)
from cs336_lib.experiments.runner import _is_same
from cs336_lib.experiments.suite import changed
from cs336_lib.figures.experiments import curves_of
from cs336_lib.model import ModelConfig
from cs336_lib.training import RunRecord, TrainConfig, prepare

MODEL = ModelConfig(vocab_size=300, context_length=16, d_model=16, num_layers=1, num_heads=2, d_ff=32)
BASE = TrainConfig(
    MODEL, data_bytes=200_000, batch_size=4, steps=6, warmup_steps=1, log_every=1, eval_windows=4, device="cpu"
)
SUITE = Suite(
    "tiny",
    "problem",
    "question?",
    (Variation("base"), Variation("high", {"lr": 1e9, "min_lr": 1e7, "grad_clip": 0.0})),
    {"quick": Scale(BASE, seeds=(0, 1))},
)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        return folder, run_suite(SUITE, "quick", folder, progress=False)


def test_each_planned_run_leaves_a_record(made):
    folder, runs = made
    assert [run.config.name for run, _ in runs] == ["base-seed0", "high-seed0", "base-seed1", "high-seed1"]
    assert all((folder / "tiny-quick" / run.config.name / "metrics.jsonl").is_file() for run, _ in runs)
    assert [record.status["status"] for _, record in runs] == ["finished", "diverged"] * 2


def test_a_second_call_trains_nothing_again(made):
    folder, runs = made
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("metrics.jsonl")}
    again = run_suite(SUITE, "quick", folder, progress=False)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("metrics.jsonl")} == before
    assert [record.last("valid_loss") for _, record in again][::2] == [r.last("valid_loss") for _, r in runs][::2]


def test_a_run_that_another_suite_has_made_is_copied_under_its_own_name(made, monkeypatch):
    folder, runs = made
    monkeypatch.setattr("cs336_lib.experiments.runner.Trainer", None)
    twins = (Variation("plain"), Variation("wild", SUITE.variations[1].changes))
    other = Suite("other", "problem", "question?", twins, {"quick": Scale(BASE)})
    copies = run_suite(other, "quick", folder, progress=False)
    assert [record.config.name for _, record in copies] == ["plain-seed0", "wild-seed0"]
    assert [record.status["status"] for _, record in copies] == ["finished", "diverged"]
    assert copies[0][1].metrics() == runs[0][1].metrics()
    assert any((record.folder / "checkpoints").exists() for _, record in runs)
    assert not any((record.folder / "checkpoints").exists() for _, record in copies)


def test_a_run_that_is_not_over_is_copied_by_no_other_suite(tmp_path, monkeypatch):
    record = RunRecord.create(tmp_path / "first-quick" / "base-seed0", BASE.replace(name="base-seed0"), {})
    other = Suite("other", "problem", "question?", (Variation("base"),), {"quick": Scale(BASE)})
    monkeypatch.setattr(runner, "_corpus", lambda *_: None)

    class Made:
        def __init__(self, config, folder, *_, **__):
            self.folder = folder

        def fit(self):
            return f"made {self.folder.name}"

    monkeypatch.setattr(runner, "Trainer", Made)
    for status in ("running", "interrupted", "failed"):
        record.set_status(status, 3)
        assert run_suite(other, "quick", tmp_path, progress=False)[0][1] == "made base-seed0"
    record.set_status("finished", 6)
    assert run_suite(other, "quick", tmp_path, progress=False)[0][1].status["status"] == "finished"


def test_a_copy_that_was_cut_off_is_no_run_and_is_made_again(made, monkeypatch):
    folder, runs = made
    monkeypatch.setattr("cs336_lib.experiments.runner.Trainer", None)
    other = Suite("cut-off", "problem", "question?", (Variation("plain"),), {"quick": Scale(BASE)})
    with monkeypatch.context() as patch:
        patch.setattr("cs336_lib.experiments.runner.write_whole", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run_suite(other, "quick", folder, progress=False)
    copy = folder / "cut-off-quick" / "plain-seed0"
    assert (copy / "metrics.jsonl").exists() and not (copy / "config.json").exists()
    [(_, record)] = run_suite(other, "quick", folder, progress=False)
    assert record.config.name == "plain-seed0" and record.metrics() == runs[0][1].metrics()


@pytest.mark.parametrize("status", ["running", "interrupted"])
def test_a_run_that_was_cut_off_goes_on_and_is_not_begun_again(tmp_path, monkeypatch, status):
    record = RunRecord.create(tmp_path / "one-quick" / "base-seed0", BASE.replace(name="base-seed0"), {})
    record.set_status(status, 3)
    monkeypatch.setattr(runner, "_corpus", lambda *_: "corpus")

    class Resumed:
        @classmethod
        def resume(cls, folder, corpus, **shown):
            assert (folder, corpus, shown["progress"]) == (record.folder, "corpus", False)
            return cls()

        def fit(self):
            return "gone on"

    monkeypatch.setattr(runner, "Trainer", Resumed)
    assert [found for _, found in run_suite(ONE, "quick", tmp_path, progress=False)] == ["gone on"]


@pytest.mark.parametrize(
    ("had", "has", "same"),
    [(9.0, 9.0, True), (9.0, 7.0, True), (9.0, 6.0, True), (9.0, 5.9, False), (7.0, 0.0, True), (5.9, 9.0, False)],
)
def test_a_run_with_another_limit_is_the_same_if_neither_limit_would_have_stopped_it(tmp_path, had, has, same):
    """Its highest loss is 6; 0 stands for a limit of 17."""
    record = RunRecord.create(tmp_path / "run", BASE.replace(diverged_above=had), {})
    for step, loss in ((1, 6.0), (6, 4.0)):
        record.append({"step": step, "train_loss": loss})
    record.set_status("finished", 6)
    assert _is_same(record, BASE.replace(diverged_above=has, name="other")) == same
    assert not _is_same(record, BASE.replace(diverged_above=has, seed=5))
    record.set_status("diverged", 6, thrown_out=False)
    assert _is_same(record, BASE.replace(diverged_above=has, name="other")) == (had == has)


def test_a_folder_with_another_run_is_refused_and_the_difference_named(made):
    folder, _ = made
    longer = Suite("tiny", "problem", "question?", SUITE.variations, {"quick": Scale(BASE.replace(steps=7))})
    with pytest.raises(ValueError, match="steps=6 instead of 7"):
        run_suite(longer, "quick", folder, progress=False)


def test_rows_average_over_seeds_and_count_what_diverged(made):
    base, high = rows(made[1])
    losses = [record.last("valid_loss") for run, record in made[1] if run.variation == "base"]
    assert base.valid_loss == pytest.approx(np.mean(losses))
    assert base.spread == pytest.approx(np.std(losses, ddof=1))
    assert (base.seeds, base.diverged, high.diverged) == (2, 0, 2)
    assert math.isnan(high.valid_loss)


def test_the_table_marks_the_lowest_loss_and_says_what_diverged(made):
    head, base, high = table(made[1]).splitlines()
    assert "valid loss" in head
    assert base.endswith("<- lowest")
    assert "diverged" in high


def test_the_table_says_of_a_run_that_is_not_over_that_it_has_no_loss_yet(tmp_path):
    plan = SUITE.plan("quick")[:1]
    record = RunRecord.create(tmp_path / "run", plan[0].config, {})
    record.append({"step": 1, "tokens": 64, "seconds": 0.1, "train_loss": 5.0})
    assert "none yet" in table([(plan[0], record)]) and "diverged" not in table([(plan[0], record)])


def test_a_row_is_over_the_runs_of_its_variation_and_names_how_many_of_them_failed(tmp_path):
    ends = {  # variation -> last loss, how it ended and seconds of each seed
        "all": [(2.0, "finished", 1.0), (2.1, "finished", 4.0), (2.2, "finished", 4.0)],
        "some": [(2.05, "finished", 2.0), (math.nan, "diverged", 1.0), (30.0, "thrown out", 0.0)],
        "none": [(math.nan, "diverged", 0.5), (math.nan, "diverged", 0.5), (math.nan, "diverged", 0.5)],
        "lost": [(30.0, "thrown out", 1.0), (math.nan, "diverged", 1.0), (30.0, "thrown out", 1.0)],
    }
    batches = {"all": 8, "some": 4, "none": 2, "lost": 1}
    variations = tuple(Variation(name, {"batch_size": batches[name]}) for name in ends)
    suite = Suite("rows", "p", "q?", variations, {"quick": Scale(BASE.replace(batch_size=8, steps=12), (0, 1, 2))})
    found = []
    for run in suite.plan("quick"):
        loss, end, seconds = ends[run.variation][run.seed]
        record = RunRecord.create(tmp_path / run.config.name, run.config, {})
        record.append({"step": 9, "tokens": 1, "seconds": seconds, "train_loss": loss})
        if end == "finished":
            record.append({"step": 12, "tokens": 1, "seconds": seconds, "valid_loss": loss})
        facts = {} if end == "finished" else {"thrown_out": end == "thrown out"}
        record.set_status("finished" if end == "finished" else "diverged", 9, **facts)
        found.append((run, record))
    assert [row.variation for row in rows(found)] == list(ends)
    assert [row.steps for row in rows(found)] == [12, 24, 48, 96]
    assert [row.seconds for row in rows(found)] == [3.0, 1.0, 0.5, 1.0]
    assert [(row.seeds, row.diverged, row.thrown_out) for row in rows(found)] == [
        *((3, 0, 0), (3, 1, 1)),
        *((3, 3, 0), (3, 1, 2)),
    ]
    head, *lines = table(found).splitlines()
    assert [re.split("  +", line.strip()) for line in lines] == [
        ["all", "2.1000 +- 0.1000", "3", "12", "3.0 s"],
        ["some", "2.0500 (1 diverged, 1 thrown out)", "3", "24", "1.0 s", "<- lowest"],
        ["none", "diverged", "3", "48", "0.5 s"],
        ["lost", "1 diverged + 2 thrown out", "3", "96", "1.0 s"],
    ]
    assert head.split() == ["variation", "valid", "loss", "seeds", "steps", "time"]
    assert [line.split("  ")[-1].strip() for line in table(found, times=False).splitlines()[1:]] == [
        *("12", "<- lowest", "48", "96"),
    ]


def test_load_suite_finds_the_records_that_are_there(made):
    folder, runs = made
    found = load_suite(SUITE, "quick", folder)
    assert [record.folder for _, record in found] == [record.folder for _, record in runs]
    assert load_suite(SUITE, "quick", folder / "elsewhere") == []


def test_loss_after_interpolates_between_lines_of_metrics(tmp_path):
    record = RunRecord.create(tmp_path / "run", BASE, {})
    for step, seconds, loss in ((1, 1.0, 5.0), (2, 3.0, 4.0), (3, 4.0, 1.0)):
        record.append({"step": step, "seconds": seconds, "train_loss": loss})
    assert [loss_after(record, at) for at in (1.0, 2.0, 3.0, 3.5, 4.0)] == [5.0, 4.5, 4.0, 2.5, 1.0]
    with pytest.raises(ValueError, match=r"no train_loss at 9.0 s; it ends at 4.0 s"):
        loss_after(record, 9.0)
    for outside in (-0.1, math.nan):
        with pytest.raises(ValueError, match=r"no train_loss at"):
            loss_after(record, outside)
    with pytest.raises(ValueError, match=r"has no valid_loss at 1.0 s$"):
        loss_after(record, 1.0, "valid_loss")


def test_the_curves_of_a_suite_end_where_a_run_diverged(made):
    curves = curves_of(made[1])
    steps, seconds, values = curves["base#0"]
    assert (len(steps), len(seconds)) == (6, 6)
    assert list(values) == made[1][0][1].series("train_loss")[1]
    assert len(curves["high#0"][0]) < 6


def test_the_command_lists_suites_runs_one_and_refuses_another(capsys, monkeypatch, tmp_path):
    assert main(["experiment", "list"]) == 0
    assert "Which learning rate is best" in capsys.readouterr().out
    assert main(["experiment", "lr-sweeep"]) == 2
    assert "allowed: lr-sweep" in capsys.readouterr().err
    monkeypatch.setitem(SUITES, "tiny", SUITE)
    assert main(["experiment", "tiny", "--folder", str(tmp_path), "--plot", str(tmp_path / "tiny.png")]) == 0
    assert "<- lowest" in capsys.readouterr().out
    assert (tmp_path / "tiny.png").stat().st_size > 1_000
    assert main(["experiment", "tiny", "--folder", str(tmp_path)]) == 0
    assert "tiny-quick, on CPU" in capsys.readouterr().out
    assert (tmp_path / "tiny-quick" / "curves.png").stat().st_size > 1_000


@pytest.fixture
def text(tmp_path, monkeypatch):
    """A folder of letters to train on, named from the folder that it lies in."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "letters"
    folder.mkdir()
    for split, count in (("train", 900), ("valid", 90)):
        lines = [f"Dear {'AB'[i % 2]}nna, this is letter {i}.<|endoftext|>\n" for i in range(count)]
        (folder / f"{split}.txt").write_text("".join(lines))
    return "letters"


ONE = Suite("one", "problem", "question?", (Variation("base"),), {"quick": Scale(BASE)})


def test_a_suite_on_another_text_has_a_folder_of_its_own_and_trains_on_it(made, text, tmp_path):
    [(run, record)] = run_suite(ONE, "quick", "runs", data=text, progress=False)
    assert record.folder.parent.name == "one-quick-letters"
    assert (run.config.data, record.config) == ("letters", run.config)
    assert record.environment["data"]["train_bytes"] == (tmp_path / text / "train.txt").stat().st_size
    assert record.environment["data"]["valid_tokens"] < 0.2 * record.environment["data"]["train_tokens"]
    assert load_suite(ONE, "quick", "runs") == []
    [(_, found)] = load_suite(ONE, "quick", "runs", data="elsewhere/letters")
    assert found.folder == record.folder


def test_a_finished_run_on_another_text_is_left_alone_and_needs_the_text_no_more(made, text, tmp_path):
    [(_, record)] = run_suite(ONE, "quick", "runs", data=text, progress=False)
    before = (record.folder / "metrics.jsonl").stat().st_mtime_ns
    (tmp_path / text).rename(tmp_path / "gone")
    run_suite(ONE, "quick", "runs", data=text, progress=False)
    assert (record.folder / "metrics.jsonl").stat().st_mtime_ns == before


def test_another_text_of_the_same_name_is_refused(made, text, tmp_path):
    run_suite(ONE, "quick", "runs", data=text, progress=False)
    with pytest.raises(ValueError, match=r"data='letters' instead of 'x/letters.txt'.*the suite or its text"):
        run_suite(ONE, "quick", "runs", data="x/letters.txt", progress=False)


class Watched:
    """A config that notes which of its fields are read, those of its model with "model." in front."""

    def __init__(self, config, read, prefix=""):
        self._config, self._read, self._prefix = config, read, prefix

    def __getattr__(self, name):
        value = getattr(self._config, name)
        if name == "model":
            return Watched(value, self._read, "model.")
        self._read.add(self._prefix + name)
        return value


DECIDES = {
    **{"data": "other.txt", "valid_data": "other.txt", "data_bytes": 199, "tokenizer": "elsewhere"},
    **{"model.vocab_size": 301, "model.context_length": 8},
}
"""What decides what a run reads, each with another value."""


def test_what_prepare_reads_of_a_config_is_what_decides_what_runs_share(made, text):
    read = set()
    prepare(Watched(BASE.replace(data=text, data_bytes=9_000), read))
    assert read == set(DECIDES)


@pytest.mark.parametrize("name", [*DECIDES, "seed", "lr", "name", "steps", "model.norm"])
def test_runs_share_a_corpus_unless_they_read_something_else(name, monkeypatch):
    corpora, prepared = {}, []
    monkeypatch.setattr(runner, "prepare", lambda config, **_: prepared.append(config) or config)
    other = {"seed": 7, "lr": 0.5, "name": "other", "steps": 9, "model.norm": "post"}
    base = BASE.replace(data="letters.txt")
    runs = [base, changed(base, {name: {**DECIDES, **other}[name]}), base]
    found = [runner._corpus(config, corpora, progress=False) for config in runs]
    assert found == (runs if name in DECIDES else [base] * 3)
    assert len(prepared) == 1 + (name in DECIDES)


def test_a_text_that_is_not_there_is_named_and_leaves_nothing(capsys, monkeypatch, tmp_path):
    monkeypatch.setitem(SUITES, "one", ONE)
    monkeypatch.chdir(tmp_path)
    assert main(["experiment", "one", "--data", "nowhere.txt"]) == 2
    assert "no corpus 'nowhere.txt': it must be one of tales, tinystories, owt, or the path" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_kind_of_the_picture_is_checked_before_anything_is_trained(capsys, monkeypatch, tmp_path):
    monkeypatch.setitem(SUITES, "one", ONE)
    monkeypatch.chdir(tmp_path)
    assert main(["experiment", "one", "--plot", "one.docx"]) == 2
    assert "--plot one.docx: the file must end with .png, .svg, .pdf" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_suite_that_is_stopped_says_how_far_it_is_and_that_the_same_command_goes_on(capsys, monkeypatch, made):
    folder, _ = made
    monkeypatch.setitem(SUITES, "tiny", SUITE)

    def stopped(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("cs336_lib.experiments.run_suite", stopped)
    assert main(["experiment", "tiny", "--folder", str(folder)]) == 130
    assert "stopped, 4 of 4 runs are made; the same command goes on" in capsys.readouterr().err


def test_all_suites_are_run_one_after_the_other_at_the_scale_of_the_environment(capsys, monkeypatch):
    seen = []
    monkeypatch.setenv("CS336_SCALE", "full")
    monkeypatch.setattr(experiment_command, "_made", lambda suite, asked: seen.append((suite.name, asked.scale)))
    monkeypatch.setattr(experiment_command, "_report", lambda suite, found, home, picture: None)
    assert main(["experiment", "all"]) == 0
    assert seen == [(name, "full") for name in SUITES]
    assert main(["experiment", "all", "--data", "owt"]) == 2
    assert "are for one suite" in capsys.readouterr().err
    monkeypatch.setenv("CS336_SCALE", "ful")
    assert main(["experiment", "all"]) == 2
    assert "set it to one of quick, cpu, full" in capsys.readouterr().err
