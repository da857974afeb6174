"""The report says what the functions say, for any model on any device."""

import re

import pytest
from accounting_counts import GRID, TINY, name

from cs336_lib.accounting import (
    DAY,
    DEVICES,
    adamw_flops,
    autograd_activations,
    decode_time,
    forward_flops,
    handout_activations,
    matmuls,
    parameter_count,
    report,
    roofline,
    training_flops,
    training_time,
)
from cs336_lib.model.config import PRESETS, ModelConfig

XL = ModelConfig.preset("gpt2-xl")
HEADINGS = ["Parameters", "Matrix products", "Memory of a training step", "Time of", "Roofline", "Decoding"]


def numbers(text):
    return {int(found.replace(",", "")) for found in re.findall(r"\d[\d,]*", text)}


@pytest.mark.parametrize("edition", [None, "2025", "2026"])
@pytest.mark.parametrize("cfg", [*PRESETS.values(), *GRID[::7], TINY.replace(backend="fast")], ids=name)
def test_every_count_stands_in_the_report(cfg, edition):
    S, B = 12, 3
    text = report.text(cfg, context_length=S, batch_size=B, edition=edition)
    said, gated = numbers(text), cfg.ffn == "swiglu"
    kept = [handout_activations(cfg, S, B, edition=edition or ("2026" if gated else "2025")) * 4]
    kept += [autograd_activations(cfg, S, B)]
    assert ("this model has three" in text) == (gated and edition == "2025")
    for counts in (parameter_count(cfg), forward_flops(cfg, S), *kept):
        assert {*counts.values(), counts.total} <= said
    assert {product.flops for product in matmuls(cfg, S)} <= said
    assert {training_flops(cfg, S, B).total, adamw_flops(cfg), 16 * parameter_count(cfg).total // 4} <= said


def section(text, start):
    """Return the lines of one section of a report."""
    (found,) = [part for part in text.split("\n\n") if part.startswith(start)]
    return found.splitlines()


SIZES = [(12, 1), (5, 3), (24, 64)]
"""Context length and batch; the model's own context is 12."""


@pytest.mark.parametrize(("S", "B"), SIZES)
@pytest.mark.parametrize(("key", "dtype"), [("h100-sxm", "bfloat16"), ("a100-80gb", "tf32"), ("t4", "float32")])
@pytest.mark.parametrize("cfg", [*GRID[::11], TINY.replace(backend="fast")], ids=name)
def test_time_roofline_and_decoding_are_those_of_the_sizes_that_were_asked_for(cfg, key, dtype, S, B):
    text = report.text(cfg, context_length=S, batch_size=B, device=key, dtype=dtype, mfu=0.3, steps=10**9)
    seconds = training_time(cfg, 10**9, B, key, mfu=0.3, dtype=dtype, context_length=S)
    head, told, source, rate = section(text, "Time of")
    assert head == f"Time of 1,000,000,000 steps of {B} x {S} = {10**9 * B * S:,} tokens"
    assert told.startswith(f"{report.duration(seconds)} on one {DEVICES[key].name} at 30 % of ")
    assert source == f"({dtype}; {DEVICES[key].source}),"
    assert rate == f"{10**9 * B * S / seconds:,.0f} tokens per second."
    rows = [re.split("  +", line.strip()) for line in section(text, "Roofline")[3:]]
    assert rows == [
        [p.component, f"{p.intensity:.1f}", f"{p.attainable / 1e12:.1f}", p.bound, report.duration(p.seconds)]
        for p in roofline(cfg, key, S, B, dtype=dtype)
    ]
    rows = [re.split("  +", line.strip()) for line in section(text, "Decoding")[2:]]
    steps = {batch: decode_time(cfg, key, S - 1, batch, dtype=dtype) for batch in sorted({1, B, 64})}
    assert rows == [
        [str(n), report.size(step.cache_bytes), report.duration(step.seconds), f"{step.tokens_per_second:,.0f}"]
        for n, step in steps.items()
    ]


@pytest.mark.parametrize("given", [None, "2025", "2026"])
@pytest.mark.parametrize("ffn", ["swiglu", "silu"])
def test_the_list_of_activations_is_that_of_the_edition_or_the_one_that_belongs_to_the_model(ffn, given):
    text = report.text(TINY.replace(ffn=ffn), edition=given)
    year = given or {"swiglu": "2026", "silu": "2025"}[ffn]
    assert set(re.findall(r"(\d+) handout's list", text)) == {year}
    assert text.count("handout's list") == 3


@pytest.mark.parametrize("key", DEVICES)
def test_every_device_has_a_report_with_all_sections(key):
    text = report.text(XL, device=key)
    starts = [re.search(f"^{heading}", text, re.MULTILINE).start() for heading in HEADINGS]
    assert starts == sorted(starts)
    assert DEVICES[key].name in text
    assert not text.endswith("\n")
    assert all(line == line.rstrip() for line in text.splitlines())


def test_a_device_without_bfloat16_is_reported_in_float16():
    assert "TFLOP/s\n(float16;" in report.text(TINY, device="t4")


def test_time_and_largest_batches_are_the_golden_ones():
    asked = {"batch_size": 1024, "device": "a100-80gb", "dtype": "float32", "steps": 400_000}
    text = report.text(XL, edition="2025", **asked)
    days = training_time(XL, 400_000, 1024, "a100-80gb", dtype="float32") / DAY
    assert f"{days / 365.25:.2f} years on one NVIDIA A100 80GB SXM at 50 % of 19.5 TFLOP/s" in text
    assert re.search(r"^memory of 80 GB +2 +2$", text, re.MULTILINE)
    assert re.search(r"^memory of 80 GiB +3 +2$", text, re.MULTILINE)
    assert re.search(r"^memory of 80 GiB +2 +2$", report.text(XL, **asked), re.MULTILINE), "the list of three matrices"


def test_training_is_timed_for_twenty_tokens_a_parameter_unless_steps_are_given():
    text = report.text(ModelConfig.preset("tinystories-17m"), batch_size=128)
    assert abs(13_853 * 128 * 256 / 22_696_448 - 20) < 0.001
    assert "Time of 13,853 steps of 128 x 256 = 453,935,104 tokens" in text
    assert "Time of 7 steps of 2 x 12 = 168 tokens" in report.text(TINY, batch_size=2, steps=7)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"context_length": 0}, "context_length is 0"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"steps": 0}, "steps is 0"),
        ({"mfu": 0.0}, "mfu is 0.0"),
        ({"device": "abacus"}, "unknown device 'abacus'; known: t4"),
        ({"device": "t4", "dtype": "bfloat16"}, "NVIDIA T4 has no peak for 'bfloat16'"),
    ],
)
def test_wrong_arguments_are_named(wrong, words):
    with pytest.raises(ValueError, match=words):
        report.text(TINY, **wrong)


def test_a_ragged_table_is_refused():
    with pytest.raises(ValueError, match="a row has 1 cells, the header 2"):
        report.table(["a", "b"], [["x"]])


def test_columns_of_numbers_stand_right_and_text_left():
    lines = report.table(["key", "n"], [["ab", 1_000], ["c", 5]]).splitlines()
    assert lines == ["key      n", "ab   1,000", "c        5"]
