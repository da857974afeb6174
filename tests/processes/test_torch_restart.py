"""The ranks are started again when one is killed, and the run goes on by itself.

What starts them is the function under `torchrun`; two slow tests take the command, of which each start imports torch
thrice. Chapter 11 takes it, too, each time.
"""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from dist_torch_dies import do_all
from forked_ranks import launch
from kernel_copies import cache_with_kernels

from cs336_lib.cli import main
from cs336_lib.training import RunRecord
from cs336_lib.training.checkpoints.run import RunCheckpoints

pytestmark = pytest.mark.dist
HERE = Path(__file__).parent
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
TEXT = "The cat sat on the mat. The dog ran to the cat.<|endoftext|>" * 80


def command(folder, parallel, name, *options, code=0, **when):
    arguments = ["train", "tales-1m", "--parallel", parallel, "--name", name]
    arguments += ["--data", str(folder / "cats.txt"), "--model.vocab-size", "270", "--model.d-model", "16"]
    arguments += ["--model.num-layers", "1", "--model.num-heads", "2", "--model.context-length", "16", "--quiet"]
    arguments += ["--batch-size", "4", "--steps", "12", "--warmup-steps", "2", "--log-every", "1", "--device", "cpu"]
    arguments += ["--checkpoint-every", "4", "--sample-tokens", "4", "--runs", str(folder), *options]
    return {"name": name, "arguments": arguments, "code": code, "die_before": None, "sleep_before": None, **when}


def torchrun(*arguments):
    """Run the command and return what came of it."""
    variables = {**os.environ, "PYTHONPATH": str(HERE.parents[1]), "OMP_NUM_THREADS": "1"}
    return subprocess.run([*TORCHRUN, *arguments], env=variables, capture_output=True, text=True, timeout=240)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What came of six commands under one launcher, which may start its ranks again twice: once for each that dies."""
    folder = tmp_path_factory.mktemp("torchrun")
    (folder / "cats.txt").write_text(TEXT)
    commands = [command(folder, "fsdp", "bad", "--batch-size", "5", code=2)]
    for parallel in ("ddp", "fsdp"):
        commands.append(command(folder, parallel, f"whole-{parallel}"))
        commands.append(command(folder, parallel, f"killed-{parallel}", die_before=6))
    commands.append(command(folder, "ddp", "hangs", "--timeout", "8", sleep_before=6, code=1))
    (folder / "commands.json").write_text(json.dumps(commands))
    done, stderr = launch(do_all, folder, cache_with_kernels(folder / "cache"), logs=folder, restarts=2)
    (folder / "stderr").write_text(stderr)
    assert done is None, "the last command fails, and all restarts are used up"
    return folder


def said(folder, name, rank):
    """What a command told in a rank; see `dist_torch_dies.py`."""
    note = folder / f"{name}.{rank}.json"
    assert note.exists(), [path.name + path.read_text() for path in (*folder.glob("*.failed-*"), folder / "stderr")]
    return json.loads(note.read_text())


def weights_hash(run):
    weights = RunCheckpoints(run / "checkpoints").load("last").weights
    return hashlib.sha256(b"".join(weights[name].numpy().tobytes() for name in sorted(weights))).hexdigest()


@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_killed_in_the_middle_and_finished_with_the_same_weights(folder, parallel):
    names = f"whole-{parallel}", f"killed-{parallel}"
    for name in names:
        ranks = [said(folder, name, rank) for rank in range(2)]
        assert [rank["code"] for rank in ranks] == [0, 0], ranks
        assert ["finished: step 12" in rank["out"] for rank in ranks] == [True, False], "rank 0 alone tells"
    assert (folder / f"{names[1]}.died").exists()
    records = [RunRecord(folder / name) for name in names]
    assert [resumed["step"] for resumed in records[1].environment["resumed"]] == [4]
    assert "resumed" not in records[0].environment
    assert records[0].series("train_loss") == records[1].series("train_loss")
    assert records[0].samples() == records[1].samples() and len(records[0].samples()) == 1
    hashes = [weights_hash(folder / name) for name in names]
    assert hashes[0] == hashes[1]
    print(parallel, *hashes)


@pytest.mark.slow
def test_torchrun_starts_again_what_was_killed(folder, tmp_path):
    (tmp_path / "cats.txt").write_text(TEXT)
    killed = command(tmp_path, "fsdp", "killed", die_before=6)
    (tmp_path / "commands.json").write_text(json.dumps([killed]))
    done = torchrun("--max-restarts=1", str(HERE / "dist_torch_dies.py"), str(tmp_path), str(folder / "cache"))
    assert done.returncode == 0, done.stderr[-4000:]
    assert [resumed["step"] for resumed in RunRecord(tmp_path / "killed").environment["resumed"]] == [4]
    assert weights_hash(tmp_path / "killed") == weights_hash(folder / "whole-fsdp")


@pytest.mark.slow
def test_torchrun_starts_a_command_and_one_rank_tells_what_is_wrong(folder):
    arguments = command(folder, "ddp", "never", "--batch-size", "5")["arguments"]
    done = torchrun("-m", "cs336_lib", *arguments)
    errors = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert done.returncode != 0 and len(errors) == 1 and "batch_size is 5" in errors[0], done.stderr[-4000:]
    assert not (folder / "never").exists()


def test_a_rank_that_hangs_ends_the_run_after_the_timeout(folder):
    told = said(folder, "hangs", 0)
    (error,) = told["error"].splitlines()
    assert told["code"] != 0
    assert error.startswith("error: rank 0 of 2: another process did not answer within 8 s")
    assert "--timeout" in error and "resume" in error
    assert sorted(RunCheckpoints(folder / "hangs" / "checkpoints").steps()) == [4]


def test_a_bad_command_is_told_once_and_ends_all(folder):
    ranks = [said(folder, "bad", rank) for rank in range(2)]
    assert all(rank["code"] != 0 for rank in ranks) and not (folder / "bad").exists()
    assert ranks[0]["error"].startswith("error: batch_size is 5") and not ranks[1]["error"], "rank 0 alone tells"


def test_several_processes_need_to_know_how_to_share(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert main(["train", "tales-1m", "--runs", str(tmp_path)]) == 2
    assert "say how they share the work, --parallel ddp or fsdp" in capsys.readouterr().err


def test_sharing_needs_several_processes(tmp_path, capsys):
    assert main(["train", "tales-1m", "--runs", str(tmp_path), "--parallel", "ddp"]) == 2
    assert "torchrun --nproc-per-node=2" in capsys.readouterr().err
