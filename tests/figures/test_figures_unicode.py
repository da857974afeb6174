"""The figures of chapter 1 show the bits, verdicts and sizes that they are given, in the colors that they explain."""

import itertools

import numpy as np
import pytest
from figures_drawing import colors_of, drawn, legends
from matplotlib.colors import to_hex

from cs336_lib.bpe.utf8 import Verdict
from cs336_lib.figures import diagrams
from cs336_lib.figures import unicode as figures
from cs336_lib.figures.style import COLORS
from cs336_lib.figures.tokens import token_rows


def test_each_script_has_its_own_bar_in_each_encoding_with_its_number():
    scripts, encodings = ("English", "Greek", "Chinese"), list(figures.ENCODING_COLORS)
    sizes = {s: {e: 1.0 + i / 4 + k for k, e in enumerate(encodings)} for i, s in enumerate(scripts)}
    figure = drawn(figures.bytes_per_character(sizes))
    (axes,) = figure.axes
    assert [bars.get_label() for bars in axes.containers] == encodings
    for bars, encoding in zip(axes.containers, encodings, strict=True):
        assert [bar.get_width() for bar in bars] == [sizes[script][encoding] for script in scripts]
        assert [round(bar.get_y() + bar.get_height() / 2) for bar in bars] == [0, 1, 2]
        assert {to_hex(bar.get_facecolor()) for bar in bars} == {colors_of(figure)[encoding]}
    assert [text.get_text() for text in axes.texts] == [f"{sizes[s][e]:.2f}" for e in encodings for s in scripts]


@pytest.mark.parametrize("character", ["a", "~", "é", "\u07ff", "€", "\ud7ff", "\U0001f600", "\U0010ffff"])
def test_the_bits_of_a_character_are_those_of_its_bytes_and_the_marked_ones_are_no_part_of_the_code_point(character):
    figure = drawn(figures.utf8_bits([("name", character)]))
    (axes,) = figure.axes
    words = [text.get_text() for text in axes.texts]
    assert words[0] == f"name\nU+{ord(character):04X}"
    assert "".join(words[1:]) == "".join(f"{byte:08b}" for byte in character.encode())
    plain = dict(legends(figure))["bits of the code point"].get_facecolor()
    carried = [bit for bit, box in zip(words[1:], axes.patches, strict=True) if box.get_facecolor() == plain]
    assert int("".join(carried), 2) == ord(character)
    colors = [to_hex(box.get_facecolor()) for box in axes.patches]
    assert COLORS["orange"] in colors[:8] and COLORS["orange"] not in colors[8:]
    assert all(colors[at : at + 2] == [COLORS["sky"]] * 2 for at in range(8, len(colors), 8))


def test_what_survived_damage_is_green_and_what_did_not_is_red():
    rows = {"UTF-8": [True, False, True], "UTF-16": [False, False, True]}
    (axes,) = drawn(figures.damage(rows)).axes
    (image,) = axes.images
    assert image.get_array().tolist() == [[1, 0, 1], [0, 0, 1]]
    red, green = (to_hex(image.cmap(image.norm(value))) for value in (0, 1))
    assert red == COLORS["red"] and int(green[3:5], 16) > int(green[1:3], 16)
    assert "green: survived, red: lost" in axes.get_xlabel()


def test_every_verdict_has_the_color_of_its_entry_which_counts_it():
    members = list(Verdict)
    verdicts = np.zeros((256, 256), dtype=np.int64)
    for place in range(1, len(members)):
        verdicts[place, :place] = place
    figure = drawn(figures.two_byte_sequences(verdicts))
    image = figure.axes[0].images[0]
    assert np.array_equal(image.get_array(), verdicts)
    colors = colors_of(figure)
    counts = np.bincount(verdicts.ravel())
    assert list(colors) == [f"{count:,}  {member.value}" for count, member in zip(counts, members, strict=True)]
    assert [to_hex(image.cmap(image.norm(place))) for place in range(len(members))] == list(colors.values())
    assert len(set(colors.values())) == len(members)
    assert (figure.axes[0].get_xlabel(), figure.axes[0].get_ylabel()) == ("second byte", "first byte")


def test_equal_tokens_have_equal_colors_if_asked_for_and_else_colors_alternate():
    tokens = [b"a", b"b", b"a", b"c", b"b"]
    by_place, by_token = (
        [to_hex(box.get_facecolor()) for box in token_rows({"r": tokens}, by_token=asked).axes[0].patches]
        for asked in (False, True)
    )
    assert all(left != right for left, right in itertools.pairwise(by_place)) and by_place[0] != by_place[2]
    assert by_token[0] == by_token[2] != by_token[1] == by_token[4] and len(set(by_token)) == 3


def test_a_row_begins_behind_the_room_of_its_offset():
    axes = token_rows({"one": [b"ab"], "two": [b"ab"]}, offset={"two": b" xy"}).axes[0]
    left, right = (box.get_x() for box in axes.patches)
    assert right - left == pytest.approx(3)


@pytest.mark.parametrize(("heads", "width"), [(2, 3), (4, 2)])
def test_columns_go_to_the_head_that_they_belong_to_and_back_to_their_place(heads, width):
    axes = drawn(diagrams.heads_as_columns(["x", "y"], heads, width)).axes[0]
    columns, rows = heads * width, 2
    colors = [to_hex(box.get_facecolor()) for box in axes.patches]
    whole = [diagrams.HEADS[column // width] for column in range(columns)]
    assert len(colors) == 3 * rows * columns
    assert colors[: rows * columns] == colors[-rows * columns :] == whole * rows
    parts = colors[rows * columns : -rows * columns]
    assert parts == [diagrams.HEADS[head] for head in range(heads) for _ in range(rows * width)]
    boxes = axes.patches[rows * columns : -rows * columns : rows * width]
    names = {text.get_text(): text.get_position() for text in axes.texts}
    for head, box in enumerate(boxes):
        x, y = names[f"head {head}"]
        assert x > box.get_x() and y == pytest.approx(box.get_y() - rows / 2)
