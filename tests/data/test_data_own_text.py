"""The reader's own text is found, bounded and never written to; a wrong name is an error, not a new file."""

import os

import pytest

from cs336_lib.data.own_text import own_text

STORIES = "One stor\u00ef.\n<|endoftext|>\nTwo.\n<|endoftext|>\n".encode()


@pytest.fixture
def text(tmp_path, monkeypatch):
    path = tmp_path / "mine.txt"
    path.write_bytes(STORIES)
    monkeypatch.setenv("CS336_TEXT", str(path))
    return path


@pytest.mark.parametrize("value", [None, ""])
def test_without_the_variable_there_is_no_text(tmp_path, monkeypatch, value):
    monkeypatch.delenv("CS336_TEXT", raising=False)
    if value is not None:
        monkeypatch.setenv("CS336_TEXT", value)
    assert own_text(tmp_path) is None
    assert not list(tmp_path.iterdir())


def test_a_short_text_is_copied_whole(text, tmp_path):
    copy = own_text(tmp_path)
    assert copy != text
    assert copy.read_bytes() == text.read_bytes() == STORIES


def test_a_long_text_ends_with_a_whole_document(text, tmp_path):
    found = own_text(tmp_path, len(STORIES) - 2).read_bytes()
    assert found == STORIES[: STORIES.index(b"<|endoftext|>") + len(b"<|endoftext|>")]
    assert text.read_bytes() == STORIES


@pytest.mark.parametrize("first", [b"A preface.\n<|endoftext|>\n", b"words and words\n" * 20_000 + b"<|endoftext|>\n"])
def test_a_text_whose_last_document_is_long_is_cut_inside_of_it(text, tmp_path, first):
    text.write_bytes(first + b"words and words\n" * 100_000)
    found = own_text(tmp_path, 1_000_000).read_bytes()
    assert 999_000 < len(found) <= 1_000_000 and found.endswith(b"\n")


def test_a_text_without_documents_ends_with_a_whole_character(text, tmp_path):
    text.write_bytes("ï".encode() * 10)
    assert own_text(tmp_path, 7).read_text(encoding="utf-8") == "ï" * 3


def test_a_name_that_is_wrong_is_an_error_and_makes_no_file(tmp_path, monkeypatch):
    monkeypatch.setenv("CS336_TEXT", str(tmp_path / "none.txt"))
    with pytest.raises(FileNotFoundError, match=r"CS336_TEXT is .*none\.txt.*full path"):
        own_text(tmp_path)
    assert not list(tmp_path.iterdir())


def test_an_empty_file_and_an_empty_bound_are_refused(text, tmp_path):
    with pytest.raises(ValueError, match="most_bytes=0"):
        own_text(tmp_path, 0)
    text.write_bytes(b"")
    with pytest.raises(ValueError, match="that file is empty"):
        own_text(tmp_path)


@pytest.mark.parametrize(
    ("content", "what"),
    [("\ufeffcats".encode("utf-16-le"), "in UTF-16"), (b"\x1f\x8b\x08", "gzip"), (b"%PDF-1.7\n", "a PDF")],
)
def test_what_is_no_text_is_told_by_the_readers_own_name(text, tmp_path, content, what):
    text.write_bytes(content)
    with pytest.raises(ValueError, match=rf"mine\.txt is {what}"):
        own_text(tmp_path)
    assert list(tmp_path.iterdir()) == [text]


@pytest.mark.parametrize("way", ["the file itself", "a link to it", "a link to a link", "a hard link", "another way"])
def test_the_readers_own_file_is_never_replaced(way, tmp_path, monkeypatch):
    named, own = tmp_path / "named.txt", tmp_path / "own.txt"
    own.write_bytes(STORIES)
    if way == "the file itself":
        named = own
    elif way == "another way":
        (tmp_path / "inside").mkdir()
        named = tmp_path / "inside" / ".." / "own.txt"
    elif way == "a hard link":
        os.link(own, named)
    else:
        (tmp_path / "between").symlink_to(own)
        named.symlink_to(own if way == "a link to it" else tmp_path / "between")
    monkeypatch.setenv("CS336_TEXT", str(named))
    for most in (30, 10_000):
        with pytest.raises(FileExistsError, match=r"CS336_TEXT is .* would replace: give the text another name"):
            own_text(tmp_path, most)
    assert own.read_bytes() == named.read_bytes() == STORIES


def test_an_earlier_copy_is_replaced(text, tmp_path):
    own_text(tmp_path, 20)
    assert own_text(tmp_path).read_bytes() == STORIES


@pytest.mark.parametrize(
    ("content", "most", "found"),
    [
        (b"<|endoftext|>One line.\nAnother", 26, b"<|endoftext|>One line.\n"),
        (b"<|endoftext|>\n<|endoftext|>\nOne line.\nAnother", 40, b"<|endoftext|>\n<|endoftext|>\nOne line.\n"),
        (b"<|endoftext|>\nOne long line", 20, b"<|endoftext|>\nOne lo"),
        (b"\n\nOne long line", 9, b"\n\nOne lon"),
        (b"<|endoftext|>One.<|endoftext|>Two.", 32, b"<|endoftext|>One.<|endoftext|>"),
        (b"<|endoftext|>" * 5, 30, (b"<|endoftext|>" * 5)[:30]),
    ],
)
def test_what_stands_before_the_first_document_ends_none(content, most, found, text, tmp_path):
    text.write_bytes(content)
    assert own_text(tmp_path, most).read_bytes() == found
