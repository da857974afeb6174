"""A usual cause is true for what was seen, and one mistake is one fault."""

import pytest
from asking import PLAIN, adapters_of, answers_of
from mutants_causes import CAUSES
from mutants_training import TRAINING_MUTANTS

from cs336_lib.check.child.case import ADAPTERS, CHECKS, CHOICE
from cs336_lib.check.child.questions import data_loading as batches
from cs336_lib.check.child.runner import CHOSEN, UNANSWERED, WRONG, Answer
from cs336_lib.check.report import Report, cause_of

PROBLEMS = {"batch": "data_loading", "clipping": "gradient_clipping", "checkpoint": "checkpointing"}
# The first takes gigabytes; the second makes several mistakes.
LEFT_OUT = {"batch: all data converted", "batch: views of the data"}


def faults(problem, edits, catches=()):
    """What is wrong, of all that is asked but the question of a large file, which some mistakes fail besides."""
    text = PLAIN.read_text()
    for old, new in edits:
        assert old in text, old
        text = text.replace(old, new)
    names = [name for name, one in CHECKS.items() if one.problem == problem and not one.slow]
    names = [name for name in names if name != "data_loading.memmap" or name in catches]
    return Report(list(answers_of(adapters_of(text), names).values())).faults()


@pytest.mark.parametrize("name", CAUSES)
def test_the_cause_is_that_of_the_mistake(name):
    problem, edits, says = CAUSES[name]
    found = faults(problem, edits)
    assert [says in cause_of(fault.check, fault.answer) for fault in found] == [True], [
        (fault.check.name, fault.answer.got, cause_of(fault.check, fault.answer)) for fault in found
    ]


@pytest.mark.parametrize(
    "name", [name for name in TRAINING_MUTANTS if name.split(":")[0] in PROBLEMS and name not in LEFT_OUT]
)
def test_one_mistake_is_one_fault(name):
    edits, catches = TRAINING_MUTANTS[name]
    found = faults(PROBLEMS[name.split(":")[0]], edits, catches)
    assert len(found) == 1, [(fault.check.name, fault.answer.got) for fault in found]
    assert {found[0].check.name, *(other.name for other in found[0].others)} >= set(catches)


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
