"""The parts around the checks: what they point to, what they may import, what the report and the door show."""

import ast
import contextlib
import gc
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from cs336_lib.check import check, sections
from cs336_lib.check.child import bpe_rules, case, formulas, limits, questions
from cs336_lib.check.child.case import ADAPTERS, CHECKS, CHOICE, KINDS, NOTEBOOK_PROBLEMS, PROBLEMS
from cs336_lib.check.child.errors import SIGNATURE
from cs336_lib.check.child.runner import RIGHT, UNANSWERED, WRONG, Answer, processor_time
from cs336_lib.check.child.watch import whole_that_runs
from cs336_lib.check.folder import chosen
from cs336_lib.check.project import KNOWN
from cs336_lib.check.report import Report
from cs336_lib.check.terminal import fault_text, row
from cs336_lib.check.training import Curve, compare

CHILD = Path(case.__file__).parent
STANDARD = set(sys.stdlib_module_names) | {"torch", "numpy", "regex"}


def test_the_child_needs_the_standard_library_torch_numpy_and_regex_only():
    for path in CHILD.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module]
            assert {name.split(".")[0] for name in names} <= STANDARD, path


def test_the_child_runs_without_this_library(tmp_path):
    (tmp_path / "adapters.py").write_text("import torch\ndef run_softmax(x, dim): return torch.softmax(x, dim)\n")
    code = (
        "import sys; sys.modules['cs336_lib'] = None; sys.modules['tqdm'] = None; sys.path[:0] = [r'%s'];"
        "import start; start._package(); import cs336_check_child.questions as q;"
        "from cs336_check_child import runner, case; import torch;"
        "print(runner.put(case.CHECKS['softmax.large'], {'run_softmax': torch.softmax}).status)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code % CHILD], cwd=tmp_path, capture_output=True, text=True, check=True, env={}
    )
    assert done.stdout.split() == [RIGHT]


def test_every_check_points_to_a_section_that_the_book_has(root):
    headings = {}
    for name in sections.CHAPTERS.values():
        text = (root / f"notebooks/{name}.md").read_text()
        headings |= dict(re.findall(r"^## (\d+\.\d+) (.+)$", text, re.MULTILINE))
    assert {check.section for check in CHECKS.values()} == sections.TITLES.keys()
    assert {section: headings.get(section) for section in sections.TITLES} == sections.TITLES


def test_every_check_is_whole():
    for name, one in CHECKS.items():
        assert one.problem in PROBLEMS | NOTEBOOK_PROBLEMS, name
        assert one.kind in KINDS and one.kind_in("2025") in KINDS
        assert set(one.needs) <= {*ADAPTERS, *(n for names in NOTEBOOK_PROBLEMS.values() for n in names)}
        for text in (one.title, one.cause, one.known):
            assert text and not text.endswith("."), name
        assert one.kind != CHOICE or one.known == "reported only" or name == "adamw.order"


def test_all_21_adapters_are_asked():
    assert len(ADAPTERS) == 21 and set(ADAPTERS) == KNOWN
    assert {adapter for one in CHECKS.values() for adapter in one.needs} >= set(ADAPTERS)


def test_the_official_adapters_of_the_library_are_all_there(root):
    tree = ast.parse((root / "tests/official/adapters.py").read_text())
    assert {node.name for node in tree.body if isinstance(node, ast.FunctionDef)} >= set(ADAPTERS)


def test_nothing_in_the_room_shows_an_implementation():
    """Causes are sentences: no code of more than one expression, and no definition."""
    for one in CHECKS.values():
        for text in (one.title, one.cause, one.known):
            assert "\n" not in text and not re.search(r"\b(def|return|import|lambda)\b .*[:(]", text), one.name


def test_right_values_are_those_of_the_library():
    from cs336_lib.bpe import Tokenizer
    from cs336_lib.bpe.plain import train
    from cs336_lib.model import ModelConfig, TransformerLM

    text = bpe_rules.babble(7, 200, "abc") + "<s>" + bpe_rules.babble(8, 50, "ab ")
    vocab, merges = train(text.encode(), 300, ["<s>"])
    assert bpe_rules.train(text, 300, ["<s>"]) == merges
    assert bpe_rules.vocabulary(merges, ["<s>"]) == vocab
    assert bpe_rules.encode(text, vocab, merges, ["<s>"]) == Tokenizer(vocab, merges, ["<s>"]).encode(text)
    weights = formulas.lm_weights(37, 12, 2, 20)
    config = ModelConfig(
        vocab_size=37, context_length=8, d_model=12, num_layers=2, num_heads=3, d_ff=20, rope_theta=100.0
    )
    model = TransformerLM(config).double()
    model.load_state_dict(weights)
    ids = torch.arange(10).reshape(2, 5)
    torch.testing.assert_close(model(ids), formulas.lm(ids, 2, 3, weights, 100.0))


SILU = [f"positionwise_feedforward.{name}" for name in ("silu", "silu_input", "silu_strided")]


def test_choosing_takes_problems_and_beginnings_of_names():
    assert len(chosen()) >= 130
    assert {CHECKS[name].problem for name in chosen("tokenizer,adamw")} == {"tokenizer", "adamw"}
    for adapter in ADAPTERS:
        named = {adapter, adapter.removeprefix("run_"), adapter.removeprefix("get_"), adapter[:-1]} - {""}
        assert all(any(adapter in CHECKS[name].needs for name in chosen(part)) for part in named), adapter
    assert chosen("silu") == chosen("run_silu") == SILU
    assert {CHECKS[name].problem for name in chosen("softmax,run_swiglu")} == {"softmax", "positionwise_feedforward"}
    assert all(chosen(name, slow=True) == [name] for name in CHECKS if CHECKS[name].problem in PROBLEMS)
    assert chosen("linear.init") == ["linear.init_spread", "linear.init_cut"]
    assert "train_bpe.more" not in chosen() and "train_bpe.more" in chosen(slow=True)


def test_groups_hold_every_problem_once():
    problems = [problem for group in questions.GROUPS.values() for problem in group]
    assert sorted(problems) == sorted(PROBLEMS)


def test_the_worst_comes_first_and_equal_errors_are_one_fault():
    report = Report(
        [
            Answer("rope.bfloat16", WRONG, got="torch.float32"),
            Answer("linear.value", WRONG, got="TypeError: x", crash=True),
            Answer("linear.shapes", WRONG, got="TypeError: x", crash=True),
            Answer("softmax.large", WRONG, got="[nan]"),
            Answer("softmax.dim", RIGHT),
        ]
    )
    faults = report.faults()
    assert [fault.check.name for fault in faults] == ["softmax.large", "linear.value", "rope.bfloat16"]
    assert [other.name for other in faults[1].others] == ["linear.shapes"]
    assert "the same in  shapes" in fault_text(faults[1], 2, "2026")
    assert "1 of 5 answers right" in report.summary() and not report.passed
    assert row("softmax", report.of("softmax")).split()[:3] == ["softmax", "1", "1"]
    assert "\033[31m" in row("softmax", report.of("softmax"), colors=True)


def test_the_edition_decides_who_says_so():
    one = CHECKS["tokenizer.decode_malformed"]
    assert (one.kind_in("2025"), one.kind_in("2026")) == ("expect", "handout")


def test_the_door_takes_functions_classes_and_names_of_adapters():
    from cs336_lib.model import Linear, RMSNorm
    from cs336_lib.optim import AdamW

    assert check("linear", Linear).passed and check("rmsnorm", RMSNorm).passed and check("adamw", AdamW).passed
    assert check("run_silu", torch.nn.functional.silu).count(RIGHT) == len(SILU)
    assert check("silu", torch.nn.functional.silu).count(RIGHT) == len(SILU)
    wrong = check("softmax", lambda x, dim: x.exp() / x.exp().sum(dim, keepdim=True))
    assert "WRONG" in str(wrong) and "4.6 Softmax" in str(wrong) and "<table>" in wrong._repr_html_()
    with pytest.raises(ValueError, match="did you mean 'softmax'"):
        check("sofmax", torch.softmax)
    with pytest.raises(ValueError, match="takes 1 functions"):
        check("softmax", torch.softmax, torch.softmax)


def test_a_class_is_called_as_the_handout_makes_it_or_refused():
    class RoPE(torch.nn.Module):
        def __init__(self, theta, d_k, max_seq_len):
            super().__init__()
            self.theta, self.most = theta, max_seq_len

        def forward(self, x, positions):
            return formulas.rope(x, positions, self.theta).to(x.dtype)

    class Of(torch.nn.Module):
        def __init__(self, cfg):
            super().__init__()

    assert check("rope", RoPE).count(WRONG) == 0 and check("rope", RoPE).count(RIGHT)
    for problem, cls in (("linear", Of), ("rope", Of), ("rmsnorm", Of), ("embedding", Of)):
        with pytest.raises(TypeError, match=r"the checks call Of\(\w+, \w+.*a class that takes that, or a function"):
            check(problem, cls)
    for problem in (*PROBLEMS, *NOTEBOOK_PROBLEMS):
        if problem not in ("linear", "rope", "rmsnorm", "embedding", "adamw"):
            with pytest.raises(TypeError, match="can't fill; give a function with the parameters of"):
                check(problem, Of)


def test_a_class_of_other_parameters_is_told_what_the_adapters_take():
    class Tokenizer:
        def __init__(self, merges):
            self.merges = merges

    causes = set(check("tokenizer", Tokenizer).causes().values())
    assert causes == {SIGNATURE}


def test_a_class_whose_weight_is_no_parameter_is_told_so():
    class Linear(torch.nn.Module):
        def __init__(self, d_in, d_out):
            super().__init__()
            self.weight = torch.zeros(d_out, d_in)

    wrong = [answer.got for answer in check("linear", Linear).answers if answer.status == WRONG]
    assert wrong and all("Linear has no parameters: nn.Parameter makes one" in got for got in wrong)


@pytest.mark.parametrize("whole", [False, True])
def test_a_module_is_the_whole_only_if_it_takes_the_input(whole):
    part = torch.nn.Linear(3, 5)
    x = torch.ones(2, 3)
    ran = whole_that_runs((lambda: part(x)) if whole else (lambda: part(x.reshape(1, 2, 3))), x)
    assert (ran is not None) == whole and whole_that_runs(lambda: x, x) is None
    assert ran is None or ran.parameters() == 20


def test_the_door_leaves_the_notebook_as_it_was():
    torch.manual_seed(4)
    before = torch.get_rng_state(), Path.cwd()
    check("data_loading", lambda ids, rows, context, device: torch.manual_seed(0))
    assert torch.equal(torch.get_rng_state(), before[0]) and Path.cwd() == before[1]


def test_training_says_where_the_curves_part():
    right = Curve([3.0, 2.5, 2.0], [1.0, 0.9, 0.8], 1.9)
    assert compare(right, right, 1.0)[1]
    cases = {
        "look at the model and the loss": Curve([9.0, 2.5, 2.0], [1.0, 0.9, 0.8], 1.9),
        "cuts gradients off": Curve([3.0, 2.5, 2.0], [0.3, 0.9, 0.8], 1.9),
        "look at the optimizer": Curve([3.0, 2.9, 2.8], [1.0, 0.9, 0.8], 1.9),
        "above ours": Curve([3.0, 2.5, 2.0], [1.0, 0.9, 0.8], 2.5),
        "stopped after 1 of 3 steps": Curve([3.0], [1.0], why="ValueError"),
        "could not be trained": Curve(why="no module"),
    }
    for says, yours in cases.items():
        told, ok = compare(yours, right, 1.0)
        assert says in " ".join(told) and not ok


@pytest.mark.check
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("", ""), "learns as well as ours"),
        (("x = layer(x)", "x = layer(x).detach()"), "cuts gradients off"),
        (("lr * math.sqrt(1 - beta2**t) / (1 - beta1**t)", "lr"), "look at the optimizer"),
        (("math.sqrt(Q.shape[-1])", "1.0"), "first weights hide it"),
    ],
)
def test_a_wrong_model_parts_from_ours(tmp_path, change, says):
    from asking import PLAIN

    from cs336_lib.check.project import find
    from cs336_lib.check.training import trained

    (tmp_path / "tests").mkdir()
    (tmp_path / "tests/adapters.py").write_text(PLAIN.read_text().replace(*change) if change[0] else PLAIN.read_text())
    result = trained(find(tmp_path), 4.0, None)
    assert says in " ".join(result["says"])
    assert result["ok"] == (change == ("", ""))


def forever(*_):
    while True:
        pass


class SlowlyDeleted:
    __del__ = forever


def lost_in_a_finalizer():
    SlowlyDeleted()


def lost_in_the_garbage_collector():
    gc.callbacks.insert(0, forever)
    gc.collect()


def lost_in_code_that_catches_everything():
    with contextlib.suppress(BaseException):
        forever()


@pytest.mark.skipif(not hasattr(signal, "SIGPROF"), reason="no clock of processor time on this system")
@pytest.mark.parametrize(
    "lose",
    [forever, lost_in_a_finalizer, lost_in_the_garbage_collector, lost_in_code_that_catches_everything],
    ids=lambda lose: lose.__name__,
)
def test_time_is_up_even_where_python_drops_what_is_raised(lose):
    handler, hook, callbacks, told = signal.getsignal(signal.SIGPROF), sys.unraisablehook, list(gc.callbacks), []
    sys.unraisablehook = told.append
    try:
        with pytest.raises(case.TimeUpError), processor_time(0.05):
            lose()
            gc.callbacks[:] = callbacks
            forever()
        assert sys.unraisablehook == told.append
    finally:
        gc.callbacks[:], sys.unraisablehook = callbacks, hook
    assert not told
    assert signal.getsignal(signal.SIGPROF) == handler
    assert signal.getitimer(signal.ITIMER_PROF) == (0, 0)


@pytest.mark.skipif(not hasattr(signal, "SIGPROF"), reason="no clock of processor time on this system")
@pytest.mark.parametrize(
    "lose", [lost_in_a_finalizer, lost_in_code_that_catches_everything], ids=lambda lose: lose.__name__
)
def test_time_was_up_although_the_block_ended_right_after(lose):
    with pytest.raises(case.TimeUpError), processor_time(0.05):
        lose()


def test_a_clock_that_has_not_struck_drops_nothing_else():
    hook, told = sys.unraisablehook, []
    sys.unraisablehook = told.append
    try:
        with processor_time(60):

            class Faulty:
                def __del__(self):
                    raise ValueError(1)

            Faulty()
    finally:
        sys.unraisablehook = hook
    assert [dropped.exc_type for dropped in told] == [ValueError]


def test_sockets_refuse_in_a_process_that_is_cut_off():
    code = (
        "import sys; sys.path.insert(0, r'%s'); import limits, socket; limits.without_network()\n"
        "try: socket.create_connection(('127.0.0.1', 9), timeout=2)\n"
        "except OSError as error: print(type(error).__name__)"
    )
    done = subprocess.run([sys.executable, "-c", code % CHILD], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == limits.NoNetworkError.__name__


def test_seconds_of_each_question_are_in_the_page_and_the_slowest_in_the_terminal():
    from cs336_lib.check.page import page
    from cs336_lib.check.terminal import ending

    report = Report([Answer("softmax.dim", RIGHT, 1.25)], about={"seconds": 2.0})
    assert "1.25" in page(report) and "softmax.dim 1.2 s" in ending(report)
    report = Report(
        [Answer("softmax.dim", RIGHT, 0.04), Answer("train_bpe.many", UNANSWERED, 2.5)], about={"seconds": 6}
    )
    assert "6 s in all" in ending(report) and "slowest" not in ending(report)


def test_a_page_shows_lists_item_by_item_and_curves_and_timings():
    from cs336_lib.check.page import page

    lists = ["(b'a', b'b')", "(b'ab', b'c')", "<x>"], ["(b'a', b'b')", "(b'b', b'c')", "<x>"]
    answer = Answer("train_bpe.overlap", WRONG, given="<text>", expected="e", got="g", lists=lists)
    training = {"says": ["they part"], "yours": [3.0, 2.0], "ours": [3.0, 1.5], "floor": 0.5, "ok": False}
    speed = [{"what": "encode", "yours": "1 s", "ours": "2 s", "limit": "-"}]
    text = page(Report([answer], extras={"training": training, "speed": speed}))
    assert "-(b&#x27;ab&#x27;, b&#x27;c&#x27;)" in text and "+(b&#x27;b&#x27;, b&#x27;c&#x27;)" in text
    assert "&lt;text&gt;" in text and "<text>" not in text
    assert "<svg" in text and "they part" in text and "entropy of the stories" in text
    assert re.findall(r'(?:src|href)="(?!https://cs336-book)', text) == []
