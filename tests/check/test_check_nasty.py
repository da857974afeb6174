"""Code that hangs, dies, prints, eats memory or changes the world: named, outlived, and nothing left behind."""

import json
import random
import re
import textwrap

import pytest
import torch

from cs336_lib.check.child import questions, runner
from cs336_lib.check.child.case import ADAPTERS, CHECKS, CHOICE
from cs336_lib.check.child.runner import BROKEN, RIGHT, UNANSWERED, WRONG
from cs336_lib.check.folder import check_folder, chosen
from cs336_lib.check.project import find
from cs336_lib.cli import main

assert questions  # importing it registers the checks
SOFTMAX = """
def run_softmax(in_features, dim):
    import torch
    return torch.softmax(in_features, dim)
"""


def project(folder, text, **files):
    (folder / "tests").mkdir()
    (folder / "tests/adapters.py").write_text(textwrap.dedent(text))
    for name, content in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_suffix(".py").write_text(textwrap.dedent(content))
    return find(folder)


def ask(found, only, **options):
    report = check_folder(found, chosen(only), **options)
    return report, {answer.name: answer for answer in report.answers}


@pytest.mark.check
def test_adapters_that_are_missing_or_not_written_are_not_answered(tmp_path):
    found = project(tmp_path, SOFTMAX + "\ndef run_linear(*args): raise NotImplementedError")
    report, answers = ask(found, "softmax.large,linear.value,embedding.value")
    assert answers["softmax.large"].status == RIGHT
    assert answers["linear.value"].status == answers["embedding.value"].status == UNANSWERED
    assert "NotImplementedError" in answers["linear.value"].got and "no run_embedding" in answers["embedding.value"].got
    assert report.passed


@pytest.mark.check
def test_an_import_that_fails_is_named_and_the_rest_goes_on(tmp_path):
    found = project(
        tmp_path,
        "from __future__ import annotations\nfrom basics.layers import Linear\nfrom basics.bad import silu\n"
        "def run_linear(d_in, d_out, weights, x: Float[Tensor]):\n    return Linear(weights)(x)\n"
        "def run_silu(x):\n    return silu(x)\n" + SOFTMAX,
        src__basics__layers="import torch\nx = torch.zeros(2) @ torch.zeros(3)\n",
        src__basics__bad="def silu(x)\n    return x\n",
        src__basics____init__="",
    )
    report, answers = ask(found, "softmax.large,linear.value,positionwise_feedforward.silu")
    assert answers["softmax.large"].status == RIGHT
    assert answers["linear.value"].status == answers["positionwise_feedforward.silu"].status == BROKEN
    assert "adapters.py, line 2" in answers["linear.value"].got and "layers.py, line 2" in answers["linear.value"].got
    assert "SyntaxError" in answers["positionwise_feedforward.silu"].got
    assert set(report.broken) == {2, 3} and not report.passed


@pytest.mark.check
def test_one_name_that_does_not_import_takes_no_other_with_it(tmp_path):
    found = project(
        tmp_path,
        "from lm import good, bad\nimport lm.good, lm.bad\ndef run_silu(x): return bad.silu(x)\n"
        "def run_softmax(x, dim): return good.softmax(x, dim)\n",
        lm__good="import torch\nsoftmax = torch.softmax\n",
        lm__bad="import not_installed\n",
    )
    report, answers = ask(found, "softmax,positionwise_feedforward.silu")
    assert answers["softmax.large"].status == RIGHT and answers["softmax.all_masked"].status == "chosen"
    assert answers["positionwise_feedforward.silu"].status == BROKEN
    assert (
        set(report.broken) == {1, 2} and "good" not in report.broken[1] and report.verdict.startswith("some adapters")
    )


def test_what_is_only_reported_is_never_wrong_and_what_is_missing_is_no_choice():
    def answer(name, **adapters):
        return runner.put(CHECKS[name], adapters)

    def crash(*_):
        raise ValueError("\x1b[31m\ud800")

    for name in [name for name, check in CHECKS.items() if check.kind == CHOICE]:
        assert answer(name, **dict.fromkeys(ADAPTERS, crash)).status == "chosen", name
        assert answer(name).status == UNANSWERED, name
    wrong = answer("softmax.large", run_softmax=crash)
    assert wrong.status == WRONG and wrong.got.startswith("ValueError: \\x1b[31m\\ud800")

    def stub(*_):
        raise NotImplementedError

    def below(x, _):
        return torch.empty(2, device="meta").cpu()

    assert answer("softmax.large", run_softmax=stub).status == UNANSWERED
    assert answer("softmax.large", run_softmax=below).status == WRONG


@pytest.mark.check
def test_an_import_that_ends_the_process_is_left_out_of_the_next_try(tmp_path):
    found = project(
        tmp_path,
        "from killer import linear\ndef run_linear(*args): return linear(*args)\n" + SOFTMAX,
        src__killer="import os\nos._exit(3)\n",
    )
    report, answers = ask(found, "softmax.large,linear.value")
    assert answers["softmax.large"].status == RIGHT and answers["linear.value"].status == BROKEN
    assert "exit code 3" in report.broken[1]


@pytest.mark.check
def test_an_import_that_hangs_is_ended_and_named(tmp_path, monkeypatch):
    monkeypatch.setattr("cs336_lib.check.processes.LOADING_SECONDS", 12.0)
    found = project(
        tmp_path, "from sleeper import linear\n" + SOFTMAX, src__sleeper="import time\n\ntime.sleep(1000)\n"
    )
    report, answers = ask(found, "softmax.large")
    assert answers["softmax.large"].status == RIGHT
    assert "no end within" in report.broken[1] and "sleeper.py, line 3" in report.broken[1]


@pytest.mark.check
def test_functions_that_kill_hang_or_exit_are_wrong_and_the_rest_goes_on(tmp_path, monkeypatch):
    from dataclasses import replace

    for name in ("linear.value", "rmsnorm.value"):
        monkeypatch.setitem(CHECKS, name, replace(CHECKS[name], seconds=1))
    found = project(
        tmp_path,
        """
        import os, sys, time
        def run_linear(*args): time.sleep(1000)
        def run_embedding(*args): os._exit(0)
        def run_silu(*args): sys.exit("bye")
        def run_swiglu(*args): os.kill(os.getpid(), 11)
        """
        + SOFTMAX.replace("\n", "\n        "),
    )
    names = "linear.value,embedding.value,positionwise_feedforward.silu,positionwise_feedforward.value,softmax.large"
    report, answers = ask(found, names)
    assert "no end within" in answers["linear.value"].got and "adapters.py, line 3" in answers["linear.value"].got
    assert "exit code 0" in answers["embedding.value"].got
    assert "SystemExit" in answers["positionwise_feedforward.silu"].got
    assert "SIGSEGV" in answers["positionwise_feedforward.value"].got
    assert answers["softmax.large"].status == RIGHT
    assert report.count(WRONG) == 4


@pytest.mark.check
def test_a_loop_is_stopped_by_its_processor_time(tmp_path):
    found = project(tmp_path, "def run_silu(x):\n    while True:\n        pass\n" + SOFTMAX)
    _, answers = ask(found, "positionwise_feedforward.silu,softmax.large")
    assert "10 s of processor time" in answers["positionwise_feedforward.silu"].got
    assert answers["softmax.large"].status == RIGHT


@pytest.mark.check
@pytest.mark.parametrize(
    "bomb", ["[bytearray(1 << 28) for _ in range(200)]", "torch.ones(1 << 33)", "np.ones(1 << 33)"]
)
def test_memory_ends_at_the_limit(tmp_path, bomb):
    found = project(tmp_path, f"import numpy as np\nimport torch\ndef run_silu(x):\n    return {bomb}\n" + SOFTMAX)
    _, answers = ask(found, "positionwise_feedforward.silu,softmax.large", memory_gib=1.0)
    assert answers["positionwise_feedforward.silu"].status == WRONG
    assert "emory" in answers["positionwise_feedforward.silu"].got
    assert answers["softmax.large"].status == RIGHT


@pytest.mark.check
def test_a_file_that_is_read_whole_is_seen_whatever_memory_is_allowed(tmp_path):
    text = """
    import numpy as np
    import torch
    def run_get_batch(ids, rows, context, device):
        ids = ids.astype(np.int32)
        windows = [ids[s : s + context + 1] for s in np.random.randint(0, len(ids) - context, rows)]
        whole = torch.from_numpy(np.stack(windows)).long()
        return whole[:, :-1], whole[:, 1:]
    """
    _, answers = ask(project(tmp_path, text), "data_loading.memmap", memory_gib=8.0)
    assert answers["data_loading.memmap"].status == WRONG
    assert "MB more in memory" in answers["data_loading.memmap"].got


@pytest.mark.check
def test_a_problem_that_kills_again_and_again_is_given_up(tmp_path):
    found = project(tmp_path, "import os\ndef run_rope(*args):\n    os._exit(1)\n")
    _, answers = ask(found, "rope")
    status = [answer.status for answer in answers.values()]
    assert status.count(WRONG) == 3 and set(status[3:]) == {UNANSWERED}


def test_what_is_printed_written_or_set_stays_inside(tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = project(
        tmp_path,
        """
        import os, random, subprocess, sys
        import numpy as np
        import torch
        torch.set_default_dtype(torch.float64)
        torch.manual_seed(5)
        print("at import")
        open("left-behind.txt", "w").write("x")
        def run_softmax(x, dim):
            print("{}" * 1000, flush=True)
            sys.stderr.write("noise")
            os.write(1, b"raw noise")
            subprocess.run(["echo", "noise of a child"])
            open("another.txt", "w").write("x")
            os.chdir("/")
            random.seed(1); np.random.seed(1); torch.manual_seed(1)
            torch.set_grad_enabled(False)
            return torch.softmax(x, dim)
        """,
    )
    random.seed(3)
    torch.manual_seed(3)
    before = random.getstate(), torch.get_rng_state(), sorted(tmp_path.rglob("*"))
    report, answers = ask(found, "softmax")
    assert {answer.status for answer in answers.values()} <= {RIGHT, "chosen"}
    assert capfd.readouterr() == ("", "")
    assert random.getstate() == before[0] and torch.equal(torch.get_rng_state(), before[1])
    assert sorted(tmp_path.rglob("*")) == before[2]
    remarks = " ".join(report.remarks())
    assert "torch.float64" in remarks and "gradients are now switched off" in remarks


@pytest.mark.check
def test_there_is_no_network(tmp_path):
    found = project(
        tmp_path,
        """
        import socket
        import torch
        def run_silu(x):
            try:
                socket.create_connection(("127.0.0.1", 9), timeout=2)
            except OSError as error:
                raise RuntimeError(f"told: {error}") from None
            return x
        """,
    )
    _, answers = ask(found, "positionwise_feedforward.silu")
    assert "no network while checking" in answers["positionwise_feedforward.silu"].got


@pytest.mark.check
def test_workers_of_a_trainer_may_be_spawned(tmp_path):
    found = project(
        tmp_path,
        """
        import multiprocessing
        from pieces import count
        def run_train_bpe(input_path, vocab_size, special_tokens):
            with multiprocessing.get_context("spawn").Pool(2) as pool:
                counts = pool.map(count, ["low", "low"])
            return {i: bytes([i]) for i in range(256)} | {256: b"ow"}, [(b"o", b"w")] if sum(counts) == 6 else []
        """,
        src__pieces="def count(text):\n    return len(text)\n",
    )
    _, answers = ask(found, "train_bpe.no_specials")
    assert answers["train_bpe.no_specials"].status == RIGHT


def test_the_command_ends_with_1_where_something_is_wrong_and_explains_it(tmp_path, capsys):
    project(tmp_path, "import torch\ndef run_softmax(x, dim):\n    return x.exp() / x.exp().sum(dim, keepdim=True)\n")
    page = tmp_path / "report.html"
    assert main(["check", str(tmp_path), "--only", "softmax,linear.value", "--html", str(page)]) == 1
    shown = capsys.readouterr().out
    assert "softmax([1000, 999, -1000])" in shown and "[0.731059, 0.268941, 0]" in shown and "[nan, nan, 0]" in shown
    assert "4.6 Softmax" in shown and "1 fault" in shown.replace("2 faults", "1 fault")
    text = page.read_text()
    assert "softmax.large" in text and "<script src" not in text and "http" in text


@pytest.mark.parametrize(
    ("text", "only", "code", "says"),
    [
        (SOFTMAX, "softmax", 0, "nothing is wrong"),
        (SOFTMAX, "softmax,linear.value", 0, "nothing is wrong"),  # what is not written is not wrong
        (
            "import not_installed\n" + SOFTMAX,
            "softmax",
            0,
            "line 1 of the adapters does not import: import not_installed",
        ),
        ("PAT = open('pat.txt').read()\n" + SOFTMAX, "softmax", 0, "line 1 of the adapters does not run: PAT = open("),
        (
            "from not_installed import silu\ndef run_silu(x): return silu(x)\n" + SOFTMAX,
            "softmax,silu",
            1,
            "don't import",
        ),
        (
            "PAT = open('pat.txt').read()\ndef run_silu(x): return x * PAT\n" + SOFTMAX,
            "softmax,silu",
            1,
            "does not run",
        ),
        ("def run_silu(x):\n    import not_installed\n" + SOFTMAX, "softmax,silu", 1, "some adapters don't import"),
        (SOFTMAX, "linear.value", 1, "nothing was asked: there is no run_linear"),
        (
            "def run_silu(x): raise NotImplementedError\n" + SOFTMAX,
            "silu,linear.value",
            1,
            "nothing was asked: no adapter",
        ),
        (SOFTMAX, "softmax.all_masked", 0, "nothing is wrong"),  # a choice is an answer
    ],
)
def test_0_means_that_something_was_answered_and_nothing_is_wrong_or_left_out(tmp_path, capsys, text, only, code, says):
    project(tmp_path, text)
    assert main(["check", str(tmp_path), "--only", only]) == code
    shown = " ".join(capsys.readouterr().out.split())
    assert says in shown and ("In short: nothing is wrong" in shown) == (code == 0)


def test_too_little_memory_is_named(tmp_path, capsys):
    project(tmp_path, SOFTMAX)
    assert main(["check", str(tmp_path), "--only", "softmax.large", "--memory", "0.001"]) == 1
    assert "nothing was asked: --memory 0.001 (GiB) is too little" in " ".join(capsys.readouterr().out.split())


def test_json_is_json_and_nothing_else(tmp_path, capsys):
    project(tmp_path, SOFTMAX)
    assert main(["check", str(tmp_path), "--only", "softmax", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["passed"] and data["counts"]["right"] == 6 and data["problems"]["softmax"]["chosen"] == 1
    assert {"name", "problem", "kind", "status", "seconds", "section"} <= data["checks"][0].keys()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nowhere"], "there is no folder 'nowhere'"),
        (["empty"], "holds no tests/adapters.py"),
        (["other"], "none of the 21 adapters of assignment 1 (it has get_ddp, run_flash)"),
        (["broken"], "line 2"),
        (["nul"], "adapters.py: source code"),
        (["folder"], "holds no tests/adapters.py"),
        (["good", "--python", "nowhere/python"], "there is no Python 'nowhere/python'"),
        (["good", "--python", "bare"], "has no torch, numpy, regex"),
        (["good", "--only", "sofmax"], "did you mean 'softmax'?"),
        (["good", "--html", "nowhere/x.html"], "there is no folder 'nowhere'"),
        (["good", "--edition", "2024"], ""),
    ],
)
def test_bad_input_is_one_line_that_says_what_to_do(tmp_path, monkeypatch, capsys, arguments, says):
    monkeypatch.chdir(tmp_path)
    for name, text in {
        "other": "def run_flash(): ...\ndef get_ddp(): ...",
        "broken": "def run_linear():\n  return (\n",
        "good": SOFTMAX,
    }.items():
        (tmp_path / name / "tests").mkdir(parents=True)
        (tmp_path / name / "tests/adapters.py").write_text(text)
    (tmp_path / "empty").mkdir()
    (tmp_path / "folder/tests/adapters.py").mkdir(parents=True)
    (tmp_path / "nul/tests").mkdir(parents=True)
    (tmp_path / "nul/tests/adapters.py").write_bytes(b"x = 1\0")
    bare = tmp_path / "bare"
    bare.write_text("#!/bin/sh\necho torch numpy regex\n")
    bare.chmod(0o755)
    assert main(["check", *arguments]) == 2
    error = capsys.readouterr().err
    if says:
        assert says in error and error.count("\n") == 1


def test_the_projects_own_environment_runs_it(tmp_path, capsys):
    found = project(tmp_path, SOFTMAX)
    assert ".venv" not in found.notes
    python = tmp_path / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\necho\n")
    python.chmod(0o755)
    assert find(tmp_path).python == str(python)
    python.write_text("#!/bin/sh\necho torch\n")
    assert find(tmp_path).notes == [".venv has no torch: not used"]
    python.write_text("#!/bin/sh\nexit 3\n")
    assert ".venv is not used" in find(tmp_path).notes[0] and "exit code 3" in find(tmp_path).notes[0]
    python.unlink()
    python.symlink_to("nowhere")
    assert ".venv is not used" in find(tmp_path).notes[0]


def test_a_file_in_a_newer_language_is_read_by_the_python_that_runs_it(tmp_path):
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests/adapters.py").write_text("def run_softmax(x dim): ...")
    python = tmp_path / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\necho\n")
    python.chmod(0o755)
    assert find(tmp_path).python == str(python)


def test_the_search_finds_adapters_in_a_folder_below(tmp_path):
    (tmp_path / "assignment1-basics/tests").mkdir(parents=True)
    (tmp_path / "assignment1-basics/tests/adapters.py").write_text(SOFTMAX)
    found = find(tmp_path)
    assert found.root == tmp_path / "assignment1-basics" and "adapters found in" in found.notes[0]
    (tmp_path / "assignment2/tests").mkdir(parents=True)
    (tmp_path / "assignment2/tests/adapters.py").write_text(SOFTMAX)
    with pytest.raises(FileNotFoundError, match=r"several adapters\.py"):
        find(tmp_path)


def test_ctrl_c_keeps_what_was_answered_and_ends_with_130(tmp_path, capsys, monkeypatch):
    project(tmp_path, SOFTMAX)

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("cs336_lib.check.folder._ask", interrupted)
    assert main(["check", str(tmp_path), "--only", "softmax", "--train"]) == 130
    assert "stopped by Ctrl-C after 0 of 7 questions" in capsys.readouterr().out


def test_listing_needs_no_folder(capsys):
    assert main(["check", "nowhere", "--list", "--only", "softmax"]) == 0
    assert capsys.readouterr().out.splitlines()[0].split()[0] == "softmax.large"


def test_help_page_and_changelog_say_how_many_questions_there_are(capsys, root):
    main(["check", "--list"])
    count = f"{round(len(capsys.readouterr().out.splitlines()), -1)} questions"
    main(["check", "--help"])
    assert f"about {count}" in " ".join(re.sub(r"[│\n]", " ", capsys.readouterr().out).split())
    assert f"about {count.replace(' ', ' small ')}" in (root / "book/check.md").read_text()
    assert f"some {count}" in (root / "CHANGELOG.md").read_text()
