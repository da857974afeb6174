"""What passes for text and is none is refused by name wherever a text is given, with the cure."""

import bz2
import gzip
import io
import lzma
import os
import subprocess
import sys
import tarfile
import warnings
import zipfile
from functools import partial
from pathlib import Path

import pytest

from cs336_lib.bpe import Tokenizer, train_bpe
from cs336_lib.cli import main
from cs336_lib.data import corpora, encode_file
from cs336_lib.textfile import check_is_text
from cs336_lib.training.corpus import text_ids

ROOT = Path(__file__).parents[2]

TEXT = "The cat sat on the mat.\n" * 50
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"

ZSTD = bytes.fromhex("28b52ffd2405290000") + b"hello" + bytes(4)  # one raw block


def zstd_frame(kind, size, descriptor=0x20):
    """A frame of zstd up to the header of its first block: the size in one byte, then last, kind and size in three."""
    return b"\x28\xb5\x2f\xfd" + bytes([descriptor, 5]) + (size << 3 | kind << 1 | 1).to_bytes(3, "little") + b"hello"


def zipped(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.txt", TEXT)


def tarred(form, path):
    with tarfile.open(path, "w", format=form) as archive:
        member = tarfile.TarInfo("a.txt")
        member.size = len(TEXT)
        archive.addfile(member, io.BytesIO(TEXT.encode()))


KINDS = {
    "gzip": (lambda path: path.write_bytes(gzip.compress(TEXT.encode())), "gunzip"),
    "xz": (lambda path: path.write_bytes(lzma.compress(TEXT.encode())), "unxz"),
    "bzip2": (lambda path: path.write_bytes(bz2.compress(TEXT.encode())), "bunzip2"),
    "zip": (zipped, "unzip"),
    "UTF-16": (lambda path: path.write_bytes(TEXT.encode("utf-16")), "iconv"),
    "UTF-32": (lambda path: path.write_bytes(TEXT.encode("utf-32")), "iconv"),
    "looks like UTF-16LE": (lambda path: path.write_bytes(TEXT.encode("utf-16-le")), "iconv -f UTF-16LE"),
    "looks like UTF-16BE": (lambda path: path.write_bytes(TEXT.encode("utf-16-be")), "iconv -f UTF-16BE"),
    "looks like UTF-32LE": (lambda path: path.write_bytes(TEXT.encode("utf-32-le")), "iconv -f UTF-32LE"),
    "looks like UTF-32BE": (lambda path: path.write_bytes(TEXT.encode("utf-32-be")), "iconv -f UTF-32BE"),
    "tar archive": (partial(tarred, tarfile.PAX_FORMAT), "tar -xf"),
    "a tar archive": (partial(tarred, tarfile.GNU_FORMAT), "tar -xf"),
    "is a tar archive": (partial(tarred, tarfile.USTAR_FORMAT), "tar -xf"),
    "zstd": (lambda path: path.write_bytes(ZSTD), "unzstd"),
    "Git LFS": (lambda path: path.write_text(POINTER), "git lfs pull"),
    "Parquet": (lambda path: path.write_bytes(b"PAR1\x15\x04\x15" + bytes(100)), "text column"),
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


@pytest.mark.parametrize("kind", [0, 1, 2])
@pytest.mark.parametrize("size", [0, 5, 1 << 17])
def test_each_kind_of_block_that_zstd_knows_is_zstd(tmp_path, kind, size):
    (tmp_path / "x.txt").write_bytes(zstd_frame(kind, size))
    with pytest.raises(ValueError, match="is zstd, not text"):
        check_is_text(tmp_path / "x.txt")


def test_a_short_page_of_html_gets_a_warning_and_a_long_one_none(tmp_path):
    page = tmp_path / "page.txt"
    page.write_text("<!DOCTYPE html><html>please log in</html>")
    with pytest.warns(UserWarning, match="did a server send it"):
        check_is_text(page)
    page.write_text("<html>" + "words " * 50_000)
    check_is_text(page)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"a",
        b"\0\0\0",
        b"\xef\xbb\xbfwith a mark",
        "\u4f60\u597d".encode(),
        b"\xff",
        b"BZhang wrote this",
        b"PAR1 is a receptor",
        b"ARROW1 is where",
        b"%PDF-1.4 is a version",
        b"CS336TOK is a mark",
        b"of the Argonauts, " * 14 + b"many ustar",
        b"zeros\0\0\0in\0\0\0a row",
        bytes(4096),
        b"\0\0\0\1" * 2 + bytes(600),
        b"\1\0" * 50 + bytes(500),
        b"\x28\xb5\x2f\xfd",
        b"\x28\xb5\x2f\xfd dollars and more",
        b"\x28\xb5\x2f\xfd`quoted` and more",
        zstd_frame(kind=3, size=5),
        zstd_frame(kind=0, size=(1 << 17) + 1),
        zstd_frame(kind=0, size=5, descriptor=0x21),  # with a dictionary
        zstd_frame(kind=0, size=5, descriptor=0x28),  # a bit that is reserved
    ],
)
def test_odd_text_is_text(tmp_path, text):
    (tmp_path / "odd.txt").write_bytes(text)
    check_is_text(tmp_path / "odd.txt")


TAKEN_AS_THEY_ARE = {
    "utf-16 of ideographs": ("\u4f60\u597d\uff0c\u4e16\u754c\u3002\n" * 300).encode("utf-16-le"),
    "latin-1": "caf\u00e9 au lait\n".encode("latin-1") * 50,
    "cut in a character": ("x" * 99 + "\u00e9").encode()[:-1],
    "late": b"a" * 60_000 + b"\xff" + b"a" * 9,
}


@pytest.mark.parametrize("kind", TAKEN_AS_THEY_ARE)
def test_text_that_is_not_utf_8_is_told_at_every_door_and_taken_as_it_is(tmp_path, kind):
    content = TAKEN_AS_THEY_ARE[kind]
    tokenizer = Tokenizer({i: bytes([i]) for i in range(256)}, [])
    doors = {
        "a.txt": lambda path: train_bpe(path, 260),
        "b.txt": lambda path: encode_file(tokenizer, path, tmp_path / "out.tokens"),
        "c.txt": lambda path: corpora.get(str(path)),
        "d.txt": lambda path: text_ids(tokenizer, path),
    }
    for name, door in doors.items():
        (tmp_path / name).write_bytes(content)
        with pytest.warns(UserWarning, match=rf"{name} is not UTF-8 \(byte 0x.. at [0-9,]+\); its bytes are taken"):
            door(tmp_path / name)
    assert bytes(text_ids(tokenizer, tmp_path / "d.txt").tolist()) == content


def test_the_warning_names_the_first_wrong_byte_and_the_command_line_tells_it_once(tmp_path):
    (tmp_path / "x.txt").write_bytes(b"twelve bytes\xff more" * 20)
    for arguments in (
        ["train-tokenizer", "x.txt", "--out", "bpe", "--vocab-size", "257"],
        ["encode", "bpe", "x.txt", "x.tokens"],
    ):
        command = [sys.executable, "-m", "cs336_lib", *arguments]
        there = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=there)
        assert done.returncode == 0, done.stderr
        told = [line for line in done.stderr.splitlines() if "UTF-8" in line]
        assert len(told) == 1 and told[0].startswith("warning: x.txt is not UTF-8 (byte 0xff at 12)")


def test_a_character_that_the_first_block_cuts_is_nothing_to_tell(tmp_path):
    for cut in range(1, 4):
        (tmp_path / "x.txt").write_bytes(b"a" * ((1 << 16) - cut) + "\U0001f600 and on".encode())
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            check_is_text(tmp_path / "x.txt")
