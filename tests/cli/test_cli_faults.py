"""The command line with wrong input, odd places and odd terminals: one clear line, and no work is lost."""

import errno
import io
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
from cli_setup import PYTHON, ROOT, SMALL, cs336

from cs336_lib.bpe import Tokenizer
from cs336_lib.check.report import Report
from cs336_lib.cli import COMMANDS, parsing
from cs336_lib.cli.check_command import Check
from cs336_lib.cli.outputs import check_folder, save_picture
from cs336_lib.cli.train_command import parse
from cs336_lib.experiments.filing import slug
from cs336_lib.training import RunRecord, Trainer

TEXT = "The cat sat on the mat. The dog ran to the cat, and the cat ran home.\n<|endoftext|>\n" * 300


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with a text and a finished run; its name asks to be quoted."""
    folder = tmp_path_factory.mktemp("my home")
    (folder / "cats.txt").write_text(TEXT)
    (folder / "empty.txt").write_text("")
    (folder / "torn.json").write_text("{")
    (folder / "packed.txt").write_bytes(b"\x1f\x8b\x08" + bytes(50))
    (folder / "cats.tokens").write_bytes(b"CS336TOK" + bytes(100))
    (folder / "runs").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        code = cs336("train", "tales-1m", *SMALL, "--data", "cats.txt", "--name", "cats", "--quiet")
    assert code == 0
    return folder


# (arguments, what the line says); HOME stands for the folder.
COUNTS = "steps", "batch-size", "context-length"
WRONG = [
    ("train HOME/torn.json", "torn.json is not JSON"),
    ("train HOME/none.json", "there is no file"),
    ("train tales-1m --batch-size 0", "batch_size is 0"),
    ("train tales-1m --model.d-model 33", "error: num_heads is 4, which does not divide d_model = 33"),
    ("train tales-1m --batch-size 1000000000000", "this does not fit"),
    ("train tales-1m --seed 100000000000000000000000", "less than 2**63"),
    ("train tales-1m --device gpu", "device"),
    ("train tales-1m --data HOME/empty.txt", "empty"),
    ("train tales-1m --data HOME/packed.txt", "is gzip"),
    ("train tales-1m --runs HOME/cats.txt", "is a file"),
    ("train tales-1m --data HOME/cats.txt --tokenizer HOME", "is no tokenizer, for it has no tokenizer_config.json"),
    ("resume HOME", "is no run"),
    ("resume HOME/runs/cats --steps 3", "has done 12 already"),
    ("resume HOME/runs/cats --data HOME/none.txt", "none.txt is not there"),
    ("resume HOME/runs/cats --data HOME/empty.txt", "empty"),
    ("eval HOME/runs/cats --batch-size -3", "--batch-size is -3; it must be 1 or more"),
    ("eval HOME/runs/cats --windows -1", "--windows is -1; it must be 0 or more"),
    ("eval HOME/runs/cats --text HOME", "is a folder; name a text file"),
    ("eval HOME/runs/cats --text HOME/empty.txt", "empty"),
    ("eval HOME/runs/cats --text=", "--text is empty; name a text file"),
    ("eval HOME/runs/cats --text HOME/packed.txt", "is gzip"),
    ("eval HOME/runs/cats --checkpoint foo", "it has: step-"),
    ("generate HOME/runs/cats --checkpoint 99 --prompt a", "no checkpoint '99'; it has: step-"),
    ("generate HOME/runs/cats --temperature -1 --prompt a", "temperature is -1"),
    ("export HOME/runs/cats HOME/cats.txt", "is a file; name a folder"),
    ("encode HOME/runs/cats/tokenizer HOME/cats.txt HOME/runs", "is a folder; name a file"),
    ("encode HOME/runs/cats/tokenizer HOME/cats.txt HOME/no/x", "no folder"),
    ("encode HOME HOME/cats.txt HOME/x", "is no tokenizer, for it has no tokenizer_config.json"),
    ("train-tokenizer HOME/cats.txt --out HOME/cats.txt", "--out .* is a file; name a folder"),
    ("train-tokenizer HOME/cats.txt --out /proc/nope/x", "--out .* can't be written to"),
    ("train-tokenizer HOME/cats.txt --out HOME/t --vocab-size 3", "vocab_size 3 is too small"),
    ("train-tokenizer HOME/empty.txt --out HOME/t", "is empty"),
    ("runs HOME/none", "there is no folder"),
    ("runs HOME/runs --plot HOME/x.txt", "must end with .png"),
    ("runs HOME/runs --plot HOME/no/x.png", "there is no folder"),
    ("experiment no-such", "unknown suite"),
    ("experiment lr-sweep --plot x.gif", "must end with .png"),
    ("account gpt2-xl --device abacus", "abacus"),
    ("account gpt2-xl --edition 2024", "2024"),
    *(
        (f"account gpt2-small --{name} 1{'0' * 310}", f"{name.replace('-', '_')} is about 2^1029; it must be")
        for name in COUNTS
    ),
    ("account gpt2-small --device 5e-324", "4.94066e-324 FLOP/s and an mfu of 0.5 is beyond what a float holds"),
    ("account gpt2-small --mfu 5e-324", "beyond what a float holds"),
    ("account gpt2-small --device 1e-300 --mfu 1e-300 --edition 2026", "beyond what a float holds"),
    ("data get tales --size-bytes -5", "size_bytes"),
    ("data peek HOME/none.txt", "no corpus"),
    ("data peek tales --count 0", "count=0"),
    ("check HOME", "adapters"),
    ("check HOME --memory -1", "memory is -1 GiB; it must be a number above 0"),
    ("check HOME --memory nan", "memory is nan GiB"),
    ("encode HOME/runs/cats/tokenizer HOME/cats.tokens HOME/x", "a token file of this library"),
    ("check HOME --html HOME/no/x.html", "no folder"),
]


@pytest.mark.parametrize(("command", "says"), WRONG, ids=[command for command, _ in WRONG])
def test_wrong_options_are_one_clear_line(command, says, home, capsys, monkeypatch):
    monkeypatch.chdir(home)
    before = sorted(home.rglob("*"))
    assert cs336(*(word.replace("HOME", str(home)) for word in command.split())) in (1, 2)
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ") and len(error) < 700 and "Error(" not in error
    assert re.search(says if ".*" in says else re.escape(says), error), error
    assert [path for path in sorted(home.rglob("*")) if "cache" not in str(path)] == before


# Wrong inputs whose errors once advised what only Python, or another command, takes.
ADVICE = [
    *("experiment lr-sweep --data HOME/short.txt", "resume HOME/runs/cats --data HOME/short.txt"),
    *(
        "eval HOME/moved",
        "train tinystories-17m",
        "data get tinystories",
        "data peek owt",
        "eval HOME/runs/cats --text owt",
    ),
    *("train tales-1m --tokenizer HOME/none", "train tales-1m --tokenizer HOME/cats.txt"),
    *("encode HOME/cats.txt HOME/runs/cats/tokenizer HOME/x", "encode HOME/pair HOME/cats.txt HOME/x"),
    *("encode HOME/endless HOME/cats.txt HOME/x", "train tales-1m --data HOME/cats.txt --tokenizer HOME/endless"),
    *("account gpt2-xl --device h10", "train tales-1m --data HOME/short.txt"),
    *("train tales-1m --data HOME/short.txt --data-bytes 10", "train tales-1m --data HOME/cats.txt --data-bytes 40"),
]
CALL = r"`|\b[A-Za-z_]+\.[A-Za-z_]+\(|\b[a-z_]+\(\)|\bTokenizer\.|\bDevice\b"


@pytest.fixture
def advised(home, monkeypatch):
    """What the commands of ADVICE need, without a network."""
    (home / "short.txt").write_text("short " * 3)
    (home / "pair").mkdir(exist_ok=True)
    Tokenizer({i: bytes([i]) for i in range(256)}, []).save(home / "endless")
    for name in ("vocab.json", "merges.txt"):
        (home / "pair" / name).write_text("{}")
    if not (home / "moved").is_dir():
        shutil.copytree(home / "runs" / "cats", home / "moved")
    config = (home / "moved" / "config.json").read_text()
    (home / "moved" / "config.json").write_text(config.replace("cats.txt", "gone.txt"))
    monkeypatch.setattr("cs336_lib.data.downloads._resolve", lambda endpoint: 1 / 0)
    monkeypatch.chdir(home)
    yield
    for name in ("moved", "pair", "endless"):
        shutil.rmtree(home / name)
    (home / "short.txt").unlink()


@pytest.mark.parametrize("command", [*(words for words, _ in WRONG), *ADVICE])
def test_an_error_advises_what_its_command_has(command, home, advised, capsys):
    words = [word.replace("HOME", str(home)) for word in command.split()]
    assert cs336(*words) in (1, 2)
    error = capsys.readouterr().err.strip().splitlines()[-1]
    explained = {"train": ["train", "tales-1m"], "data": words[:2]}.get(words[0], words[:1])
    assert cs336(*explained, "--help") == 0
    options = set(re.findall(r"--[a-z][a-z0-9.-]*", capsys.readouterr().out)) | {"--help"}
    own = re.sub(r"cs336 resume \S+ --anew|cs336 train-tokenizer --special-tokens|torchrun .*", "", error)
    assert error.startswith("error: "), error
    assert set(re.findall(r"(?<!\S)\(?(--[a-z][a-z0-9.-]*)", own)) <= options, error
    assert not re.search(CALL, re.sub(r"in Python \S+", "", own)), error


def test_a_text_that_is_too_short_is_told_for_what_it_is(home, advised, capsys):
    for command, says, not_says in (
        ("resume HOME/runs/cats --data HOME/short.txt", "it is not the text that", "context_length, or"),
        ("train tales-1m --data HOME/short.txt", "take a longer text", "data_bytes"),
        ("train tales-1m --data HOME/cats.txt --data-bytes 40", "(data_bytes)", "longer text"),
        ("eval HOME/moved", "with --text PATH", "--data"),
    ):
        assert cs336(*(word.replace("HOME", str(home)) for word in command.split())) == 2
        error = capsys.readouterr().err.strip().splitlines()[-1]
        assert says in error and not_says not in error


def of_somebody(folder):
    """Files of others under all names that a command writes: its target, and what in it must stay."""
    model = folder / "hf"
    model.mkdir()
    for name in ("config.json", "model.safetensors", "vocab.json", "merges.txt", "tokenizer_config.json"):
        (model / name).write_text('{"model_type": "qwen2"}')
    for name in ("config.json", "vocab.json", "merges.txt", "tokenizer_config.json", "model.safetensors"):
        (folder / name[:5]).mkdir()
        (folder / name[:5] / name).write_text("{}")
    for name in ("metrics.jsonl", "samples.txt", "status.json", "environment.json", "tokenizer/vocab.json"):
        (folder / "runs" / name[:5] / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "runs" / name[:5] / name).write_text("[1]")
    (folder / "runs" / "kept" / "checkpoints" / "step-00000001").mkdir(parents=True)
    for name in ("notes.txt", "photo.png", "photo.svg", "photo.pdf", "page.html"):
        (folder / name).write_text("mine, on cs336 check")
    (folder / "lr-sweep-quick").mkdir()
    (folder / "lr-sweep-quick" / "curves.png").write_text("mine")
    (folder / "gpu").mkdir()
    (folder / "gpu" / "training_cuda.json").write_text('{"ratios": {}, "device": "NVIDIA X1"}')
    (folder / "gpu" / "summary.json").write_text('{"facts": {"device": "NVIDIA X1"}}')
    (folder / "benchmarks").mkdir()
    (folder / "benchmarks" / f"training_{slug('NVIDIA X1')}.json").write_text("[]")
    (folder / "benchmarks" / f"gpu_{slug('NVIDIA X1')}.json").write_text('{"device": "another"}')


# Commands that write where they are told, each to a file or a folder of somebody else; HERE stands for the folder.
OVER = [
    *(f"export RUN HERE/{name}" for name in ("hf", "confi", "vocab", "merge", "token", "model")),
    *(f"train-tokenizer TEXT --vocab-size 270 --out HERE/{name}" for name in ("hf", "vocab", "merge", "token")),
    *(f"encode RUN/tokenizer TEXT HERE/{name}" for name in ("notes.txt", "photo.png", "hf/vocab.json")),
    *(
        f"train RUN/config.json --runs HERE/runs --quiet --name {name}"
        for name in ("metri", "sampl", "statu", "envir", "token", "kept")
    ),
    *(f"runs RUN --plot HERE/photo.{kind}" for kind in ("png", "svg", "pdf")),
    *("experiment lr-sweep --plot HERE/photo.png", "experiment lr-sweep --folder HERE"),
    *("records add HERE/gpu/training_cuda.json --home HERE", "records add HERE/gpu/summary.json --home HERE"),
    *("check HERE --html HERE/page.html", "check HERE --html HERE/notes.txt"),
]
TOLD_NO_PLACE = {"data", "resume", "eval", "generate", "account"}
"""Commands that write to caches and into their run, or nothing."""


def test_each_command_is_tried_over_files_of_others_or_names_no_place():
    assert {words.split()[0] for words in OVER} | TOLD_NO_PLACE == set(COMMANDS)


@pytest.mark.parametrize("command", OVER)
def test_no_command_replaces_what_others_wrote(command, home, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("cs336_lib.training.trainer.prepare", lambda *rest, **options: pytest.fail("it worked"))
    monkeypatch.setattr("cs336_lib.bpe.train_bpe", lambda *rest, **options: pytest.fail("it was trained"))
    monkeypatch.setattr("cs336_lib.training.loading.load_run", lambda *rest: pytest.fail("it was loaded"))
    of_somebody(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    places = {"RUN": home / "runs/cats", "TEXT": home / "cats.txt", "HERE": tmp_path}
    words = [re.sub("RUN|TEXT|HERE", lambda found: str(places[found[0]]), word) for word in command.split()]
    assert cs336(*words) == 2
    (error,) = capsys.readouterr().err.strip().splitlines()
    assert re.match(f"error: {re.escape(str(tmp_path))}.*(would be overwritten|would be lost|along with)", error), error
    assert "another" in error or "move it away" in error
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


AGAIN = [
    *("export RUN HERE/out", "train-tokenizer TEXT --vocab-size 270 --out HERE/bpe"),
    *("encode RUN/tokenizer TEXT HERE/x.tokens", "encode HERE/bpe TEXT HERE/x.tokens"),
    *(f"runs RUN --plot HERE/x.{kind}" for kind in ("png", "svg", "pdf")),
    *("records add HERE/gpu --home HERE", "check HERE/none --html HERE/report.html --only bpe"),
]


def test_what_a_command_wrote_it_replaces(home, tmp_path, capsys):
    (tmp_path / "gpu").mkdir()
    (tmp_path / "gpu" / "training_cuda.json").write_text('{"ratios": {}, "device": "NVIDIA X1"}')
    (tmp_path / "gpu" / "summary.json").write_text('{"facts": {"device": "NVIDIA X1"}}')
    for name in ("report.html", "x.png", "x.tokens"):  # what an editor, a redirection or a full disk left
        (tmp_path / name).touch()
    places = {"RUN": home / "runs/cats", "TEXT": home / "cats.txt", "HERE": tmp_path}
    for command in AGAIN * 2:
        words = [re.sub("RUN|TEXT|HERE", lambda found: str(places[found[0]]), word) for word in command.split()]
        code, told = cs336(*words), capsys.readouterr().err
        assert code == 0 or (words[0] == "check" and "overwritten" not in told), told


def test_a_page_of_check_is_known_and_one_that_speaks_of_it_is_not(tmp_path):
    from cs336_lib.check.page import is_report, page

    path = tmp_path / "page.html"
    path.write_text(page(Report(about={"edition": "2026"})))
    assert is_report(path)
    path.write_text(path.read_text().replace("<title>", "<title>My notes on "))
    assert not is_report(path)


def test_what_takes_the_name_of_a_report_or_a_picture_while_it_is_made_stays(tmp_path, monkeypatch, capsys):
    notes = tmp_path / "x.png"

    class Figure:
        def savefig(self, file, format):
            notes.write_text("precious")

    with pytest.raises(FileExistsError, match=r"x\.png is no picture that this library drew"):
        save_picture(Figure(), notes)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["precious"]

    def page(report):
        notes.write_text("precious")
        return "<html>"

    notes.unlink()
    monkeypatch.setattr("cs336_lib.check.page.page", page)
    monkeypatch.setattr("cs336_lib.check.folder.check_folder", lambda *asked, **more: Report(about={"edition": "2026"}))
    monkeypatch.setattr("cs336_lib.check.project.find", lambda *asked: "a solution")
    assert cs336("check", "--html", notes) == 2
    assert "x.png is no report of cs336 check, and would be overwritten" in capsys.readouterr().err
    assert notes.read_text() == "precious"


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="no such names here")
@pytest.mark.parametrize(
    "command",
    [
        *("encode cats.txt runs/cats/tokenizer /dev/stdout", "runs . --plot out.png"),
        *("encode cats.txt runs/cats/tokenizer /dev/fd/1", "check --html /dev/stderr"),
    ],
)
def test_the_commands_own_output_is_no_file_to_name(home, tmp_path, command):
    (tmp_path / "out.png").symlink_to("/dev/stdout")
    (tmp_path / "cats.txt").symlink_to(home / "cats.txt")
    (tmp_path / "runs").symlink_to(home / "runs")
    (tmp_path / "log").write_text("before\n")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with (tmp_path / "log").open("ab") as log:
        pipes = {"cwd": tmp_path, "env": environment, "stdout": log, "stderr": log}
        code = subprocess.run([PYTHON, "-m", "cs336_lib", *command.split()], check=False, **pipes).returncode
        log.write(b"after\n")
    told = (tmp_path / "log").read_text().splitlines()
    assert code == 2 and len(told) == 3 and (told[0], told[2]) == ("before", "after"), told
    assert re.fullmatch(r"error: can't write .*: it stands for what a process reads or prints.*; name a file", told[1])


def test_a_picture_is_written_whole_or_not_at_all(tmp_path):
    class Figure:
        def savefig(self, file, format):
            file.write(b"half")
            raise OSError(28, "No space left on device")

    (tmp_path / "x.png").write_bytes(b"of Matplotlib")
    with pytest.raises(OSError, match="No space"):
        save_picture(Figure(), tmp_path / "x.png")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"of Matplotlib"]


@pytest.mark.parametrize("command", ["account tales-1m", "account --help", "--help", "data list"])
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_is_gone_or_was_never_there_is_no_error(command, unbuffered):
    words = [PYTHON, "-m", "cs336_lib", *command.split()]
    options = {"cwd": ROOT, "env": os.environ | {"PYTHONUNBUFFERED": unbuffered}, "stderr": subprocess.PIPE}
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(words, stdout=writer, **options)
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")
    done = subprocess.run(["sh", "-c", '"$@" >&-', "sh", *map(str, words)], **options)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has a disk that is always full")
def test_output_that_cannot_be_written_is_told():
    with Path("/dev/full").open("w") as full:
        words = [PYTHON, "-m", "cs336_lib", "data", "list"]
        done = subprocess.run(words, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1 and done.stderr == "error: No space left on device\n"


def test_runs_of_one_name_are_all_drawn(home, tmp_path, monkeypatch):
    shutil.copytree(home / "runs/cats", tmp_path / "other/cats")
    drawn = []
    picture = SimpleNamespace(savefig=lambda file, format: file.write(b"drawn"))
    monkeypatch.setattr("cs336_lib.figures.runs.losses", lambda records: drawn.extend(records) or picture)
    assert cs336("runs", home / "runs/cats", tmp_path / "other", "--plot", tmp_path / "x.png") == 0
    assert drawn == [str(home / "runs/cats"), str(tmp_path / "other/cats")]


# What is asked for, and the commands that its answer names.
DASHED = "train-tokenizer ./-cats.txt --vocab-size 270 --out=-o"
NEXT = [
    ("train-tokenizer ./cats.txt --vocab-size 270 --out o", ["train", "encode"]),
    (DASHED, ["train", "encode"]),
    (f"{DASHED} --special-tokens", ["train-tokenizer"]),
    (f"{DASHED} --special-tokens --end-- two", ["train-tokenizer"]),
    ("train-tokenizer plain.txt --vocab-size 270 --out o --special-tokens", ["train", "encode"]),
    ("train-tokenizer short.txt --vocab-size 270 --out=-o", ["encode"]),
    ("train-tokenizer middling.txt --vocab-size 270 --out=-o", ["train", "encode"]),
    ("train-tokenizer None --vocab-size 270 --out None.tok", ["train", "encode"]),
    ("train-tokenizer None.txt --vocab-size 270 --out None.d/None", ["train", "encode"]),
    ("train-tokenizer cats.txt --vocab-size 270 --out o --special-tokens None <|endoftext|>", ["train", "encode"]),
    ("encode ./-tok None x.tokens", ["train"]),
    ("encode ./-tok ./-cats.txt x.tokens", ["train"]),
    ("encode ./-tok empty.txt x.tokens", []),
    ("encode ./-tok middling.txt x.tokens", ["train"]),
    ("encode ./-tok tales x.tokens", ["train"]),
    ("runs .", ["train", "runs"]),
    ("resume ./-runs/cats --quiet", ["generate"]),
    ("resume ./-runs/dashed --quiet", ["generate"]),
    ("train tales-1m --name cats --runs=-runs --data ./-cats.txt", ["resume"]),
]


@pytest.mark.parametrize(("asked", "named"), NEXT, ids=[words for words, _ in NEXT])
def test_what_is_named_to_be_typed_next_can_be_carried_out(asked, named, home, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("cats.txt", "-cats.txt", "tales", "None", "None.txt"):
        Path(name).write_text(TEXT)
    Path("plain.txt").write_text(TEXT.replace("<|endoftext|>", ""))
    Path("short.txt").write_text("hello there")
    Path("middling.txt").write_text(TEXT[:6000])
    Path("empty.txt").write_text("")
    Path("results").mkdir()
    shutil.copytree(home / "runs/cats", "-runs/cats")
    shutil.copytree(home / "runs/cats", "-runs/dashed")
    shutil.copytree(home / "runs/cats/tokenizer", "-tok")
    config = Path("-runs/dashed/config.json")
    config.write_text(config.read_text().replace("Once upon a time", "--seed"))
    cs336(*asked.split())
    out, error = capsys.readouterr()
    assert "dashed" not in asked or "--prompt=--seed" in out
    told = re.findall(r"(?<![`\w])cs336 (?!train tales-1m on)[^\n;,)]*", out.replace(" makes one", "") + error)
    commands = [shlex.split(line) for line in told]
    assert [words[1] for words in commands] == named, out + error
    for words in commands:
        small = ["--steps", "1", "--warmup-steps", "0", "--device", "cpu"] if words[1] == "train" else []
        assert cs336(*words[1:], *small) == 0, (words, capsys.readouterr().err)


def test_outputs_are_tried_before_a_tokenizer_is_trained(home, monkeypatch):
    monkeypatch.setattr("cs336_lib.bpe.train_bpe", lambda *rest, **options: pytest.fail("it was trained"))
    assert cs336("train-tokenizer", home / "cats.txt", "--out", home / "cats.txt") == 2


def test_ids_that_are_there_need_no_folder_that_can_be_written_to(home, tmp_path, monkeypatch, capsys):
    text, out = tmp_path / "cats.txt", tmp_path / "ids" / "cats.tokens"
    text.write_text(TEXT)
    out.parent.mkdir()
    encode = ("encode", home / "runs/cats/tokenizer", text, out)
    assert cs336(*encode) == 0

    def mkdir(path, *mode, plain=os.mkdir, **where):
        if out.parent in Path(path).parents:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
        plain(path, *mode, **where)

    monkeypatch.setattr(os, "mkdir", mkdir)
    assert cs336(*encode) == 0
    assert "there already" in capsys.readouterr().out
    text.write_text(TEXT + "More.")
    assert cs336(*encode) == 1
    assert f"error: {out}.parts: Read-only file system\n" in capsys.readouterr().err
    out.unlink()
    assert cs336(*encode) == 1
    assert "can't be written to (Read-only file system)" in capsys.readouterr().err


def test_trying_a_folder_leaves_nothing(tmp_path, monkeypatch):
    check_folder(tmp_path / "a" / "b", "--out")
    check_folder(tmp_path / "a" / ".." / "b", "--out")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").mkdir()
    for name in (
        "there/x/../../b/c",
        "there/x/../../z",
        "missing/../../" + tmp_path.name + "/y",
        str(tmp_path / "there/x/../../b"),
    ):
        check_folder(Path(name), "--out")
        assert [path.name for path in tmp_path.rglob("*")] == ["there"], name
    (tmp_path / "there").rmdir()
    for name in (".", "a", "a/b", "../" + tmp_path.name, "../" + tmp_path.name + "/a"):
        check_folder(Path(name), "--out")
    assert not list(tmp_path.iterdir())


def test_ranks_that_try_one_folder_at_once_do_not_meet(tmp_path):
    """Each made it and took it away again: between the two, it was gone for the others."""
    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(check_folder, tmp_path / "runs" / "name", "--runs") for _ in range(400)]:
            done.result()
    assert not list(tmp_path.iterdir())


def test_folders_that_cannot_be_made_are_refused_and_left_alone(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    (tmp_path / "file").touch()
    before = sorted(tmp_path.iterdir())
    for name, says in (
        ("link", "a link to .*nowhere, which is not there"),
        ("link/a", "a link to"),
        ("file/a", "is a file; name a folder"),
        ("n" * 300, "can't be written to"),
        ("a/" + "n" * 300, "can't be written to"),
    ):
        with pytest.raises(OSError, match=says):
            check_folder(tmp_path / name, "--out")
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b'{"step": 12, "valid', r"its line 1 is no line of metrics"),
        (b'{"step": 2}\n{"st\n{"step": 12}\n', r"its line 2 is no line of metrics"),
        (b"", r"it ends at step 0, and the run at step 12"),
        (b'{"step": 2}\n', r"it ends at step 2, and the run at step 12"),
    ],
)
def test_damaged_metrics_of_a_finished_run_are_said(raw, says, home, tmp_path, capsys):
    shutil.copytree(home / "runs" / "cats", tmp_path / "cats", ignore=shutil.ignore_patterns("checkpoints"))
    assert cs336("runs", tmp_path) == 0
    assert not capsys.readouterr().err
    path = tmp_path / "cats" / "metrics.jsonl"
    path.write_bytes(raw)
    assert cs336("runs", tmp_path) == 0
    shown = capsys.readouterr()
    assert "finished" in shown.out
    assert shown.err.startswith(f"{path} is damaged: {says}") and shown.err.count("\n") == 1


def test_next_commands_can_be_pasted(home, capsys, monkeypatch):
    monkeypatch.chdir(home)
    assert cs336("train-tokenizer", home / "cats.txt", "--out", home / "bpe", "--vocab-size", "270") == 0
    *_, trains, encodes = capsys.readouterr().out.splitlines()
    trained = shlex.split(trains.partition("next: ")[2])
    assert parse(trained[2:]).config.tokenizer == str(home / "bpe") and trained[:2] == ["cs336", "train"]
    words = shlex.split(encodes.partition("ids: ")[2].replace("OUT.tokens", "x.tokens"))
    assert words[0] == "cs336" and cs336(*words[1:]) == 0
    *_, use, trains = capsys.readouterr().out.splitlines()
    assert f"TokenFile.open({'x.tokens'!r})" in use and shlex.split(trains.partition("next: ")[2]) == trained
    small = [*SMALL, "--model.vocab-size", "270", "--runs", "own"]
    assert cs336(*trained[1:], *small, "--quiet") == 0
    assert RunRecord(home / "own" / "cats").tokenizer.vocab_size == 270
    assert cs336("train", "tales-1m", "--data", "x.tokens", "--tokenizer", "bpe") == 2
    assert "name the text that it was made of" in capsys.readouterr().err
    assert cs336("resume", home / "runs" / "cats", "--quiet") == 0
    line = capsys.readouterr().out.splitlines()[-1].partition("next: ")[2]
    assert shlex.split(line)[1:] == ["generate", str(home / "runs" / "cats"), "--prompt", "Once upon a time"]


# Values that begin with a dash, and how they are written instead; FILES are there.
FILES = ("-cats.txt", "--cats.txt", "-x.json")
DASHES = [
    ("train-tokenizer -cats.txt --out t", "./-cats.txt"),
    ("train-tokenizer --cats.txt --out t", "./--cats.txt"),
    ("train-tokenizer cats.txt --out -o", "--out=-o"),
    ("train tales-1m --data -cats.txt", "--data=-cats.txt"),
    ("train tales-1m --data -none.txt", "--data=-none.txt"),
    ("train tales-1m --data --cats.txt", "--data=--cats.txt"),
    ("train tales-1m --quiet -x.json", "./-x.json"),
    ("train tales-1m --valid_data -cats.txt", "--valid-data=-cats.txt"),
    ("train tales-1m --model.norm -pre", "--model.norm=-pre"),
    ("resume -run", "./-run"),
    ("resume run --data -cats.txt", "--data=-cats.txt"),
    ("eval run --text --cats.txt", "--text=--cats.txt"),
    ("encode -tok -cats.txt -o", "./-tok"),
    ("encode tok -cats.txt o --workers 2", "./-cats.txt"),
    ("export run -o", "./-o"),
    ("generate -run --prompt a", "./-run"),
    ("runs -x", "./-x"),
    ("runs --plot -x.png", "--plot=-x.png"),
    ("data get -x", "./-x"),
    ("data peek --count 3 -x", "./-x"),
    ("account -x", "./-x"),
    ("experiment lr-sweep --plot -x.png", "--plot=-x.png"),
    ("records add -x", "./-x"),
    ("check -x", "./-x"),
    ("check --json -x", "./-x"),
    ("check x --no-json -x", "./-x"),
    ("check x --html -x.html", "--html=-x.html"),
]


@pytest.mark.parametrize(("command", "right"), DASHES, ids=[command for command, _ in DASHES])
def test_a_value_that_begins_with_a_dash_is_told_how_to_be_written(command, right, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in FILES:
        Path(name).write_text(TEXT)
    assert cs336(*command.split()) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: '-") and error.endswith(f" is written {right}\n"), error


def test_a_value_that_begins_with_a_dash_is_taken_as_it_is_told():
    assert parse(["tales-1m", "--data=-cats.txt"]).config.data == "-cats.txt"
    assert parsing.parse(Check, "check", ["./-x", "--html=-x.html"]) == Check(Path("-x"), html=Path("-x.html"))


@pytest.mark.parametrize(
    "command",
    [
        *("eval run --windows -1", "train tales-1m --steps -5 --lr abc", "train-tokenizer --vocab-size -5"),
        *("experiment lr-sweep --foo -x.png", "train tales-1m --stepz -x", "encode tok", "generate run --prompt"),
        *("check x --speeds", "runs -h", "encode tok text -"),
    ],
)
def test_other_wrong_words_are_not_taken_for_values_with_a_dash(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cs336(*command.split()) == (0 if command.endswith("-h") else 2)
    assert "with a dash" not in capsys.readouterr().err


def test_prompts_and_special_tokens_may_begin_with_dashes(home, capsys):
    options = ("--max-tokens", "2", "--seed", "1", "--device", "cpu")
    for prompt in ("--bold", "-x", "-- ", "--seed-like"):
        assert cs336("generate", home / "runs" / "cats", "--prompt", prompt, *options) == 0
        assert capsys.readouterr().out.startswith(prompt)
    words = ("train-tokenizer", home / "cats.txt", "--vocab-size", "270", "--out", home / "dashes")
    assert cs336(*words, "--special-tokens", "--end--") == 0


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "cp437"])
def test_a_terminal_that_lacks_a_letter_gets_a_mark_for_it(encoding, home, monkeypatch):
    shown = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", shown)
    options = ("--prompt", "caf\u00e9 \U0001f600", "--max-tokens", "4", "--device", "cpu")
    assert cs336("generate", home / "runs" / "cats", *options) == 0
    assert cs336("generate", "--help") == 0
    shown.flush()
    assert b"caf" in shown.buffer.getvalue()


def test_a_run_goes_on_from_another_folder_and_where_it_was_moved_to(home, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cs336("resume", home / "runs" / "cats", "--quiet") == 0  # its text is recorded with its whole path
    (tmp_path / "moved" / "runs").mkdir(parents=True)
    (home / "runs" / "cats").rename(tmp_path / "moved" / "runs" / "cats")
    (home / "cats.txt").rename(tmp_path / "moved" / "dogs.txt")
    run = tmp_path / "moved" / "runs" / "cats"
    try:
        assert cs336("resume", run, "--quiet") == 2
        assert "--data PATH" in capsys.readouterr().err
        assert cs336("resume", run, "--quiet", "--data", tmp_path / "moved" / "dogs.txt", "--steps", "14") == 0
        record = RunRecord(run)
        assert (record.status["step"], record.config.steps) == (14, 14)
        assert record.config.data == str(tmp_path / "moved" / "dogs.txt")
        assert len(record.series("train_loss")[0]) > 6
        (tmp_path / "moved" / "dogs.txt").write_text(TEXT.replace("cat", "cow"))
        assert cs336("resume", run, "--quiet", "--steps", "15") == 2
        assert "text is not the one" in capsys.readouterr().err
    finally:
        (tmp_path / "moved" / "dogs.txt").write_text(TEXT)
        (tmp_path / "moved" / "dogs.txt").rename(home / "cats.txt")
        run.rename(home / "runs" / "cats")
    assert cs336("resume", home / "runs" / "cats", "--quiet", "--data", home / "cats.txt", "--steps", "14") == 0


def test_an_other_validation_text_is_said(home, tmp_path, capsys, monkeypatch):
    record = RunRecord(home / "runs" / "cats")
    import json

    about = record.environment
    (record.folder / "environment.json").write_text(
        json.dumps({**about, "data": {**about["data"], "valid_sha256": "0" * 16}})
    )
    try:
        assert cs336("eval", record.folder, "--device", "cpu", "--windows", "1") == 0
        assert "losses don't compare" in capsys.readouterr().err
        assert cs336("resume", record.folder, "--quiet") == 2
        assert "the validation text is not the one" in capsys.readouterr().err
    finally:
        (record.folder / "environment.json").write_text(json.dumps(about))


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="no terminals that hang up")
def test_a_closed_terminal_ends_a_run_with_a_checkpoint(home, monkeypatch, capsys):
    step = Trainer._train_step

    def closed(self):
        if self.step == 5:
            signal.raise_signal(signal.SIGHUP)
        return step(self)

    monkeypatch.setattr(Trainer, "_train_step", closed)
    monkeypatch.setattr("cs336_lib.training.stopping._write_to_nobody", lambda: None)
    outside = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup it is ignored, and a run goes on
    before = signal.getsignal(signal.SIGHUP)
    arguments = ("train", home / "runs/cats/config.json", "--runs", home / "runs", "--name", "hung-up", "--quiet")
    try:
        assert cs336(*arguments, "--steps", "12") == 130
        assert signal.getsignal(signal.SIGHUP) == before
    finally:
        signal.signal(signal.SIGHUP, outside)
    assert "go on with" in capsys.readouterr().err
    assert (home / "runs" / "hung-up" / "checkpoints" / "step-00000006").is_dir()


def test_names_that_are_no_utf8_train(tmp_path, capsys):
    odd = Path(str(tmp_path) + "/caf\udce9.txt")
    try:
        odd.write_text(TEXT)
    except OSError:
        pytest.skip("this file system takes UTF-8 names alone")
    small = [word if word != "12" else "3" for word in SMALL]
    assert cs336("train", "tales-1m", *small, "--data", odd, "--runs", tmp_path, "--quiet") == 0
    assert cs336("resume", tmp_path / "tales-1m", "--quiet") == 0


def wrapped():
    class Name:
        def __set_name__(self, owner, name):
            raise KeyboardInterrupt

    type("Made", (), {"name": Name()})


def twice_wrapped():
    try:
        wrapped()
    except BaseException as error:
        raise ImportError("no module") from error


def fails_tidying_up():
    try:
        raise KeyboardInterrupt
    finally:
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    ("fails", "code", "says"),
    [
        (wrapped, 130, "stopped"),
        (twice_wrapped, 130, "stopped"),
        (fails_tidying_up, 1, "No space left on device"),
    ],
)
def test_ctrl_c_is_told_as_such_whatever_python_makes_of_it(fails, code, says, monkeypatch, capsys):
    monkeypatch.setattr("cs336_lib.cli.runs_command.run", lambda arguments: fails())
    assert cs336("runs") == code
    assert capsys.readouterr().err == f"error: {says}\n"


@pytest.fixture
def pressed():
    """A function that does what Ctrl-C does; at the end it means what it did before."""
    before = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield lambda: signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_waits_until_a_module_is_imported(pressed, monkeypatch, capsys):
    begun = []

    def importing(name):
        pressed()
        begun.append("imported")
        return SimpleNamespace(run=begun.append)

    monkeypatch.setattr("cs336_lib.cli.import_module", importing)
    assert cs336("runs") == 130 and begun == ["imported"]
    assert capsys.readouterr().err == "error: stopped\n"


def test_an_end_that_takes_long_is_told(pressed, monkeypatch, capsys):
    def run(arguments):
        try:
            pressed()
        finally:
            time.sleep(float(arguments[0]))

    monkeypatch.setattr("cs336_lib.cli.interrupts.PATIENCE", 0.1)
    monkeypatch.setattr("cs336_lib.cli.runs_command.run", run)
    assert cs336("runs", 0) == 130
    time.sleep(0.2)
    assert capsys.readouterr().err == "error: stopped\n"
    assert cs336("runs", 0.5) == 130
    told = "\nstopping: what is in hand is finished first; Ctrl-C again ends at once\nerror: stopped\n"
    assert capsys.readouterr().err == told


STUCK = """
import sys, time
from concurrent.futures import ThreadPoolExecutor
from cs336_lib import cli
from cs336_lib.cli import runs_command
from cs336_lib.workshop import carry_out

def work(seconds):
    print("begun", flush=True)
    time.sleep(seconds)

def run(arguments):
    with ThreadPoolExecutor(1) as pool:
        carry_out(pool, work, [(60,)], lambda seconds: None, print, 2)

runs_command.run = run
sys.exit(cli.main(["runs"]))
"""


@pytest.mark.skipif(os.name == "nt", reason="no such signals there")
def test_a_second_ctrl_c_ends_a_command_at_once():
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([PYTHON, "-c", STUCK], cwd=ROOT, **pipes) as process:
        try:
            assert process.stdout.readline() == "begun\n"
            process.send_signal(signal.SIGINT)
            assert process.stderr.readline() == "\n"
            assert process.stderr.readline().startswith("stopping: what is in hand is finished first")
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=20) == 130
            assert process.stderr.read() == "\nerror: stopped at once\n"
        finally:
            process.kill()


ENDS = """
import atexit, sys, tempfile
from cs336_lib import cli
from cs336_lib.cli import runs_command

kept = tempfile.TemporaryDirectory()
atexit.register(print, "tidied up", kept.name)
runs_command.run = lambda arguments: {how}
def start():
    sys.exit(cli.main(["runs"]))

if __name__ == "__main__":
    start()
"""
PRESSED = "__import__('signal').raise_signal(2)"
INTERRUPTED = {
    "plainly": PRESSED,
    "in the exec of a string": f"exec({PRESSED!r})",
    "in an exec within an exec": f"exec({f'exec({PRESSED!r})'!r})",
    "in an eval": f"eval({PRESSED!r})",
}


@pytest.mark.parametrize("start", ["-m ends", "ends.py", "-c import\tends;ends.start()"])
@pytest.mark.parametrize("how", INTERRUPTED)
def test_a_process_that_is_stopped_ends_with_its_code_and_tidies_up(tmp_path, start, how):
    """Not by the signal: a shell would end the script that called it."""
    (tmp_path / "ends.py").write_text(ENDS.format(how=INTERRUPTED[how]))
    where = {"cwd": tmp_path, "env": {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"}}
    done = subprocess.run([PYTHON, *start.split(" ")], capture_output=True, text=True, check=False, **where)
    assert (done.returncode, done.stderr) == (130, "error: stopped\n")
    said, folder = done.stdout.strip().rsplit(" ", 1)
    assert said == "tidied up" and not Path(folder).exists()
