"""Token files: what they say, and what they refuse to be taken for."""

import bz2
import gzip
import io
import json
import lzma
import pickle
import random
import struct

import numpy as np
import pytest
import torch
from data_texts import tokenizer
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from cs336_lib.data import TokenFile
from cs336_lib.data.token_format import HEADER_BYTES, check_ids, stream_token_file, write_token_file
from cs336_lib.data.tokens import TokenFileError


@pytest.fixture
def path(tmp_path):
    """A token file of 0 ... 99."""
    write_token_file(
        tmp_path / "x.tokens", [np.arange(60), np.arange(60, 100)], vocab_size=264, tokenizer_sha256="ab12"
    )
    return tmp_path / "x.tokens"


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.integers(0, 69_999), max_size=9), max_size=5), st.sampled_from([70_000, 2**32]))
def test_ids_come_back_as_they_were_written(tmp_path_factory, chunks, vocab_size):
    path = tmp_path_factory.mktemp("ids") / "x"
    header = write_token_file(
        path, [np.array(c, dtype=np.int64) for c in chunks], vocab_size=vocab_size, tokenizer_sha256="ab"
    )
    tokens = TokenFile.open(path, vocab_size=vocab_size)
    tokens.verify()
    assert tokens.ids.tolist() == [i for chunk in chunks for i in chunk]
    assert (len(tokens), tokens.header, tokens.dtype) == (header.count, header, np.uint32)


def test_the_header_is_readable_and_the_ids_take_two_bytes_when_they_fit(path):
    raw = path.read_bytes()
    said = json.loads(raw[12:HEADER_BYTES])
    assert (said["dtype"], said["count"], said["vocab_size"]) == ("uint16", 100, 264)
    assert len(raw) == HEADER_BYTES + 200
    assert repr(TokenFile.open(path)).endswith("100 ids, uint16, vocabulary 264)")


def test_ids_are_read_only(path):
    with pytest.raises(ValueError, match="read-only"):
        TokenFile.open(path).ids[0] = 1


def patched(path, at, new):
    raw = bytearray(path.read_bytes())
    raw[at : at + len(new)] = new
    path.write_bytes(raw)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda p: p.write_bytes(p.read_bytes()[:-1]), "cut short: 4,295 bytes, and its header promises 4,296"),
        (lambda p: p.write_bytes(p.read_bytes() + b"\0\0"), "longer than it says"),
        (lambda p: p.write_bytes(p.read_bytes()[:500]), "cut short inside its header"),
        (lambda p: p.write_bytes(p.read_bytes()[:9]), "cut short inside its header"),
        (lambda p: p.write_bytes(b""), "no token file"),
        (lambda p: p.write_bytes(b"Once upon a time"), r"no token file \(it does not begin with CS336TOK\)"),
        (lambda p: patched(p, 8, b"\x09"), "format version 9"),
        (lambda p: patched(p, 12, b"}"), "damaged header"),
        (lambda p: patched(p, 12, b"[]" + b" " * 600), "damaged header"),
        (lambda p: p.write_bytes(p.read_bytes().replace(b'"uint16"', b'"object"')), "damaged header"),
        (lambda p: p.write_bytes(p.read_bytes().replace(b'"count": 100', b'"count": -10')), "damaged header"),
        (lambda p: p.write_bytes(p.read_bytes().replace(b'"count": 100', b'"count": 1.0')), "damaged header"),
        (lambda p: p.write_bytes(p.read_bytes().replace(b'"vocab_size": 264', b'"vocab_size": 040')), "damaged header"),
        (lambda p: patched(p, HEADER_BYTES + 20, b"\xff\xff"), "id 65535 at place 10, outside a vocabulary of 264; it"),
    ],
)
def test_a_damaged_or_foreign_file_is_refused_by_name(path, damage, message):
    damage(path)
    with pytest.raises(TokenFileError, match=message) as caught:
        TokenFile.open(path)
    assert str(path) in str(caught.value)


def test_ids_altered_within_the_vocabulary_are_found_by_their_hash(path):
    TokenFile.open(path).verify()
    patched(path, HEADER_BYTES, b"\7")
    with pytest.raises(TokenFileError, match="do not match their hash"):
        TokenFile.open(path).verify()


def test_a_file_of_another_tokenizer_is_refused(tmp_path):
    ours, other = tokenizer(), tokenizer([])
    write_token_file(tmp_path / "x", [np.arange(9)], vocab_size=264, tokenizer_sha256=ours.fingerprint)
    assert len(TokenFile.open(tmp_path / "x", tokenizer=ours)) == 9
    with pytest.raises(TokenFileError, match=f"made by tokenizer {ours.fingerprint[:12]}"):
        TokenFile.open(tmp_path / "x", tokenizer=other)


def test_a_vocabulary_that_is_too_small_is_an_error_at_opening(path):
    with pytest.raises(TokenFileError, match="vocabulary of 264, but vocab_size=200"):
        TokenFile.open(path, vocab_size=200)
    assert TokenFile.open(path, vocab_size=500).vocab_size == 264


def test_a_dtype_that_disagrees_is_refused(path):
    assert len(TokenFile.open(path, dtype="uint16")) == 100
    with pytest.raises(TokenFileError, match="holds uint16, not int32"):
        TokenFile.open(path, dtype="int32")


@pytest.mark.parametrize("dtype", ["uint16", "uint32", "int32", "int64"])
@pytest.mark.parametrize("size", [0, 7])
def test_plain_arrays_open_only_when_their_dtype_is_stated(tmp_path, dtype, size):
    ids = np.arange(size, dtype=dtype)
    np.save(tmp_path / "x.npy", ids)
    ids.tofile(tmp_path / "x.bin")
    for name in ("x.npy", "x.bin"):
        with pytest.raises(TokenFileError, match="state their type"):
            TokenFile.open(tmp_path / name)
        tokens = TokenFile.open(tmp_path / name, dtype=dtype, vocab_size=7)
        assert tokens.ids.tolist() == ids.tolist()
        assert tokens.header is None and tokens.vocab_size == 7
        assert TokenFile.open(tmp_path / name, dtype=dtype).vocab_size is None


def bytes_of(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def npy_with(header, version=b"\1\0"):
    said = header.ljust(53) + b"\n"
    return b"\x93NUMPY" + version + struct.pack("<H", len(said)) + said + bytes(2_000)


@pytest.mark.parametrize(
    ("content", "arguments", "message"),
    [
        (bytes_of(np.arange(5)), {"dtype": "uint16"}, "holds int64 of shape .5,., not a flat array of uint16"),
        (bytes_of(np.ones((2, 2), dtype="uint16")), {"dtype": "uint16"}, "of shape .2, 2., not a flat array"),
        (bytes_of(np.array([{}, {}])), {"dtype": "uint16"}, "holds object"),
        (bytes_of(np.arange(5))[:-8], {"dtype": "int64"}, "its header promises 168"),
        (bytes_of(np.arange(5))[:40], {"dtype": "int64"}, "damaged .npy header"),
        (b"\1\2\3", {"dtype": "uint16"}, "3 bytes, which is no whole number of uint16 ids"),
        (b"\1\2\3\4", {"dtype": "float32"}, "dtype=float32"),
        (
            bytes_of(np.arange(5)).replace(b"NUMPY\1", b"NUMPY\x09"),
            {"dtype": "int64"},
            "version 9.0, not 1.0, 2.0 or 3.0",
        ),
        (npy_with(b"{garbage"), {"dtype": "uint16"}, "damaged .npy header"),
        (npy_with(b"{'a': \n("), {"dtype": "uint16"}, "damaged .npy header"),
        (npy_with(b"(" * 50), {"dtype": "uint16"}, "damaged .npy header"),
        (npy_with(b"{}", b"\x09\x09"), {"dtype": "uint16"}, "version 9.9, not 1.0"),
        (
            np.array([3, 9], "uint16").tobytes(),
            {"dtype": "uint16", "vocab_size": 9},
            "id 9 at place 1.*is the dtype right",
        ),
        (np.array([3, -1], "int32").tobytes(), {"dtype": "int32", "vocab_size": 9}, "id -1 at place 1"),
        (np.array([3, 1], "uint16").tobytes(), {"dtype": "uint16", "tokenizer": tokenizer()}, "does not say which"),
    ],
)
def test_plain_files_that_are_not_what_was_stated_are_refused_by_name(tmp_path, content, arguments, message):
    path = tmp_path / "x.bin"
    path.write_bytes(content)
    with pytest.raises(TokenFileError, match=message) as caught:
        TokenFile.open(path, **arguments)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_every_version_of_npy_is_read(tmp_path, version):
    with (tmp_path / "x.npy").open("wb") as file:
        np.lib.format.write_array(file, np.arange(5, dtype="uint16"), version=version)
    assert TokenFile.open(tmp_path / "x.npy", dtype="uint16").ids.tolist() == [0, 1, 2, 3, 4]


@pytest.mark.filterwarnings("ignore")  # of numpy, on headers that Python 2 might have written
def test_no_damage_to_a_npy_header_ends_in_a_foreign_error(tmp_path):
    good, chance = bytes_of(np.arange(50, dtype="uint16")), random.Random(0)
    path = tmp_path / "x.npy"
    for _ in range(500):
        raw = bytearray(good)
        for _ in range(chance.randint(1, 4)):
            raw[chance.randrange(6, 128)] = chance.choice([*b"{}()[]'\"\\,:#\n\t 0LxN", chance.randrange(256)])
        path.write_bytes(raw)
        try:
            TokenFile.open(path, dtype="uint16")
        except TokenFileError as error:
            assert str(path) in str(error)


MARKS = (
    *(
        b"\x1f\x8b",
        b"\xfd7zX",
        b"BZh9",
        b"\x28\xb5\x2f\xfd",
        b"PK\x03\x04",
        b"PAR1",
        b"ARROW1",
        b"\x89HDF",
        b"%PDF-1.4",
    ),
    *(b"MMIDIDX\1", b"\xff\xfe", b"\xfe\xff\0\0", b"\xff\xfe\0\0", (20240520).to_bytes(4, "little"), b"\xef\xbb\xbf\0"),
    (5).to_bytes(8, "little") + (123).to_bytes(8, "little"),
    (5).to_bytes(8, "little") + int.from_bytes(b'{"', "little").to_bytes(8, "little"),
    (1 << 20).to_bytes(8, "little") + b'{"w":{}}',
)


@pytest.mark.parametrize("mark", MARKS)
@pytest.mark.parametrize("dtype", ["uint16", "uint32", "int64"])
def test_plain_ids_that_begin_like_something_else_are_ids(tmp_path, mark, dtype):
    for rest in (bytes(range(1, 201)) * 2, b"\x7b\0" * 200, (mark + b"\xff") * 100):
        raw = (mark + rest)[: len(mark + rest) // 8 * 8]
        (tmp_path / "x.bin").write_bytes(raw)
        assert TokenFile.open(tmp_path / "x.bin", dtype=dtype).ids.tobytes() == raw


PICKLED = [[3, 4], {"ids": 3}, np.arange(9, dtype=np.uint16), torch.arange(9), {"ids": torch.arange(9)}]


@pytest.mark.parametrize("content", PICKLED, ids=lambda content: type(content).__name__)
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_pickle_is_no_ids(tmp_path, content, protocol):
    raw = pickle.dumps(content, protocol)
    for dtype in ("uint16", "uint32", "int64", "uint8"):
        (tmp_path / "x.bin").write_bytes(raw + bytes(-len(raw) % np.dtype(dtype).itemsize))
        with pytest.raises(TokenFileError, match=r"x\.bin is a pickle"):
            TokenFile.open(tmp_path / "x.bin", dtype=dtype)


@pytest.mark.parametrize("zipped", [False, True])
def test_what_torch_saves_is_no_ids(tmp_path, zipped):
    torch.save(torch.arange(99), tmp_path / "x.bin", _use_new_zipfile_serialization=zipped)
    with pytest.raises(TokenFileError, match="zip archive" if zipped else "is a pickle"):
        TokenFile.open(tmp_path / "x.bin", dtype="uint8")


@pytest.mark.parametrize("dtype", ["uint16", "uint32", "int32", "int64"])
def test_text_is_told_where_ids_of_bytes_are_not_meant(tmp_path, dtype):
    text = b"It was the best of times, it was the worst of times; \tit was the age.\n\r" * 8
    (tmp_path / "x.txt").write_bytes(text)
    with pytest.warns(UserWarning, match=r"x\.txt looks like text, not ids: encode text"):
        TokenFile.open(tmp_path / "x.txt", dtype=dtype)  # a file of one id may look so, too
    assert TokenFile.open(tmp_path / "x.txt", dtype="uint8").ids.tobytes() == text
    for few in (text[:56], text[:100] + b"\x80" + text[101:]):
        (tmp_path / "few.bin").write_bytes(few[: len(few) // 8 * 8])
        assert len(TokenFile.open(tmp_path / "few.bin", dtype=dtype))


def test_what_numpy_and_safetensors_save_together_is_refused(tmp_path):
    np.savez(tmp_path / "x.npz", ids=np.arange(9))
    with pytest.raises(TokenFileError, match="zip archive"):
        TokenFile.open(tmp_path / "x.npz", dtype="int64")
    save_file({"ids": torch.arange(9)}, tmp_path / "x.safetensors")
    with pytest.raises(TokenFileError, match="safetensors"):
        TokenFile.open(tmp_path / "x.safetensors", dtype="int64")


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress], ids=["gzip", "bzip2", "xz"])
def test_packed_ids_are_refused(tmp_path, pack):
    (tmp_path / "x.bin").write_bytes(pack(np.arange(999, dtype="uint16").tobytes()) + b"\0")
    with pytest.raises(TokenFileError, match="unpack it first"):
        TokenFile.open(tmp_path / "x.bin", dtype="uint8")


def test_what_torch_saves_is_refused(tmp_path):
    torch.save(torch.arange(9), tmp_path / "x.pt")
    with pytest.raises(TokenFileError, match=r"zip archive, as torch\.save"):
        TokenFile.open(tmp_path / "x.pt", dtype="int64")


def test_a_plain_file_has_nothing_to_verify(tmp_path):
    np.arange(3).tofile(tmp_path / "x.bin")
    with pytest.raises(TokenFileError, match="no hash to verify"):
        TokenFile.open(tmp_path / "x.bin", dtype="int64").verify()


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing\.tokens"):
        TokenFile.open(tmp_path / "nothing.tokens")


def test_ids_outside_the_vocabulary_are_never_written(path):
    before = path.read_bytes()
    for bad in ([3, 264], [-1, 3]):
        with pytest.raises(TokenFileError, match=r"outside a vocabulary of 264"):
            write_token_file(path, [np.arange(3), np.array(bad)], vocab_size=264, tokenizer_sha256="ab12")
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == ["x.tokens"]


def test_the_first_bad_id_is_found_in_any_block(monkeypatch):
    monkeypatch.setattr("cs336_lib.data.token_format.SCAN", 4)
    ids = np.array([1, 2, 3, 4, 5, 6, 9, 8, 9, 9])
    with pytest.raises(TokenFileError, match="id 9 at place 6"):
        check_ids(ids, 9)
    check_ids(ids, 10)


def test_a_file_that_was_never_finished_has_no_header():
    file = io.BytesIO()

    def chunks():
        yield np.arange(5)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stream_token_file(file, chunks(), vocab_size=9, tokenizer_sha256="ab", source_sha256="", source_bytes=0)
    assert not file.getvalue()[:HEADER_BYTES].strip(b"\0")


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("kind", ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"])
def test_ids_of_any_type_are_judged_as_numbers(kind, order):
    dtype = np.dtype(order + kind)
    limits = np.iinfo(dtype)
    numbers = [0, 1, 99, 100, 127, 128, 255, 256, 300, 32_767, 32_768, 50_256, 65_535, 65_536, 1 << 31, 1 << 40]
    numbers = [n for n in (*numbers, -1, -20_000, limits.min, limits.max) if limits.min <= n <= limits.max]
    for vocab_size in (
        1,
        10,
        100,
        128,
        129,
        255,
        256,
        300,
        32_768,
        50_257,
        65_535,
        65_536,
        100_000,
        1 << 31,
        (1 << 31) + 1,
        (1 << 32) - 1,
        1 << 62,
    ):
        for number in numbers:
            for ids in (np.array([0, number], dtype), np.array([number, 7, 0, 7], dtype)[::2]):
                if 0 <= number < vocab_size:
                    check_ids(ids, vocab_size)
                else:
                    with pytest.raises(ValueError, match=f"has id {number} at place"):
                        check_ids(ids, vocab_size)


WRONG_CHUNKS = {
    "rows": (np.ones((4, 5), int), TypeError, r"chunks\[1\] must be a flat row of ids, got an array of shape \(4, 5\)"),
    "a column": (np.ones((2, 1), int), TypeError, r"shape \(2, 1\)"),
    "one id": (np.array(3), TypeError, r"shape \(\)"),
    "fractions": (np.array([1.7, 2.2]), TypeError, r"must be whole numbers, got float64 of shape \(2,\)"),
    "whole fractions": (np.array([1.0]), TypeError, "float64"),
    "NaN": (np.array([np.nan]), TypeError, "float64"),
    "a list of fractions": ([1, 2.5], TypeError, "float64"),
    "bool": (np.array([True]), TypeError, "bool"),
    "complex": (np.array([1 + 5j]), TypeError, "complex"),
    "dates": (np.array([1], "M8[s]"), TypeError, "datetime64"),
    "text": ("12", TypeError, "must be a row of whole numbers, got '12'"),
    "words": (["1"], TypeError, "must be whole numbers"),
    "None": (None, TypeError, "must be a row of whole numbers, got None"),
    "a number": (3, TypeError, "got 3 of type int"),
    "rows of unequal length": ([[1], [2, 3]], TypeError, "unequal length"),
    "beyond 64 bits": ([2**70], TypeError, "object"),
    "too large": ([10], ValueError, "has id 10 at place 0, outside a vocabulary of 10"),
    "negative": (np.array([-1], np.int8), ValueError, "has id -1"),
}
WRONG_ABOUT = [
    ({"vocab_size": 10.0}, TypeError, "vocab_size must be a whole number, got 10.0"),
    ({"vocab_size": True}, TypeError, "vocab_size must be a whole number"),
    ({"vocab_size": "10"}, TypeError, "vocab_size must be a whole number"),
    ({"vocab_size": -3}, ValueError, "vocab_size is -3; it must be 0 or more"),
    ({"vocab_size": 2**33}, ValueError, "vocab_size is 8589934592; it must be 4294967296 or less"),
    ({"source_bytes": 1.5}, TypeError, "source_bytes must be a whole number"),
    ({"source_bytes": -1}, ValueError, "source_bytes is -1"),
    ({"source_sha256": "x" * 5_000}, ValueError, r"source_sha256 is text of 5,000 characters, too long"),
    ({"tokenizer_sha256": "\u2014" * 900}, ValueError, "tokenizer_sha256 is text of 900 characters, too long"),
    ({"tokenizer_sha256": None}, TypeError, "tokenizer_sha256 must be text, got None"),
    ({"source_sha256": b"ab"}, TypeError, "source_sha256 must be text"),
]


@pytest.fixture
def good(tmp_path):
    write_token_file(tmp_path / "good.tokens", [np.arange(5)], vocab_size=10, tokenizer_sha256="ab")
    before = (tmp_path / "good.tokens").read_bytes()
    yield tmp_path / "good.tokens"
    assert (tmp_path / "good.tokens").read_bytes() == before, "the good file is gone"
    assert [path.name for path in tmp_path.iterdir()] == ["good.tokens"]


@pytest.mark.parametrize("name", WRONG_CHUNKS)
def test_what_is_no_row_of_ids_does_not_replace_a_good_file(name, good):
    chunk, kind, message = WRONG_CHUNKS[name]
    with pytest.raises(kind, match=message):
        write_token_file(good, [np.arange(3), chunk], vocab_size=10, tokenizer_sha256="ab")


@pytest.mark.parametrize("row", WRONG_ABOUT, ids=lambda row: f"{row[0]!r:.40}")
def test_what_no_header_can_say_does_not_replace_a_good_file(row, good):
    about, kind, message = row

    def chunks():
        raise AssertionError("ids were made before a look at the rest")
        yield

    with pytest.raises(kind, match=message):
        write_token_file(good, chunks(), **{"vocab_size": 10, "tokenizer_sha256": "ab", **about})


IDS = st.lists(st.integers(0, 299), max_size=9)
KINDS_OF_ROWS = st.sampled_from(
    [list, tuple, np.array, lambda ids: np.array(ids, np.uint16), lambda ids: np.array(ids, ">i4"), torch.tensor,
     lambda ids: np.repeat(np.array(ids, np.int64), 2)[::2], lambda ids: [np.int64(i) for i in ids], iter]
)  # fmt: skip


@settings(deadline=None, max_examples=50)
@given(
    rows=st.lists(st.tuples(IDS, KINDS_OF_ROWS), max_size=4),
    vocab_size=st.sampled_from([300, np.int64(300), np.uint16(65_535), 65_537, 2**32]),
    hashes=st.tuples(st.text(max_size=200), st.text(max_size=200)),
    source_bytes=st.integers(0, 2**63 - 1),
)
def test_what_is_written_opens_and_is_what_was_given(rows, vocab_size, hashes, source_bytes, tmp_path_factory):
    path = tmp_path_factory.mktemp("any") / "any.tokens"
    about = {"tokenizer_sha256": hashes[0], "source_sha256": hashes[1], "source_bytes": source_bytes}
    header = write_token_file(path, [make(ids) for ids, make in rows], vocab_size=vocab_size, **about)
    found = TokenFile.open(path)
    assert found.header == header and found.ids.tolist() == [i for ids, _ in rows for i in ids]
    assert (found.header.source_sha256, found.header.source_bytes) == (hashes[1], source_bytes)
