import pytest
import torch
from model_oracle import TINY


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.fixture
def tiny():
    return TINY


@pytest.fixture
def ids(tiny):
    return torch.randint(tiny.vocab_size, (2, tiny.context_length))


def pytest_generate_tests(metafunc):
    """Run each test that asks for `ablation` on the default model and on every ablation of it."""
    if "ablation" in metafunc.fixturenames:
        changes = [
            {},
            {"norm": "post"},
            {"norm": "none"},
            {"position": "none"},
            {"ffn": "silu"},
            {"tie_embeddings": True},
            {"tie_embeddings": True, "tied_lookup": "plain"},
            {"qk_norm": True},
            {"norm": "post", "position": "none", "ffn": "silu", "tie_embeddings": True, "qk_norm": True},
        ]
        names = [",".join(f"{key}={value}" for key, value in change.items()) or "default" for change in changes]
        metafunc.parametrize(
            "ablation", [TINY.replace(**change) for change in changes], ids=[*names[:-1], "all at once"]
        )
