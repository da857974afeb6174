"""Run records: appended to, read while they are written, cut back for a resume."""

import json
import math
import os
import subprocess
import sys
import tempfile
import time

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cs336_lib.model import ModelConfig
from cs336_lib.training import RunRecord, TrainConfig, record_files
from cs336_lib.training.records import find_runs

CONFIG = TrainConfig(ModelConfig.preset("tales-1m"), data_bytes=1_000, name="r")


@pytest.fixture
def record(tmp_path):
    return RunRecord.create(tmp_path / "r", CONFIG, {"device": "CPU"})


def test_a_record_reads_as_it_was_written(record):
    record.append({"step": 10, "train_loss": 1.5, "lr": 0.1})
    record.append({"step": 20, "train_loss": 1.0 / 3})
    record.append({"step": 20, "valid_loss": 2.0})
    record.add_sample(20, "Once upon\n\na time", "temperature 0.8")
    record.add_sample(30, "=== the end ===")
    again = RunRecord(record.folder)
    assert again.config == CONFIG
    assert again.environment == {"device": "CPU"}
    assert again.series("train_loss") == ([10, 20], [1.5, 1.0 / 3])
    assert (again.last("train_loss"), again.best(), again.last("mfu")) == (1.0 / 3, 2.0, None)
    assert again.samples() == [(20, "Once upon\n\na time"), (30, "=== the end ===")]


def test_nan_and_inf_are_strict_json(record):
    record.append({"step": 1, "train_loss": math.nan, "grad_norm": math.inf})
    (line,) = (record.folder / "metrics.jsonl").read_text().splitlines()
    json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    (values,) = record.metrics()
    assert math.isnan(values["train_loss"]) and values["grad_norm"] == math.inf


@pytest.mark.parametrize("tear", [b'{"step": 30, "tra', b'{"step": 30}', b"\x00\x00\x00\n", b"[]\n"])
def test_a_torn_line_is_left_out_and_cut_off(record, tear):
    for step in (10, 20):
        record.append({"step": step, "train_loss": 1.0})
    with (record.folder / "metrics.jsonl").open("ab") as file:
        file.write(tear)
    assert [line["step"] for line in record.metrics()] == [10, 20]
    record.rewind(20)
    record.append({"step": 30})
    assert [line["step"] for line in record.metrics()] == [10, 20, 30]


@pytest.mark.parametrize("damage", [b"x", b"[]\n", b'{"step": null}\n', b'{"step": "ten"}\n'])
def test_a_damaged_line_before_the_last_is_named_and_nothing_is_cut_off(record, damage):
    for step in (10, 20, 30):
        record.append({"step": step})
    path = record.folder / "metrics.jsonl"
    first, second, third = path.read_bytes().splitlines(keepends=True)
    before = first + damage + second + third
    path.write_bytes(before)
    with pytest.raises(ValueError, match=r"metrics\.jsonl is damaged: its line 2 is no line of metrics"):
        record.rewind(20)
    assert path.read_bytes() == before
    record.rewind(0)  # all anew
    assert record.metrics() == []


def test_a_torn_sample_is_in_nobodys_way(record):
    record.add_sample(10, "caf\u00e9")
    path = record.folder / "samples.txt"
    path.write_bytes(path.read_bytes().split(b"\xa9")[0])
    assert [step for step, _ in record.samples()] == [10]
    record.rewind(10)
    record.rewind(5)
    assert record.samples() == []


def test_a_status_or_an_environment_of_other_kinds_is_named(record):
    (record.folder / "status.json").write_text('{"status": null, "step": 6}')
    (record.folder / "environment.json").write_text('{"data": 5}')
    with pytest.raises(ValueError, match=r"status\.json is damaged: None at step 6"):
        _ = record.status
    with pytest.raises(ValueError, match=r"environment\.json is damaged: its data is 5"):
        _ = record.tokenizer_folder


def test_rewinding_cuts_what_came_later(record):
    for step in (10, 20, 30):
        record.append({"step": step})
        record.add_sample(step, f"text {step}")
    record.rewind(20)
    assert [line["step"] for line in record.metrics()] == [10, 20]
    assert record.samples() == [(10, "text 10"), (20, "text 20")]
    record.rewind(0)
    assert record.metrics() == record.samples() == []


def test_a_run_is_never_overwritten(record):
    with pytest.raises(FileExistsError, match="cs336 resume"):
        RunRecord.create(record.folder, CONFIG, {})
    with pytest.raises(FileNotFoundError, match="is no run"):
        RunRecord(record.folder / "deeper")


def test_a_run_whose_process_is_gone_was_interrupted(record):
    with record.locked():
        assert record.status["status"] == "running"
    assert record.status["status"] == "interrupted"
    record.set_status("diverged", 5, "nan")
    assert record.status == {"status": "diverged", "step": 5, "message": "nan"}


def test_a_checkpoint_is_missed_only_where_it_must_have_been_written(tmp_path):
    """The line of a step is written before its checkpoint: at step 10 there need not be one yet."""
    record = RunRecord.create(tmp_path / "r", CONFIG.replace(checkpoint_every=10), {})
    for step, saved in ((9, None), (10, None), (11, 10), (20, 10), (21, 20)):
        record.append({"step": step, "tokens": 8})
        assert record.saved == saved, step
    record.set_status("interrupted", 25, saved=25)
    assert record.saved == 25


def test_two_processes_do_not_share_a_run(record):
    code = f"""
from cs336_lib.training import RunRecord
try:
    with RunRecord({str(record.folder)!r}).locked(): print("went in")
except RuntimeError as error: print(error)
"""
    with record.locked():
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "another process is running" in done.stdout


def test_runs_are_found(record, tmp_path):
    RunRecord.create(tmp_path / "a", CONFIG, {})
    (tmp_path / "no-run").mkdir()
    assert [run.folder.name for run in find_runs(tmp_path)] == ["a", "r"]
    assert [run.folder.name for run in find_runs(tmp_path / "a")] == ["a"]
    assert find_runs(tmp_path / "no-run") == []


def test_a_damaged_config_is_named(record):
    (record.folder / "config.json").write_text('{"lr": 1, "lrr": 2}')
    with pytest.raises(ValueError, match=r"config\.json: unknown key 'lrr'"):
        _ = record.config


@pytest.mark.parametrize("settled", [True, False], ids=["long ago", "just now"])
def test_what_changed_is_read_again_and_what_did_not_is_read_once(record, settled, monkeypatch):
    """Also when a file of equal size takes the place of another, and its time is set back."""
    monkeypatch.setattr(record_files, "SETTLED_NS", 0 if settled else 10**18)
    path = record.folder / "metrics.jsonl"
    for step in (1, 2):
        record.append({"step": step, "train_loss": 1.5})
    assert [line["step"] for line in record.metrics()] == [1, 2]
    record.metrics()[0]["step"] = 7  # what a caller does with a line is the caller's
    assert [line["step"] for line in record.metrics()] == [1, 2]
    before = path.stat()
    text = path.read_text().replace('"step": 1', '"step": 3')
    time.sleep(0.02)  # file systems' clocks tick coarsely
    path.write_text(text)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size and path.stat().st_mtime_ns == before.st_mtime_ns
    assert [line["step"] for line in record.metrics()] == [3, 2]
    record.append({"step": 4})
    assert [line["step"] for line in record.metrics()] == [3, 2, 4]
    with monkeypatch.context() as patch:
        patch.setattr(record_files, "whole_lines", None)
        if settled:
            assert len(record.metrics()) == 3
        else:
            with pytest.raises(TypeError):
                record.metrics()
    path.unlink()
    assert record.metrics() == []


@pytest.mark.parametrize(
    ("line", "kind", "message"),
    [
        ({"train_loss": 1.0}, ValueError, "a line of metrics needs a step, and this one has train_loss"),
        ({}, ValueError, "needs a step, and this one has nothing"),
        *(
            ({"step": wrong}, TypeError, "step must be a whole number")
            for wrong in (1.0, True, "1", None, np.float32(1))
        ),
        ({"step": -1}, ValueError, "step is -1; it must be 0 or more"),
        ({"step": 2**70}, ValueError, "step is 1180591620717411303424; it must be 9223372036854775807 or less"),
        (
            {"step": 1, "lr": np.zeros(2)},
            TypeError,
            r"^lr is array\(\[0\., 0\.\]\) of type ndarray, which JSON can't hold",
        ),
        ({"step": 1, "lr": torch.zeros(2)}, TypeError, r"^lr is tensor\(\[0\., 0\.\]\) of type Tensor"),
        ({"step": 1, "rates": {"a": [1, {2}]}}, TypeError, r"^rates\.a\[1\] is \{2\} of type set"),
        ({"step": 1, "rates": {(1, 2): 3}}, TypeError, r"^rates has the key \(1, 2\) of type tuple"),
        ({"step": 1, "x": 1j}, TypeError, r"^x is 1j of type complex"),
    ],
)
def test_what_readers_would_stop_at_is_refused_by_name(line, kind, message, record):
    record.append({"step": 1})
    with pytest.raises(kind, match=message):
        record.append(line)
    record.append({"step": 2})
    assert record.metrics() == [{"step": 1}, {"step": 2}]


@settings(deadline=None, max_examples=40)
@given(
    st.dictionaries(
        st.text().filter("step".__ne__),
        st.one_of(
            st.floats(allow_nan=False), st.integers(-(2**60), 2**60), st.booleans(), st.none(),
            st.integers(0, 255).map(np.uint8), st.floats(width=32, allow_nan=False).map(np.float32),
            st.booleans().map(np.bool_), st.floats(allow_nan=False).map(np.array), st.integers(0, 9).map(torch.tensor),
            st.lists(st.floats(allow_nan=False).map(np.float64)),
        ),
    ),
    st.integers(0, 2**62).map(np.int64) | st.integers(0, 2**62) | st.integers(0, 99).map(torch.tensor),
)  # fmt: skip
def test_a_line_of_any_numbers_comes_back(values, step):
    with tempfile.TemporaryDirectory() as folder:
        record = RunRecord.create(folder, CONFIG, {})
        record.append({**values, "step": step})
        assert record.metrics() == [{**values, "step": step}]


@pytest.mark.parametrize(
    "write",
    [
        lambda r: r.set_status("running", 1, speed={1}),
        lambda r: r.set_status("running", 1.0),
        lambda r: r.finish(1, 1.0, {"mfu": object()}),
        lambda r: r.note_resume({"device": object()}),
        lambda r: RunRecord.create(r.folder.parent / "other", CONFIG, {"device": object()}),
    ],
)
def test_what_json_can_not_hold_leaves_the_record_as_it_was(write, record):
    before = {path: path.read_bytes() for path in record.folder.parent.rglob("*") if path.is_file()}
    with pytest.raises(TypeError, match=r"JSON can't hold|must be a whole number"):
        write(record)
    assert {path: path.read_bytes() for path in record.folder.parent.rglob("*") if path.is_file()} == before


def test_numbers_of_numpy_and_torch_are_taken_everywhere(record):
    record.set_status("finished", np.int64(3), speed=np.float32(0.5), sizes=[np.int64(1)])
    record.note_resume({"ranks": torch.tensor(2)})
    assert (record.status["speed"], record.status["sizes"]) == (0.5, [1])
    assert record.environment["resumed"] == [{"ranks": 2}]


LINES = st.sampled_from(
    ["=== step 99 ===", "=== step 1 temperature 0.8 ===", "\\=== step 5 ===", "\\\\=== step 5 a ===", "=== step ===",
     "=== step 5 === ", " === step 5 ===", "=== step \u0663 ===", "\\", "", "a", "\r", "a\r", "\ud800", "\udc80\ud83d",
     "\x00", "\u2028", "\x85=== step 7 ===", "\r=== step 7 ===", "=== step 7 ===\r", "caf\u00e9", "\\ud800"]
)  # fmt: skip
ENDS = st.sampled_from(["\n", "\n\n", "\r\n", "\r", ""])
TEXTS = st.one_of(
    st.text(st.characters(exclude_categories=())),
    st.lists(st.tuples(LINES, ENDS), max_size=6).map(lambda parts: "".join(line + end for line, end in parts)),
)


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    return RunRecord.create(tmp_path_factory.mktemp("shared") / "run", CONFIG, {})


@settings(deadline=None, max_examples=300)
@given(st.lists(st.tuples(st.integers(0, 30), TEXTS, TEXTS), max_size=5), st.integers(0, 30))
@example([(1, "a\n=== step 99 ===\nb", ""), (20, "later", "")], 10)
@example([(1, "a\r\nb\n\n", ""), (2, "\ud800", "two\nlines")], 1)
def test_a_sample_comes_back_as_it_was_written(shared, samples, cut):
    (shared.folder / "samples.txt").unlink(missing_ok=True)
    for step, text, about in sorted(samples, key=lambda one: one[0]):
        shared.add_sample(step, text, about)
    written = [(step, text) for step, text, _ in sorted(samples, key=lambda one: one[0])]
    assert shared.samples() == written
    shared.rewind(cut)
    assert shared.samples() == [(step, text) for step, text in written if step <= cut]
    shared.add_sample(cut, "one more")
    assert shared.samples()[-1] == (cut, "one more")


def test_samples_can_be_read_by_a_person(record):
    record.add_sample(10, "Once.\n\nThe end.", "temperature 0.8")
    record.add_sample(20, "=== the end ===\n=== step 3 ===\n")
    assert (record.folder / "samples.txt").read_text() == (
        "=== step 10 temperature 0.8 ===\nOnce.\n\nThe end.\n\n=== step 20 ===\n=== the end ===\n\\=== step 3 ===\n\n\n"
    )


@pytest.mark.parametrize("ends", ["\n", "\r\n"], ids=["as written", "as Windows checks it out"])
def test_samples_of_earlier_versions_are_read(ends, record):
    written = "=== step 10 temperature 0.8 ===\nOnce.\n\n\\ud800 \\n === step\n\n=== step 20 ===\nTwice.\n\n"
    (record.folder / "samples.txt").write_bytes(written.replace("\n", ends).encode())
    assert record.samples() == [(10, "Once.\n\n\\ud800 \\n === step"), (20, "Twice.")]


@pytest.mark.parametrize("left", range(1, 40))
def test_a_torn_sample_takes_no_other_with_it(left, record):
    record.add_sample(10, "first")
    whole = (record.folder / "samples.txt").read_bytes()
    record.add_sample(20, "a caf\u00e9\n\nand more")
    raw = (record.folder / "samples.txt").read_bytes()
    (record.folder / "samples.txt").write_bytes(raw[: max(len(raw) - left, len(whole))])
    record.add_sample(30, "third")
    found = record.samples()
    assert found[0][1].startswith("first") and found[-1] == (30, "third")
    record.rewind(20)
    assert all(step <= 20 for step, _ in record.samples())


def test_a_record_is_found_when_the_process_goes_elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = [RunRecord.create("a/run", CONFIG, {}), RunRecord("a/run"), *find_runs("a"), *find_runs("a/run")]
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    for record in made:
        record.append({"step": 1})
        record.add_sample(1, "text")
        record.set_status("interrupted", 1)
        assert record.config == CONFIG and record.status["step"] == 1 and record.shown.as_posix() == "a/run"
    assert len(made[0].metrics()) == len(made) == 4
    (made[0].folder / "metrics.jsonl").write_text("x")
    made[0].set_status("finished", 1)
    assert made[0].damage().startswith("a/run/metrics.jsonl is damaged")
    assert list(tmp_path.joinpath("elsewhere").iterdir()) == []
