"""torchrun starts the ranks, and starts them again when one is killed; the run goes on by itself."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cs336_lib.cli import main
from cs336_lib.training import RunRecord
from cs336_lib.training.checkpoints.run import RunCheckpoints

pytestmark = pytest.mark.dist
HERE = Path(__file__).parent


def torchrun(folder, parallel, name, *options, restarts=1, **environment):
    (folder / "cats.txt").write_text("The cat sat on the mat. The dog ran to the cat.<|endoftext|>" * 80)
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node=2",
        f"--max-restarts={restarts}",
    ]
    command += [str(HERE / "dist_torch_dies.py"), "train", "tales-1m", "--parallel", parallel, "--name", name]
    command += ["--data", str(folder / "cats.txt"), "--model.vocab-size", "270", "--model.d-model", "16"]
    command += ["--model.num-layers", "1", "--model.num-heads", "2", "--model.context-length", "16", "--quiet"]
    command += ["--batch-size", "4", "--steps", "12", "--warmup-steps", "2", "--log-every", "1", "--device", "cpu"]
    command += ["--checkpoint-every", "4", "--sample-tokens", "4", "--runs", str(folder), *options]
    variables = {**os.environ, "PYTHONPATH": str(HERE.parents[1]), "OMP_NUM_THREADS": "1", **environment}
    variables["CS336_CACHE_DIR"] = str(folder / "cache")
    return subprocess.run(command, env=variables, capture_output=True, text=True, timeout=90)


def weights_hash(run):
    weights = RunCheckpoints(run / "checkpoints").load("last").weights
    return hashlib.sha256(b"".join(weights[name].numpy().tobytes() for name in sorted(weights))).hexdigest()


@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_killed_in_the_middle_and_finished_with_the_same_weights(tmp_path, parallel):
    whole = torchrun(tmp_path, parallel, "whole")
    assert whole.returncode == 0, whole.stderr[-3000:]
    killed = torchrun(tmp_path, parallel, "killed", DIE_BEFORE="6")
    assert killed.returncode == 0, killed.stderr[-3000:]
    assert killed.stdout.count("finished: step 12") == 1, "rank 0 alone tells"
    records = [RunRecord(tmp_path / name) for name in ("whole", "killed")]
    assert [resumed["step"] for resumed in records[1].environment["resumed"]] == [4]
    assert "resumed" not in records[0].environment
    assert records[0].series("train_loss") == records[1].series("train_loss")
    assert records[0].samples() == records[1].samples() and len(records[0].samples()) == 1
    hashes = [weights_hash(tmp_path / name) for name in ("whole", "killed")]
    assert hashes[0] == hashes[1]
    print(parallel, *hashes)


def test_a_rank_that_hangs_ends_the_run_after_the_timeout(tmp_path):
    done = torchrun(tmp_path, "ddp", "hangs", "--timeout", "8", restarts=0, SLEEP_BEFORE="6")
    assert done.returncode != 0
    told = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert told[0].startswith("error: rank 0 of 2: another process did not answer within 8 s"), done.stderr[-3000:]
    assert "--timeout" in told[0] and "resume" in told[0]
    assert sorted(RunCheckpoints(tmp_path / "hangs" / "checkpoints").steps()) == [4]


def test_a_bad_command_is_told_once_and_ends_all(tmp_path):
    done = torchrun(tmp_path, "fsdp", "bad", "--batch-size", "5", restarts=0)
    assert done.returncode != 0 and not (tmp_path / "bad").exists()
    told = [line for line in done.stderr.splitlines() if line.startswith("error: batch_size is 5")]
    assert len(told) == 1, "rank 0 alone tells"


def test_several_processes_need_to_know_how_to_share(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert main(["train", "tales-1m", "--runs", str(tmp_path)]) == 2
    assert "say how they share the work, --parallel ddp or fsdp" in capsys.readouterr().err


def test_sharing_needs_several_processes(tmp_path, capsys):
    assert main(["train", "tales-1m", "--runs", str(tmp_path), "--parallel", "ddp"]) == 2
    assert "torchrun --nproc-per-node=2" in capsys.readouterr().err
