"""The right-hand figures of the errata page are what the library computes."""

import math
import re
from pathlib import Path

import pytest
from bpe_old_split import old_split_merges

from cs336_lib import accounting
from cs336_lib.bpe.plain.definition import count_words, train_on_words
from cs336_lib.model import ModelConfig

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "book/errata.md").read_text(encoding="utf-8")
PLACES_TITLE = "\n## Every section of the write-up has its place in the book\n"
XL = ModelConfig.preset("gpt2-xl")
# The handout's list has a feed-forward network of two matrices.
TWO = XL.replace(ffn="silu", d_ff=6_400)


def row(problem: str, beginning: str = "") -> str:
    """The third column of a row of the errata proper."""
    head = f"| `{problem}`{' ' + beginning if beginning else ''} |"
    (found,) = [line for line in PAGE.partition(PLACES_TITLE)[0].splitlines() if line.startswith(head)]
    return found.split(" | ")[2]


PLACES = re.findall(
    r"^\| (.+?) \| \[([\d., to]+)\]\(\.\./notebooks/(\d\d_\w+)\.ipynb\) \|",
    PAGE.partition(PLACES_TITLE)[2].partition("\n## ")[0],
    re.MULTILINE,
)
SECTIONS = [
    "`unicode1`",
    "`unicode2`",
    "`train_bpe`",
    "`train_bpe_tinystories`",
    "`train_bpe_expts_owt`",
    "`tokenizer`",
    "`tokenizer_experiments`",
    "3. Transformer Language Model Architecture",
    "`transformer_accounting`",
    "4. Training a Transformer LM",
    "`adamw_accounting`",
    "5. Training loop",
    "6. Generating text",
    "`learning_rate`",
    "`batch_size_experiment`",
    "`generate`",
]


def test_every_section_of_the_write_up_has_its_place():
    assert [name for name, _, _ in PLACES] == SECTIONS


@pytest.mark.parametrize(("name", "where", "page"), PLACES)
def test_the_place_of_a_section_exists_and_answers_it(name, where, page):
    text = (ROOT / f"notebooks/{page}.md").read_text(encoding="utf-8")
    sections = re.findall(r"\d+\.\d+", where)
    assert sections
    for section in sections:
        assert f"\n## {section} " in text, f"errata.md, {name}: {page} has no section {section}"
    if name.startswith("`"):
        assert f"<code>{name.strip('`')}</code>" in text, f"errata.md: {page} does not answer {name}"


def share(counts, *names):
    return f"{100 * sum(counts[name] for name in names) / counts.total:.1f} %"


def test_bytes_of_the_two_encodings():
    sizes = len("你好".encode()), len("你好".encode("utf-16-le"))
    assert "takes {} bytes in UTF-8 and {} in UTF-16".format(*sizes) in row("unicode2", "(a)")


def test_merges_of_the_trap():
    merges = train_on_words(count_words(b"abababab abababab xyz ab"), 3)
    assert ", ".join(f"`{a.decode()} {b.decode()}`" for a, b in merges) in row("train_bpe")


def test_lengths_of_rows_of_dashes():
    """The right trainer and the one with the mistake, on the rows that chapter 2 takes."""
    dashes = {b"-" * length: 3_000 // length for length in range(2, 90)}
    for merges in (old_split_merges(dashes, 7), train_on_words(dashes, 7)):
        lengths = ", ".join(str(len(left + right)) for left, right in merges)
        assert f"learns {lengths}" in row("train_bpe_expts_owt")


def test_the_pile_in_bytes():
    assert f"{825 * 10**9:,}" in row("tokenizer_experiments", "(c)")
    assert f"{825 * 2**30:,}" in PAGE


def test_shares_of_the_forward_pass():
    flops = accounting.forward_flops(XL)
    assert share(flops, "ffn") in row("transformer_accounting", "(c)")
    assert share(flops, "attention_projections", "attention_scores") in row("transformer_accounting", "(c)")
    long = accounting.forward_flops(XL, context_length=16_384)
    assert share(flops, "attention_scores") in row("transformer_accounting", "(e)")
    assert share(long, "attention_scores") in row("transformer_accounting", "(e)")


@pytest.mark.parametrize("size", ["small", "medium", "large"])
def test_flops_of_the_sizes(size):
    total = accounting.forward_flops(ModelConfig.preset(f"gpt2-{size}")).total
    assert f"{total / 1e12:.3f}" in row("transformer_accounting", "(d)")


def test_memory_and_the_largest_batch():
    one, two = (accounting.training_memory(TWO, batch_size=size).total for size in (1, 2))
    text = row("adamw_accounting", "(b)")
    assert f"{(two - one) / 1e9:.3f} GB per sequence" in text
    assert f"{(2 * one - two) / 1e9:.3f} GB fixed" in text
    assert f"a batch of {accounting.max_batch_size(TWO, 80 * accounting.GB)} fits 80 GB" in text


def test_flops_of_an_optimizer_step():
    assert f"{accounting.adamw_flops(TWO):,}" in row("adamw_accounting", "(c)")


def test_days_of_training():
    seconds = accounting.training_time(TWO, 400_000, 1024, 19.5e12, mfu=0.5)
    assert f"{math.floor(seconds / accounting.DAY):,} days" in row("adamw_accounting", "(d)")
