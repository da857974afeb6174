import os

import pytest
from kernel_copies import cache_with_kernels


@pytest.fixture(autouse=True, scope="package")
def _cache(tmp_path_factory):
    """Leave the user's own cache alone."""
    before = os.environ.get("CS336_CACHE_DIR")
    os.environ["CS336_CACHE_DIR"] = str(cache_with_kernels(tmp_path_factory.mktemp("home") / "cache"))
    yield
    os.environ.pop("CS336_CACHE_DIR")
    if before is not None:
        os.environ["CS336_CACHE_DIR"] = before
