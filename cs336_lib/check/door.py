"""`check("softmax", my_softmax)`: the questions of a problem, put to a function that is defined right here."""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from html import escape
from inspect import signature
from typing import Any

import torch

from cs336_lib.check import sections
from cs336_lib.check.child import questions, runner
from cs336_lib.check.child.case import CHECKS, NOTEBOOK_PROBLEMS, PROBLEMS
from cs336_lib.check.report import Report
from cs336_lib.check.terminal import fault_text

# Adapters that a module's class can stand for -> what the handout's constructor takes, in its order.
MODULES = {
    "run_linear": ("in_features", "out_features"),
    "run_embedding": ("num_embeddings", "embedding_dim"),
    "run_rmsnorm": ("d_model", "eps"),
    "run_rope": ("theta", "d_k", "max_seq_len"),
}
BY_PROBLEM = PROBLEMS | NOTEBOOK_PROBLEMS
assert questions  # importing it registers the checks


class Result(Report):
    """What came of the checks, shown as text or, in a notebook, as a small table."""

    def __str__(self) -> str:
        lines = []
        for answer in self.answers:
            mark = {runner.RIGHT: "right", runner.WRONG: "WRONG", runner.CHOSEN: "choice"}.get(answer.status, "-")
            tail = f": {answer.got}" if answer.status not in (runner.RIGHT, runner.WRONG) else ""
            lines.append(f"{mark:<7}{CHECKS[answer.name].title}{tail}")
        faults = [fault_text(fault, number, self.edition) for number, fault in enumerate(self.faults(), start=1)]
        return "\n".join([*lines, *([""] if faults else []), "\n\n".join(faults)]).rstrip()

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """What is wrong first, then the choices; what is right is folded away when something is wrong."""
        rows = {status: "" for status in (runner.WRONG, runner.BROKEN, runner.UNANSWERED, runner.CHOSEN, runner.RIGHT)}
        causes = self.causes()
        for answer in self.answers:
            rows[answer.status] += _row(answer, causes.get(answer.name, ""))
        right = rows.pop(runner.RIGHT)
        if rows[runner.WRONG] and right:
            head = f"<summary>{self.count(runner.RIGHT)} right</summary>"
            return f"{_table(''.join(rows.values()))}<details>{head}{_table(right)}</details>"
        return _table(right + "".join(rows.values()))


def _table(rows: str) -> str:
    return f'<div class="records"><table>{rows}</table></div>'


def _code(text: str) -> str:
    return f'<code style="white-space:normal;overflow-wrap:anywhere">{escape(text)}</code>'


def _row(answer: runner.Answer, cause: str) -> str:
    one = CHECKS[answer.name]
    more = ""
    if answer.status == runner.WRONG:
        place = f'<a href="{sections.address(one.section)}">{escape(sections.named(one.section))}</a>'
        more = "<br>".join(
            [
                "",
                *(f"{name} {_code(text)}" for name, text in _facts(answer)),
                *(f"usual cause: {escape(text)}" for text in [cause] if text),
                place,
            ]
        )
    elif answer.status != runner.RIGHT:
        more = f"<br>{_code(answer.got)}"
    color = {runner.RIGHT: "#00805a", runner.WRONG: "#c0392b"}.get(answer.status, "#8a6100")
    style = f"color:{color};font-weight:600;vertical-align:top"
    return (
        f'<tr><td style="{style}">{answer.status}</td>'
        f'<td class="text" style="text-align:left">{escape(one.title)}{more}</td></tr>'
    )


def _facts(answer: runner.Answer) -> list[tuple[str, str]]:
    facts = [("input", answer.given), ("expected", answer.expected), ("got", answer.got)]
    return [(name, text) for name, text in facts if text]


def check(problem: str, function: Callable[..., Any], *more: Callable[..., Any]) -> Result:
    """Put the checks of a problem to a function with the signature of the official adapter.

    Args:
        problem: such as "softmax", "rope" or "adamw"; or the name of an adapter, such as "run_silu".
        function: takes what the adapter takes: `run_softmax(in_features, dim)`, `run_linear(d_in, d_out, weights,
            in_features)`. For "linear", "embedding", "rmsnorm" and "rope" a module's class with the handout's
            constructor will do; for "adamw" the optimizer's class; for "tokenizer" a class that takes vocab, merges
            and special tokens.
        more: the problem's other adapters, where it has several (both of "checkpointing").

    Returns:
        The answers; a notebook shows them as a table. Nothing global is changed.

    Raises:
        ValueError: there is no such problem.
        TypeError: a module's class was given that can't be called with what is known.

    >>> check("softmax", lambda x, dim: x.exp() / x.exp().sum(dim, keepdim=True)).count("wrong")
    2
    >>> check("softmax", torch.softmax).passed
    True
    """
    adapters, names = _adapters(problem, [function, *more])
    result = Result()
    for name in names:
        if set(CHECKS[name].needs) <= adapters.keys() and not CHECKS[name].slow:
            result.answers.append(runner.put(CHECKS[name], adapters))
    return result


def _adapters(problem: str, functions: list[Callable[..., Any]]) -> tuple[dict[str, Any], list[str]]:
    by_adapter = {adapter: p for p, adapters in BY_PROBLEM.items() for adapter in adapters}
    if problem not in BY_PROBLEM and f"run_{problem}" in by_adapter:
        problem = f"run_{problem}"
    if problem in by_adapter:
        slots: tuple[str, ...] = (problem,)
        problem = by_adapter[problem]
    elif problem in BY_PROBLEM:
        slots = BY_PROBLEM[problem]
    else:
        near = get_close_matches(problem, [*BY_PROBLEM, *by_adapter], n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ValueError(f"no problem is called {problem!r}; {hint}there are {', '.join(BY_PROBLEM)}")
    if len(functions) > len(slots):
        raise ValueError(f"{problem} takes {len(slots)} functions: {', '.join(slots)}; {len(functions)} were given")
    adapters = {slot: _joined(slot, function) for slot, function in zip(slots, functions, strict=False)}
    return adapters, [name for name, one in CHECKS.items() if one.problem == problem]


def _joined(slot: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Turn a class into the adapter that the checks call."""
    if slot == "get_adamw_cls" and isinstance(function, type):
        return lambda: function
    if not (isinstance(function, type) and issubclass(function, torch.nn.Module)):
        return function
    cls: Any = function
    other = f"give a function with the parameters of {slot} in the official tests/adapters.py"
    if slot not in MODULES:
        raise TypeError(f"{cls.__name__} is a module's class, which the checks can't fill; {other}")
    try:
        signature(cls).bind(*MODULES[slot])
    except TypeError as error:
        asked = f"{cls.__name__}({', '.join(MODULES[slot])})"
        raise TypeError(f"the checks call {asked}: {error}; give a class that takes that, or {other[5:]}") from None
    if slot == "run_rope":
        return lambda d_k, theta, max_seq_len, x, positions: cls(theta, d_k, max_seq_len)(x, positions)

    def run(first: int, second: float, weights: torch.Tensor, given: torch.Tensor) -> Any:
        module = cls(first, second)
        parameters = list(module.parameters())
        if not parameters:
            raise TypeError(f"{cls.__name__} has no parameters: nn.Parameter makes one of a tensor")
        if len(parameters) == 1 and parameters[0].shape == weights.T.shape != weights.shape:
            weights = weights.T
        with torch.no_grad():
            parameters[0].copy_(weights)
        return module(given)

    return run
