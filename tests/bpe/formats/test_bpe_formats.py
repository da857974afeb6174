"""Files: our folder, GPT-2's pair, tiktoken's ranks, Hugging Face's tokenizer.json; out, in, and the same ids there."""

import base64
import json
from contextlib import nullcontext
from pathlib import Path

import pytest
from bpe_texts import SCRIPTS, SPECIALS, small_tokenizer
from hypothesis import given
from hypothesis import strategies as st

from cs336_lib.bpe.cutting.pattern import PAT
from cs336_lib.bpe.formats import folders
from cs336_lib.bpe.formats.gpt2 import spell, unspell
from cs336_lib.bpe.formats.tiktoken import merges_from_ranks, split_by_ranks
from cs336_lib.bpe.rules import TextRules
from cs336_lib.bpe.tokenizer import Tokenizer

BYTES = {i: bytes([i]) for i in range(256)}
TEXTS = ["", "the cat sat<|end|>on <|end|><|end|>that<s>mat", *SCRIPTS]
# Characters on whose class every Unicode version since 5 agrees.
SETTLED = st.text(alphabet="abc ABC 123 '\t\n!?.é漢かд한ع\U0001f600<|end|>", max_size=40)


def listing(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


class TestGpt2Spelling:
    def test_is_gpt2s(self):
        assert spell(b" the\n\x00\xad") == "\u0120the\u010a\u0100\u0143"
        assert "".join(map(spell, (bytes([i]) for i in range(256)))).isprintable()

    @given(st.binary())
    def test_comes_back(self, token):
        assert unspell(spell(token)) == token


class TestFolder:
    def test_comes_back_whole(self, tmp_path):
        tokenizer = small_tokenizer()
        tokenizer.save(tmp_path / "new" / "folder")
        again = Tokenizer.from_folder(tmp_path / "new" / "folder")
        assert again.fingerprint == tokenizer.fingerprint
        assert (again.vocab, again.merges) == (tokenizer.vocab, tokenizer.merges)
        assert again.special_tokens == tokenizer.special_tokens
        assert sorted(listing(tmp_path / "new" / "folder")) == ["merges.txt", "tokenizer_config.json", "vocab.json"]

    def test_another_pattern_and_odd_special_tokens_come_back(self, tmp_path):
        tokenizer = Tokenizer(BYTES, [], ["<| end |>", "終", "é\n"], pattern=r"\S+|\s+")
        tokenizer.save(tmp_path)
        again = Tokenizer.from_folder(str(tmp_path))
        assert again.pattern == r"\S+|\s+"
        assert again.encode("a<| end |>終é\n") == tokenizer.encode("a<| end |>終é\n") == [97, 256, 257, 258]

    def test_saving_again_replaces_it(self, tmp_path):
        small_tokenizer().save(tmp_path)
        Tokenizer(BYTES, []).save(tmp_path)
        assert Tokenizer.from_folder(tmp_path).vocab_size == 256
        assert len(listing(tmp_path)) == 3

    @pytest.mark.parametrize("fails_at", [1, 2, 3])
    def test_a_failure_leaves_the_folder_untouched(self, tmp_path, monkeypatch, fails_at):
        Tokenizer(BYTES, []).save(tmp_path)
        before = listing(tmp_path)
        calls = []

        def full_disk(_):
            calls.append(1)
            if len(calls) == fails_at:
                raise OSError("no space left on device")

        monkeypatch.setattr(folders.os, "fsync", full_disk)
        with pytest.raises(OSError, match="no space"):
            small_tokenizer().save(tmp_path)
        assert listing(tmp_path) == before
        calls.clear()
        with pytest.raises(OSError, match="no space"):
            small_tokenizer().save(tmp_path / "a" / "b")
        assert not (tmp_path / "a").exists()

    def test_files_of_different_tokenizers_are_noticed(self, tmp_path):
        small_tokenizer().save(tmp_path)
        one_less = Tokenizer(BYTES | {256: b"ab"}, [(b"a", b"b")], SPECIALS)
        one_less.save(tmp_path / "other")
        for name in ("vocab.json", "merges.txt"):
            (tmp_path / "other" / name).replace(tmp_path / name)
        with pytest.raises(ValueError, match="don't belong together"):
            Tokenizer.from_folder(tmp_path)

    def test_a_folder_that_is_none_of_ours_is_named(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="there is no folder"):
            Tokenizer.from_folder(tmp_path / "none")
        with pytest.raises(FileNotFoundError, match=r"Tokenizer\.save$"):
            Tokenizer.from_folder(tmp_path)
        for name in ("vocab.json", "merges.txt"):
            (tmp_path / name).write_text("")
            with pytest.raises(FileNotFoundError, match=f"{name} is a file; a tokenizer is a folder"):
                Tokenizer.from_folder(tmp_path / name)
        with pytest.raises(FileNotFoundError, match="from_files takes its vocab"):
            Tokenizer.from_folder(tmp_path)
        (tmp_path / "tokenizer_config.json").write_text("{}")
        with pytest.raises(ValueError, match="was not written by"):
            Tokenizer.from_folder(tmp_path)
        (tmp_path / "tokenizer_config.json").write_text("{")
        with pytest.raises(ValueError, match="not JSON"):
            Tokenizer.from_folder(tmp_path)


class TestGpt2Files:
    def write(self, folder, merges="", vocab=None, header=True):
        spelled = {spell(token): i for i, token in (vocab or BYTES | {256: b" a", 257: b" ab"}).items()}
        (folder / "vocab.json").write_text(json.dumps(spelled))
        (folder / "merges.txt").write_text(("#version: 0.2\n" if header else "") + merges, encoding="utf-8")
        return folder / "vocab.json", folder / "merges.txt"

    @pytest.mark.parametrize("header", [True, False])
    @pytest.mark.parametrize("end", ["\n", "\r\n", "\n\n", ""])
    def test_are_read(self, tmp_path, header, end):
        paths = self.write(tmp_path, f"\u0120 a\n\u0120a b{end}", header=header)
        tokenizer = Tokenizer.from_files(*paths, special_tokens=["<s>"])
        assert tokenizer.merges == [(b" ", b"a"), (b" a", b"b")]
        assert tokenizer.encode(" ab<s>") == [257, 258]

    def test_a_merge_of_number_signs_is_no_header(self, tmp_path):
        paths = self.write(tmp_path, "# #\n", BYTES | {256: b"##"}, header=False)
        assert Tokenizer.from_files(*paths).merges == [(b"#", b"#")]

    def test_the_saved_files_are_gpt2s(self, tmp_path):
        small_tokenizer().save(tmp_path)
        again = Tokenizer.from_files(tmp_path / "vocab.json", tmp_path / "merges.txt", SPECIALS)
        assert again.fingerprint == small_tokenizer().fingerprint

    @pytest.mark.parametrize(
        ("vocab", "message"),
        [
            ("[1]", "one JSON object"),
            ("{", "not JSON"),
            ('{"a": "b"}', "id of token 'a' must be an integer, got 'b'"),
            ('{"a": 1, "b": 1}', "id 1 is given to both 'a' and 'b'"),
        ],
    )
    def test_a_malformed_vocabulary_is_named(self, tmp_path, vocab, message):
        paths = self.write(tmp_path)
        paths[0].write_text(vocab)
        with pytest.raises(ValueError, match=message):
            Tokenizer.from_files(*paths)

    @pytest.mark.parametrize("line", ["a b c", "ab", "a ", " a"])
    def test_a_malformed_merge_is_named_with_its_line(self, tmp_path, line):
        with pytest.raises(ValueError, match=rf"merges.txt, line 3: .*'{line}'"):
            Tokenizer.from_files(*self.write(tmp_path, f"\u0120 a\n{line}\n"))

    def test_missing_files_are_named(self, tmp_path):
        with pytest.raises(FileNotFoundError, match=r"vocab.json"):
            Tokenizer.from_files(tmp_path / "vocab.json", tmp_path / "merges.txt")


class TestTiktoken:
    @pytest.mark.parametrize("text", TEXTS)
    def test_gives_the_same_ids(self, text):
        pytest.importorskip("tiktoken")
        encoding = small_tokenizer().to_tiktoken()
        assert encoding.encode(text, allowed_special="all") == small_tokenizer().encode(text)
        assert encoding.decode(small_tokenizer().encode(text)) == text
        assert encoding.n_vocab == small_tokenizer().vocab_size

    @given(SETTLED)
    def test_gives_the_same_ids_on_random_texts(self, text):
        pytest.importorskip("tiktoken")
        assert encoding_of_small().encode(text, allowed_special="all") == small_tokenizer().encode(text)

    def test_ranks_come_back_as_merges(self, tmp_path):
        tokenizer = small_tokenizer()
        plain = {token: i for i, token in tokenizer.vocab.items() if token.decode("latin-1") not in SPECIALS}
        assert merges_from_ranks(plain) == tokenizer.merges
        path = tmp_path / "small.tiktoken"
        path.write_bytes(b"".join(base64.b64encode(token) + b" %d\n" % i for token, i in plain.items()))
        ids = {special: tokenizer.encode(special)[0] for special in SPECIALS}
        for specials in (ids, SPECIALS):
            with pytest.warns(UserWarning, match="which begin alike, the longer one is found here"):
                read = Tokenizer.from_tiktoken_ranks(path, specials, expected_ranks=len(plain))
            assert read.fingerprint == tokenizer.fingerprint

    def test_a_special_token_on_a_taken_id_is_refused(self, tmp_path):
        path = tmp_path / "bytes.tiktoken"
        path.write_bytes(b"".join(base64.b64encode(bytes([i])) + b" %d\n" % i for i in range(256)))
        with pytest.raises(ValueError, match=r"'<s>' can't have the id 97: it is that of b'a'"):
            Tokenizer.from_tiktoken_ranks(path, {"<s>": 97})

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"YQ== 0\n!!\n", "line 2: expected a token in base64"),
            (b"YQ== x\n", "line 1: expected"),
            (b"YQ!== 0\n", "line 1: expected a token in base64"),
            (b"YQ== 0\nY*g=* 1\n", "line 2: expected a token in base64"),
            (b"YQ 0\n", "line 1: expected a token in base64"),
            (b"YQ==YQ== 0\n", "line 1: expected a token in base64"),
            (b"YQ== 0 1\n", "line 1: expected"),
            (b"YQ==\n", "line 1: expected"),
            (b"YQ== 0\nYQ== 1\n", "line 2: token b'a' comes a second time"),
            (b"YQ== 0\nYg== 0\n", "line 2: rank 0 comes a second time"),
            (b"YQ== 0\nYg== 1\nYWJhYg== 2\n", "rank 2, b'abab', is not made of two tokens"),
        ],
    )
    def test_a_malformed_rank_file_is_named(self, tmp_path, content, message):
        (tmp_path / "bad.tiktoken").write_bytes(content)
        with pytest.raises(ValueError, match=message):
            Tokenizer.from_tiktoken_ranks(tmp_path / "bad.tiktoken")

    @pytest.mark.parametrize(
        ("tokens", "merges", "message"),
        [
            ([b"ab", b"cd"], [(b"c", b"d"), (b"a", b"b")], r"merges\[1\].*makes id 256 after id 257"),
            # tiktoken would make "abc" of whichever of "ab" and "bc" comes first, and then of either.
            (
                [b"ab", b"bc", b"abc"],
                [(b"a", b"b"), (b"b", b"c"), (b"a", b"bc")],
                r"merges\[2\].*makes b'abc' of \[b'ab', b'c'\]",
            ),
            ([b"ab", b"\xff\xfe"], [(b"a", b"b")], r"token 257, b'\\xff\\xfe'.*UTF-8"),
        ],
    )
    def test_what_ranks_can_not_say_is_refused(self, tokens, merges, message):
        pytest.importorskip("tiktoken")
        tokenizer = Tokenizer(BYTES | dict(enumerate(tokens, 256)), merges)
        with pytest.raises(ValueError, match=message):
            tokenizer.to_tiktoken()

    def test_a_token_that_no_merge_makes_still_decodes_there(self):
        pytest.importorskip("tiktoken")
        encoding = Tokenizer(BYTES | {256: b"<pad>"}, []).to_tiktoken()
        assert encoding.decode([256]) == "<pad>"
        assert encoding.encode_ordinary("<pad>") == list(b"<pad>")

    def test_without_tiktoken_the_error_says_how_to_get_it(self, monkeypatch):
        monkeypatch.setitem(__import__("sys").modules, "tiktoken", None)
        with pytest.raises(ImportError, match="pip install tiktoken"):
            small_tokenizer().to_tiktoken()

    def test_a_token_is_cut_into_its_last_two_parts(self):
        ranks = {bytes([i]): i for i in range(256)} | {b"aa": 256, b"aaa": 257, b"aaaa": 258}
        assert split_by_ranks(b"aaaa", ranks) == [b"aa", b"aa"]
        assert split_by_ranks(b"aaa", ranks) == [b"aa", b"a"]


def encoding_of_small(_made=[]):  # noqa: B006 - made once, on first use
    if not _made:
        _made.append(small_tokenizer().to_tiktoken())
    return _made[0]


class TestHuggingFace:
    @pytest.fixture
    def path(self, tmp_path):
        small_tokenizer().to_hf_json(tmp_path / "tokenizer.json")
        return tmp_path / "tokenizer.json"

    def test_comes_back(self, path):
        again = Tokenizer.from_hf_json(path)
        assert again.fingerprint == small_tokenizer().fingerprint

    def test_tokenizers_opens_it_and_gives_the_same_ids(self, path):
        theirs = pytest.importorskip("tokenizers").Tokenizer.from_file(str(path))
        for text in TEXTS:
            assert theirs.encode(text).ids == small_tokenizer().encode(text)
            assert theirs.decode(small_tokenizer().encode(text), skip_special_tokens=False) == text

    def test_transformers_opens_it_and_gives_the_same_ids(self, path):
        transformers = pytest.importorskip("transformers")
        theirs = transformers.PreTrainedTokenizerFast(tokenizer_file=str(path))
        for text in TEXTS:
            assert theirs(text)["input_ids"] == small_tokenizer().encode(text)
        assert len(theirs) == small_tokenizer().vocab_size

    def test_what_tokenizers_writes_is_read(self, path, tmp_path):
        theirs = pytest.importorskip("tokenizers").Tokenizer.from_file(str(path))
        theirs.save(str(tmp_path / "theirs.json"))
        assert Tokenizer.from_hf_json(tmp_path / "theirs.json").fingerprint == small_tokenizer().fingerprint

    def test_special_tokens_anywhere_in_the_vocabulary_and_of_any_spelling(self, tmp_path):
        vocab = dict(enumerate([b"<s>", *BYTES.values(), b"ab"]))
        tokenizer = Tokenizer(vocab, [(b"a", b"b")], ["<s>", "<| end |>", "終é"])
        tokenizer.to_hf_json(tmp_path / "t.json")
        assert Tokenizer.from_hf_json(tmp_path / "t.json").fingerprint == tokenizer.fingerprint
        theirs = pytest.importorskip("tokenizers").Tokenizer.from_file(str(tmp_path / "t.json"))
        text = "ab<s>ab<| end |>終é ab"
        assert theirs.encode(text).ids == tokenizer.encode(text)

    def test_another_pattern_goes_along(self, tmp_path):
        tokenizer = Tokenizer(BYTES | {256: b"a "}, [(b"a", b" ")], pattern=r"\p{L}\s|\p{L}|\s")
        tokenizer.to_hf_json(tmp_path / "t.json")
        assert Tokenizer.from_hf_json(tmp_path / "t.json").pattern == tokenizer.pattern
        theirs = pytest.importorskip("tokenizers").Tokenizer.from_file(str(tmp_path / "t.json"))
        assert theirs.encode("a ba b").ids == tokenizer.encode("a ba b")

    @pytest.mark.parametrize("specials", [["é"], [" a"]])
    def test_a_special_token_that_the_format_would_confuse_is_refused(self, specials, tmp_path):
        tokenizer = Tokenizer(BYTES | {256: b" a"}, [(b" ", b"a")], specials)
        with pytest.raises(ValueError, match=f"can't hold the special token '{specials[0]}'"):
            tokenizer.to_hf_json(tmp_path / "t.json")
        assert not listing(tmp_path)

    @pytest.mark.parametrize(
        ("keys", "value", "message"),
        [
            (["model", "type"], "WordPiece", "model is 'WordPiece'"),
            (["model", "byte_fallback"], True, "byte_fallback=True"),
            (["pre_tokenizer"], {"type": "Whitespace"}, 'pre-tokenizer has the step "Whitespace"'),
            (["pre_tokenizer", "use_regex"], False, "has a ByteLevel with use_regex=false and nothing before it"),
            (["added_tokens", 0, "lstrip"], True, "lstrip=true"),
            (["added_tokens", 0, "id"], 97, "can't have the id 97"),
            (["model"], {}, "not a tokenizer.json with a BPE model"),
            (["model", "merges", 0], "a b c", "merges, line 1"),
        ],
    )
    def test_a_setting_that_would_change_the_ids_is_named(self, path, keys, value, message):
        content = json.loads(path.read_text(encoding="utf-8"))
        inner = content
        for key in keys[:-1]:
            inner = inner[key]
        inner[keys[-1]] = value
        path.write_text(json.dumps(content), encoding="utf-8")
        with pytest.raises(ValueError, match=message):
            Tokenizer.from_hf_json(path)

    def test_merges_in_the_older_spelling_are_read(self, path):
        content = json.loads(path.read_text(encoding="utf-8"))
        content["model"]["merges"] = [" ".join(pair) for pair in content["model"]["merges"]]
        path.write_text(json.dumps(content), encoding="utf-8")
        assert Tokenizer.from_hf_json(path).fingerprint == small_tokenizer().fingerprint


@pytest.mark.network
def test_gpt2_itself_gives_tiktokens_ids_on_every_path():
    tiktoken = pytest.importorskip("tiktoken")
    try:
        theirs = tiktoken.get_encoding("gpt2")
    except Exception as error:
        pytest.skip(f"tiktoken can't load gpt2 here: {error}")
    ranks, specials = theirs._mergeable_ranks, theirs._special_tokens
    vocab = {i: token for token, i in ranks.items()} | {i: token.encode() for token, i in specials.items()}
    ours = Tokenizer(vocab, merges_from_ranks(ranks), specials)
    for text in ("\n".join(TEXTS), "\n".join(TEXTS * 100)):
        expected = theirs.encode(text, allowed_special="all")
        assert ours.encode(text) == expected
        assert ours.encode_to_array(text).tolist() == expected
        assert list(ours.encode_iterable(text)) == expected
        assert ours.to_tiktoken().encode(text, allowed_special="all") == expected
    assert ours.pattern == PAT


def many_merges(folder):
    """A tokenizer of 500 merges in two files, as GPT-2 has them."""
    letters = [bytes([i]) for i in range(256)]
    merges = [(left, right) for left in letters[97:122] for right in letters[97:117]]
    tokenizer = Tokenizer(dict(enumerate([*letters, *(left + right for left, right in merges)])), merges)
    tokenizer.save(folder)
    return tokenizer, folder / "vocab.json", folder / "merges.txt"


@pytest.mark.parametrize("kept", [0, 1, 200])
def test_merges_that_were_cut_off_are_told_by_the_tokens_that_they_do_not_make(tmp_path, kept):
    _, vocab, merges = many_merges(tmp_path)
    merges.write_text("".join(merges.read_text().splitlines(keepends=True)[: kept + 1]) if kept else "")
    with pytest.raises(ValueError, match=rf"{500 - kept} of its tokens, .* none of the {kept} merges"):
        Tokenizer.from_files(vocab, merges)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_merges_are_read_whatever_ends_their_lines(tmp_path, end):
    tokenizer, vocab, merges = many_merges(tmp_path)
    merges.write_bytes(merges.read_bytes().replace(b"\n", end.encode()))
    assert Tokenizer.from_files(vocab, merges).merges == tokenizer.merges


def test_a_few_tokens_that_no_merge_makes_are_nobodys_fault(tmp_path):
    tokenizer, vocab, merges = many_merges(tmp_path)
    lines = merges.read_text().splitlines(keepends=True)
    for left_out in (range(492, 500), range(100, 190), range(9, 500, 10)):  # some at the end may have been added
        merges.write_text("".join([lines[0], *(line for i, line in enumerate(lines[1:]) if i not in left_out)]))
        assert len(Tokenizer.from_files(vocab, merges).merges) == len(tokenizer.merges) - len(left_out)


@pytest.mark.parametrize("kept", [0.1, 0.3, 0.5, -20])
@pytest.mark.parametrize("library", ["own", "tokenizers"])
def test_a_file_of_merges_that_lost_its_end_is_refused(tmp_path, kept, library):
    vocab, merges = many_merges(tmp_path)[1:]
    if library == "tokenizers":
        tokenizers = pytest.importorskip("tokenizers")
        made = tokenizers.ByteLevelBPETokenizer()
        made.train_from_iterator(["the cat sat on the mat, and other cats there"] * 3, 330, 1, False, ["<pad>"])
        made.save_model(str(tmp_path))
    lines = merges.read_text(encoding="utf-8").splitlines(keepends=True)
    Tokenizer.from_files(vocab, merges)
    keep = len(lines) + kept if kept < 0 else 1 + int(kept * (len(lines) - 1))
    merges.write_text("".join(lines[:keep]), encoding="utf-8")
    with pytest.raises(ValueError, match=r"was the file of merges cut off, or is it another tokenizer's"):
        Tokenizer.from_files(vocab, merges)


def of_gpt2(folder):
    (folder / "vocab.json").write_text(json.dumps({spell(token): i for i, token in BYTES.items()}))
    (folder / "merges.txt").write_text("#version: 0.2\n")


def of_transformers(folder):
    small_tokenizer().to_hf_json(folder / "t.json")
    opened = pytest.importorskip("transformers").PreTrainedTokenizerFast(tokenizer_file=str(folder / "t.json"))
    (folder / "t.json").unlink()
    opened.save_pretrained(folder)


class TestOverwriting:
    """What another program wrote stays; what this library wrote is brought up to date."""

    @pytest.mark.parametrize("name", ["vocab.json", "merges.txt", "tokenizer_config.json"])
    @pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"format": 3}', '{"tokenizer_class": "GPT2Tokenizer"}'])
    def test_each_file_of_another_tokenizer_stays(self, tmp_path, name, content):
        (tmp_path / name).write_text(content)
        before = listing(tmp_path)
        with pytest.raises(FileExistsError, match=rf"{name} is of no tokenizer that Tokenizer.save wrote"):
            small_tokenizer().save(tmp_path)
        assert listing(tmp_path) == before

    @pytest.mark.parametrize("made", [of_gpt2, of_transformers])
    def test_folders_of_others_stay(self, tmp_path, made):
        made(tmp_path)
        before = listing(tmp_path)
        with pytest.raises(FileExistsError, match=r"would be overwritten; name another folder, or move it away"):
            small_tokenizer().save(tmp_path)
        assert listing(tmp_path) == before

    @pytest.mark.parametrize("lost", [[], ["vocab.json"], ["merges.txt"], ["vocab.json", "merges.txt"]])
    def test_an_earlier_folder_is_replaced_also_when_a_kill_left_a_part_of_it(self, tmp_path, lost):
        Tokenizer(BYTES, []).save(tmp_path)
        for name in lost:
            (tmp_path / name).unlink()
        small_tokenizer().save(tmp_path)
        assert Tokenizer.from_folder(tmp_path).fingerprint == small_tokenizer().fingerprint

    def test_a_kill_between_two_names_leaves_what_can_be_replaced(self, tmp_path, monkeypatch):
        replace, done = Path.replace, []

        def killed(self, target):
            if done:
                raise KeyboardInterrupt
            done.append(target)
            return replace(self, target)

        monkeypatch.setattr(Path, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            small_tokenizer().save(tmp_path)
        monkeypatch.undo()
        small_tokenizer().save(tmp_path)
        assert Tokenizer.from_folder(tmp_path).fingerprint == small_tokenizer().fingerprint

    @pytest.mark.parametrize("pretty", [False, True])
    def test_a_tokenizer_json_of_tokenizers_stays(self, tmp_path, pretty):
        path = tmp_path / "tokenizer.json"
        small_tokenizer().to_hf_json(path)
        small_tokenizer().to_hf_json(path)  # its own
        pytest.importorskip("tokenizers").Tokenizer.from_file(str(path)).save(str(path), pretty=pretty)
        theirs = path.read_text(encoding="utf-8")
        for text in (theirs, json.dumps(json.loads(theirs)), json.dumps(json.loads(theirs), indent=2), "{}", "[]", "{"):
            path.write_text(text, encoding="utf-8")
            with pytest.raises(FileExistsError, match=r"tokenizer\.json is no tokenizer\.json that this library wrote"):
                small_tokenizer().to_hf_json(path)
            assert path.read_text(encoding="utf-8") == text

    def test_a_tokenizer_json_of_every_kind_is_known_as_own(self, tmp_path):
        other = {"pattern": r"\p{L}+|\P{L}+", "rules": None}
        for tokenizer in (Tokenizer(BYTES, []), small_tokenizer(), Tokenizer(BYTES, [], ["<end>"], **other)):
            for _ in range(2):
                tokenizer.to_hf_json(tmp_path / "tokenizer.json")


RESERVED = [f"<|r{i}|>" for i in range(150)]
NUMBERED = [str(i) for i in range(10, 160)]  # each is two other tokens, as a result of a merge is


@pytest.mark.parametrize("specials", [RESERVED, NUMBERED, [f"終{i}é" for i in range(150)]], ids=["<|r0|>", "10", "終"])
@pytest.mark.parametrize("merges", [0, 500])
def test_many_special_tokens_come_back_by_every_way(tmp_path, specials, merges):
    made = many_merges(tmp_path / "plain")[0] if merges else Tokenizer(BYTES, [])
    tokenizer = Tokenizer(made.vocab, made.merges, specials)
    tokenizer.save(tmp_path / "saved")
    assert Tokenizer.from_folder(tmp_path / "saved").fingerprint == tokenizer.fingerprint
    files = tmp_path / "saved" / "vocab.json", tmp_path / "saved" / "merges.txt"
    assert Tokenizer.from_files(*files, specials).fingerprint == tokenizer.fingerprint
    spelled = {spell(token): i for i, token in made.vocab.items()}
    whole = spelled | {special: len(spelled) + n for n, special in enumerate(specials)}
    (tmp_path / "vocab.json").write_text(json.dumps(whole))  # as they are, not spelled
    assert Tokenizer.from_files(tmp_path / "vocab.json", files[1], specials).fingerprint == tokenizer.fingerprint
    if specials is not NUMBERED:
        for vocab in (files[0], tmp_path / "vocab.json"):
            assert Tokenizer.from_files(vocab, files[1]).vocab_size == tokenizer.vocab_size
    tokenizer.to_hf_json(tmp_path / "t.json")
    read = Tokenizer.from_hf_json(tmp_path / "t.json")
    read.save(tmp_path / "read")
    assert Tokenizer.from_folder(tmp_path / "read").fingerprint == tokenizer.fingerprint
    plain = {token: i for i, token in made.vocab.items()}
    (tmp_path / "t.tiktoken").write_bytes(b"".join(base64.b64encode(t) + b" %d\n" % i for t, i in plain.items()))
    alike = specials is NUMBERED
    with pytest.warns(UserWarning, match="begin alike") if alike else nullcontext():
        ranked = Tokenizer.from_tiktoken_ranks(tmp_path / "t.tiktoken", specials)
    ranked.save(tmp_path / "ranked")
    assert Tokenizer.from_folder(tmp_path / "ranked").fingerprint == tokenizer.fingerprint


def test_a_folder_of_whole_words_that_no_merge_makes_comes_back(tmp_path):
    words = {256 + n: f"{n}".rjust(4, "a").encode() for n in range(300)} | {556: b"aa"}
    tokenizer = Tokenizer(BYTES | words, [], rules=TextRules(whole_words=True))
    tokenizer.save(tmp_path)
    assert Tokenizer.from_folder(tmp_path).fingerprint == tokenizer.fingerprint


@pytest.mark.parametrize("kept", [1, 200])
def test_a_folder_whose_merges_were_cut_off_says_so(tmp_path, kept):
    _, _, merges = many_merges(tmp_path)
    merges.write_text("".join(merges.read_text().splitlines(keepends=True)[: kept + 1]))
    with pytest.raises(ValueError, match=rf"{500 - kept} of its tokens, .* none of the {kept} merges: was the file"):
        Tokenizer.from_folder(tmp_path)


def test_results_of_merges_that_were_cut_off_are_told_however_long_they_are(tmp_path):
    tokens = [b"ab" + b"c" * n for n in range(200)]
    merges = [(b"a", b"b"), *((token, b"c") for token in tokens[:-1])]
    Tokenizer(BYTES | dict(enumerate(tokens, 256)), merges).save(tmp_path)
    (tmp_path / "merges.txt").write_text("a b\n")
    with pytest.raises(ValueError, match="199 of its tokens, such as b'abc'"):
        Tokenizer.from_files(tmp_path / "vocab.json", tmp_path / "merges.txt")
