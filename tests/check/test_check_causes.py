"""A usual cause is true for what was seen, and one mistake is one fault."""

import re

import pytest
import torch
from asking import LARGE, PLAIN, adapters_of, answers_of
from mutants_causes import CAUSES, SAYS
from mutants_model import CUT, MODEL_MUTANTS, TABLE
from mutants_slips import SLIPS
from mutants_tokenizer import TOKENIZER_MUTANTS
from mutants_told import TOLD
from mutants_training import TRAINING_MUTANTS

from cs336_lib.check import check
from cs336_lib.check.child.case import ADAPTERS, CHECKS, CHOICE, NOTEBOOK_PROBLEMS
from cs336_lib.check.child.errors import REFUSED
from cs336_lib.check.child.questions import data_loading as batches
from cs336_lib.check.child.runner import CHOSEN, RIGHT, UNANSWERED, WRONG, Answer
from cs336_lib.check.child.watch import modules_built
from cs336_lib.check.report import Report, cause_of
from cs336_lib.check.terminal import fault_text

MUTANTS = TOKENIZER_MUTANTS | MODEL_MUTANTS | TRAINING_MUTANTS
# The first takes gigabytes; the second makes several mistakes.
LEFT_OUT = {"batch: all data converted", "batch: views of the data"}


def faults(problem, edits, catches=()):
    """What is wrong, of all that is asked but the questions of large files that are not named."""
    text = PLAIN.read_text()
    for old, new in edits:
        assert old in text, old
        text = text.replace(old, new)
    names = [name for name, one in CHECKS.items() if one.problem == problem and not one.slow]
    names = [name for name in names if name not in LARGE or name in catches]
    names.sort(key=lambda name: not CHECKS[name].official)
    return Report(list(answers_of(adapters_of(text), names, seconds=3).values())).faults()


@pytest.mark.parametrize("name", [*CAUSES, *SAYS])
def test_the_cause_is_that_of_the_mistake(name):
    problem, edits, says = CAUSES[name] if name in CAUSES else (SAYS[name][0], MUTANTS[name][0], SAYS[name][1])
    found = faults(problem, edits, MUTANTS[name][1] if name in SAYS else ())
    assert [says in cause_of(fault.check, fault.answer) for fault in found] == [True], [
        (fault.check.name, fault.answer.got, cause_of(fault.check, fault.answer)) for fault in found
    ]


@pytest.mark.parametrize("name", TOLD)
def test_the_only_fault_is_told_by_its_own_question(name):
    problem, edits, says, question = TOLD[name]
    found = [
        (fault.check.name, cause_of(fault.check, fault.answer), fault.answer.got) for fault in faults(problem, edits)
    ]
    told = [(name, says in cause if says else not cause) for name, cause, _ in found]
    assert told == [(question, True)], found


@pytest.mark.parametrize("name", SLIPS)
def test_a_slip_is_one_fault_without_a_cause_of_another(name):
    problem, edits, cause = SLIPS[name]
    found = [
        (cause_of(fault.check, fault.answer), fault.check.name, fault.answer.got) for fault in faults(problem, edits)
    ]
    assert [told for told, *_ in found] == [cause], found
    assert not re.search(r"\((?!plain_solution)\w+\.py", found[0][2]), found


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        (name, problem)
        for name, (_, catches) in MUTANTS.items()
        for problem in dict.fromkeys(CHECKS[check].problem for check in catches)
        if name not in LEFT_OUT and problem not in NOTEBOOK_PROBLEMS
    ],
)
def test_one_mistake_is_one_fault(name, problem):
    edits, catches = MUTANTS[name]
    found = faults(problem, edits, catches)
    assert len(found) == 1, [(fault.check.name, fault.answer.got) for fault in found]
    asked = {check for check in catches if CHECKS[check].problem == problem and not CHECKS[check].slow}
    assert found[0].names() >= asked


def test_what_asks_for_more_than_a_wrong_answer_may_follow_from_it():
    report = Report(
        [
            Answer("rmsnorm.value", WRONG, got="[2]", cause="seen"),
            Answer("rmsnorm.shapes", WRONG, got="[1]"),
            Answer("rmsnorm.eps", WRONG, got="[3]", cause="seen"),
            Answer("transformer_block.value", WRONG, got="[4]", cause=""),
            Answer("transformer_block.batch", WRONG, got="[5]"),
            Answer("rmsnorm.init", WRONG, got="numbers from 0 to 1"),
        ]
    )
    found = {fault.check.name: fault for fault in report.faults()}
    assert list(found) == ["rmsnorm.value", "rmsnorm.init"]
    assert [one.name for one in found["rmsnorm.value"].others] == ["rmsnorm.eps"]
    assert [one.name for one in found["rmsnorm.value"].later] == [
        "rmsnorm.shapes",
        "transformer_block.value",
        "transformer_block.batch",
    ]
    text = fault_text(found["rmsnorm.value"], 1, "2026")
    assert (
        "the same in  eps" in text and "may follow   shapes, transformer_block.value, transformer_block.batch" in text
    )
    causes = {one["name"]: one["cause"] for one in report.as_dict()["checks"]}
    assert causes["rmsnorm.shapes"] == "it may follow from rmsnorm.value: mend that first, and ask again"
    assert causes["rmsnorm.eps"] == "seen" and causes["rmsnorm.init"] == CHECKS["rmsnorm.init"].cause
    assert report.verdict == "2 faults, seen in 6 wrong answers"
    # Asked without what it follows from, it stands by itself.
    assert [fault.check.name for fault in Report(report.answers[1:2]).faults()] == ["rmsnorm.shapes"]


def test_what_is_told_of_an_answer_is_what_is_told_of_its_fault():
    crash = {"status": WRONG, "crash": True}
    report = Report(
        [
            Answer("gradient_clipping.value", got="RuntimeError: a leaf (a.py, line 7)", **crash),
            Answer("gradient_clipping.some", got="RuntimeError: a leaf (a.py, line 7)", cause="seen", **crash),
            Answer("gradient_clipping.zero", got="ZeroDivisionError: by zero (a.py, line 7)", **crash),
            Answer("gradient_clipping.none", got="RuntimeError: of another text (a.py, line 7)", **crash),
        ]
    )
    told = {one["name"]: one["cause"] for one in report.as_dict()["checks"]}
    assert [[fault.check.name, *(one.name for one in fault.others)] for fault in report.faults()] == [
        ["gradient_clipping.value", "gradient_clipping.some", "gradient_clipping.none"],
        ["gradient_clipping.zero"],
    ]
    for fault in report.faults():
        assert {told[name] for name in fault.names()} == {cause_of(fault.check, fault.answer)}


def test_an_error_is_not_explained_by_a_wrong_formula():
    def fails(*_):
        return [].sort(key=1, reverse=object())

    quick = (name for name, one in CHECKS.items() if not one.slow and name not in LARGE)
    names = [name for name in quick if not CHECKS[name].errors and CHECKS[name].kind != CHOICE]
    assert len(names) > 100 and {CHECKS[name].problem for name in names} >= {
        "rmsnorm",
        "rope",
        "adamw",
        "transformer_lm",
    }
    answers = answers_of({adapter: fails for adapter in (*ADAPTERS, *NOTEBOOK_PROBLEMS)}, names)
    assert {cause_of(CHECKS[name], answer) for name, answer in answers.items()} == {""}


def test_the_right_answer_has_no_type_of_the_checker():
    names = [name for name in CHECKS if not CHECKS[name].slow and name not in LARGE]
    zeros = dict.fromkeys((*ADAPTERS, *NOTEBOOK_PROBLEMS), lambda *_, **__: torch.zeros(99))
    shown = {name: answer.expected for name, answer in answers_of(zeros, names).items()}
    assert not {name: text for name, text in shown.items() if "float64" in text}
    assert sum("a tensor of shape" in text for text in shown.values()) > 20


ACCIDENTS = {
    "a name": lambda *_, **__: undefined,  # noqa: F821
    "an attribute": lambda *_, **__: [].missing,
    "an argument": lambda *_, **__: (lambda dim: dim)(),
    "an operation": lambda *_, **__: {} - [],
}


@pytest.mark.parametrize("accident", ACCIDENTS)
def test_a_slip_has_no_cause_about_something_else(accident):
    names = [name for name, one in CHECKS.items() if one.errors and not one.slow and name not in LARGE]
    answers = answers_of(dict.fromkeys((*ADAPTERS, *NOTEBOOK_PROBLEMS), ACCIDENTS[accident]), names)
    causes = {cause_of(CHECKS[name], answer) for name, answer in answers.items() if answer.status == WRONG}
    assert causes == ({"a name that your code uses and does not define or import"} if accident == "a name" else {""})


@pytest.mark.parametrize(
    "error", [RuntimeError("shapes"), TypeError("NoneType"), IndexError("no index"), AssertionError(), KeyError("a")]
)
def test_a_refusal_is_told_as_one(error):
    def refuses(*_, **__):
        raise error

    names = [name for name, one in CHECKS.items() if one.errors and not one.slow and name not in LARGE]
    answers = answers_of(dict.fromkeys((*ADAPTERS, *NOTEBOOK_PROBLEMS), refuses), names)
    assert {cause_of(CHECKS[name], answer) for name, answer in answers.items() if answer.status == WRONG} == {REFUSED}


def test_no_question_follows_from_itself():
    def walk(name, path):
        assert name not in path, path
        for earlier in CHECKS[name].after:
            walk(earlier, [*path, name])

    for name in CHECKS:
        walk(name, [])


def test_the_cause_of_a_softmax_that_subtracts_nothing_is_shown_once_and_is_true():
    shown = str(check("softmax", lambda x, dim: x.exp() / x.exp().sum(dim, keepdim=True)))
    assert shown.count("usual cause") == 1 and "was not subtracted" in shown and "whole tensor" not in shown


def test_first_weights_are_seen_although_the_forward_pass_fails():
    class Module(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(2))

        def forward(self):
            raise RuntimeError

    assert [list(built.parameters) for built in modules_built(lambda: Module()())] == [["weight"]]
    with pytest.raises(ZeroDivisionError):
        modules_built(lambda: 1 / 0)


def test_a_cause_that_was_seen_not_to_be_is_not_named():
    report = Report(
        [
            Answer("gradient_clipping.some", WRONG, got="[[2]]", cause=""),
            Answer("gradient_clipping.value", WRONG, got="[[1]]", cause="seen"),
            Answer("linear.value", WRONG, got="no end within 10 s of processor time", crash=True),
            Answer("tokenizer.long_word", WRONG, got="no end within 10 s of processor time", crash=True),
        ]
    )
    told = {fault.check.name: cause_of(fault.check, fault.answer) for fault in report.faults()}
    assert told["gradient_clipping.value"] == "seen" and "gradient_clipping.some" not in told
    assert told["linear.value"] == "" and told["tokenizer.long_word"] == CHECKS["tokenizer.long_word"].cause


def test_wrong_ids_of_a_long_word_are_not_explained_by_time():
    loop = "        while len(parts) > 1:\n"
    assert PLAIN.read_text().count(loop) == 1
    text = PLAIN.read_text().replace(loop, "        while len(parts) > 1 and len(word) < 5000:\n")
    names = ["tokenizer.long_word", "tokenizer.long_spaces"]
    for name, answer in answers_of(adapters_of(text), names).items():
        assert (answer.status, answer.cause) == (WRONG, "") and cause_of(CHECKS[name], answer) == ""
        assert answer.expected.startswith("ids that begin [") and answer.got.startswith("ids that begin [")


def test_a_batch_on_no_such_device_is_no_answer():
    def refuses(dataset, batch_size, context_length, device):
        if device not in ("cpu", "cuda"):
            raise ValueError(device)
        return plain(dataset, batch_size, context_length, device)

    plain = adapters_of(PLAIN.read_text())["run_get_batch"]
    answer = answers_of({"run_get_batch": refuses}, ["data_loading.device"])["data_loading.device"]
    assert answer.status == UNANSWERED and "no device 'meta'" in answer.got


def test_starts_are_named_by_what_was_drawn():
    assert batches.why_starts({0, 2}, 2) is None


@pytest.mark.parametrize("name", [name for name, check in CHECKS.items() if check.kind == CHOICE])
def test_a_stub_is_no_choice(name):
    """One of the functions that a question calls is not written yet."""
    called = []

    def stub(*_, **__):
        called.append(name)
        raise NotImplementedError

    whole = adapters_of(PLAIN.read_text())
    for adapter in set(CHECKS[name].needs) & set(ADAPTERS):
        called.clear()
        status = answers_of(whole | {adapter: stub}, [name])[name].status
        assert status == (UNANSWERED if called else CHOSEN), adapter


def test_from_files_is_there_when_it_does_something():
    def answer(from_files=None):
        adapters = adapters_of(PLAIN.read_text())
        tokenizer = adapters["get_tokenizer"].__globals__["Tokenizer"]
        if from_files is not None:
            tokenizer.from_files = staticmethod(from_files) if callable(from_files) else from_files
        return answers_of(adapters, ["tokenizer.from_files"])["tokenizer.from_files"]

    def stub(*_):
        raise NotImplementedError

    assert (answer().status, answer().got) == (CHOSEN, "there")
    assert answer(stub).status == UNANSWERED
    assert (answer(lambda *_: None).status, answer(lambda *_: None).got) == (CHOSEN, "it does nothing")
    assert answer("a text").got == "not there"


FIRST_WEIGHTS = {
    # what fills a matrix, std being the right deviation -> whether its deviation is right, and its cut
    "nn.init.trunc_normal_({w}, std=std, a=-3 * std, b=3 * std)": (RIGHT, RIGHT),
    "{w}.data.normal_(0, std)": (RIGHT, WRONG),
    "nn.init.trunc_normal_({w}, std=std**2 / 9)": (WRONG, WRONG),  # no bound of the right size is ever reached
    "{w}.data.normal_(0, 0.6 * std)": (WRONG, WRONG),  # the largest stays within three right deviations
    "{w}.data.normal_(0, 3 * std)": (WRONG, WRONG),
    "nn.init.trunc_normal_({w}, std=std / 9, a=-std / 3, b=std / 3)": (WRONG, RIGHT),
    "nn.init.trunc_normal_({w}, std=3 * std, a=-9 * std, b=9 * std)": (WRONG, RIGHT),
    "{w}.data.uniform_(-std, std)": (WRONG, UNANSWERED),
    "{w}.data.zero_()": (WRONG, UNANSWERED),
    "{w}.data.zero_()[0, 0] = std": (WRONG, UNANSWERED),
}


@pytest.mark.parametrize(("problem", "line", "std"), [("linear", CUT, "std"), ("embedding", TABLE, "1")])
@pytest.mark.parametrize("fill", FIRST_WEIGHTS)
def test_a_cut_is_seen_in_units_of_the_weights_own_deviation_where_that_is_wrong(problem, line, std, fill):
    start = line[: line.index("nn.init")]
    text = PLAIN.read_text().replace(line, f"{start}std = {std}\n        {fill.replace('{w}', 'self.weight')}\n")
    names = [f"{problem}.init_spread", f"{problem}.init_cut"]
    found = answers_of(adapters_of(text), names, seconds=3)
    assert tuple(answer.status for answer in found.values()) == FIRST_WEIGHTS[fill], [a.got for a in found.values()]
