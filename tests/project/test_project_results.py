"""The committed records can be found and read, and hold nothing that only one machine has."""

import importlib.util
import json
import re

import pytest
from imports import ROOT

from cs336_lib import results
from cs336_lib.bpe import Tokenizer
from cs336_lib.experiments import filing
from cs336_lib.model import ModelConfig
from cs336_lib.training import RunRecord, TrainConfig

RECORDS = sorted(path for path in results.folder().rglob("*") if path.suffix in {".json", ".jsonl", ".txt"})


def test_a_record_that_is_missing_is_named_with_its_neighbors():
    with pytest.raises(FileNotFoundError, match=r"no record 'benchmarks/none.json'.*model"):
        results.read("benchmarks/none.json")


def test_each_json_record_can_be_read():
    names = [path.relative_to(results.folder()).as_posix() for path in RECORDS if path.suffix == ".json"]
    assert len(names) > 100
    for name in names:
        assert results.read(name) == json.loads((results.folder() / name).read_text(encoding="utf-8")), name


OF_A_MACHINE = re.compile(r'"(?:/(?:home|root|tmp|work|Users|mnt|content)/|[A-Z]:\\\\)[^"]*')


def test_no_record_names_a_path_of_the_machine_that_wrote_it():
    found = {}
    for path in RECORDS:
        if path.name not in {"vocab.json", "merges.txt"}:
            found[path] = OF_A_MACHINE.findall(path.read_text(encoding="utf-8"))
    assert len(found) > 100
    assert not {path: paths for path, paths in found.items() if paths}
    assert OF_A_MACHINE.findall('{"a": "/home/me/x", "b": "C:\\\\x"}') == ['"/home/me/x', '"C:\\\\x']


def test_a_new_measurement_says_where_it_comes_from(tmp_path):
    spec = importlib.util.spec_from_file_location("benchmark_harness", ROOT / "benchmarks/harness.py")
    harness = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(harness)
    harness.write(tmp_path / "one.json", {"device": "CPU", "date": "2020-01-01"})
    one = json.loads((tmp_path / "one.json").read_text())
    assert (one["device"], one["date"]) == ("CPU", "2020-01-01")
    assert one["commit"] and one["environment"]["python"]
    harness.write(tmp_path / "several.json", {"a": one})
    assert json.loads((tmp_path / "several.json").read_text()) == {"a": one}


def test_a_run_that_is_kept_leaves_its_checkpoints_and_shares_its_tokenizer(tmp_path, monkeypatch):
    config = TrainConfig(ModelConfig.preset("tales-1m"), data_bytes=1000)
    tokenizer = Tokenizer({i: bytes([i]) for i in range(256)}, [])
    for name in ("a", "b"):
        record = RunRecord.create(tmp_path / name, config, {"data": {"tokenizer": tokenizer.fingerprint[:16]}})
        tokenizer.save(record.tokenizer_folder)
        (record.folder / "checkpoints").mkdir()
        with pytest.raises(ValueError, match="only a run that is over"):
            filing.keep(record.folder, name, tmp_path / "results")
        record.set_status("finished", 7)
        kept = filing.keep(record.folder, name, tmp_path / "results")
        assert {path.name for path in kept.iterdir()} == {
            "config.json",
            "environment.json",
            "metrics.jsonl",
            "status.json",
        }
    monkeypatch.setattr(results, "folder", lambda: tmp_path / "results")
    assert RunRecord(kept).tokenizer.fingerprint == tokenizer.fingerprint
    assert len(list((tmp_path / "results/tokenizers/of-runs").iterdir())) == 1
    with pytest.raises(FileExistsError):
        filing.keep(tmp_path / "a", "a", tmp_path / "results")


def test_each_tokenizer_of_a_run_is_there_and_is_its_own():
    for path in sorted(results.folder().rglob("config.json")):
        record = RunRecord(path.parent)
        assert record.tokenizer.fingerprint[:16] == record.environment["data"]["tokenizer"], path
