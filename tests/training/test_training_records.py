"""Run records: appended to, read while they are written, cut back for a resume."""

import json
import math
import os
import subprocess
import sys
import time

import pytest

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
