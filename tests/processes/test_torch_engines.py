"""DDP and FSDP2 compute what one process computes; what two processes cannot do, they say and end."""

import json
import multiprocessing
import os
import pickle
import shutil
import signal
import threading
import time

import pytest
import torch
from dist_torch_setup import CASES, CONFIG, MODEL, set_type, train
from dist_torch_worker import leave_at_once, work
from forked_ranks import launch, start
from kernel_copies import cache_with_kernels

from cs336_lib.model import ModelConfig
from cs336_lib.training import RunRecord
from cs336_lib.training.checkpoints.files import write_state
from cs336_lib.training.checkpoints.reading import read_snapshot
from cs336_lib.training.checkpoints.run import RunCheckpoints
from cs336_lib.training.checkpoints.snapshot import BadCheckpointError

pytestmark = [pytest.mark.dist, pytest.mark.xdist_group("ranks")]
BOTH = pytest.mark.parametrize("parallel", ["ddp", "fsdp"])


@pytest.fixture(autouse=True)
def default_type():
    """Give the type that other tests expect back."""
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Everything that one process and two have done."""
    folder = tmp_path_factory.mktemp("ranks")
    try:
        for case, config in CASES.items():
            set_type(case)
            (folder / f"{case}.json").write_text(json.dumps(train(folder / f"one-{case}", config)))
        set_type("adamw")
        for optimizer in ("adamw", "muon"):
            train(folder / f"stopped-{optimizer}", CONFIG.replace(optimizer=optimizer), stop_before=4)
    finally:
        torch.set_default_dtype(torch.float32)
    wide = json.dumps(CONFIG.replace(model=ModelConfig(**{**MODEL.__dict__, "d_ff": 40})).to_dict())
    for parallel in ("ddp", "fsdp"):
        for optimizer in ("adamw", "muon"):
            shutil.copytree(folder / f"stopped-{optimizer}", folder / f"{parallel}-{optimizer}-one-to-two")
        shutil.copytree(folder / "stopped-adamw", folder / f"{parallel}-other")
        (folder / f"{parallel}-other" / "config.json").write_text(wide)
    done, said = launch(work, folder, cache_with_kernels(folder / "cache"), logs=folder)
    assert done is not None, said[-4000:]
    return folder


def results(folder):
    return [json.loads((folder / f"rank-{rank}.json").read_text()) for rank in range(2)]


def assert_same_run(ours, theirs, tolerance):
    for name in ("train_loss", "grad_norm", "valid_loss", "valid_tokens", "lr"):
        assert RunRecord(ours).series(name)[0] == RunRecord(theirs).series(name)[0]
        torch.testing.assert_close(
            RunRecord(ours).series(name)[1], RunRecord(theirs).series(name)[1], rtol=tolerance, atol=tolerance
        )
    a, b = (RunCheckpoints(run / "checkpoints").load("last") for run in (ours, theirs))
    assert a.step == b.step == 5 and a.weights.keys() == b.weights.keys()
    for name, weight in a.weights.items():
        torch.testing.assert_close(weight, b.weights[name], rtol=tolerance, atol=tolerance)
    for index, values in b.optimizer["state"].items():
        for key, value in values.items():
            torch.testing.assert_close(a.optimizer["state"][index][key], value, rtol=tolerance, atol=tolerance)


@BOTH
@pytest.mark.parametrize("case", CASES)
def test_two_processes_compute_what_one_does(folder, parallel, case):
    """Losses, norms before clipping (all above the limit), evaluation, weights and moments after five steps."""
    assert min(RunRecord(folder / f"one-{case}").series("grad_norm")[1]) > CONFIG.grad_clip
    tolerance = 1e-5 if case == "float32" else 1e-10
    assert_same_run(folder / f"{parallel}-{case}", folder / f"one-{case}", tolerance)


def test_the_order_of_decay_shows_in_the_last_digits(folder):
    first, last = (RunRecord(folder / name).series("train_loss")[1] for name in ("one-adamw", "one-decay-last"))
    assert first[0] == last[0] and first != last
    assert max(abs(a - b) for a, b in zip(first, last, strict=True)) < 1e-3


def test_parts_of_a_batch_add_up_to_the_batch(folder):
    for name in ("one", "ddp", "fsdp"):
        assert_same_run(folder / f"{name}-accumulated", folder / "one-adamw", 1e-10)


@BOTH
@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_saved_at_one_and_gone_on_with_at_two(folder, parallel, optimizer):
    assert_same_run(folder / f"{parallel}-{optimizer}-one-to-two", folder / f"one-{optimizer}", 1e-10)


@BOTH
@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_saved_at_two_and_gone_on_with_at_one(folder, parallel, optimizer):
    run = folder / f"{parallel}-{optimizer}-two-to-one"
    assert RunCheckpoints(run / "checkpoints").steps() == [3]
    set_type("adamw")
    train(run, None, resume=True)
    assert_same_run(run, folder / f"one-{optimizer}", 1e-10)


@BOTH
def test_ranks_read_disjoint_windows_and_together_those_of_one_process(folder, parallel):
    alone = json.loads((folder / "adamw.json").read_text())
    for name, first in ((f"{parallel}-adamw", 0), (f"{parallel}-adamw-one-to-two", 3)):
        zero, one = (rank["read"][name] for rank in results(folder))
        assert [step for step, _ in zero] == list(range(first, 5))
        for (_, a), (_, b), (_, both) in zip(zero, one, alone[first:], strict=True):
            assert a + b == both
            assert len({tuple(row) for row in both}) == len(both), "the windows of this corpus all differ"


@BOTH
def test_a_damaged_shard_costs_only_its_steps(folder, parallel):
    for rank in results(folder):
        (said,) = rank["errors"][f"{parallel}-damaged"]
        assert "step-00000004" in said and "does not match its hash" in said
    assert RunRecord(folder / f"{parallel}-damaged").environment["resumed"][0]["step"] == 2
    assert_same_run(folder / f"{parallel}-damaged", folder / "one-adamw", 1e-10)


@BOTH
def test_only_the_wanted_checkpoints_stay_and_are_whole(folder, parallel):
    checkpoints = RunCheckpoints(folder / f"{parallel}-adamw" / "checkpoints")
    assert checkpoints.steps() == [3, 5] and len(checkpoints.steps("best")) == 1
    assert not list(checkpoints.folder.glob(".*.part"))


def test_the_record_says_how_it_was_run(folder):
    about = RunRecord(folder / "fsdp-adamw").environment
    assert (about["parallel"], about["world_size"]) == ("fsdp", 2)


@BOTH
@pytest.mark.parametrize(
    ("what", "kind", "words"),
    [
        ("batch", "ValueError", "batch_size is 7, which 2 processes with accumulation = 1 can't share"),
        ("config", "ValueError", "rank 1 has another config than rank 0: lr is 1.01, not 0.01"),
        ("text", "FileNotFoundError", "rank 1 of 2: "),
        ("other", "ValueError", "config.json says model.d_ff = 40, and the checkpoint of step 3 was saved with 24"),
        ("taken", "FileExistsError", "holds a run already"),
    ],
)
def test_bad_input_ends_all_ranks_and_rank_0_tells(folder, parallel, what, kind, words):
    errors = [rank["errors"][f"{parallel}-{what}"] for rank in results(folder)]
    for error in errors:
        assert error[0] == kind and words in error[1]
    assert [bool(error[2]) for error in errors] == [False, True]
    assert not (folder / "never").exists()


class _Harm:
    def __reduce__(self):
        return os.system, ("true",)


def test_a_list_of_contents_that_would_run_code_is_refused(folder, tmp_path):
    import hashlib
    import pickle

    run = shutil.copytree(folder / "fsdp-adamw" / "checkpoints" / "step-00000005", tmp_path / "step")
    (run / "shards/.metadata").write_bytes(pickle.dumps(_Harm()))
    state = json.loads((run / "state.json").read_text())
    state["sha256"]["shards/.metadata"] = hashlib.sha256((run / "shards/.metadata").read_bytes()).hexdigest()
    del state["state_sha256"]
    write_state(run, state)
    with pytest.raises(BadCheckpointError, match="which no checkpoint does"):
        read_snapshot(run)


def test_a_group_is_left_while_its_threads_still_work(tmp_path):
    """Without the last lines of `started` this hangs: a thread and DDP's end wait for each other."""
    process = start(leave_at_once, tmp_path)
    process.join(60)
    process.kill()
    assert process.exitcode == 0


def test_a_test_that_runs_out_of_time_leaves_no_rank_behind(tmp_path):
    def out_of_time(number, frame):
        raise TimeoutError("out of time")

    before = set(multiprocessing.active_children())
    handler = signal.signal(signal.SIGUSR1, out_of_time)
    threading.Timer(3, os.kill, (os.getpid(), signal.SIGUSR1)).start()
    try:
        with pytest.raises(TimeoutError, match="out of time"):
            launch(time.sleep, 45, logs=tmp_path)
    finally:
        signal.signal(signal.SIGUSR1, handler)
    assert set(multiprocessing.active_children()) <= before
    assert not any(thread.name.endswith("(run)") for thread in threading.enumerate())


def test_what_the_launcher_itself_gets_wrong_is_raised(tmp_path):
    with pytest.raises((AttributeError, pickle.PicklingError)):
        launch(lambda: None, logs=tmp_path)
