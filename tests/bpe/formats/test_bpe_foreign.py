"""Files of others: what they mean there, they mean here, or they are refused by the name of what differs."""

import base64
import json
import unicodedata
from types import SimpleNamespace

import numpy as np
import pytest
from bpe_texts import SCRIPTS, SPECIALS, small_tokenizer
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cs336_lib.bpe import TextRules, Tokenizer
from cs336_lib.bpe.formats.gpt2 import spell
from cs336_lib.bpe.formats.hf_pattern import from_oniguruma, to_oniguruma
from cs336_lib.bpe.plain.encoder import pieces_of
from cs336_lib.data import TokenFile, encode_file

tokenizers = pytest.importorskip("tokenizers")

BYTES = {spell(bytes([i])): i for i in range(256)}
SPLIT = r"(?i:'s|'t)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s+"
TEXT = st.text(alphabet="abc ABC 12345 '\t\ne\u0301\u0338<>s|é漢\U0001f600", max_size=30)
CHUNKS = st.lists(st.sampled_from(["<s>", "<pad>", "ab", " ab", "abc", " ", "\n", "e", "\u0301", "12345"]), max_size=9)
JOINED = st.one_of(TEXT, CHUNKS.map("".join))


def added(*tokens, **settings):
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return [{"id": i, "content": text, **plain, **settings} for text, i in tokens]


def byte_level(**settings):
    return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True, **settings}


def split(pattern):
    regex = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
    return {"type": "Sequence", "pretokenizers": [regex, byte_level(use_regex=False)]}


def with_split(level=(), **changes):
    steps = split(SPLIT)["pretokenizers"]
    return {"type": "Sequence", "pretokenizers": [steps[0] | changes, steps[1] | dict(level)]}


def a_file(vocab=None, merges=None, model=None, **top):
    """The content of a tokenizer.json: ab and abc are merged, <s> is special; changed as the arguments say."""
    if vocab is None:
        vocab = BYTES | {"ab": 256, "abc": 257, spell(b" a"): 258, spell(b" ab"): 259}
        merges = ["a b", "ab c", f"{spell(b' ')} a", f"{spell(b' a')} b"]
    merges = [] if merges is None else merges
    whole = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added(("<s>", len(vocab))),
        "normalizer": None,
        "pre_tokenizer": byte_level(),
        "post_processor": None,
        "decoder": byte_level(),
        "model": {"type": "BPE", "ignore_merges": False, "vocab": vocab, "merges": merges, **(model or {})},
    }
    return {**whole, **top}


def without(*missing):
    """A vocabulary without some bytes."""
    return {token: i for i, token in enumerate(token for token in BYTES if token not in missing)}


def written(folder, content):
    path = folder / "tokenizer.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


SHAPES = {
    "gpt2": a_file(),
    "prefix space": a_file(pre_tokenizer=byte_level(add_prefix_space=True)),
    "nfc": a_file(normalizer={"type": "NFC"}),
    "nfc as a sequence": a_file(normalizer={"type": "Sequence", "normalizers": [{"type": "NFC"}]}),
    "both": a_file(normalizer={"type": "NFC"}, pre_tokenizer=byte_level(add_prefix_space=True)),
    "ignore_merges, gpt2": a_file(BYTES | {"ab": 256, "abc": 257}, ["a b"], {"ignore_merges": True}),
    "ignore_merges, split": a_file(
        BYTES | {"ab": 256, "abc": 257, "12": 258, "123": 259}, ["a b", "1 2"], {"ignore_merges": True},
        pre_tokenizer=split(SPLIT),
    ),
    "ignore_merges, an added token that NFC makes": a_file(
        BYTES | {"ab": 256, "漢": 257}, ["a b"], {"ignore_merges": True}, normalizer={"type": "NFC"},
        added_tokens=added(("漢", 257)),
    ),
    "split": a_file(pre_tokenizer=split(SPLIT)),
    "split, possessive": a_file(
        BYTES | {"12": 256, "123": 257, "45": 258, "1234": 259}, ["1 2", "12 3", "4 5", "123 4"],
        pre_tokenizer=split(r"\p{N}{1,3}+|\p{L}{2}?\p{L}|\s+|[^\s\p{L}\p{N}]++"),
    ),
    "split with gaps": a_file(pre_tokenizer=split(r"\p{N}+")),
    "holes": a_file(
        {token: i + 5 * (i > 100) for token, i in BYTES.items()} | {"ab": 300, "<s>": 400}, ["a b"],
        added_tokens=added(("<s>", 400)),
    ),
    "a hole behind the vocabulary": a_file(BYTES | {"<s>": 300}, added_tokens=added(("<s>", 300))),
    "more added tokens": a_file(BYTES | {"<s>": 256}, added_tokens=added(("<s>", 256), ("<pad>", 257), ("12", 258))),
    "no special tokens": a_file(added_tokens=[]),
    "added, not special": a_file(added_tokens=added(("<s>", 260), ("12", 261), special=False, normalized=True)),
    "bytes that UTF-8 never has are missing": a_file(without(*(spell(bytes([b])) for b in (0xC0, 0xC1, 0xF5, 0xFF)))),
}  # fmt: skip


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """Each shape as `tokenizers` opens it and as this library does."""
    both = {}
    for name, content in SHAPES.items():
        path = written(tmp_path_factory.mktemp("shape"), content)
        both[name] = tokenizers.Tokenizer.from_file(str(path)), Tokenizer.from_hf_json(path)
    return both


@pytest.mark.parametrize("shape", SHAPES)
@given(text=JOINED)
def test_a_file_gives_the_ids_that_tokenizers_gives(opened, shape, text):
    theirs, ours = opened[shape]
    expected = theirs.encode(text).ids
    assert ours.encode(text) == expected
    assert list(ours.encode_iterable([text[:3], text[3:]])) == expected
    assert ours.encode_to_array(text.encode()).tolist() == expected
    assert np.concatenate([[], *ours.encode_blocks(text.encode(), block_bytes=4)]).tolist() == expected
    assert ours.decode(expected) == theirs.decode(expected, skip_special_tokens=False)
    if not ours.rules.changes_text:
        assert ours.decode(expected) == text


@pytest.mark.parametrize("shape", SHAPES)
def test_it_comes_back_from_a_folder_a_pickle_and_a_file(opened, shape, tmp_path):
    import pickle

    ours = opened[shape][1]
    ours.save(tmp_path / "folder")
    for again in (Tokenizer.from_folder(tmp_path / "folder"), pickle.loads(pickle.dumps(ours))):
        assert (again.fingerprint, again.rules, again.vocab) == (ours.fingerprint, ours.rules, ours.vocab)
    ours.to_hf_json(tmp_path / "again.json")
    again, theirs = Tokenizer.from_hf_json(tmp_path / "again.json"), tokenizers.Tokenizer.from_file
    for text in ["ab<s>abc 12345 e\u0301<s>\u0338", *SCRIPTS]:
        assert again.encode(text) == ours.encode(text) == theirs(str(tmp_path / "again.json")).encode(text).ids


@pytest.mark.parametrize("shape", ["prefix space", "both", "split", "holes"])
def test_a_file_is_encoded_in_parts_with_the_same_ids(opened, shape, tmp_path):
    ours = opened[shape][1]
    text = "\n".join(["abc e\u0301 ab<s>ab<s><s> 12345", *(s for s in SCRIPTS if "endoftext" not in s)] * 20)
    (tmp_path / "text").write_text(text, encoding="utf-8", newline="")
    encode_file(ours, tmp_path / "text", tmp_path / "out", part_bytes=300, workers=2)
    assert TokenFile.open(tmp_path / "out").ids.tolist() == ours.encode(text)


def test_rules_change_the_fingerprint_and_none_keep_it():
    parts = {i: bytes([i]) for i in range(256)}, []
    names = [{}, {"prefix_space": True}, {"nfc": True}, {"whole_words": True}, {"gaps": True}]
    assert len({Tokenizer(*parts, rules=TextRules(**one)).fingerprint for one in names}) == 5
    assert Tokenizer(*parts, rules=TextRules()).fingerprint == Tokenizer(*parts).fingerprint


def test_a_missing_byte_is_an_error_and_not_a_loss(tmp_path):
    ours = Tokenizer.from_hf_json(written(tmp_path, a_file(without("z"))))
    assert ours.encode("ab") == [ours.encode("a")[0], ours.encode("b")[0]]
    for encode in (ours.encode, ours.encode_to_array, lambda text: list(ours.encode_iterable([text]))):
        with pytest.raises(ValueError, match=r"no token for the byte 0x7a"):
            encode("a zoo")


def test_an_id_in_a_gap_is_named(tmp_path):
    ours = Tokenizer.from_hf_json(written(tmp_path, SHAPES["holes"]))
    with pytest.raises(ValueError, match=r"ids\[1\] = 103 is a gap"):
        ours.decode([97, 103])
    assert ours.vocab_size == 401 and 103 not in ours.vocab


TEMPLATE = {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [260], "tokens": ["<s>"]}}}  # fmt: skip
TEMPLATE["single"].append({"Sequence": {"id": "A", "type_id": 0}})
AROUND = {
    "TemplateProcessing": {"post_processor": TEMPLATE},
    "in a sequence": {"post_processor": {"type": "Sequence", "processors": [byte_level(), TEMPLATE]}},
    "RobertaProcessing": {
        "post_processor": {
            "type": "RobertaProcessing", "sep": ["<s>", 260], "cls": ["<s>", 260], "trim_offsets": True,
            "add_prefix_space": False,
        }
    },
    "truncation": {
        "truncation": {"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0},
    },
    "padding": {
        "padding": {
            "strategy": {"Fixed": 9}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0, "pad_type_id": 0,
            "pad_token": "!",
        }
    },
}  # fmt: skip


@pytest.mark.parametrize("what", AROUND)
def test_what_a_file_puts_around_a_text_is_refused_by_name_or_left_out_at_will(what, tmp_path):
    path = written(tmp_path, a_file(**AROUND[what]))
    name = what.split(" ")[0] if "sequence" not in what else "TemplateProcessing"
    with pytest.raises(ValueError, match=rf"{name}.*text_only=True"):
        Tokenizer.from_hf_json(path)
    theirs = tokenizers.Tokenizer.from_file(str(path))
    theirs.no_truncation()
    theirs.no_padding()
    ours = Tokenizer.from_hf_json(path, text_only=True)
    for text in ("abc ab<s>", *SCRIPTS):
        assert ours.encode(text) == theirs.encode(text, add_special_tokens=False).ids


@pytest.mark.parametrize(
    "post",
    [
        byte_level(),
        {"type": "Sequence", "processors": [byte_level()]},
        {**TEMPLATE, "single": TEMPLATE["single"][1:], "special_tokens": {}},
    ],
)
def test_a_post_processor_that_adds_nothing_is_read(post, tmp_path):
    assert Tokenizer.from_hf_json(written(tmp_path, a_file(post_processor=post))).encode("ab") == [256]


REFUSED = [
    ({"model": {"type": "WordPiece"}}, "model is 'WordPiece'"),
    ({"model": {"dropout": 0.1}}, "dropout=0.1"),
    ({"model": {"byte_fallback": True}}, "byte_fallback=True"),
    ({"model": {"end_of_word_suffix": "</w>"}}, "end_of_word_suffix='</w>'"),
    ({"model": {"novelty": 1}}, "the key 'novelty' is unknown"),
    ({"novelty": 1}, "the key 'novelty' is unknown"),
    ({"normalizer": {"type": "Lowercase"}}, "normalizes text by .*Lowercase.*can do NFC and nothing else"),
    ({"normalizer": "Lower"}, "normalizes text by"),
    ({"pre_tokenizer": None}, "pre-tokenizer is null"),
    ({"pre_tokenizer": {"type": "Digits", "individual_digits": True}}, 'pre-tokenizer has the step "Digits"'),
    ({"pre_tokenizer": {**split(SPLIT), "pretokenizers": [*split(SPLIT)["pretokenizers"][:1], byte_level(
        use_regex=False, add_prefix_space=True)]}}, "add_prefix_space=true behind a Split"),
    *(({"pre_tokenizer": with_split(behavior=one)}, rf'a Split with behavior="{one}"; this library reads')
      for one in ("Removed", "MergedWithPrevious", "MergedWithNext", "Contiguous")),
    ({"pre_tokenizer": with_split(invert=True)}, "a Split with invert=true; this"),
    ({"pre_tokenizer": with_split(pattern={"String": " "})}, r'a Split by \{"String": " "\}; this'),
    ({"pre_tokenizer": with_split(level={"use_regex": True})}, "a ByteLevel with use_regex=true behind a Split; this"),
    ({"pre_tokenizer": {"type": "Sequence", "pretokenizers": [byte_level(), byte_level()]}},
     "the steps ByteLevel, ByteLevel; this"),
    ({"decoder": {"type": "Metaspace"}}, "decoder is .*Metaspace"),
    ({"decoder": None}, "decoder is null"),
    ({"post_processor": {"type": "Novel"}}, "post_processor .*Novel.* unknown"),
    ({"added_tokens": [1]}, r"added_tokens\[0\] must be an object"),
    ({"added_tokens": [{"id": 260}]}, r"added_tokens\[0\] has no content"),
    ({"added_tokens": [{"content": "<s>"}]}, r"added_tokens\[0\], '<s>', has no id"),
    ({"added_tokens": added(("<s>", 260), ("<s>", 260))}, "repeats the added token"),
    ({"added_tokens": added(("<s>", 260), lstrip=True)}, "lstrip=true"),
    ({"added_tokens": added(("<s>", 260), single_word=True)}, "single_word=true"),
    ({"added_tokens": added(("<s>", 300))}, "'<s>' can't have the id 300: tokenizers gives it 260.*; number added"),
    ({"added_tokens": added(("<s>", 260), ("abc", 261))}, "'abc' .*vocabulary has it as 257: give"),
    ({"added_tokens": added(("abc", 260))}, "'abc' .*vocabulary has it as 257: give the entry that id"),
    ({"vocab": BYTES | {"<s>": 300}, "added_tokens": added(("<s>", 300), ("<pad>", 301))}, "tokenizers gives it 257"),
    ({"added_tokens": added(("<s>", 97))}, "can't have the id 97"),
    ({"added_tokens": added(("é", 233))}, "'é' can't have the id 233: it is b'.xe9'"),
    ({"added_tokens": added((" a", 260))}, "same bytes as the token 258"),
    ({"added_tokens": [*added(("<a>", 260)), *added(("<a><b>", 261), normalized=True)]}, "'<a><b>' .*holds or"),
    ({"added_tokens": [*added(("b>c", 260)), *added(("<ab>", 261), normalized=True)]}, "'<ab>' .*holds or overlaps"),
    ({"added_tokens": [*added(("<s>", 260)), *added(("x<s", 261), normalized=True)]}, r"'x<s' .*overlaps .*\('<s'\)"),
    ({"added_tokens": [*added(("<s>", 260)), *added(("xx<", 261), normalized=True)]}, r"'xx<' .*overlaps .*\('<'\)"),
    ({"normalizer": {"type": "NFC"}, "added_tokens": added(("<s>", 260), normalized=True)}, "normalized=true"),
    ({"vocab": without("z"), "model": {"unk_token": "!"}}, "lacks single bytes.*unk_token='!'"),
    ({"merges": ["a b", "b c"]}, r"merges\[0\] .*its result b'ab' is not in the vocabulary"),
    ({"merges": [["a b", "c", "d"]]}, "merges, line 1: expected two parts"),
    ({"merges": 3}, "merges must be a list"),
    ({"vocab": BYTES | {"ab": "x"}}, "id of token 'ab' must be an integer"),
    ({"vocab": BYTES | {"h</w>": 256, "th</w>": 257}, "merges": ["t h</w>"]}, "can never apply.*CLIP or GPT-1"),
    ({"vocab": BYTES | {"你好": 256}, "model": {"ignore_merges": True}}, r"'你好' \(id 256\) is not spelled in GPT-2"),
    ({"vocab": BYTES | {"ab": 256, "a\ud55c": 257}, "model": {"ignore_merges": True}}, "'a\ud55c' .*is not spelled"),
    ({"vocab": BYTES | {"\u0120\u3042": 256}, "model": {"ignore_merges": True}}, "is not spelled in GPT-2"),
    ({"vocab": BYTES | {"Ãħ": 256, "\u0445": 257}, "merges": ["Ñ ħ"]}, "'\u0445' .*is not spelled in GPT-2"),
    ({"vocab": BYTES | {"ab": 1 << 31}, "merges": ["a b"]}, "too large"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "message"), REFUSED)
def test_what_this_library_can_not_do_is_refused_by_its_name(changes, message, tmp_path):
    if "vocab" in changes or "merges" in changes:
        changes = {"vocab": BYTES, **changes}
    path = written(tmp_path, a_file(**changes))
    with pytest.raises(ValueError, match=message) as told:
        Tokenizer.from_hf_json(path)
    assert str(path) in str(told.value)


@given(
    tokens=st.lists(st.text("<s>x", min_size=2, max_size=4), min_size=2, max_size=5, unique=True),
    normalized=st.lists(st.booleans(), min_size=5, max_size=5),
    data=st.data(),
)
@example(["<s>", "x<s"], [False, True], SimpleNamespace(draw=lambda pieces: ["x<s", ">"]))
@example(["<s>", "x<"], [False, True], SimpleNamespace(draw=lambda pieces: ["x<", "s>"]))
@example(["<s>", "x<s>"], [False, True], SimpleNamespace(draw=lambda pieces: ["x<s>"]))
@example(["<s>", "<s>x"], [False, True], SimpleNamespace(draw=lambda pieces: ["<s>x"]))
@settings(max_examples=150)
def test_added_tokens_of_two_passes_give_the_ids_that_tokenizers_gives_or_are_refused(
    tmp_path_factory, tokens, normalized, data
):
    entries = [
        entry
        for i, (token, later) in enumerate(zip(tokens, normalized, strict=False), 256)
        for entry in added((token, i), normalized=later)
    ]
    path = written(tmp_path_factory.getbasetemp(), a_file(vocab=BYTES, added_tokens=entries))
    try:
        ours = Tokenizer.from_hf_json(path)
    except ValueError as error:
        assert "holds or overlaps one with normalized=false" in str(error) and len(set(normalized[: len(tokens)])) == 2
        return
    theirs = tokenizers.Tokenizer.from_file(str(path))
    text = "".join(data.draw(st.lists(st.sampled_from([*tokens, *"<s>x"]), min_size=2, max_size=8)))
    assert ours.encode(text) == theirs.encode(text).ids


def test_an_added_token_of_the_vocabulary_with_its_id_there_is_read_as_tokenizers_reads_it(tmp_path):
    """That is what the error advises."""
    for tokens in ([("abc", 257)], [("<s>", 260), ("abc", 257)], [("<s>", 260)]):
        path = written(tmp_path, a_file(added_tokens=added(*tokens)))
        theirs = tokenizers.Tokenizer.from_file(str(path))
        for text in ("abc ab", "xabcab<s>abc", " abc"):
            assert Tokenizer.from_hf_json(path).encode(text) == theirs.encode(text).ids


@pytest.mark.parametrize("raw", [b"", b"[1]", b"{", b'{"model": 3}', b"<html></html>", b"\xff{}", b"[" * 100_000])
@pytest.mark.parametrize("name", ["tokenizer.json", "vocab.json", "tokenizer_config.json"])
def test_a_torn_or_foreign_file_is_named(raw, name, tmp_path):
    if name == "vocab.json" and raw == b'{"model": 3}':
        return
    small_tokenizer().save(tmp_path)
    (tmp_path / name).write_bytes(raw)
    read = Tokenizer.from_hf_json if name == "tokenizer.json" else Tokenizer.from_folder
    with pytest.raises(ValueError, match=name):
        read(tmp_path / name if name == "tokenizer.json" else tmp_path)


@pytest.mark.parametrize(
    ("key", "value"),
    [("special_tokens", None), ("special_tokens", [1]), ("pattern", 3), ("pattern", "("), ("fingerprint", None),
     ("rules", {"nfc": 1}), ("rules", {"novel": True})],
)  # fmt: skip
def test_an_altered_config_of_a_tokenizer_is_named(key, value, tmp_path):
    small_tokenizer().save(tmp_path)
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({**config, key: value}))
    with pytest.raises(ValueError, match=str(tmp_path)):
        Tokenizer.from_folder(tmp_path)


def test_a_byte_order_mark_is_read_over(tmp_path):
    tokenizer = small_tokenizer()
    tokenizer.save(tmp_path)
    tokenizer.to_hf_json(tmp_path / "tokenizer.json")
    for path in tmp_path.iterdir():
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    files = tmp_path / "vocab.json", tmp_path / "merges.txt"
    for again in (
        Tokenizer.from_folder(tmp_path),
        Tokenizer.from_files(*files, tokenizer.special_tokens),
        Tokenizer.from_hf_json(tmp_path / "tokenizer.json"),
    ):
        assert again.fingerprint == tokenizer.fingerprint


@pytest.mark.parametrize("special", ["<é>", "<|naïve|>", "<Ġ>", "<漢>", "<| end |>", "<s>"])
def test_special_tokens_stand_in_vocab_json_as_they_are(special, tmp_path):
    theirs = tokenizers.Tokenizer.from_str(
        json.dumps(a_file(added_tokens=[], vocab=BYTES | {"ab": 256}, merges=["a b"]))
    )
    vocab = {**theirs.get_vocab(), special: 257}
    (tmp_path / "vocab.json").write_text(json.dumps(vocab))
    (tmp_path / "merges.txt").write_text("#version: 0.2\na b\n")
    ours = Tokenizer.from_files(tmp_path / "vocab.json", tmp_path / "merges.txt", [special])
    assert ours.vocab_size == 258 and ours.encode(f"ab{special}ab") == [256, 257, 256]
    assert ours.decode([256, 257]) == "ab" + special


def test_a_special_token_that_is_spelled_like_a_byte_is_appended(tmp_path):
    (tmp_path / "vocab.json").write_text(json.dumps(BYTES))
    (tmp_path / "merges.txt").write_text("")
    ours = Tokenizer.from_files(tmp_path / "vocab.json", tmp_path / "merges.txt", ["é"])
    assert ours.encode("é") == [256] and ours.decode_bytes([233]) == b"\xe9"


def test_merges_that_no_merge_leads_to_are_refused(tmp_path):
    vocab = {i: bytes([i]) for i in range(256)} | {256: b"bc", 257: b"abc"}
    with pytest.raises(ValueError, match=r"merges\[0\] .*can never apply: no merge makes its part b'bc'"):
        Tokenizer(vocab, [(b"a", b"bc")])
    assert Tokenizer(vocab, [(b"a", b"bc"), (b"b", b"c")]).encode("abc") == [257]  # a later one will do


def test_a_repeated_merge_says_that_readers_differ():
    vocab = {i: bytes([i]) for i in range(256)} | {256: b"ab"}
    with pytest.raises(ValueError, match=r"readers differ.*remove the first"):
        Tokenizer(vocab, [(b"a", b"b"), (b"a", b"b")])


def test_tokenizers_does_not_decode_a_special_token_of_latin_letters_and_the_export_says_so(tmp_path):
    tokenizer = Tokenizer({i: bytes([i]) for i in range(256)}, [], ["<é>"])
    with pytest.warns(UserWarning, match="'<é>'"):
        tokenizer.to_hf_json(tmp_path / "t.json")
    theirs = tokenizers.Tokenizer.from_file(str(tmp_path / "t.json"))
    assert theirs.encode("a<é>").ids == tokenizer.encode("a<é>")
    assert theirs.decode([256], skip_special_tokens=False) != "<é>"


CL100K = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]"
    r"|\s+(?!\S)|\s"
)


@pytest.mark.parametrize(
    "pattern", [CL100K, r"\p{N}{1,3}+|[a-c]{2}?|(?:ab){1,2}+|\s|.", r"[\]{3}+a]{1,2}+|\p{L}{2,}+|\d{,2}+x|."]
)
@given(text=JOINED)
def test_a_pattern_means_the_same_in_tokenizers(pattern, text):
    regex = tokenizers.pre_tokenizers.Split(tokenizers.Regex(to_oniguruma(pattern)), "isolated")
    assert pieces_of(pattern)(text) == [piece for piece, _ in regex.pre_tokenize_str(text)]


@pytest.mark.parametrize("pattern", [r"\p{N}{1,3}+|\s+", r"(?:a|b){2}?c|.", r"[+{}]{1,2}+|a{2,}?b|."])
@given(text=JOINED)
def test_a_pattern_of_tokenizers_means_the_same_here(pattern, text):
    regex = tokenizers.pre_tokenizers.Split(tokenizers.Regex(pattern), "isolated")
    assert pieces_of(from_oniguruma(pattern))(text) == [piece for piece, _ in regex.pre_tokenize_str(text)]


class TestLlama3:
    """Such files are converted from ranks: each way to make a token is a merge, and pre-tokens are looked up."""

    @pytest.fixture(scope="class")
    @classmethod
    def both(cls, tmp_path_factory):
        tokens = {token: i for i, token in small_tokenizer().vocab.items() if token not in map(str.encode, SPECIALS)}
        ranks = {token: n for n, token in enumerate(sorted(tokens, key=tokens.__getitem__))}
        merges = []
        for token in ranks:
            ways = [(token[:at], token[at:]) for at in range(1, len(token))]
            known = [(left, right) for left, right in ways if left in ranks and right in ranks]
            merges += sorted(known, key=lambda way: (ranks[way[0]], ranks[way[1]]))
        begin = {"SpecialToken": {"id": "<|begin|>", "type_id": 0}}
        ids = {"<|begin|>": {"id": "<|begin|>", "ids": [len(ranks)], "tokens": ["<|begin|>"]}}
        content = a_file(
            {spell(token): n for token, n in ranks.items()},
            [[spell(left), spell(right)] for left, right in merges],
            {"ignore_merges": True},
            pre_tokenizer=split(SPLIT),
            added_tokens=added(*((text, len(ranks) + n) for n, text in enumerate(["<|begin|>", "<|end|>"]))),
            post_processor={**TEMPLATE, "single": [begin, TEMPLATE["single"][1]], "special_tokens": ids},
        )
        path = written(tmp_path_factory.mktemp("llama"), content)
        return tokenizers.Tokenizer.from_file(str(path)), Tokenizer.from_hf_json(path, text_only=True), ranks

    @given(st.one_of(JOINED, st.sampled_from(SCRIPTS), st.text(alphabet="the a", max_size=30)))
    def test_it_gives_the_ids_that_tokenizers_gives(self, both, text):
        theirs, ours, _ = both
        assert ours.encode(text + "<|end|>") == theirs.encode(text + "<|end|>", add_special_tokens=False).ids
        assert theirs.encode(text).ids == [ours.encode("<|begin|>")[0], *ours.encode(text)]

    def test_tiktoken_is_reached_by_the_ranks(self, both):
        pytest.importorskip("tiktoken")
        assert len(both[1].merges) > len(both[2]) - 256
        with pytest.raises(ValueError, match=r"from_tiktoken_ranks|can't express"):
            both[1].to_tiktoken()


class TestTiktoken:
    @pytest.mark.parametrize("pattern", [r"\p{N}+", r"\p{N}{1,3}+|\p{L}+", CL100K, r"a(?=b)|(?<=c)\s"])
    @given(text=JOINED)
    def test_a_pattern_with_gaps_loses_nothing_there(self, pattern, text):
        tiktoken = pytest.importorskip("tiktoken")
        parts = {i: bytes([i]) for i in range(256)} | {256: b"ab", 257: b"12"}, [(b"a", b"b"), (b"1", b"2")]
        ours = Tokenizer(*parts, pattern=pattern)
        theirs = made_once(ours)
        assert isinstance(theirs, tiktoken.Encoding)
        assert theirs.encode_ordinary(text) == ours.encode(text)

    def test_a_pattern_that_can_match_nothing_is_refused(self):
        pytest.importorskip("tiktoken")
        with pytest.raises(ValueError, match="can match nothing"):
            Tokenizer({i: bytes([i]) for i in range(256)}, [], pattern=r"\p{N}*").to_tiktoken()

    def test_ids_that_a_mapping_leaves_out_are_gaps(self, tmp_path):
        path = tmp_path / "small.tiktoken"
        path.write_bytes(b"".join(base64.b64encode(bytes([i])) + b" %d\n" % i for i in range(256)))
        ours = Tokenizer.from_tiktoken_ranks(path, {"<|endoftext|>": 257, "<|end|>": 276})
        assert ours.encode("a<|end|><|endoftext|>") == [97, 276, 257] and ours.vocab_size == 277
        pytest.importorskip("tiktoken")
        assert ours.to_tiktoken().encode("a<|end|>", allowed_special="all") == [97, 276]

    @pytest.mark.parametrize("rules", [TextRules(nfc=True), TextRules(prefix_space=True)])
    def test_rules_that_it_has_not_are_refused(self, rules):
        pytest.importorskip("tiktoken")
        with pytest.raises(ValueError, match="to_hf_json"):
            Tokenizer({i: bytes([i]) for i in range(256)}, [], rules=rules).to_tiktoken()


def made_once(tokenizer, _made={}):  # noqa: B006 - kept from one example to the next
    return (
        _made.setdefault(tokenizer.fingerprint, None)
        or _made.__setitem__(tokenizer.fingerprint, tokenizer.to_tiktoken())
        or _made[tokenizer.fingerprint]
    )


def test_normal_form_c_is_that_of_this_python(tmp_path):
    ours = Tokenizer.from_hf_json(written(tmp_path, SHAPES["nfc"]))
    text = "e\u0301 \u1e9b\u0323 \ud7b0\u1100\u1161"
    assert ours.decode(ours.encode(text)) == unicodedata.normalize("NFC", text)


@pytest.mark.parametrize(
    ("pattern", "named"),
    [
        (r"[\p{L}&&[^\p{Han}]]+|\p{Han}+", "&&"),
        (r"^\p{L}+|.", "^"),
        (r"\p{L}+$|.", "$"),
        (r"\h+|.", r"\h"),
        (r"\w+|.", r"\w"),
        (r"[\w]+|.", r"\w"),
        (r"[^\W\d_]+|.", r"\W"),
        (r"\b\p{L}", r"\b"),
        (r"\A\p{L}+|.", r"\A"),
        (r"\N+", r"\N"),
        (r"\pL+|.", r"\p"),
        (r"[\PN]+|.", r"\P"),
        (r"[a[bc]]+|.", "["),
        (r"(?m).+", "(?m)"),
        (r"(?m:.+)", "(?m:"),
    ],
)
def test_patterns_that_the_two_dialects_read_differently_are_refused_both_ways(tmp_path, pattern, named):
    """What would refute the need: equal pieces from both for each of these; some of them do differ below."""
    path = tmp_path / "t.json"
    path.write_text(json.dumps(a_file(pre_tokenizer=split(pattern))))
    said = f"holds {named!r}"
    with pytest.raises(ValueError) as error:
        Tokenizer.from_hf_json(path)
    assert said in str(error.value) and str(path) in str(error.value)
    tokenizer = Tokenizer({i: bytes([i]) for i in range(256)}, [], pattern=pattern)
    with pytest.raises(ValueError, match="read differently"):
        tokenizer.to_hf_json(tmp_path / "ours.json")
    assert not (tmp_path / "ours.json").exists()


@pytest.mark.parametrize("pattern", [r"x?|\p{N}+", r"x*|.", r"(?=a)|\p{L}+", r"\p{L}{,2}|.", r"(?:a|)|."])
def test_patterns_that_can_match_nothing_are_refused_both_ways(tmp_path, pattern):
    path = tmp_path / "t.json"
    path.write_text(json.dumps(a_file(pre_tokenizer=split(pattern))))
    with pytest.raises(ValueError, match="can match nothing at all") as error:
        Tokenizer.from_hf_json(path)
    assert str(path) in str(error.value)
    with pytest.raises(ValueError, match="can match nothing at all"):
        Tokenizer({i: bytes([i]) for i in range(256)}, [], pattern=pattern).to_hf_json(tmp_path / "ours.json")


def test_a_question_mark_behind_a_count_is_read_as_the_file_means_it(tmp_path):
    """There it makes two letters optional, here it would do nothing: what can match nothing is seen all the same."""
    path = tmp_path / "t.json"
    path.write_text(json.dumps(a_file(pre_tokenizer=split(r"\p{L}{2}?|\s+"))))
    with pytest.raises(ValueError, match="can match nothing at all"):
        Tokenizer.from_hf_json(path)


@pytest.mark.parametrize("pattern", [SPLIT, r"\p{L}+|\p{N}{1,3}|[!\[\]^$&|]|\s+|.", r"(?i:'s)|[^\s\p{L}]+|\p{L}+|\s+"])
def test_published_kinds_of_patterns_are_read(tmp_path, pattern):
    path = tmp_path / "t.json"
    path.write_text(json.dumps(a_file(pre_tokenizer=split(pattern))))
    text = "It's 12345 [a^b$] & x|y\n\nabc"
    theirs = tokenizers.Tokenizer.from_file(str(path))
    assert Tokenizer.from_hf_json(path).encode(text) == theirs.encode(text, add_special_tokens=False).ids


@pytest.mark.parametrize(
    "broken",
    [
        {"post_processor": {"type": "Sequence", "processors": 5}},
        {"post_processor": {"type": "TemplateProcessing", "single": 5}},
        {"post_processor": {"type": "TemplateProcessing", "single": [5]}},
        {"post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": 5}]}},
        {"post_processor": {"type": "TemplateProcessing", "single": []}},
        {"post_processor": {"type": "TemplateProcessing", "single": [{"Sequence": {"id": "A", "type_id": 0}}] * 2}},
        {"post_processor": {"type": "BertProcessing", "cls": 5}},
        {"post_processor": {"type": "BertProcessing", "cls": []}},
        {"normalizer": [1]},
        {"normalizer": {"type": []}},
        {"normalizer": {"type": "Sequence", "normalizers": 5}},
        {"pre_tokenizer": {"type": "Sequence", "pretokenizers": 5}},
        {"decoder": {"type": "Sequence", "decoders": 5}},
        {"model": {"unk_token": 3}},
        {"model": {"ignore_merges": "x"}},
    ],
    ids=json.dumps,
)
def test_no_broken_file_gets_past_or_ends_in_a_foreign_error(tmp_path, broken):
    path = tmp_path / "t.json"
    path.write_text(json.dumps(a_file(**broken)))
    with pytest.raises(ValueError, match=r"t\.json"):
        Tokenizer.from_hf_json(path)


def test_a_key_that_stands_twice_is_named(tmp_path):
    text = json.dumps(BYTES)[:-1] + ', "th": 256, "th": 257}'
    (tmp_path / "vocab.json").write_text(text)
    (tmp_path / "merges.txt").write_text("t h\n")
    with pytest.raises(ValueError, match=r"vocab\.json: the key 'th' stands twice"):
        Tokenizer.from_files(tmp_path / "vocab.json", tmp_path / "merges.txt")


def test_without_ignore_merges_a_token_in_plain_letters_is_never_found(tmp_path):
    path = written(tmp_path, a_file(BYTES | {"你好": 256}, added_tokens=[]))
    ours, theirs = Tokenizer.from_hf_json(path), tokenizers.Tokenizer.from_file(str(path))
    assert ours.encode("你好") == theirs.encode("你好").ids == [BYTES[spell(bytes([b]))] for b in "你好".encode()]


def test_a_special_token_that_only_nfc_makes_is_spelled_there_as_bytes(opened):
    theirs, ours = opened["ignore_merges, an added token that NFC makes"]
    assert ours.encode("\ufa47") == theirs.encode("\ufa47").ids != ours.encode("漢")
