"""What passes for text and is none is refused by name wherever a text is given, with the cure."""

import bz2
import gzip
import lzma
import zipfile

import pytest

from cs336_lib.bpe import Tokenizer, train_bpe
from cs336_lib.cli import main
from cs336_lib.data import corpora, encode_file
from cs336_lib.textfile import check_is_text

TEXT = "The cat sat on the mat.\n" * 50
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"


def zipped(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.txt", TEXT)


KINDS = {
    "gzip": (lambda path: path.write_bytes(gzip.compress(TEXT.encode())), "gunzip"),
    "xz": (lambda path: path.write_bytes(lzma.compress(TEXT.encode())), "unxz"),
    "bzip2": (lambda path: path.write_bytes(bz2.compress(TEXT.encode())), "bunzip2"),
    "zip": (zipped, "unzip"),
    "UTF-16": (lambda path: path.write_bytes(TEXT.encode("utf-16")), "iconv"),
    "UTF-32": (lambda path: path.write_bytes(TEXT.encode("utf-32")), "iconv"),
    "looks like UTF-16": (lambda path: path.write_bytes(TEXT.encode("utf-16-le")), "iconv"),
    "Git LFS": (lambda path: path.write_text(POINTER), "git lfs pull"),
    "Parquet": (lambda path: path.write_bytes(b"PAR1" + bytes(100)), "text column"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_refused_by_name_at_every_door(tmp_path, kind, capsys):
    path = tmp_path / "corpus.txt"
    make, cure = KINDS[kind]
    make(path)
    tokenizer = Tokenizer({i: bytes([i]) for i in range(256)}, [])
    doors = [
        lambda: train_bpe(path, 300),
        lambda: encode_file(tokenizer, path, tmp_path / "out.tokens"),
        lambda: corpora.get(str(path)),
    ]
    for door in doors:
        with pytest.raises(ValueError, match=kind) as found:
            door()
        assert cure in str(found.value) and "corpus.txt" in str(found.value)
    assert main(["train-tokenizer", str(path), "--out", str(tmp_path / "bpe"), "--vocab-size", "300"]) == 2
    assert kind in capsys.readouterr().err
    assert not (tmp_path / "out.tokens").exists() and not (tmp_path / "bpe").exists()


def test_a_short_page_of_html_gets_a_warning_and_a_long_one_none(tmp_path):
    page = tmp_path / "page.txt"
    page.write_text("<!DOCTYPE html><html>please log in</html>")
    with pytest.warns(UserWarning, match="did a server send it"):
        check_is_text(page)
    page.write_text("<html>" + "words " * 50_000)
    check_is_text(page)


@pytest.mark.parametrize("text", [b"", b"a", b"\0\0\0", b"\xef\xbb\xbfwith a mark", "\u4f60\u597d".encode(), b"\xff"])
def test_odd_text_is_text(tmp_path, text):
    (tmp_path / "odd.txt").write_bytes(text)
    check_is_text(tmp_path / "odd.txt")
