"""Whatever is written is whole or not there: every store, killed before each of its changes, and on a disk that fails.

A store is two functions: write a value (1 or 2) to a folder, and read which one is there. A new one is a new row.
"""

import errno
import itertools
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from cs336_lib import results
from cs336_lib.atomic import replacing, write_whole
from cs336_lib.bpe import Tokenizer
from cs336_lib.bpe.counting.counts_file import read_group, write_counts
from cs336_lib.bpe.counting.word_table import WordCounts
from cs336_lib.data import TokenFile, encode_file, tales
from cs336_lib.data.downloads import known_hash, remember_hash
from cs336_lib.data.joining import Joining
from cs336_lib.data.token_format import write_token_file
from cs336_lib.model import ModelConfig, TransformerLM, llama
from cs336_lib.model.llama import from_hf_llama, to_hf_llama
from cs336_lib.native.cache import read_cached, write_cached
from cs336_lib.optim import AdamW
from cs336_lib.training import RunRecord, TrainConfig, load_checkpoint, save_checkpoint
from cs336_lib.training.checkpoints.run import RunCheckpoints
from cs336_lib.training.checkpoints.sharded import ShardedCheckpoints
from cs336_lib.training.checkpoints.snapshot import Snapshot
from cs336_lib.training.ranks import Ranks

ROOT = Path(results.__file__).parents[1]
BYTES = {i: bytes([i]) for i in range(256)}
KINDS = {value: Tokenizer(BYTES, [], [f"<{value}>"]) for value in (1, 2)}
TINY = ModelConfig(vocab_size=11, context_length=8, d_model=16, num_layers=1, num_heads=2)
RUN = TrainConfig(TINY, data="counting", steps=4, warmup_steps=1)
MODELS = {}
for value in (1, 2):
    torch.manual_seed(value)
    MODELS[value] = TransformerLM(TINY)


def which_model(found):
    same = [value for value, model in MODELS.items() if torch.equal(found.lm_head.weight, model.lm_head.weight)]
    return same[0] if same else "a third one"


def which_tokenizer(found):
    same = [value for value, tokenizer in KINDS.items() if tokenizer.fingerprint == found.fingerprint]
    return same[0] if same else "a third one"


def harness_write(folder):
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        import harness
    finally:
        sys.path.pop(0)
    harness.write(folder / "record.json", {})


def encode(folder, value):
    text = folder.with_name(folder.name + f"-{value}.txt")
    text.write_text(f"text number {value} " * 20)
    encode_file(KINDS[1], text, folder / "x", workers=1)


def loaded_checkpoint(folder):
    model = TransformerLM(TINY)
    load_checkpoint(folder / "x", model)
    return which_model(model)


def status(folder, value):
    record = RunRecord(folder / "r") if (folder / "r").exists() else RunRecord.create(folder / "r", RUN, {})
    record.set_status("running", value)


def rewound(folder, value):
    record = RunRecord(folder / "r") if (folder / "r").exists() else RunRecord.create(folder / "r", RUN, {})
    (record.folder / "metrics.jsonl").write_text('{"step": 1}\n{"step": 2}\n')
    if value == 2:
        record.rewind(1)


def rewound_samples(folder, value):
    record = RunRecord(folder / "r") if (folder / "r").exists() else RunRecord.create(folder / "r", RUN, {})
    (record.folder / "samples.txt").write_bytes(b"=== step 1 ===\na\n\n=== step 2 ===\nb\n\n")
    if value == 2:
        record.rewind(1)


def note(folder, value):
    (folder / "t").write_text("x")
    remember_hash(folder / "t", str(value))


def saved(folder, value):
    RunCheckpoints(folder).save(Snapshot(value, {"w": torch.full((2,), float(value))}))


def tales_file(folder, value):
    tales.write(folder / "t", 3_000, value, workers=1)


def tales_seed(folder):
    text = (folder / "t").read_text()
    return next((seed for seed in (1, 2) if text.startswith(tales.story(seed, 0).text)), "a third one")


# name: (write a value to a folder, read it)
STORES = {
    "text": (lambda f, v: write_whole(f / "x", str(v)), lambda f: int((f / "x").read_text())),
    "token file": (
        lambda f, v: write_token_file(f / "x", [np.full(9, v)], vocab_size=9, tokenizer_sha256="a"),
        lambda f: int(TokenFile.open(f / "x").ids[0]),
    ),
    "encoded text": (encode, lambda f: int(KINDS[1].decode(TokenFile.open(f / "x").ids).split()[2])),
    "tokenizer": (lambda f, v: KINDS[v].save(f / "t"), lambda f: which_tokenizer(Tokenizer.from_folder(f / "t"))),
    "tokenizer.json": (
        lambda f, v: KINDS[v].to_hf_json(f / "t.json"),
        lambda f: which_tokenizer(Tokenizer.from_hf_json(f / "t.json")),
    ),
    "run checkpoint": (saved, lambda f: int(RunCheckpoints(f).load().weights["w"][0])),
    "best checkpoint": (
        lambda f, v: RunCheckpoints(f).save_best(Snapshot(v, {"w": torch.full((2,), float(v))})),
        lambda f: int(RunCheckpoints(f).load("best").weights["w"][0]),
    ),
    "one-file checkpoint": (
        lambda f, v: save_checkpoint(MODELS[v], AdamW(MODELS[v].parameters()), v, f / "x"),
        loaded_checkpoint,
    ),
    "status": (status, lambda f: RunRecord(f / "r").status["step"]),
    "rewound record": (rewound, lambda f: 3 - len(RunRecord(f / "r").metrics())),
    "rewound samples": (rewound_samples, lambda f: 3 - len(RunRecord(f / "r").samples())),
    "Llama": (
        lambda f, v: to_hf_llama(MODELS[v], f / "m"),
        lambda f: which_model(from_hf_llama(f / "m")),
    ),
    "counts": (
        lambda f, v: write_counts(f / "x", [WordCounts.from_mapping({b"a": v})]),
        lambda f: dict(read_group(f / "x", 0).items())[b"a"],
    ),
    "tales": (tales_file, tales_seed),
}  # fmt: skip
AGAIN = {"Llama"}
"""What does not promise to survive a cut of power: an export, which can be made again."""
FOLDERS = {"tokenizer", "Llama"}
"""Several files, renamed one after the other: a kill in between is found out when they are read, and not before."""


@pytest.fixture
def places(tmp_path):
    """Fresh folders, each with the first value in it."""
    made = []

    def place(write):
        folder = tmp_path / f"place-{len(made)}"
        folder.mkdir()
        made.append(folder)
        write(folder, 1)
        return folder

    return place


def names(folder):
    return sorted(path.relative_to(folder) for path in folder.rglob("*") if path.name != ".lock")


@pytest.mark.filterwarnings("ignore:skipping a checkpoint")
@pytest.mark.parametrize("store", STORES)
def test_a_kill_at_any_moment_leaves_the_old_or_the_new(store, disk, places):
    write, read = STORES[store]
    count = disk.changes(lambda: write(folder, 2)) if (folder := places(write)) else 0
    assert count > 0 and read(folder) == 2
    for number in range(count):
        folder = places(write)
        disk.killed_at(number, lambda: write(folder, 2))  # noqa: B023
        try:
            assert read(folder) in (1, 2), number
        except ValueError as error:
            assert store in FOLDERS, error
        write(folder, 2)
        assert read(folder) == 2, number
        assert not [path for path in names(folder) if path.suffix == ".ids"]


@pytest.mark.filterwarnings("ignore:skipping a checkpoint")
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("store", STORES)
def test_a_disk_that_fails_leaves_the_old_and_says_so(store, code, disk, places):
    write, read = STORES[store]
    count = disk.changes(lambda: write(folder, 2)) if (folder := places(write)) else 0
    for number in range(count):
        folder = places(write)
        before = names(folder)
        error = disk.failing_at(number, code, lambda: write(folder, 2))  # noqa: B023
        if error is None:  # it could be done without, or another way
            assert read(folder) == 2
            continue
        assert isinstance(error, OSError), error
        try:
            assert read(folder) in (1, 2), number
        except ValueError as found:
            assert store in FOLDERS, found
        left = [path for path in names(folder) if path not in before and re.search(r"\.(part|tmp|partial)$", path.name)]
        assert store in ("encoded text", "run checkpoint", "best checkpoint") or not left, (number, left)
        write(folder, 2)
        assert read(folder) == 2


WRITES = """
import sys
from pathlib import Path
from cs336_lib.atomic import check_own, replacing, targets, write_whole
from cs336_lib.data.token_format import write_token_file

def replaced(name):
    with replacing(name):
        pass

print("before", flush=True)
for name in sys.argv[1:]:
    for write in (
        *(replaced, lambda name: write_whole(name, ""), lambda name: targets(Path(), [name])),
        *(lambda name: write_token_file(name, [], vocab_size=1, tokenizer_sha256=""),),
    ):
        try:
            write(name)
        except FileExistsError as error:
            assert str(error).startswith(f"can't write {name}: it stands for what a process reads or prints"), error
        else:
            raise AssertionError(name)
print("after", flush=True)
"""


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="no such names here")
@pytest.mark.parametrize("mode", ["ab", "wb", "pipe"])
def test_names_of_standard_input_and_output_are_refused_whatever_they_lead_to(mode, tmp_path):
    log = tmp_path / "log"
    log.write_text("old\n")
    (tmp_path / "link").symlink_to("/dev/stdout")
    (tmp_path / "folder").mkdir()
    (tmp_path / "chain").symlink_to("folder/../link")
    (tmp_path / "fds").symlink_to("/dev/fd")
    with log.open(mode.replace("pipe", "rb")) as out:
        names = ["/dev/stdout", "/dev/stderr", "/dev/stdin", "/dev/fd/1", "/dev/fd/2", "/proc/self/fd/0"]
        names += [f"/proc/{os.getpid()}/fd/1", "/proc/thread-self/fd/1", "link", "chain", "fds/1"]
        where = {"cwd": tmp_path, "env": {**os.environ, "PYTHONPATH": str(ROOT)}}
        stdout = subprocess.PIPE if mode == "pipe" else out
        done = subprocess.run(
            [sys.executable, "-c", WRITES, *names], stdout=stdout, stderr=subprocess.PIPE, check=False, **where
        )
    assert done.returncode == 0, done.stderr.decode()
    told = done.stdout.decode() if mode == "pipe" else log.read_text()
    assert told == "old\n" * (mode == "ab") + "before\nafter\n"


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="no such names here")
@pytest.mark.parametrize("start", ["/dev/fd", "/proc/self/fd"])
def test_a_file_that_the_shell_opened_for_an_output_is_written(start, tmp_path):
    page = tmp_path / "page"
    with page.open("wb") as held:
        assert held.fileno() > 2
        write_whole(f"{start}/{held.fileno()}", "whole")
    assert page.read_text() == "whole"


def test_a_link_to_what_is_no_file_is_refused_by_its_own_name(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "folder")
    with pytest.raises(FileExistsError, match="link: it is a folder"), replacing(tmp_path / "link"):
        pass


def linked(folder, elsewhere):
    """Put the files of a folder elsewhere, and links in their place; returns these."""
    elsewhere.mkdir()
    links = []
    for path in [path for path in folder.rglob("*") if path.is_file() and path.name != ".lock"]:
        path.rename(elsewhere / f"{len(links)}-{path.name}")
        path.symlink_to(elsewhere / f"{len(links)}-{path.name}")
        links.append(path)
    return links


@pytest.mark.parametrize("store", [store for store in STORES if store not in ("run checkpoint", "best checkpoint")])
def test_a_link_stays_and_what_it_leads_to_is_replaced(store, places, tmp_path):
    """A checkpoint is a folder of its own, of which there is a new one each time."""
    write, read = STORES[store]
    folder = places(write)
    links = linked(folder, tmp_path / "elsewhere")
    before = names(folder), names(tmp_path / "elsewhere")
    write(folder, 2)
    assert links and all(path.is_symlink() for path in links) and read(folder) == 2
    assert (names(folder), names(tmp_path / "elsewhere")) == before


SINGLE = ("text", "token file", "encoded text", "tokenizer.json", "one-file checkpoint", "counts", "tales")


@pytest.mark.parametrize("store", SINGLE)
def test_what_a_link_leads_to_is_made_where_it_is_not_there(store, places, tmp_path):
    write, read = STORES[store]
    folder = places(write)
    (link,) = linked(folder, tmp_path / "elsewhere")
    target = link.resolve()
    target.unlink()
    write(folder, 2)
    assert link.is_symlink() and read(folder) == 2 and names(target.parent) == [Path(target.name)]

    target.unlink()
    target.parent.rmdir()
    with pytest.raises(FileNotFoundError, match=r"is a link to .*, and that folder is not there"):
        write(folder, 2)
    link.unlink()
    link.symlink_to(link)
    with pytest.raises(FileExistsError, match="leads in a circle"):
        write(folder, 2)


PLACES = {
    "text": "x", "token file": "x", "encoded text": "x", "tokenizer": "t/tokenizer_config.json",
    "tokenizer.json": "t.json", "one-file checkpoint": "x", "Llama": "m/config.json", "counts": "x", "tales": "t",
}  # fmt: skip
OWN = ("token file", "encoded text", "tokenizer", "tokenizer.json", "Llama")
"""Stores that never take the place of what others wrote."""


def appear(what, target):
    """Put something in the place of a file; returns a question: is it still there?"""
    target.unlink(missing_ok=True)
    if what == "folder":
        target.mkdir()
        return target.is_dir
    notes = target if what == "file of others" else target.with_name("notes")
    notes.write_text("precious")
    if what == "link":
        target.symlink_to(notes.name)
    return lambda: notes.read_text() == "precious" and target.is_symlink() == (what == "link")


@pytest.mark.parametrize(
    ("store", "what"),
    [
        *((store, what) for store in PLACES for what in ("folder", "link")),
        *((store, "file of others") for store in OWN),
    ],
)
@pytest.mark.parametrize("earlier", [False, True])
def test_what_appears_while_a_file_is_written_is_not_replaced(store, what, earlier, tmp_path, monkeypatch):
    write, read = STORES[store]
    folder, still = tmp_path / "folder", []
    folder.mkdir()
    if earlier:
        write(folder, 2)

    def meanwhile(plain):
        def work(*arguments):
            plain(*arguments)
            if not still:
                still.append(appear(what, folder / PLACES[store]))

        return work

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", meanwhile(os.fsync))
        patch.setattr("cs336_lib.model.llama._save", meanwhile(llama._save))
        with pytest.raises(FileExistsError, match=re.escape(Path(PLACES[store]).name)):
            write(folder, 1)
    assert still[0]()
    left = [path.name for path in folder.rglob("*") if re.search(r"\.(part|tmp|partial)$", path.name)]
    assert not left
    target = folder / PLACES[store]
    target.rmdir() if what == "folder" else target.unlink()
    if store == "tokenizer":  # without its config, what else is there is of nobody
        shutil.rmtree(folder / "t")
    write(folder, 1)
    assert read(folder) == 1


def test_ids_that_could_not_take_their_name_are_not_made_again(tmp_path, monkeypatch):
    text, out = tmp_path / "text", tmp_path / "out"
    text.write_text("a word or two " * 2_000)
    expected = encode_file(KINDS[1], text, tmp_path / "good").path.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(Joining, "finish", lambda *given, plain=Joining.finish: (out.mkdir(), plain(*given))[1])
        with pytest.raises(FileExistsError, match=r"it is a folder; .*; all ids are kept in .*out\.parts: then run"):
            encode_file(KINDS[1], text, out, part_bytes=2_000)
    out.rmdir()
    done = encode_file(KINDS[1], text, out, part_bytes=2_000)
    assert done.encoded_bytes == 0 and out.read_bytes() == expected and not (tmp_path / "out.parts").exists()


TOGETHER = {
    "tokenizer": ("t", ("vocab.json", "merges.txt", "tokenizer_config.json")),
    "Llama": ("m", ("model.safetensors", "config.json")),
    "record": ("r", ("config.json", "environment.json", "metrics.jsonl", "samples.txt", "status.json")),
}


@pytest.mark.parametrize(
    ("store", "one", "other"),
    [(store, *pair) for store, (_, files) in TOGETHER.items() for pair in itertools.combinations(files, 2)],
)
@pytest.mark.parametrize("how", ["both", "one to the other", "by another folder"])
def test_two_files_that_are_links_to_one_are_refused_before_anything_is_written(store, one, other, how, tmp_path):
    write = {
        "record": lambda folder: RunRecord.create(folder / "r", RUN, {}),
        "tokenizer": lambda folder: KINDS[1].save(folder / "t"),
        "Llama": lambda folder: to_hf_llama(MODELS[1], folder / "m"),
    }[store]
    folder = tmp_path / TOGETHER[store][0]
    folder.mkdir()
    (tmp_path / "again").symlink_to(tmp_path)
    (folder / one).symlink_to({"one to the other": other}.get(how, "../target"))
    if how != "one to the other":
        (folder / other).symlink_to("../target" if how == "both" else "../again/target")
    before = names(tmp_path)
    with pytest.raises(
        FileExistsError, match=rf"{re.escape(one)}|{re.escape(other)}.* are one file, .*; remove the links"
    ):
        write(tmp_path)
    assert names(tmp_path) == before and not (tmp_path / "target").exists()
    (folder / one).unlink()
    write(tmp_path)
    assert (folder / other).exists() or other == "samples.txt"


NESTED = {
    "tokenizer": lambda folder: KINDS[1].save(folder),
    "tokenizer.json": lambda folder: KINDS[1].to_hf_json(folder / "t.json"),
    "Llama": lambda folder: to_hf_llama(MODELS[1], folder),
    "record": lambda folder: RunRecord.create(folder, RUN, {}),
    "checkpoint": lambda folder: saved(folder, 1),
    "benchmark": lambda folder: harness_write(folder),
}


@pytest.mark.parametrize("below", ["", "a/b"])
@pytest.mark.parametrize("what", ["link", "circle", "file"])
@pytest.mark.parametrize("store", NESTED)
def test_a_folder_that_can_not_be_made_is_named_with_the_reason(store, what, below, tmp_path):
    at = tmp_path / "at"
    if what == "file":
        at.write_text("precious")
    else:
        at.symlink_to("nowhere" if what == "link" else "at")
    with pytest.raises(FileExistsError, match=r"at is a (file|link to \w+, which is not there)") as caught:
        NESTED[store](at / below)
    assert "Errno" not in str(caught.value) and [path.name for path in tmp_path.iterdir()] == ["at"]


@pytest.fixture
def log(monkeypatch):
    """A function that does a piece of work and lists, in order, what was flushed to the disk, named and removed."""
    flushed, done = {}, []

    def age(status):
        return status.st_size, status.st_mtime_ns

    def flush(file, plain=os.fsync):
        plain(file)
        status = os.fstat(file)
        flushed[status.st_ino] = age(status)
        done.append(("flushed", status.st_ino))

    def naming(plain):
        def name(source, target):
            files = [path for path in (Path(source), *Path(source).rglob("*")) if path.is_file()]
            late = [path.name for path in files if flushed.get(path.stat().st_ino) != age(path.stat())]
            plain(source, target)
            if Path(target).suffix != ".part":  # an older one, put aside
                done.append(("named", Path(target), late))

        return name

    def removing(plain):
        def remove(*which, **where):
            plain(*which, **where)
            done.append(("removed", which[0]))

        return remove

    def logged(work):
        done.clear()
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", flush)
            for name in ("rename", "replace"):
                patch.setattr(os, name, naming(getattr(os, name)))
            for name in ("unlink", "remove", "rmdir"):
                patch.setattr(os, name, removing(getattr(os, name)))
            work()
        return list(done)

    return logged


def unflushed(done):
    """What took its name before the disk had it."""
    return [late for what, *about in done if what == "named" for late in about[1]]


@pytest.mark.parametrize("store", STORES)
def test_what_takes_its_name_is_on_the_disk_and_survives_a_cut_of_power(store, log, places):
    write, _ = STORES[store]
    folder = places(write)
    done = log(lambda: write(folder, 2))
    assert "named" in [what for what, *_ in done]
    assert bool(unflushed(done)) == (store in AGAIN), unflushed(done)


def sharded(folder, value):
    model = MODELS[value]
    checkpoints = ShardedCheckpoints(folder, 1, Ranks(), model, AdamW(model.parameters()))
    checkpoints.save(Snapshot(value, dict(model.state_dict())))


@pytest.mark.filterwarnings("ignore:torch.distributed is")
@pytest.mark.parametrize("write", [STORES["run checkpoint"][0], STORES["best checkpoint"][0], sharded])
def test_the_name_of_a_checkpoint_is_on_the_disk_before_an_older_one_goes(write, log, places):
    folder = places(write)
    done = log(lambda: (write(folder, 2), write(folder, 3)) if write is not sharded else write(folder, 2))
    named = [place for place, (what, path, *_) in enumerate(done) if what == "named" and path.parent == folder]
    assert named and "removed" in [what for what, *_ in done]
    assert not unflushed([done[place] for place in named])
    for place in named:
        assert done[place + 1] == ("flushed", folder.stat().st_ino)


def test_the_cache_and_the_notes_lose_nothing_that_is_needed(disk, tmp_path, monkeypatch):
    monkeypatch.setenv("CS336_CACHE_DIR", str(tmp_path / "cache"))
    for write, read in (
        (lambda v: write_cached("x", str(v).encode()), lambda: read_cached("x")),
        (lambda v: note(tmp_path, v), lambda: known_hash(tmp_path / "t")),
    ):
        write(1)
        count = disk.changes(lambda: write(2))  # noqa: B023
        assert count > 0 and str(read()) in ("2", "b'2'")
        for number in range(count):
            write(1)
            disk.killed_at(number, lambda: write(2))  # noqa: B023
            assert str(read()) in ("1", "2", "b'1'", "b'2'", "None")
            assert disk.failing_at(number, errno.ENOSPC, lambda: write(2)) is None  # noqa: B023


WRITERS = {
    "bpe/counting/counts_file.py": "counts",
    "bpe/formats/folders.py": "tokenizer",
    "bpe/tokenizer.py": "tokenizer.json",
    "atomic.py": "text",
    "data/downloads.py": "the notes",
    "data/joining.py": "encoded text",
    "data/parts.py": "encoded text",
    "data/own_text.py": "text",
    "data/tales/writer.py": "tales",
    "data/token_format.py": "token file",
    "data/tokens.py": "the cache",
    "native/cache.py": "the cache",
    "native/library.py": "the cache",
    "bpe/cutting/symbol_classes.py": "the cache",
    "model/llama.py": "Llama",
    "model/llama_folder.py": "Llama",
    "training/checkpoints/files.py": "run checkpoint",
    "training/checkpoints/one_file.py": "one-file checkpoint",
    "training/checkpoints/sharded.py": "run checkpoint",
    "training/corpus.py": "text",
    "training/record_files.py": "a line",
    "training/records.py": "status",
    "training/sample_files.py": "rewound samples",
    "training/mirrors.py": "text",
    "workshop.py": "encoded text",
    "locks.py": "a lock",
}
"""Modules that write files, and the store that tries them."""
ELSEWHERE = {
    "the cache": "tried above",
    "the notes": "tried above; a download is verified",
    "a line": "cut off again when it is half: tests/training",
    "a lock": "holds nothing",
}

_WRITES = re.compile(
    r"replacing\(|write_whole\(|write_together\(|write_cached\(|write_text\(|write_bytes\(|save_file\(|\.tofile\("
    r"|\bopen\((?:[^()]*, )?(?:mode=)?\"(?:w|a|x|r[bt]?\+)|os\.open\((?!os\.devnull).*O_(?:WRONLY|RDWR|CREAT)"
    r"|shutil\.(?:copy|move)|(?:torch|np|numpy|dcp)\.save\w*\(|(?:json|pickle)\.dump\("
)
PAGES = ("figures/", "experiments/", "check/", "cli/", "editions/")  # pages and reports, written anew at any time


def test_every_module_that_writes_is_tried():
    """No row is stale, none names a store that is not there, and no writer of this library is in none."""
    code = ROOT / "cs336_lib"
    found = {
        path.relative_to(code).as_posix()
        for path in code.rglob("*.py")
        if any(
            _WRITES.search(line) and ">>>" not in line and "..." not in line for line in path.read_text().splitlines()
        )
    }
    assert {name for name in found if not name.startswith(PAGES)} == WRITERS.keys()
    assert set(WRITERS.values()) - STORES.keys() == ELSEWHERE.keys()


@pytest.mark.parametrize(
    ("line", "writes"),
    [
        ("np.save(path, ids)", True),
        ("np.savez_compressed(path, ids)", True),
        ("ids.tofile(path)", True),
        ("shutil.copyfile(a, b)", True),
        ("shutil.move(a, b)", True),
        ("os.open(path, os.O_WRONLY | os.O_CREAT)", True),
        ('with open(path, "wb") as file:', True),
        ('with path.open("r+b") as file:', True),
        ('with path.open(mode="ab") as file:', True),
        ("dcp.save(tensors)", True),
        ("json.dump(content, file)", True),
        ("os.open(folder, os.O_RDONLY)", False),
        ('with path.open("rb") as file:', False),
        ('with path.open(encoding="ascii") as file:', False),
        ("np.load(path)", False),
    ],
)
def test_a_line_that_writes_is_seen(line, writes):
    assert bool(_WRITES.search(line)) == writes


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_is_not_replaced_by_a_file(tmp_path):
    """A device neither: as root that would break the machine."""
    text = tmp_path / "text.txt"
    text.write_text("a text")
    for name, write in {
        "json": lambda path: Tokenizer(BYTES, []).to_hf_json(path),
        "text": lambda path: write_whole(path, "text"),
        "tokens": lambda path: encode_file(Tokenizer(BYTES, []), text, path, workers=1),
    }.items():
        path = tmp_path / name
        os.mkfifo(path)
        with pytest.raises(OSError, match="it is a pipe or a device"):
            write(path)
        assert path.is_fifo()
