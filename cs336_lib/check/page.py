"""The report as one HTML file: no script, no font and no picture from elsewhere, so it can be sent and kept."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from html import escape
from pathlib import Path

from cs336_lib.atomic import check_own
from cs336_lib.check import curves, sections
from cs336_lib.check.child.case import CHECKS
from cs336_lib.check.child.runner import BROKEN, CHOSEN, RIGHT, UNANSWERED, WRONG
from cs336_lib.check.report import Fault, Report, cause_of, kind_text

_BEGINNING, _TITLE = '<!doctype html>\n<html lang="en">\n', "<title>cs336 check</title>"
STYLE = """
:root { color-scheme: light dark; --ink: #1d2430; --paper: #fff; --faint: #5d6675; --line: #d9dee5; --card: #f6f8fa;
  --right: #00734f; --wrong: #b3261e; --other: #8a6100; --link: #0b5cad; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ee; --paper: #14181f; --faint: #a3adbb; --line: #333b47;
  --card: #1c222b; --right: #4cc38a; --wrong: #ff8a80; --other: #e0b050; --link: #7ab7ff; } }
body { margin: 0 auto; max-width: 60rem; padding: 1.5rem; color: var(--ink); background: var(--paper);
  font: 16px/1.55 system-ui, sans-serif; }
h1 { font-size: 1.6rem; margin: 0; overflow-wrap: anywhere; } h2 { font-size: 1.2rem; margin: 2rem 0 .6rem; }
a { color: var(--link); } .faint { color: var(--faint); }
.right { color: var(--right); } .wrong { color: var(--wrong); } .other { color: var(--other); }
.verdict { font-size: 1.15rem; font-weight: 600; margin: .6rem 0; }
.wide { overflow-x: auto; } table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .35rem .7rem; border-bottom: 1px solid var(--line); vertical-align: top; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
article { border: 1px solid var(--line); border-left: 4px solid var(--wrong); border-radius: 6px;
  background: var(--card); padding: .9rem 1.1rem; margin: .9rem 0; overflow-wrap: anywhere; }
article h3 { margin: 0 0 .2rem; font-size: 1.05rem; }
dl { display: grid; grid-template-columns: 7.5rem 1fr; gap: .3rem .8rem; margin: .6rem 0 0; }
dt { color: var(--faint); } dd { margin: 0; min-width: 0; overflow-wrap: anywhere; }
code, pre { font: .88rem/1.5 ui-monospace, monospace; } pre { overflow-x: auto; margin: .4rem 0; padding: .6rem;
  border: 1px solid var(--line); border-radius: 6px; background: var(--paper); }
details > summary { cursor: pointer; } svg { max-width: 100%; height: auto; }
@media (max-width: 640px) { body { padding: 1rem; }
  dl { grid-template-columns: 1fr; gap: .1rem; } dd { margin-bottom: .4rem; }
  .problems tr { display: grid; grid-template-columns: 1fr repeat(4, 3.2rem); border-bottom: 1px solid var(--line); }
  .problems :is(th, td) { border: 0; padding: .2rem .1rem; } .problems td { overflow-wrap: anywhere; }
  .problems th { font-size: .7rem; }
  .problems :is(th, td):nth-child(6), .problems th:last-child, .problems td:last-child:empty { display: none; }
  .problems td:last-child { grid-column: 1 / -1; color: var(--wrong); } }
"""


def is_report(path: Path) -> bool:
    """Whether a file is such a page."""
    text = path.read_bytes()
    return text.startswith(_BEGINNING.encode()) and _TITLE.encode() in text.partition(b"<style>")[0]


def check_own_report(path: Path) -> None:
    """Raise FileExistsError if a file is there that is no such page."""
    check_own(path, is_report, "no report of cs336 check")


def page(report: Report) -> str:
    """Return the report as a whole HTML page.

    Args:
        report: what `check_folder` returned.
    """
    faults = report.faults()
    verdict = report.verdict.capitalize() + (", the worst first below." if len(faults) > 1 else ".")
    about = report.about
    versions = about.get("versions", {})
    facts = [
        f"edition {report.edition}",
        f"Python {versions.get('python', '?')}, torch {versions.get('torch', '?')}",
        f"{about.get('seconds', 0):.0f} s",
        f"cs336 check {about.get('version', '')}",
    ]
    parts = [
        f"<h1>{escape(str(about.get('adapters', 'A solution')))}</h1>",
        f'<p class="faint">{escape(" - ".join(facts))}</p>',
        f'<p class="verdict {"right" if report.passed else "wrong"}">{verdict}</p>',
        _table(report),
    ]
    if faults:
        parts.append("<h2>What is wrong</h2>")
        parts += [_fault(fault, report.edition) for fault in faults]
    if "training" in report.extras:
        parts += ["<h2>A tiny model, trained</h2>", curves.training(report.extras["training"])]
    if "speed" in report.extras:
        parts += ["<h2>Speed</h2>", _speed(report.extras["speed"])]
    parts += [_choices(report), _remarks(report), "<h2>To paste</h2>", f"<pre>{escape(report.summary())}</pre>"]
    parts.append(_all(report))
    return (
        f'{_BEGINNING}<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"{_TITLE}\n<style>{STYLE}</style>\n</head>\n<body>\n" + "\n".join(parts) + "\n</body>\n</html>\n"
    )


def _cell(number: int, kind: str) -> str:
    return f'<td class="n {kind if number else "faint"}">{number or "-"}</td>'


def _table(report: Report) -> str:
    rows = []
    for problem in report.problems():
        answers = report.of(problem)
        wrong = ", ".join(a.name.split(".")[1] for a in answers if a.status == WRONG)
        unasked = report.count(UNANSWERED, answers) + report.count(BROKEN, answers)
        rows.append(
            f"<tr><td><code>{problem}</code></td>{_cell(report.count(RIGHT, answers), 'right')}"
            f"{_cell(report.count(WRONG, answers), 'wrong')}{_cell(unasked, 'other')}"
            f"{_cell(report.count(CHOSEN, answers), '')}"
            f'<td class="n">{sum(a.seconds for a in answers):.1f}</td><td>{escape(wrong)}</td></tr>'
        )
    head = '<th>problem</th><th class="n">right</th><th class="n">wrong</th><th class="n">not answered</th>'
    head += '<th class="n">your choice</th><th class="n">seconds</th><th>what is wrong</th>'
    table = f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody>"
    return f'<div class="wide"><table class="problems">{table}</table></div>'


def _fault(fault: Fault, edition: str) -> str:
    check, answer = fault.check, fault.answer
    rows = [
        ("input", f"<code>{escape(answer.given)}</code>" if answer.given else ""),
        ("expected", f'<code class="right">{escape(answer.expected)}</code>' if answer.expected else ""),
        ("got", f'<code class="wrong">{escape(answer.got)}</code>'),
        ("usual cause", escape(cause_of(check, answer))),
        ("right value", f"known from {escape(check.known)}"),
        ("read", f'<a href="{sections.address(check.section)}">{escape(sections.named(check.section))}</a>'),
    ]
    if fault.others:
        rows.append(("the same in", escape(", ".join(other.name for other in fault.others))))
    if fault.later:
        rows.append(("may follow from it", escape(", ".join(other.name for other in fault.later))))
    listed = "".join(f"<dt>{name}</dt><dd>{text}</dd>" for name, text in rows if text)
    diff = _diff(*answer.lists) if answer.lists else ""
    return (
        f"<article><h3>{escape(check.problem)}: {escape(check.title)}</h3>"
        f'<div class="faint">{check.name}; {kind_text(check, edition)}</div><dl>{listed}</dl>{diff}</article>'
    )


def _diff(expected: Sequence[str], got: Sequence[str]) -> str:
    """Two lists side by side in the way of diff: what is missing, what is too much."""
    rows = []
    for line in difflib.unified_diff(expected, got, "expected", "got", n=2, lineterm=""):
        kind = "right" if line.startswith("-") else "wrong" if line.startswith("+") else "faint"
        rows.append(f'<span class="{kind}">{escape(line)}</span>')
    if not rows:
        return ""
    more = f"\n... {len(rows) - 60} lines more" if len(rows) > 60 else ""
    return f"<details><summary>item by item</summary><pre>{chr(10).join(rows[:60])}{more}</pre></details>"


def _choices(report: Report) -> str:
    rows = [
        f"<tr><td>{escape(CHECKS[a.name].title)}</td><td><code>{escape(a.got)}</code></td>"
        f'<td class="faint">{escape(CHECKS[a.name].cause)}</td></tr>'
        for a in report.answers
        if a.status == CHOSEN
    ]
    if not rows:
        return ""
    return f'<h2>Your choices, where the handout leaves one</h2><div class="wide"><table>{"".join(rows)}</table></div>'


def _remarks(report: Report) -> str:
    rows = "".join(f"<li>{escape(text)}</li>" for text in report.remarks())
    return f"<h2>Besides</h2><ul>{rows}</ul>" if rows else ""


def _speed(rows: Sequence[dict[str, object]]) -> str:
    cells = "".join(
        "<tr>" + "".join(f"<td>{escape(str(row[name]))}</td>" for name in ("what", "yours", "ours", "limit")) + "</tr>"
        for row in rows
    )
    head = "<th></th><th>yours</th><th>this library</th><th>the official test's limit</th>"
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{cells}</tbody></table></div>'


def _all(report: Report) -> str:
    colors = {RIGHT: "right", WRONG: "wrong", CHOSEN: "faint"}
    rows = "".join(
        f"<tr><td><code>{a.name}</code></td><td>{escape(CHECKS[a.name].title)}</td>"
        f'<td class="{colors.get(a.status, "other")}">{a.status}</td><td class="n">{a.seconds:.2f}</td></tr>'
        for a in report.answers
    )
    return (
        f'<details><summary>All {len(report.answers)} questions, with seconds</summary><div class="wide">'
        f"<table>{rows}</table></div></details>"
    )
