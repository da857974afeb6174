"""Check a whole project: groups of checks side by side, a row for each problem as soon as it is done."""

from __future__ import annotations

import os
import queue
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from difflib import get_close_matches
from typing import TextIO

from tqdm.auto import tqdm

import cs336_lib
from cs336_lib.check import terminal
from cs336_lib.check.child import questions
from cs336_lib.check.child.case import ADAPTERS, CHECKS, PROBLEMS, Check
from cs336_lib.check.child.runner import Answer
from cs336_lib.check.processes import Event, Runs, stopped_by_signals
from cs336_lib.check.project import Project
from cs336_lib.check.report import Report


def chosen(only: str = "", *, slow: bool = False) -> list[str]:
    """Return the names of checks in the order of the handout.

    Args:
        only: problems, adapters (run_silu, or silu), checks, or beginnings of checks' names or adapters', separated by
            commas; all when empty.
        slow: those that take a minute as well.

    Raises:
        ValueError: something in `only` names no check.

    >>> chosen("softmax")[:2]
    ['softmax.large', 'softmax.dim']
    >>> chosen("silu")[0], chosen("run_multihead")[0]
    ('positionwise_feedforward.silu', 'multihead_self_attention.value')
    >>> chosen("sofmax")
    Traceback (most recent call last):
    ValueError: --only names no check: 'sofmax'; did you mean 'softmax'? `cs336 check --list` shows all
    """
    wanted = [part.strip() for part in only.split(",") if part.strip()]
    for part in wanted:
        if not any(_names(part, check) for check in CHECKS.values()):
            near = get_close_matches(part, [*PROBLEMS, *ADAPTERS, *CHECKS], n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise ValueError(f"--only names no check: {part!r}; {hint}`cs336 check --list` shows all")
    order = list(PROBLEMS)
    names = [name for name, check in CHECKS.items() if check.problem in PROBLEMS and (slow or not check.slow)]
    if wanted:
        names = [n for n in names if any(_names(part, CHECKS[n]) for part in wanted)]
        if not names:
            raise ValueError(f"--only {only} names slow checks only: add --slow, or checks of the notebooks")
    # Within a problem, what the official tests ask comes first: where that fails, the rest follows from it.
    return sorted(names, key=lambda n: (order.index(CHECKS[n].problem), not CHECKS[n].official))


def _names(part: str, check: Check) -> bool:
    """Whether a part of `only` names a check: by its problem, its adapters, its name, or the beginning of a name."""
    if part in CHECKS:
        return check.name == part
    if check.problem == part or check.name.startswith(part):
        return True
    if any(name.startswith(part) for name in CHECKS):
        return False  # names of problems and checks come before those of adapters
    return any(a.startswith((part, f"run_{part}", f"run_get_{part}", f"get_{part}")) for a in check.needs)


@stopped_by_signals()
def check_folder(
    project: Project,
    names: Sequence[str],
    *,
    edition: str = "2026",
    memory_gib: float = 4.0,
    train: bool = False,
    speed: bool = False,
    stream: TextIO | None = None,
) -> Report:
    """Put checks to a project's adapters.

    Args:
        project: what `project.find` found.
        names: of the checks.
        edition: "2025" or "2026".
        memory_gib: what each process may allocate.
        train: train a tiny model as well.
        speed: time it as well.
        stream: where rows and the progress go, as they come; nowhere when None.

    Returns:
        The report. After Ctrl-C, SIGTERM or SIGHUP it holds what had been answered until then.
    """
    started = time.monotonic()
    report = Report(edition=edition, notes=list(project.notes))
    results: dict[str, Answer] = {}
    colors = stream is not None and terminal.has_colors(stream)
    groups = [[name for name in names if CHECKS[name].problem in problems] for problems in questions.GROUPS.values()]
    groups = [group for group in groups if group]
    if stream:
        print(f"cs336 check {cs336_lib.__version__}: {len(names)} questions to {project.adapters}", file=stream)
        print(f"run by {project.python}\n\n{terminal.HEAD}", file=stream)
    try:
        with Runs(project, memory_gib=memory_gib) as runs:
            try:
                _ask(runs, groups, report, results, stream, colors)
            finally:
                report.answers = [results[name] for name in names if name in results]
                report.broken = {int(line): text for line, text in runs.loaded.get("broken", {}).items()}
                if runs.loaded.get("note"):
                    report.notes.append(f"importing the adapters changes global state: {runs.loaded['note']}")
                report.about = {"versions": runs.loaded.get("versions", {})}
        if train:
            from cs336_lib.check.training import trained

            report.extras["training"] = trained(project, memory_gib, stream)
        if speed:
            from cs336_lib.check.speed import timed

            report.extras["speed"] = timed(project, memory_gib, stream)
    except KeyboardInterrupt as error:
        report.stopped = True
        how = str(error) or "stopped by Ctrl-C"
        report.notes.append(f"{how} after {len(results)} of {len(names)} questions")
    report.about |= {
        "version": cs336_lib.__version__,
        "folder": str(project.root),
        "adapters": str(project.adapters),
        "python": project.python,
        "seconds": round(time.monotonic() - started, 1),
    }
    return report


def _ask(
    runs: Runs,
    groups: Sequence[Sequence[str]],
    report: Report,
    results: dict[str, Answer],
    stream: TextIO | None,
    colors: bool,
) -> None:
    """Run the groups side by side, and print a problem's row when all of its checks are answered."""
    events: queue.Queue[tuple[str, Event]] = queue.Queue()
    left = {problem: sum(CHECKS[n].problem == problem for g in groups for n in g) for problem in PROBLEMS}
    asking: dict[str, None] = {}
    total = sum(left.values())
    with (
        ThreadPoolExecutor(max(1, min(len(groups), os.cpu_count() or 2, 4))) as pool,
        tqdm(
            total=total,
            unit="check",
            file=stream or sys.stderr,
            leave=False,
            disable=stream is None or not stream.isatty(),
        ) as bar,
    ):
        futures = [pool.submit(runs.checks, group, lambda *event: events.put(event)) for group in groups]
        try:
            while len(results) < total and not (all(f.done() for f in futures) and events.empty()):
                try:
                    kind, event = events.get(timeout=0.2)
                except queue.Empty:
                    continue
                if kind == "asking":
                    asking[event["name"]] = None
                    bar.set_postfix_str(next(iter(asking)), refresh=False)
                if kind != "answer":
                    continue
                asking.pop(event["name"], None)
                answer = Answer(**event)
                results[answer.name] = answer
                bar.update()
                problem = CHECKS[answer.name].problem
                left[problem] -= 1
                if not left[problem] and stream:
                    with tqdm.external_write_mode(stream):
                        of_problem = [a for a in results.values() if CHECKS[a.name].problem == problem]
                        print(terminal.row(problem, of_problem, colors), file=stream, flush=True)
        except BaseException:
            report.waiting = runs.waiting()
            runs.stop()
            raise
    for future in futures:
        future.result()
