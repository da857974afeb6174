"""Zero misses, zero false alarms: wrong solutions are caught for what is wrong in them, right ones pass."""

import importlib.util

import pytest
from asking import FOLDER_CHECKS, PLAIN, adapters_of, answers_of
from legal import LEGAL
from mutants_model import MODEL_MUTANTS
from mutants_tokenizer import TOKENIZER_MUTANTS
from mutants_training import TRAINING_MUTANTS

from cs336_lib.check.child.case import ADAPTERS, CHECKS, CHOICE
from cs336_lib.check.child.runner import CHOSEN, RIGHT, UNANSWERED, WRONG
from cs336_lib.check.folder import check_folder
from cs336_lib.check.project import find

MUTANTS = TOKENIZER_MUTANTS | MODEL_MUTANTS | TRAINING_MUTANTS
# Gigabytes and many seconds in a process without limits: only the full matrix asks this one.
HEAVY = {"batch: all data converted"}
QUICK = [name for name, check in CHECKS.items() if not check.slow]


def text_of(edits):
    text = PLAIN.read_text()
    for old, new in edits:
        assert old in text, old
        text = text.replace(old, new)
    return text


def own_adapters(root):
    spec = importlib.util.spec_from_file_location("official_adapters", root / "tests/official/adapters.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return {name: getattr(module, name) for name in ADAPTERS}


def not_right(answers):
    return {name: answer for name, answer in answers.items() if answer.status not in (RIGHT, CHOSEN)}


def test_every_check_that_can_blame_has_a_mutant():
    caught = {name for _, catches in MUTANTS.values() for name in catches}
    assert caught <= CHECKS.keys()
    assert {name for name, check in CHECKS.items() if check.kind != CHOICE} == caught


def test_there_are_as_many_checks_as_promised():
    assert len(FOLDER_CHECKS) >= 130


def test_the_plain_solution_passes_everything():
    assert not not_right(answers_of(adapters_of(PLAIN.read_text()), QUICK))


def test_the_library_passes_everything(root):
    assert not not_right(answers_of(own_adapters(root), [name for name in QUICK if name in FOLDER_CHECKS]))


@pytest.mark.parametrize("name", LEGAL)
def test_other_right_ways_pass(name):
    edits, problems = LEGAL[name]
    names = [check for check in QUICK if CHECKS[check].problem in problems]
    blamed = not_right(answers_of(adapters_of(text_of(edits)), names))
    if "no module at all" in name:  # then there are no first weights to look at
        blamed = {check: answer for check, answer in blamed.items() if answer.status != UNANSWERED}
    assert not blamed


@pytest.mark.parametrize("name", [name for name in MUTANTS if name not in HEAVY])
def test_the_mutant_is_caught(name):
    edits, catches = MUTANTS[name]
    answers = answers_of(adapters_of(text_of(edits)), [c for c in catches if not CHECKS[c].slow], seconds=1)
    missed = {check: answer for check, answer in answers.items() if answer.status != WRONG}
    assert not missed
    for answer in answers.values():
        assert answer.given and answer.got


def solution(folder, text):
    (folder / "tests").mkdir()
    (folder / "tests/adapters.py").write_text(text)
    return find(folder)


@pytest.mark.check
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", MUTANTS)
def test_the_mutant_is_caught_by_the_command(name, tmp_path):
    edits, catches = MUTANTS[name]
    names = [check for check in catches if check in FOLDER_CHECKS]
    if not names:
        pytest.skip("asked in the chapters only")
    problems = {CHECKS[check].problem for check in names}
    asked = [check for check in FOLDER_CHECKS if CHECKS[check].problem in problems and not CHECKS[check].slow]
    asked += [check for check in names if CHECKS[check].slow]
    report = check_folder(solution(tmp_path, text_of(edits)), asked)
    status = {answer.name: answer.status for answer in report.answers}
    assert status.keys() == set(asked)
    assert not report.passed
    assert {check: status[check] for check in names} == dict.fromkeys(names, WRONG)


@pytest.mark.check
@pytest.mark.timeout(900)
def test_right_solutions_pass_the_command(root, tmp_path):
    plain = check_folder(solution(tmp_path, PLAIN.read_text()), FOLDER_CHECKS)
    assert plain.passed and plain.count(RIGHT) + plain.count(CHOSEN) == len(FOLDER_CHECKS)
    own = check_folder(find(root, root / "tests/official/adapters.py"), FOLDER_CHECKS)
    assert own.passed and own.count(RIGHT) + own.count(CHOSEN) == len(FOLDER_CHECKS)
