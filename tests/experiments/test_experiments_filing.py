"""What a GPU run brought back is filed, whoever packed it; nothing outside the records' folder is written."""

import io
import json
import tarfile

import pytest

from cs336_lib import results
from cs336_lib.bpe import Tokenizer
from cs336_lib.cli import main
from cs336_lib.experiments import filing
from cs336_lib.model import ModelConfig
from cs336_lib.training import RunRecord, TrainConfig

BYTES = Tokenizer({i: bytes([i]) for i in range(256)}, [])
FACTS = {"device": "NVIDIA T4", "torch": "2.11.0", "driver": "580.1", "date": "2026-11-27", "commit": "0123456789ab"}


@pytest.fixture
def brought(tmp_path):
    """A folder as `benchmarks/gpu_run.py` leaves it, with one run that is over and one that is not."""
    folder, runs = tmp_path / "gpu", tmp_path / "runs"
    folder.mkdir()
    with tarfile.open(folder / "records.tar.gz", "w:gz") as tar:
        for name in ("whole", "cut-off"):
            about = {"device": "Tesla T4", "data": {"tokenizer": BYTES.fingerprint[:16]}}
            record = RunRecord.create(runs / name, TrainConfig(ModelConfig.preset("tales-1m"), data_bytes=1), about)
            BYTES.save(record.tokenizer_folder)
            if name == "whole":
                record.set_status("finished", 7)
            for path in sorted((runs / name).rglob("*")):
                if path.is_file():
                    tar.add(path, path.relative_to(runs))
        for name in (
            "../outside/config.json",
            "/abs/config.json",
            "whole/checkpoints/x.pt",
            "whole/.hidden",
            "a/b/c/d",
        ):
            member = tarfile.TarInfo(name)
            member.size = 2
            tar.addfile(member, io.BytesIO(b"{}"))
        link = tarfile.TarInfo("linked/config.json")
        link.type, link.linkname = tarfile.SYMTYPE, "whole/config.json"
        tar.addfile(link)
    (folder / "summary.json").write_text(json.dumps({"sections": {}, "facts": FACTS, "smoke": {"preset": {}}}))
    (folder / "training_cuda.json").write_text(json.dumps({**FACTS, "ratios": [1.1]}))
    (tmp_path / "results").mkdir()
    return folder


def test_runs_that_are_over_and_figures_are_filed_and_nothing_else(brought, tmp_path, monkeypatch):
    said, home = [], tmp_path / "results"
    done = filing.add(brought, home, said.append)
    assert sorted(path.relative_to(home).as_posix() for path in done) == [
        "benchmarks/gpu_t4.json",
        "benchmarks/training_t4.json",
        "whole-t4",
    ]
    assert len(said) == 1 and said[0].startswith("left out: cut-off: ") and "only a run that is over" in said[0]
    held = {path.relative_to(home).parts[0] for path in home.rglob("*")}
    assert held == {"benchmarks", "tokenizers", "whole-t4"}
    assert {path.name for path in tmp_path.iterdir()} == {"gpu", "runs", "results"}
    assert {path.name for path in (home / "whole-t4").iterdir()} <= set(filing.KEPT)
    monkeypatch.setattr(results, "folder", lambda: home)
    assert RunRecord(home / "whole-t4").tokenizer.fingerprint == BYTES.fingerprint


def test_a_second_call_brings_figures_up_to_date_and_replaces_no_run(brought, tmp_path):
    said, home = [], tmp_path / "results"
    filing.add(brought, home)
    (brought / "summary.json").write_text(json.dumps({"bench": {**FACTS, "driver": "581.0"}, "small": {"batch 8": {}}}))
    filing.add(brought, home, said.append)
    record = json.loads((home / "benchmarks/gpu_t4.json").read_text())
    assert record["driver"] == "581.0" and set(record["sections"]) == {"facts", "smoke", "bench", "small"}
    assert any(line.startswith("there already: ") for line in said)


@pytest.mark.parametrize("first", [True, False])
def test_of_two_summaries_with_the_same_section_the_later_one_counts(brought, tmp_path, first):
    home = tmp_path / "results"
    for number in (1, 2):
        parts = {"facts": {**FACTS, "torch": f"2.1{number}"}, "small": {"batch 8": {"tokens": number}}}
        parts |= {"smoke": {"preset": {}}} if first == (number == 1) else {}
        (brought / "summary.json").write_text(json.dumps(parts))
        filing.add(brought / "summary.json", home)
    record = json.loads((home / "benchmarks/gpu_t4.json").read_text())
    assert record["sections"] == {**parts, "smoke": {"preset": {}}}
    assert record["torch"] == "2.12"


@pytest.mark.parametrize("spare", [0, -1])
def test_a_packed_file_beyond_the_largest_is_left_out_and_named(tmp_path, monkeypatch, spare):
    said, home, run = [], tmp_path / "results", tmp_path / "runs" / "run"
    record = RunRecord.create(run, TrainConfig(ModelConfig.preset("tales-1m"), data_bytes=1), {"device": "T4"})
    record.set_status("finished", 7)
    (run / "samples.txt").write_text("x" * 9_000)
    with tarfile.open(tmp_path / "records.tar.gz", "w:gz") as tar:
        for path in sorted(run.iterdir()):
            tar.add(path, f"run/{path.name}")
    monkeypatch.setattr(filing, "LARGEST", 9_000 + spare)
    filing.add(tmp_path / "records.tar.gz", home, said.append)
    assert (home / "run-t4" / "samples.txt").exists() == (spare == 0)
    assert said == ([] if spare == 0 else ["left out: run/samples.txt: 9,000 bytes, more than 8,999"])


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("summary.json", b"[1]", "no summary of a GPU run"),
        ("summary.json", b"{", "no summary of a GPU run"),
        ("summary.json", b'{"facts": {"torch": "2.11.0"}}', "does not name its device"),
        ("records.tar.gz", b"no archive", "can't be unpacked"),
        ("log.txt", b"", "is none of summary.json"),
    ],
)
def test_what_is_no_record_is_refused_in_one_line(tmp_path, capsys, name, content, words):
    (tmp_path / "results").mkdir()
    (tmp_path / name).write_bytes(content)
    assert main(["records", "add", str(tmp_path / name), "--home", str(tmp_path / "results")]) != 0
    said = capsys.readouterr().err
    assert words in said and said.count("\n") == 1
    assert not any((tmp_path / "results").iterdir())


@pytest.mark.parametrize("after", range(3))
def test_a_kill_leaves_no_half_of_a_record_and_the_next_call_files_it(brought, tmp_path, monkeypatch, after):
    class Killed(BaseException):
        pass

    home, copy, done = tmp_path / "results", filing.shutil.copyfile, []

    def die(source, target):
        if len(done) == after:
            raise Killed
        done.append(copy(source, target))

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(filing.shutil, "copyfile", die)
        filing.add(brought, home)
    assert not (home / "whole-t4").exists()
    filing.add(brought, home)
    assert RunRecord(home / "whole-t4").config and not list(home.glob(".*"))


def test_the_records_of_the_book_came_this_way():
    for path in (results.folder() / "benchmarks").glob("gpu_*.json"):
        record = json.loads(path.read_text())
        assert path.stem == f"gpu_{filing.slug(record['device'])}"
        assert {"driver", "cuda", "torch", "sections"} <= record.keys()
