"""Put checks to a solution in this process, from the text of its file."""

import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

from cs336_lib.check.child import questions, runner
from cs336_lib.check.child.case import ADAPTERS, CHECKS, NOTEBOOK_PROBLEMS

PLAIN = Path(__file__).with_name("plain_solution.py")
FOLDER_CHECKS = [name for problems in questions.GROUPS.values() for name in CHECKS if CHECKS[name].problem in problems]
LARGE = {"data_loading.memmap", "train_bpe.chunks_runs", "train_bpe.documents"}
"""Questions of large files: most of the time of all, for what few mistakes fail."""
NAMES = (*ADAPTERS, *NOTEBOOK_PROBLEMS)


def adapters_of(text):
    """The functions that a solution's text defines."""
    module = ModuleType("solution_under_test")
    sys.modules[module.__name__] = module
    exec(compile(text, str(PLAIN), "exec"), module.__dict__)
    return {name: module.__dict__[name] for name in NAMES if name in module.__dict__}


def answers_of(adapters, names, seconds=None):
    """What came of some checks, each with less processor time than it has by itself, if asked."""
    checks = [replace(CHECKS[name], seconds=seconds or CHECKS[name].seconds) for name in names]
    return {check.name: runner.put(check, adapters, root=str(PLAIN.parent)) for check in checks}
