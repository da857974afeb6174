"""The tokenizer's doors: what goes in, what comes out, and what is refused."""

import pickle
import threading
from enum import Enum

import numpy as np
import pytest
from bpe_texts import SCRIPTS, TOKENIZERS, small_tokenizer
from hypothesis import given
from hypothesis import strategies as st

from cs336_lib.bpe.plain.definition_encoder import encode_reference
from cs336_lib.bpe.rules import TextRules
from cs336_lib.bpe.tokenizer import Tokenizer
from cs336_lib.bpe.training import train_bpe

BYTES = {i: bytes([i]) for i in range(256)}


def reference_ids(tokenizer, text):
    return encode_reference(text, tokenizer.vocab, tokenizer.merges, tokenizer.special_tokens)


@pytest.mark.parametrize("text", ["", "a", "the cat", "\x00", "a\r\nb", "\U0001f600", "한글", "e\u0301", *SCRIPTS])
def test_encode_gives_the_ids_of_the_definition_and_decode_gives_the_text_back(text):
    tokenizer = small_tokenizer()
    ids = tokenizer.encode(text)
    assert ids == reference_ids(tokenizer, text)
    assert tokenizer.decode(ids) == text
    assert tokenizer.encode_to_array(text).tolist() == ids
    assert tokenizer.encode_to_array(text.encode()).tolist() == ids
    assert list(tokenizer.encode_iterable([text])) == ids


@given(TOKENIZERS, st.text(max_size=60))
def test_encode_equals_the_definition_on_random_texts(tokenizer, text):
    try:
        text.encode()
    except UnicodeEncodeError:
        return
    assert tokenizer.encode(text) == reference_ids(tokenizer, text)


@given(st.text(alphabet="ab1 '!\n\tsld\x1c\x0b", max_size=40))
def test_the_ascii_pattern_cuts_as_the_definition_does(text):
    tokenizer = small_tokenizer()
    assert tokenizer.encode(text) == reference_ids(tokenizer, text)


def test_the_handouts_example():
    words = [b" ", b"a", b"c", b"e", b"h", b"t", b"th", b" c", b" a", b"the", b" at"]
    vocab = dict(enumerate([*words, *(bytes([i]) for i in range(256) if bytes([i]) not in words)]))
    merges = [(b"t", b"h"), (b" ", b"c"), (b" ", b"a"), (b"th", b"e"), (b" a", b"t")]
    assert Tokenizer(vocab, merges).encode("the cat ate") == [9, 7, 1, 5, 10, 3]


class TestSpecialTokens:
    END = "<|endoftext|>"

    def test_one_in_the_middle_at_both_ends_and_alone(self):
        tokenizer = Tokenizer(BYTES, [], [self.END])
        assert tokenizer.encode(f"{self.END}a{self.END}b{self.END}") == [256, 97, 256, 98, 256]
        assert tokenizer.encode(self.END) == [256]

    def test_adjacent_ones_stay_apart(self):
        assert Tokenizer(BYTES, [], [self.END]).encode(self.END * 3) == [256, 256, 256]

    def test_the_longest_wins_at_each_place(self):
        tokenizer = Tokenizer(BYTES, [], [self.END, self.END * 2])
        assert tokenizer.encode(self.END * 3) == [257, 256]
        assert tokenizer.encode(f"a{self.END * 2}b{self.END}") == [97, 257, 98, 256]

    @pytest.mark.parametrize("specials", [["ab", "abc", "bcd"], ["bcd", "abc", "ab"]])
    def test_overlapping_ones_go_left_to_right_in_whatever_order_they_are_named(self, specials):
        tokenizer = Tokenizer(BYTES, [], specials)
        assert [tokenizer.vocab[i] for i in tokenizer.encode("xabcdabx")] == [b"x", b"abc", b"d", b"ab", b"x"]

    def test_inside_a_word_it_cuts_the_word(self):
        vocab = BYTES | {256: b"ab"}
        assert Tokenizer(vocab, [(b"a", b"b")], ["<s>"]).encode("a<s>bab") == [97, 257, 98, 256]

    def test_its_bytes_never_merge_with_a_neighbor(self):
        vocab = BYTES | {256: b">!"}
        assert Tokenizer(vocab, [(b">", b"!")], ["<s>"]).encode("<s>! >!") == [257, 33, 32, 256]

    def test_missing_ones_are_appended_and_known_ones_keep_their_ids(self):
        tokenizer = Tokenizer(BYTES | {256: b"<b>"}, [], ["<a>", "<b>"])
        assert tokenizer.encode("<a><b>") == [257, 256]
        assert tokenizer.vocab_size == len(tokenizer) == 258

    def test_repeats_in_the_list_count_once(self):
        assert Tokenizer(BYTES, [], ["<a>", "<a>"]).special_tokens == ["<a>"]

    def test_without_the_list_it_is_ordinary_text(self):
        assert Tokenizer(BYTES | {256: b"<a>"}, []).encode("<a>") == [60, 97, 62]

    def test_it_may_hold_spaces_and_any_script(self):
        tokenizer = Tokenizer(BYTES, [], ["<| end |>", "終わり"])
        assert tokenizer.encode("a <| end |>終わり") == [97, 32, 256, 257]

    @given(
        st.lists(st.text(alphabet="ab<>", min_size=1, max_size=4), max_size=4), st.text(alphabet="ab<> ", max_size=20)
    )
    def test_any_set_of_them_is_cut_out_as_the_definition_says(self, specials, text):
        tokenizer = Tokenizer(BYTES | {256: b"ab"}, [(b"a", b"b")], specials)
        assert tokenizer.encode(text) == reference_ids(tokenizer, text)


class TestBytesThatAreNotUtf8:
    CASES = (
        b"\xff",
        b"caf\xc3",
        b"\xc3\xa9\xc3",
        b"\xed\xa0\x80",
        b"\xf0\x9f\x98",
        b"a\x80\x80b \xc0\x80",
        bytes(range(256)),
    )

    @pytest.mark.parametrize("data", CASES)
    def test_each_is_a_symbol_and_comes_back(self, data):
        tokenizer = small_tokenizer()
        ids = tokenizer.encode_to_array(data)
        assert ids.tolist() == reference_ids(tokenizer, data)
        assert tokenizer.decode_bytes(ids) == data

    @given(st.binary(max_size=80))
    def test_any_bytes_come_back(self, data):
        tokenizer = small_tokenizer()
        assert tokenizer.decode_bytes(tokenizer.encode_to_array(data)) == data

    @given(st.binary(max_size=30))
    def test_a_string_may_hold_them_as_surrogates(self, data):
        tokenizer = small_tokenizer()
        # Read byte by byte, so that proper characters too arrive in pieces.
        text = "".join(data[i : i + 1].decode("utf-8", "surrogateescape") for i in range(len(data)))
        assert tokenizer.encode(text) == tokenizer.encode_to_array(data).tolist()

    @pytest.mark.parametrize("text", ["ab\ud800", "é" * 3000 + "\udbff"])
    def test_any_other_lone_surrogate_is_refused_with_its_place(self, text):
        with pytest.raises(ValueError, match=rf"U\+D[8B].*character {len(text) - 1}.*replace"):
            small_tokenizer().encode(text)


class TestDecode:
    def test_malformed_utf8_becomes_replacement_characters(self):
        assert Tokenizer(BYTES, []).decode([0x61, 0xC3, 0x62, 0xF0, 0x9F]) == "a\ufffdb\ufffd"

    @pytest.mark.parametrize(
        "ids", [[104, 105], (104, 105), np.array([104, 105], np.uint16), iter([104, 105]), range(104, 106)]
    )
    def test_takes_any_iterable_of_integers(self, ids):
        assert Tokenizer(BYTES, []).decode(ids) == "hi"

    def test_of_nothing_is_nothing(self):
        assert Tokenizer(BYTES, []).decode([]) == ""

    @pytest.mark.parametrize(
        ("ids", "error", "message"),
        [
            ([1, 256], ValueError, r"ids\[1\] = 256 is not in the vocabulary, whose ids are 0 to 255"),
            ([-1], ValueError, r"ids\[0\] = -1"),
            ([1, 2.0], TypeError, r"ids\[1\] must be an integer, got 2.0"),
            (["a"], TypeError, r"ids\[0\] must be an integer, got 'a'"),
            ("ab", TypeError, "takes token ids, got the str 'ab'"),
            (b"ab", TypeError, "takes token ids, got the bytes"),
            (7, TypeError, r"write \[7\]"),
            ([[1, 2]], TypeError, r"ids\[0\] must be an integer, got \[1, 2\]"),
        ],
    )
    def test_names_what_it_can_not_decode(self, ids, error, message):
        with pytest.raises(error, match=message):
            Tokenizer(BYTES, []).decode(ids)


class TestRefused:
    @pytest.mark.parametrize(
        ("vocab", "merges", "specials", "error", "message"),
        [
            (BYTES | {258: b"ab"}, [], None, ValueError, "hole.*id 256 is missing and 258 is there"),
            (BYTES | {256: b"a"}, [], None, ValueError, "b'a' twice, as ids 97 and 256"),
            ({i: BYTES[i] for i in range(255)}, [], None, ValueError, r"lacks 1 of the 256 single bytes \(0xff\)"),
            ({}, [], None, ValueError, "lacks 256 of the 256 single bytes"),
            (BYTES | {256: b""}, [], None, ValueError, r"vocab\[256\] is empty"),
            (BYTES | {256: "ab"}, [], None, TypeError, r"vocab\[256\] must be bytes, got 'ab'"),
            (BYTES | {"256": b"ab"}, [], None, TypeError, "has the key '256' of type str"),
            ([b"a"], [], None, TypeError, "must map ids to bytes"),
            (BYTES, [(b"a", b"b")], None, ValueError, r"merges\[0\].*its result b'ab' is not in the vocabulary"),
            (BYTES | {256: b"abc"}, [(b"ab", b"c")], None, ValueError, r"merges\[0\].*its left part b'ab' is not"),
            (BYTES | {256: b"abc"}, [(b"a", b"bc")], None, ValueError, r"merges\[0\].*its right part b'bc' is not"),
            (BYTES, [("a", "b")], None, TypeError, r"merges\[0\] must be a pair of bytes, got \('a', 'b'\)"),
            (BYTES, [(b"a",)], None, TypeError, r"merges\[0\] must be a pair of bytes"),
            (BYTES | {256: b"ab"}, [(b"a", b"b")] * 2, None, ValueError, r"merges\[1\].*repeats merges\[0\]"),
            (BYTES, [], [""], ValueError, "empty string"),
            (BYTES, [], [b"<s>"], TypeError, "must be a string, got b'<s>'"),
            (BYTES, [], "<s>", TypeError, r"write \['<s>'\]"),
            (BYTES, [], ["\ud800"], ValueError, "lone surrogate"),
        ],
    )
    def test_a_tokenizer_that_contradicts_itself(self, vocab, merges, specials, error, message):
        with pytest.raises(error, match=message):
            Tokenizer(vocab, merges, specials)

    @pytest.mark.parametrize("text", [None, 5, ["a"]])
    def test_text_of_the_wrong_type(self, text):
        with pytest.raises(TypeError, match=f"got {type(text).__name__}"):
            small_tokenizer().encode(text)

    def test_bytes_for_encode_with_the_door_that_takes_them(self):
        with pytest.raises(TypeError, match="encode_to_array"):
            small_tokenizer().encode(b"a")

    def test_one_string_for_a_batch(self):
        with pytest.raises(TypeError, match="use encode"):
            small_tokenizer().encode_batch("ab")

    @pytest.mark.parametrize("workers", [0, -1])
    def test_no_workers(self, workers):
        with pytest.raises(ValueError, match=f"at least 1, got {workers}"):
            small_tokenizer().encode_to_array(b"a", workers=workers)


class TestOneTokenizer:
    def test_describes_itself(self):
        assert repr(Tokenizer(BYTES, [], ["<s>"])) == "Tokenizer(vocab_size=257, merges=0, special_tokens=['<s>'])"

    def test_hands_out_copies(self):
        tokenizer = small_tokenizer()
        tokenizer.vocab.clear()
        tokenizer.merges.clear()
        tokenizer.special_tokens.clear()
        assert tokenizer.vocab and tokenizer.merges and tokenizer.special_tokens

    def test_does_not_follow_later_changes_of_what_it_was_made_from(self):
        vocab, merges = dict(BYTES) | {256: b"ab"}, [(b"a", b"b")]
        tokenizer = Tokenizer(vocab, merges)
        vocab[256] = b"zz"
        merges.clear()
        assert tokenizer.decode(tokenizer.encode("ab")) == "ab"
        assert tokenizer.encode("ab") == [256]

    def test_pickles_small_and_whole(self):
        tokenizer = small_tokenizer()
        tokenizer.encode("a text to remember " * 1000)
        pickled = pickle.dumps(tokenizer)
        content = sum(map(len, tokenizer.vocab.values())) + 4 * len(tokenizer) + 8 * len(tokenizer.merges)
        assert len(pickled) < content + 1000
        again = pickle.loads(pickled)
        assert again.fingerprint == tokenizer.fingerprint
        assert again.encode("the cat<|end|>") == tokenizer.encode("the cat<|end|>")

    def test_the_fingerprint_names_the_content(self):
        one = Tokenizer(BYTES, [], ["<a>", "<b>"])
        assert one.fingerprint == Tokenizer(BYTES | {256: b"<a>", 257: b"<b>"}, [], ["<b>", "<a>"]).fingerprint
        others = [
            Tokenizer(BYTES, []),
            Tokenizer(BYTES | {256: b"<a>", 257: b"<b>"}, []),
            Tokenizer(BYTES, [], ["<a>", "<c>"]),
            Tokenizer(BYTES | {256: b"ab"}, [(b"a", b"b")]),
            Tokenizer(BYTES | {256: b"ab"}, []),
            Tokenizer(BYTES, [], ["<a>", "<b>"], pattern=r"\S+|\s+"),
        ]
        assert len({one.fingerprint, *(other.fingerprint for other in others)}) == 7

    def test_the_fingerprint_stays_the_same_from_release_to_release(self):
        known = "c6122e52354494e46faaaa3a"
        assert Tokenizer(BYTES, [], ["<s>"]).fingerprint[:24] == known

    def test_another_pattern_is_followed(self):
        tokenizer = Tokenizer(BYTES | {256: b"a "}, [(b"a", b" ")], pattern=r"\w\s|.")
        assert tokenizer.encode("a b") == [256, 98]
        assert list(tokenizer.encode_iterable("a b")) == [256, 98]
        assert tokenizer.encode_to_array(b"a b").tolist() == [256, 98]


def test_threads_that_share_a_tokenizer_get_what_one_gets_alone():
    tokenizer = small_tokenizer()
    texts = [script * (1 + 40 * (k % 3)) for k, script in enumerate(SCRIPTS)]
    expected = [small_tokenizer().encode(text) for text in texts]
    wrong = []

    def work(offset):
        for k in range(3 * len(texts)):
            index = (k + offset) % len(texts)
            if tokenizer.encode(texts[index]) != expected[index]:
                wrong.append(index)

    threads = [threading.Thread(target=work, args=(offset,)) for offset in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


class TestOrderGivenIsOrderKept:
    def test_a_set_of_special_tokens_is_refused_at_every_door(self, tmp_path):
        (tmp_path / "a.txt").write_text("a cat")
        vocab = {i: bytes([i]) for i in range(256)}
        for tokens in ({"<a>", "<b>"}, frozenset({"<a>"})):
            with pytest.raises(TypeError, match="no order"):
                Tokenizer(vocab, [], tokens)
            with pytest.raises(TypeError, match="no order"):
                train_bpe(tmp_path / "a.txt", 300, tokens)

    def test_a_mapping_gives_each_special_token_its_id(self, tmp_path):
        vocab = {i: bytes([i]) for i in range(256)}
        tokenizer = Tokenizer(vocab, [], {"<b>": 257, "<a>": 256})
        assert tokenizer.encode("<a><b>") == [256, 257]
        for ids, said in (
            ({"<a>": 65}, "can't have the id 65"),
            ({"<a>": 300}, "missing|hole|300"),
            ({"a": 256}, "has it as 97"),
        ):
            with pytest.raises(ValueError, match=said):
                Tokenizer(vocab, [], ids)
        with pytest.raises(TypeError, match="must be a whole number"):
            Tokenizer(vocab, [], {"<a>": "x"})
        (tmp_path / "a.txt").write_text("a cat")
        with pytest.raises(TypeError, match="mapping"):
            train_bpe(tmp_path / "a.txt", 300, {"<a>": 256})

    def test_the_keys_of_a_mapping_have_an_order(self):
        vocab = {i: bytes([i]) for i in range(256)}
        assert Tokenizer(vocab, [], {"<b>": 0, "<a>": 0}.keys()).encode("<a><b>") == [257, 256]

    def test_an_iterator_of_texts_is_walked_once(self):
        tokenizer = Tokenizer({i: bytes([i]) for i in range(256)}, [])
        assert tokenizer.encode_batch(text for text in ("a", "bc")) == [[97], [98, 99]]

    @pytest.mark.parametrize("dtype", [np.int64, np.uint16, np.float32])
    def test_an_array_of_ids_is_no_text(self, dtype):
        tokenizer = Tokenizer({i: bytes([i]) for i in range(256)}, [])
        with pytest.raises(TypeError, match="array of ids"):
            tokenizer.encode_to_array(np.array([97, 98], dtype))
        assert tokenizer.encode_to_array(np.array([97, 98], np.uint8)).tolist() == [97, 98]


class Loud(str):
    """A string that shows itself as another."""

    def __str__(self):
        return self.upper()

    def __iter__(self):
        return iter("zz")


class Name(str, Enum):  # noqa: UP042  str() of such a member is its name
    END = "<|end|>"


class Part(bytes):
    pass


class Id(int):
    pass


class Mark(bytes, Enum):
    T = b"t"


class TestSubclasses:
    """Numpy's and anybody's kinds of bytes, strings and numbers are what they hold, and leave nothing of their own."""

    VOCAB = BYTES | {256: b"th", 257: b"the"}
    MERGES = ((b"t", b"h"), (b"th", b"e"))

    @pytest.mark.parametrize("kind", [np.bytes_, Part])
    @pytest.mark.parametrize("number", [int, Id, np.int64, np.uint16])
    @pytest.mark.parametrize("pair", [tuple, list, lambda parts: np.array([bytes(part) for part in parts])])
    @pytest.mark.parametrize("gaps", [False, True])
    def test_tokens_ids_and_merges(self, kind, number, pair, gaps):
        rules = TextRules(gaps=gaps)
        vocab = {number(i): kind(token) or token for i, token in self.VOCAB.items()}  # numpy cuts \0 off
        tokenizer = Tokenizer(
            vocab, [pair([kind(part) for part in parts]) for parts in self.MERGES], ["<s>"], rules=rules
        )
        plain = Tokenizer(self.VOCAB, list(self.MERGES), ["<s>"], rules=rules)
        assert tokenizer.fingerprint == plain.fingerprint
        assert tokenizer.encode("the th<s>") == plain.encode("the th<s>") == [257, 32, 256, 258]
        assert tokenizer.encode_to_array("the th<s>" * 2000).tolist() == plain.encode("the th<s>" * 2000)
        assert {(type(i), type(token)) for i, token in tokenizer.vocab.items()} == {(int, bytes)}
        assert {type(part) for parts in tokenizer.merges for part in parts} == {bytes}
        assert pickle.loads(pickle.dumps(tokenizer)).fingerprint == plain.fingerprint

    @pytest.mark.parametrize("special", [Loud("<|end|>"), Name.END, np.str_("<|end|>")])
    @pytest.mark.parametrize("given", [lambda one: [one], lambda one: {one: 258}, lambda one: {one: np.int64(258)}])
    def test_special_tokens(self, special, given, tmp_path):
        tokenizer = Tokenizer(self.VOCAB, self.MERGES, given(special))
        assert [type(one) for one in tokenizer.special_tokens] == [str]
        assert tokenizer.special_tokens == ["<|end|>"]
        assert tokenizer.encode("the<|end|>") == [257, 258]
        tokenizer.save(tmp_path / "t")
        assert Tokenizer.from_folder(tmp_path / "t").fingerprint == tokenizer.fingerprint
        (tmp_path / "a.txt").write_text("a cat sat<|end|>a cat")
        vocab, _ = train_bpe(tmp_path / "a.txt", 260, [special])
        assert type(vocab[256] if vocab[256] == b"<|end|>" else vocab[259]) is bytes
        assert b"<|end|>" in vocab.values()

    def test_a_member_of_an_enumeration(self):
        vocab = {i: Mark.T if token == b"t" else token for i, token in self.VOCAB.items()}
        tokenizer = Tokenizer(vocab, [(Mark.T, b"h"), (b"th", b"e")])
        assert type(tokenizer.vocab[116]) is type(tokenizer.merges[0][0]) is bytes
        assert tokenizer.encode("the") == [257]

    @pytest.mark.parametrize(
        ("vocab", "merges", "specials", "said"),
        [
            (BYTES | {97: bytearray(b"a")}, [], None, r"vocab\[97\] must be bytes, got bytearray"),
            (BYTES | {97: memoryview(b"a")}, [], None, r"vocab\[97\] must be bytes, got <memory"),
            (BYTES | {97: "a"}, [], {"<s>": 256}, r"vocab\[97\] must be bytes, got 'a'"),
            (BYTES | {97: bytearray(b"a")}, [], {"<s>": 256}, r"vocab\[97\] must be bytes, got bytearray"),
            ([b"a"], [], {"<s>": 256}, "vocab must map ids to bytes"),
            (
                {bool(i) if i < 2 else i: token for i, token in BYTES.items()},
                [],
                None,
                "has the key False of type bool",
            ),
            ({float(i): token for i, token in BYTES.items()}, [], None, r"has the key 0\.0 of type float"),
            ({np.float64(i): token for i, token in BYTES.items()}, [], None, "has the key .* of type float64"),
            (VOCAB, [(b"t", memoryview(b"h"))], None, r"merges\[0\] must be a pair of bytes"),
            (VOCAB, [(b"t", bytearray(b"h"))], None, r"merges\[0\] must be a pair of bytes"),
            (VOCAB, [("t", "h")], None, r"merges\[0\] must be a pair of bytes"),
            (VOCAB, [], {b"<s>": 258}, "a special token must be a string, got b'<s>'"),
            (VOCAB, [], {3: 258}, "a special token must be a string, got 3"),
            (VOCAB, [], {"<s>": 258.0}, r"the id special_tokens\['<s>'\] must be a whole number, got 258\.0"),
            (VOCAB, [], {"<s>": np.array([258, 259])}, r"the id special_tokens\['<s>'\] must be a whole number"),
            (VOCAB, [], {"<s>": True}, r"the id special_tokens\['<s>'\] must be a whole number, got True"),
        ],
    )
    @pytest.mark.parametrize("gaps", [False, True])
    def test_what_is_none_of_these_is_named(self, vocab, merges, specials, said, gaps):
        with pytest.raises(TypeError, match=said):
            Tokenizer(vocab, merges, specials, rules=TextRules(gaps=gaps))

    @pytest.mark.parametrize("special", ["\ud800", ""])
    def test_a_special_token_of_a_mapping_is_looked_at_like_any_other(self, special):
        with pytest.raises(ValueError, match=r"lone surrogate at character 0|is the empty string"):
            Tokenizer(self.VOCAB, [], {special: 258})
