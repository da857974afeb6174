"""The command line as its users see it: what it prints, what it leaves behind, its exit codes."""

import importlib
import inspect
import io
import json
import os
import shutil
import subprocess
from contextlib import nullcontext
from dataclasses import fields, is_dataclass
from importlib import import_module
from operator import attrgetter
from pathlib import Path
from pkgutil import resolve_name
from types import SimpleNamespace
from typing import get_type_hints

import pytest
import tyro
from cli_setup import PYTHON, ROOT, SMALL, cs336
from safetensors.torch import load_file

import cs336_lib
from cs336_lib.cli import COMMANDS, generate_command, outcome, parsing
from cs336_lib.cli.arguments import options_of
from cs336_lib.cli.train_command import parse
from cs336_lib.experiments import SUITES
from cs336_lib.generation import SamplingConfig, training_sample
from cs336_lib.model import ModelConfig
from cs336_lib.training import RunRecord, TrainConfig
from cs336_lib.training.presets import PRESETS
from cs336_lib.training.ranks import Ranks
from cs336_lib.typed import place as typed_place

TEXT = "The cat sat on the mat. The dog ran to the cat, and the cat ran home.\n<|endoftext|>\n" * 300


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with a text and a finished run."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "cats.txt").write_text(TEXT)
    code = cs336(
        *("train", "tales-1m", *SMALL, "--data", folder / "cats.txt", "--name", "cats", "--runs", folder, "--quiet")
    )
    assert code == 0
    return folder


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command, capsys):
    assert cs336(command, "--help") == 0
    shown = capsys.readouterr().out
    assert f"cs336 {command}" in shown and len(shown) > 200


@pytest.mark.parametrize("arguments", [[], ["--help"], ["help"]])
def test_help_lists_commands_and_a_first_walk(arguments, capsys):
    assert cs336(*arguments) == 0
    shown = capsys.readouterr().out
    assert all(f"  {name} " in shown for name in COMMANDS)
    assert "cs336 train tales-1m" in shown


WORDS = [
    *("None", "none", "null", "True", "False", "true", "nan", "inf", "1", "1e3", "-1", "-x", "--x", "-", "...", "{}"),
    *("[]", "()", "''", "~", "a=b", "@file", "a b", "*", "$HOME", "None/None", "None.txt", "./None", "tales", "\u00e9"),
]
PLACES = [
    ("train", "config.data", ["tales-1m", "--data"]),
    ("train", "config.valid_data", ["tales-1m", "--data", "c.txt", "--valid-data"]),
    ("train", "config.tokenizer", ["tales-1m", "--tokenizer"]),
    ("train", "runs", ["tales-1m", "--runs"]),
    ("resume", "run", []),
    ("resume", "data", ["r", "--data"]),
    ("resume", "valid_data", ["r", "--valid-data"]),
    ("eval", "text", ["r", "--text"]),
    ("encode", "tokenizer", ["0", "c.txt", "o.tokens"]),
    ("encode", "text", ["tok", "0", "o.tokens"]),
    ("encode", "out", ["tok", "c.txt", "0"]),
    ("export", "out", ["r"]),
    ("generate", "run", []),
    ("check", "folder", []),
    ("check", "adapters", ["f", "--adapters"]),
    ("check", "html", ["f", "--html"]),
    ("runs", "plot", ["r", "--plot"]),
    ("experiment", "plot", ["lr", "--plot"]),
    ("experiment", "folder", ["lr", "--folder"]),
    ("train-tokenizer", "text", ["0", "--out", "o"]),
    ("train-tokenizer", "out", ["c.txt", "--out"]),
]


@pytest.mark.parametrize(("name", "field", "before"), PLACES, ids=[f"{name}-{field}" for name, field, _ in PLACES])
def test_a_place_is_typed_so_that_the_parser_reads_that_place(name, field, before):
    """Whatever a file is called, a line that names it can be pasted."""
    module = importlib.import_module(f"cs336_lib.cli.{name.replace('-', '_')}_command")
    for word in WORDS:
        line = [typed_place(word) if given == "0" else given for given in before]
        line += [] if "0" in before else [typed_place(word)]
        command = module.__dict__["".join(part.title() for part in name.split("-"))]
        asked = parse(line) if name == "train" else parsing.parse(command, name, line)
        for part in field.split("."):
            asked = getattr(asked, part)
        assert asked is not None and Path(asked) == Path(word), (word, line)


def test_help_needs_no_torch():
    code = "import sys; from cs336_lib.cli import main; main(['train', '--help']); print('torch' in sys.modules)"
    done = subprocess.run([PYTHON, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"


def test_it_runs_as_a_module():
    done = subprocess.run([PYTHON, "-m", "cs336_lib", "--version"], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, cs336_lib.__version__)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["genrate"], "unknown command 'genrate'; did you mean 'generate'?"),
        (["resume", "nowhere"], "nowhere is no run"),
        (["eval", "nowhere"], "nowhere is no run"),
        (["generate", "nowhere", "--top-p", "0"], "top_p is 0.0; it must be above 0"),
        (["runs", "nowhere"], "there is no folder 'nowhere'"),
        (["account", "gpt5"], "there is no run and no preset 'gpt5'"),
        (["account", "runs/a"], "there is no run and no preset 'runs/a'"),
        (["account", "gpt2-xl", "--device", "h10"], "unknown device 'h10' (did you mean 'h100"),
        (["account", "gpt2-xl", "--device", "-1"], "must be a positive number of FLOP/s"),
        (["account", "gpt2-xl", "--device", "1e15", "--dtype", "float16"], "leave dtype out"),
        (["experiment", "lr-swep"], "unknown suite 'lr-swep' (did you mean 'lr-sweep'?)"),
        (["train", "tales-1m", "--stp", "1"], "cs336 train tales-1m --help lists all"),
        (["train", "--stp", "1"], "cs336 train PRESET --help lists all"),
        (["export", "nowhere", "out"], "nowhere is no run"),
        (["encode", "nowhere", "a.txt", "b"], "nowhere"),
        (["train", "tales-1m", "--batch-size", "10", "--accumulation", "3"], "does not divide batch_size = 10"),
        (["train", "tales-1m", "--data", "no-such.txt"], "no-such.txt"),
        (["train", "no-such.json"], "no-such.json"),
        (["train-tokenizer", "no-such.txt", "--out", "x"], "no-such.txt"),
        (["data", "get", "no-such.txt"], "no-such.txt"),
        (["train", "tales-1m", "--stepz", "3"], "unknown option --stepz (did you mean '--steps'?)"),
        (["train", "tales-1m", "--model.d-modle=3"], "did you mean '--model.d-model'?"),
        (["train", "tales-2m"], "unknown preset 'tales-2m' (did you mean 'tales-1m'?); allowed: tales-1m, "),
        (["train", "tales-1m", "--steps", "60"], "100 + 0 do not fit in steps = 60; take fewer (warmup_steps = 6)"),
    ],
)
def test_bad_input_is_one_clear_line_and_code_2(arguments, says, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cs336(*arguments) == 2
    shown = capsys.readouterr()
    assert shown.err.startswith("error: ") and shown.err.count("\n") == 1 and says in shown.err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("arguments", [["train"], ["runs", "--plots", "x"]])
def test_options_that_do_not_exist_are_code_2(arguments, capsys):
    assert cs336(*arguments) == 2
    shown = capsys.readouterr().err
    assert "nrecognized" in shown or "issing subcommand" in shown


def test_unexpected_failures_are_code_1_and_can_be_traced(monkeypatch, capsys):
    monkeypatch.setattr("cs336_lib.cli.import_module", lambda name: 1 / 0)
    assert cs336("runs") == 1
    assert "ZeroDivisionError" in capsys.readouterr().err
    monkeypatch.setenv("CS336_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        cs336("runs")


@pytest.mark.parametrize("name", PRESETS)
def test_presets_can_be_changed_option_by_option(name):
    asked = parse([name, "--lr", "0.5", "--model.num-layers", "7", "--compile", "False"])
    expected = TrainConfig.preset(name).replace(
        lr=0.5, compile=False, model=TrainConfig.preset(name).model.replace(num_layers=7)
    )
    assert asked.config == expected


def test_the_width_follows_unless_it_is_given():
    assert parse(["tales-1m", "--model.d-model", "256"]).config.model.d_ff == 704
    assert parse(["tales-1m", "--model.d-model", "256", "--model.d-ff", "10"]).config.model.d_ff == 10


def test_a_saved_config_is_a_preset(home):
    asked = parse([str(home / "cats" / "config.json"), "--seed", "7"])
    assert asked.config == RunRecord(home / "cats").config.replace(seed=7)


def test_training_leaves_a_record_and_says_what_next(home, capsys):
    record = RunRecord(home / "cats")
    assert record.status["status"] == "finished"
    assert record.config.model.vocab_size == 300
    assert [step for step, _ in record.samples()] == [12]
    assert record.samples()[0][1].startswith("Once upon a time")
    assert cs336("resume", home / "cats", "--quiet") == 0
    shown = capsys.readouterr().out
    assert shown.startswith("finished: step 12, validation loss ") and "next: cs336 generate" in shown


def test_a_run_is_not_overwritten(home, capsys):
    assert cs336("train", home / "cats" / "config.json", "--runs", home, "--quiet") == 2
    assert "cs336 resume" in capsys.readouterr().err


def test_a_diverged_run_is_code_3(home, capsys):
    code = cs336(
        *("train", home / "cats" / "config.json", "--runs", home, "--name", "wild", "--quiet"),
        *("--lr", "1e9", "--grad-clip", "0"),
    )
    assert code == 3
    assert "error: diverged at step" in capsys.readouterr().err
    assert RunRecord(home / "wild").status["status"] == "diverged"


def test_ctrl_c_is_code_130_and_says_how_to_go_on(home, capsys, monkeypatch):
    from cs336_lib.training.trainer import Trainer

    step = Trainer._train_step

    def pressed(self):
        if self.step == 5:
            import signal

            signal.raise_signal(signal.SIGINT)
        return step(self)

    monkeypatch.setattr(Trainer, "_train_step", pressed)
    arguments = ("train", home / "cats" / "config.json", "--runs", home, "--name", "stopped", "--quiet")
    assert cs336(*arguments) == 130
    assert f"stopped at step 6; go on with: cs336 resume {home / 'stopped'}" in capsys.readouterr().err
    monkeypatch.undo()
    assert cs336("resume", home / "stopped", "--quiet") == 0
    done, whole = (RunRecord(home / name).series("train_loss") for name in ("stopped", "cats"))
    assert done == whole


def test_runs_are_listed_and_drawn(home, capsys):
    assert cs336("runs", home, "--plot", home / "losses.png") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:4] == ["run", "status", "step", "of"]
    assert lines[1].split()[:4] == ["cats", "finished", "12", "12"]
    assert (home / "losses.png").read_bytes().startswith(b"\x89PNG")


def test_runs_in_folders_of_folders_are_named(home, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for place in ("sweep-quick/a", "sweep-quick/b", "c"):
        shutil.copytree(home / "cats", tmp_path / place, ignore=shutil.ignore_patterns("checkpoints"))
    assert cs336("runs", ".") == 0
    *table, last = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in table] == ["run", "c"]
    assert last == "and 2 runs in sweep-quick: cs336 runs sweep-quick"
    assert cs336("runs", "sweep-quick") == 0
    assert "and " not in capsys.readouterr().out


def test_the_step_at_which_a_run_stopped_is_shown(home, tmp_path, capsys):
    shutil.copytree(home / "cats", tmp_path / "a", ignore=shutil.ignore_patterns("checkpoints"))
    (tmp_path / "a" / "status.json").write_text('{"status": "stopped", "step": 69}')
    assert cs336("runs", tmp_path) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[:3] == ["a", "stopped", "69"]


def test_a_session_does_not_tell_the_rate_of_another(home, tmp_path, capsys):
    record = RunRecord(home / "cats")
    assert outcome.report(record) == 0
    assert "tokens/s" in capsys.readouterr().out
    assert outcome.report(record, began=12) == 0
    assert "tokens/s" not in capsys.readouterr().out


def test_no_runs_is_no_error(tmp_path, capsys):
    assert cs336("runs", tmp_path) == 0
    assert "no runs" in capsys.readouterr().out


def test_eval_measures_the_set_or_a_text(home, capsys):
    assert cs336("eval", home / "cats", "--device", "cpu") == 0
    shown = capsys.readouterr().out
    loss = RunRecord(home / "cats").best()
    assert f"loss       {loss:.4f}" in shown and "the whole set" in shown and "per byte" in shown
    assert cs336("eval", home / "cats", "--text", home / "cats.txt", "--windows", "2", "--device", "cpu") == 0
    assert "on 64 tokens (the first 2 windows)" in capsys.readouterr().out
    assert cs336("eval", home / "cats", "--text", "tales", "--windows", "2", "--device", "cpu") == 0
    assert "floor" in capsys.readouterr().out


def test_eval_on_tales_shows_the_floor(tmp_path, capsys):
    assert cs336("train", "tales-1m", *SMALL, "--runs", tmp_path, "--quiet") == 0
    assert cs336("eval", tmp_path / "tales-1m", "--windows", "5", "--device", "cpu") == 0
    shown = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert float(shown["floor"].split()[0]) < float(shown["loss"].split()[0])


def test_generate_continues_prompts(home, capsys):
    options = ("--max-tokens", "8", "--seed", "1", "--device", "cpu")
    assert cs336("generate", home / "cats", "--prompt", "The cat", "The dog", *options) == 0
    first = capsys.readouterr().out
    assert first.startswith("The cat") and "\n\nThe dog" in first
    assert cs336("generate", home / "cats", "--prompt", "The cat", "The dog", *options) == 0
    assert capsys.readouterr().out == first


def test_generate_reads_prompts_from_a_pipe(home):
    command = [PYTHON, "-m", "cs336_lib", "generate", str(home / "cats"), "--max-tokens", "4", "--seed", "0"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, input="The cat\nThe dog\n", cwd=home, capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("The cat") and "The dog" in done.stdout and done.stderr == ""


def test_lines_of_a_pipe_are_prompts_however_they_end(monkeypatch):
    """Each ends with one line end, Windows' or not; what else stands in a line is the reader's."""
    with Path(os.devnull).open() as nothing:
        for lines in ("The cat\nThe dog\n", "The cat\r\nThe dog\r\n", "The cat\r\nThe dog", "The cat\nThe dog\r"):
            monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(lines.encode()), newline="\n"))
            assert list(generate_command._asked()) == ["The cat", "The dog"], lines
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b" a\rb \r\r\n\r\n"), newline="\n"))
        assert list(generate_command._asked()) == [" a\rb \r", ""]
        monkeypatch.setattr("sys.stdin", nothing)
        assert list(generate_command._asked()) == []


def test_a_tokenizer_and_its_token_file(home, capsys):
    assert cs336("train-tokenizer", home / "cats.txt", "--out", home / "bpe", "--vocab-size", "284") == 0
    assert cs336("encode", home / "bpe", home / "cats.txt", home / "cats.tokens") == 0
    shown = capsys.readouterr().out
    assert "284 tokens" in shown and "bytes of text each" in shown
    assert (home / "cats.tokens").stat().st_size > 4096


def test_a_run_is_not_exported_over_itself_or_another(home, capsys):
    before = (home / "cats/config.json").read_bytes()
    assert cs336("export", home / "cats", home / "cats") == 2
    assert "config.json is of no exported model, and would be overwritten" in capsys.readouterr().err
    assert (home / "cats/config.json").read_bytes() == before


def test_data_lists_and_peeks(home, capsys):
    assert cs336("data", "list") == 0
    names = {line.split()[0] for line in capsys.readouterr().out.splitlines() if not line.startswith(" ")}
    assert names == {"tales", "tinystories", "owt"}
    assert cs336("data", "peek", home / "cats.txt", "--count", "2") == 0
    assert capsys.readouterr().out.count("The cat sat") == 2


def test_account_knows_presets_and_runs(home, capsys):
    assert cs336("account", "tinystories-17m") == 0
    assert "22,696,448" in capsys.readouterr().out
    assert cs336("account", home / "cats") == 0
    parameters = RunRecord(home / "cats").environment["parameters"]
    assert f"{parameters:,}" in capsys.readouterr().out


def test_account_takes_a_peak(capsys):
    assert cs336("account", "tales-1m", "--device", "1e15", "--mfu", "0.5") == 0
    shown = capsys.readouterr().out
    assert "50 % of 1000 TFLOP/s" in shown and "Left out" in shown and "Roofline" not in shown
    assert cs336("account", "tales-1m") == 0
    assert "0.000 G" not in capsys.readouterr().out


def test_export_opens_in_transformers(home):
    assert cs336("export", home / "cats", home / "exported") == 0
    assert json.loads((home / "exported" / "config.json").read_text())["model_type"] == "llama"
    assert (home / "exported" / "tokenizer.json").is_file()
    assert "model.layers.0.self_attn.q_proj.weight" in load_file(home / "exported" / "model.safetensors")


def test_runs_and_exports_can_be_read_by_whom_new_files_can(home, tmp_path):
    """A library that writes its files for their owner alone would hide weights from others, and show the rest."""
    assert cs336("export", home / "cats", tmp_path / "exported") == 0
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    usual = {False: (tmp_path / "file").stat().st_mode, True: (tmp_path / "folder").stat().st_mode}
    made = [*(home / "cats").rglob("*"), *(tmp_path / "exported").rglob("*")]
    assert len(made) > 10
    assert not [path for path in made if path.stat().st_mode != usual[path.is_dir()]]


def test_everything_can_be_done_from_python_in_three_lines(home):
    from cs336_lib.generation import generate
    from cs336_lib.training.loading import load_run

    run = load_run(home / "cats", device="cpu")
    assert generate(run.model, run.tokenizer, "The cat").text


def test_configs_on_disk_are_checked(tmp_path, capsys):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(TrainConfig.preset("tales-1m").to_dict() | {"learning_rate": 1}))
    assert cs336("train", path) == 2
    assert "unknown key 'learning_rate'" in capsys.readouterr().err


def test_the_entry_point_is_named():
    assert 'cs336 = "cs336_lib.cli:main"' in Path(ROOT / "pyproject.toml").read_text()


class ArrivedError(BaseException):
    """A call that was caught: what it was given."""

    def __init__(self, given):
        self.given = given


CONFIG = TrainConfig.preset("tales-1m").replace(name="n", lr=0.5, device="cpu")
STAND_INS = {
    "cs336_lib.cli.cluster.executor_at": lambda address: nullcontext(address and f"workers at {address}"),
    "cs336_lib.training.ranks.started": lambda *about: nullcontext(Ranks()),
    "cs336_lib.check.project.find": lambda *about: "a project",
}
LOAD, CORPUS = "cs336_lib.training.loading.load_run", "cs336_lib.data.corpora.get"
# (command line, what it calls, what that is given); HOME stands for the folder.
ARRIVES = [
    ("generate HOME/cats --checkpoint 8 --device cpu:0", LOAD,
     {"folder": "HOME/cats", "which": "8", "device": "cpu:0"}),
    ("generate HOME/cats --device cpu --prompt One --max-tokens 3 --temperature 0.7 --top-k 5 --top-p 0.6 "
     "--repetition-penalty 1.2 --seed 9", "cs336_lib.generation.stream",
     {"prompt": "One", "config": SamplingConfig(3, 0.7, 5, 0.6, 1.2, seed=9)}),
    ("eval HOME/cats --checkpoint 8 --device cpu:0", LOAD, {"folder": "HOME/cats", "which": "8", "device": "cpu:0"}),
    ("eval HOME/cats --device cpu --windows 2 --batch-size 3", "cs336_lib.training.evaluate",
     {"windows": 2, "batch_size": 3}),
    ("eval HOME/cats --device cpu --text HOME/cats.txt", "cs336_lib.training.corpus.text_ids",
     {"text": "HOME/cats.txt"}),
    ("export HOME/cats HOME/new --checkpoint 8", LOAD, {"folder": "HOME/cats", "which": "8"}),
    ("export HOME/cats HOME/new", "cs336_lib.model.llama.to_hf_llama", {"folder": "HOME/new"}),
    ("account gpt2-xl --context-length 9 --batch-size 3 --device a100-80gb --dtype float16 --mfu 0.3 --steps 7 "
     "--edition 2026", "cs336_lib.accounting.report.text",
     {"cfg": ModelConfig.preset("gpt2-xl-2026"), "context_length": 9, "batch_size": 3, "device": "a100-80gb",
      "dtype": "float16", "mfu": 0.3, "steps": 7, "edition": "2026"}),
    ("train-tokenizer HOME/cats.txt --out HOME/new", CORPUS, {"name": "HOME/cats.txt"}),
    ("train-tokenizer HOME/cats.txt --out HOME/new --vocab-size 260 --special-tokens <a> <b> --workers 1 "
     "--dask tcp://here", "cs336_lib.bpe.train_bpe",
     {"input_path": "HOME/cats.txt", "vocab_size": 260, "special_tokens": ("<a>", "<b>"), "workers": 1,
      "executor": "workers at tcp://here"}),
    ("train-tokenizer HOME/cats.txt --out HOME/new --vocab-size 260 --special-tokens <a> <b>",
     "cs336_lib.bpe.Tokenizer.save", {"folder": "HOME/new", "self.special_tokens": ["<a>", "<b>"]}),
    ("encode HOME/cats/tokenizer HOME/cats.txt HOME/new", "cs336_lib.bpe.Tokenizer.from_folder",
     {"folder": "HOME/cats/tokenizer"}),
    ("encode HOME/cats/tokenizer HOME/cats.txt HOME/new", CORPUS, {"name": "HOME/cats.txt"}),
    ("encode HOME/cats/tokenizer HOME/cats.txt HOME/new --workers 2 --dask tcp://here", "cs336_lib.data.encode_file",
     {"text_path": "HOME/cats.txt", "out_path": "HOME/new", "workers": 2, "executor": "workers at tcp://here"}),
    ("train tales-1m --name n --lr 0.5 --device cpu --runs HOME/r --parallel ddp --quiet",
     "cs336_lib.training.trainer.Trainer",
     {"config": CONFIG, "folder": "HOME/r/n", "parallel": "ddp", "progress": False, "write_sample": training_sample}),
    ("train tales-1m --device cpu --runs HOME/r", "cs336_lib.training.trainer.Trainer", {"progress": True}),
    ("train tales-1m --device cpu --runs HOME/r --parallel fsdp --timeout 5", "cs336_lib.training.ranks.started",
     {"parallel": "fsdp", "device": "cpu", "timeout": 5.0}),
    ("resume HOME/cats --device cpu:0 --data HOME/cats.txt --valid-data HOME/cats.txt --steps 20 --anew --quiet "
     "--parallel ddp", "cs336_lib.training.trainer.Trainer.resume",
     {"folder": "HOME/cats", "anew": True, "progress": False, "parallel": "ddp", "write_sample": training_sample,
      "changes": {"device": "cpu:0", "data": "HOME/cats.txt", "valid_data": "HOME/cats.txt", "steps": 20}}),
    ("resume HOME/cats", "cs336_lib.training.trainer.Trainer.resume",
     {"anew": False, "progress": True, "parallel": None, "changes": {}}),
    ("resume HOME/cats --device cpu:0 --parallel fsdp --timeout 5", "cs336_lib.training.ranks.started",
     {"parallel": "fsdp", "device": "cpu:0", "timeout": 5.0}),
    ("experiment lr-sweep --scale cpu --data HOME/cats.txt --folder HOME/r", "cs336_lib.experiments.run_suite",
     {"suite": SUITES["lr-sweep"], "scale": "cpu", "data": "HOME/cats.txt", "folder": "HOME/r"}),
    ("data get tales --size-bytes 5000", CORPUS, {"name": "tales", "size_bytes": 5000}),
    ("data peek tales --count 5 --split train", "cs336_lib.data.corpora.peek",
     {"name": "tales", "count": 5, "split": "train"}),
    ("records add HOME/cats --home HOME", "cs336_lib.experiments.filing.add", {"source": "HOME/cats", "home": "HOME"}),
    ("check HOME --adapters HOME/a.py --python py", "cs336_lib.check.project.find",
     {"folder": "HOME", "adapters": "HOME/a.py", "python": "py"}),
    ("check HOME --only softmax --slow", "cs336_lib.check.folder.chosen", {"only": "softmax", "slow": True}),
    ("check HOME --only softmax.large --edition 2025 --train --speed --memory 3", "cs336_lib.check.folder.check_folder",
     {"project": "a project", "names": ["softmax.large"], "edition": "2025", "train": True, "speed": True,
      "memory_gib": 3.0}),
]  # fmt: skip
SEEN = {"runs": {"--plot"}, "experiment": {"--plot"}, "check": {"--html", "--json", "--list"}}
"""Options whose effect other tests look at: files and what is printed."""


@pytest.mark.parametrize(
    ("line", "called", "given"), ARRIVES, ids=[f"{row[0].split()[0]}-{row[1].split('.')[-1]}" for row in ARRIVES]
)
def test_options_arrive(line, called, given, home, monkeypatch):
    plain = resolve_name(called)
    signature = inspect.signature(plain)

    def caught(*arguments, **options):
        raise ArrivedError(signature.bind(*arguments, **options))

    for name, stand_in in STAND_INS.items():
        monkeypatch.setattr(name, stand_in)
    monkeypatch.setattr(called, staticmethod(caught) if inspect.ismethod(plain) else caught)
    with pytest.raises(ArrivedError) as arrived:
        cs336(*line.replace("HOME", str(home)).split())
    bound = arrived.value.given
    bound.apply_defaults()

    def shown(value):
        """As text where it is a place, since some take a path and some its name."""
        if isinstance(value, dict):
            return {key: shown(inner) for key, inner in value.items()}
        return str(value).replace(str(home), "HOME") if isinstance(value, str | Path) else value

    found = {name: attrgetter(name)(SimpleNamespace(**bound.arguments)) for name in given}
    assert {name: shown(value) for name, value in found.items()} == given
    assert not (home / "new").exists() and not (home / "r").exists()


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_is_seen_to_arrive(command):
    """Those of a run's config are compared with it as a whole, above."""
    module = import_module(f"cs336_lib.cli.{command.replace('-', '_')}_command")
    asked = [one for one in vars(module).values() if is_dataclass(one) and one.__module__ == module.__name__]
    words = " ".join(line for line, *_ in ARRIVES if line.split()[0] == command).split()
    tried = set(words) | SEEN.get(command, set())
    options = {option for one in asked for option in options_of(one)} - {"--config"}
    places = {f"--{field.name}" for one in asked for field in fields(one) if is_place(one, field.name)}
    assert asked and options - places <= tried, "add a row"


def is_place(asked, name):
    """Whether an argument has no option before it."""
    kind = get_type_hints(asked, include_extras=True)[name]
    return any(str(more) == str(PLACE) for more in getattr(kind, "__metadata__", ()))


(PLACE,) = tyro.conf.Positional[int].__metadata__


@pytest.mark.parametrize(
    ("address", "code", "words"),
    [("over there", 2, "one looks like tcp://host:8786"), ("tcp://127.0.0.1:1", 1, "start one with: dask scheduler")],
)
def test_a_cluster_that_is_not_there_is_told_before_any_work(tmp_path, capsys, address, code, words):
    pytest.importorskip("distributed")
    assert cs336("train-tokenizer", "tales", "--out", tmp_path / "x", "--dask", address) == code
    assert words in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
