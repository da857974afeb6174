"""The boxes of the official problems answer each lettered question, and their numbers are those on record."""

import re
from pathlib import Path

import pytest

from cs336_lib import accounting, results
from cs336_lib.data import corpora
from cs336_lib.editions import PROBLEMS, problem
from cs336_lib.editions.problems import CHAPTERS
from cs336_lib.model import ModelConfig

ROOT = Path(__file__).resolve().parents[2]
BOX = re.compile(r"<summary><b>Official problem <code>(\w+)</code>.*?</summary>\n(.*?)</details>", re.DOTALL)
LETTER = re.compile(r"^\*\*\(([a-e])\)\*\*", re.MULTILINE)
SHORTEST = 40
"""Characters of an answer, which is a sentence."""
TEXTS = {chapter: (ROOT / f"notebooks/{name}.md").read_text(encoding="utf-8") for chapter, name in CHAPTERS.items()}


def answers(one):
    """Return what a problem's boxes answer: letter -> text."""
    text = "".join(body for name, body in BOX.findall(TEXTS[one.chapter]) if name in one.names)
    pieces = LETTER.split(text)
    return {letter: answer.strip() for letter, answer in zip(pieces[1::2], pieces[2::2], strict=True)}


def unanswered(one):
    """Return the letters of a problem that no box answers in a sentence."""
    found = answers(one)
    return [letter for letter in one.parts if len(found.get(letter, "")) < SHORTEST]


@pytest.mark.parametrize("one", [one for one in PROBLEMS if one.parts], ids=lambda one: one.key)
def test_each_lettered_question_is_answered_in_its_box(one):
    assert not unanswered(one), f"{one.key}: no answer to ({'), ('.join(unanswered(one))})"
    assert set(answers(one)) == set(one.parts), f"{one.key}: letters that the handout does not have"


def test_letters_that_are_not_answered_are_noticed(monkeypatch):
    one = problem("unicode2")
    monkeypatch.setitem(TEXTS, 1, TEXTS[1].replace("**(b)** ", ""))
    assert unanswered(one) == ["b"]


def test_boxes_with_numbers_of_samples_say_so():
    label = results.read("tokenizers/comparison.json")["label"]
    for name in ("train_bpe_tinystories", "train_bpe_expts_owt", "tokenizer_experiments"):
        boxes = "".join(answers(problem(name)).values())
        assert ("sample" in label) == ("sample" in boxes), f"{name}: {label}"


def said(name, letter, *wanted):
    answer = answers(problem(name))[letter].replace("**", "").replace("*", "")
    missing = [each for each in wanted if each not in answer]
    assert not missing, f"{name} ({letter}) does not say {missing}"


def spread(values):
    mean = sum(values) / len(values)
    deviation = (sum((value - mean) ** 2 for value in values) / (len(values) - 1)) ** 0.5
    return f"{mean:.2f} ± {deviation:.2f}"


def test_training_took_what_the_boxes_say():
    for name, stem, corpus in (
        ("train_bpe_tinystories", "tinystories-10k", "tinystories"),
        ("train_bpe_expts_owt", "owt-32k", "owt"),
    ):
        record = results.read(f"tokenizers/{stem}/record.json")
        share = 100 * record["text_bytes"] / corpora.HUB[corpus]["train"].size
        seconds, memory = record["seconds"]["total"], record["peak_memory_bytes"] / 2**20
        said(
            name, "a", f"{record['text_bytes'] / 1e6:.1f} MB", f"{share:.2f} %", f"{seconds:.2f} s", f"{memory:.0f} MiB"
        )
        longest = record["longest_tokens"][0]
        said(name, "a", f"{len(longest)} {'dashes' if set(longest) == {'-'} else 'bytes'}")
    record = results.read("tokenizers/tinystories-10k/record.json")
    said("train_bpe_tinystories", "a", record["longest_tokens"][0], f"{record['seconds']['total'] / 3600:.5f} hours")
    stages = (f"counting took {record['seconds']['count']:.2f} s", f"merging {record['seconds']['merge']:.2f} s")
    said("train_bpe_tinystories", "b", *stages)
    times = corpora.HUB["tinystories"]["train"].size / record["text_bytes"]
    said("train_bpe_tinystories", "a", f"{times:.0f} times as large")


def test_vocabularies_share_what_the_box_says():
    shared = results.read("tokenizers/comparison.json")["vocabularies"]
    said("train_bpe_expts_owt", "b", f"{shared['both']:,}", f"{shared['both'] / 10_000:.0%}".replace("%", " %"))


def test_compression_is_what_the_boxes_say():
    ratios = results.read("tokenizers/comparison.json")["bytes_per_token"]
    small, large = ratios["tinystories-10k"], ratios["owt-32k"]
    said("tokenizer_experiments", "a", f"{spread(small['TinyStories']['documents'])} bytes per token")
    said("tokenizer_experiments", "a", spread(large["OpenWebText"]["documents"]))
    said("tokenizer_experiments", "a", f"{small['TinyStories']['whole']:.2f} and {large['OpenWebText']['whole']:.2f}")
    crossed, own = small["OpenWebText"]["documents"], large["OpenWebText"]["documents"]
    less = f"{100 * (1 - sum(crossed) / sum(own)):.0f} % less"
    said("tokenizer_experiments", "b", f"{spread(crossed)} bytes per token", less)


def test_speed_and_token_counts_are_what_the_boxes_say():
    record = results.read("tokenizers/comparison.json")
    for found in record["encode_MB_per_s_one_thread"]["rates"].values():
        rate = found["first pass"]
        said("tokenizer_experiments", "c", f"{rate:.0f} MB/s", f"{825e9 / (rate * 1e6) / 3600:.1f} hours")
    for splits in record["encoded_by_own_tokenizer"].values():
        for found in splits.values():
            assert found["largest_id"] < 2**16
            said("tokenizer_experiments", "d", f"{found['bytes']:,} bytes, {found['tokens']:,} tokens")


def test_products_of_a_forward_pass_are_those_of_the_table():
    for year, name in (("2025", "gpt2-xl"), ("2026", "gpt2-xl-2026")):
        flops = {product.name: product.flops for product in accounting.matmuls(ModelConfig.preset(name))}
        rows = [
            sum(flops[part] for part in parts.split(", "))
            for parts in ("q_proj, k_proj, v_proj", "Q K^T", "A V", "output_proj", "w1, w3", "w2", "lm_head")
        ]
        said("transformer_accounting", "b", f"{sum(rows):,}", *(f"{row:,}" for row in rows))
        assert sum(rows) == sum(flops.values())
        said("transformer_accounting", "b", f"{year}: {rows[4]:,}", f"{year}: {rows[5]:,}")


def test_on_record_the_training_call_is_ahead_and_memory_is_not():
    found = results.read("benchmarks/bpe_train.json")
    behind = set()
    for text, record in found.items():
        mine = record["medians"]["ours"]
        for name, one in record["medians"].items():
            assert one["ours ahead, call"] >= 1, f"{name} trains faster on {text}: say so in section 2.7"
            behind |= {"whole"} if one["ours ahead, whole"] < 1 else set()
            large = record["bytes"] > 50_000_000
            assert name == "ours" or not large or one["ours ahead, whole"] > 1, (
                "on large texts the whole process is ahead, says 2.7"
            )
            if name == "gigabpe":
                assert one["megabytes"] < mine["megabytes"] / (1 if large else 2), "2.7 compares its memory"
            behind |= {"memory"} if one["megabytes"] < mine["megabytes"] else set()
    assert behind == {"whole", "memory"}, "section 2.7 says that start-up and memory go the other way"


def test_the_command_of_chapter_5_prints_what_its_cell_prints(capsys):
    from cs336_lib.cli import account_command

    command = re.search(r"`cs336 account (gpt2-xl --context-length [^`]+)`", TEXTS[5])[1]
    cell = re.search(r"^print\((text\(what_if, .+\))\)$", TEXTS[5], re.MULTILINE)[1]
    assert account_command.run(command.split()) == 0
    there = {"text": accounting.report.text, "what_if": ModelConfig.preset("gpt2-xl")}
    assert capsys.readouterr().out.rstrip("\n") == eval(cell, there)
