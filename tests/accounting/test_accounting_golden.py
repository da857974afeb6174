"""Published figures, computed independently with exact integers, hold to the last digit."""

import pytest

from cs336_lib.accounting import (
    DAY,
    GB,
    GIB,
    adamw_flops,
    crossing_context,
    forward_flops,
    handout_activations,
    max_batch_size,
    mfu,
    parameter_count,
    training_flops,
    training_memory,
    training_time,
)
from cs336_lib.model.config import ModelConfig

XL = ModelConfig.preset("gpt2-xl")
TWO_MATRICES = XL.replace(ffn="silu", d_ff=4 * XL.d_model)
TINYSTORIES = ModelConfig.preset("tinystories-17m")

# parameters, then FLOPs at context 1,024: projections, scores, FFN, head, total; then their shares in percent
GPT2 = {
    "gpt2-small": (
        190_460_160,
        (57_982_058_496, 38_654_705_664, 173_946_175_488, 79_047_426_048, 349_630_365_696),
        (16.58, 11.06, 49.75, 22.61),
    ),
    "gpt2-medium": (
        505_629_696,
        (206_158_430_208, 103_079_215_104, 618_475_290_624, 105_396_568_064, 1_033_109_504_000),
        (19.96, 9.98, 59.87, 10.20),
    ),
    "gpt2-large": (
        1_072_469_760,
        (483_183_820_800, 193_273_528_320, 1_449_551_462_400, 131_745_710_080, 2_257_754_521_600),
        (21.40, 8.56, 64.20, 5.84),
    ),
    "gpt2-xl": (
        2_127_057_600,
        (1_006_632_960_000, 322_122_547_200, 3_019_898_880_000, 164_682_137_600, 4_513_336_524_800),
        (22.30, 7.14, 66.91, 3.65),
    ),
}
COMPONENTS = ("attention_projections", "attention_scores", "ffn", "lm_head")


@pytest.mark.parametrize("preset", GPT2)
def test_gpt2_parameters(preset):
    assert parameter_count(ModelConfig.preset(preset)).total == GPT2[preset][0]


@pytest.mark.parametrize("preset", GPT2)
def test_gpt2_forward_flops_by_component(preset):
    flops = forward_flops(ModelConfig.preset(preset))
    assert tuple(flops) == COMPONENTS
    assert (*flops.values(), flops.total) == GPT2[preset][1]


@pytest.mark.parametrize("preset", GPT2)
def test_gpt2_shares_in_percent(preset):
    shares = forward_flops(ModelConfig.preset(preset)).shares()
    assert [round(100 * share, 2) for share in shares.values()] == pytest.approx(GPT2[preset][2], abs=0.0101)
    assert sum(shares.values()) == pytest.approx(1)


def test_gpt2_xl_at_context_16384():
    flops = forward_flops(XL, context_length=16_384)
    expected = (16_106_127_360_000, 82_463_372_083_200, 48_318_382_080_000, 2_634_914_201_600, 149_522_795_724_800)
    assert (*flops.values(), flops.total) == expected
    assert round(flops.total / forward_flops(XL).total, 2) == 33.13
    assert [round(100 * share, 2) for share in flops.shares().values()] == [10.77, 55.15, 32.32, 1.76]


def test_gpt2_xl_weighs_8_5_gb_or_7_9_gib():
    memory = training_memory(XL).parameters
    assert memory == 8_508_230_400
    assert (round(memory / GB, 3), round(memory / GIB, 3)) == (8.508, 7.924)


def test_scores_overtake_the_ffn_at_three_halves_of_its_width():
    assert crossing_context(XL) == 9_600
    assert crossing_context(TWO_MATRICES) == 6_400


def test_tinystories_parameters():
    parameters = parameter_count(TINYSTORIES)
    assert parameters.total == 22_696_448
    assert parameters.total - parameters["embedding"] == 17_576_448
    assert parameters.total - parameters["embedding"] - parameters["lm_head"] == 12_456_448


def test_tinystories_flops_of_a_token():
    assert forward_flops(TINYSTORIES).total == 37_240_832 * TINYSTORIES.context_length
    assert training_flops(TINYSTORIES).total == 111_722_496 * TINYSTORIES.context_length


def test_tinystories_full_run_takes_37_seconds_at_the_peak_of_an_h100():
    batch_size, steps = 128, 10_000
    assert steps * batch_size * TINYSTORIES.context_length == 327_680_000
    assert round(steps * training_flops(TINYSTORIES, batch_size=batch_size).total / 1e16, 5) == 3.66092
    assert round(training_time(TINYSTORIES, steps, batch_size, "h100-sxm", mfu=1.0)) == 37
    assert round(training_time(TINYSTORIES, steps, batch_size, 989e12, mfu=1.0)) == 37


def test_tinystories_at_180000_tokens_a_second_uses_two_percent_of_an_h100():
    assert round(100 * mfu(180_000, TINYSTORIES, "h100-sxm"), 1) == 2.0


@pytest.mark.parametrize(
    ("cfg", "parameters", "fixed", "a_sequence", "batch_in_gb", "batch_in_gib"),
    [
        pytest.param(TWO_MATRICES, 1_635_537_600, 26_168_601_600, 15_517_753_344, 3, 3, id="two matrices"),
        pytest.param(XL, 2_127_057_600, 34_032_921_600, 18_034_335_744, 2, 2, id="three matrices"),
    ],
)
def test_training_memory_and_batch_in_both_units(cfg, parameters, fixed, a_sequence, batch_in_gb, batch_in_gib):
    memory = training_memory(cfg)
    assert parameter_count(cfg).total == parameters
    assert memory.activations.total == a_sequence
    assert memory.fixed == fixed == 16 * parameters
    assert memory.total == fixed + a_sequence
    assert max_batch_size(cfg, 80 * GB) == batch_in_gb
    assert max_batch_size(cfg, 80 * GIB) == batch_in_gib


@pytest.mark.parametrize("preset", GPT2)
@pytest.mark.parametrize("batch_size", [1, 7])
def test_handout_list_is_its_closed_form_where_d_ff_is_four_d(preset, batch_size):
    cfg = ModelConfig.preset(preset)
    L, S, D, H, V = cfg.num_layers, cfg.context_length, cfg.d_model, cfg.num_heads, cfg.vocab_size
    closed = batch_size * (L * (16 * S * D + 2 * H * S**2) + S * D + 2 * S * V)
    assert handout_activations(cfg, batch_size=batch_size, edition="2025").total == closed


@pytest.mark.parametrize(
    ("cfg", "flops"), [(TWO_MATRICES, 22_897_526_400), (XL, 29_778_806_400)], ids=["two matrices", "three matrices"]
)
def test_adamw_step(cfg, flops):
    assert adamw_flops(cfg) == flops == 14 * parameter_count(cfg).total


@pytest.mark.parametrize(
    ("cfg", "days"), [(TWO_MATRICES, 5_115.19), (XL, 6_583.56)], ids=["two matrices", "three matrices"]
)
@pytest.mark.parametrize("where", ["a100-40gb", "a100-80gb", 19.5e12])
def test_400_thousand_steps_on_one_a100_in_float32(cfg, days, where):
    assert round(training_time(cfg, 400_000, 1024, where, dtype="float32") / DAY, 2) == days
