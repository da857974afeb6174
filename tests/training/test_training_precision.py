"""The choice of precision for devices that are here and for some that are not."""

import pytest
import torch

from cs336_lib.training.precision import choose_device, choose_precision, decide

T4, L4, A100, H100, V100, P100 = (7, 5), (8, 9), (8, 0), (9, 0), (7, 0), (6, 0)


@pytest.mark.parametrize("capability", [L4, A100, H100])
def test_bf16_where_it_is_native(capability):
    choice = decide("cuda", capability, "auto", True)
    assert (choice.name, choice.scaled, choice.tf32) == ("bf16", False, True)


@pytest.mark.parametrize("capability", [T4, V100])
def test_fp16_with_loss_scaling_on_older_tensor_cores(capability):
    choice = decide("cuda", capability, "auto", True)
    assert (choice.name, choice.scaled, choice.tf32) == ("fp16", True, False)


@pytest.mark.parametrize(("kind", "capability"), [("cuda", P100), ("cpu", (0, 0)), ("mps", (0, 0))])
def test_fp32_and_no_tf32_elsewhere(kind, capability):
    choice = decide(kind, capability, "auto", True)
    assert (choice.name, choice.dtype, choice.scaled, choice.tf32) == ("fp32", torch.float32, False, False)


def test_the_choice_says_why():
    assert "7.5" in decide("cuda", T4, "auto", True).reason
    assert "emulates" in decide("cuda", T4, "bf16", True).reason
    assert decide("cuda", H100, "fp32", True).peak_dtype == "tf32"
    assert decide("cuda", H100, "fp32", False).peak_dtype == "float32"
    assert decide("cuda", H100, "auto", True).peak_dtype == "bfloat16"


def test_what_a_device_can_not_do_is_refused():
    with pytest.raises(ValueError, match="needs a CUDA device"):
        choose_precision(torch.device("cpu"), "fp16")
    with pytest.raises(ValueError, match="allowed: 'auto', 'cpu'"):
        choose_device("gpu7")
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="does not have; it has: 'cpu'"):
            choose_device("cuda")


def test_autocast_on_the_cpu_is_off_by_default_and_can_be_turned_on():
    device = torch.device("cpu")
    a = torch.ones(2, 2)
    with choose_precision(device).autocast(device):
        assert (a @ a).dtype == torch.float32
    with choose_precision(device, "bf16").autocast(device):
        assert (a @ a).dtype == torch.bfloat16
