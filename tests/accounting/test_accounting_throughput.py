"""Seconds, MFU, rooflines and decoding follow from the counts and the table of devices."""

import math
import subprocess
import sys

import pytest
import torch
from accounting_counts import GRID, TINY, name

from cs336_lib.accounting import (
    DEVICES,
    Device,
    adamw_flops,
    decode_time,
    forward_flops,
    identify,
    kv_cache_bytes,
    matmuls,
    mfu,
    parameter_count,
    roofline,
    training_flops,
    training_time,
)
from cs336_lib.accounting.devices import RENT
from cs336_lib.accounting.intensity import BYTES
from cs336_lib.model import KVCache
from cs336_lib.model.config import ModelConfig

XL = ModelConfig.preset("gpt2-xl")


def test_time_and_mfu_are_inverse():
    seconds = training_time(XL, 100, 8, "h100-sxm", mfu=0.37, context_length=512, attention="causal")
    rate = 100 * 8 * 512 / seconds
    assert mfu(rate, XL, "h100-sxm", context_length=512, attention="causal") == pytest.approx(0.37)


def test_the_optimizer_adds_its_flops_once_a_step():
    without, with_it = (training_time(TINY, 10, 2, 1e12, mfu=1.0, optimizer=on) for on in (False, True))
    assert with_it - without == pytest.approx(10 * adamw_flops(TINY) / 1e12, rel=1e-6)


def test_training_is_three_forward_passes():
    assert training_flops(XL, 77, 3).total == 3 * forward_flops(XL, 77, 3).total


@pytest.mark.parametrize("key", DEVICES)
def test_devices_are_plausible(key):
    device = DEVICES[key]
    assert set(device.peaks) <= set(BYTES)
    assert device.peaks["float16"] >= device.peaks.get("tf32", 0) >= 0
    assert device.peaks["float16"] > device.peaks["float32"]
    assert 16e9 <= device.memory_bytes <= 180e9
    assert 1e11 < device.bandwidth < 1e13
    assert device.source


SHEETS = {
    # GB, GB/s, TFLOP/s of float32; then of half precision and of TF32 as the sheet has them in large type, with
    # sparsity where it knows it: PB-09256 (T4), the data sheets of L4, A100, H100, H200 and HGX B200 (per GPU), the
    # whitepapers of GA102 and of Ada (half precision with float32 sums).
    "t4": (16, 320, 8.1, 65, None),
    "l4": (24, 300, 30.3, 242, 120),
    "a100-40gb": (40, 1_555, 19.5, 624, 312),
    "a100-80gb": (80, 2_039, 19.5, 624, 312),
    "a100-80gb-pcie": (80, 1_935, 19.5, 624, 312),
    "h100-sxm": (80, 3_350, 67, 1_979, 989),
    "h100-pcie": (80, 2_000, 51, 1_513, 756),
    "h200": (141, 4_800, 67, 1_979, 989),
    "b200": (180, 7_700, 75, 4_500, 2_200),
    "rtx-3090": (24, 936, 35.6, 142, 71.2),
    "rtx-4090": (24, 1_008, 82.6, 330.4, 165.2),
}


@pytest.mark.parametrize("key", DEVICES)
def test_a_device_has_the_figures_of_its_data_sheet(key):
    memory, bandwidth, float32, half, tf32 = SHEETS[key]
    told = DEVICES[key]
    assert (told.memory_bytes, told.bandwidth) == (memory * 10**9, bandwidth * 10**9)
    sparse = 1 if key == "t4" else 2
    whole = math.floor if half > 1_000 else float  # a server's sheet rounds to whole TFLOP/s
    expected = {"float32": float32, "float16": whole(half / sparse)}
    if tf32 is not None:
        expected |= {"bfloat16": expected["float16"], "tf32": whole(tf32 / sparse)}
    assert {dtype: peak / 1e12 for dtype, peak in told.peaks.items()} == pytest.approx(expected)


def test_every_device_of_the_table_is_held_against_its_sheet():
    assert SHEETS.keys() == DEVICES.keys()


@pytest.mark.parametrize("dtype", BYTES)
def test_a_number_has_the_bytes_that_torch_gives_it_and_tf32_those_of_float32(dtype):
    width = torch.empty(1, dtype=getattr(torch, "float32" if dtype == "tf32" else dtype)).element_size()
    device = Device("any", dict.fromkeys(BYTES, 10**12), 10**9, 10**9, "an example")
    assert sum(point.bytes for point in roofline(TINY, device, dtype=dtype)) == width * sum(
        product.elements for product in matmuls(TINY)
    )
    assert decode_time(TINY, device, dtype=dtype).cache_bytes == kv_cache_bytes(TINY, bytes_per_value=width)


@pytest.mark.parametrize("cfg", GRID[::7], ids=name)
def test_a_decoding_step_is_the_last_of_a_full_context_unless_said_otherwise(cfg):
    full = decode_time(cfg, "h100-sxm")
    assert full == decode_time(cfg, "h100-sxm", cfg.context_length - 1)
    assert full.cache_bytes == kv_cache_bytes(cfg, bytes_per_value=2)
    assert decode_time(cfg, "h100-sxm", 0).cache_bytes == kv_cache_bytes(cfg, 1, bytes_per_value=2)


def test_only_the_turing_card_has_no_bfloat16():
    assert [key for key, device in DEVICES.items() if "bfloat16" not in device.peaks] == ["t4"]


@pytest.mark.parametrize(
    ("reported", "key"),
    [
        ("Tesla T4", "t4"),
        ("NVIDIA A100-SXM4-40GB", "a100-40gb"),
        ("A100-SXM4-80GB", "a100-80gb"),
        ("NVIDIA A100 80GB PCIe", "a100-80gb-pcie"),
        ("NVIDIA H100 80GB HBM3", "h100-sxm"),
        ("NVIDIA H100 PCIe", "h100-pcie"),
        ("NVIDIA GeForce RTX 4090", "rtx-4090"),
        ("NVIDIA B200", "b200"),
    ],
)
def test_a_device_is_known_by_what_the_driver_calls_it(reported, key):
    assert identify(reported) is DEVICES[key]


@pytest.mark.parametrize("reported", ["", "NVIDIA", "NVIDIA H100 NVL", "NVIDIA A100", "NVIDIA L40S", "t4", "cpu"])
def test_a_relative_of_a_known_device_is_not_taken_for_it(reported):
    assert identify(reported) is None


def test_no_two_devices_report_the_same_name():
    names = [name for device in DEVICES.values() for name in device.reported]
    assert len(set(names)) == len(names) >= len(DEVICES)


@pytest.mark.gpu
def test_the_device_at_hand_is_in_the_table_with_its_memory():
    found = identify(torch.cuda.get_device_name())
    if found is None:
        pytest.skip(f"the table has no {torch.cuda.get_device_name()}")
    # Most labels mean GiB, 7 % more than the table's GB, and the driver keeps some of them.
    assert 0.9 < torch.cuda.get_device_properties(0).total_memory / found.memory_bytes < 1.08


def test_an_own_device_serves_everywhere():
    own = Device("cluster", {"bfloat16": 10**15}, 10**12, 10**13, "measured")
    assert mfu(1000, XL, own) == mfu(1000, XL, 1e15)
    assert roofline(XL, own)[0].peak == 10**15
    assert decode_time(XL, own).seconds > 0


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: mfu(1, TINY, "v100"), "unknown device 'v100'; known: t4, l4"),
        (lambda: mfu(1, TINY, "t4"), "NVIDIA T4 has no peak for 'bfloat16'; it has: float32, float16"),
        (lambda: mfu(1, TINY, 0), "the peak is 0; it must be a positive number"),
        (lambda: mfu(1, TINY, math.nan), "the peak is nan"),
        (lambda: mfu(-1, TINY, "l4"), "tokens_per_second is -1"),
        (lambda: mfu(math.nan, TINY, "l4"), "tokens_per_second is nan"),
        (lambda: training_time(TINY, 0, 1, "l4"), "steps is 0"),
        (lambda: training_time(TINY, 1, 1, "l4", mfu=50), r"mfu is 50; .* \(0\.5 is 50 %\)"),
        (lambda: training_time(TINY, 1, 1, "l4", context_length=-3), "context_length is -3"),
        (lambda: mfu(1, TINY, "l4", context_length=0), "context_length is 0"),
        (lambda: decode_time(TINY, "l4", cached=-1), "cached is -1"),
        (lambda: roofline(TINY, "l4", dtype="int8"), "no peak for 'int8'"),
        (lambda: kv_cache_bytes(TINY, bytes_per_value=0), "bytes_per_value is 0"),
    ],
)
def test_wrong_arguments_are_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()


@pytest.mark.parametrize("batch_size", [1, 8])
def test_roofline_adds_up_to_the_forward_pass(batch_size):
    points = {point.component: point for point in roofline(XL, "a100-80gb", batch_size=batch_size)}
    assert {key: point.flops for key, point in points.items()} == dict(forward_flops(XL, batch_size=batch_size))
    assert sum(p.bytes for p in points.values()) == 2 * sum(p.elements for p in matmuls(XL, batch_size=batch_size))


def test_a_fused_attention_moves_queries_keys_values_and_its_output_once():
    S, cached, B = 5, 3, 2
    fused, plain = (
        {p.component: p for p in roofline(TINY.replace(backend=backend), "l4", S, B, cached=cached)}
        for backend in ("fast", "reference")
    )
    row = 2 * B * TINY.num_layers * TINY.d_model  # bytes of one position
    assert fused["attention_scores"].bytes == row * (S + (S + cached) + (S + cached) + S)
    scores = 2 * B * TINY.num_layers * TINY.num_heads * S * (S + cached)
    assert plain["attention_scores"].bytes - fused["attention_scores"].bytes == 2 * scores
    assert fused["attention_scores"].flops == plain["attention_scores"].flops
    assert fused["ffn"] == plain["ffn"]


@pytest.mark.parametrize("key", DEVICES)
def test_nothing_is_above_its_roof(key):
    device = DEVICES[key]
    for point in [*roofline(XL, device, dtype="float16"), *roofline(XL, device, 1, dtype="float16", cached=1023)]:
        assert point.attainable <= min(point.peak, point.intensity * device.bandwidth) * (1 + 1e-9)
        assert (point.bound == "compute") == (point.attainable == pytest.approx(point.peak))


def test_decoding_waits_for_memory_and_training_for_arithmetic():
    assert all(point.bound == "memory" for point in roofline(XL, "h100-sxm", 1, cached=1023))
    assert {p.component: p.bound for p in roofline(XL, "h100-sxm", batch_size=8)}["ffn"] == "compute"


@pytest.mark.parametrize("cfg", GRID[::7], ids=name)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_cache_bytes_are_those_of_the_real_cache(cfg, dtype):
    cache = KVCache(cfg, batch_size=3, capacity=7, dtype=dtype, device="meta")
    assert kv_cache_bytes(cfg, 7, 3, bytes_per_value=dtype.itemsize) == cache.nbytes


def test_a_decoding_step_reads_every_weight_but_the_embeddings_other_rows():
    step = decode_time(TINY, "l4", cached=11, batch_size=2, dtype="float32")
    parameters = parameter_count(TINY)
    assert step.weight_bytes == 4 * (parameters.total - parameters["embedding"] + 2 * TINY.d_model)
    assert step.cache_bytes == kv_cache_bytes(TINY, 12, 2, bytes_per_value=4)
    tied = TINY.replace(tie_embeddings=True)  # the head reads the whole table
    assert decode_time(tied, "l4").weight_bytes == 2 * (parameter_count(tied).total + TINY.d_model)


def test_sequences_side_by_side_share_the_weights():
    one, many = (decode_time(XL, "h100-sxm", batch_size=size) for size in (1, 16))
    assert one.tokens_per_second < many.tokens_per_second < 16 * one.tokens_per_second


def test_accounting_never_imports_torch():
    code = "import cs336_lib.accounting, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_what_chapter_5_says_of_prices_is_so_at_the_prices_that_are_listed():
    """Work on a B200, the dearest per second, is cheapest, whatever part of it waits for memory; L4 or A100 is open."""
    flop = {d: RENT[d] / DEVICES[d].peak("float16") for d in RENT}
    byte = {d: RENT[d] / DEVICES[d].bandwidth for d in RENT}
    orders = []
    for part in (0, 0.1, 0.25, 0.37, 0.5):  # the record of chapter 5 has between a quarter and a half
        paid = {d: (1 - part) * flop[d] / flop["h100-sxm"] + part * byte[d] / byte["h100-sxm"] for d in RENT}
        orders.append(sorted(paid, key=paid.get))
    assert all(order[:2] == ["b200", "h100-sxm"] for order in orders) and max(RENT, key=RENT.get) == "b200"
    l4_is_cheaper = [order.index("l4") < order.index("a100-80gb") for order in orders]
    assert l4_is_cheaper[0] and not any(l4_is_cheaper[2:])
