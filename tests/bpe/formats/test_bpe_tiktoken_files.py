"""tiktoken's ranks that lost a part, and special tokens that begin alike, of which tiktoken tries either one first."""

import base64
import codecs
import os
from threading import Thread

import pytest
from bpe_texts import SPECIALS, small_tokenizer
from hypothesis import given, settings
from hypothesis import strategies as st

from cs336_lib.bpe.formats import tiktoken as tiktoken_format
from cs336_lib.bpe.rules import TextRules
from cs336_lib.bpe.tokenizer import Tokenizer

BYTES = {i: bytes([i]) for i in range(256)}
RANKS = {token: i for i, token in small_tokenizer().vocab.items() if token.decode("latin-1") not in SPECIALS}
LINES = [base64.b64encode(token) + b" %d\n" % rank for token, rank in sorted(RANKS.items(), key=lambda item: item[1])]


@pytest.fixture
def path(tmp_path):
    """A file of ranks."""
    (tmp_path / "x.tiktoken").write_bytes(b"".join(LINES))
    return tmp_path / "x.tiktoken"


@pytest.mark.parametrize("lost", [1, 17, 40])
def test_ranks_that_were_cut_off_between_two_lines_are_missed(path, lost, monkeypatch):
    monkeypatch.setattr(tiktoken_format, "HOLE", 16)
    whole = Tokenizer.from_tiktoken_ranks(path, {"<s>": len(RANKS) + 1})
    assert whole.encode("<s>") == [len(RANKS) + 1]
    path.write_bytes(b"".join(LINES[:-lost]))
    with pytest.raises(
        ValueError, match=rf"x\.tiktoken: it has {len(RANKS) - lost} ranks, and {len(RANKS)} are expected"
    ):
        Tokenizer.from_tiktoken_ranks(path, expected_ranks=len(RANKS))
    cut = {"special_tokens": {"<s>": len(RANKS) + 1}}
    if lost < 16:  # as many as a real file leaves out
        Tokenizer.from_tiktoken_ranks(path, **cut)
        return
    message = rf"ranks end at .*, and the first special token .* was the file cut off\?.*={len(RANKS) - lost}"
    with pytest.raises(ValueError, match=message):
        Tokenizer.from_tiktoken_ranks(path, **cut)
    read = Tokenizer.from_tiktoken_ranks(path, **cut, expected_ranks=len(RANKS) - lost)
    assert read.encode("<s>") == [len(RANKS) + 1]


def test_a_rank_that_is_left_out_is_no_fault_without_special_tokens_as_in_tiktoken(path):
    tiktoken = pytest.importorskip("tiktoken")
    path.write_bytes(b"".join([*LINES[:-1], LINES[-1].replace(b" %d" % (len(LINES) - 1), b" %d" % (len(LINES) + 3))]))
    ours = Tokenizer.from_tiktoken_ranks(path)
    ranks = RANKS | {max(RANKS, key=RANKS.get): len(LINES) + 3}
    theirs = tiktoken.Encoding("x", pat_str=ours.pattern, mergeable_ranks=ranks, special_tokens={})
    for text in ("the cat sat on the mat", "hello other cats"):
        assert ours.encode(text) == theirs.encode(text)
    with pytest.raises(ValueError, match=r"leave out 4 ids, such as 596; .* with their ids, \{'<s>': ID\}"):
        Tokenizer.from_tiktoken_ranks(path, ["<s>"])


@pytest.mark.parametrize(
    "given", [["<e>", "<p>"], ("<e>", "<p>"), iter(["<e>", "<p>"]), {"<e>": None, "<p>": None}.keys()]
)
def test_special_tokens_may_come_from_any_iterable(path, given):
    read = Tokenizer.from_tiktoken_ranks(path, given)
    assert read.encode("<e><p>") == [len(RANKS), len(RANKS) + 1]


WRONG = [
    ({"<a>": "300"}, TypeError, r"the id special_tokens\['<a>'\] must be a whole number, got '300'"),
    ({"<a>": 300.0}, TypeError, r"the id special_tokens\['<a>'\] must be a whole number, got 300\.0"),
    ({"<a>": True}, TypeError, r"the id special_tokens\['<a>'\] must be a whole number, got True"),
    ({"<a>": None}, TypeError, r"the id special_tokens\['<a>'\] must be a whole number, got None"),
    ({"<a>": -5}, ValueError, "the id -5"),
    ({b"<a>": 300}, TypeError, "a special token must be a string, got b'<a>'"),
    ({"": 300}, ValueError, "empty string"),
    ([5], TypeError, "a special token must be a string, got 5"),
    (["<a>", 5], TypeError, "a special token must be a string, got 5"),
    (["<a>", None], TypeError, "a special token must be a string, got None"),
    ([""], ValueError, "empty string"),
    (["\ud800"], ValueError, "lone surrogate"),
    ("<a>", TypeError, r"got the single value '<a>'; write \['<a>'\]"),
    ({"<a>"}, TypeError, "a set, which has no order"),
    (5, TypeError, "special_tokens must be a list of strings, got 5"),
    (0, TypeError, "special_tokens must be a list of strings, got 0"),
    ("", TypeError, "got the single value ''"),
]


@pytest.fixture
def doors(path, tmp_path):
    """All ways to a tokenizer that take special tokens."""
    plain = Tokenizer.from_tiktoken_ranks(path)
    plain.save(tmp_path / "saved")
    files = tmp_path / "saved" / "vocab.json", tmp_path / "saved" / "merges.txt"
    return [
        lambda specials: Tokenizer(plain.vocab, plain.merges, specials),
        lambda specials: Tokenizer(plain.vocab, plain.merges, specials, rules=TextRules(gaps=True)),
        lambda specials: Tokenizer.from_files(*files, specials),
        lambda specials: Tokenizer.from_tiktoken_ranks(path, specials),
        lambda specials: Tokenizer.from_tiktoken_ranks(path, specials, expected_ranks=len(RANKS)),
    ]


@pytest.mark.parametrize(("specials", "kind", "says"), WRONG, ids=[repr(specials) for specials, _, _ in WRONG])
def test_special_tokens_that_are_none_are_told_alike_at_every_door(doors, specials, kind, says):
    for door in doors:
        with pytest.raises(kind, match=says) as caught:
            door(specials)
        assert "\n" not in str(caught.value)


def test_every_door_gives_special_tokens_the_ids_of_a_mapping_or_refuses_them(doors):
    last = len(RANKS)
    for ids in ({"<a>": last}, {"<b>": last, "<a>": last + 1}, {"<b>": last + 1, "<a>": last}, {"a": RANKS[b"a"]}):
        for door in doors:
            read = door(ids)
            assert {token: read.encode(token) for token in read.special_tokens} == {t: [i] for t, i in ids.items()}
    for ids in ({"<a>": 97}, {"a": last}, {"<a>": last, "<b>": last}):
        for door in doors:
            with pytest.raises(ValueError, match=r"the special token '.*' (can't have the id|is to have the id)"):
                door(ids)
    new, with_gaps, files, *ranked = doors
    for door in (with_gaps, *ranked):
        assert door({"<a>": last + 40}).encode("<a>") == [last + 40]
    for door in (new, files):
        with pytest.raises(ValueError, match="vocab has a hole"):
            door({"<a>": last + 40})


@pytest.mark.parametrize(
    ("expected", "kind"), [("260", TypeError), (2.5, TypeError), (True, TypeError), (0, ValueError)]
)
def test_a_number_of_ranks_that_is_none_is_named_before_the_file_is_read(path, expected, kind):
    for place in (path, path.with_name("none")):
        with pytest.raises(kind, match=r"^expected_ranks "):
            Tokenizer.from_tiktoken_ranks(place, expected_ranks=expected)


def test_one_of_several_special_tokens_may_be_named_alone(path):
    assert Tokenizer.from_tiktoken_ranks(path, {"<|endofprompt|>": len(RANKS) + 20}).encode("<|endofprompt|>")


def test_ranks_are_read_from_a_pipe(path):
    pipe = path.with_name("pipe")
    os.mkfifo(pipe)
    thread = Thread(target=pipe.write_bytes, args=(path.read_bytes(),))
    thread.start()
    read = Tokenizer.from_tiktoken_ranks(pipe)
    thread.join()
    assert read.fingerprint == Tokenizer.from_tiktoken_ranks(path).fingerprint


def test_a_mark_is_read_over_and_what_is_no_file_or_empty_is_named(path):
    whole = Tokenizer.from_tiktoken_ranks(path).fingerprint
    path.write_bytes(codecs.BOM_UTF8 + b"".join(LINES))
    assert Tokenizer.from_tiktoken_ranks(path).fingerprint == whole
    for content in (b"", b"\n \n"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"x\.tiktoken is empty, and should hold ranks"):
            Tokenizer.from_tiktoken_ranks(path)
    with pytest.raises(FileNotFoundError, match="is a folder; name a file in it"):
        Tokenizer.from_tiktoken_ranks(path.parent)
    with pytest.raises(FileNotFoundError, match=r"none is not there \(looked from"):
        Tokenizer.from_tiktoken_ranks(path.parent / "none")


ALIKE = st.lists(st.text("<s>|t1", min_size=1, max_size=4), min_size=2, max_size=4, unique=True)


@settings(max_examples=300, deadline=None)
@given(ALIKE, st.lists(st.sampled_from([b"<s", b"s>", b"<s>t", b"t1"]), max_size=2, unique=True), st.data())
def test_tiktoken_gives_the_same_ids_or_is_not_offered(specials, unmade, data):
    """Of special tokens, and of tokens that no merge makes and that stand among tiktoken's special ones."""
    pytest.importorskip("tiktoken")
    unmade = [token for token in unmade if token.decode() not in specials]
    ours = Tokenizer(BYTES | dict(enumerate(unmade, 256)), [], specials)
    try:
        theirs = ours.to_tiktoken()
    except ValueError as error:
        assert "of two that begin alike" in str(error)
        return
    pieces = st.lists(st.sampled_from([*specials, *(token.decode() for token in unmade), "a", "<"]), max_size=6)
    text = "".join(data.draw(pieces))
    assert theirs.encode(text, allowed_special=set(specials), disallowed_special=()) == ours.encode(text)


@pytest.mark.parametrize(("one", "other"), [("<t>1", "<t>12"), ("<|a|>", "<|a|><|a|>"), ("<pad>", "<pad><pad>")])
def test_a_shorter_special_token_that_tiktoken_tries_first_is_named(one, other):
    pytest.importorskip("tiktoken")
    with pytest.raises(ValueError) as found:
        Tokenizer(BYTES, [], [other, one]).to_tiktoken()
    assert f"the special token {other!r} at the start of {other!r}, because of {one!r}" in str(found.value)
