"""What a run survives: gradients that are no numbers, damaged checkpoints, full disks, locks that are not there."""

import errno
import fcntl
import json
import math
import multiprocessing
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from forked_ranks import start
from training_setup import CONFIG, corpus, write_sample

from cs336_lib import locks
from cs336_lib.cli import main
from cs336_lib.training import RunRecord, Trainer, setup
from cs336_lib.training.checkpoints.run import RunCheckpoints
from cs336_lib.training.checkpoints.snapshot import BadCheckpointError, NoCheckpointError, Snapshot
from cs336_lib.training.corpus import whole_documents
from cs336_lib.training.resuming import check_same_run, identity
from cs336_lib.training.stopping import Interrupted

SAVES = CONFIG.replace(steps=12, warmup_steps=2, decay_steps=0, checkpoint_every=4, log_every=1, eval_every=4)


def trainer(folder, config=SAVES, **options):
    return Trainer(config, folder, corpus(), progress=False, **options)


def stop_after(running, step):
    """Let a run stop by itself, as on Ctrl-C, after a step."""
    take = running._train_step

    def counted():
        lr = take()
        if running.step == step:
            os.kill(os.getpid(), 2)
        return lr

    running._train_step = counted
    with pytest.raises(Interrupted):
        running.fit()


def lines(folder):
    return (folder / "metrics.jsonl").read_text().splitlines()


@pytest.fixture
def stopped(tmp_path):
    """A run that was stopped at step 10, with checkpoints of 8 and 10."""
    stop_after(trainer(tmp_path / "run"), 10)
    return tmp_path / "run"


@pytest.mark.filterwarnings("ignore:skipping a checkpoint")
def test_a_run_whose_checkpoints_are_all_damaged_is_not_begun_anew(stopped, capsys):
    before = lines(stopped)
    for path in (stopped / "checkpoints").glob("step-*/optimizer.safetensors"):
        path.write_bytes(b"\0" + path.read_bytes()[1:])
    with pytest.raises(BadCheckpointError, match="--anew"):
        Trainer.resume(stopped, corpus(), progress=False)
    assert main(["resume", str(stopped), "--quiet"]) == 2
    assert "no good checkpoint left" in capsys.readouterr().err
    assert lines(stopped) == before


@pytest.mark.parametrize("gone", ["folders", "all"])
def test_a_run_whose_checkpoints_are_gone_is_not_begun_anew(stopped, gone):
    before = lines(stopped)
    for path in (stopped / "checkpoints").glob("*" if gone == "all" else "step-*"):
        shutil.rmtree(path)
    with pytest.raises(NoCheckpointError, match="mounted"):
        Trainer.resume(stopped, corpus(), progress=False)
    assert lines(stopped) == before
    again = Trainer.resume(stopped, corpus(), progress=False, anew=True)
    assert again.step == 0 and lines(stopped) == []


@pytest.mark.parametrize("steps", [3, 4])
def test_a_run_that_had_no_checkpoint_yet_begins_anew_by_itself(tmp_path, steps):
    """Also one that was killed in step 4, between the line that is due and the first checkpoint."""
    running = trainer(tmp_path / "run")
    for _ in range(steps):
        running._train_step()
        running._lines.write(running.step, {"train_loss": 1.0})
    assert Trainer.resume(tmp_path / "run", corpus(), progress=False).step == 0


def test_a_disk_that_fails_for_a_moment_is_no_damage(stopped, monkeypatch):
    before = lines(stopped)

    def failing(path):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("cs336_lib.training.checkpoints.files.file_hash", failing)
    with pytest.raises(OSError, match="Input/output"):
        Trainer.resume(stopped, corpus(), progress=False)
    assert lines(stopped) == before
    monkeypatch.undo()
    assert Trainer.resume(stopped, corpus(), progress=False).step == 10


@pytest.mark.filterwarnings("ignore:skipping a checkpoint")
def test_new_checkpoints_outlive_later_ones_that_are_damaged(tmp_path):
    checkpoints = RunCheckpoints(tmp_path, keep=2)
    for step in (2, 40, 50):
        checkpoints.save(Snapshot(step, {"w": torch.full((2,), float(step))}))
    for step in (40, 50):
        (checkpoints.path(step) / "model.safetensors").write_bytes(b"no")
    shutil.rmtree(checkpoints.path(2), ignore_errors=True)
    checkpoints.save(Snapshot(15, {"w": torch.full((2,), 15.0)}))
    assert checkpoints.load().step == 15


@pytest.mark.parametrize("where", ["weights", "gradient"])
@pytest.mark.parametrize("keep", [1, 2])
def test_weights_that_are_no_numbers_are_never_the_last_good_ones(tmp_path, where, keep):
    running = trainer(tmp_path / "run", SAVES.replace(keep_checkpoints=keep))
    take = running._train_step

    def poisoned():
        lr = take()
        if running.step == 8:  # a checkpoint is due, and the loss of this step was fine
            with torch.no_grad():
                next(running.model.parameters())[0, 0] = math.nan if where == "weights" else math.inf
        return lr

    running._train_step = poisoned
    running._evaluate_and_keep_best = lambda: None
    record = running.fit()
    assert record.status["status"] == "diverged" and "no number" in record.status["message"]
    last = running.checkpoints.load("last")
    assert last.step == 4 and all(torch.isfinite(value).all() for value in last.weights.values())


def test_weights_that_are_no_numbers_are_never_the_best_ones(tmp_path):
    """A row of the embedding that no text of the validation set reads: its loss is fine, and smaller than before."""
    running = trainer(tmp_path / "run")
    step, evaluate = running._train_step, running.evaluate
    assert 0 not in running.corpus.valid

    def poisoned():
        lr = step()
        if running.step == 8:
            with torch.no_grad():
                next(running.model.parameters())[0, 0] = math.nan
        return lr

    running._train_step = poisoned
    running.evaluate = lambda: replace(evaluate(), loss=4.0 - running.step / 10)
    running._save = lambda: None
    record = running.fit()
    assert record.status["status"] == "diverged" and "no number" in record.status["message"]
    assert record.series("valid_loss") == ([4, 8], [3.6, 3.2])
    assert running.checkpoints.steps("best") == [4]


def test_an_error_in_a_sample_costs_no_work(tmp_path):
    def broken(model, tokenizer, config):
        raise ValueError("no sample")

    running = trainer(tmp_path / "run", SAVES.replace(sample_every=8), write_sample=broken)
    with pytest.raises(ValueError, match="no sample"):
        running.fit()
    assert running.checkpoints.load("last").step == 8


def test_a_prompt_that_no_sample_can_begin_with_is_refused_at_the_start(tmp_path):
    with pytest.raises(ValueError, match="sample_prompt"):
        trainer(tmp_path / "run", SAVES.replace(sample_prompt="caf\udce9"), write_sample=write_sample)
    assert not (tmp_path / "run").exists()


def test_every_flip_in_state_json_is_refused(tmp_path):
    checkpoints = RunCheckpoints(tmp_path)
    state = {"state": {0: {"step": 160, "m": torch.ones(3)}}, "param_groups": [{"lr": 0.1, "betas": (0.9, 0.95)}]}
    extra = {"sampler": {"position": 160, "seed": 3, "tokens": 1000}, "best": 2.5, "seconds": 1.25}
    path = checkpoints.save(Snapshot(8, {"w": torch.ones(4)}, state, {}, extra)) / "state.json"
    raw, chance = path.read_bytes(), random.Random(0)
    good = checkpoints.load(8)
    for _ in range(400):
        place, bit = chance.randrange(len(raw)), chance.randrange(8)
        path.write_bytes(raw[:place] + bytes([raw[place] ^ 1 << bit]) + raw[place + 1 :])
        try:
            loaded = checkpoints.load(8)
        except BadCheckpointError:
            continue
        assert (loaded.step, loaded.extra, loaded.optimizer["param_groups"]) == (  # white space
            good.step,
            good.extra,
            good.optimizer["param_groups"],
        ), (place, bit)


def test_a_checkpoint_of_before_has_no_hash_of_its_own_and_loads(tmp_path):
    checkpoints = RunCheckpoints(tmp_path)
    path = checkpoints.save(Snapshot(1, {"w": torch.ones(2)})) / "state.json"
    state = json.loads(path.read_text())
    del state["state_sha256"]
    path.write_text(json.dumps(state))
    assert checkpoints.load().step == 1


@pytest.mark.parametrize("which", [8, "8", "step-00000008", "checkpoints/step-00000008", "last", "latest", "best"])
def test_a_checkpoint_has_many_names(stopped, which):
    assert RunCheckpoints(stopped / "checkpoints").load(which).step in (8, 10)


def test_a_checkpoint_that_is_not_there_names_those_that_are(stopped):
    with pytest.raises(NoCheckpointError, match=r"'foo'; it has: step-00000008, step-00000010, best-\d+"):
        RunCheckpoints(stopped / "checkpoints").load("foo")


@pytest.mark.filterwarnings("ignore:skipping a checkpoint")
def test_the_best_one_can_be_read_while_it_is_replaced(tmp_path):
    writer, reader = RunCheckpoints(tmp_path), RunCheckpoints(tmp_path)
    writer.save(Snapshot(1, {"w": torch.ones(2)}))
    writer.save_best(Snapshot(1, {"w": torch.ones(2)}))
    done = threading.Event()

    def replace():
        for step in range(2, 150):
            writer.save_best(Snapshot(step, {"w": torch.full((2,), float(step))}))
        done.set()

    thread = threading.Thread(target=replace)
    thread.start()
    while not done.is_set():
        found = reader.load("best")
        assert found.weights["w"][0] == found.step
    thread.join()


@pytest.mark.filterwarnings("ignore:skipping a checkpoint")
def test_the_last_one_is_taken_where_the_best_is_damaged(stopped):
    for path in (stopped / "checkpoints").glob("best-*/model.safetensors"):
        path.write_bytes(b"no")
    assert RunCheckpoints(stopped / "checkpoints").load("best").step == 10


def test_a_short_write_leaves_no_half_line(tmp_path, monkeypatch):
    record = RunRecord.create(tmp_path / "run", CONFIG, {})
    record.append({"step": 1, "tokens": 1})

    class Short:
        def __init__(self, file):
            self.file = file

        def __enter__(self):
            return self

        def __exit__(self, *error):
            self.file.close()

        def __getattr__(self, name):
            return getattr(self.file, name)

        def write(self, raw):
            return self.file.write(raw[: len(raw) // 2])

    plain = Path.open
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", lambda path, *rest, **options: Short(plain(path, *rest, **options)))
        with pytest.raises(OSError, match="bytes could be written"):
            record.append({"step": 2, "tokens": 2})
    record.append({"step": 3, "tokens": 3})
    assert record.series("tokens")[0] == [1, 3]


@pytest.mark.parametrize("answer", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL])
def test_a_run_works_on_a_mount_without_locks(tmp_path, monkeypatch, capsys, answer):
    def no_locks(file, kind):
        raise OSError(answer, os.strerror(answer))

    monkeypatch.setattr(fcntl, "flock", no_locks)
    monkeypatch.setattr(locks, "_said", set())
    record = trainer(tmp_path / "run").fit()
    assert record.status["status"] == "finished"
    assert capsys.readouterr().err.count("without locks") >= 1
    record.set_status("running", 3)
    assert record.status["status"] == "running"  # nobody can tell that it is not


@pytest.mark.parametrize("answer", [errno.EINVAL, errno.ENOTSUP])
def test_a_mount_that_can_not_flush_folders_is_good_enough(tmp_path, monkeypatch, answer):
    sync = os.fsync

    def only_files(descriptor):
        if Path(f"/proc/self/fd/{descriptor}").is_dir():
            raise OSError(answer, os.strerror(answer))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", only_files)
    assert trainer(tmp_path / "run").fit().status["status"] == "finished"


def test_readers_never_turn_a_writer_away(tmp_path):
    record = RunRecord.create(tmp_path / "run", CONFIG, {})
    stop = threading.Event()

    def look():
        while not stop.is_set():
            record.is_locked()

    readers = [threading.Thread(target=look) for _ in range(2)]
    for reader in readers:
        reader.start()
    try:
        for _ in range(400):
            with record.locked():
                pass
    finally:
        stop.set()
        for reader in readers:
            reader.join()


def test_a_forked_child_does_not_keep_a_lock(tmp_path):
    with locks.held(tmp_path / "lock", "busy"):
        child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(30,))
        child.start()
    try:
        with locks.held(tmp_path / "lock", "busy"):
            pass
    finally:
        child.kill()
        child.join()


def test_who_holds_a_lock_is_said_and_can_be_waited_for(tmp_path):
    code = (
        "import sys, time; from pathlib import Path; from cs336_lib.locks import held\n"
        "with held(Path(sys.argv[1]), 'busy'):\n    print('held', flush=True); time.sleep(1.0)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "lock")], stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline().strip() == "held"
        who = rf"busy \(process {other.pid} on "
        with pytest.raises(locks.BusyError, match=who), locks.held(tmp_path / "lock", "busy"):
            pass
        said = []
        with locks.held(tmp_path / "lock", "busy", wait=said.append):
            assert len(said) == 1 and "waiting" in said[0]


@pytest.mark.parametrize("host", ["h\udcff", "h\xe9", "\udc80" * 60])
def test_a_host_may_have_any_bytes_for_a_name(tmp_path, monkeypatch, host):
    monkeypatch.setattr("socket.gethostname", lambda: host)
    with locks.held(tmp_path / "lock", "busy"):
        assert locks.who_holds(tmp_path / "lock").startswith("process ")
        with pytest.raises(locks.BusyError, match=rf"busy \(process {os.getpid()} on ") as caught:
            locks.held(tmp_path / "lock", "busy").__enter__()
        assert str(caught.value).encode()
    with locks.held(tmp_path / "lock", "busy"):
        pass


@pytest.mark.parametrize("raw", [b"\xff\xfe\x80", b"", b"two\nlines \xc3", bytes(range(256)), b"\xef\xbb\xbfbom"])
def test_a_lock_may_hold_any_bytes(tmp_path, raw):
    path = tmp_path / "lock"
    path.write_bytes(raw)
    with path.open("rb+") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(locks.BusyError, match="busy") as caught:
            locks.held(path, "busy").__enter__()
        assert "\n" not in str(caught.value)
    with locks.held(path, "busy"):
        assert locks.who_holds(path).startswith("process ")


def begin(folder, seed):
    """Begin a run, or end with 3 where somebody else has begun it."""
    try:
        RunRecord.create(folder, CONFIG.replace(seed=seed), {"seed": seed})
    except FileExistsError:
        sys.exit(3)


def test_two_that_begin_one_run_do_not_mix(tmp_path):
    for round_ in range(3):
        folder = tmp_path / str(round_)
        started = [start(begin, folder, seed) for seed in (1, 2)]
        for process in started:
            process.join(60)
        assert sorted(process.exitcode for process in started) == [0, 3]
        assert RunRecord(folder).config.seed == RunRecord(folder).environment["seed"]


def test_one_damaged_folder_does_not_hide_the_other_runs(tmp_path, capsys):
    for name in ("a", "b", "c", "d"):
        RunRecord.create(tmp_path / name, CONFIG, {}).append({"step": 1, "tokens": 8, "train_loss": 2.0})
    (tmp_path / "b" / "status.json").write_text("")
    (tmp_path / "c" / "config.json").write_text('{"architectures": ["LlamaForCausalLM"]}')
    (tmp_path / "d" / "metrics.jsonl").write_text('{"step": 1, "train_loss": null}\n')
    assert main(["runs", str(tmp_path)]) == 0
    shown = capsys.readouterr()
    assert "\na " in shown.out
    for name in ("b", "c"):
        assert f"{tmp_path / name}" in shown.err and f"\n{name} " not in shown.out


@pytest.mark.parametrize(
    ("text", "size", "expected"),
    [
        (b"preface\n<|endoftext|>\n" + b"one long novel \n" * 20_000, 200_000, range(180_000, 200_001)),
        (("\N{SNOWMAN}" * 100_000).encode(), 100_000, range(99_990, 100_001)),
        (b"a<|endoftext|>" * 10_000, 100_000, range(99_900, 100_001)),
    ],
)
def test_the_beginning_of_a_text_is_about_the_size_that_was_asked_for(tmp_path, text, size, expected):
    (tmp_path / "text").write_bytes(text)
    with (tmp_path / "text").open("rb") as file:
        found = whole_documents(file, size)
    assert found in expected
    text[:found].decode()


def test_a_tokenizer_that_was_half_saved_is_made_again(tmp_path, monkeypatch):
    monkeypatch.setenv("CS336_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "cats.txt").write_text("The cat sat on the mat.\n<|endoftext|>\n" * 400)
    config = SAVES.replace(data=str(tmp_path / "cats.txt"), model=SAVES.model.replace(vocab_size=300, context_length=8))
    from cs336_lib.training import prepare

    first = prepare(config).tokenizer
    (folder,) = (tmp_path / "cache/prepared").glob("*-bpe-300")
    for missing in ("tokenizer_config.json", "vocab.json", "merges.txt"):
        (folder / missing).unlink()
        assert prepare(config).tokenizer.fingerprint == first.fingerprint


def test_mirrors_of_a_resumed_run_go_on_as_the_same_run(tmp_path, monkeypatch):
    from types import SimpleNamespace

    opened, began = [], []

    class SummaryWriter:
        def __init__(self, folder, purge_step):
            opened.append(purge_step)

        def add_scalar(self, *what):
            pass

        def close(self):
            pass

    class Run:
        id = "abc"

        def log(self, values, step):
            pass

        def finish(self):
            pass

    def init(**options):
        began.append((options.get("id"), options.get("resume")))
        return Run()

    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", SimpleNamespace(SummaryWriter=SummaryWriter))
    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=init))
    stop_after(trainer(tmp_path / "run", SAVES.replace(tensorboard=True, wandb="project")), 10)
    Trainer.resume(tmp_path / "run", corpus(), progress=False).fit()
    assert opened == [None, 11] and began == [(None, None), ("abc", "allow")]


@pytest.mark.parametrize(
    ("memory", "words"), [(2_000_000, "of 2.0 MB, where 40 fit in float32"), (None, "memory. Use accum")]
)
def test_a_device_with_too_little_memory_is_told_in_one_line(tmp_path, monkeypatch, memory, words):
    def full(self):
        raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate 2.44 GiB.")

    monkeypatch.setattr(Trainer, "_train_step", full)
    trainer = Trainer(CONFIG.replace(batch_size=64), tmp_path / "run", corpus(), progress=False)
    monkeypatch.setattr(setup, "memory_of", lambda device: memory)
    with pytest.raises(RuntimeError, match="out of memory at step 0: a part of 64 sequences does not fit") as error:
        trainer.fit()
    said = str(error.value)
    assert words in said and "Use accumulation 2 or more, loss_chunk 8192" in said and "\n" not in said
    assert trainer.record.status["status"] == "interrupted"


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('"num_heads": 2', '"num_heads": 4', "config.json says model.num_heads = 4, and the checkpoint of step"),
        ('"rope_theta": 10000.0', '"rope_theta": 500.0', "says model.rope_theta = 500.0, .* saved with 'the default'"),
        ('"lr": 0.01', '"lr": 0.1', "config.json says lr = 0.1, and the checkpoint of step"),
        ('"d_ff": 32', '"d_ff": 64', "config.json says model.d_ff = 64"),
    ],
)
def test_a_config_that_was_edited_since_is_told_by_the_checkpoint(stopped, old, new, says):
    config = stopped / "config.json"
    assert old in config.read_text()
    config.write_text(config.read_text().replace(old, new))
    with pytest.raises(ValueError, match=says):
        Trainer.resume(stopped, corpus(), progress=False)
    for which in ("best", "last"):
        snapshot = RunCheckpoints(stopped / "checkpoints").load(which)
        with pytest.raises(ValueError, match=says):
            check_same_run(RunRecord(stopped).config, snapshot)


def test_what_makes_no_other_run_may_be_edited(stopped):
    config = stopped / "config.json"
    edited = json.loads(config.read_text()) | {"name": "other", "log_every": 3, "steps": 14, "tensorboard": False}
    config.write_text(json.dumps(edited))
    assert Trainer.resume(stopped, corpus(), progress=False).step == 10


def test_a_checkpoint_of_an_older_version_does_not_tell():
    check_same_run(SAVES, Snapshot(3, {}))
    check_same_run(SAVES, Snapshot(3, {}, extra={"config": identity(SAVES)}))
