"""The index of a trainer, written out: the most frequent first, changes marked, what is stale struck out."""

import re

import pytest

from cs336_lib.figures.bpe_index import MARK, IndexState, index_states

MARKED = f'<tr style="background:{MARK};'
A, B, C, AB = b"a", b"b", b"c", b"ab"
BEFORE = IndexState(
    "start",
    [([A, B, C], 5), ([B, C], 2), ([C, A], 1)],
    {(A, B): (5, [0]), (B, C): (7, [0, 1]), (C, A): (1, [2]), (C, C): (0, [])},
    [(7, (B, C)), (5, (A, B)), (3, (C, A))],
)
AFTER = IndexState(
    "merge 1",
    [([AB, C], 5), ([B, C], 2), ([C, A], 1)],
    {(AB, C): (5, [0]), (B, C): (2, [1]), (C, A): (1, [2]), (A, B): (0, [])},
    [(7, (B, C)), (5, (AB, C)), (1, (C, A))],
)


def blocks(*states, **settings):
    """Return, for each state, its three tables, each as rows of (cells, whether the row is marked)."""
    html = index_states(states, **settings).data
    found = []
    for block in html.split("padding:.4rem 0")[1:]:
        tables = re.findall(r"<table.*?</table>", block)
        found.append(
            [
                [
                    (re.findall(r"<td.*?>(.*?)</td>", row), row.startswith(MARKED))
                    for row in re.findall(r"<tr.*?</tr>", table)
                ]
                for table in tables
            ]
        )
    return found


def plain(cell):
    return re.sub("<.*?>", "", cell).replace("&nbsp;", " ")


def test_pairs_are_listed_from_the_most_frequent_on_and_those_that_are_gone_are_not():
    ((_, pairs, _),) = blocks(BEFORE)
    assert [[plain(cell) for cell in cells] for cells, _ in pairs] == [
        ["b + c", "7", "in words 0, 1"],
        ["a + b", "5", "in word 0"],
        ["c + a", "1", "in word 2"],
    ]
    ((_, fewer, _),) = blocks(BEFORE, most=2)
    assert [plain(cells[0]) for cells, _ in fewer] == ["b + c", "a + b"]


def test_of_equally_frequent_pairs_the_one_that_would_be_merged_stands_first():
    counts = {(A, B): (4, [0]), (B, A): (4, [0]), (A, C): (4, [0]), (C, A): (3, [1])}
    ((_, pairs, _),) = blocks(IndexState("start", [], counts, []))
    assert [plain(cells[0]) for cells, _ in pairs] == ["b + a", "a + c", "a + b", "c + a"]


def test_candidates_whose_count_is_no_longer_true_are_struck_out_and_no_others():
    (_, _, start), (_, _, later) = blocks(BEFORE, AFTER)
    assert [(plain(cells[0]), "<s " in cells[0]) for cells, _ in start] == [
        ("7 b + c", False),
        ("5 a + b", False),
        ("3 c + a", True),
    ]
    assert [(plain(cells[0]), "<s " in cells[0]) for cells, _ in later] == [
        ("7 b + c", True),
        ("5 ab + c", False),
        ("1 c + a", False),
    ]
    gone = IndexState("gone", [], {}, [(2, (A, B)), (0, (B, C))])
    ((_, _, queue),) = blocks(gone)
    assert ["<s " in cells[0] for cells, _ in queue] == [True, False]


def test_what_a_merge_has_changed_is_marked_and_nothing_in_the_first_state():
    start, later = blocks(BEFORE, AFTER)
    assert not any(marked for table in start for _, marked in table)
    words, pairs, queue = later
    assert [marked for _, marked in words] == [True, False, False]
    assert {plain(cells[0]): marked for cells, marked in pairs} == {"ab + c": True, "b + c": True, "c + a": False}
    assert not any(marked for _, marked in queue)


def test_words_stand_with_number_and_count():
    ((words, _, _),) = blocks(BEFORE)
    assert [[plain(cell) for cell in cells] for cells, _ in words] == [
        ["0", "5 ×", "abc"],  # noqa: RUF001
        ["1", "2 ×", "bc"],  # noqa: RUF001
        ["2", "1 ×", "ca"],  # noqa: RUF001
    ]


@pytest.mark.parametrize("most", [1, 2, 6])
def test_titles_are_escaped_and_as_many_rows_are_shown_as_are_asked_for(most):
    html = index_states([IndexState("<b>", BEFORE.words, BEFORE.pairs, BEFORE.queue)], most).data
    assert "<b>&lt;b&gt;</b>" in html
    ((_, pairs, queue),) = blocks(BEFORE, most=most)
    assert (len(pairs), len(queue)) == (min(most, 3), min(most, 3))
