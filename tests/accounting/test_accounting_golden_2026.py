"""The figures of the 2026 edition, computed independently with exact integers, hold to the last digit."""

import re
from fractions import Fraction

import pytest

from cs336_lib import editions
from cs336_lib.accounting import (
    ADAMW_OPERATIONS,
    DAY,
    DEVICES,
    GB,
    GIB,
    HOUR,
    adamw_flops,
    crossing_context,
    forward_flops,
    handout_activations,
    max_batch_size,
    mfu,
    parameter_count,
    report,
    training_flops,
    training_memory,
    training_time,
)
from cs336_lib.model.config import ModelConfig

SIZES = {size: ModelConfig.preset(f"gpt2-{size}-2026") for size in ("small", "medium", "large", "xl")}
XL = SIZES["xl"]
TINYSTORIES = ModelConfig.preset("tinystories-17m")
V, S = 50_257, 1_024

# d_ff, parameters, forward FLOPs; projections, scores, FFN and head in percent
TABLE = {
    "small": (2_048, 162_148_608, 291_648_307_200, (19.88, 13.25, 39.76, 27.10)),
    "medium": (2_752, 406_539_264, 830_172_299_264, (24.83, 12.42, 50.05, 12.70)),
    "large": (3_392, 833_591_040, 1_768_530_903_040, (27.32, 10.93, 54.30, 7.45)),
    "xl": (4_288, 1_640_452_800, 3_516_769_894_400, (28.62, 9.16, 57.53, 4.68)),
}


@pytest.mark.parametrize("size", TABLE)
def test_the_table_of_sizes(size):
    d_ff, parameters, flops, shares = TABLE[size]
    forward = forward_flops(SIZES[size])
    assert SIZES[size].d_ff == d_ff
    assert parameter_count(SIZES[size]).total == parameters
    assert forward.total == flops
    assert [round(100 * share, 2) for share in forward.shares().values()] == pytest.approx(shares, abs=0.0101)


def test_both_editions_have_the_same_sizes_but_for_d_ff():
    for size, config in SIZES.items():
        assert ModelConfig.preset(f"gpt2-{size}").replace(d_ff=config.d_ff) == config
    assert ModelConfig.preset("gpt2-xl").d_ff == editions.edition("2025").d_ff
    assert XL.d_ff == editions.edition("2026").d_ff


def test_xl_in_bytes_and_without_its_vocabulary_matrices():
    counts = parameter_count(XL)
    bytes_ = training_memory(XL).parameters
    assert bytes_ == 6_561_811_200
    assert (round(bytes_ / GB, 2), round(bytes_ / GIB, 2)) == (6.56, 6.11)
    assert counts.total - counts["embedding"] - counts["lm_head"] == 1_479_630_400


def test_xl_by_component():
    flops = forward_flops(XL)
    assert flops["attention_projections"] == 1_006_632_960_000
    assert flops["attention_scores"] == 2 * 161_061_273_600
    assert flops["ffn"] == 2_023_332_249_600
    assert flops["lm_head"] == 164_682_137_600
    attention = flops.share("attention_projections") + flops.share("attention_scores")
    assert (round(100 * flops.share("ffn"), 2), round(100 * attention, 2)) == (57.53, 37.78)


def test_xl_at_context_16384():
    long, short = forward_flops(XL, 16_384), forward_flops(XL)
    assert long.total == 133_577_729_638_400
    assert round(long.total / short.total, 2) == 37.98
    assert [round(100 * share, 2) for share in long.shares().values()] == [12.06, 61.73, 24.24, 1.97]
    assert crossing_context(XL) == 6_432


# Other readings of the same question: large rounded up, 8/3 D exactly, 4 D for three sizes and 4,288 for XL.
def test_rounding_up_changes_large_only():
    up = {size: 64 * -(-8 * config.d_model // 192) for size, config in SIZES.items()}
    assert {size for size in SIZES if up[size] != SIZES[size].d_ff} == {"large"}
    flops = forward_flops(SIZES["large"].replace(d_ff=3_456))
    assert up["large"] == 3_456 and flops.total == 1_786_650_296_320
    assert round(100 * flops.share("ffn"), 2) == 54.76


@pytest.mark.parametrize(
    ("size", "flops"), [("medium", 826_951_073_792), ("large", 1_774_570_700_800), ("xl", 3_506_703_564_800)]
)
def test_eight_thirds_exactly(size, flops):
    forward = forward_flops(SIZES[size])
    exact = forward.total - forward["ffn"] + 16 * S * SIZES[size].d_model ** 2 * SIZES[size].num_layers
    assert exact == flops


def test_two_rules_in_one_table_make_the_ffns_share_seem_to_fall():
    mixed = [ModelConfig.preset(f"gpt2-{size}") for size in ("small", "medium", "large")]
    large, xl = (100 * forward_flops(config).share("ffn") for config in (mixed[-1], XL))
    assert round(large) == 64 and xl < large
    one_rule = [forward_flops(config).share("ffn") for config in SIZES.values()]
    assert one_rule == sorted(one_rule)
    assert [round(100 * share, 1) for share in one_rule] == [39.8, 50.1, 54.3, 57.5]


def closed_form(config, batch_size=1):
    """The numbers of the 2026 list: B (L (8 S D + 4 S F + 2 H S^2) + S D + 2 S V)."""
    L, D, H, F = config.num_layers, config.d_model, config.num_heads, config.d_ff
    return batch_size * (L * (8 * S * D + 4 * S * F + 2 * H * S**2) + S * D + 2 * S * V)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("batch_size", [1, 7])
def test_the_list_is_its_closed_form(size, batch_size):
    listed = handout_activations(SIZES[size], batch_size=batch_size, edition="2026")
    assert listed.total == closed_form(SIZES[size], batch_size)
    assert listed["w3"] == listed["gate_product"] == listed["silu"] == listed["w1"]


def test_activations_memory_and_the_largest_batch_of_xl():
    memory = training_memory(XL, edition=2026)
    assert memory.activations.total == 16_373_391_360 == 4 * closed_form(XL)
    assert memory.fixed == 26_247_244_800 == 16 * parameter_count(XL).total
    assert (round(memory.activations.total / GB, 3), round(memory.fixed / GB, 3)) == (16.373, 26.247)
    assert (round(memory.activations.total / GIB, 3), round(memory.fixed / GIB, 3)) == (15.249, 24.445)
    for unit, exact in ((GB, 3.28), (GIB, 3.64)):
        assert max_batch_size(XL, 80 * unit, edition="2026") == 3
        assert int(100 * (80 * unit - memory.fixed) / memory.activations.total) / 100 == exact
    assert [max_batch_size(XL, size * GB, edition="2026") for size in (180, 192)] == [9, 10]


def test_eight_thirds_exactly_in_memory_and_what_it_shares_with_two_matrices():
    D, L, H = XL.d_model, XL.num_layers, XL.num_heads
    P = 2 * V * D + L * (12 * D**2 + 2 * D) + D
    two = ModelConfig.preset("gpt2-xl").replace(ffn="silu", d_ff=6_400)
    assert P == 1_635_537_600 == parameter_count(two).total  # 3 * 8/3 = 2 * 4
    assert 16 * P == 26_168_601_600 and 14 * P == 22_897_526_400 == adamw_flops(two)
    a_sequence = 4 * (L * (Fraction(56, 3) * S * D + 2 * H * S**2) + S * D + 2 * S * V)
    assert round(a_sequence) == 16_356_614_144
    assert training_memory(two).activations.total == 15_517_753_344


def test_the_list_of_2025_on_the_model_of_2026_is_too_short():
    assert training_memory(XL, edition="2025").activations.total == 14_687_281_152
    assert [max_batch_size(XL, 80 * unit, edition="2025") for unit in (GB, GIB)] == [3, 4]
    assert training_memory(XL, activations="autograd").activations.total == 17_713_422_340
    assert max_batch_size(XL, 80 * GB, activations="autograd") == 3


def test_a_model_without_gate_has_the_same_list_in_both_editions():
    silu = TINYSTORIES.replace(ffn="silu")
    assert handout_activations(silu, edition="2025") == handout_activations(silu, edition="2026")


def test_what_wrong_answers_assume_about_memory():
    right = 4 * closed_form(XL)
    L, H, F = XL.num_layers, XL.num_heads, XL.d_ff
    scores_once = right - 4 * L * H * S**2
    one_of_sv = right - 4 * S * V
    no_scores = right - 8 * L * H * S**2
    no_gate = right - 8 * L * S * F
    assert [round(b / GB, 3) for b in (scores_once, one_of_sv, no_gate)] == [11.340, 16.168, 14.687]
    assert round(no_scores / GB, 2) == 6.31
    fixed = training_memory(XL).fixed
    assert [(80 * GB - fixed) // b for b in (scores_once, one_of_sv, no_scores)] == [4, 3, 8]
    assert 2 * parameter_count(XL).total == pytest.approx(3.28e9, rel=1e-3)  # two bytes per parameter


def test_a_step_of_adamw():
    assert adamw_flops(XL) == 22_966_339_200 == 14 * parameter_count(XL).total
    assert [len(line) for line in ADAMW_OPERATIONS.values()] == [2, 3, 4, 5]
    assert "lambda" in next(iter(ADAMW_OPERATIONS)), "the decay stands first, as in 2026"


def test_hours_on_one_h100():
    seconds = training_time(XL, 400_000, 1024, 495e12)
    flops = 400_000 * training_flops(XL, batch_size=1024).total
    assert f"{flops:.4e}" == "4.3214e+21"
    assert (round(seconds / HOUR, 2), round(seconds / DAY, 2)) == (4_850.06, 202.09)
    assert round(training_time(XL, 400_000, 1024, 494.7e12) / HOUR, 2) == 4_853.01
    assert round(training_time(XL, 400_000, 1024, "h100-sxm", dtype="tf32") / HOUR, 2) == 4_859.88
    exact = 3 * 3_506_703_564_800 * 1024 * 400_000 / (0.5 * 495e12)
    assert (round(exact / HOUR, 2), round(exact / DAY, 2)) == (4_836.18, 201.51)
    assert 0.9e-5 * 0.1 < adamw_flops(XL) / training_flops(XL, batch_size=1024).total < 1e-5


def test_what_wrong_answers_assume_about_hours():
    right = training_time(XL, 400_000, 1024, 495e12) / HOUR
    assert round(right / 3, 1) == 1_616.7  # the forward pass alone
    assert round(right * 2 / 3) == 3_233  # a backward pass as long as the forward pass
    assert round(right / 2) == 2_425  # all of the peak
    six_p = 6 * parameter_count(XL).total * S * 1024 * 400_000 / (0.5 * 495e12) / HOUR
    assert round(six_p) == 4_633


def test_without_the_projections():
    def rest(context_length):
        flops = forward_flops(XL, context_length)
        return flops.total - flops["attention_projections"]

    assert round(rest(S) / 1e12, 2) == 2.51
    assert round(rest(16_384) / rest(S), 1) == 46.8


def test_b200_and_the_tinystories_run_on_it():
    b200 = DEVICES["b200"]
    assert (b200.peak("float32"), b200.peak("tf32"), b200.peak()) == (75e12, 1_100e12, 2_250e12)
    assert (b200.memory_bytes, b200.bandwidth) == (180 * GB, 7_700 * GB)
    assert "75" not in b200.source and "80 in the architecture brief" in b200.source
    tokens = 327_680_000
    rates = [tokens / (60 * minutes) for minutes in reversed(editions.edition("2026").tinystories_minutes)]
    assert [round(rate / 1e3) for rate in rates] == [182, 273]
    assert [round(100 * mfu(rate, TINYSTORIES, "b200"), 1) for rate in rates] == [0.9, 1.4]
    assert round(100 * mfu(225_000, TINYSTORIES, "b200"), 1) == 1.1
    old = [tokens / (60 * minutes) / 1e3 for minutes in reversed(editions.edition("2025").tinystories_minutes)]
    assert list(map(int, old)) == [136, 182]


@pytest.mark.parametrize(
    ("edition", "rows"),
    [
        (
            "2025",
            [
                (
                    "this model, gate left out",
                    "15,517,753,344",
                    "34,032,921,600",
                    "2",
                    "3",
                    "29,778,806,400",
                    "158,005.35",
                    "6,583.56",
                ),
                (
                    "two matrices",
                    "15,517,753,344",
                    "26,168,601,600",
                    "3",
                    "3",
                    "22,897,526,400",
                    "122,764.60",
                    "5,115.19",
                ),
            ],
        ),
        (
            "2026",
            [("this model", "16,373,391,360", "26,247,244,800", "3", "3", "22,966,339,200", "4,850.06", "202.09")],
        ),
    ],
)
def test_the_report_answers_the_problem_of_an_edition(edition, rows):
    config = ModelConfig.preset({"2025": "gpt2-xl", "2026": "gpt2-xl-2026"}[edition])
    last = report.text(config, edition=edition).split("\n\n")[-1]
    assert f"Edition {editions.edition(edition).label}" in last
    assert editions.problem("adamw_accounting").name(edition) in last
    table = [re.split(r"  +", line)[1:] for line in last.splitlines()[-len(rows[0]) :]]
    assert list(zip(*table, strict=True)) == rows
    assert f"{edition} handout's list" in report.text(config, edition=edition)


@pytest.mark.parametrize(
    "call",
    [
        lambda: handout_activations(XL, edition="2024"),
        lambda: training_memory(XL, edition="26"),
        lambda: max_batch_size(XL, 80 * GB, edition=2027),
        lambda: report.text(XL, edition=""),
    ],
)
def test_an_unknown_edition_names_the_two(call):
    with pytest.raises(ValueError, match="there are '2025' and '2026'"):
        call()
